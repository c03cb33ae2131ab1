#include "runtime/options.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "loop/child.h"
#include "runtime/log.h"

static lh_options current;

void lh_options_set(const lh_options *options) { current = *options; }

const lh_options *lh_program_options(void) { return &current; }

/* -- The end ------------------------------------------------------------------------------------------------------- */

/* Builds that count what is run (gcov) write their counts in atexit, which _exit leaves out. */
#ifdef LHOTSE_COVERAGE
void __gcov_dump(void);
#define WRITE_COUNTS() __gcov_dump()
#else
#define WRITE_COUNTS() (void)0
#endif

/* A script's children end with it, unless a signal ends it. */
void lh_program_exit(int status) {
    lh_child_kill_all();
    lh_log_flush();
    fflush(NULL);
    lh_log_flush();
    lh_child_reap_all();
    WRITE_COUNTS();
    _exit(lh_program_status(status) & 0xff);
}

int lh_program_status(int status) { return status == 0 && lh_log_sink_is_output_lost() ? 1 : status; }

static bool is_sigpipe_ignored;

void lh_program_note_sigpipe(void) {
    struct sigaction action;
    is_sigpipe_ignored = sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Not by lh_program_exit: whoever prints may hold the lock of stdio, and wait for the thread that calls this. */
void lh_program_end_filter(void) {
    const bool is_command = current.mode != LH_MODE_DAEMON && current.managed_count == 0 && !current.is_luamtev;
    if (!is_command || is_sigpipe_ignored) return;
    lh_child_kill_all();
    lh_log_sink_flush_all();
    lh_child_reap_all();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(SIGPIPE);
    _exit(128 + SIGPIPE);
}

int lh_program_failure_status(void) { return current.is_luamtev ? 255 : 1; }
