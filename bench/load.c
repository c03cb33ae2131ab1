#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, PATIENCE_MS = 30000 };

static const char line[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0\n";
static const char request[] = "GET / HTTP/1.1\r\nHost: bench.example\r\nAccept: */*\r\n\r\n";
static const char upgrade[] = "GET /echo HTTP/1.1\r\nHost: bench.example\r\n\r\n";

typedef struct connection {
    int fd;
    size_t missing; /* bytes of the answer still to come */
} connection;

struct load {
    int epoll, count;
    const char *message;
    size_t message_bytes, answer_bytes;
    connection *connections;
};

static bool fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "unexpected end");
    return false;
}

static bool send_all(int fd, const char *bytes, size_t count) {
    errno = 0;
    return write(fd, bytes, count) == (ssize_t)count || fail("write");
}

static int connect_to(int port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0) return fd;
    fail("connect");
    if (fd >= 0) close(fd);
    return -1;
}

/* The length of a whole response in `head`, or 0 while it is incomplete. */
static size_t response_length(const char *head, size_t count) {
    const char *end = memmem(head, count, "\r\n\r\n", 4);
    const char *field = strcasestr(head, "\r\ncontent-length:");
    if (!end || !field) return 0;
    const size_t length = (size_t)(end - head) + 4 + strtoul(field + 17, NULL, 10);
    return length <= count ? length : 0;
}

/* One exchange, blocking: learns how long this server's answers are, all of which are alike. */
static bool learn_answer(load *l, int fd, bool is_http) {
    char head[4096];
    size_t count = 0;
    if (!send_all(fd, l->message, l->message_bytes)) return false;
    for (size_t length = 0; length == 0 || count < length;) {
        errno = 0;
        const ssize_t n = read(fd, head + count, sizeof(head) - 1 - count);
        if (n <= 0) return fail("read");
        count += (size_t)n;
        head[count] = 0;
        length = is_http ? response_length(head, count) : l->message_bytes;
        l->answer_bytes = length;
    }
    return count == l->answer_bytes || fail("answer longer than announced");
}

static bool open_connection(load *l, const load_plan *plan, connection *c) {
    c->fd = connect_to(plan->port);
    if (c->fd < 0) return false;
    if (plan->is_upgraded && !send_all(c->fd, upgrade, sizeof(upgrade) - 1)) return false;
    if (!learn_answer(l, c->fd, plan->is_http)) return false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0 || fail("epoll_ctl");
}

load *load_open(const load_plan *plan) {
    load *l = calloc(1, sizeof(*l));
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->message = plan->is_http ? request : line;
    l->message_bytes = plan->is_http ? sizeof(request) - 1 : sizeof(line) - 1;
    l->connections = calloc((size_t)plan->connections, sizeof(connection));
    for (; l->count < plan->connections; l->count++) {
        if (!open_connection(l, plan, &l->connections[l->count])) {
            load_close(l);
            return NULL;
        }
    }
    return l;
}

static bool send_message(const load *l, connection *c) {
    c->missing = l->answer_bytes;
    return send_all(c->fd, l->message, l->message_bytes);
}

/* Takes what has come; *is_whole tells whether that completes the answer. */
static bool receive(connection *c, bool *is_whole) {
    char chunk[4096];
    errno = 0;
    const ssize_t n = read(c->fd, chunk, sizeof(chunk));
    if (n <= 0) return fail("read");
    if ((size_t)n > c->missing) return fail("too long an answer");
    c->missing -= (size_t)n;
    *is_whole = c->missing == 0;
    return true;
}

bool load_run(load *l, long count) {
    long sent = 0, received = 0;
    for (; sent < l->count && sent < count; sent++) {
        if (!send_message(l, &l->connections[sent])) return false;
    }
    while (received < count) {
        struct epoll_event events[EVENTS_MAX];
        const int n = epoll_wait(l->epoll, events, EVENTS_MAX, PATIENCE_MS);
        if (n == 0) return fail("nothing came for 30 s");
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            bool is_whole = false;
            if (!receive(c, &is_whole)) return false;
            if (!is_whole) continue;
            received++;
            if (sent < count) {
                if (!send_message(l, c)) return false;
                sent++;
            }
        }
    }
    return true;
}

void load_close(load *l) {
    for (int i = 0; i < l->count; i++) close(l->connections[i].fd);
    close(l->epoll);
    free(l->connections);
    free(l);
}
