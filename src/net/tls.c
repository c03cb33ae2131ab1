/* OpenSSL reads and writes through a BIO of ours, not through the descriptor: so it never makes a call that would only
 * say EAGAIN, and what it writes in one call of ours (the records of a long write, a flight of the handshake) goes to
 * the kernel in one piece, by way of the thread's batch. What the kernel does not take at once is kept by the
 * connection, `unsent`, and goes first when it takes more.
 *
 * A socket's `is_readable` means here that SSL_read may have something: it is cleared when SSL_read wants more. */
#include "net/tls.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "net/openssl.h"
#include "net/stream.h"
#include "net/tls_context.h"
#include "net/tls_name.h"

enum {
    RECORD_BYTES = 16 * 1024, /* plain bytes of the longest record */
    RECORDS = 4,              /* in a batch */
    BATCH_BYTES = RECORDS * (RECORD_BYTES + 512),
    READS_MAX = 4096,          /* in one turn: a record may have one byte */
    BUDGET = 256 * 1024,       /* plain bytes per call, as in stream.c */
    BARREN_MAX = RECORD_BYTES, /* more is no record that is late, but requests to change keys, say, which cost much */
    UNSENT_MAX = 256 * 1024,   /* then reading, too, waits until the peer takes something */
    PEER_MAX = LH_ADDRESS_TEXT_MAX + 300, /* a host name has 255 bytes at most */
};

struct lh_tls {
    SSL *ssl;
    lh_socket *socket; /* NULL: it is closed */
    lh_tls_context *context;
    lh_buffer early;  /* received before the socket spoke TLS, not yet given to OpenSSL */
    lh_buffer unsent; /* encrypted, not yet taken by the kernel */
    size_t batched;   /* bytes of ours in the net's batch, while a call is at work */
    unsigned holds;   /* the socket's, and others' */
    lh_tls_link link;
    int send_error;               /* errno that ended writing, 0 = none */
    int receive_error;            /* errno that ended reading, 0 = none */
    bool is_established;          /* the handshake is over */
    size_t barren;                /* bytes received in this call of which nothing came that a reader gets */
    bool is_drained;              /* the kernel has nothing: it said so in this call */
    bool is_sated;                /* enough was received for this turn */
    bool is_cut;                  /* the kernel's end of file */
    bool is_ended;                /* our close_notify was sent, or cannot be any more */
    bool awaits_room;             /* OpenSSL cannot go on reading before `unsent` is gone */
    char *name;                   /* the peer's, NULL = unknown */
    char error[LH_TLS_ERROR_MAX]; /* "" = none */
};

/* -- The batch ----------------------------------------------------------------------------------------------------- */

static void keep_unsent(lh_tls *tls, const char *bytes, size_t length) {
    if (lh_buffer_append(&tls->unsent, bytes, length) < 0) tls->send_error = ENOMEM;
}

/* Gives the kernel `length` bytes; returns how many it took. */
static size_t send_now(lh_tls *tls, const char *bytes, size_t length) {
    size_t sent = 0;
    assert(lh_socket_is_mine(tls->socket));
    while (sent < length && !tls->send_error) {
        const ssize_t n = send(tls->socket->watch.fd, bytes + sent, length - sent, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            tls->socket->is_writable = false;
            break;
        } else if (errno != EINTR) {
            tls->send_error = errno;
        }
    }
    return sent;
}

static void flush_batch(lh_tls *tls) {
    const size_t length = tls->batched;
    if (length == 0) return;
    assert(length <= BATCH_BYTES);
    tls->batched = 0;
    const char *batch = tls->socket->net->tls_batch;
    const size_t sent = tls->unsent.length == 0 ? send_now(tls, batch, length) : 0;
    if (!tls->send_error && sent < length) keep_unsent(tls, batch + sent, length - sent);
}

static void flush_unsent(lh_tls *tls) {
    if (tls->unsent.length == 0) return;
    lh_buffer_consume(&tls->unsent, send_now(tls, lh_buffer_bytes(&tls->unsent), tls->unsent.length));
    if (tls->send_error) lh_buffer_reset(&tls->unsent);
    lh_buffer_relax(&tls->unsent);
}

/* -- OpenSSL's way to the socket ----------------------------------------------------------------------------------- */

static int take_early(lh_tls *tls, char *to, size_t room) {
    const size_t n = room < tls->early.length ? room : tls->early.length;
    memcpy(to, lh_buffer_bytes(&tls->early), n);
    lh_buffer_consume(&tls->early, n);
    lh_buffer_relax(&tls->early);
    return (int)n;
}

static int bio_read(BIO *bio, char *to, int room) {
    lh_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->early.length > 0) return take_early(tls, to, (size_t)room);
    if (!tls->socket || tls->receive_error) return -1;
    if (tls->is_cut) return 0;
    if (tls->is_drained) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (tls->barren > BARREN_MAX) {
        tls->is_sated = true;
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t n;
    do {
        n = recv(tls->socket->watch.fd, to, (size_t)room, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        tls->barren += (size_t)n;
        if (n < room && !tls->socket->has_hangup) tls->is_drained = true;
        return (int)n;
    }
    if (n == 0) {
        tls->is_cut = true;
        return 0;
    }
    if (errno == EAGAIN) {
        tls->is_drained = true;
        BIO_set_retry_read(bio);
    } else {
        tls->receive_error = errno;
    }
    return -1;
}

static int bio_write(BIO *bio, const char *bytes, int count) {
    lh_tls *tls = BIO_get_data(bio);
    const size_t length = (size_t)count;
    BIO_clear_retry_flags(bio);
    if (!tls->socket || tls->send_error) return -1;
    if (tls->unsent.length > UNSENT_MAX) {
        BIO_set_retry_write(bio);
        return -1;
    }
    if (tls->batched + length > BATCH_BYTES) flush_batch(tls);
    if (length > BATCH_BYTES) {
        keep_unsent(tls, bytes, length);
        flush_unsent(tls);
    } else {
        assert(tls->batched + length <= BATCH_BYTES);
        memcpy(tls->socket->net->tls_batch + tls->batched, bytes, length);
        tls->batched += length;
    }
    return count;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)number;
    (void)pointer;
    const lh_tls *tls = BIO_get_data(bio);
    if (command == BIO_CTRL_FLUSH) return 1; /* done when the call of ours ends */
    if (command == BIO_CTRL_EOF) return tls->is_cut;
    return 0;
}

static BIO_METHOD *bio_method;

static void set_up(void) {
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "lhotse socket");
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_ctrl(bio_method, bio_control);
}

static void set_up_once(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
}

/* -- A call of ours into OpenSSL ----------------------------------------------------------------------------------- */

static void begin(lh_tls *tls) {
    assert(tls->socket && tls->socket->layered == tls && lh_socket_is_mine(tls->socket));
    assert(tls->batched == 0); /* the batch is the thread's: it is empty between calls */
    tls->is_drained = tls->is_sated = false;
    tls->barren = 0;
    flush_unsent(tls);
    ERR_clear_error(); /* SSL_get_error looks at the thread's whole queue */
}

static void describe(lh_tls *tls, const char *what) { snprintf(tls->error, sizeof(tls->error), "%s", what); }

static void describe_errno(lh_tls *tls, int error) { describe(tls, lh_error_text(error)); }

/* What `reason` (of SSL_get_error) means in words; the errno that is to end the socket. */
static int explain(lh_tls *tls, int reason) {
    const unsigned long code = ERR_peek_error();
    const int error = tls->receive_error ? tls->receive_error : tls->send_error;
    if (tls->is_cut && (reason == SSL_ERROR_SYSCALL || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
        describe(tls, tls->is_established ? "the peer closed the connection without ending TLS"
                                          : "the peer closed the connection during the TLS handshake");
        return EPROTO;
    }
    if (error) {
        describe_errno(tls, error);
        return error;
    }
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    if (tls->link.verify_error && ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        text = X509_verify_cert_error_string(tls->link.verify_error);
    }
    describe(tls, text ? text : "TLS failed");
    return EPROTO;
}

/* A call of OpenSSL's did not do: true = it has to wait, and `socket->is_readable` says so. (It is readable where the
 * next turn shall go on.) */
static bool is_waiting(lh_tls *tls, int reason) {
    if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) return false;
    if (reason == SSL_ERROR_WANT_WRITE) tls->awaits_room = true;
    tls->socket->is_readable = reason == SSL_ERROR_WANT_READ && tls->is_sated;
    if (tls->socket->is_readable) lh_socket_end_turn(tls->socket);
    return true;
}

/* -- Beginning ----------------------------------------------------------------------------------------------------- */

/* SNI is for host names only (RFC 6066, 3). */
static bool set_name(SSL *ssl, const char *name) {
    X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);
    if (lh_tls_name_is_ip(name)) return X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1;
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, name) == 1 && X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1;
}

static char *peer_key(const lh_socket *socket, const char *name) {
    lh_address address;
    char host[LH_ADDRESS_TEXT_MAX] = "", key[PEER_MAX];
    if (lh_socket_peer_address(socket, &address) == 0) lh_address_host(&address, host);
    const int length = snprintf(key, sizeof(key), "%s %u %s", host, lh_address_port(&address), name ? name : "");
    return lh_alloc_copy(key, (size_t)length < sizeof(key) ? (size_t)length : sizeof(key) - 1);
}

static bool connect_to_socket(lh_tls *tls) {
    BIO *bio = BIO_new(bio_method);
    if (!bio) return false;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    return true;
}

static int move_input(lh_tls *tls) {
    lh_socket *socket = tls->socket;
    const int rv = lh_net_claim_scratch(socket->net);
    if (rv < 0) return rv;
    assert(!socket->net->borrower);
    tls->early = socket->in;
    socket->in = (lh_buffer){0};
    socket->scanned_bytes = 0;
    return 0;
}

static int may_start(const lh_socket *socket) {
    if (socket->layer) return -EALREADY;
    if (socket->family == LH_SOCKET_PIPE || socket->type != SOCK_STREAM || socket->is_listening) return -EOPNOTSUPP;
    if (!socket->is_connected) return -ENOTCONN;
    return socket->error ? -socket->error : 0;
}

static int start(lh_tls *tls, lh_tls_context *context) {
    const bool is_client = !lh_tls_context_is_server(context);
    if (is_client) tls->link.peer = peer_key(tls->socket, tls->name);
    tls->ssl = lh_tls_context_connect(context, &tls->link);
    if (!tls->ssl) return -ENOMEM;
    tls->context = context;
    if (!connect_to_socket(tls) || (is_client && tls->name && !set_name(tls->ssl, tls->name))) return -ENOMEM;
    return move_input(tls);
}

static const lh_layer layer;

int lh_tls_start(lh_socket *socket, lh_tls_context *context, const char *name) {
    char read_name[LH_TLS_NAME_MAX];
    assert(lh_socket_is_mine(socket));
    int rv = may_start(socket);
    if (rv < 0) return rv;
    if (name && lh_tls_name_read(name, strlen(name), read_name)) return -EINVAL;
    set_up_once();
    if (!socket->net->tls_batch) socket->net->tls_batch = lh_alloc(BATCH_BYTES);
    lh_tls *tls = lh_alloc(sizeof(*tls));
    tls->holds = 1;
    tls->socket = socket;
    if (name) tls->name = lh_alloc_copy(read_name, strlen(read_name));
    rv = start(tls, context);
    if (rv < 0) {
        lh_tls_release(tls);
        return rv;
    }
    socket->layer = &layer;
    socket->layered = tls;
    return 0;
}

lh_tls *lh_tls_at(const lh_socket *socket) { return socket->layer == &layer ? socket->layered : NULL; }

int lh_tls_handshake(lh_socket *socket) {
    lh_tls *tls = socket->layered;
    if (socket->error) return -socket->error;
    begin(tls);
    const int rv = SSL_do_handshake(tls->ssl);
    const int reason = rv == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, rv);
    if (rv != 1 && !is_waiting(tls, reason)) {
        lh_socket_fail(socket, explain(tls, reason));
        flush_batch(tls); /* the alert that tells the peer why */
        return -socket->error;
    }
    flush_batch(tls);
    if (rv != 1) return LH_STREAM_WAIT;
    if (SSL_session_reused(tls->ssl)) tls->link.verify_error = (int)SSL_get_verify_result(tls->ssl);
    tls->is_established = true;
    socket->is_readable = true;
    return LH_STREAM_DONE;
}

/* -- Bytes --------------------------------------------------------------------------------------------------------- */

/* After a read that gave nothing more. */
static void end_reading(lh_tls *tls, int reason) {
    if (is_waiting(tls, reason)) return;
    if (reason == SSL_ERROR_ZERO_RETURN) {
        tls->socket->is_at_end = true;
    } else {
        lh_socket_fail(tls->socket, explain(tls, reason));
    }
}

static size_t tls_receive(lh_socket *socket, char *to, size_t room) {
    lh_tls *tls = socket->layered;
    size_t received = 0;
    begin(tls);
    for (int reads = 0; received < room; reads++) {
        size_t n;
        if (reads == READS_MAX) {
            lh_socket_end_turn(socket);
            break;
        }
        const int rv = SSL_read_ex(tls->ssl, to + received, room - received, &n);
        if (rv != 1) {
            end_reading(tls, SSL_get_error(tls->ssl, rv));
            break;
        }
        received += n;
        tls->barren = 0;
        assert(received <= room);
    }
    flush_batch(tls);
    return received;
}

/* Encrypts what fits a batch. 0, or the errno that ended the socket. */
static int write_batch(lh_tls *tls, const char *bytes, size_t length) {
    for (size_t written = 0; written < length;) {
        size_t n;
        const int rv = SSL_write_ex(tls->ssl, bytes + written, length - written, &n);
        if (rv != 1) {
            const int error = explain(tls, SSL_get_error(tls->ssl, rv));
            lh_socket_fail(tls->socket, error);
            return error;
        }
        written += n;
    }
    flush_batch(tls);
    return tls->send_error;
}

static int tls_write(lh_socket *socket, const char *bytes, size_t length, size_t *written) {
    lh_tls *tls = socket->layered;
    if (!tls->is_established) return -ENOTCONN;
    if (tls->is_ended) return -EPIPE;
    begin(tls);
    for (size_t budget = BUDGET; !tls->send_error;) {
        if (tls->unsent.length > 0) return LH_STREAM_WAIT;
        if (*written == length) return LH_STREAM_DONE;
        if (budget == 0) {
            lh_loop_again(&socket->net->loop, &socket->watch);
            return LH_STREAM_WAIT;
        }
        const size_t left = length - *written;
        const size_t count = left < RECORDS * RECORD_BYTES ? left : RECORDS * RECORD_BYTES;
        const int error = write_batch(tls, bytes + *written, count);
        if (error) return -error;
        *written += count;
        budget -= count < budget ? count : budget;
    }
    return -tls->send_error;
}

static void tls_on_writable(lh_socket *socket) {
    lh_tls *tls = socket->layered;
    flush_unsent(tls);
    if (tls->awaits_room && tls->unsent.length == 0) {
        tls->awaits_room = false;
        socket->is_readable = true;
    }
}

/* -- Ending -------------------------------------------------------------------------------------------------------- */

static void tls_end(lh_socket *socket) {
    lh_tls *tls = socket->layered;
    if (tls->is_ended || !tls->is_established || socket->error || tls->send_error) return;
    tls->is_ended = true;
    begin(tls);
    if (tls->unsent.length > 0) return; /* not without waiting */
    SSL_shutdown(tls->ssl);
    flush_batch(tls);
}

static void tls_leave(lh_socket *socket) {
    lh_tls *tls = socket->layered;
    assert(tls->socket == socket && tls->batched == 0);
    socket->layer = NULL;
    tls->socket = NULL;
    lh_buffer_reset(&tls->early);
    lh_buffer_reset(&tls->unsent);
    lh_tls_release(tls);
}

static const char *tls_error_text(const lh_socket *socket) { return lh_tls_error(socket->layered); }

static const lh_layer layer = {.receive = tls_receive,
                               .write = tls_write,
                               .on_writable = tls_on_writable,
                               .end = tls_end,
                               .leave = tls_leave,
                               .error_text = tls_error_text};

lh_tls *lh_tls_hold(lh_tls *tls) {
    assert(tls->holds > 0);
    tls->holds++;
    return tls;
}

void lh_tls_release(lh_tls *tls) {
    assert(tls->holds > 0);
    if (--tls->holds > 0) return;
    SSL_free(tls->ssl);
    X509_free(tls->link.refused);
    if (tls->context) lh_tls_context_release(tls->context);
    lh_buffer_reset(&tls->early);
    lh_buffer_reset(&tls->unsent);
    lh_free(tls->name);
    lh_free(tls->link.peer);
    lh_free(tls);
}

/* -- Asking -------------------------------------------------------------------------------------------------------- */

const char *lh_tls_error(const lh_tls *tls) { return tls->error[0] ? tls->error : NULL; }

const char *lh_tls_verify_error(const lh_tls *tls) {
    return tls->link.verify_error == X509_V_OK ? NULL : X509_verify_cert_error_string(tls->link.verify_error);
}

X509 *lh_tls_certificate(const lh_tls *tls) {
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    return certificate ? certificate : tls->link.refused;
}

const char *lh_tls_name(const lh_tls *tls) { return tls->name; }
bool lh_tls_peer_is(const lh_tls *tls, const char *name) {
    X509 *certificate = lh_tls_certificate(tls);
    if (!certificate || lh_tls_verify_error(tls)) return false;
    if (!*name || *name == '.') return false; /* OpenSSL takes ".x" for everything below x */
    const unsigned flags = X509_CHECK_FLAG_ALWAYS_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS;
    return X509_check_host(certificate, name, strlen(name), flags, NULL) == 1;
}

SSL *lh_tls_ssl(const lh_tls *tls) { return tls->ssl; }
