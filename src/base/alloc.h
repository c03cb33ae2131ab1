/* Memory, with the question answered in the name: may this allocation fail?
 *
 * A size that a script or a peer decides can fail and is reported: lh_try_alloc, lh_try_realloc return NULL. A size
 * that we decide cannot: lh_alloc has a reserve, and ends the process with one clear line when that is gone, because no
 * caller could do better.
 *
 * Owner: the caller frees with lh_free.
 * Thread: any. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* `size` bytes, zeroed; ends the process when there are none. */
void *lh_alloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* `size` bytes, not zeroed, or NULL. */
void *lh_try_alloc(size_t size) __attribute__((malloc, warn_unused_result));

/* The same, zeroed, for what need not be: NULL also makes lh_alloc_is_low true, so that no more is begun. */
void *lh_alloc_if_there_is(size_t size) __attribute__((malloc, warn_unused_result));

/* As realloc(3); NULL leaves `block` as it was. */
void *lh_try_realloc(void *block, size_t size) __attribute__((warn_unused_result));

/* A copy of `length` bytes with a NUL behind them; ends the process when there is no memory. */
char *lh_alloc_copy(const char *bytes, size_t length) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* Accepts NULL. */
void lh_free(void *block);

/* Sets memory aside for lh_alloc; to be called at the start, and again while lh_alloc_is_low. */
void lh_alloc_reserve(void);

/* Memory ran out elsewhere: gives the reserve up, so that what reports it has some. */
void lh_alloc_release_reserve(void);

/* The reserve had to be used: whoever can do with less should. */
bool lh_alloc_is_low(void);

#ifdef LHOTSE_INJECT
/* For tests: the calling thread's `n`-th allocation from now that can fail does; 0 = none. */
void lh_alloc_fail_at(long n);

/* Counts an allocation that can fail; true: it does. */
bool lh_alloc_is_to_fail(void);
#endif
