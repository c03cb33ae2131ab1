/* Log streams: named, hierarchical, process-wide.
 *
 * A record written to a stream goes to the stream's sink, if it has one, and to each of its outlets, as long as every
 * stream it passes is enabled. First use of an unknown "a/b/c" makes it, enabled, with outlet "a/b", and so on upwards;
 * an unknown top-level name has no outlet, so its records vanish. Built in: stdout and stderr (sinks on descriptors 1
 * and 2), error -> stderr, notice -> error, debug -> stderr (disabled).
 *
 * Records are written whole, by a thread per sink, so that a slow terminal or disk never blocks a loop. At most 8 MiB
 * wait per sink; then the oldest debug records go first, after them the oldest of all, and the loss is reported. The
 * stdout sink is the exception: what a script prints is its result, so a full queue makes the printing thread wait.
 * When both descriptors are the same file, one sink serves both and keeps their order. The process's stdio streams are
 * redirected into the same queues: io.write and mtev.print keep their order.
 *
 * Owner: streams and sinks live as long as the process.
 * Thread: any.
 * Errors: what cannot be written (full disk, closed pipe) is dropped and counted. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lh_log lh_log;

/* Makes the built-in streams and redirects stdio; once, before other threads and Lua states exist. */
void lh_log_open(void);

/* The stream of that name, made if needed. */
lh_log *lh_log_get(const char *name, size_t length);

/* The stream of that name, or NULL. */
lh_log *lh_log_find(const char *name, size_t length);

/* Where a byte lies that is non-zero while a record written to `log` would reach a sink. It may be read at any time by
 * any thread; compiled Lua code does. */
const volatile unsigned char *lh_log_flag(const lh_log *log);

/* Sets the stream's own flag; every thread sees it at once. */
void lh_log_enable(lh_log *log, bool is_enabled);

/* Writes one record as it is (no newline is added). Does nothing when the stream is not effectively enabled. */
void lh_log_write(lh_log *log, const char *bytes, size_t length);

/* The same by name, formatted as printf does. */
void lh_log_print(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Moves what stdio has buffered into the sinks' queues; cheap when there is nothing. Called before a loop sleeps. */
void lh_log_flush_stdio(void);

/* Returns when everything written so far has reached its descriptor, or when a sink made no progress for ten seconds.
 */
void lh_log_flush(void);
