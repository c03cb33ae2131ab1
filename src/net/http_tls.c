/* Settings of TLS in curl's terms.
 *
 * Two caches of curl's know less than all of the settings: its sessions (CVE-2016-5420) and its pool of connections.
 * The text of lh_http_tls_spell has all of them, with what tells whether a file has changed; it is the key of both. */
#include "net/http_tls.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "net/file_mark.h"
#include "net/openssl.h"
#include "net/tls_context.h"

static bool is_text(const char *pem) { return strchr(pem, '\n') != NULL; }

/* -- Setting ------------------------------------------------------------------------------------------------------- */

static void set_pem(CURL *easy, CURLoption file_option, CURLoption blob_option, const char *pem) {
    if (!pem) return;
    if (is_text(pem)) {
        struct curl_blob blob = {.data = (void *)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};
        curl_easy_setopt(easy, blob_option, &blob);
    } else {
        curl_easy_setopt(easy, file_option, pem);
    }
}

/* The directory of certificates to trust, NULL: none. For the system's store it is curl's own. */
static const char *set_authorities(CURL *easy, const char *ca) {
    struct stat status;
    char *systems = NULL;
    if (!ca) {
        curl_easy_getinfo(easy, CURLINFO_CAPATH, &systems); /* never what was set */
        return systems;
    }
    const bool is_directory = !is_text(ca) && stat(ca, &status) == 0 && S_ISDIR(status.st_mode);
    if (is_directory) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    } else {
        set_pem(easy, CURLOPT_CAINFO, CURLOPT_CAINFO_BLOB, ca);
    }
    curl_easy_setopt(easy, CURLOPT_CAPATH, is_directory ? ca : NULL);
    return is_directory ? ca : NULL;
}

/* What curl cannot say by their lowest and highest: one between that is not to be, and old ones, for which OpenSSL 3
 * has no cipher unless told so. */
static bool has_unusual_versions(unsigned versions) {
    if (versions == 0) return false;
    const unsigned run = versions >> __builtin_ctz(versions);
    return (run & (run + 1)) != 0 || (versions & (LH_TLS_1_0 | LH_TLS_1_1)) != 0;
}

static void set_versions(CURL *easy, unsigned versions) {
    static const long lowest[] = {CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_TLSv1_2,
                                  CURL_SSLVERSION_TLSv1_3};
    static const long highest[] = {CURL_SSLVERSION_MAX_TLSv1_0, CURL_SSLVERSION_MAX_TLSv1_1,
                                   CURL_SSLVERSION_MAX_TLSv1_2, CURL_SSLVERSION_MAX_TLSv1_3};
    versions &= LH_TLS_1_0 | LH_TLS_1_1 | LH_TLS_1_2 | LH_TLS_1_3;
    if (versions == 0) return;
    const int low = __builtin_ctz(versions), high = 31 - __builtin_clz(versions);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, lowest[low] | highest[high]);
}

/* curl looks at the result once more, so it must not stay. */
static int accept_unknown_issuer(int is_good, X509_STORE_CTX *store) {
    if (is_good) return 1;
    if (!lh_tls_is_unknown_issuer(X509_STORE_CTX_get_error(store))) return 0;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static CURLcode on_ssl_context(CURL *easy, void *context, void *settings) {
    (void)easy;
    const lh_http_tls *tls = settings;
    SSL_CTX *ssl = context;
    if (tls->ignores_dates) X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_NO_CHECK_TIME);
    if (tls->accepts_unknown_issuer) SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, accept_unknown_issuer);
    if (!has_unusual_versions(tls->versions)) return CURLE_OK;
    if (!lh_tls_use_versions(ssl, tls->versions)) return CURLE_SSL_CONNECT_ERROR;
    /* Again: the list may say how strong certificates are to be (@SECLEVEL), which old versions have just lowered. */
    return !tls->ciphers || SSL_CTX_set_cipher_list(ssl, tls->ciphers) == 1 ? CURLE_OK : CURLE_SSL_CIPHER;
}

/* -- Spelling ------------------------------------------------------------------------------------------------------ */

typedef struct spelling {
    lh_buffer *to;
    int rv;
} spelling;

static void spell_hashed_file(void *context, const char *path, const struct stat *status) {
    spelling *s = context;
    s->rv |= lh_file_mark(s->to, path, status);
}

/* 0 or -ENOMEM. */
static int spell_path(lh_buffer *to, const char *path, const struct stat *status) {
    spelling s = {.to = to, .rv = lh_file_mark(to, path, status)};
    if (S_ISDIR(status->st_mode)) lh_hashed_files(path, spell_hashed_file, &s);
    return s.rv;
}

/* 0 or -ENOMEM. What is not there is spelled as such. */
static int spell_pem(lh_buffer *to, const char *pem, bool *has_files) {
    struct stat status;
    if (!pem) return lh_buffer_print(to, " -");
    if (is_text(pem)) return lh_buffer_print(to, " %zu:%s", strlen(pem), pem);
    *has_files = true;
    return stat(pem, &status) == 0 ? spell_path(to, pem, &status) : lh_buffer_print(to, " !%s", pem);
}

static int spell_text(lh_buffer *to, const char *text) { return lh_buffer_print(to, " %s", text ? text : "-"); }

int lh_http_tls_spell(lh_buffer *to, const lh_http_tls *tls, bool *has_files) {
    return lh_buffer_print(to, "%d %d %d %u", tls->is_verifying, tls->accepts_unknown_issuer, tls->ignores_dates,
                           tls->versions) |
           spell_text(to, tls->ciphers) | spell_text(to, tls->ciphers_13) | spell_pem(to, tls->certificate, has_files) |
           spell_pem(to, tls->key, has_files) | spell_pem(to, tls->ca, has_files) | spell_pem(to, tls->crl, has_files);
}

/* -- All of it ----------------------------------------------------------------------------------------------------- */

/* curl's pool gives a connection to whoever has the same settings as far as it looks: not at the key, the versions'
 * upper end, what a file holds. It does look at the path of certificates: so that gets an entry which is nowhere, and
 * has all of them in its name, beside `authorities`. */
static void separate_connections(CURL *easy, const lh_buffer *verification, const char *authorities) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    lh_buffer path = {0};
    SHA256((const unsigned char *)lh_buffer_bytes(verification), verification->length, digest);
    int rv = authorities ? lh_buffer_print(&path, "%s:", authorities) : 0;
    rv |= lh_buffer_print(&path, "/dev/null/");
    for (size_t i = 0; i < sizeof(digest); i++) rv |= lh_buffer_print(&path, "%02x", digest[i]);
    rv |= lh_buffer_append(&path, "", 1);
    if (rv < 0 || verification->length == 0) { /* no memory: a connection for this request alone */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_CAPATH, lh_buffer_bytes(&path));
    }
    lh_buffer_reset(&path);
}

void lh_http_tls_set(CURL *easy, const lh_http_tls *tls, const lh_buffer *verification, CURLSH *sessions) {
    if (sessions) {
        curl_easy_setopt(easy, CURLOPT_SHARE, sessions);
    } else {
        curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    }
    if (!tls->is_verifying) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    const char *authorities = set_authorities(easy, tls->ca);
    if (tls->ca) curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* a file is read again: it may have changed */
    set_pem(easy, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB, tls->certificate);
    set_pem(easy, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB, tls->key ? tls->key : tls->certificate);
    if (tls->crl) curl_easy_setopt(easy, CURLOPT_CRLFILE, tls->crl);
    if (tls->ciphers) curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, tls->ciphers);
    if (tls->ciphers_13) curl_easy_setopt(easy, CURLOPT_TLS13_CIPHERS, tls->ciphers_13);
    set_versions(easy, tls->versions);
    if (tls->ignores_dates || tls->accepts_unknown_issuer || has_unusual_versions(tls->versions)) {
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_context);
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, (void *)(uintptr_t)tls);
    }
    separate_connections(easy, verification, authorities);
}
