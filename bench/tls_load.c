#include "tls_load.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct tls_load {
    SSL_CTX *context;
    int port, count;
    SSL **connections;
};

static const char message[TLS_MESSAGE_BYTES];

static SSL *fail(const char *what) {
    fprintf(stderr, "tls load: %s: %s\n", what, ERR_reason_error_string(ERR_peek_error()));
    return NULL;
}

static void hang_up(SSL *ssl) {
    const int fd = SSL_get_fd(ssl);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

static SSL *connect_to(const tls_load *l) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)l->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        close(fd);
        return fail("connect");
    }
    SSL *ssl = SSL_new(l->context);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1) return ssl;
    hang_up(ssl);
    return fail("handshake");
}

static bool exchange(SSL *ssl) {
    char answer[TLS_MESSAGE_BYTES];
    if (SSL_write(ssl, message, sizeof(message)) != sizeof(message)) return fail("write") != NULL;
    for (size_t got = 0, n; got < sizeof(answer); got += n) {
        if (SSL_read_ex(ssl, answer + got, sizeof(answer) - got, &n) != 1) return fail("read") != NULL;
    }
    return true;
}

static const char upgrade[] = "GET /echo HTTP/1.1\r\nHost: bench.example\r\n\r\n";

static bool begin(SSL *ssl, bool is_upgraded) {
    if (is_upgraded && SSL_write(ssl, upgrade, sizeof(upgrade) - 1) <= 0) return fail("write") != NULL;
    return exchange(ssl);
}

tls_load *tls_load_open(int port, int connections, bool is_upgraded) {
    tls_load *l = calloc(1, sizeof(*l));
    l->context = SSL_CTX_new(TLS_client_method());
    l->port = port;
    l->connections = calloc((size_t)connections + 1, sizeof(*l->connections));
    for (; l->count < connections; l->count++) {
        SSL *ssl = connect_to(l);
        l->connections[l->count] = ssl;
        if (!ssl || !begin(ssl, is_upgraded)) {
            l->count += ssl != NULL;
            tls_load_close(l);
            return NULL;
        }
    }
    return l;
}

/* What the threads of one run share. */
typedef struct run {
    tls_load *load;
    atomic_long left;
    atomic_int next; /* connection to be taken */
    atomic_bool has_failed;
} run;

static void *echo(void *argument) {
    run *r = argument;
    SSL *ssl = r->load->connections[atomic_fetch_add(&r->next, 1)];
    while (atomic_fetch_sub(&r->left, 1) > 0 && !atomic_load(&r->has_failed)) {
        if (!exchange(ssl)) atomic_store(&r->has_failed, true);
    }
    return NULL;
}

static void *shake(void *argument) {
    run *r = argument;
    while (atomic_fetch_sub(&r->left, 1) > 0 && !atomic_load(&r->has_failed)) {
        SSL *ssl = connect_to(r->load);
        if (ssl) {
            hang_up(ssl);
        } else {
            atomic_store(&r->has_failed, true);
        }
    }
    return NULL;
}

static bool in_threads(tls_load *l, long count, int thread_count, void *(*f)(void *)) {
    run r = {.load = l, .left = count};
    pthread_t threads[TLS_THREADS_MAX];
    if (thread_count > TLS_THREADS_MAX) thread_count = TLS_THREADS_MAX;
    for (int i = 0; i < thread_count; i++) pthread_create(&threads[i], NULL, f, &r);
    for (int i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
    return !atomic_load(&r.has_failed);
}

bool tls_load_echo(tls_load *l, long count) { return in_threads(l, count, l->count, echo); }

bool tls_load_handshakes(tls_load *l, long count, int at_once) { return in_threads(l, count, at_once, shake); }

void tls_load_close(tls_load *l) {
    for (int i = 0; i < l->count; i++) hang_up(l->connections[i]);
    SSL_CTX_free(l->context);
    free(l->connections);
    free(l);
}
