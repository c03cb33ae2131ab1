/* Where log records end: a descriptor, a file, or a ring in memory.
 *
 * What goes to a descriptor or a file is queued and written by a thread of the sink, so that a slow terminal or disk
 * never blocks a loop; the thread is started by the first record. At most 8 MiB wait; then the oldest debug records go
 * first, after them the oldest of all, and the loss is reported in the sink itself, as is one for lack of memory.
 * stdout is the exception: what a script prints is its result, so a full queue makes the printing thread wait. What is
 * logged never waits for it: it is dropped then, if both go to one descriptor.
 *
 * A file that cannot be written (full disk, no directory) keeps what waits and is tried again each second, or when it
 * is to be reopened; so is one that could not be reopened. A descriptor that cannot be written drops. All this is
 * said once, in the sink that lh_log_sink_complain_to names.
 *
 * Owner: sinks live as long as the process.
 * Thread: any.
 * Errors: as above. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/log_file.h"

typedef struct lh_log_sink lh_log_sink;

/* How much it matters that a record is written. */
typedef enum lh_log_importance {
    LH_LOG_DEBUGGING, /* it is the first to be dropped */
    LH_LOG_LOGGED,
    LH_LOG_PRINTED, /* by a script on its stdout: never dropped */
} lh_log_importance;

/* On a descriptor, which stays the caller's. `is_output`: it is stdout, whose failure is the program's. */
lh_log_sink *lh_log_sink_of_fd(int fd, bool is_output);

/* Where sinks say what is wrong with them. */
void lh_log_sink_complain_to(lh_log_sink *sink);

/* Something that was printed could not be written, ever. */
bool lh_log_sink_is_output_lost(void);

/* On a file. `is_synchronous`: a record is written before lh_log_sink_put returns. NULL: *error is a negative errno. */
lh_log_sink *lh_log_sink_of_file(const char *path, const lh_log_file_limits *limits, bool is_synchronous, int *error);

/* The last `line_max` records, in at most `byte_max` bytes. */
lh_log_sink *lh_log_sink_of_memory(size_t line_max, size_t byte_max);

/* The file of the sink, NULL = it is none. Before the first record. */
lh_log_file *lh_log_sink_file(lh_log_sink *sink);

/* Reports of lost records are objects, as the records are. Before the first record. */
void lh_log_sink_use_json(lh_log_sink *sink);

/* One record, of two parts. */
void lh_log_sink_put(lh_log_sink *sink, const char *head, size_t head_length, const char *bytes, size_t length,
                     lh_log_importance importance);

/* There was no memory to make a record for this sink: one that is queued says so, as of those that it drops. */
void lh_log_sink_lose(lh_log_sink *sink);

/* A record would be queued at once. */
bool lh_log_sink_has_room(lh_log_sink *sink);

/* Calls `visit` with each record of a ring that has a number above `after`, the oldest first. Returns the number of the
 * last record that ever was, 0 = none. `visit` must not log. */
uint64_t lh_log_sink_each(lh_log_sink *sink, uint64_t after,
                          void (*visit)(const char *bytes, size_t length, void *context), void *context);
bool lh_log_sink_is_memory(const lh_log_sink *sink);

/* All sinks: files are opened anew, soon. */
void lh_log_sink_reopen_all(void);

/* All sinks: returns when what was put so far has been written, or when a sink cannot write, or made no progress for
 * ten seconds. */
void lh_log_sink_flush_all(void);

/* All sinks: for a thread that crashed and may hold any lock: gives the writers up to a second to write what is queued.
 */
void lh_log_sink_settle_all(void);

/* All sinks: for the child of a fork, which has no threads. Their queues are empty: flush before. */
void lh_log_sink_forked(void);
