/* The process: its threads, its options, its end.
 *
 * The program runs one state per loop thread and ends when nothing can wake anybody any more. A thread is idle when it
 * has nothing ready, armed or waited for; when all are idle and no mail is under way, the program is over: with status
 * 0 (or what the entry returned) if no coroutine is left, with a deadlock report and status 1 if some still wait.
 *
 * Owner: static, one per process.
 * Thread: as each function says.
 * Errors: none; what cannot be set up ends the process with one line. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "host/options.h"
#include "runtime/state.h"

typedef struct lh_program {
    int thread_count;
    lh_state **states;     /* one per thread; published under `mutex`, NULL until its thread has begun */
    pthread_mutex_t mutex; /* guards `states` and `idle_count` */
    int idle_count;        /* threads with nothing to do */
    atomic_int status;     /* the exit status to be */
    atomic_bool is_stopping;
    atomic_bool is_told_to_end; /* by a signal */
    atomic_bool is_deadlock;    /* stopping because everybody waits for nobody */
} lh_program;

/* Runs the program to its end and returns the exit status. Main thread. `open_api` is given to each state. */
int lh_program_run(const lh_options *options, void (*open_api)(lua_State *L));

/* What an uncaught error does: the value on top of `L` is logged with the traceback of `L`, and the process ends unless
 * errors are to end coroutines only. The value stays where it is. */
void lh_program_report_error(lua_State *L);

/* Calls `visit` with the loop of every other thread. Any thread. */
void lh_program_each_other(const lh_state *self, void (*visit)(lh_state *other, void *context), void *context);

/* What each thread does. */
typedef struct lh_thread_figures {
    int index;
    pid_t thread_id;
    double cpu_seconds;
    uint64_t turns, tasks, sockets, timers; /* lh_state_figures */
} lh_thread_figures;

/* Fills as many as there are threads in the options; returns how many run. Any thread. */
int lh_program_threads(lh_thread_figures *threads);
