/* What cannot fail has a reserve: memory that runs out does so, as a rule, because a script or a peer keeps too much,
 * and what we need to tell it and to go on is small. The reserve is given up once and taken again when there is memory.
 */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESERVE_BYTES = 4 * 1024 * 1024 }; /* of address space: untouched, it takes no memory */

static _Atomic(void *) reserve;
static atomic_bool is_low;

void lh_alloc_reserve(void) {
    void *nothing = NULL, *block = malloc(RESERVE_BYTES);
    if (!block) return;
    atomic_store(&is_low, false);
    if (!atomic_compare_exchange_strong(&reserve, &nothing, block)) free(block);
}

bool lh_alloc_is_low(void) { return atomic_load_explicit(&is_low, memory_order_relaxed); }

void lh_alloc_release_reserve(void) {
    free(atomic_exchange(&reserve, NULL));
    atomic_store(&is_low, true);
}

static void *take_from_reserve(size_t size) {
    lh_alloc_release_reserve();
    void *block = calloc(1, size);
    if (block) return block;
    fprintf(stderr, "lhotse: out of memory (%zu bytes)\n", size);
    abort();
}

void *lh_alloc(size_t size) {
    void *block = calloc(1, size);
    return block ? block : take_from_reserve(size);
}

void *lh_alloc_if_there_is(size_t size) {
    void *block = calloc(1, size);
    if (!block) lh_alloc_release_reserve();
    return block;
}

#ifdef LHOTSE_INJECT
static _Thread_local long countdown;

void lh_alloc_fail_at(long n) { countdown = n; }

bool lh_alloc_is_to_fail(void) { return countdown > 0 && --countdown == 0; }

void *lh_try_alloc(size_t size) { return lh_alloc_is_to_fail() ? NULL : malloc(size); }

void *lh_try_realloc(void *block, size_t size) { return lh_alloc_is_to_fail() ? NULL : realloc(block, size); }
#else
void *lh_try_alloc(size_t size) { return malloc(size); }

void *lh_try_realloc(void *block, size_t size) { return realloc(block, size); }
#endif

char *lh_alloc_copy(const char *bytes, size_t length) {
    char *copy = lh_alloc(length + 1);
    memcpy(copy, bytes, length);
    return copy;
}

void lh_free(void *block) { free(block); }
