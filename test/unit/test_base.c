/* base/: buffer, slab, list, pointer map, string map, clock conversions, memory, the C stack,
 * descriptors, heartbeats. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "host/heartbeat.h"
#include "base/list.h"
#include "base/ptrmap.h"
#include "base/slab.h"
#include "base/stack.h"
#include "base/strmap.h"
#include "base/word.h"

static void buffer_is_a_byte_queue(void **state) {
    (void)state;
    lh_buffer buffer = {0};
    assert_int_equal(lh_buffer_append(&buffer, "hello world", 11), 0);
    lh_buffer_consume(&buffer, 6);
    assert_int_equal(buffer.length, 5);
    assert_memory_equal(lh_buffer_bytes(&buffer), "world", 5);
    lh_buffer_consume(&buffer, 100); /* more than it holds: all */
    assert_int_equal(buffer.length, 0);
    lh_buffer_relax(&buffer);
    assert_null(buffer.block);
    lh_buffer_relax(&buffer); /* harmless */
}

static void buffer_gives_back_the_room_behind_its_bytes(void **state) {
    (void)state;
    lh_buffer buffer = {0};
    lh_buffer_fit(&buffer); /* harmless */
    assert_int_equal(lh_buffer_append(&buffer, "hello world", 11), 0);
    assert_true(buffer.capacity > 11);
    lh_buffer_consume(&buffer, 6);
    lh_buffer_fit(&buffer);
    assert_int_equal(buffer.capacity, 11);
    lh_buffer_fit(&buffer);
    assert_int_equal(buffer.capacity, 11);
    assert_memory_equal(lh_buffer_bytes(&buffer), "world", 5);
    assert_int_equal(lh_buffer_append(&buffer, "!", 1), 0);
    assert_memory_equal(lh_buffer_bytes(&buffer), "world!", 6);
    lh_buffer_reset(&buffer);
}

static void buffer_against_a_model(void **state) {
    (void)state;
    lh_buffer buffer = {0};
    unsigned char next_in = 0, next_out = 0;
    size_t held = 0;
    srand(4711);
    for (int i = 0; i < 20000; i++) {
        if (rand() % 2) {
            char bytes[300];
            const size_t n = (size_t)(rand() % 300);
            for (size_t k = 0; k < n; k++) bytes[k] = (char)next_in++;
            assert_int_equal(lh_buffer_append(&buffer, bytes, n), 0);
            held += n;
        } else {
            size_t n = (size_t)(rand() % 310);
            if (n > held) n = held;
            for (size_t k = 0; k < n; k++) assert_int_equal((unsigned char)lh_buffer_bytes(&buffer)[k], next_out++);
            lh_buffer_consume(&buffer, n);
            held -= n;
        }
        assert_int_equal(buffer.length, held);
    }
    assert_true(buffer.capacity < 1024 * 1024);
    lh_buffer_reset(&buffer);
}

static void buffer_refuses_impossible_sizes(void **state) {
    (void)state;
    lh_buffer buffer = {0};
    assert_int_equal(lh_buffer_append(&buffer, "x", 1), 0);
    assert_true(lh_buffer_reserve(&buffer, SIZE_MAX / 2) < 0);
    assert_int_equal(buffer.length, 1);
    lh_buffer_reset(&buffer);
}

static void buffer_prints(void **state) {
    (void)state;
    lh_buffer buffer = {0};
    assert_int_equal(lh_buffer_print(&buffer, "%s-%d", "a", 7), 0);
    assert_int_equal(lh_buffer_print(&buffer, "%500s", "wide"), 0);
    assert_int_equal(buffer.length, 503);
    assert_memory_equal(lh_buffer_bytes(&buffer), "a-7 ", 4);
    assert_int_equal(lh_buffer_print(&buffer, "%lc", (wint_t)0xd800), -EINVAL); /* half of a pair is no character */
    assert_int_equal(buffer.length, 503);
    lh_buffer_reset(&buffer);
}

/* Scripts hand numbers of descriptors to functions that ask whether they are the runtime's. */
static void descriptors_are_claimed_by_number(void **state) {
    (void)state;
    const int fd = lh_descriptor_claim(open("/dev/null", O_RDONLY | O_CLOEXEC));
    assert_true(fd >= 0 && lh_descriptor_is_claimed(fd));
    lh_descriptor_close(fd);
    assert_false(lh_descriptor_is_claimed(fd));
    assert_int_equal(lh_descriptor_claim(-1), -1);
    assert_int_equal(lh_descriptor_claim(INT_MAX), INT_MAX); /* no such number is ever given out */
    assert_false(lh_descriptor_is_claimed(INT_MAX));
    assert_false(lh_descriptor_is_claimed(-1));
    assert_false(lh_descriptor_is_claimed(1024 * 1024)); /* whose page was never needed */
    lh_descriptor_close(-1);
}

static void heartbeats_are_late_when_they_are_due(void **state) {
    (void)state;
    int fd = -1;
    lh_heartbeats *ours = lh_heartbeats_new(NULL), *shared = lh_heartbeats_new(&fd);
    assert_non_null(ours);
    assert_non_null(shared);
    lh_heartbeats *theirs = lh_heartbeats_map(fd);
    assert_non_null(theirs);
    shared->timeout = ours->timeout = LH_SECOND;
    assert_int_equal(lh_heartbeats_late(ours, 1000 * LH_SECOND), -1); /* nothing is expected of anybody */
    atomic_store(&shared->of[7].beat, 5 * LH_SECOND);
    assert_int_equal(lh_heartbeats_late(theirs, 6 * LH_SECOND), -1);
    assert_int_equal(lh_heartbeats_late(theirs, 7 * LH_SECOND), 7);
    munmap(ours, sizeof(*ours));
    munmap(shared, sizeof(*shared));
    munmap(theirs, sizeof(*theirs));
    assert_null(lh_heartbeats_map(fd + 1000));
    close(fd);
}

typedef struct thing {
    int first;
    void *pad, *last;
} thing;

static void slab_reuses_and_keeps_the_first_words(void **state) {
    (void)state;
    lh_slab slab;
    lh_slab_init(&slab, sizeof(thing), sizeof(int));
    thing *a = lh_slab_take(&slab), *b = lh_slab_take(&slab);
    assert_ptr_not_equal(a, b);
    assert_int_equal(a->first, 0); /* fresh objects are zeroed */
    a->first = 42;
    lh_slab_give(&slab, a);
    assert_int_equal(a->first, 42); /* a late look finds the object, not garbage */
    assert_ptr_equal(lh_slab_take(&slab), a);
    assert_int_equal(slab.used_count, 2);
    for (int i = 0; i < 10000; i++) assert_non_null(lh_slab_take(&slab));
    assert_true(lh_slab_has(&slab, a));
    lh_slab_give(&slab, a);
#ifndef NDEBUG
    assert_false(lh_slab_has(&slab, a));
    lh_slab other;
    lh_slab_init(&other, sizeof(thing), 0);
    assert_false(lh_slab_has(&other, b));
#endif
    lh_slab_fini(&slab);
}

static void list_links_and_unlinks(void **state) {
    (void)state;
    lh_list head, other, links[5];
    lh_list_init(&head);
    lh_list_init(&other);
    assert_true(lh_list_is_empty(&head));
    assert_null(lh_list_take_first(&head));
    for (int i = 0; i < 5; i++) {
        lh_list_init(&links[i]);
        lh_list_append(&head, &links[i]);
    }
    lh_list_remove(&links[2]);
    lh_list_remove(&links[2]); /* twice is harmless */
    assert_false(lh_list_is_linked(&links[2]));
    lh_list_splice(&other, &head);
    lh_list_splice(&other, &head); /* nothing more to move */
    assert_true(lh_list_is_empty(&head));
    const int order[] = {0, 1, 3, 4};
    for (int i = 0; i < 4; i++) assert_ptr_equal(lh_list_take_first(&other), &links[order[i]]);
    assert_true(lh_list_is_empty(&other));
}

static void ptrmap_against_a_model(void **state) {
    (void)state;
    enum { KEYS = 512 };
    static char keys[KEYS * 16];
    void *model[KEYS] = {0};
    lh_ptrmap map = {0};
    srand(7);
    for (int i = 0; i < 100000; i++) {
        const int k = rand() % KEYS;
        const void *key = &keys[k * 16];
        if (rand() % 2) {
            model[k] = &model[rand() % KEYS];
            lh_ptrmap_set(&map, key, model[k]);
        } else {
            lh_ptrmap_remove(&map, key);
            model[k] = NULL;
        }
        const int q = rand() % KEYS;
        assert_ptr_equal(lh_ptrmap_get(&map, &keys[q * 16]), model[q]);
    }
    for (int k = 0; k < KEYS; k++) lh_ptrmap_remove(&map, &keys[k * 16]);
    assert_int_equal(map.count, 0);
    assert_null(lh_ptrmap_get(&map, keys));
    assert_true(map.capacity <= 64); /* it shrinks */
    lh_ptrmap_fini(&map);
}

static void strmap_finds_keys_with_nul(void **state) {
    (void)state;
    lh_strmap map = {0};
    int a, b;
    assert_null(lh_strmap_get(&map, "x", 1));
    *lh_strmap_slot(&map, "a\0b", 3) = &a;
    *lh_strmap_slot(&map, "a", 1) = &b;
    assert_ptr_equal(lh_strmap_get(&map, "a\0b", 3), &a);
    assert_ptr_equal(lh_strmap_get(&map, "a", 1), &b);
    assert_null(lh_strmap_get(&map, "a\0c", 3));
    for (int i = 0; i < 1000; i++) {
        char key[16];
        const int n = snprintf(key, sizeof(key), "k%d", i);
        *lh_strmap_slot(&map, key, (size_t)n) = &a;
    }
    assert_int_equal(map.count, 1002);
    assert_ptr_equal(lh_strmap_remove(&map, "a", 1), &b);
    assert_null(lh_strmap_remove(&map, "a", 1));
    assert_ptr_equal(lh_strmap_get(&map, "k999", 4), &a);
    lh_strmap_fini(&map);
}

static void misspelt_words_have_a_nearest(void **state) {
    (void)state;
    static const char *const names[] = {"timeout", "limit", "limit_recurse", "dir", NULL};
    assert_string_equal(lh_word_nearest("timeuot", names), "timeout"); /* two letters exchanged count once */
    assert_string_equal(lh_word_nearest("TimeOut", names), "timeout");
    assert_string_equal(lh_word_nearest("limits", names), "limit");
    assert_string_equal(lh_word_nearest("limitrecurse", names), "limit_recurse");
    assert_string_equal(lh_word_nearest("di", names), "dir");
    assert_null(lh_word_nearest("directory", names));
    assert_null(lh_word_nearest("", names));
    assert_int_equal(lh_word_distance("timeuot", "timeout"), 1);
    assert_int_equal(lh_word_distance("timeout", "timeout"), 0);
    char longest[4096];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(lh_word_distance(longest, "timeout"), -1);
    assert_int_equal(lh_word_distance("timeout", longest), -1);
}

static void words_are_booleans_or_nothing(void **state) {
    (void)state;
    assert_int_equal(lh_word_boolean("Yes"), 1);
    assert_int_equal(lh_word_boolean("off"), 0);
    static const char *const others[] = {"", " true", "true ", "ture", "2", "enabled", "t"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) assert_int_equal(lh_word_boolean(others[i]), -1);
}

static void seconds_round_up_and_saturate(void **state) {
    (void)state;
    assert_int_equal(lh_clock_from_seconds(1), LH_SECOND);
    assert_int_equal(lh_clock_from_seconds(1e-10), 1); /* never early */
    assert_int_equal(lh_clock_from_seconds(0), 0);
    assert_int_equal(lh_clock_from_seconds(-5), 0);
    assert_true(lh_clock_from_seconds(1e18) < LH_NEVER); /* long, but not for ever */
    assert_true(lh_clock_from_seconds(INFINITY) == LH_NEVER);
    assert_true(lh_clock_add(LH_NEVER - 1, 5) == LH_NEVER);
    assert_true(lh_clock_now() <= lh_clock_now());
}

/* Runs `f` in a child with at most `bytes` more of address space than now; its exit status. */
static int in_little_memory(size_t bytes, int (*f)(void)) {
    const pid_t child = fork();
    if (child == 0) {
        unsigned long pages = 0;
        FILE *file = fopen("/proc/self/statm", "r");
        if (!file || fscanf(file, "%lu", &pages) != 1) exit(99);
        fclose(file);
        const rlim_t limit = pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
        setrlimit(RLIMIT_AS, &(struct rlimit){.rlim_cur = limit, .rlim_max = limit});
        exit(f());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Takes all that malloc has, then asks lh_alloc, which has a reserve. */
static int use_the_reserve(void) {
    lh_alloc_reserve();
    if (lh_alloc_is_low()) return 1;
    while (lh_try_alloc(1024)) continue;
    void *block = lh_alloc(64 * 1024);
    memset(block, 1, 64 * 1024);
    return lh_alloc_is_low() ? 0 : 2;
}

static int use_more_than_the_reserve(void) {
    close(STDERR_FILENO); /* it says why it ends */
    lh_alloc_reserve();
    for (int i = 0; i < 100000; i++) memset(lh_alloc(64 * 1024), 1, 1);
    return 3;
}

static void what_cannot_fail_has_a_reserve(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    const bool has_limit = false;
    print_message("skipped: a sanitizer's allocator needs all the address space there is\n");
#else
    const bool has_limit = true;
#endif
    if (has_limit) {
        assert_int_equal(in_little_memory(32 * 1024 * 1024, use_the_reserve), 0);
        assert_int_equal(in_little_memory(32 * 1024 * 1024, use_more_than_the_reserve), 128 + SIGABRT);
    }
    lh_alloc_release_reserve();
    assert_true(lh_alloc_is_low());
    lh_alloc_reserve();
    assert_false(lh_alloc_is_low());
    lh_alloc_reserve(); /* there is one: nothing is lost */
    lh_alloc_release_reserve();
}

/* How deep it gets before there is no room: the depth at which the stack would end is about four thirds of that. */
static __attribute__((noinline)) size_t descend(size_t depth) {
    volatile char frame[1024];
    frame[0] = (char)depth;
    if (!lh_stack_has_room() || depth > 1000000) return depth;
    return descend(depth + 1) + (size_t)(frame[0] - frame[0]);
}

static void *descend_in_thread(void *depth) {
    *(size_t *)depth = descend(0);
    return NULL;
}

static void a_stack_has_room_but_for_its_last_quarter(void **state) {
    (void)state;
    enum { STACK_BYTES = 4 * 1024 * 1024 }; /* a sanitizer takes a good part of it */
    pthread_t thread;
    pthread_attr_t attributes;
    size_t depth = 0;
    assert_true(lh_stack_has_room());
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    assert_int_equal(pthread_create(&thread, &attributes, descend_in_thread, &depth), 0);
    pthread_join(thread, NULL);
    assert_true(depth > 0 && depth < 1000000); /* it came to its end, and did not overflow */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_is_a_byte_queue),
        cmocka_unit_test(buffer_against_a_model),
        cmocka_unit_test(buffer_gives_back_the_room_behind_its_bytes),
        cmocka_unit_test(buffer_refuses_impossible_sizes),
        cmocka_unit_test(buffer_prints),
        cmocka_unit_test(descriptors_are_claimed_by_number),
        cmocka_unit_test(heartbeats_are_late_when_they_are_due),
        cmocka_unit_test(slab_reuses_and_keeps_the_first_words),
        cmocka_unit_test(list_links_and_unlinks),
        cmocka_unit_test(ptrmap_against_a_model),
        cmocka_unit_test(strmap_finds_keys_with_nul),
        cmocka_unit_test(misspelt_words_have_a_nearest),
        cmocka_unit_test(words_are_booleans_or_nothing),
        cmocka_unit_test(seconds_round_up_and_saturate),
        cmocka_unit_test(what_cannot_fail_has_a_reserve),
        cmocka_unit_test(a_stack_has_room_but_for_its_last_quarter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
