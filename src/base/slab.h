/* A pool of objects of one size.
 *
 * Taking and giving back cost a few instructions and no malloc once the pool has grown to its working size. Memory is
 * returned to the system only by lh_slab_fini: an object given back keeps its type for ever, so that a late look at it
 * (an epoll event of the same batch, for instance) reads a valid, closed object and not garbage.
 *
 * Owner: the slab owns the memory; objects are borrowed between take and give.
 * Thread: one; a slab is part of a per-thread struct.
 * Errors: none; running out of memory ends the process (the sizes are ours). */
#pragma once
#include <stddef.h>

typedef struct lh_slab {
    size_t object_bytes;
    size_t used_count; /* objects taken and not given back */
    void *free;        /* first free object; each holds the pointer to the next in its *last* word */
    void *chunks;      /* every chunk, linked through its first word */
} lh_slab;

/* `object_bytes` at least the size of two pointers. */
void lh_slab_init(lh_slab *slab, size_t object_bytes);

/* An object; fresh ones are zeroed, reused ones are as they were given back (but for their last word). */
void *lh_slab_take(lh_slab *slab) __attribute__((returns_nonnull, warn_unused_result));

/* `object` came from this slab. */
void lh_slab_give(lh_slab *slab, void *object);

/* Frees every object, given back or not. */
void lh_slab_fini(lh_slab *slab);
