#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *lh_alloc(size_t size) {
    void *block = calloc(1, size);
    if (!block) {
        fprintf(stderr, "lhotse: out of memory (%zu bytes)\n", size);
        abort();
    }
    return block;
}

void *lh_try_alloc(size_t size) { return malloc(size); }

void *lh_try_realloc(void *block, size_t size) { return realloc(block, size); }

char *lh_alloc_copy(const char *bytes, size_t length) {
    char *copy = lh_alloc(length + 1);
    memcpy(copy, bytes, length);
    return copy;
}

void lh_free(void *block) { free(block); }
