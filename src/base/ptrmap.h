/* A hash map from pointer to pointer.
 *
 * Open addressing with backward-shift deletion: no tombstones, so churn does not degrade it. It grows by doubling at
 * three quarters full and shrinks again at one eighth.
 *
 * Owner: the struct is embedded, the table is freed by lh_ptrmap_fini; keys and values are the caller's.
 * Thread: one.
 * Errors: none; running out of memory ends the process. */
#pragma once
#include <stddef.h>

typedef struct lh_ptrmap_entry {
    const void *key; /* NULL = free */
    void *value;
} lh_ptrmap_entry;

typedef struct lh_ptrmap {
    lh_ptrmap_entry *entries; /* `capacity` of them, NULL = empty map */
    size_t capacity;          /* a power of two, or 0 */
    size_t count;
} lh_ptrmap;

/* Sets `key` (not NULL) to `value`, replacing an older one. */
void lh_ptrmap_set(lh_ptrmap *map, const void *key, void *value);

/* The value of `key`, or NULL. */
void *lh_ptrmap_get(const lh_ptrmap *map, const void *key);

/* Does nothing when `key` is absent. */
void lh_ptrmap_remove(lh_ptrmap *map, const void *key);

void lh_ptrmap_fini(lh_ptrmap *map);
