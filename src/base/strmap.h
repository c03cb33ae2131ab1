/* A hash map from byte string to pointer, for names that live long: streams, semaphores, shared keys.
 *
 * Chained buckets; keys are copied and may hold NUL bytes.
 *
 * Owner: the struct is embedded, nodes are freed by lh_strmap_remove and lh_strmap_fini; values are the caller's.
 * Thread: none of its own; the caller's lock guards it.
 * Errors: none; running out of memory ends the process. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct lh_strmap_node {
    struct lh_strmap_node *next;
    void *value;
    uint64_t hash;
    size_t length;
    char key[]; /* `length` bytes and a NUL */
} lh_strmap_node;

typedef struct lh_strmap {
    lh_strmap_node **buckets;
    size_t bucket_count; /* a power of two, or 0 */
    size_t count;
} lh_strmap;

/* Where the value of `key` is kept, creating it as NULL when absent; valid until the key is removed. */
void **lh_strmap_slot(lh_strmap *map, const char *key, size_t length);

/* The value of `key`, or NULL. */
void *lh_strmap_get(const lh_strmap *map, const char *key, size_t length);

/* Removes `key`, returning its value or NULL. */
void *lh_strmap_remove(lh_strmap *map, const char *key, size_t length);

/* Calls `visit` for each value; the map must not change meanwhile. */
void lh_strmap_each(const lh_strmap *map, void (*visit)(const lh_strmap_node *node, void *context), void *context);

void lh_strmap_fini(lh_strmap *map);
