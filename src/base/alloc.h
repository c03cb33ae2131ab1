/* Memory, with the question answered in the name: may this allocation fail?
 *
 * A size that a script or a peer decides can fail and is reported: lh_try_alloc, lh_try_realloc return NULL. A size
 * that we decide cannot: lh_alloc ends the process with one clear line, because no caller could do better.
 *
 * Owner: the caller frees with lh_free.
 * Thread: any. */
#pragma once
#include <stddef.h>

/* `size` bytes, zeroed; ends the process when there are none. */
void *lh_alloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* `size` bytes, not zeroed, or NULL. */
void *lh_try_alloc(size_t size) __attribute__((malloc, warn_unused_result));

/* As realloc(3); NULL leaves `block` as it was. */
void *lh_try_realloc(void *block, size_t size) __attribute__((warn_unused_result));

/* A copy of `length` bytes with a NUL behind them; ends the process when there is no memory. */
char *lh_alloc_copy(const char *bytes, size_t length) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* Accepts NULL. */
void lh_free(void *block);
