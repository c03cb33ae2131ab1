/* The yardstick: a bare epoll server in C, on one thread.
 *   PORT=7000 server echo    answers each line with itself
 *   PORT=7000 server http    answers each request (up to its empty line) with a fixed response
 * It does what a careful program does and nothing else: edge-triggered, up to 512 events a turn, one read and one write
 * per message, no allocation per message, no read to learn EAGAIN after a short read. A connection keeps bytes only
 * while a message is incomplete. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, CHUNK = 65536 };

static const char response[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n";

typedef struct connection {
    int fd;
    char *kept; /* the beginning of a message, or NULL */
    size_t kept_bytes;
} connection;

static bool is_http;
static char chunk[2 * CHUNK];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static bool write_all(int fd, const char *bytes, size_t count) {
    return send(fd, bytes, count, MSG_NOSIGNAL) ==
           (ssize_t)count; /* a peer of bench/ always makes room for an answer */
}

/* Answers the whole messages in [bytes, bytes + count); returns how many bytes they are, or -1. */
static ssize_t answer(const connection *c, const char *bytes, size_t count) {
    size_t done = 0;
    for (;;) {
        const char *start = bytes + done;
        const char *end = is_http ? memmem(start, count - done, "\r\n\r\n", 4) : memchr(start, '\n', count - done);
        if (!end) return (ssize_t)done;
        const size_t length = (size_t)(end - start) + (is_http ? 4 : 1);
        if (!(is_http ? write_all(c->fd, response, sizeof(response) - 1) : write_all(c->fd, start, length))) return -1;
        done += length;
    }
}

/* False when the connection is over. */
static bool serve(connection *c) {
    for (;;) {
        if (c->kept_bytes > CHUNK) return false;
        if (c->kept) memcpy(chunk, c->kept, c->kept_bytes);
        const ssize_t got = recv(c->fd, chunk + c->kept_bytes, CHUNK, 0);
        if (got <= 0) return got < 0 && errno == EAGAIN;
        const size_t count = c->kept_bytes + (size_t)got;
        const ssize_t done = answer(c, chunk, count);
        if (done < 0) return false;
        c->kept_bytes = count - (size_t)done;
        free(c->kept);
        c->kept = NULL;
        if (c->kept_bytes > 0) {
            c->kept = malloc(c->kept_bytes);
            memcpy(c->kept, chunk + done, c->kept_bytes);
        }
        if (got < CHUNK) return true;
    }
}

static void watch(int epoll, int fd, void *data, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void accept_all(int epoll, int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        connection *c = calloc(1, sizeof(*c));
        c->fd = fd;
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

int main(int argc, char **argv) {
    is_http = argc > 1 && strcmp(argv[1], "http") == 0;
    const int listener = listen_on(atoi(getenv("PORT"))), epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener, NULL, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        const int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (!c) {
                accept_all(epoll, listener);
            } else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !serve(c)) {
                close(c->fd);
                free(c->kept);
                free(c);
            }
        }
    }
}
