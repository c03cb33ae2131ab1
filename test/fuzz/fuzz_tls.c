/* A TLS client whose server sends anything once the handshake is over: genuine records, records with a byte changed,
 * bytes that are no records, in pieces and in any order. What is read must be what was sent, up to the first forgery.
 */
#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/openssl.h"
#include "net/stream.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { WIRE_MAX = 65536 };

static lh_net net;
static SSL_CTX *server_context;
static lh_tls_context *client_contexts[2];

static void make_certificate(void) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    assert(SSL_CTX_use_certificate(server_context, certificate) == 1);
    assert(SSL_CTX_use_PrivateKey(server_context, key) == 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void set_up(void) {
    char error[LH_TLS_ERROR_MAX];
    signal(SIGPIPE, SIG_IGN);
    assert(lh_net_open(&net) == 0);
    server_context = SSL_CTX_new(TLS_server_method());
    make_certificate();
    const unsigned versions[] = {LH_TLS_1_2, LH_TLS_1_3};
    for (int i = 0; i < 2; i++) {
        const lh_tls_config config = {.versions = versions[i]};
        client_contexts[i] = lh_tls_context_get(&net, &config, error);
        assert(client_contexts[i]);
    }
}

/* -- The server's side: OpenSSL over two memory BIOs --------------------------------------------------------------- */

static SSL *server;
static int server_fd;

/* From the client to OpenSSL. */
static void server_receive(void) {
    char wire[WIRE_MAX];
    ssize_t n;
    while ((n = read(server_fd, wire, sizeof(wire))) > 0) BIO_write(SSL_get_rbio(server), wire, (int)n);
}

/* What OpenSSL wants to send. */
static size_t server_take(char wire[WIRE_MAX]) {
    const int n = BIO_read(SSL_get_wbio(server), wire, WIRE_MAX);
    return n > 0 ? (size_t)n : 0;
}

static void server_send(const char *wire, size_t length) {
    if (write(server_fd, wire, length) < 0) return; /* the client has gone */
}

static bool shake_hands(lh_socket *client) {
    char wire[WIRE_MAX];
    for (int i = 0; i < 10; i++) {
        client->is_readable = true;
        const int rv = lh_tls_handshake(client);
        assert(rv >= 0);
        server_receive();
        SSL_do_handshake(server);
        server_send(wire, server_take(wire));
        if (rv == LH_STREAM_DONE && SSL_is_init_finished(server)) return true;
    }
    return false;
}

/* -- One run ------------------------------------------------------------------------------------------------------- */

static char expected[WIRE_MAX];
static size_t expected_length, got_length;
static bool is_forged, is_over;

static void read_all(lh_socket *client) {
    const char *bytes;
    size_t length;
    client->is_readable = true;
    int rv;
    while ((rv = lh_stream_read_some(client, 1000, &bytes, &length)) == LH_STREAM_DONE) {
        assert(got_length + length <= expected_length);
        assert(memcmp(expected + got_length, bytes, length) == 0);
        got_length += length;
    }
    if (rv == LH_STREAM_WAIT) return;
    is_over = true;
    if (rv < 0) assert(lh_socket_error_text(client, -rv)[0]);
}

/* A genuine record with `length` bytes of data, of which byte `at` is changed on the way (0 = none). */
static void send_record(const unsigned char *data, size_t length, size_t at) {
    char wire[WIRE_MAX];
    if (SSL_write(server, data, (int)length) <= 0) return;
    const size_t n = server_take(wire);
    if (at > 0 && n > 0) {
        wire[at % n] ^= 0x20;
        is_forged = true;
    }
    if (!is_forged && expected_length + length <= sizeof(expected)) {
        memcpy(expected + expected_length, data, length);
        expected_length += length;
    }
    server_send(wire, n);
}

static void act(unsigned what, const unsigned char *data, size_t length) {
    char wire[WIRE_MAX];
    switch (what % 8) {
    case 0:
    case 1:
        if (length > 0) send_record(data, length, 0);
        break;
    case 2:
        if (length > 1) send_record(data + 1, length - 1, data[0]);
        break;
    case 3:
        is_forged = is_forged || length > 0;
        server_send((const char *)data, length);
        break;
    case 4:
        SSL_shutdown(server);
        server_send(wire, server_take(wire));
        break;
    case 5:
        SSL_key_update(server, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(server);
        server_send(wire, server_take(wire));
        break;
    case 6: /* half a record */
        if (length > 0 && SSL_write(server, data, (int)length) > 0) {
            server_send(wire, server_take(wire) / 2);
            is_forged = true;
        }
        break;
    default: server_receive();
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size < 2) return 0;
    if (!server_context) set_up();
    int fds[2];
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    lh_socket *client = lh_socket_adopt(&net, fds[0], AF_UNIX, SOCK_STREAM);
    client->is_connected = true;
    server_fd = fds[1];
    server = SSL_new(server_context);
    SSL_set_bio(server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(server);
    expected_length = got_length = 0;
    is_forged = is_over = false;
    assert(lh_tls_start(client, client_contexts[data[0] % 2], NULL) == 0);
    const bool is_early = data[0] & 2; /* nonsense instead of a handshake */
    if (is_early) {
        server_send((const char *)data + 1, size - 1);
        client->is_readable = true;
        const int rv = lh_tls_handshake(client);
        assert(rv == LH_STREAM_WAIT || rv < 0);
    } else {
        assert(shake_hands(client));
        for (const unsigned char *at = data + 1, *end = data + size; at < end && !is_over;) {
            const unsigned what = *at++;
            size_t length = what >> 3;
            if (length > (size_t)(end - at)) length = (size_t)(end - at);
            act(what, at, length);
            at += length;
            read_all(client);
        }
        size_t written = 0;
        if (!client->error) lh_stream_write(client, "bye", 3, &written);
    }
    close(server_fd);
    if (!is_early && !is_over) read_all(client);
    lh_socket_close(client);
    SSL_free(server);
    assert(net.open_count == 0);
    return 0;
}
