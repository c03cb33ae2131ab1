/* A pool of objects of one size.
 *
 * Taking and giving back cost a few instructions and no malloc once the pool has grown to its working size. Memory is
 * returned to the system only by lh_slab_fini: an object given back keeps its type for ever, so that a late look at it
 * (an epoll event of the same batch, for instance) reads a valid, closed object and not garbage.
 *
 * Builds with assertions know of each object which slab it is from and whether it is taken. They fill what was given
 * back with poison, but for its first `kept_bytes`, and look for it when they hand the object out again; under the
 * address sanitizer whoever reads there is reported.
 *
 * Owner: the slab owns the memory; objects are borrowed between take and give.
 * Thread: one; a slab is part of a per-thread struct.
 * Errors: none; running out of memory ends the process (the sizes are ours). */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct lh_slab {
    size_t object_bytes;
    size_t kept_bytes; /* of an object given back: what late looks may read */
    size_t used_count; /* objects taken and not given back */
    void *free;        /* first free object; each holds the pointer to the next in its *last* word */
    void *chunks;      /* every chunk, linked through its first word */
} lh_slab;

/* `object_bytes` at least the size of two pointers, `kept_bytes` at most those without the last pointer's. */
void lh_slab_init(lh_slab *slab, size_t object_bytes, size_t kept_bytes);

/* An object. Its first `kept_bytes` are zero when it is fresh, else as they were given back; the rest may hold
 * anything. */
void *lh_slab_take(lh_slab *slab) __attribute__((returns_nonnull, warn_unused_result));

/* `object` came from this slab. */
void lh_slab_give(lh_slab *slab, void *object);

/* For assertions: `object` was taken from this slab, and not given back. Without them always true. */
#ifdef NDEBUG
static inline bool lh_slab_has(const lh_slab *slab, const void *object) { return slab && object; }
#else
bool lh_slab_has(const lh_slab *slab, const void *object);
#endif

/* Frees every object, given back or not. */
void lh_slab_fini(lh_slab *slab);
