#include "host/log_queue.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

enum { CHUNK_MIN_BYTES = 512 };

bool lh_log_queue_is_sound(const lh_log_queue *queue) {
    return !queue->first == !queue->last && !queue->first == !queue->bytes &&
           (queue->first || !queue->debug_chunk_count);
}

bool lh_log_queue_is_full(const lh_log_queue *queue, size_t capacity) {
    return queue->bytes > 0 && queue->bytes + capacity > LH_LOG_QUEUE_MAX_BYTES;
}

lh_log_chunk *lh_log_queue_last(const lh_log_queue *queue, size_t length, bool is_debug) {
    lh_log_chunk *last = queue->last;
    return last && last->is_debug == is_debug && last->capacity - last->length >= length ? last : NULL;
}

size_t lh_log_queue_capacity(const lh_log_queue *queue, size_t length, bool is_debug) {
    const lh_log_chunk *last = queue->last;
    size_t capacity = CHUNK_MIN_BYTES;
    if (last && last->is_debug == is_debug) capacity = 2 * last->capacity;
    if (capacity > LH_LOG_CHUNK_MAX_BYTES) capacity = LH_LOG_CHUNK_MAX_BYTES;
    return capacity < length ? length : capacity;
}

lh_log_chunk *lh_log_queue_add(lh_log_queue *queue, size_t capacity, bool is_debug) {
    lh_log_chunk *chunk = lh_try_alloc(sizeof(*chunk) + capacity);
    if (!chunk) return NULL;
    *chunk = (lh_log_chunk){.capacity = capacity, .is_debug = is_debug};
    if (queue->last) {
        queue->last->next = chunk;
    } else {
        queue->first = chunk;
    }
    queue->last = chunk;
    queue->bytes += capacity;
    if (is_debug) queue->debug_chunk_count++;
    assert(lh_log_queue_is_sound(queue));
    return chunk;
}

void lh_log_chunk_append(lh_log_chunk *chunk, const char *bytes, size_t length) {
    assert(chunk->length <= chunk->capacity && length <= chunk->capacity - chunk->length);
    memcpy(chunk->bytes + chunk->length, bytes, length);
    chunk->length += length;
}

/* It is linked no more. */
static void uncount(lh_log_queue *queue, const lh_log_chunk *chunk) {
    assert(queue->bytes >= chunk->capacity && (!chunk->is_debug || queue->debug_chunk_count > 0));
    queue->bytes -= chunk->capacity;
    if (chunk->is_debug) queue->debug_chunk_count--;
}

lh_log_chunk *lh_log_queue_take(lh_log_queue *queue, size_t *record_count) {
    assert(queue->first && lh_log_queue_is_sound(queue));
    lh_log_chunk *first = queue->first, *last = NULL;
    size_t length = 0;
    int count = 0;
    *record_count = 0;
    for (lh_log_chunk *c = first; c && count < LH_LOG_BATCH; c = c->next) {
        if (last && length + c->length > LH_LOG_BATCH_MAX_BYTES) break;
        length += c->length;
        uncount(queue, c);
        *record_count += c->record_count;
        last = c;
        count++;
    }
    queue->first = last->next;
    if (!queue->first) queue->last = NULL;
    last->next = NULL;
    assert(lh_log_queue_is_sound(queue));
    return first;
}

size_t lh_log_queue_drop(lh_log_queue *queue, bool only_debug) {
    if (only_debug && queue->debug_chunk_count == 0) return 0;
    lh_log_chunk *previous = NULL, *c = queue->first;
    for (; c && only_debug && !c->is_debug; c = c->next) previous = c;
    if (!c) return 0;
    if (previous) {
        previous->next = c->next;
    } else {
        queue->first = c->next;
    }
    if (queue->last == c) queue->last = previous;
    uncount(queue, c);
    assert(lh_log_queue_is_sound(queue) && c->record_count > 0);
    const size_t count = c->record_count;
    lh_free(c);
    return count;
}
