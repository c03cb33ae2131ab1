/* What scripts get: debug.sethook, debug.gethook and jit.attach, in place of LuaJIT's.
 *
 * They do the same, and note while a hook, or a callback for an event of the compiler, runs: LuaJIT's lua_yield takes a
 * path of its own then, at whatever depth it is called, which a coroutine of the scheduler does not survive.
 * lh_task_can_yield asks.
 *
 * As in LuaJIT there is one hook for all coroutines of a state; a thread as the first argument is accepted. */
#include <assert.h>
#include <string.h>

#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/state.h"
#include "runtime/task.h"

static const char hook_key, raiser_key; /* their addresses are keys in the registry: of the hook, and of who raises */

static void push_hook(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&hook_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

/* What hands a wait and its answer through coroutines within coroutines is Lua code of the library, and no place for a
 * script to cancel, to wait or to raise: an answer would be lost, or the next resume taken for it. A C function is
 * where its caller is. */
static bool is_between_coroutines(lua_State *L) {
    lua_Debug ar;
    for (int level = 0; level < 2 && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "S", &ar);
        if (strcmp(ar.short_src, "mtev/coroutine.lua") == 0) return true;
        if (strcmp(ar.what, "C") != 0) return false;
    }
    return false;
}

static int raise(lua_State *L) { return lua_error(L); }

/* Raises the error on top. A message handler gets it while LuaJIT still runs the hook, which ends when the error is
 * caught: nothing tells when, but then `raise` is no longer on the stack. */
static void raise_from_hook(lua_State *L, lh_state *state) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)&raiser_key);
    lua_pushthread(L);
    lua_rawset(L, LUA_REGISTRYINDEX); /* its place is there: see debug_sethook */
    state->hook_raiser = L;
    state->hook_raise = raise;
    lua_pushcfunction(L, raise);
    lua_insert(L, -2);
    lua_call(L, 1, 0);
}

static void call_hook(lua_State *L, lua_Debug *ar) {
    static const char *const events[] = {"call", "return", "line", "count", "tail return"};
    assert(ar->event >= 0 && (size_t)ar->event < sizeof(events) / sizeof(events[0]));
    lh_state *state = lh_state_here();
    if (lh_task_is_in_hook(state))
        return; /* an error that is caught inside a hook makes LuaJIT forget that one is running */
    if (is_between_coroutines(L)) return;
    if (state->running && state->running->status != LH_TASK_RUNNING) return; /* an error is on its way, see task.c */
    push_hook(L);
    if (!lua_isfunction(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    lua_pushstring(L, events[ar->event]);
    if (ar->currentline >= 0) {
        lua_pushinteger(L, ar->currentline);
    } else {
        lua_pushnil(L);
    }
    state->is_in_hook = true;
    state->hook_raiser = NULL;
    if (lua_pcall(L, 2, 0, 0) != 0) raise_from_hook(L, state);
    state->is_in_hook = false;
}

static int mask_of(const char *events, int count) {
    int mask = count > 0 ? LUA_MASKCOUNT : 0;
    if (strchr(events, 'c')) mask |= LUA_MASKCALL;
    if (strchr(events, 'r')) mask |= LUA_MASKRET;
    if (strchr(events, 'l')) mask |= LUA_MASKLINE;
    return mask;
}

static int debug_sethook(lua_State *L) {
    const int first = lua_isthread(L, 1) ? 2 : 1;
    if (lua_isnoneornil(L, first)) {
        lua_sethook(L, NULL, 0, 0);
        return 0;
    }
    if (!lua_isfunction(L, first)) lh_raise_type(L, first, "function");
    const char *events = lh_check_string(L, first + 1, NULL);
    const int count = lua_isnoneornil(L, first + 2) ? 0 : (int)lh_check_integer(L, first + 2, 0, INT32_MAX);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&raiser_key);
    lua_pushboolean(L, 0);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&hook_key);
    lua_pushvalue(L, first);
    lua_rawset(L, LUA_REGISTRYINDEX);
    const int mask = mask_of(events, count);
    lua_sethook(L, mask ? call_hook : NULL, mask, count);
    return 0;
}

static int debug_gethook(lua_State *L) {
    const int mask = lua_gethookmask(L);
    const lua_Hook hook = lua_gethook(L);
    char events[4] = "";
    size_t length = 0;
    if (hook == call_hook) {
        push_hook(L);
    } else if (hook) {
        lua_pushliteral(L, "external hook");
    } else {
        lua_pushnil(L);
    }
    if (mask & LUA_MASKCALL) events[length++] = 'c';
    if (mask & LUA_MASKRET) events[length++] = 'r';
    if (mask & LUA_MASKLINE) events[length++] = 'l';
    lua_pushlstring(L, events, length);
    lua_pushinteger(L, lua_gethookcount(L));
    return 3;
}

/* -- jit.attach ---------------------------------------------------------------------------------------------------- */

/* Upvalue: the script's callback. Raises what it raises, which LuaJIT reports. */
static int call_callback(lua_State *L) {
    lh_state *state = lh_state_here();
    const bool was_in_hook = state->is_in_hook;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    state->is_in_hook = true;
    const int rc = lua_pcall(L, lua_gettop(L) - 1, 0, 0);
    state->is_in_hook = was_in_hook;
    return rc == 0 ? 0 : lua_error(L);
}

/* Replaces the callback at index 1 by what LuaJIT gets for it: always the same, so that it can be detached. Upvalue 2:
 * callback -> what it got. */
static void wrap_callback(lua_State *L) {
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(2));
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushvalue(L, 1);
        lua_pushcclosure(L, call_callback, 1);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, -2);
        lua_rawset(L, lua_upvalueindex(2));
    }
    lua_replace(L, 1);
}

/* Upvalue 1: LuaJIT's. */
static int jit_attach(lua_State *L) {
    if (!lua_isfunction(L, 1)) lh_raise_type(L, 1, "function");
    if (!lua_isnoneornil(L, 2)) lh_check_string(L, 2, NULL);
    lua_settop(L, 2);
    wrap_callback(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 0);
    return 0;
}

static void open_attach(lua_State *L) {
    lua_getglobal(L, "jit");
    lua_getfield(L, -1, "attach");
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "kv");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushcclosure(L, jit_attach, 2);
    lua_setfield(L, -2, "attach");
    lua_pop(L, 1);
}

static const luaL_Reg functions[] = {{"sethook", debug_sethook}, {"gethook", debug_gethook}, {NULL, NULL}};

void lh_open_hook(lua_State *L) {
    lua_getglobal(L, "debug");
    lh_set_functions(L, lua_gettop(L), functions);
    lua_pop(L, 1);
    open_attach(L);
}
