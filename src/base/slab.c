/* Objects are carved from chunks of about 64 KiB. The free list is threaded through the objects' last word, which by
 * convention holds nothing that a late reader looks at; the first words (an fd, a state) survive.
 *
 * With assertions a tag stands before each object. */
#include "base/slab.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum { CHUNK_BYTES = 64 * 1024, CHUNK_HEAD = 16 };

static void **last_word(const lh_slab *slab, void *object) {
    return (void **)(void *)((char *)object + slab->object_bytes - sizeof(void *));
}

#ifdef NDEBUG

enum { TAG_BYTES = 0 };

static inline void mark_new(const lh_slab *slab, void *object) { (void)slab, (void)object; }
static inline void mark_taken(const lh_slab *slab, void *object) { (void)slab, (void)object; }
static inline void mark_free(const lh_slab *slab, void *object) { (void)slab, (void)object; }

#else

static const uint64_t TAKEN = UINT64_C(0x7a4be1c0ffee7a4b), FREE = UINT64_C(0xf4eef4eef4eef4ee);
enum { POISON = 0xDB };

typedef struct tag {
    const lh_slab *slab;
    uint64_t state; /* TAKEN or FREE */
} tag;

enum { TAG_BYTES = sizeof(tag) };

static tag *tag_of(const void *object) { return (tag *)(uintptr_t)object - 1; }

/* What is neither kept nor the last word. */
static unsigned char *middle(const lh_slab *slab, void *object) { return (unsigned char *)object + slab->kept_bytes; }
static size_t middle_bytes(const lh_slab *slab) { return slab->object_bytes - sizeof(void *) - slab->kept_bytes; }

static void mark_new(const lh_slab *slab, void *object) {
    *tag_of(object) = (tag){.slab = slab, .state = FREE};
    memset(middle(slab, object), POISON, middle_bytes(slab));
    ASAN_POISON_MEMORY_REGION(middle(slab, object), middle_bytes(slab));
}

static void mark_taken(const lh_slab *slab, void *object) {
    assert(tag_of(object)->slab == slab && tag_of(object)->state == FREE);
    tag_of(object)->state = TAKEN;
    unsigned char *bytes = middle(slab, object);
    ASAN_UNPOISON_MEMORY_REGION(bytes, middle_bytes(slab));
    for (size_t i = 0; i < middle_bytes(slab); i++)
        assert(bytes[i] == POISON); /* else: written to after it was given back */
}

static void mark_free(const lh_slab *slab, void *object) {
    assert(lh_slab_has(slab, object));
    mark_new(slab, object);
}

bool lh_slab_has(const lh_slab *slab, const void *object) {
    return tag_of(object)->slab == slab && tag_of(object)->state == TAKEN;
}

#endif

static size_t stride_of(const lh_slab *slab) { return TAG_BYTES + slab->object_bytes; }

static size_t objects_per_chunk(const lh_slab *slab) {
    const size_t count = (CHUNK_BYTES - CHUNK_HEAD) / stride_of(slab);
    return count == 0 ? 1 : count;
}

static size_t chunk_bytes(const lh_slab *slab) { return CHUNK_HEAD + objects_per_chunk(slab) * stride_of(slab); }

static void grow(lh_slab *slab) {
    char *chunk = lh_alloc(chunk_bytes(slab));
    *(void **)(void *)chunk = slab->chunks;
    slab->chunks = chunk;
    for (size_t i = objects_per_chunk(slab); i-- > 0;) {
        void *object = chunk + CHUNK_HEAD + i * stride_of(slab) + TAG_BYTES;
        mark_new(slab, object);
        *last_word(slab, object) = slab->free;
        slab->free = object;
    }
}

void lh_slab_init(lh_slab *slab, size_t object_bytes, size_t kept_bytes) {
    const size_t aligned = (object_bytes + 7) & ~(size_t)7;
    assert(object_bytes >= 2 * sizeof(void *) && kept_bytes <= aligned - sizeof(void *));
    *slab = (lh_slab){.object_bytes = aligned, .kept_bytes = kept_bytes};
}

void *lh_slab_take(lh_slab *slab) {
    if (!slab->free) grow(slab);
    void *object = slab->free;
    mark_taken(slab, object);
    slab->free = *last_word(slab, object);
    *last_word(slab, object) = NULL;
    slab->used_count++;
    return object;
}

void lh_slab_give(lh_slab *slab, void *object) {
    assert(slab->used_count > 0);
    mark_free(slab, object);
    *last_word(slab, object) = slab->free;
    slab->free = object;
    slab->used_count--;
}

void lh_slab_fini(lh_slab *slab) {
    for (void *chunk = slab->chunks, *next; chunk; chunk = next) {
        next = *(void **)chunk;
        ASAN_UNPOISON_MEMORY_REGION(chunk, chunk_bytes(slab));
        lh_free(chunk);
    }
    *slab = (lh_slab){.object_bytes = slab->object_bytes, .kept_bytes = slab->kept_bytes};
}
