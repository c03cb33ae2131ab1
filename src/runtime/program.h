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

#include "runtime/state.h"

typedef enum lh_mode { LH_MODE_RUN, LH_MODE_TEST, LH_MODE_DAEMON } lh_mode; /* DAEMON: the scripts of <modules> */

typedef struct lh_options {
    lh_mode mode;
    bool is_luamtev;          /* invoked under that name: libmtev's conventions */
    bool is_keep_going;       /* an uncaught error ends its coroutine only */
    int thread_count;         /* event loops, at least 1; 0 = not said, until the configuration is read */
    const char *config;       /* -c, NULL = none */
    bool is_showing_config;   /* -T */
    int managed_count;        /* -m: 0 = no monitor, 1 = one in the background, 2 = in the foreground */
    const char *user, *group; /* -u, -g; NULL = stay */
    const char *program;      /* what error lines begin with: "lhotse" */
    const char *entry;        /* -e, NULL = "main" if there is one */
    const char *path, *cpath; /* -L, -C; NULL = default */
    const char *script;       /* file, or "-" for stdin */
    char **arguments;         /* of the script, NULL-terminated */
    double test_timeout;      /* seconds per test */
} lh_options;

typedef struct lh_program {
    lh_options options;
    lh_state **states;     /* one per thread; published under `mutex`, NULL until its thread has begun */
    pthread_mutex_t mutex; /* guards `states` and `idle_count` */
    int idle_count;        /* threads with nothing to do */
    atomic_int status;     /* the exit status to be */
    atomic_bool is_stopping;
    atomic_bool is_deadlock; /* stopping because everybody waits for nobody */
} lh_program;

/* Runs the program to its end and returns the exit status. Main thread. `open_api` is given to each state. */
int lh_program_run(const lh_options *options, void (*open_api)(lua_State *L));

/* The options, from any thread. */
const lh_options *lh_program_options(void);

/* The exit status of a program that failed: 1, or 255 under libmtev's conventions. */
int lh_program_failure_status(void);

/* What an uncaught error does: the value on top of `L` is logged with the traceback of `L`, and the process ends unless
 * errors are to end coroutines only. The value stays where it is. */
void lh_program_report_error(lua_State *L);

/* Flushes logs and stdio and ends the process at once. Any thread. */
void lh_program_exit(int status) __attribute__((noreturn));

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
