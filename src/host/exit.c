#include "host/exit.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "host/log.h"
#include "host/log_sink.h"
#include "host/options.h"

/* What loop/child has registered: NULL until there is a child. */
static void (*_Atomic kill_children)(void), (*_Atomic reap_children)(void);

void lh_exit_on_children(void (*kill)(void), void (*reap)(void)) {
    atomic_store(&kill_children, kill);
    atomic_store(&reap_children, reap);
}

static void end_children(void (*_Atomic *end)(void)) {
    void (*const function)(void) = atomic_load(end);
    if (function) function();
}

/* Builds that count what is run (gcov) write their counts in atexit, which _exit leaves out. */
#ifdef LHOTSE_COVERAGE
void __gcov_dump(void);
#define WRITE_COUNTS() __gcov_dump()
#else
#define WRITE_COUNTS() (void)0
#endif

/* A script's children end with it, unless a signal ends it. */
void lh_exit(int status) {
    end_children(&kill_children);
    lh_log_flush();
    fflush(NULL);
    lh_log_flush();
    end_children(&reap_children);
    WRITE_COUNTS();
    _exit(lh_exit_status(status) & 0xff);
}

int lh_exit_status(int status) { return status == 0 && lh_log_sink_is_output_lost() ? 1 : status; }

static bool is_sigpipe_ignored;

void lh_exit_note_sigpipe(void) {
    struct sigaction action;
    is_sigpipe_ignored = sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Not by lh_exit: whoever prints may hold the lock of stdio, and wait for the thread that calls this. */
void lh_exit_as_filter(void) {
    const lh_options *options = lh_options_get();
    const bool is_command = options->mode != LH_MODE_DAEMON && options->managed_count == 0 && !options->is_luamtev;
    if (!is_command || is_sigpipe_ignored) return;
    end_children(&kill_children);
    lh_log_sink_flush_all();
    end_children(&reap_children);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(SIGPIPE);
    _exit(128 + SIGPIPE);
}

int lh_exit_failure_status(void) { return lh_options_get()->is_luamtev ? 255 : 1; }
