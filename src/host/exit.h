/* How the process ends.
 *
 * Owner: static, one per process. Thread: any. Errors: none. */
#pragma once

/* The exit status of a program that failed: 1, or 255 under libmtev's conventions. */
int lh_exit_failure_status(void);

/* Flushes logs and stdio and ends the process at once; a script's children end with it. */
void lh_exit(int status) __attribute__((noreturn));

/* The exit status that 0 becomes when something that was printed could not be written: 1. */
int lh_exit_status(int status);

/* Nobody reads what the process prints: ends a program of the command line by SIGPIPE, as any filter ends. Returns if
 * it is none, or was started with SIGPIPE ignored. */
void lh_exit_as_filter(void);

/* How SIGPIPE was when the process started. To be called before it is changed. */
void lh_exit_note_sigpipe(void);

/* Whoever starts children registers how they end: `kill` at once, `reap` when all that was printed is written. */
void lh_exit_on_children(void (*kill)(void), void (*reap)(void));
