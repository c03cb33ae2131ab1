/* Process signals, delivered in a loop.
 *
 * Handlers only leave a mark and wake the loop; the callback runs on the loop's thread like any other. SIGPIPE is
 * ignored for the whole process: writes report EPIPE.
 *
 * Owner: static; one per process.
 * Thread: install once, from the thread of the loop, before others start. The callback runs in that loop.
 * Errors: none. */
#pragma once

struct lh_loop;

/* `signal`: SIGTERM, SIGINT, SIGQUIT or SIGHUP. A second stop signal (any but SIGHUP) ends the process at once with
 * 128 + its number, without asking. */
typedef void (*lh_signals_fn)(struct lh_loop *loop, int signal);

/* `in_handler` is called in the signal's handler, for each first stop signal. */
void lh_signals_install(struct lh_loop *loop, lh_signals_fn on_signal, void (*in_handler)(int signal));
