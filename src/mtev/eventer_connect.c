/* What scripts get: e:connect (finished in lualib/mtev/eventer.lua): to an address, at once; to a host's name, which is
 * looked up first and whose addresses race; to "reverse:NAME", through a tunnel. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "mtev/init.h"
#include "net/names.h"
#include "net/race.h"
#include "net/reverse.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"
#include "runtime/io.h"

#define CONNECTING "mtev.connecting"

static int fail(lua_State *T, const char *message) { return lh_push_minus1_error(T, message); }

static int push_connected(lua_State *L, int rv) {
    if (rv == -EINPROGRESS) return LH_TASK_STAY;
    if (rv < 0) return fail(L, lh_error_text(-rv));
    lua_pushinteger(L, 0);
    return 1;
}

/* -- To an address ------------------------------------------------------------------------------------------------- */

static int attempt(lh_task *task, lua_State *T, lh_socket *socket) {
    assert(socket->writer == task);
    (void)task;
    return push_connected(T, lh_socket_connect_result(socket));
}

/* The kernel goes on trying: a socket whose connect was given up is of no use any more. */
static const lh_io_wait address_wait = {.wait = {.name = "eventer:connect",
                                                 .is_world = true,
                                                 .on_deadline = lh_io_on_deadline,
                                                 .withdraw = lh_io_withdraw,
                                                 .on_run = lh_io_on_run},
                                        .is_writing = true,
                                        .attempt = attempt,
                                        .fail = fail,
                                        .give_up = lh_socket_fail};

/* -- Connects that take more than their socket --------------------------------------------------------------------- */

enum { NAME_MAX_BYTES = 255 };

/* Userdata that the waiting task holds; `socket->connecting`. */
typedef struct connecting {
    lh_socket *socket;
    lh_names *names;    /* being looked up, NULL = no more */
    lh_race *race;      /* under way, NULL = none */
    lh_dial *dial;      /* likewise */
    lh_timer again;     /* to a unix listener whose queue is full: when to try again; not armed = no */
    lh_ns pause;        /* ... and after how long */
    lh_address address; /* ... and where */
    unsigned port;
    bool is_over;
    int result;                        /* of what is over: 0, -EINPROGRESS (the socket connects) or a negative errno */
    char message[NAME_MAX_BYTES + 64]; /* why it failed, where no errno says it; "" = none */
    char name[NAME_MAX_BYTES + 1];
} connecting;

static void abandon(connecting *c) {
    if (c->names) lh_names_forget(c->names);
    c->names = NULL;
    lh_race_stop(c->race);
    c->race = NULL;
    lh_dial_give_up(c->dial);
    c->dial = NULL;
    lh_timer_stop(&lh_state_here()->net.loop.timers, &c->again);
}

static int connecting_gc(lua_State *L) {
    abandon(lua_touserdata(L, 1));
    return 0;
}

static void on_again(lh_timer *timer);

static int attempt_more(lh_task *task, lua_State *T, lh_socket *socket) {
    (void)task;
    const connecting *c = socket->connecting;
    assert(socket->writer == task && c->socket == socket);
    if (!c->is_over) return LH_TASK_STAY;
    if (c->message[0]) return fail(T, c->message);
    return push_connected(T, c->result == -EINPROGRESS ? lh_socket_connect_result(socket) : c->result);
}

static void give_up_more(lh_socket *socket, int error) {
    abandon(socket->connecting);
    lh_socket_fail(socket, error);
}

static const lh_io_wait more_wait = {.wait = {.name = "eventer:connect",
                                              .is_world = true,
                                              .on_deadline = lh_io_on_deadline,
                                              .withdraw = lh_io_withdraw,
                                              .on_run = lh_io_on_run},
                                     .is_writing = true,
                                     .attempt = attempt_more,
                                     .fail = fail,
                                     .give_up = give_up_more};

/* Pushes a `connecting` for the running task, which is to park on it. */
static connecting *push_connecting(lua_State *L, lh_task *task, lh_socket *socket, const char *name) {
    assert(!socket->writer && strlen(name) <= NAME_MAX_BYTES);
    connecting *c = lua_newuserdata(L, sizeof(*c));
    *c = (connecting){.socket = socket};
    lh_timer_init(&c->again, on_again);
    memcpy(c->name, name, strlen(name) + 1);
    luaL_getmetatable(L, CONNECTING);
    lua_setmetatable(L, -2);
    lh_task_hold(task, L, lua_gettop(L));
    socket->connecting = c;
    return c;
}

/* To be returned. */
static int park(lua_State *L, lh_task *task, connecting *c, lh_ns timeout) {
    lh_socket *socket = c->socket;
    const int n = lh_io_park(task, L, socket, &more_wait, lh_loop_deadline(timeout));
    if (socket->writer != task) abandon(c); /* it could not be watched */
    return n;
}

static void finish(connecting *c, int result) {
    assert(!c->is_over && c->socket->connecting == c && c->socket->writer);
    c->is_over = true;
    c->result = result;
    lh_io_retry(c->socket, true);
}

/* Why `socket` cannot be connected, NULL = it can. */
static const char *obstacle(const lh_socket *socket) {
    if (socket->error) return lh_socket_error_text(socket, socket->error);
    if (socket->bind_error) return lh_error_text(socket->bind_error);
    if (socket->type != SOCK_STREAM) return NULL;
    return socket->is_connected || socket->is_listening ? lh_error_text(EISCONN) : NULL;
}

/* -- To an address, finished --------------------------------------------------------------------------------------- */

enum { PAUSE_LEAST = 1, PAUSE_MOST = 20 }; /* ms between tries at a unix listener whose queue is full */

static void try_again_later(connecting *c) {
    assert(!c->again.is_armed && c->pause > 0);
    lh_timer_start(&c->socket->net->loop.timers, &c->again, lh_loop_deadline(c->pause));
    if (c->pause < PAUSE_MOST * LH_MILLISECOND) c->pause *= 2;
}

static void on_again(lh_timer *timer) {
    connecting *c = LH_CONTAINER(timer, connecting, again);
    const int rv = lh_socket_connect(c->socket, &c->address);
    if (rv == -EAGAIN) {
        try_again_later(c);
    } else {
        finish(c, rv);
    }
}

/* A blocking connect(2) would wait until the listener accepts somebody; one that does not block is told nothing. */
static int connect_when_there_is_room(lua_State *L, lh_socket *socket, const lh_address *address, lh_ns timeout) {
    if (timeout == 0) return fail(L, "timeout");
    lh_task *task = lh_task_may_park(L, &more_wait.wait);
    connecting *c = push_connecting(L, task, socket, "");
    c->address = *address;
    c->pause = PAUSE_LEAST * LH_MILLISECOND;
    try_again_later(c);
    return park(L, task, c, timeout);
}

static int connect_to_address(lua_State *L, lh_socket *socket, const lh_address *address, lh_ns timeout) {
    const int rv = lh_socket_connect(socket, address);
    if (rv == -EAGAIN && socket->family == AF_UNIX && socket->type == SOCK_STREAM) {
        return connect_when_there_is_room(L, socket, address, timeout);
    }
    const int n = push_connected(L, rv);
    if (n != LH_TASK_STAY) return n;
    if (timeout == 0) {
        lh_socket_fail(socket, ETIMEDOUT);
        return fail(L, "timeout");
    }
    lh_task *task = lh_task_may_park(L, &address_wait.wait);
    return lh_io_park(task, L, socket, &address_wait, lh_loop_deadline(timeout));
}

/* -- To a name ----------------------------------------------------------------------------------------------------- */

static void cannot_translate(const char *name, char *message, size_t size) {
    snprintf(message, size, "Cannot translate '%s' to IP", name);
}

static void finish_unknown(connecting *c) {
    cannot_translate(c->name, c->message, sizeof(c->message));
    finish(c, 0);
}

static void on_race(void *owner, lh_socket *take_winner, int error) {
    connecting *c = owner;
    c->race = NULL;
    if (take_winner) {
        lh_socket_replace(c->socket, take_winner);
        finish(c, 0);
    } else {
        lh_socket_fail(c->socket, error);
        finish(c, -error);
    }
}

static bool is_bound(const lh_socket *socket) {
    lh_address address;
    return lh_socket_local_address(socket, &address) == 0 && lh_address_port(&address) != 0;
}

static void set_ports(lh_names *names, unsigned port) {
    for (size_t i = 0; i < names->count; i++) lh_address_set_port(&names->addresses[i], port);
}

/* A datagram socket, and one that the script has bound, stand for themselves: the first address of their family. */
static void connect_alone(connecting *c, const lh_names *names) {
    const int family = c->socket->family;
    for (size_t i = 0; i < names->count; i++) {
        if (lh_address_family(&names->addresses[i]) != family) continue;
        finish(c, lh_socket_connect(c->socket, &names->addresses[i]));
        return;
    }
    finish_unknown(c);
}

static void connect_to_names(connecting *c, lh_names *names) {
    set_ports(names, c->port);
    if (names->system_error) {
        lh_socket_fail(c->socket, names->system_error);
        finish(c, -names->system_error);
    } else if (names->error) {
        finish_unknown(c);
    } else if (c->socket->type == SOCK_DGRAM || is_bound(c->socket)) {
        connect_alone(c, names);
    } else {
        assert(names->count > 0);
        c->race = lh_race_start(c->socket, names->addresses, names->count, on_race, c);
    }
}

static void on_names(lh_names *names, bool is_closing) {
    connecting *c = names->owner;
    if (c && !is_closing) {
        assert(c->names == names);
        c->names = NULL;
        connect_to_names(c, names);
    }
    lh_names_free(names);
}

/* "1.2.3" is no name (RFC 1123, 2.1: the last label of one has letters), though getaddrinfo(3) takes it for 1.2.0.3. */
static bool may_be_name(const char *name) {
    const char *dot = strrchr(name, '.');
    const char *last = dot ? dot + 1 : name;
    return *name && strlen(name) <= NAME_MAX_BYTES && !(*last && strspn(last, "0123456789") == strlen(last));
}

static int connect_to_name(lua_State *L, lh_socket *socket, const char *name, unsigned port, lh_ns timeout) {
    if (!may_be_name(name)) {
        char message[NAME_MAX_BYTES + 64];
        cannot_translate(strlen(name) <= NAME_MAX_BYTES ? name : "...", message, sizeof(message));
        return fail(L, message);
    }
    const char *message = obstacle(socket);
    if (message) return fail(L, message);
    if (timeout == 0) { /* no name is known at once */
        lh_socket_fail(socket, ETIMEDOUT);
        return fail(L, "timeout");
    }
    lh_check_memory(L);
    lh_task *task = lh_task_may_park(L, &more_wait.wait);
    connecting *c = push_connecting(L, task, socket, name);
    c->port = port;
    c->names = lh_names_ask(&socket->net->loop, name, AF_UNSPEC, on_names, c);
    return park(L, task, c, timeout);
}

/* -- Through a tunnel ---------------------------------------------------------------------------------------------- */

static void on_dialled(void *owner, lh_socket *take_socket, const char *reason) {
    connecting *c = owner;
    assert(c->dial && (take_socket || reason));
    c->dial = NULL;
    if (take_socket) {
        lh_socket_replace(c->socket, take_socket);
    } else {
        snprintf(c->message, sizeof(c->message), "%s", reason);
        lh_socket_fail(c->socket, EHOSTUNREACH);
    }
    finish(c, 0);
}

static int connect_to_reverse(lua_State *L, lh_socket *socket, const char *name, lh_ns timeout) {
    int error = EHOSTUNREACH;
    const char *message = socket->type == SOCK_STREAM ? obstacle(socket) : lh_error_text(EOPNOTSUPP);
    if (message) return fail(L, message);
    if (strlen(name) > NAME_MAX_BYTES) return fail(L, "Reverse connection unavailable");
    lh_task *task = lh_task_may_park(L, &more_wait.wait);
    connecting *c = push_connecting(L, task, socket, name);
    c->dial = lh_reverse_dial(socket->net, name, on_dialled, c, &error);
    if (!c->dial) return fail(L, error == EHOSTUNREACH ? "Reverse connection unavailable" : lh_error_text(error));
    if (timeout == 0) {
        abandon(c);
        lh_socket_fail(socket, ETIMEDOUT);
        return fail(L, "timeout");
    }
    return park(L, task, c, timeout);
}

/* -- connect ------------------------------------------------------------------------------------------------------- */

static int core_connect(lua_State *L) {
    lh_eventer *e = lh_check_own_eventer(L, 1, 0);
    lh_socket *socket = e->socket;
    const lh_ns timeout = lh_check_timeout(L, 4);
    lh_address address;
    static const char reverse[] = "reverse:";
    const bool is_reverse = strncmp(lh_check_string(L, 2, NULL), reverse, sizeof(reverse) - 1) == 0;
    lh_io_check_free(L, socket, true);
    if (is_reverse) return connect_to_reverse(L, socket, lh_check_name(L, 2) + sizeof(reverse) - 1, timeout);
    if (socket->family == AF_INET || socket->family == AF_INET6) {
        const char *name = lh_check_name(L, 2);
        const unsigned port = lh_check_port(L, 3);
        if (lh_address_parse_ip(&address, name, port) < 0) return connect_to_name(L, socket, name, port, timeout);
    }
    const char *message = lh_check_target(L, socket, 2, 3, &address);
    if (message) return fail(L, message);
    return connect_to_address(L, socket, &address, timeout);
}

static const luaL_Reg core_functions[] = {{"connect", core_connect}, {NULL, NULL}};

void lh_open_eventer_connect(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lh_new_type(L, CONNECTING, connecting_gc);
}
