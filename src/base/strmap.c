#include "base/strmap.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

enum { SMALLEST = 32 };

/* FNV-1a. The names come from the scripts that run here, not from peers: flooding resistance is not needed. */
static uint64_t hash_of(const char *key, size_t length) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
    return hash ^ (hash >> 32);
}

static lh_strmap_node **bucket_of(const lh_strmap *map, uint64_t hash) {
    return &map->buckets[hash & (map->bucket_count - 1)];
}

/* The link that points at the node of `key`, or at NULL where it would be appended. The map has buckets. */
static lh_strmap_node **find_link(const lh_strmap *map, const char *key, size_t length, uint64_t hash) {
    assert(map->bucket_count > 0 && (map->bucket_count & (map->bucket_count - 1)) == 0);
    lh_strmap_node **link = bucket_of(map, hash);
    while (*link && !((*link)->hash == hash && (*link)->length == length && memcmp((*link)->key, key, length) == 0)) {
        link = &(*link)->next;
    }
    return link;
}

/* Without memory for more buckets the chains become longer. */
static void resize(lh_strmap *map, size_t bucket_count) {
    const lh_strmap old = *map;
    const size_t bytes = bucket_count * sizeof(*map->buckets);
    lh_strmap_node **buckets = old.bucket_count > 0 ? lh_alloc_if_there_is(bytes) : lh_alloc(bytes);
    if (!buckets) return;
    map->buckets = buckets;
    map->bucket_count = bucket_count;
    for (size_t i = 0; i < old.bucket_count; i++) {
        for (lh_strmap_node *node = old.buckets[i], *next; node; node = next) {
            next = node->next;
            lh_strmap_node **bucket = bucket_of(map, node->hash);
            node->next = *bucket;
            *bucket = node;
        }
    }
    lh_free(old.buckets);
}

void **lh_strmap_slot(lh_strmap *map, const char *key, size_t length) {
    if (map->count >= map->bucket_count) resize(map, map->bucket_count ? map->bucket_count * 2 : SMALLEST);
    const uint64_t hash = hash_of(key, length);
    lh_strmap_node **link = find_link(map, key, length, hash);
    if (!*link) {
        lh_strmap_node *node = lh_alloc(sizeof(*node) + length + 1);
        node->hash = hash;
        node->length = length;
        memcpy(node->key, key, length);
        *link = node;
        map->count++;
    }
    return &(*link)->value;
}

void *lh_strmap_get(const lh_strmap *map, const char *key, size_t length) {
    if (map->count == 0) return NULL;
    const lh_strmap_node *node = *find_link(map, key, length, hash_of(key, length));
    return node ? node->value : NULL;
}

void *lh_strmap_remove(lh_strmap *map, const char *key, size_t length) {
    if (map->count == 0) return NULL;
    lh_strmap_node **link = find_link(map, key, length, hash_of(key, length));
    lh_strmap_node *node = *link;
    if (!node) return NULL;
    assert(map->count > 0 && node->hash == hash_of(node->key, node->length));
    void *value = node->value;
    *link = node->next;
    lh_free(node);
    map->count--;
    return value;
}

void lh_strmap_each(const lh_strmap *map, void (*visit)(const lh_strmap_node *node, void *context), void *context) {
    for (size_t i = 0; i < map->bucket_count; i++) {
        for (lh_strmap_node *node = map->buckets[i], *next; node; node = next) {
            next = node->next;
            visit(node, context);
        }
    }
}

static void free_node(const lh_strmap_node *node, void *context) {
    (void)context;
    lh_free((void *)(uintptr_t)node);
}

void lh_strmap_fini(lh_strmap *map) {
    lh_strmap_each(map, free_node, NULL);
    lh_free(map->buckets);
    *map = (lh_strmap){0};
}
