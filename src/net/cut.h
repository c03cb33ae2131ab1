/* A mark that two ends of a socket pair share: the pair ended, but not as its bytes would tell.
 *
 * One end of the pair stands for something far away. When that is lost the kernel can only say "end of file" to the
 * other end, which would read like a peer that has finished. So whoever holds the near end marks the cut before it
 * closes; the far end, at an end of file, looks here.
 *
 * Owner: counted. Thread: any. Errors: none. */
#pragma once
#include <assert.h>
#include <stdatomic.h>

#include "base/alloc.h"

typedef struct lh_cut {
    atomic_uint holds;
    atomic_int error;     /* errno, 0 = not cut. Set before the descriptor is closed, read after its end of file */
    atomic_uint *counter; /* one less when the cut is gone; NULL = none. Set by who made the cut, at once */
} lh_cut;

/* Held once. */
static inline lh_cut *lh_cut_new(void) {
    lh_cut *cut = lh_alloc(sizeof(*cut));
    atomic_init(&cut->holds, 1);
    cut->counter = NULL;
    return cut;
}

static inline lh_cut *lh_cut_hold(lh_cut *cut) {
    const unsigned before = atomic_fetch_add(&cut->holds, 1);
    assert(before > 0); /* who adds a hold has one */
    (void)before;
    return cut;
}

/* Accepts NULL. */
static inline void lh_cut_release(lh_cut *cut) {
    if (!cut || atomic_fetch_sub(&cut->holds, 1) != 1) return;
    if (cut->counter) atomic_fetch_sub(cut->counter, 1);
    lh_free(cut);
}
