/* The end by a signal while a loop does not turn: one SIGTERM or ctrl-C is enough.
 *
 * A signal is taken by the loop (loop/signals.h). When a loop has not turned LH_HANG_SECONDS after it, what runs there
 * is stopped at its next Lua instruction, in compiled loops too, its traceback is written, and the program ends with
 * 128 plus the signal's number. When no Lua instruction comes, in a C function that blocks, and when a loop got stuck
 * later, in a function of mtev.on_stop for one, the program ends LH_HANG_LAST_SECONDS after the signal, with what can
 * be read.
 *
 * Owner: static, one per process.
 * Thread: as each function says.
 * Errors: where the process can get no timer, the signal waits for the loop. */
#pragma once
#include <lua.h>

#include "runtime/state.h"

enum { LH_HANG_SECONDS = 1, LH_HANG_LAST_MS = 3500 };

/* Once, in the main thread, before the first state opens. */
void lh_hang_open(void);

/* In each loop's thread, when its state has opened and before it closes. */
void lh_hang_open_state(lh_state *state);
void lh_hang_close_state(lh_state *state);

/* From a signal's handler: the program is to end by `signal`. */
void lh_hang_begin(int signal);

/* LuaJIT has one profiler for the process, and it is what stops compiled loops. A script that profiles borrows it; its
 * callback looks at lh_hang_is_over for each sample, and calls lh_hang_end when that is set. */
bool lh_hang_lend_profiler(void); /* false: another thread has it */
void lh_hang_take_profiler(void);
extern _Thread_local volatile int lh_hang_is_over;

/* Writes the traceback of what runs, `L` innermost, and ends the program. */
void lh_hang_end(lua_State *L) __attribute__((noreturn));
