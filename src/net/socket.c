/* Readiness is remembered here (`is_readable`, `is_writable`), because the poll is edge-triggered: an edge sets a flag,
 * an EAGAIN (or a short read, which tells the same) clears it. A flag that is set wrongly costs one system call; one
 * that is cleared wrongly would hang, so it is cleared in those two places only. */
#include "net/socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/error.h"
#include "net/cut.h"
#include "net/linger.h"

static const lh_ns HOLD_TIME = 100 * LH_MILLISECOND;

enum { ACCEPTS = 64 }; /* connections that a turn takes from one listener */

static void on_ready(lh_watch *watch, unsigned events) {
    lh_socket *socket = LH_CONTAINER(watch, lh_socket, watch);
    assert(lh_socket_is_mine(socket));
    if (events & LH_POLL_HANGUP) socket->has_hangup = true;
    if (events & LH_POLL_IN) socket->is_readable = true;
    if (events & LH_POLL_OUT) socket->is_writable = true;
    if (socket->layer && socket->is_writable) socket->layer->on_writable(socket);
    if (!socket->events) return;
    if (socket->reader && socket->is_readable) socket->events->on_readable(socket);
    /* The callback may have closed the socket: then there is no writer any more. */
    if (socket->writer && socket->is_writable) socket->events->on_writable(socket);
}

/* -- Open, adopt, close -------------------------------------------------------------------------------------------- */

lh_socket *lh_socket_adopt(lh_net *net, int fd, int family, int type) {
    assert(lh_loop_is_mine(&net->loop) && fd >= 0);
    lh_socket *socket = lh_slab_take(&net->sockets);
    *socket = (lh_socket){
        .net = net,
        .family = (int16_t)family,
        .type = (int16_t)type,
        .is_readable = true,
        .is_writable = true,
    };
    lh_watch_init(&socket->watch, lh_descriptor_claim(fd), on_ready);
    net->open_count++;
    return socket;
}

static bool is_shortage(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

static void set_no_delay(int fd, int family, int type) {
    if (type != SOCK_STREAM || (family != AF_INET && family != AF_INET6)) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

lh_socket *lh_socket_open(lh_net *net, int family, int type, int *error) {
    int fd;
    do {
        fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    } while (fd < 0 && is_shortage(errno) && lh_linger_give_up(net));
    if (fd < 0) {
        *error = errno;
        return NULL;
    }
    set_no_delay(fd, family, type);
    return lh_socket_adopt(net, fd, family, type);
}

static void drop_input(lh_socket *socket) {
    if (socket->net->borrower == socket) {
        socket->net->borrower = NULL;
        socket->in = (lh_buffer){0};
    }
    lh_buffer_reset(&socket->in);
}

/* A descriptor became free: listeners that wait for one are tried at once. */
static void release_held(lh_net *net) {
    for (lh_list *node; (node = lh_list_take_first(&net->held));) {
        lh_socket *listener = LH_CONTAINER(node, lh_socket, held_node);
        assert(lh_socket_is_mine(listener) && listener->is_listening);
        listener->held_until_ns = 0;
        if (listener->reader) lh_loop_again(&net->loop, &listener->watch);
    }
}

void lh_socket_close(lh_socket *socket) {
    if (!socket || !lh_socket_is_open(socket)) return;
    assert(lh_socket_is_mine(socket) && socket->net->open_count > 0);
    lh_net *net = socket->net;
    if (socket->layer) {
        socket->layer->end(socket);
        socket->layer->leave(socket);
    }
    drop_input(socket);
    lh_poll_remove(&net->loop.poll, &socket->watch);
    lh_list_remove(&socket->watch.again_node);
    if (socket->is_listening) lh_list_remove(&socket->held_node);
    if (!lh_linger_take(socket)) lh_descriptor_close(socket->watch.fd);
    socket->watch.fd = -1;
    lh_cut_release(socket->cut);
    socket->cut = NULL;
    socket->reader = socket->writer = NULL;
    socket->events = NULL;
    net->open_count--;
    release_held(net);
    lh_slab_give(&net->sockets, socket);
}

void lh_socket_replace(lh_socket *socket, lh_socket *take_other) {
    assert(lh_socket_is_mine(socket) && lh_socket_is_mine(take_other) && socket != take_other);
    assert(!socket->layer && !take_other->layer && !socket->is_listening && !take_other->is_listening);
    lh_net *net = socket->net;
    drop_input(socket);
    lh_poll_remove(&net->loop.poll, &socket->watch);
    lh_poll_remove(&net->loop.poll, &take_other->watch);
    lh_list_remove(&socket->watch.again_node);
    lh_list_remove(&take_other->watch.again_node);
    lh_descriptor_close(socket->watch.fd);
    lh_watch_init(&socket->watch, take_other->watch.fd, on_ready);
    lh_cut_release(socket->cut);
    socket->cut = take_other->cut;
    socket->family = take_other->family;
    socket->type = take_other->type;
    socket->error = take_other->error;
    socket->is_readable = socket->is_writable = true;
    socket->has_hangup = false;
    socket->is_at_end = take_other->is_at_end;
    socket->is_connecting = take_other->is_connecting;
    socket->is_connected = take_other->is_connected;
    net->open_count--;
    release_held(net);
    lh_slab_give(&net->sockets, take_other);
}

void lh_socket_fail(lh_socket *socket, int error) {
    assert(error > 0 && error <= INT16_MAX);
    if (!socket->error) socket->error = (int16_t)error;
}

const char *lh_socket_error_text(const lh_socket *socket, int error) {
    const char *text = error == EPROTO && socket->layer ? socket->layer->error_text(socket) : NULL;
    return text ? text : lh_error_text(error);
}

int lh_socket_expect(lh_socket *socket) {
    assert(lh_socket_is_mine(socket));
    return lh_poll_add(&socket->net->loop.poll, &socket->watch);
}

bool lh_socket_may_move(lh_socket *socket) {
    const uint32_t turn = socket->net->loop.turn;
    if (turn == 0) return true;            /* the loop does not run yet */
    if (socket->turn != (turn & 0x1fff)) { /* 8,192 turns later one is taken for another: then it waits for the next */
        socket->turn = turn & 0x1fff;
        socket->turn_bytes = 0;
    }
    if (socket->turn_bytes < LH_SOCKET_TURN_BYTES) return true;
    lh_loop_again(&socket->net->loop, &socket->watch);
    return false;
}

void lh_socket_end_turn(lh_socket *socket) {
    lh_socket_may_move(socket); /* begins to count for this turn */
    socket->turn_bytes = LH_SOCKET_TURN_BYTES;
    lh_loop_again(&socket->net->loop, &socket->watch);
}

/* -- Server side --------------------------------------------------------------------------------------------------- */

int lh_socket_bind(lh_socket *socket, const lh_address *address) {
    assert(lh_socket_is_mine(socket));
    const int rv = bind(socket->watch.fd, (const struct sockaddr *)&address->storage, address->length);
    socket->bind_error = rv < 0 ? (int16_t)errno : 0;
    return -socket->bind_error;
}

int lh_socket_listen(lh_socket *socket, int backlog) {
    assert(lh_socket_is_mine(socket));
    if (socket->bind_error) return -socket->bind_error; /* else it would listen on a port that nobody knows */
    if (listen(socket->watch.fd, backlog) < 0) return -errno;
    if (!socket->is_listening) {
        socket->is_listening = true;
        socket->held_until_ns = 0;
        lh_list_init(&socket->held_node);
    }
    socket->is_readable = true;
    return 0;
}

/* accept(2) passes on errors that belong to the connection which died while it waited, not to the listener. */
static bool is_of_the_connection(int error) {
    switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM: return true; /* a firewall rule, says accept(2) */
    default: return false;
    }
}

lh_ns lh_socket_hold_time(const lh_socket *listener) {
    return listener->is_listening && listener->held_until_ns ? listener->held_until_ns : LH_NEVER;
}

int lh_socket_accept(lh_socket *listener, lh_socket **accepted) {
    assert(lh_socket_is_mine(listener));
    if (!listener->is_listening) return -EINVAL;
    if (listener->held_until_ns) {
        if (lh_clock_now() < listener->held_until_ns) return -EAGAIN;
        listener->held_until_ns = 0;
        lh_list_remove(&listener->held_node);
    }
    /* Unlike a short read nothing tells that the queue is empty but EAGAIN; epoll's edge sets the flag again. */
    if (!listener->is_readable || !lh_socket_may_move(listener)) return -EAGAIN;
    for (;;) {
        const int fd = accept4(listener->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            lh_socket_note_moved(listener, LH_SOCKET_TURN_BYTES / ACCEPTS);
            set_no_delay(fd, listener->family, listener->type);
            *accepted = lh_socket_adopt(listener->net, fd, listener->family, SOCK_STREAM);
            (*accepted)->is_connected = true;
            return 0;
        }
        const int error = errno;
        if (error == EAGAIN) {
            listener->is_readable = false;
            return -EAGAIN;
        }
        if (is_of_the_connection(error)) continue;
        if (is_shortage(error) && lh_linger_give_up(listener->net)) continue;
        if (is_shortage(error)) {
            listener->held_until_ns = lh_loop_deadline(HOLD_TIME);
            lh_list_remove(&listener->held_node);
            lh_list_append(&listener->net->held, &listener->held_node);
        }
        return -error;
    }
}

/* -- Client side --------------------------------------------------------------------------------------------------- */

static bool is_same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
    if (a->ss_family != b->ss_family) return false;
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    if (a->ss_family != AF_INET6) return false;
    const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
    return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr)) == 0;
}

/* `peer`: its address. Where nobody listens, the kernel may pick the very port that is connected to for our end, and
 * connect the socket with itself (RFC 9293, 3.5: simultaneous open). That is a refusal; and the port is given back,
 * for the server that wants it. */
static int refuse_itself(lh_socket *socket, const struct sockaddr_storage *peer) {
    struct sockaddr_storage own;
    socklen_t own_length = sizeof(own);
    if (socket->type != SOCK_STREAM || (socket->family != AF_INET && socket->family != AF_INET6)) return 0;
    if (getsockname(socket->watch.fd, (struct sockaddr *)&own, &own_length) < 0) return 0;
    if (!is_same_address(&own, peer)) return 0;
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    (void)connect(socket->watch.fd, &nobody, sizeof(nobody));
    socket->is_connecting = socket->is_connected = false;
    lh_socket_fail(socket, ECONNREFUSED);
    return -ECONNREFUSED;
}

int lh_socket_connect(lh_socket *socket, const lh_address *address) {
    assert(lh_socket_is_mine(socket) && address->length <= sizeof(address->storage));
    if (socket->error) return -socket->error;
    if (socket->bind_error) return -socket->bind_error;
    if (socket->is_connecting) return -EALREADY;
    int rv;
    do {
        rv = connect(socket->watch.fd, (const struct sockaddr *)&address->storage, address->length);
    } while (rv < 0 && errno == EINTR);
    if (rv == 0) {
        socket->is_connected = true;
        return refuse_itself(socket, &address->storage);
    }
    if (errno == EINPROGRESS) {
        socket->is_connecting = true;
        socket->is_writable = false;
        return -EINPROGRESS;
    }
    /* A datagram socket, and one whose unix peer's queue is full, can try again. */
    const int error = errno;
    if (socket->type != SOCK_DGRAM && error != EAGAIN) lh_socket_fail(socket, error);
    return -error;
}

int lh_socket_connect_result(lh_socket *socket) {
    assert(lh_socket_is_mine(socket));
    if (socket->error) return -socket->error;
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(socket->watch.fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) error = errno;
    if (error == 0) {
        struct sockaddr_storage peer;
        socklen_t peer_length = sizeof(peer);
        /* Registering a socket reports "writable, hung up" before the connect began to matter: only a peer's name
         * proves. */
        if (getpeername(socket->watch.fd, (struct sockaddr *)&peer, &peer_length) < 0) {
            socket->is_writable = false;
            return -EINPROGRESS;
        }
        socket->is_connecting = false;
        socket->is_connected = true;
        socket->is_readable = true;
        return refuse_itself(socket, &peer);
    }
    socket->is_connecting = false;
    lh_socket_fail(socket, error);
    return -error;
}

/* -- Names --------------------------------------------------------------------------------------------------------- */

typedef int (*name_fn)(int fd, struct sockaddr *restrict address, socklen_t *restrict length);

static int ask_name(const lh_socket *socket, name_fn ask, lh_address *address) {
    if (socket->family == LH_SOCKET_PIPE) return -ENOTSOCK;
    address->length = sizeof(address->storage);
    if (ask(socket->watch.fd, (struct sockaddr *)&address->storage, &address->length) < 0) return -errno;
    return 0;
}

int lh_socket_local_address(const lh_socket *socket, lh_address *address) {
    return ask_name(socket, getsockname, address);
}

int lh_socket_peer_address(const lh_socket *socket, lh_address *address) {
    return ask_name(socket, getpeername, address);
}

void lh_socket_shutdown(lh_socket *socket, int how) {
    assert(lh_socket_is_mine(socket));
    if (socket->layer && how != SHUT_RD) socket->layer->end(socket);
    if (socket->family != LH_SOCKET_PIPE) shutdown(socket->watch.fd, how);
}
