/* Finalizers of scripts (`__gc` of a newproxy's userdata, ffi.gc, ffi.metatype, debug.setmetatable), run by the
 * scheduler.
 *
 * LuaJIT calls a finalizer wherever something is allocated: in the middle of a C function that works on what the
 * finalizer closes, or on the stack of a coroutine that waits. So none of a script's is ever given to LuaJIT itself: it
 * gets a guard (lualib/inner/finalizer.lua sees to that), which only notes the object, and the next turn of the loop
 * calls the finalizer as a coroutine, which may wait. When the state closes, guards call at once.
 *
 * A finalizer that gets past the guards (a metatable changed after debug.setmetatable, debug.getregistry, a C module)
 * is known while it runs: nothing can wait then, and what it spawns begins later.
 *
 * Owner: the state. Thread: its own. Errors: an error of a finalizer is an uncaught error. */
#pragma once
#include <lua.h>
#include <stdbool.h>

#include "runtime/state.h"

void lh_finalizers_open(lh_state *state, lua_State *L);

/* Replaces the function on top of `L` by its guard. */
void lh_finalizer_guard(lua_State *L);

/* Replaces the key and the collector (nil: none) on top of `L` by a guard that finds the finalizer of each object under
 * the key in the object's metatable, and calls the collector where there is none. LuaJIT passes over an object that it
 * finds before there is a guard, so a metatable has this one from the beginning. */
void lh_finalizer_metatable_guard(lua_State *L);

/* Replaces the function on top of `L`, which is called with a finalizer and its object, as what runs them all. */
void lh_finalizers_set_runner(lua_State *L);

static inline bool lh_finalizers_are_due(const lh_state *state) { return state->finalizers_due > 0; }

/* Whether LuaJIT has stopped its collector, as it does while it runs a finalizer: asks whether that is why. */
bool lh_finalizer_stops_collector(lua_State *L);

/* Whether LuaJIT runs a finalizer, ours or one of a script that has no guard: it cannot yield then, at whatever depth,
 * and says so only with SIGSEGV. */
static inline bool lh_finalizer_is_running(lua_State *L) {
    return __builtin_expect(!lua_gc(L, LUA_GCISRUNNING, 0), 0) && lh_finalizer_stops_collector(L);
}

/* Starts a coroutine for each that is due now; one that there is no memory for stays due. Raises nothing. */
void lh_finalizers_run(lh_state *state, lua_State *L);

/* The state is about to close: calls those that are due. */
void lh_finalizers_end(lh_state *state);
