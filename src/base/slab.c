/* Objects are carved from chunks of about 64 KiB. The free list is threaded through the objects' last word, which by
 * convention holds nothing that a late reader looks at; the first words (an fd, a magic, a state) survive. Under the
 * address sanitizer free objects stay readable on purpose, for the reason given in the header. */
#include "base/slab.h"

#include "base/alloc.h"

enum { CHUNK_BYTES = 64 * 1024 };

static void **last_word(const lh_slab *slab, void *object) {
    return (void **)(void *)((char *)object + slab->object_bytes - sizeof(void *));
}

static void grow(lh_slab *slab) {
    size_t count = (CHUNK_BYTES - sizeof(void *)) / slab->object_bytes;
    if (count == 0) count = 1;
    /* 16 bytes ahead of the first object keep it aligned for anything. */
    char *chunk = lh_alloc(16 + count * slab->object_bytes);
    *(void **)(void *)chunk = slab->chunks;
    slab->chunks = chunk;
    for (size_t i = count; i-- > 0;) {
        void *object = chunk + 16 + i * slab->object_bytes;
        *last_word(slab, object) = slab->free;
        slab->free = object;
    }
}

void lh_slab_init(lh_slab *slab, size_t object_bytes) {
    const size_t aligned = (object_bytes + 7) & ~(size_t)7;
    *slab = (lh_slab){.object_bytes = aligned};
}

void *lh_slab_take(lh_slab *slab) {
    if (!slab->free) grow(slab);
    void *object = slab->free;
    slab->free = *last_word(slab, object);
    *last_word(slab, object) = NULL;
    slab->used_count++;
    return object;
}

void lh_slab_give(lh_slab *slab, void *object) {
    *last_word(slab, object) = slab->free;
    slab->free = object;
    slab->used_count--;
}

void lh_slab_fini(lh_slab *slab) {
    for (void *chunk = slab->chunks, *next; chunk; chunk = next) {
        next = *(void **)chunk;
        lh_free(chunk);
    }
    *slab = (lh_slab){.object_bytes = slab->object_bytes};
}
