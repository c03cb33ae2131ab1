/* Calling what may raise, where the caller could not bear it: it holds something that Lua does not know, or no Lua code
 * lies below on the C stack.
 *
 * After code ran on another stack than its own a C function raises nothing (protect.c says why).
 *
 * Owner: nothing. Thread: the state's own. Errors: as each function says. */
#pragma once
#include <lua.h>
#include <stdbool.h>

typedef struct lh_task lh_task;
typedef struct lh_state lh_state;

enum { LH_TASK_STAY = -1, LH_PROTECT_RAISED = -2 };

/* The most values that a call may be answered with: LuaJIT keeps room for so many on the stack of a coroutine that
 * waits. More go into a table, which the call's Lua half unpacks. */
enum { LH_TASK_RESULTS_MAX = 16 };

/* Pushes results on `T`, and returns their number; for a task that waits also LH_TASK_STAY. May raise. */
typedef int (*lh_push_fn)(lh_task *task, lua_State *T, void *context);

/* What `push` gives, made in a protected call on `L`, which runs. (Not on the state's own stack, where the caller could
 * not raise afterwards.) Its number, or LH_PROTECT_RAISED: the error is on top of `L`, to be raised by lua_error when
 * nothing is held any more. `push` gets no task, and never returns LH_TASK_STAY. Raises nothing. */
int lh_protect(lua_State *L, lh_push_fn push, void *context);

/* The same with the `n` values on top of `L`, which are popped: they are all that is on `T` when `push` begins. */
int lh_protect_with(lua_State *L, int n, lh_push_fn push, void *context);

/* The same for a task. */
int lh_protect_for(lua_State *L, lh_task *task, lh_push_fn push, void *context);

/* The same on the state's own, empty stack, from a loop's callback, where LuaJIT has nowhere to throw an error to and
 * calls its panic function: that one jumps back to here. False: the error is all that is on the stack. */
bool lh_protect_at_base(lh_state *state, lh_task *task, lh_push_fn push, void *context, int *count);

/* What it keeps in the registry of a new state. */
void lh_protect_open(lh_state *state, lua_State *L);
