#include "net/linger.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/descriptors.h"
#include "net/socket.h"

enum { LINGERING_MAX = 1000, PIECE_BYTES = 16 * 1024, PIECES_MAX = 64, DRAINED_MAX = 64 * 1024 * 1024 };
static const lh_ns TICK = 50 * LH_MILLISECOND, LONGEST = 30 * LH_SECOND;

typedef struct lingering {
    lh_watch watch;
    lh_list node; /* in lh_net.lingering, the oldest first */
    lh_net *net;
    lh_ns end_ns;
    size_t drained_bytes; /* a peer that goes on sending is not listened to for ever */
    bool is_quiet;        /* nothing has come since the last tick */
} lingering;

/* -- Asking the kernel --------------------------------------------------------------------------------------------- */

static int ask(int fd, unsigned long what) {
    int count = 0;
    return ioctl(fd, what, &count) < 0 ? 0 : count;
}

/* Bytes that the peer has not acknowledged; behind shutdown its end counts as one. */
static int unsent(int fd) { return ask(fd, SIOCOUTQ); }

static bool has_linger_option(int fd) {
    struct linger option = {0};
    socklen_t size = sizeof(option);
    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &option, &size) < 0 || option.l_onoff;
}

/* Reads away what is there. False: the peer has ended, or is gone: nothing more can come. */
static bool drain(int fd, size_t *come_bytes) {
    char piece[PIECE_BYTES];
    for (int i = 0; i < PIECES_MAX; i++) {
        const ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
        if (n > 0) {
            *come_bytes += (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return false;
        } else if (errno == EAGAIN) {
            return true;
        }
    }
    return true;
}

/* -- Lingering ----------------------------------------------------------------------------------------------------- */

static void end(lingering *l) {
    assert(lh_loop_is_mine(&l->net->loop) && l->net->lingering_count > 0 && lh_list_is_linked(&l->node));
    lh_poll_remove(&l->net->loop.poll, &l->watch);
    lh_list_remove(&l->watch.again_node);
    lh_list_remove(&l->node);
    lh_descriptor_close(l->watch.fd);
    l->net->lingering_count--;
    lh_free(l);
}

static void on_ready(lh_watch *watch, unsigned events) {
    (void)events;
    lingering *l = LH_CONTAINER(watch, lingering, watch);
    size_t come_bytes = 0;
    if (!drain(watch->fd, &come_bytes) || l->drained_bytes + come_bytes > DRAINED_MAX) {
        end(l);
        return;
    }
    if (come_bytes == 0) return;
    l->drained_bytes += come_bytes;
    l->is_quiet = false;
    lh_loop_again(&l->net->loop, watch); /* the poll tells of edges only, and there may be more */
}

/* The kernel does not tell when all has been acknowledged. */
static void on_tick(lh_timer *timer) {
    lh_net *net = LH_CONTAINER(timer, lh_net, linger_timer);
    assert(lh_loop_is_mine(&net->loop));
    lh_list *node = net->lingering.next;
    while (node != &net->lingering) {
        lingering *l = LH_CONTAINER(node, lingering, node);
        node = node->next;
        const bool has_arrived = l->is_quiet && unsent(l->watch.fd) == 0;
        l->is_quiet = true;
        if (has_arrived || net->loop.now >= l->end_ns) end(l);
    }
    if (net->lingering_count > 0) lh_timer_start(&net->loop.timers, timer, lh_loop_deadline(TICK));
}

static bool start(lh_net *net, int fd) {
    lingering *l = lh_alloc(sizeof(*l));
    *l = (lingering){.net = net, .end_ns = lh_loop_deadline(LONGEST), .is_quiet = true};
    lh_watch_init(&l->watch, fd, on_ready);
    if (lh_poll_add(&net->loop.poll, &l->watch) < 0) {
        lh_free(l);
        return false;
    }
    if (net->lingering_count >= LINGERING_MAX) lh_linger_give_up(net);
    lh_list_init(&l->node);
    lh_list_append(&net->lingering, &l->node);
    if (net->lingering_count++ == 0) lh_timer_start(&net->loop.timers, &net->linger_timer, lh_loop_deadline(TICK));
    return true;
}

void lh_linger_open(lh_net *net) {
    lh_list_init(&net->lingering);
    lh_timer_init(&net->linger_timer, on_tick);
}

bool lh_linger_take(lh_socket *socket) {
    assert(lh_socket_is_mine(socket));
    const int fd = socket->watch.fd;
    const bool is_tcp = socket->type == SOCK_STREAM && (socket->family == AF_INET || socket->family == AF_INET6);
    if (!is_tcp || !socket->is_connected || socket->is_at_end) return false;
    const bool has_unsent = unsent(fd) > 0;
    if (!has_unsent && ask(fd, SIOCINQ) == 0) return false;
    if (has_linger_option(fd)) return false; /* the script has said how it shall end */
    size_t come_bytes = 0;
    shutdown(fd, SHUT_WR);
    return drain(fd, &come_bytes) && has_unsent && start(socket->net, fd);
}

bool lh_linger_give_up(lh_net *net) {
    assert(lh_loop_is_mine(&net->loop) && (net->lingering_count == 0) == lh_list_is_empty(&net->lingering));
    if (net->lingering_count == 0) return false;
    end(LH_CONTAINER(net->lingering.next, lingering, node));
    return true;
}

size_t lh_linger_timers(const lh_net *net) { return net->linger_timer.is_armed; }

void lh_linger_close(lh_net *net) {
    while (lh_linger_give_up(net)) continue;
    lh_timer_stop(&net->loop.timers, &net->linger_timer);
}
