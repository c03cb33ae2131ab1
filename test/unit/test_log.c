/* host/log_queue, host/log_ring: what waits to be written, and the last records in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "host/log_queue.h"
#include "host/log_ring.h"

static lh_log_chunk *put(lh_log_queue *queue, const char *record, bool is_debug) {
    const size_t length = strlen(record);
    lh_log_chunk *chunk = lh_log_queue_last(queue, length, is_debug);
    if (!chunk) chunk = lh_log_queue_add(queue, lh_log_queue_capacity(queue, length, is_debug), is_debug);
    assert_non_null(chunk);
    lh_log_chunk_append(chunk, record, length);
    chunk->record_count++;
    return chunk;
}

static void free_chunks(lh_log_chunk *chunk) {
    while (chunk) {
        lh_log_chunk *next = chunk->next;
        lh_free(chunk);
        chunk = next;
    }
}

static void free_queue(lh_log_queue *queue) {
    size_t count;
    while (queue->first) free_chunks(lh_log_queue_take(queue, &count));
}

static void records_of_one_kind_share_a_chunk(void **state) {
    (void)state;
    lh_log_queue queue = {0};
    lh_log_chunk *first = put(&queue, "one\n", false);
    assert_ptr_equal(put(&queue, "two\n", false), first);
    assert_ptr_not_equal(put(&queue, "debug\n", true), first);
    assert_ptr_not_equal(put(&queue, "three\n", false), first); /* behind the debug record, not before it */
    assert_int_equal(queue.debug_chunk_count, 1);

    size_t count;
    lh_log_chunk *taken = lh_log_queue_take(&queue, &count);
    assert_ptr_equal(taken, first);
    assert_int_equal(count, 4);
    assert_memory_equal(taken->bytes, "one\ntwo\n", 8);
    assert_null(queue.first);
    assert_int_equal(queue.bytes, 0);
    assert_int_equal(queue.debug_chunk_count, 0);
    free_chunks(taken);
}

static void chunks_grow_while_the_kind_stays(void **state) {
    (void)state;
    lh_log_queue queue = {0};
    const size_t small = lh_log_queue_capacity(&queue, 10, false);
    lh_log_queue_add(&queue, small, false)->record_count = 1;
    assert_int_equal(lh_log_queue_capacity(&queue, 10, false), 2 * small);
    assert_int_equal(lh_log_queue_capacity(&queue, 10, true), small);
    lh_log_queue_add(&queue, LH_LOG_CHUNK_MAX_BYTES, false)->record_count = 1;
    assert_int_equal(lh_log_queue_capacity(&queue, 10, false), LH_LOG_CHUNK_MAX_BYTES);
    assert_int_equal(lh_log_queue_capacity(&queue, LH_LOG_CHUNK_MAX_BYTES + 1, false), LH_LOG_CHUNK_MAX_BYTES + 1);
    free_queue(&queue);
}

static void debug_records_are_dropped_first_the_oldest_first(void **state) {
    (void)state;
    lh_log_queue queue = {0};
    assert_int_equal(lh_log_queue_drop(&queue, false), 0);
    put(&queue, "a", false);
    put(&queue, "b", true);
    put(&queue, "c", true);
    put(&queue, "d", false);
    put(&queue, "e", true);
    assert_int_equal(lh_log_queue_drop(&queue, true), 2); /* b, c */
    assert_int_equal(lh_log_queue_drop(&queue, true), 1); /* e: the last chunk is another now */
    assert_int_equal(lh_log_queue_drop(&queue, true), 0);
    put(&queue, "f", false);
    assert_int_equal(lh_log_queue_drop(&queue, false), 1); /* a */
    size_t count;
    lh_log_chunk *taken = lh_log_queue_take(&queue, &count);
    assert_int_equal(count, 2);
    assert_memory_equal(taken->bytes, "df", 2);
    free_chunks(taken);
}

static void a_queue_has_a_bound_but_takes_any_first_chunk(void **state) {
    (void)state;
    lh_log_queue queue = {0};
    assert_false(lh_log_queue_is_full(&queue, 2 * (size_t)LH_LOG_QUEUE_MAX_BYTES));
    lh_log_queue_add(&queue, 1024, false)->record_count = 1;
    assert_false(lh_log_queue_is_full(&queue, LH_LOG_QUEUE_MAX_BYTES - 1024));
    assert_true(lh_log_queue_is_full(&queue, LH_LOG_QUEUE_MAX_BYTES - 1023));
    free_queue(&queue);
}

static void a_batch_is_bounded_in_chunks_and_bytes(void **state) {
    (void)state;
    lh_log_queue queue = {0};
    size_t count;
    for (int i = 0; i < LH_LOG_BATCH + 1; i++) put(&queue, "x", i % 2 == 0); /* each is a chunk */
    lh_log_chunk *taken = lh_log_queue_take(&queue, &count);
    assert_int_equal(count, LH_LOG_BATCH);
    free_chunks(taken);
    free_queue(&queue);

    static char large[LH_LOG_BATCH_MAX_BYTES + 2];
    memset(large, 'x', sizeof(large) - 1);
    put(&queue, large, false); /* larger than a batch: it goes alone */
    put(&queue, "after", false);
    taken = lh_log_queue_take(&queue, &count);
    assert_int_equal(count, 1);
    assert_int_equal(taken->length, sizeof(large) - 1);
    free_chunks(taken);
    free_queue(&queue);
}

static void collect(const char *bytes, size_t length, void *context) {
    char *text = context;
    snprintf(text + strlen(text), 64 - strlen(text), "[%.*s]", (int)length, bytes);
}

static void a_ring_keeps_the_last_records(void **state) {
    (void)state;
    lh_log_ring ring;
    char text[64] = "";
    lh_log_ring_init(&ring, 3, 10);
    assert_int_equal(lh_log_ring_each(&ring, 0, collect, text), 0);
    assert_string_equal(text, "");
    for (int i = 1; i <= 5; i++) lh_log_ring_put(&ring, "r", 1, &"012345"[i], 1);
    assert_int_equal(lh_log_ring_each(&ring, 0, collect, text), 5);
    assert_string_equal(text, "[r3][r4][r5]");
    text[0] = 0;
    assert_int_equal(lh_log_ring_each(&ring, 4, collect, text), 5);
    assert_string_equal(text, "[r5]");
    text[0] = 0;
    lh_log_ring_put(&ring, "", 0, "1234567", 7); /* ten bytes are the bound: two go */
    lh_log_ring_each(&ring, 0, collect, text);
    assert_string_equal(text, "[r5][1234567]");
    text[0] = 0;
    lh_log_ring_put(&ring, "head:", 5, "more than fits", 14);
    lh_log_ring_each(&ring, 0, collect, text);
    assert_string_equal(text, "[head:more ]");
    while (ring.count > 0) lh_free(ring.records[(ring.last - --ring.count) % ring.line_max].bytes);
    lh_free(ring.records);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_one_kind_share_a_chunk),
        cmocka_unit_test(chunks_grow_while_the_kind_stays),
        cmocka_unit_test(debug_records_are_dropped_first_the_oldest_first),
        cmocka_unit_test(a_queue_has_a_bound_but_takes_any_first_chunk),
        cmocka_unit_test(a_batch_is_bounded_in_chunks_and_bytes),
        cmocka_unit_test(a_ring_keeps_the_last_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
