#include "host/log_ring.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

void lh_log_ring_init(lh_log_ring *ring, size_t line_max, size_t byte_max) {
    assert(line_max > 0);
    *ring = (lh_log_ring){.line_max = line_max, .byte_max = byte_max};
    ring->records = lh_alloc(line_max * sizeof(*ring->records));
}

static lh_log_ring_record *at(const lh_log_ring *ring, uint64_t number) {
    return &ring->records[number % ring->line_max];
}

static void forget_oldest(lh_log_ring *ring) {
    assert(ring->count > 0 && ring->count <= ring->line_max);
    lh_log_ring_record *record = at(ring, ring->last - ring->count + 1);
    assert(record->bytes && record->length <= ring->bytes);
    ring->bytes -= record->length;
    ring->count--;
    lh_free(record->bytes);
    *record = (lh_log_ring_record){NULL, 0};
}

void lh_log_ring_put(lh_log_ring *ring, const char *head, size_t head_length, const char *bytes, size_t length) {
    if (head_length > ring->byte_max) head_length = ring->byte_max;
    if (length > ring->byte_max - head_length) length = ring->byte_max - head_length;
    const size_t total = head_length + length;
    while (ring->count > 0 && (ring->count == ring->line_max || ring->bytes + total > ring->byte_max)) {
        forget_oldest(ring);
    }
    assert(ring->count < ring->line_max && ring->bytes + total <= ring->byte_max);
    char *copy = lh_try_alloc(total + 1);
    if (!copy) return;
    memcpy(copy, head, head_length);
    memcpy(copy + head_length, bytes, length);
    *at(ring, ++ring->last) = (lh_log_ring_record){copy, total};
    ring->count++;
    ring->bytes += total;
}

uint64_t lh_log_ring_each(const lh_log_ring *ring, uint64_t after,
                          void (*visit)(const char *bytes, size_t length, void *context), void *context) {
    const uint64_t oldest = ring->last - ring->count + 1;
    for (uint64_t i = after < oldest ? oldest : after + 1; i <= ring->last; i++) {
        visit(at(ring, i)->bytes, at(ring, i)->length, context);
    }
    return ring->last;
}
