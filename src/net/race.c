#include "net/race.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/alloc.h"

/* RFC 8305, 8: the recommended Connection Attempt Delay. */
static const lh_ns ATTEMPT_DELAY = 250 * LH_MILLISECOND;

typedef struct attempt {
    lh_list node; /* in lh_race.attempts */
    lh_race *race;
    lh_socket *socket;
} attempt;

struct lh_race {
    lh_socket *like;
    lh_list attempts; /* under way */
    lh_timer timer;   /* until the next attempt, or until what is known already is told */
    lh_socket *winner;
    int error; /* of the first attempt that failed */
    lh_race_fn on_done;
    void *owner;
    size_t next, count;
    lh_address addresses[];
};

/* -- Options ------------------------------------------------------------------------------------------------------- */

/* What a script may have set on the socket that stands for all of them. */
static const struct {
    int level, option;
} options[] = {{SOL_SOCKET, SO_KEEPALIVE},
               {SOL_SOCKET, SO_LINGER},
               {SOL_SOCKET, SO_OOBINLINE},
               {SOL_SOCKET, SO_DONTROUTE},
               {SOL_SOCKET, SO_RCVLOWAT},
               {SOL_SOCKET, SO_PRIORITY},
               {SOL_SOCKET, SO_MARK},
               {SOL_SOCKET, SO_BINDTODEVICE},
               {SOL_SOCKET, SO_REUSEADDR},
               {SOL_SOCKET, SO_REUSEPORT},
               {IPPROTO_TCP, TCP_NODELAY},
               {IPPROTO_TCP, TCP_KEEPIDLE},
               {IPPROTO_TCP, TCP_KEEPINTVL},
               {IPPROTO_TCP, TCP_KEEPCNT},
               {IPPROTO_TCP, TCP_USER_TIMEOUT},
               {IPPROTO_TCP, TCP_CONGESTION},
               {IPPROTO_TCP, TCP_SYNCNT},
               {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
               {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS},
               {IPPROTO_TCP, TCP_INQ},
               {SOL_SOCKET, SO_ZEROCOPY},
               {SOL_SOCKET, SO_MAX_PACING_RATE},
               {SOL_SOCKET, SO_BINDTOIFINDEX},
               {IPPROTO_IP, IP_TOS},
               {IPPROTO_IP, IP_TTL},
               {IPPROTO_IP, IP_FREEBIND},
               {IPPROTO_IP, IP_TRANSPARENT},
               {IPPROTO_IP, IP_MTU_DISCOVER},
               {IPPROTO_IP, IP_RECVERR},
               {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
               {IPPROTO_IPV6, IPV6_TCLASS},
               {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
               {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
               {IPPROTO_IPV6, IPV6_RECVERR}};

static void copy_option(int from, int to, int level, int option) {
    char wanted[64], present[64];
    socklen_t wanted_size = sizeof(wanted), present_size = sizeof(present);
    if (getsockopt(from, level, option, wanted, &wanted_size) < 0) return;
    if (getsockopt(to, level, option, present, &present_size) < 0) return;
    if (wanted_size == present_size && memcmp(wanted, present, wanted_size) == 0) return;
    setsockopt(to, level, option, wanted, wanted_size);
}

/* The kernel tells twice what was set: socket(7). */
static void copy_buffer_size(int from, int to, int option) {
    int wanted = 0, present = 0;
    socklen_t size = sizeof(int);
    if (getsockopt(from, SOL_SOCKET, option, &wanted, &size) < 0) return;
    if (getsockopt(to, SOL_SOCKET, option, &present, &size) < 0 || wanted == present) return;
    wanted /= 2;
    setsockopt(to, SOL_SOCKET, option, &wanted, sizeof(wanted));
}

static void copy_options(const lh_socket *from, const lh_socket *to) {
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        copy_option(from->watch.fd, to->watch.fd, options[i].level, options[i].option);
    }
    copy_buffer_size(from->watch.fd, to->watch.fd, SO_SNDBUF);
    copy_buffer_size(from->watch.fd, to->watch.fd, SO_RCVBUF);
}

/* -- Attempts ------------------------------------------------------------------------------------------------------ */

static void start_timer(lh_race *race, lh_ns delay) {
    lh_timer_start(&race->like->net->loop.timers, &race->timer, lh_loop_deadline(delay));
}

static void end_attempt(attempt *a) {
    assert(lh_list_is_linked(&a->node));
    lh_list_remove(&a->node);
    lh_free(a);
}

static void note_error(lh_race *race, int error) {
    if (!race->error) race->error = error;
}

static const lh_socket_events events;

/* True when the attempt at the next address is under way, or has succeeded at once. */
static bool try_next(lh_race *race) {
    assert(race->next < race->count && !race->winner);
    const lh_address *address = &race->addresses[race->next++];
    int error = 0;
    lh_socket *socket = lh_socket_open(race->like->net, lh_address_family(address), SOCK_STREAM, &error);
    if (!socket) {
        note_error(race, error);
        return false;
    }
    copy_options(race->like, socket);
    int rv = lh_socket_connect(socket, address);
    if (rv == 0) {
        race->winner = socket;
        start_timer(race, 0);
        return true;
    }
    if (rv == -EINPROGRESS) rv = lh_socket_expect(socket);
    if (rv < 0) {
        note_error(race, -rv);
        lh_socket_close(socket);
        return false;
    }
    attempt *a = lh_alloc(sizeof(*a));
    *a = (attempt){.race = race, .socket = socket};
    lh_list_init(&a->node);
    lh_list_append(&race->attempts, &a->node);
    socket->events = &events;
    socket->writer = a;
    return true;
}

static void try_more(lh_race *race) {
    while (race->next < race->count) {
        if (!try_next(race)) continue;
        if (!race->winner) start_timer(race, ATTEMPT_DELAY);
        return;
    }
    if (lh_list_is_empty(&race->attempts)) start_timer(race, 0); /* tells that all have failed */
}

/* The race is over; only the winner survives it. */
static void finish(lh_race *race, lh_socket *winner) {
    assert(!winner || (winner->is_connected && !winner->writer && lh_socket_is_mine(winner)));
    const lh_race_fn on_done = race->on_done;
    void *const owner = race->owner;
    const int error = race->error;
    race->winner = NULL;
    lh_race_stop(race);
    on_done(owner, winner, error);
}

static void on_timer(lh_timer *timer) {
    lh_race *race = LH_CONTAINER(timer, lh_race, timer);
    const bool is_over = race->winner || (race->next == race->count && lh_list_is_empty(&race->attempts));
    if (is_over) {
        finish(race, race->winner);
    } else {
        try_more(race);
    }
}

static void on_writable(lh_socket *socket) {
    attempt *a = socket->writer;
    lh_race *race = a->race;
    assert(a->socket == socket && !race->winner);
    const int rv = lh_socket_connect_result(socket);
    if (rv == -EINPROGRESS) return;
    socket->writer = NULL;
    socket->events = NULL;
    end_attempt(a);
    if (rv == 0) {
        finish(race, socket);
        return;
    }
    note_error(race, -rv);
    lh_socket_close(socket);
    try_more(race);
}

static const lh_socket_events events = {.on_writable = on_writable};

/* -- The race ------------------------------------------------------------------------------------------------------ */

/* The first address of the family (or not of it) from `at` on; `count` = there is none. */
static size_t find(const lh_address *addresses, size_t at, size_t count, int family, bool is_of_it) {
    while (at < count && (lh_address_family(&addresses[at]) == family) != is_of_it) at++;
    return at;
}

/* RFC 8305, 4: families take turns, each in the order given. */
static void interleave(lh_race *race, const lh_address *addresses, size_t count) {
    const int family = race->like->family;
    size_t own = find(addresses, 0, count, family, true), other = find(addresses, 0, count, family, false);
    while (race->count < count) {
        if (own < count) {
            race->addresses[race->count++] = addresses[own];
            own = find(addresses, own + 1, count, family, true);
        }
        if (other < count) {
            race->addresses[race->count++] = addresses[other];
            other = find(addresses, other + 1, count, family, false);
        }
    }
}

lh_race *lh_race_start(lh_socket *like, const lh_address *addresses, size_t count, lh_race_fn on_done, void *owner) {
    assert(lh_socket_is_mine(like) && on_done);
    lh_race *race = lh_alloc(sizeof(*race) + count * sizeof(race->addresses[0]));
    race->like = like;
    race->on_done = on_done;
    race->owner = owner;
    lh_list_init(&race->attempts);
    lh_timer_init(&race->timer, on_timer);
    interleave(race, addresses, count);
    assert(race->count == count);
    try_more(race);
    return race;
}

void lh_race_stop(lh_race *race) {
    if (!race) return;
    assert(lh_loop_is_mine(&race->like->net->loop));
    for (lh_list *node; (node = lh_list_take_first(&race->attempts));) {
        attempt *a = LH_CONTAINER(node, attempt, node);
        lh_socket_close(a->socket);
        lh_free(a);
    }
    lh_socket_close(race->winner);
    lh_timer_stop(&race->like->net->loop.timers, &race->timer);
    lh_free(race);
}
