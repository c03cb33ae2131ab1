/* Where Lua code is, in words.
 *
 * Owner: results are Lua strings.
 * Thread: the state's own.
 * Errors: none; what cannot be told is left out. */
#pragma once
#include "runtime/task.h"

/* Pushes on `L` the traceback of `task`: the coroutines that block or failed inside it first, then its own stack, then
 * where it was spawned. */
void lh_traceback_push(lua_State *L, lh_state *state, const lh_task *task);

/* Pushes on `L` the traceback of what runs on it. */
void lh_traceback_push_here(lua_State *L);

/* Pushes "waiting in mtev.NAME" and the traceback for every parked task of the state, as one string. */
void lh_traceback_push_all(lua_State *L, lh_state *state);
