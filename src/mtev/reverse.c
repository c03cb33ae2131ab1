/* What lualib/mtev/reverse.lua gets for mtev.reverse_listen and mtev.reverse_connect: tunnels and channels.
 *
 *     t = core.tunnel_open(e, name, keepalive, window, channels)   over e, which is closed from then on; with a name it
 *                                            opens channels to it ("reverse:NAME"), without it accepts the peer's
 *     core.tunnel_next(t) -> channel; nil, reason at the end; nil, INTERRUPTED, message
 *     core.tunnel_close(t)
 *     core.tunnel_count(t) -> how many channels there are
 *     core.descriptor_limit() -> how many descriptors the process may have; math.huge: any number
 *     core.channel_accept(channel[, e]) -> e: the channel's other end, or the one given, which is closed from then on;
 *                                          nil, message
 *     core.channel_refuse(channel, reason) */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/error.h"
#include "mtev/init.h"
#include "net/reverse.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"
#include "runtime/type.h"

#define TUNNEL "mtev.tunnel"
#define CHANNEL "mtev.channel"

typedef struct tunnel {
    lh_tunnel *tunnel; /* NULL = closed */
    lh_task *waiter;   /* parked in tunnel_next, which holds this userdata; NULL = nobody */
    bool is_published;
    char reason[LH_TUNNEL_REASON_MAX]; /* why it ended */
} tunnel;

/* -- Channels ------------------------------------------------------------------------------------------------------ */

/* The next one that the peer wants to open, which there is. It is taken when nothing can raise any more. */
static void push_channel(lua_State *L, lh_tunnel *from) {
    lh_channel **object = lua_newuserdata(L, sizeof(*object));
    *object = NULL;
    luaL_getmetatable(L, CHANNEL);
    lua_setmetatable(L, -2);
    *object = lh_tunnel_take(from);
    assert(*object);
}

static lh_channel *take_channel(lua_State *L) {
    lh_channel **object = lh_type_check(L, 1, CHANNEL);
    lh_channel *channel = *object;
    *object = NULL;
    return channel;
}

/* Nobody wanted it. */
static int channel_gc(lua_State *L) {
    lh_channel *channel = take_channel(L);
    if (!channel) return 0;
    lh_channel_refuse(channel, "refused");
    lh_channel_release(channel);
    return 0;
}

static int accept_through(lua_State *L, lh_channel *channel) {
    lh_eventer *e = lh_check_own_eventer(L, 2, LH_EVENTER_READS | LH_EVENTER_WRITES);
    return lh_channel_accept(channel, lh_eventer_take_socket(L, e), NULL);
}

/* One end of a socket pair is the channel's, the other the script's. */
static int accept_here(lua_State *L, lh_channel *channel) {
    int fds[2];
    lh_eventer_reserve(L, 1);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) return -errno;
    lh_net *net = &lh_state_here()->net;
    lh_socket *near = lh_socket_adopt(net, fds[0], AF_UNIX, SOCK_STREAM);
    lh_socket *far = lh_socket_adopt(net, fds[1], AF_UNIX, SOCK_STREAM);
    near->is_connected = far->is_connected = true;
    near->cut = lh_cut_new();
    lh_eventer_push(L, near);
    return lh_channel_accept(channel, far, near->cut);
}

static int core_channel_accept(lua_State *L) {
    lh_channel **object = lh_type_check(L, 1, CHANNEL);
    if (!*object) return lh_push_nil_error(L, lh_error_text(ECONNRESET));
    lua_settop(L, 2);
    const bool is_through = !lua_isnil(L, 2);
    const int rv = is_through ? accept_through(L, *object) : accept_here(L, *object);
    if (rv < 0) {
        if (rv != -ECONNRESET) lh_channel_refuse(*object, lh_error_text(-rv));
        lh_channel_release(take_channel(L));
        return lh_push_nil_error(L, lh_error_text(-rv));
    }
    lh_channel_release(take_channel(L));
    assert(lua_gettop(L) == (is_through ? 2 : 3));
    lua_pushvalue(L, is_through ? 2 : -1);
    return 1;
}

static int core_channel_refuse(lua_State *L) {
    const char *reason = luaL_checkstring(L, 2);
    lh_channel *channel = take_channel(L);
    if (!channel) return 0;
    lh_channel_refuse(channel, reason);
    lh_channel_release(channel);
    return 0;
}

/* -- Tunnels ------------------------------------------------------------------------------------------------------- */

static int push_next(lh_task *task, lua_State *T, void *context) {
    tunnel *t = task->object;
    assert(t->waiter == task && t->tunnel == context);
    push_channel(T, context);
    t->waiter = NULL;
    return 1;
}

static void on_channel(lh_tunnel *which) {
    tunnel *t = lh_tunnel_owner(which);
    assert(t->tunnel == which);
    if (t->waiter && lh_tunnel_has_offer(which)) lh_task_answer(t->waiter, push_next, which);
}

static void close_tunnel(tunnel *t, const char *reason) {
    if (!t->tunnel) return;
    snprintf(t->reason, sizeof(t->reason), "%s", reason);
    lh_tunnel *closing = t->tunnel;
    t->tunnel = NULL;
    if (t->is_published) lh_reverse_unpublish(closing);
    lh_tunnel_close(closing);
}

static int push_reason(lh_task *task, lua_State *T) { return lh_push_nil_error(T, ((tunnel *)task->object)->reason); }

static int push_end(lh_task *task, lua_State *T, void *context) {
    assert(((tunnel *)context)->waiter == task);
    const int n = push_reason(task, T);
    ((tunnel *)context)->waiter = NULL;
    return n;
}

static void on_end(lh_tunnel *which, const char *reason) {
    tunnel *t = lh_tunnel_owner(which);
    close_tunnel(t, reason);
    if (t->waiter) lh_task_answer(t->waiter, push_end, t);
}

static const lh_tunnel_events events = {.on_channel = on_channel, .on_end = on_end};

static int core_tunnel_open(lua_State *L) {
    lh_eventer *e = lh_check_own_eventer(L, 1, LH_EVENTER_READS | LH_EVENTER_WRITES);
    const char *name = lua_isnil(L, 2) ? NULL : lh_check_name(L, 2);
    tunnel *t = lua_newuserdata(L, sizeof(*t));
    const lh_tunnel_options options = {.opens_channels = name != NULL,
                                       .keepalive_ns = (lh_ns)(lh_check_number(L, 3) * 1e9),
                                       .window_bytes = (uint32_t)lh_check_integer(L, 4, 1, INT32_MAX),
                                       .channels_max = (uint32_t)lh_check_integer(L, 5, 1, INT32_MAX),
                                       .events = &events,
                                       .owner = t};
    *t = (tunnel){0};
    luaL_getmetatable(L, TUNNEL);
    lua_setmetatable(L, -2);
    t->tunnel = lh_tunnel_open(lh_eventer_take_socket(L, e), &options);
    if (!t->tunnel) return lh_push_nil_error(L, lh_error_text(ENOMEM));
    if (name) lh_reverse_publish(t->tunnel, &lh_state_here()->net, name);
    t->is_published = name != NULL;
    return 1;
}

static void withdraw_next(lh_task *task) {
    tunnel *t = task->object;
    assert(t->waiter == task);
    t->waiter = NULL;
}

static const lh_wait next_wait = {
    .name = "mtev.reverse", .is_world = true, .withdraw = withdraw_next, .on_run = push_reason};

static int core_tunnel_next(lua_State *L) {
    tunnel *t = lh_type_check(L, 1, TUNNEL);
    if (!t->tunnel) return lh_push_nil_error(L, t->reason);
    if (lh_tunnel_has_offer(t->tunnel)) {
        push_channel(L, t->tunnel);
        return 1;
    }
    lh_task *task = lh_task_may_park(L, &next_wait);
    lh_task_hold(task, L, 1);
    task->object = t;
    t->waiter = task;
    return lh_task_park(task, L, &next_wait, LH_NEVER);
}

static int tunnel_gc(lua_State *L) {
    tunnel *t = lua_touserdata(L, 1);
    if (!lh_collector_may_close(t->waiter != NULL)) return 0;
    t->waiter = NULL;
    close_tunnel(t, "closed");
    return 0;
}

/* Whoever waits for it is told. */
static int core_tunnel_close(lua_State *L) {
    tunnel *t = lh_type_check(L, 1, TUNNEL);
    close_tunnel(t, "closed");
    if (t->waiter) {
        lh_task *task = t->waiter;
        t->waiter = NULL;
        lh_task_wake(task, 0);
    }
    return 0;
}

static int core_tunnel_count(lua_State *L) {
    const tunnel *t = lh_type_check(L, 1, TUNNEL);
    lua_pushinteger(L, t->tunnel ? (lua_Integer)lh_tunnel_channel_count(t->tunnel) : 0);
    return 1;
}

static int core_descriptor_limit(lua_State *L) {
    struct rlimit limit;
    const bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    lua_pushnumber(L, is_known ? (double)limit.rlim_cur : HUGE_VAL);
    return 1;
}

static const luaL_Reg core_functions[] = {
    {"tunnel_open", core_tunnel_open},           {"tunnel_next", core_tunnel_next},
    {"tunnel_close", core_tunnel_close},         {"tunnel_count", core_tunnel_count},
    {"channel_accept", core_channel_accept},     {"channel_refuse", core_channel_refuse},
    {"descriptor_limit", core_descriptor_limit}, {NULL, NULL}};

void lh_open_reverse(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lh_new_type(L, TUNNEL, tunnel_gc);
    lh_new_type(L, CHANNEL, channel_gc);
}
