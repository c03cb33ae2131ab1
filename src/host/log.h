/* Log streams: named, hierarchical, process-wide.
 *
 * A record written to a stream goes to the stream's sink, if it has one, and to each of its outlets, as long as every
 * stream it passes is enabled. It reaches a sink once, whatever ways lead there, or once for each style that they give
 * it. First use of an unknown "a/b/c" makes it, enabled, with outlet "a/b", and so on upwards; an unknown top-level
 * name has no outlet, so its records vanish. Built in: stdout and stderr (sinks on descriptors 1 and 2), error ->
 * stderr, notice -> error, debug -> stderr (disabled). host/log_config.h makes others.
 *
 * When both descriptors are the same file, one sink serves both and keeps their order. The process's stdio streams are
 * redirected into the same queues: io.write and mtev.print keep their order.
 *
 * Owner: streams and sinks live as long as the process.
 * Thread: any.
 * Errors: what cannot be written waits or is dropped and counted (host/log_sink.h). */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "host/log_sink.h"

typedef struct lh_log lh_log;

/* Makes the built-in streams and redirects stdio; once, before other threads and Lua states exist. */
void lh_log_open(void);

/* The stream of that name, made if needed. */
lh_log *lh_log_get(const char *name, size_t length);

/* The stream of that name, or NULL. */
lh_log *lh_log_find(const char *name, size_t length);

/* Where a byte lies that is non-zero while a record written to `log` would reach a sink, and has LH_LOG_WANTS_CALLER
 * when one of them shows file and line. It may be read at any time by any thread; compiled Lua code does. */
enum { LH_LOG_REACHES = 1, LH_LOG_WANTS_CALLER = 2 };
const volatile unsigned char *lh_log_flag(const lh_log *log);

/* Sets the stream's own flag; every thread sees it at once. */
void lh_log_enable(lh_log *log, bool is_enabled);

/* Writes one record as it is (no newline is added). Does nothing when the stream is not effectively enabled. */
void lh_log_write(lh_log *log, const char *bytes, size_t length);

/* The same, written by line `line` of `file` (NULL = unknown). */
void lh_log_write_from(lh_log *log, const char *bytes, size_t length, const char *file, int line);

/* The same by name, formatted as printf does. */
void lh_log_print(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Moves what stdio has buffered into the sinks' queues; cheap when there is nothing. Called before a loop sleeps. */
void lh_log_flush_stdio(void);

/* Returns when everything written so far has reached its descriptor or file, or when a sink cannot write, or made no
 * progress for ten seconds. */
void lh_log_flush(void);

/* The sink of the stream itself, NULL = none. */
lh_log_sink *lh_log_sink_of(const lh_log *log);

/* -- For log_config.c: while there is one thread only -------------------------------------------------------------- */

/* The stream begins anew: with this sink (NULL = none), style (lh_log_style) and flag, and without outlets. */
void lh_log_define(lh_log *log, lh_log_sink *sink, int style, bool is_enabled);

/* The stream keeps its sink and outlets. */
void lh_log_restyle(lh_log *log, int style, bool is_enabled);

/* False: `outlet` leads back to `log`, or `log` has too many. */
bool lh_log_add_outlet(lh_log *log, lh_log *outlet);

/* To be called when all that has been defined: from now on a record reaches a sink once, whatever ways lead there.
 * False: ways meet in too many streams. */
bool lh_log_mark_meetings(void);
lh_log_sink *lh_log_stdout_sink(void);
lh_log_sink *lh_log_stderr_sink(void);
