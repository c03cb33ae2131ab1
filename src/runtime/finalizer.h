/* Finalizers of scripts (`__gc` of a newproxy's userdata, ffi.gc, ffi.metatype, debug.setmetatable), run by the
 * scheduler.
 *
 * LuaJIT calls a finalizer wherever something is allocated: in the middle of a C function that works on what the
 * finalizer closes, or on the stack of a coroutine that waits. So none of a script's is ever given to LuaJIT itself: it
 * gets a guard (lualib/mtev/finalizer.lua sees to that), which only notes the object, and the next turn of the loop
 * calls the finalizer as a coroutine, which may wait. When the state closes, guards call at once.
 *
 * Owner: the state. Thread: its own. Errors: an error of a finalizer is an uncaught error. */
#pragma once
#include <lua.h>
#include <stdbool.h>

#include "runtime/state.h"

void lh_finalizers_open(lh_state *state, lua_State *L);

/* Replaces the function on top of `L` by its guard. */
void lh_finalizer_guard(lua_State *L);

/* Replaces the key on top of `L` by a guard that finds the finalizer of each object under it in the object's metatable:
 * LuaJIT passes over an object that it finds before there is a guard, so a metatable has this one from the beginning.
 */
void lh_finalizer_metatable_guard(lua_State *L);

/* Replaces the function on top of `L`, which is called with a finalizer and its object, as what runs them all. */
void lh_finalizers_set_runner(lua_State *L);

static inline bool lh_finalizers_are_due(const lh_state *state) { return state->finalizers_due > 0; }

/* Starts a coroutine for each that is due now; one that there is no memory for stays due. Raises nothing. */
void lh_finalizers_run(lh_state *state, lua_State *L);

/* The state is about to close: calls those that are due. */
void lh_finalizers_end(lh_state *state);
