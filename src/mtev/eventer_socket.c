/* What scripts get: mtev.socket and the methods of mtev.eventer that make servers and tell names: bind, listen, accept,
 * peer_name, sock_name. accept is finished in lualib/mtev/eventer.lua; connect is in eventer_connect.c. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"
#include "runtime/io.h"

/* -- mtev.socket --------------------------------------------------------------------------------------------------- */

static bool is_prefixed(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

/* The address family that a script's word means; raises for words that mean none. */
static int check_family(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) return AF_INET;
    const char *word = lh_check_name(L, index);
    if (strcmp(word, "inet") == 0) return AF_INET;
    if (strcmp(word, "inet6") == 0) return AF_INET6;
    if (is_prefixed(word, "reverse:")) return AF_INET;
    if (strcmp(word, "unix") == 0 || strchr(word, '/')) return AF_UNIX;
    lh_address address;
    if (lh_address_parse_ip(&address, word, 0) == 0) return lh_address_family(&address);
    char shown[128];
    snprintf(shown, sizeof(shown), "%s", word); /* a message need not repeat a megabyte */
    lh_raise(L, "mtev.socket family for %s unknown", shown);
}

static int check_type(lua_State *L, int index) {
    const char *word = lua_isnoneornil(L, index) ? "tcp" : lh_check_name(L, index);
    if (strcmp(word, "tcp") == 0) return SOCK_STREAM;
    if (strcmp(word, "udp") == 0) return SOCK_DGRAM;
    lh_raise(L, "mtev.socket called with invalid arguments");
}

static int mtev_socket(lua_State *L) {
    const int family = check_family(L, 1), type = check_type(L, 2);
    lh_task_current(L, "mtev.socket");
    lh_eventer_reserve(L, 1);
    int error;
    lh_socket *socket = lh_socket_open(&lh_state_here()->net, family, type, &error);
    if (!socket) return lh_push_nil_errno(L, error);
    lh_eventer_push(L, socket);
    return 1;
}

/* -- Addresses ----------------------------------------------------------------------------------------------------- */

static int push_address(lua_State *L, const lh_address *address) {
    char host[LH_ADDRESS_TEXT_MAX];
    lua_pushlstring(L, host, lh_address_host(address, host));
    if (lh_address_family(address) == AF_UNIX) return 1;
    lua_pushinteger(L, (lua_Integer)lh_address_port(address));
    return 2;
}

static int eventer_peer_name(lua_State *L) {
    lh_address address;
    const lh_eventer *e = lh_check_eventer(L, 1);
    return lh_socket_peer_address(e->socket, &address) < 0 ? 0 : push_address(L, &address);
}

static int eventer_sock_name(lua_State *L) {
    lh_address address;
    const lh_eventer *e = lh_check_eventer(L, 1);
    return lh_socket_local_address(e->socket, &address) < 0 ? 0 : push_address(L, &address);
}

/* -- Server side --------------------------------------------------------------------------------------------------- */

static int push_zero_or_error(lua_State *L, int rv) {
    if (rv < 0) return lh_push_minus1_error(L, lh_error_text(-rv));
    lua_pushinteger(L, 0);
    return 1;
}

static int eventer_bind(lua_State *L) {
    lh_eventer *e = lh_check_eventer(L, 1);
    lh_address address;
    if (e->socket->family != AF_UNIX && strcmp(lh_check_name(L, 2), "*") == 0) {
        lh_address_any(&address, e->socket->family, lh_check_port(L, 3));
    } else {
        const char *message = lh_check_target(L, e->socket, 2, 3, &address);
        if (message) {
            e->socket->bind_error = EADDRNOTAVAIL;
            return lh_push_minus1_error(L, message);
        }
    }
    return push_zero_or_error(L, lh_socket_bind(e->socket, &address));
}

static int eventer_listen(lua_State *L) {
    const lh_eventer *e = lh_check_eventer(L, 1);
    const int backlog = lua_isnoneornil(L, 2) ? SOMAXCONN : (int)lh_check_integer(L, 2, INT32_MIN, INT32_MAX);
    const int rv = lh_socket_listen(e->socket, backlog);
    if (rv < 0) return lh_push_minus1_errno(L, -rv);
    lua_pushinteger(L, 0);
    return 1;
}

static int fail_accept(lua_State *T, const char *message) { return lh_push_nil_error(T, message); }

static int push_accepted(lua_State *L, int rv, lh_socket *accepted) {
    if (rv == -EAGAIN) return LH_TASK_STAY;
    if (rv < 0) return lh_push_nil_error(L, lh_error_text(-rv));
    lh_eventer_push(L, accepted);
    return 1;
}

/* `running` is who the new eventer shall belong to: in a loop callback nobody runs, so the waiter is put there. */
static int attempt_accept(lh_task *task, lua_State *T, lh_socket *listener) {
    lh_socket *accepted = NULL;
    lh_eventer_reserve(T, 1);
    const int rv = lh_socket_accept(listener, &accepted);
    lh_state *state = lh_state_here();
    assert(!state->running && listener->reader == task);
    state->running = task;
    const int n = push_accepted(T, rv, accepted);
    state->running = NULL; /* where it raises, lh_task_answer puts it back */
    return n;
}

/* A held listener's deadline is the end of its hold: then accepting is tried again. */
static int on_accept_deadline(lh_task *task, lua_State *T) {
    lh_socket *listener = task->object;
    const int n = attempt_accept(task, T, listener);
    if (n != LH_TASK_STAY) lh_io_withdraw(task);
    return n;
}

static const lh_io_wait accept_wait = {.wait = {.name = "eventer:accept",
                                                .is_world = true,
                                                .on_deadline = on_accept_deadline,
                                                .withdraw = lh_io_withdraw,
                                                .on_run = lh_io_on_run},
                                       .attempt = attempt_accept,
                                       .fail = fail_accept};

static int core_accept(lua_State *L) {
    lh_eventer *e = lh_check_own_eventer(L, 1, LH_EVENTER_READS);
    lh_io_check_free(L, e->socket, false);
    lh_socket *accepted = NULL;
    lh_eventer_reserve(L, 1);
    const int rv = lh_socket_accept(e->socket, &accepted);
    const int n = push_accepted(L, rv, accepted);
    if (n != LH_TASK_STAY) return n;
    lh_task *task = lh_task_may_park(L, &accept_wait.wait);
    return lh_io_park(task, L, e->socket, &accept_wait, lh_socket_hold_time(e->socket));
}

static const luaL_Reg functions[] = {{"socket", mtev_socket}, {NULL, NULL}};

static const luaL_Reg core_functions[] = {{"accept", core_accept}, {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"bind", eventer_bind},
    {"listen", eventer_listen},
    {"peer_name", eventer_peer_name},
    {"sock_name", eventer_sock_name},
    {NULL, NULL},
};

void lh_open_eventer_socket(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lua_getfield(L, LH_CORE, "eventer_methods");
    lh_set_functions(L, lua_gettop(L), methods);
}
