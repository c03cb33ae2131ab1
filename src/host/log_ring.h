/* The last records, in memory.
 *
 * Owner: embedded; its memory stays for the life of the process, as its sink does.
 * Thread: any, one at a time.
 * Errors: a record for which there is no memory is not kept. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct lh_log_ring_record {
    char *bytes;
    size_t length;
} lh_log_ring_record;

typedef struct lh_log_ring {
    lh_log_ring_record *records; /* number N is at N % line_max */
    size_t line_max, byte_max;
    size_t count, bytes; /* that are there */
    uint64_t last;       /* number of the newest, 0 = there never was one */
} lh_log_ring;

/* Keeps at most `line_max` records, in at most `byte_max` bytes. */
void lh_log_ring_init(lh_log_ring *ring, size_t line_max, size_t byte_max);

/* A record of two parts. One that is larger than the ring keeps its beginning. */
void lh_log_ring_put(lh_log_ring *ring, const char *head, size_t head_length, const char *bytes, size_t length);

/* Calls `visit` with each record that has a number above `after`, the oldest first; returns the number of the newest.
 */
uint64_t lh_log_ring_each(const lh_log_ring *ring, uint64_t after,
                          void (*visit)(const char *bytes, size_t length, void *context), void *context);
