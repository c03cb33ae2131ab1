/* The monitor of managed mode: a process that starts the program again when it dies or hangs.
 *
 * The worker is this program, executed anew with the same arguments, in a process group of its own. It has the
 * heartbeats (host/heartbeat.h) and a file in memory for what it tells of a hang or crash (runtime/trace.h) in common
 * with the monitor, and dies with it.
 *   - It ends with status 0: so does the monitor.
 *   - It ends otherwise, or a loop does not beat for `timeout`: what it tells is saved as TRACEDIR/PROGRAM.PID.trc, the
 *     glider is run, and it is started again, at most `retries` times in `span` seconds; then the monitor ends with 1.
 *   - A loop that has not beaten for `interrupt_time` is asked to raise "interrupted!" in the Lua code that runs.
 *   - SIGTERM, SIGINT and SIGQUIT go to the worker, and the monitor ends with it, with 128 + the signal's number. A
 *     worker that does not end within the timeout, or a second signal, is killed. SIGHUP goes to both.
 *
 * Owner: static, one per process.
 * Thread: the first.
 * Errors: in the log. */
#pragma once
#include <stdbool.h>

#include "base/clock.h"
#include "host/conf.h"

typedef struct lh_monitor_settings {
    const char *program; /* in messages and names of traces */
    char **argv;         /* of the worker */
    bool is_foreground;  /* not detached from its terminal and parent */
    lh_ns timeout;
    lh_ns interrupt_time; /* without a turn, after which what runs is interrupted; LH_NEVER = it is not */
    int retries;
    lh_ns span;
    char *tracedir;
    char *glider; /* NULL = none */
} lh_monitor_settings;

/* Reads <watchdog timeout retries span tracedir glider interrupt_time/> and MTEV_WATCHDOG_TIMEOUT, which wins. False:
 * `message`. */
bool lh_monitor_configure(lh_monitor_settings *settings, char message[LH_CONFIG_MESSAGE_BYTES]);

/* Returns the exit status, when the worker is not to be started again. */
int lh_monitor_run(const lh_monitor_settings *settings);
