/* What is due lies in a table of the registry: [n] the object, [n + 1] its finalizer. A guard is a C function with the
 * finalizer, or the key where the object's metatable has it, as its upvalue. It raises nothing but for lack of memory,
 * and takes nothing but a table's slots, so that it may run anywhere. */
#include "runtime/finalizer.h"

#include <assert.h>
#include <luajit.h>

#include "runtime/task.h"

static void reset_if_empty(lh_state *state) {
    if (state->finalizers_due == 0) state->finalizers_first = 1;
}

static int next_index(const lh_state *state) {
    assert(state->finalizers_first > 0 && state->finalizers_due >= 0);
    return state->finalizers_first + 2 * state->finalizers_due;
}

/* Takes note of the object and the finalizer that are all there is on the stack. */
static void note_due(lua_State *L) {
    assert(lua_gettop(L) == 2);
    lh_state *state = lh_state_here();
    if (state->is_closing) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, state->finalizer_runner_ref);
        lua_insert(L, 1);
        lua_insert(L, 2);
        lua_pcall(L, 2, 0, 0); /* it catches and reports what the finalizer raises */
        return;
    }
    const int at = next_index(state);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->finalizers_ref);
    lua_insert(L, 1);
    lua_rawseti(L, 1, at + 1);
    lua_rawseti(L, 1, at);
    state->finalizers_due++;
}

static int call_guard(lua_State *L) {
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    note_due(L);
    return 0;
}

static int call_metatable_guard(lua_State *L) {
    lua_settop(L, 1);
    if (!lua_getmetatable(L, 1)) return 0;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_rawget(L, 2);
    lua_remove(L, 2);
    if (lua_toboolean(L, 2)) {
        note_due(L);
    } else if (!lua_isnil(L, lua_upvalueindex(2))) {
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_replace(L, 2);
        lua_insert(L, 1);
        lua_call(L, 1, 0);
    }
    return 0;
}

void lh_finalizer_guard(lua_State *L) { lua_pushcclosure(L, call_guard, 1); }

void lh_finalizer_metatable_guard(lua_State *L) { lua_pushcclosure(L, call_metatable_guard, 2); }

/* Raises in a finalizer, where LuaJIT changes no mode; this mode does nothing. */
static int set_no_mode(lua_State *L) {
    luaJIT_setmode(L, 0, LUAJIT_MODE_DEBUG);
    return 0;
}

bool lh_finalizer_stops_collector(lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, lh_state_here()->finalizer_probe_ref);
    if (lua_pcall(L, 0, 0, 0) == 0) return false;
    lua_pop(L, 1);
    return true;
}

/* Pushes runner, finalizer, object of the one that is due first, which it stays until `remove_first`. */
static void push_first(const lh_state *state, lua_State *L) {
    assert(state->finalizers_due > 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->finalizer_runner_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->finalizers_ref);
    lua_rawgeti(L, -1, state->finalizers_first + 1);
    lua_rawgeti(L, -2, state->finalizers_first);
    lua_remove(L, -3);
}

static void remove_first(lh_state *state, lua_State *L) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->finalizers_ref);
    for (int i = 0; i < 2; i++) {
        lua_pushnil(L);
        lua_rawseti(L, -2, state->finalizers_first++);
    }
    lua_pop(L, 1);
    state->finalizers_due--;
    reset_if_empty(state);
}

typedef struct run {
    lh_state *state;
    lh_task *task;
} run;

static int push_task(lh_task *task, lua_State *T, void *context) {
    (void)task;
    run *r = context;
    push_first(r->state, T);
    r->task = lh_task_new(r->state, T, 2);
    lh_task_anchor(r->task);
    return 1;
}

void lh_finalizers_run(lh_state *state, lua_State *L) {
    assert(lh_loop_is_mine(&state->net.loop));
    for (int count = state->finalizers_due; count > 0 && state->finalizers_due > 0; count--) {
        run r = {.state = state};
        const int rv = lh_protect(L, push_task, &r);
        lua_pop(L, 1); /* the thread, which the task anchors; or the error */
        if (rv == LH_PROTECT_RAISED) return;
        remove_first(state, L);
        lh_task_start(state, r.task);
    }
}

void lh_finalizers_end(lh_state *state) {
    assert(state->is_closing && lh_loop_is_mine(&state->net.loop));
    lua_State *L = state->L;
    while (state->finalizers_due > 0) {
        push_first(state, L);
        remove_first(state, L);
        if (lua_pcall(L, 2, 0, 0) != 0) lua_pop(L, 1);
    }
}

void lh_finalizers_set_runner(lua_State *L) {
    assert(lua_isfunction(L, -1));
    lua_rawseti(L, LUA_REGISTRYINDEX, lh_state_here()->finalizer_runner_ref);
}

void lh_finalizers_open(lh_state *state, lua_State *L) {
    lua_newtable(L);
    state->finalizers_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushboolean(L, 0);
    state->finalizer_runner_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcfunction(L, set_no_mode);
    state->finalizer_probe_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    state->finalizers_first = 1;
}
