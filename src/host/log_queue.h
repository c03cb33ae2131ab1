/* Records that wait to be written, in chunks. A chunk holds whole records of one importance, so that dropping is
 * unlinking; it is small when the importance changed and grows as long as it stays, so that few lines cost little
 * memory and many cost few allocations. No thread, no descriptor.
 *
 * Owner: embedded, zeroed; chunks that were taken are the taker's, by lh_free.
 * Thread: any, one at a time.
 * Errors: NULL: not enough memory. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { LH_LOG_QUEUE_MAX_BYTES = 8 * 1024 * 1024, LH_LOG_CHUNK_MAX_BYTES = 32 * 1024 };
enum { LH_LOG_BATCH = 64, LH_LOG_BATCH_MAX_BYTES = 64 * 1024 }; /* chunks and bytes; below the least rotate_bytes */

typedef struct lh_log_chunk {
    struct lh_log_chunk *next;
    size_t capacity, length;
    size_t record_count;
    bool is_debug;
    char bytes[];
} lh_log_chunk;

typedef struct lh_log_queue {
    lh_log_chunk *first, *last;
    size_t bytes;             /* capacity of the chunks */
    size_t debug_chunk_count; /* of debug records, the first to be dropped */
} lh_log_queue;

/* Another chunk of this capacity is too much. An empty queue takes any. */
bool lh_log_queue_is_full(const lh_log_queue *queue, size_t capacity);

/* The chunk at the end, if it is of the kind and has room for `length` bytes; else NULL. */
lh_log_chunk *lh_log_queue_last(const lh_log_queue *queue, size_t length, bool is_debug);

/* What the next chunk is to hold, for a first record of `length` bytes. */
size_t lh_log_queue_capacity(const lh_log_queue *queue, size_t length, bool is_debug);

/* A new chunk at the end. */
lh_log_chunk *lh_log_queue_add(lh_log_queue *queue, size_t capacity, bool is_debug);

/* `length` bytes, for which there is room. Counting records is the caller's. */
void lh_log_chunk_append(lh_log_chunk *chunk, const char *bytes, size_t length);

/* Takes the oldest chunks of a queue that has some: at most LH_LOG_BATCH, and LH_LOG_BATCH_MAX_BYTES unless the first
 * alone has more. */
lh_log_chunk *lh_log_queue_take(lh_log_queue *queue, size_t *record_count);

/* Drops the oldest chunk, or the oldest of debug records; returns its number of records, 0 = there is none. */
size_t lh_log_queue_drop(lh_log_queue *queue, bool only_debug);

/* For assertions: there are chunks, or nothing that counts them. */
bool lh_log_queue_is_sound(const lh_log_queue *queue);
