/* A handle is a userdata made in advance (`spare_eventers`): where there is a socket already, making one cannot fail.
 */
#include "runtime/eventer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "host/log.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/io.h"
#include "runtime/type.h"

#define EVENTER "mtev.eventer"

/* -- Handles ------------------------------------------------------------------------------------------------------- */

static void on_owner_end(lh_owned *owned) {
    lh_eventer *eventer = LH_CONTAINER(owned, lh_eventer, owned);
    assert(eventer->life == LH_EVENTER_OPEN);
    lh_eventer_close(eventer);
    eventer->life = LH_EVENTER_ENDED;
}

/* Where the script made it; only worth the time while somebody reads debug/lua. */
static char *creation_point(lua_State *L) {
    static const char name[] = "debug/lua";
    if (!*lh_log_flag(lh_log_get(name, sizeof(name) - 1))) return NULL;
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline <= 0 || lh_is_internal_source(ar.source)) continue;
        char text[LUA_IDSIZE + 16];
        const int length = snprintf(text, sizeof(text), "%s:%d", ar.short_src, ar.currentline);
        return lh_alloc_copy(text, (size_t)length);
    }
    return NULL;
}

/* A handle of nothing, which is closed. */
static lh_eventer *push_closed(lua_State *L) {
    lh_eventer *eventer = lua_newuserdata(L, sizeof(*eventer));
    *eventer = (lh_eventer){.life = LH_EVENTER_CLOSED};
    lh_list_init(&eventer->owned.owned_node);
    lua_rawgeti(L, LUA_REGISTRYINDEX, lh_state_here()->eventer_ref);
    lua_setmetatable(L, -2);
    return eventer;
}

void lh_eventer_reserve(lua_State *L, int count) {
    assert(count <= LH_EVENTER_RESERVE_MAX);
    lh_state *state = lh_state_here();
    lh_check_memory(L);
    if (state->spare_eventers >= count) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->spare_eventers_ref);
    while (state->spare_eventers < count) {
        push_closed(L);
        lua_rawseti(L, -2, ++state->spare_eventers);
    }
    lua_pop(L, 1);
}

static lh_eventer *push_spare(lua_State *L, lh_state *state) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->spare_eventers_ref);
    lua_rawgeti(L, -1, state->spare_eventers);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -3, state->spare_eventers--);
    lua_remove(L, -2);
    assert(lua_isuserdata(L, -1) && state->spare_eventers >= 0);
    return lua_touserdata(L, -1);
}

static lh_eventer *push_handle(lua_State *L, lh_socket *socket, lh_task *owner, int directions) {
    lh_state *state = lh_state_here();
    assert(owner && owner->status != LH_TASK_GONE && lh_slab_has(&state->net.sockets, socket));
    lh_eventer *eventer = state->spare_eventers > 0 ? push_spare(L, state) : push_closed(L);
    assert(eventer->life == LH_EVENTER_CLOSED && !eventer->socket && !eventer->sibling);
    eventer->directions = (uint8_t)directions;
    eventer->socket = socket;
    eventer->owner = owner;
    eventer->owned.on_owner_end = on_owner_end;
    lh_list_append(&owner->owned, &eventer->owned.owned_node);
    eventer->life = LH_EVENTER_OPEN;
    return eventer;
}

lh_eventer *lh_eventer_push(lua_State *L, lh_socket *take_socket) {
    take_socket->events = &lh_io_events;
    lh_eventer *eventer = push_handle(L, take_socket, lh_state_here()->running, LH_EVENTER_READS | LH_EVENTER_WRITES);
    eventer->created_at = creation_point(L);
    return eventer;
}

/* Ends the directions that only this handle may use, waking who is parked there; the handle keeps nothing. */
static void release_socket(lh_eventer *eventer) {
    lh_socket *socket = eventer->socket;
    assert(lh_slab_has(&lh_state_here()->net.sockets, socket));
    assert(!eventer->sibling || (eventer->sibling->sibling == eventer && eventer->sibling->socket == socket));
    lh_task *reader = eventer->directions & LH_EVENTER_READS ? socket->reader : NULL;
    lh_task *writer = eventer->directions & LH_EVENTER_WRITES ? socket->writer : NULL;
    if (reader) socket->reader = NULL;
    if (writer) socket->writer = NULL;
    lh_io_end_closed(reader);
    lh_io_end_closed(writer);
    if (eventer->sibling) {
        eventer->sibling->sibling = NULL;
        lh_socket_shutdown(socket, eventer->directions & LH_EVENTER_WRITES ? SHUT_WR : SHUT_RD);
    } else {
        lh_socket_close(socket);
    }
}

static void detach(lh_eventer *eventer, lh_eventer_life life) {
    assert(eventer->life == LH_EVENTER_OPEN && life != LH_EVENTER_OPEN);
    lh_list_remove(&eventer->owned.owned_node);
    eventer->socket = NULL;
    eventer->sibling = NULL;
    eventer->life = (uint8_t)life;
    lh_free(eventer->created_at);
    eventer->created_at = NULL;
}

void lh_eventer_close(lh_eventer *eventer) {
    if (eventer->life != LH_EVENTER_OPEN) return;
    release_socket(eventer);
    detach(eventer, LH_EVENTER_CLOSED);
}

static int eventer_gc(lua_State *L) {
    lh_eventer *eventer = lua_touserdata(L, 1);
    if (eventer->life != LH_EVENTER_OPEN) return 0;
    lh_socket *socket = eventer->socket;
    if (eventer->created_at) {
        lh_log_print("debug/lua", "an eventer made at %s was collected without being closed\n", eventer->created_at);
    }
    if (!lh_state_here()->is_closing && !eventer->sibling && (socket->reader || socket->writer)) {
        socket->is_orphan = true; /* the wait under way still needs it */
        detach(eventer, LH_EVENTER_CLOSED);
        return 0;
    }
    if (lh_state_here()->is_closing) socket->reader = socket->writer = NULL;
    lh_eventer_close(eventer);
    return 0;
}

/* -- own and split ------------------------------------------------------------------------------------------------- */

static bool is_busy(const lh_eventer *eventer) {
    return (eventer->directions & LH_EVENTER_READS && eventer->socket->reader) ||
           (eventer->directions & LH_EVENTER_WRITES && eventer->socket->writer);
}

static void check_not_busy(lua_State *L, const lh_eventer *eventer) {
    if (is_busy(eventer)) {
        const bool is_receiving = eventer->directions & LH_EVENTER_READS && eventer->socket->reader;
        lh_raise(L, "mtev.eventer: busy (another coroutine is %s)", is_receiving ? "receiving" : "sending");
    }
}

lh_socket *lh_eventer_take_socket(lua_State *L, lh_eventer *eventer) {
    if (eventer->sibling) lh_raise(L, "mtev.eventer is split");
    check_not_busy(L, eventer);
    assert(eventer->directions == (LH_EVENTER_READS | LH_EVENTER_WRITES));
    lh_socket *socket = eventer->socket;
    detach(eventer, LH_EVENTER_CLOSED);
    socket->events = NULL;
    return socket;
}

static int eventer_own(lua_State *L) {
    lh_eventer *old = lh_check_any_eventer(L, 1);
    lh_task *task = lh_task_current(L, "eventer:own");
    if (old->life == LH_EVENTER_CLOSED || old->life == LH_EVENTER_ENDED) {
        lua_pushnil(L);
        return 1;
    }
    lh_check_eventer(L, 1);
    lua_settop(L, 1);
    if (old->owner == task) return 1;
    check_not_busy(L, old);
    lh_eventer *new = push_handle(L, old->socket, task, old->directions);
    new->sibling = old->sibling;
    if (new->sibling) new->sibling->sibling = new;
    new->created_at = old->created_at;
    old->created_at = NULL;
    detach(old, LH_EVENTER_DISOWNED);
    return 1;
}

static int eventer_split(lua_State *L) {
    lh_eventer *old = lh_check_own_eventer(L, 1, 0);
    if (old->directions != (LH_EVENTER_READS | LH_EVENTER_WRITES)) lh_raise(L, "mtev.eventer is split already");
    check_not_busy(L, old);
    lh_eventer_reserve(L, 2);
    lh_socket *socket = old->socket;
    lh_task *owner = old->owner;
    lh_eventer *reader = push_handle(L, socket, owner, LH_EVENTER_READS);
    detach(old, LH_EVENTER_DISOWNED);
    lh_eventer *writer = push_handle(L, socket, owner, LH_EVENTER_WRITES);
    reader->sibling = writer;
    writer->sibling = reader;
    return 2;
}

/* -- Checks -------------------------------------------------------------------------------------------------------- */

lh_eventer *lh_check_any_eventer(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        const bool is_eventer = lua_topointer(L, -1) == lh_state_here()->eventer_metatable;
        lua_pop(L, 1);
        if (is_eventer) return lua_touserdata(L, index);
    }
    lh_raise_type(L, index, EVENTER);
}

lh_eventer *lh_check_eventer(lua_State *L, int index) {
    lh_eventer *eventer = lh_check_any_eventer(L, index);
    switch (eventer->life) {
    case LH_EVENTER_OPEN: return eventer;
    case LH_EVENTER_ENDED: lh_raise(L, "mtev.eventer is closed (its coroutine ended)");
    case LH_EVENTER_DISOWNED:
        lh_raise(L, "mtev.eventer is owned by another coroutine, or by the handle that own or split gave");
    default: lh_raise(L, "mtev.eventer is closed");
    }
}

static void check_directions(lua_State *L, const lh_eventer *eventer, int directions) {
    const int missing = directions & ~eventer->directions;
    if (missing) {
        lh_raise(L, "mtev.eventer: this half of a split one cannot %s", missing & LH_EVENTER_READS ? "read" : "write");
    }
    assert(lh_slab_has(&lh_state_here()->net.sockets, eventer->socket));
}

lh_eventer *lh_check_eventer_half(lua_State *L, int index, int directions) {
    lh_eventer *eventer = lh_check_eventer(L, index);
    check_directions(L, eventer, directions);
    return eventer;
}

lh_eventer *lh_check_own_eventer(lua_State *L, int index, int directions) {
    lh_eventer *eventer = lh_check_eventer(L, index);
    if (eventer->owner != lh_state_here()->running) {
        lh_raise(L, "cross-coroutine socket call: use event:own()");
    }
    check_directions(L, eventer, directions);
    return eventer;
}

/* -- Addresses ----------------------------------------------------------------------------------------------------- */

static const char *cannot_translate(lua_State *L, const char *text) {
    return lua_pushfstring(L, "Cannot translate '%s' to IP", text);
}

const char *lh_check_target(lua_State *L, const lh_socket *socket, int index, int port_index, lh_address *address) {
    size_t length;
    const char *text = lh_check_string(L, index, &length);
    if (socket->family == AF_UNIX) {
        return lh_address_unix(address, text, length) < 0 ? lh_error_text(ENAMETOOLONG) : NULL;
    }
    text = lh_check_name(L, index);
    const unsigned port = lh_check_port(L, port_index);
    if (lh_address_parse_ip(address, text, port) < 0) return cannot_translate(L, text);
    if (socket->family == LH_SOCKET_PIPE) return lh_error_text(ENOTSOCK);
    if (lh_address_family(address) != socket->family) return lh_error_text(EAFNOSUPPORT);
    return NULL;
}

/* -- tostring ------------------------------------------------------------------------------------------------------ */

static const char *kind_of(const lh_socket *socket) {
    if (socket->family == LH_SOCKET_PIPE) return "pipe";
    if (socket->family == AF_UNIX) return socket->type == SOCK_DGRAM ? "unix datagram" : "unix";
    return socket->type == SOCK_DGRAM ? "udp" : "tcp";
}

static void add_name(lua_State *L, const char *before, const lh_address *address) {
    char host[LH_ADDRESS_TEXT_MAX];
    lh_address_host(address, host);
    if (lh_address_family(address) == AF_UNIX) {
        lua_pushfstring(L, "%s%s", before, host);
    } else {
        const char *format = lh_address_family(address) == AF_INET6 ? "%s[%s]:%d" : "%s%s:%d";
        lua_pushfstring(L, format, before, host, (int)lh_address_port(address));
    }
    lua_concat(L, 2);
}

static int eventer_tostring(lua_State *L) {
    static const char *const lives[] = {"open", "closed", "closed", "owned by another coroutine"};
    const lh_eventer *e = lh_check_any_eventer(L, 1);
    if (e->life != LH_EVENTER_OPEN) {
        lua_pushfstring(L, "mtev.eventer: %s", lives[e->life]);
        return 1;
    }
    lua_pushfstring(L, "mtev.eventer: %s", kind_of(e->socket));
    lh_address address;
    if (lh_socket_local_address(e->socket, &address) == 0) add_name(L, " ", &address);
    if (lh_socket_peer_address(e->socket, &address) == 0) add_name(L, " -> ", &address);
    return 1;
}

/* -- The type ------------------------------------------------------------------------------------------------------ */

static const luaL_Reg own_methods[] = {{"own", eventer_own}, {"split", eventer_split}, {NULL, NULL}};

static void set_methods(lua_State *L, int index, const luaL_Reg *methods) {
    for (; methods->name; methods++) {
        lua_pushcfunction(L, methods->func);
        lua_setfield(L, index, methods->name);
    }
}

void lh_eventer_open_type(lua_State *L, const luaL_Reg *methods) {
    lh_state *state = lh_state_here();
    lua_newtable(L);
    const int table = lua_gettop(L);
    set_methods(L, table, own_methods);
    set_methods(L, table, methods);
    lh_type_new(L, EVENTER);
    lua_pushvalue(L, table);
    lua_setfield(L, -2, "__index");
    lh_set_collector(L, eventer_gc);
    lua_pushcfunction(L, eventer_tostring);
    lua_setfield(L, -2, "__tostring");
    state->eventer_metatable = lua_topointer(L, -1);
    state->eventer_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_createtable(L, LH_EVENTER_RESERVE_MAX, 0);
    state->spare_eventers_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    assert(lua_gettop(L) == table);
}
