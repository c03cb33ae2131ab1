/* The yardstick for TLS: a bare epoll server on OpenSSL, on one thread.
 *   PORT=7000 tls_server CERTIFICATE KEY    reads 64 KiB and writes them back
 * A careful program: read-ahead, so that a record costs one read; whole 16 KiB records; buffers released when idle. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, MESSAGE = 64 * 1024 };

typedef struct connection {
    SSL *ssl;
    char *bytes; /* a message, while it is incomplete or being written; NULL = none */
    size_t got, written;
    bool is_ready; /* the handshake is over */
} connection;

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, ERR_reason_error_string(ERR_peek_error()));
    exit(1);
}

static bool is_waiting(const connection *c, int rv) {
    const int error = SSL_get_error(c->ssl, rv);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* 1 = written, 0 = wait, -1 = over */
static int write_back(connection *c) {
    for (size_t n; c->written < MESSAGE; c->written += n) {
        const int rv = SSL_write_ex(c->ssl, c->bytes + c->written, MESSAGE - c->written, &n);
        if (rv != 1) return is_waiting(c, rv) ? 0 : -1;
    }
    free(c->bytes);
    c->bytes = NULL;
    c->got = c->written = 0;
    return 1;
}

/* False when the connection is over. */
static bool serve(connection *c) {
    ERR_clear_error();
    if (!c->is_ready) {
        const int rv = SSL_accept(c->ssl);
        if (rv != 1) return is_waiting(c, rv);
        c->is_ready = true;
    }
    for (;;) {
        if (c->got == MESSAGE) {
            const int rv = write_back(c);
            if (rv <= 0) return rv == 0;
        }
        if (!c->bytes && SSL_pending(c->ssl) == 0) {
            char first;
            size_t n;
            const int rv = SSL_peek_ex(c->ssl, &first, 1, &n); /* no memory for who sends nothing */
            if (rv != 1) return is_waiting(c, rv);
        }
        if (!c->bytes) c->bytes = malloc(MESSAGE);
        size_t n;
        const int rv = SSL_read_ex(c->ssl, c->bytes + c->got, MESSAGE - c->got, &n);
        if (rv != 1) return is_waiting(c, rv);
        c->got += n;
    }
}

static void watch(int epoll, int fd, void *data, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void drop(connection *c) {
    const int fd = SSL_get_fd(c->ssl);
    if (c->is_ready) SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(fd);
    free(c->bytes);
    free(c);
}

static void accept_all(int epoll, int listener, SSL_CTX *context) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        connection *c = calloc(1, sizeof(*c));
        c->ssl = SSL_new(context);
        SSL_set_fd(c->ssl, fd);
        SSL_set_accept_state(c->ssl);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        watch(epoll, fd, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
}

static int listen_on(int port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 1024) != 0) die("listen");
    return fd;
}

static SSL_CTX *make_context(char **argv) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1) {
        die("certificate");
    }
    return context;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *context = make_context(argv);
    const int listener = listen_on(atoi(getenv("PORT"))), epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener, NULL, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        const int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (!c) {
                accept_all(epoll, listener, context);
            } else if (!serve(c)) {
                drop(c);
            }
        }
    }
}
