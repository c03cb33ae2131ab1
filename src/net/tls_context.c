/* The cache's key is the configuration spelled out. Whether the files that it names are still what they were is asked
 * of the file system at each lookup, by inode, size and times. */
#include "net/tls_context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/strmap.h"
#include "net/file_mark.h"
#include "net/openssl.h"
#include "net/ticket_keys.h"

enum { CONTEXTS_MAX = 256, SESSIONS_MAX = 1000, FILE_MAX = 16 * 1024 * 1024, FIRST_VERSION = TLS1_VERSION };

/* A file that went into a context, as it was then; all zero: there was none. */
typedef struct source {
    struct source *next;
    struct stat status;
    char path[];
} source;

typedef struct host {
    char *name;
    SSL_CTX *ssl;
} host;

struct lh_tls_context {
    SSL_CTX *ssl;
    unsigned holds; /* the cache's, and the connections' */
    bool is_server, is_verifying, accepts_unknown_issuer, ignores_dates;
    host *hosts; /* server: other certificates, by SNI */
    size_t host_count;
    unsigned char session_id[SHA256_DIGEST_LENGTH]; /* server: marks its tickets */
    bool has_identity;                              /* server: there is a certificate for other names, too */
    char *alpn;
    size_t alpn_length;
    lh_strmap sessions; /* client: peer -> SSL_SESSION */
    source *sources;
};

struct lh_tls_contexts {
    lh_strmap by_config;
};

/* While a context is made. */
typedef struct maker {
    lh_tls_context *context;
    const lh_tls_config *config;
    char *error; /* LH_TLS_ERROR_MAX */
} maker;

static bool fail(maker *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(maker *m, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(m->error, LH_TLS_ERROR_MAX, format, arguments);
    va_end(arguments);
    return false;
}

/* `what` failed for the reason that OpenSSL noted. */
static bool fail_openssl(maker *m, const char *what) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return fail(m, "%s: %s", what, reason ? reason : "not accepted");
}

/* -- Files --------------------------------------------------------------------------------------------------------- */

static bool is_text(const char *pem) { return strchr(pem, '\n') != NULL; }

/* How messages call it: a script's PEM text is nobody's business. */
static const char *name_of(const char *pem) { return is_text(pem) ? "PEM text" : pem; }

static void note_source(lh_tls_context *context, const char *path, const struct stat *status) {
    const size_t length = strlen(path);
    source *s = lh_alloc(sizeof(*s) + length + 1);
    memcpy(s->path, path, length + 1);
    s->status = *status;
    s->next = context->sources;
    context->sources = s;
}

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool lh_tls_context_is_current(const lh_tls_context *context) {
    for (const source *s = context->sources; s; s = s->next) {
        struct stat now;
        if (stat(s->path, &now) < 0) now = (struct stat){0};
        if (!is_same(&now, &s->status)) return false;
    }
    return true;
}

static void note_hashed_file(void *context, const char *path, const struct stat *status) {
    note_source(context, path, status);
}

static void note_path(lh_tls_context *context, const char *path) {
    struct stat status;
    if (stat(path, &status) < 0) status = (struct stat){0};
    note_source(context, path, &status);
}

static BIO *read_open_file(maker *m, int fd, const char *path) {
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > FILE_MAX) {
        fail(m, "%s: not a PEM file", path);
        return NULL;
    }
    BIO *bio = BIO_new(BIO_s_mem());
    char piece[16 * 1024];
    ssize_t n;
    while ((n = read(fd, piece, sizeof(piece))) > 0) BIO_write(bio, piece, (int)n);
    note_source(m->context, path, &status);
    return bio;
}

/* The text of a PEM file, or of a PEM text. NULL: m->error says why not. */
static BIO *open_pem(maker *m, const char *pem) {
    if (is_text(pem)) return BIO_new_mem_buf(pem, -1);
    const int fd = open(pem, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        fail(m, "%s: %s", pem, lh_error_text(errno));
        return NULL;
    }
    BIO *bio = read_open_file(m, fd, pem);
    close(fd);
    return bio;
}

/* A key under a password is refused: nobody is asked on the terminal. */
static int no_password(char *to, int room, int is_writing, void *context) {
    (void)to, (void)room, (void)is_writing, (void)context;
    return -1;
}

/* -- Certificates -------------------------------------------------------------------------------------------------- */

static bool use_chain(maker *m, SSL_CTX *ssl, BIO *bio, const char *name) {
    X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
    if (!leaf) return fail(m, "%s: no certificate in it", name);
    const bool is_used = SSL_CTX_use_certificate(ssl, leaf) == 1;
    X509_free(leaf);
    if (!is_used) return fail_openssl(m, name);
    for (X509 *next; (next = PEM_read_bio_X509(bio, NULL, no_password, NULL));) {
        if (SSL_CTX_add0_chain_cert(ssl, next) != 1) {
            X509_free(next);
            return fail_openssl(m, name);
        }
    }
    return true;
}

static bool use_key(maker *m, SSL_CTX *ssl, const char *pem) {
    BIO *bio = open_pem(m, pem);
    if (!bio) return false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (!key) return fail(m, "%s: no private key in it (or one that needs a password)", name_of(pem));
    const bool is_used = SSL_CTX_use_PrivateKey(ssl, key) == 1;
    EVP_PKEY_free(key);
    if (!is_used || SSL_CTX_check_private_key(ssl) != 1) return fail_openssl(m, name_of(pem));
    return true;
}

static bool use_identity(maker *m, SSL_CTX *ssl, const lh_tls_identity *identity) {
    if (!identity->certificate) {
        return !identity->key || fail(m, "%s: a key without a certificate", name_of(identity->key));
    }
    BIO *bio = open_pem(m, identity->certificate);
    if (!bio) return false;
    const bool is_used = use_chain(m, ssl, bio, name_of(identity->certificate));
    BIO_free(bio);
    return is_used && use_key(m, ssl, identity->key ? identity->key : identity->certificate);
}

static bool trust_certificates(maker *m, BIO *bio) {
    X509_STORE *store = SSL_CTX_get_cert_store(m->context->ssl);
    int count = 0;
    for (X509 *ca; (ca = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL)); count++) {
        X509_STORE_add_cert(store, ca);
        if (m->config->is_server) SSL_CTX_add_client_CA(m->context->ssl, ca);
        X509_free(ca);
    }
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN); /* each of them is trusted, not only roots */
    return count > 0 || fail(m, "%s: no certificate in it", name_of(m->config->ca));
}

/* A server that asks nobody for a certificate. */
static bool asks_nobody(const lh_tls_config *config) {
    return config->is_server && !config->requests_certificate && !config->requires_certificate;
}

static const char *environment_or(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

/* Its file and its directories are noted, but not the files in them: the tools that maintain that store replace them.
 */
static bool use_system_store(maker *m) {
    char directories[PATH_MAX], *rest = directories;
    snprintf(directories, sizeof(directories), "%s",
             environment_or(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
    for (char *one; (one = strsep(&rest, ":"));) note_path(m->context, one);
    note_path(m->context, environment_or(X509_get_default_cert_file_env(), X509_get_default_cert_file()));
    return SSL_CTX_set_default_verify_paths(m->context->ssl) == 1 || fail(m, "no system store");
}

static bool use_directory(maker *m, const char *path) {
    note_path(m->context, path);
    lh_hashed_files(path, note_hashed_file, m->context);
    return SSL_CTX_load_verify_dir(m->context->ssl, path) == 1 || fail_openssl(m, path);
}

static bool use_authorities(maker *m) {
    const char *ca = m->config->ca;
    struct stat status;
    if (!ca && asks_nobody(m->config)) return true; /* the system's are many: reading them takes tens of milliseconds */
    if (!ca) return use_system_store(m);
    if (!is_text(ca) && stat(ca, &status) == 0 && S_ISDIR(status.st_mode)) return use_directory(m, ca);
    BIO *bio = open_pem(m, ca);
    if (!bio) return false;
    const bool is_used = trust_certificates(m, bio);
    BIO_free(bio);
    return is_used;
}

static bool use_revocations(maker *m) {
    if (!m->config->crl) return true;
    BIO *bio = open_pem(m, m->config->crl);
    if (!bio) return false;
    X509_STORE *store = SSL_CTX_get_cert_store(m->context->ssl);
    int count = 0;
    for (X509_CRL *crl; (crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL)); count++) {
        X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
    }
    BIO_free(bio);
    if (count == 0) return fail(m, "%s: no revocation list in it", name_of(m->config->crl));
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return true;
}

/* -- Protocol ------------------------------------------------------------------------------------------------------ */

bool lh_tls_use_versions(SSL_CTX *ssl, unsigned versions) {
    static const uint64_t off[] = {SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1, SSL_OP_NO_TLSv1_2, SSL_OP_NO_TLSv1_3};
    int first = 0, last = 0;
    for (int i = 0; i < 4; i++) {
        if (!(versions & (1u << i))) {
            SSL_CTX_set_options(ssl, off[i]);
            continue;
        }
        if (!first) first = FIRST_VERSION + i;
        last = FIRST_VERSION + i;
    }
    /* OpenSSL 3 has no cipher for the old ones at its usual security level; who names them wants them. */
    if (first < TLS1_2_VERSION) SSL_CTX_set_security_level(ssl, 0);
    return SSL_CTX_set_min_proto_version(ssl, first) == 1 && SSL_CTX_set_max_proto_version(ssl, last) == 1;
}

/* The names of TLS 1.3 are another list in OpenSSL; each list takes only its own. */
static bool use_ciphers(maker *m) {
    if (!m->config->ciphers) return true;
    char *copy = lh_alloc_copy(m->config->ciphers, strlen(m->config->ciphers)), *rest = copy;
    lh_buffer old = {0}, new = {0};
    int rv = 0;
    for (char *name; (name = strsep(&rest, ":, "));) {
        if (!*name) continue;
        lh_buffer *list = strncmp(name, "TLS_", 4) == 0 ? &new : &old;
        rv |= lh_buffer_print(list, "%s%s", list->length > 0 ? ":" : "", name);
    }
    rv |= lh_buffer_append(&old, "", 1) | lh_buffer_append(&new, "", 1); /* the NULs */
    const bool is_good = rv == 0 &&
                         (old.length == 1 || SSL_CTX_set_cipher_list(m->context->ssl, lh_buffer_bytes(&old)) == 1) &&
                         (new.length == 1 || SSL_CTX_set_ciphersuites(m->context->ssl, lh_buffer_bytes(&new)) == 1);
    lh_free(copy);
    lh_buffer_reset(&old);
    lh_buffer_reset(&new);
    return is_good || fail(m, "ciphers: none known in %s", m->config->ciphers);
}

static int select_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
                           unsigned offered_length, void *argument) {
    (void)ssl;
    const lh_tls_context *context = argument;
    unsigned char *found;
    const int rv = SSL_select_next_proto(&found, length, (const unsigned char *)context->alpn,
                                         (unsigned)context->alpn_length, offered, offered_length);
    if (rv != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301, 3.2 */
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static bool use_protocols(maker *m) {
    const lh_tls_config *config = m->config;
    if (config->alpn_length == 0) return true;
    m->context->alpn = lh_alloc_copy(config->alpn, config->alpn_length);
    m->context->alpn_length = config->alpn_length;
    if (config->is_server) {
        SSL_CTX_set_alpn_select_cb(m->context->ssl, select_protocol, m->context);
        return true;
    }
    return SSL_CTX_set_alpn_protos(m->context->ssl, (const unsigned char *)config->alpn,
                                   (unsigned)config->alpn_length) == 0 ||
           fail(m, "alpn: not accepted");
}

/* -- Verifying ----------------------------------------------------------------------------------------------------- */

bool lh_tls_is_unknown_issuer(int reason) {
    switch (reason) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED: return true;
    default: return false;
    }
}

static bool is_date(int reason) {
    return reason == X509_V_ERR_CERT_NOT_YET_VALID || reason == X509_V_ERR_CERT_HAS_EXPIRED ||
           reason == X509_V_ERR_CRL_NOT_YET_VALID || reason == X509_V_ERR_CRL_HAS_EXPIRED;
}

static int context_index; /* where an SSL_CTX keeps its lh_tls_context */
static int link_index;    /* where an SSL keeps its lh_tls_link */

static lh_tls_context *context_of(const SSL *ssl) { return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index); }

static void note(lh_tls_link *link, int reason, bool is_refused, X509 *certificate) {
    if (link->verify_error == X509_V_OK || is_refused) link->verify_error = reason;
    if (certificate && !link->refused && X509_up_ref(certificate) == 1) link->refused = certificate;
}

static int on_verified(int is_good, X509_STORE_CTX *store) {
    if (is_good) return 1;
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const lh_tls_context *context = context_of(ssl);
    const int reason = X509_STORE_CTX_get_error(store);
    const bool is_accepted = !context->is_verifying ||
                             (context->accepts_unknown_issuer && lh_tls_is_unknown_issuer(reason)) ||
                             (context->ignores_dates && is_date(reason));
    note(SSL_get_ex_data(ssl, link_index), reason, !is_accepted, X509_STORE_CTX_get0_cert(store));
    return is_accepted;
}

static void use_verification(maker *m) {
    const lh_tls_config *config = m->config;
    lh_tls_context *context = m->context;
    context->is_verifying = config->is_verifying;
    context->accepts_unknown_issuer = config->accepts_unknown_issuer;
    context->ignores_dates = config->ignores_dates;
    int mode = SSL_VERIFY_PEER;
    if (asks_nobody(config)) mode = SSL_VERIFY_NONE;
    if (config->requires_certificate) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context->ssl, mode, on_verified);
}

/* -- Sessions ------------------------------------------------------------------------------------------------------ */

static void free_session(const lh_strmap_node *node, void *context) {
    (void)context;
    SSL_SESSION_free(node->value);
}

static void forget_sessions(lh_tls_context *context) {
    lh_strmap_each(&context->sessions, free_session, NULL);
    lh_strmap_fini(&context->sessions);
    context->sessions = (lh_strmap){0};
}

/* The server has sent a ticket. Returns 1: the session is ours to free. */
static int on_new_session(SSL *ssl, SSL_SESSION *session) {
    const lh_tls_link *link = SSL_get_ex_data(ssl, link_index);
    lh_tls_context *context = context_of(ssl);
    const char *peer = link->peer;
    if (!peer) return 0;
    if (context->sessions.count >= SESSIONS_MAX) forget_sessions(context);
    void **slot = lh_strmap_slot(&context->sessions, peer, strlen(peer));
    SSL_SESSION_free(*slot);
    *slot = session;
    return 1;
}

/* A session that is resumed verifies nothing: a certificate that has expired since then would be accepted. */
static bool has_expired(const lh_tls_context *context, SSL_SESSION *session) {
    if (!context->is_verifying || context->ignores_dates) return false;
    X509 *certificate = SSL_SESSION_get0_peer(session);
    return certificate && X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

/* A ticket of TLS 1.3 is used once (RFC 8446, C.4); older sessions come back with the next ticket or not at all. */
static SSL_SESSION *take_session(lh_tls_context *context, const char *peer) {
    const size_t length = strlen(peer);
    SSL_SESSION *session = lh_strmap_get(&context->sessions, peer, length);
    if (!session) return NULL;
    if (has_expired(context, session)) {
        SSL_SESSION_free(lh_strmap_remove(&context->sessions, peer, length));
        return NULL;
    }
    if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION) {
        return lh_strmap_remove(&context->sessions, peer, length);
    }
    SSL_SESSION_up_ref(session);
    return session;
}

static void set_up(void) {
    context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    link_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* A client comes back with a ticket. Without this callback OpenSSL does the same, but for certificates that expired. */
static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_length,
                                   SSL_TICKET_STATUS status, void *argument) {
    (void)name, (void)name_length;
    switch (status) {
    case SSL_TICKET_SUCCESS:
        if (has_expired(argument, session)) return SSL_TICKET_RETURN_IGNORE_RENEW;
        return SSL_version(ssl) < TLS1_3_VERSION ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW; /* used once */
    case SSL_TICKET_SUCCESS_RENEW:
        return has_expired(argument, session) ? SSL_TICKET_RETURN_IGNORE_RENEW : SSL_TICKET_RETURN_USE_RENEW;
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT: return SSL_TICKET_RETURN_IGNORE_RENEW;
    default: return SSL_TICKET_RETURN_ABORT;
    }
}

/* A ticket counts only for the configuration that gave it out, and for the files as they were then: another
 * authority, or a later revocation list, may not let that client in. All threads read the same files, so they agree. */
static bool mark_sessions(maker *m, const char *key, size_t length) {
    lh_buffer marks = {0};
    int rv = lh_buffer_append(&marks, key, length);
    for (const source *s = m->context->sources; s; s = s->next) {
        rv |= lh_file_mark(&marks, s->path, &s->status);
    }
    unsigned char *id = m->context->session_id;
    if (rv >= 0) SHA256((const unsigned char *)lh_buffer_bytes(&marks), marks.length, id);
    lh_buffer_reset(&marks);
    return (rv >= 0 && SSL_CTX_set_session_id_context(m->context->ssl, id, sizeof(m->context->session_id)) == 1) ||
           fail(m, "not enough memory");
}

static bool use_sessions(maker *m, const char *key, size_t length) {
    SSL_CTX *ssl = m->context->ssl;
    if (!m->config->is_server) {
        SSL_CTX_set_post_handshake_auth(ssl, 1); /* a server may ask for the certificate later (RFC 8446, 4.6.2) */
        SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ssl, on_new_session);
        return true;
    }
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* tickets need none */
    if (!lh_ticket_keys_use(ssl)) return fail_openssl(m, "sessions");
    SSL_CTX_set_session_ticket_cb(ssl, NULL, on_ticket, m->context);
    return mark_sessions(m, key, length);
}

/* -- Names --------------------------------------------------------------------------------------------------------- */

static bool is_name(const char *pattern, const char *name) {
    if (strcasecmp(pattern, name) == 0) return true;
    if (strncmp(pattern, "*.", 2) != 0) return false;
    const char *dot = strchr(name, '.');
    return dot && dot != name && strcasecmp(pattern + 1, dot) == 0;
}

/* Exact names before patterns. */
static const host *find_host(const lh_tls_context *context, const char *name) {
    const host *found = NULL;
    for (size_t i = 0; i < context->host_count; i++) {
        const host *h = &context->hosts[i];
        if (!is_name(h->name, name)) continue;
        if (h->name[0] != '*') return h;
        if (!found) found = h;
    }
    return found;
}

static int on_server_name(SSL *ssl, int *alert, void *argument) {
    const lh_tls_context *context = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const host *found = name ? find_host(context, name) : NULL;
    if (found) {
        SSL_set_SSL_CTX(ssl, found->ssl);
    } else if (!context->has_identity) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* A connection that goes over to a host's SSL_CTX takes certificate, store and protocols from there. */
static bool add_host(maker *m, host *h, const lh_tls_identity *identity) {
    lh_tls_context *context = m->context;
    h->name = lh_alloc_copy(identity->name, strlen(identity->name));
    h->ssl = SSL_CTX_new(TLS_server_method());
    if (!h->ssl) return fail_openssl(m, "OpenSSL");
    SSL_CTX_set_session_id_context(h->ssl, context->session_id, sizeof(context->session_id));
    SSL_CTX_set_ex_data(h->ssl, context_index, context);
    SSL_CTX_set1_cert_store(h->ssl, SSL_CTX_get_cert_store(context->ssl));
    SSL_CTX_set_client_CA_list(h->ssl, SSL_dup_CA_list(SSL_CTX_get_client_CA_list(context->ssl)));
    if (context->alpn) SSL_CTX_set_alpn_select_cb(h->ssl, select_protocol, context);
    return (identity->certificate || fail(m, "%s: a host needs a certificate", identity->name)) &&
           use_identity(m, h->ssl, identity);
}

static bool use_hosts(maker *m) {
    const lh_tls_config *config = m->config;
    lh_tls_context *context = m->context;
    context->has_identity = config->identity.certificate != NULL;
    if (!context->has_identity && config->host_count == 0) return fail(m, "a server needs a certificate");
    if (config->host_count == 0) return true;
    context->hosts = lh_alloc(config->host_count * sizeof(host));
    for (size_t i = 0; i < config->host_count; i++) {
        context->host_count++;
        if (!add_host(m, &context->hosts[i], &config->hosts[i])) return false;
    }
    SSL_CTX_set_tlsext_servername_callback(context->ssl, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(context->ssl, context);
    return true;
}

/* -- Making and keeping -------------------------------------------------------------------------------------------- */

static void free_context(lh_tls_context *context) {
    forget_sessions(context);
    for (size_t i = 0; i < context->host_count; i++) {
        lh_free(context->hosts[i].name);
        SSL_CTX_free(context->hosts[i].ssl);
    }
    lh_free(context->hosts);
    lh_free(context->alpn);
    for (source *s; (s = context->sources);) {
        context->sources = s->next;
        lh_free(s);
    }
    SSL_CTX_free(context->ssl);
    lh_free(context);
}

void lh_tls_context_hold(lh_tls_context *context) { context->holds++; }

void lh_tls_context_release(lh_tls_context *context) {
    if (--context->holds == 0) free_context(context);
}

static bool fill(maker *m, const char *key, size_t length) {
    lh_tls_context *context = m->context;
    const lh_tls_config *config = m->config;
    ERR_clear_error();
    context->is_server = config->is_server;
    context->ssl = SSL_CTX_new(config->is_server ? TLS_server_method() : TLS_client_method());
    if (!context->ssl) return fail_openssl(m, "OpenSSL");
    SSL_CTX_set_ex_data(context->ssl, context_index, context);
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    if (config->prefers_own_ciphers) SSL_CTX_set_options(context->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(context->ssl, 1);
    use_verification(m);
    if (!lh_tls_use_versions(context->ssl, config->versions)) return fail_openssl(m, "versions");
    return use_ciphers(m) && use_protocols(m) && use_identity(m, context->ssl, &config->identity) &&
           use_authorities(m) && use_revocations(m) && use_sessions(m, key, length) &&
           (!config->is_server || use_hosts(m));
}

static int add_field(lh_buffer *key, const char *bytes, size_t length) {
    const int rv = lh_buffer_print(key, bytes ? "%zu:" : "-:", length);
    return rv < 0 || !bytes ? rv : lh_buffer_append(key, bytes, length);
}

static int add_text(lh_buffer *key, const char *text) { return add_field(key, text, text ? strlen(text) : 0); }

static int add_identity(lh_buffer *key, const lh_tls_identity *identity) {
    return add_text(key, identity->name) | add_text(key, identity->certificate) | add_text(key, identity->key);
}

/* 0, or negative: out of memory. */
static int spell(lh_buffer *key, const lh_tls_config *config) {
    int rv = lh_buffer_print(key, "%d %u %d %d %d %d %d %d ", config->is_server, config->versions,
                             config->prefers_own_ciphers, config->is_verifying, config->accepts_unknown_issuer,
                             config->ignores_dates, config->requests_certificate, config->requires_certificate);
    rv |= add_identity(key, &config->identity) | add_text(key, config->ca) | add_text(key, config->crl);
    rv |= add_text(key, config->ciphers) | add_field(key, config->alpn, config->alpn_length);
    for (size_t i = 0; i < config->host_count; i++) rv |= add_identity(key, &config->hosts[i]);
    return rv;
}

static void release_node(const lh_strmap_node *node, void *context) {
    (void)context;
    if (node->value) lh_tls_context_release(node->value);
}

static void forget_contexts(struct lh_tls_contexts *contexts) {
    lh_strmap_each(&contexts->by_config, release_node, NULL);
    lh_strmap_fini(&contexts->by_config);
    contexts->by_config = (lh_strmap){0};
}

static struct lh_tls_contexts *cache_of(lh_net *net) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
    if (!net->tls_contexts) net->tls_contexts = lh_alloc(sizeof(*net->tls_contexts));
    return net->tls_contexts;
}

static lh_tls_context *make(const lh_tls_config *config, const lh_buffer *key, char error[LH_TLS_ERROR_MAX]) {
    maker m = {.context = lh_alloc(sizeof(lh_tls_context)), .config = config, .error = error};
    m.context->holds = 1;
    if (fill(&m, lh_buffer_bytes(key), key->length)) return m.context;
    lh_tls_context_release(m.context);
    return NULL;
}

static lh_tls_context *get(struct lh_tls_contexts *contexts, const lh_tls_config *config, const lh_buffer *key,
                           char error[LH_TLS_ERROR_MAX]) {
    const char *bytes = lh_buffer_bytes(key);
    lh_tls_context *found = lh_strmap_get(&contexts->by_config, bytes, key->length);
    if (found && lh_tls_context_is_current(found)) return found;
    if (found) lh_tls_context_release(lh_strmap_remove(&contexts->by_config, bytes, key->length));
    lh_tls_context *made = make(config, key, error);
    if (!made) return NULL;
    if (contexts->by_config.count >= CONTEXTS_MAX) forget_contexts(contexts);
    *lh_strmap_slot(&contexts->by_config, bytes, key->length) = made;
    return made;
}

lh_tls_context *lh_tls_context_get(lh_net *net, const lh_tls_config *config, char error[LH_TLS_ERROR_MAX]) {
    struct lh_tls_contexts *contexts = cache_of(net);
    lh_buffer key = {0};
    lh_tls_context *context = NULL;
    if (spell(&key, config) < 0) {
        snprintf(error, LH_TLS_ERROR_MAX, "not enough memory");
    } else {
        context = get(contexts, config, &key, error);
    }
    lh_buffer_reset(&key);
    return context;
}

void lh_tls_contexts_close(lh_net *net) {
    if (!net->tls_contexts) return;
    forget_contexts(net->tls_contexts);
    lh_free(net->tls_contexts);
    net->tls_contexts = NULL;
}

SSL *lh_tls_context_connect(lh_tls_context *context, lh_tls_link *link) {
    SSL *ssl = SSL_new(context->ssl);
    if (!ssl || SSL_set_ex_data(ssl, link_index, link) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    lh_tls_context_hold(context);
    if (context->is_server) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    SSL_SESSION *session = link->peer ? take_session(context, link->peer) : NULL;
    if (session) SSL_set_session(ssl, session);
    SSL_SESSION_free(session);
    return ssl;
}

bool lh_tls_context_is_server(const lh_tls_context *context) { return context->is_server; }
