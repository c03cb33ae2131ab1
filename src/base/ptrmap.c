#include "base/ptrmap.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"

enum { SMALLEST = 64 };

/* Objects are 8- or 16-byte aligned: the multiplication spreads the high bits that differ (Fibonacci hashing). */
static size_t home_of(const lh_ptrmap *map, const void *key) {
    const uint64_t mixed = (uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(mixed >> 32) & (map->capacity - 1);
}

static void insert(lh_ptrmap *map, const void *key, void *value) {
    assert(key && map->count < map->capacity); /* a free entry ends every search */
    size_t i = home_of(map, key);
    while (map->entries[i].key && map->entries[i].key != key) i = (i + 1) & (map->capacity - 1);
    if (!map->entries[i].key) map->count++;
    map->entries[i] = (lh_ptrmap_entry){key, value};
}

/* A table that is fuller than it should be, or emptier, does without. */
static void resize(lh_ptrmap *map, size_t capacity) {
    const lh_ptrmap old = *map;
    const size_t bytes = capacity * sizeof(lh_ptrmap_entry);
    const bool is_needed = map->count + 1 > map->capacity - map->capacity / 16;
    lh_ptrmap_entry *entries = is_needed ? lh_alloc(bytes) : lh_alloc_if_there_is(bytes);
    if (!entries) return;
    *map = (lh_ptrmap){.entries = entries, .capacity = capacity};
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.entries[i].key) insert(map, old.entries[i].key, old.entries[i].value);
    }
    lh_free(old.entries);
}

void lh_ptrmap_set(lh_ptrmap *map, const void *key, void *value) {
    if ((map->count + 1) * 4 > map->capacity * 3) resize(map, map->capacity ? map->capacity * 2 : SMALLEST);
    insert(map, key, value);
}

void *lh_ptrmap_get(const lh_ptrmap *map, const void *key) {
    if (map->count == 0) return NULL;
    for (size_t i = home_of(map, key); map->entries[i].key; i = (i + 1) & (map->capacity - 1)) {
        if (map->entries[i].key == key) return map->entries[i].value;
    }
    return NULL;
}

void lh_ptrmap_remove(lh_ptrmap *map, const void *key) {
    if (map->count == 0) return;
    const size_t mask = map->capacity - 1;
    size_t hole = home_of(map, key);
    while (map->entries[hole].key != key) {
        if (!map->entries[hole].key) return;
        hole = (hole + 1) & mask;
    }
    /* Moves back every later entry of the run whose home lies at or before the hole. */
    for (size_t i = (hole + 1) & mask; map->entries[i].key; i = (i + 1) & mask) {
        const size_t distance = (i - home_of(map, map->entries[i].key)) & mask;
        if (distance < ((i - hole) & mask)) continue;
        map->entries[hole] = map->entries[i];
        hole = i;
    }
    map->entries[hole] = (lh_ptrmap_entry){0};
    assert(map->count > 0);
    map->count--;
    if (map->capacity > SMALLEST && map->count < map->capacity / 8) resize(map, map->capacity / 2);
}

void lh_ptrmap_fini(lh_ptrmap *map) {
    lh_free(map->entries);
    *map = (lh_ptrmap){0};
}
