/* What scripts want to do before a signal ends the program: each thread's functions run, as coroutines, and the program
 * ends when they have returned in all threads, or after LH_STOP_SECONDS.
 *
 * Owner: static, one per process.
 * Thread: as each function says.
 * Errors: none; a function that fails is an uncaught error. */
#pragma once
#include <stdbool.h>

#include "runtime/state.h"

enum { LH_STOP_SECONDS = 4 }; /* below the time that a monitor gives (monitor.c) */

#define LH_STOP "mtev.stop" /* in the registry: the function that runs a thread's functions, and calls lh_stop_done */

/* Any thread: so many functions more. */
void lh_stop_register(int count);
bool lh_stop_is_registered(void);

/* The signal's thread: false when there is no function to run. Else the threads are to be asked, and lh_stop_done is to
 * be called once; `end` is called when all is done, in whatever thread is last, or the first one. */
bool lh_stop_begin(lh_loop *loop, void (*end)(void));

/* Any thread, between those two: asks a thread to run its functions. */
void lh_stop_ask(lh_state *state);
void lh_stop_done(void);
