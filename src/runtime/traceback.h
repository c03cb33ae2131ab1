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

/* Pushes on `L` the frames that its innermost xpcall has on it: what is lost when that returns. */
void lh_traceback_push_until_xpcall(lua_State *L, const lh_state *state);

/* Writes on `fd` where every coroutine of the state is, the running one first; `T` is what runs. At a point where Lua
 * may be called. */
void lh_traceback_save_all(lua_State *T, lh_state *state, int fd);

/* The running one only. */
void lh_traceback_save_running(lua_State *T, lh_state *state, int fd);

/* All where Lua may not be called, in a signal handler: allocates nothing, and reads what may be half changed. The
 * caller sees to it that a fault ends the attempt. */
void lh_traceback_save_raw(lh_state *state, int fd);

/* Pushes "waiting in mtev.NAME" and the traceback for every parked task of the state, as one string. */
void lh_traceback_push_all(lua_State *L, lh_state *state);
