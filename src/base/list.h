/* A doubly linked list whose links live in the objects it holds.
 *
 * A head and a link are the same type. An unlinked link points at itself, so that removing twice is harmless and
 * `lh_list_is_linked` can answer. The link's field name says which list it is in (`owned_node`, `held_node`).
 *
 * Owner: the caller owns heads and objects; the list allocates nothing.
 * Thread: none of its own; whoever guards the objects guards the list.
 * Errors: none. */
#pragma once
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lh_list {
    struct lh_list *next, *prev;
} lh_list;

/* The object whose field `field` is the link `link`. */
#define LH_CONTAINER(link, type, field) ((type *)(void *)((char *)(link)-offsetof(type, field)))

/* Makes an empty head, or an unlinked link. */
static inline void lh_list_init(lh_list *list) { list->next = list->prev = list; }

static inline bool lh_list_is_empty(const lh_list *head) { return head->next == head; }

static inline bool lh_list_is_linked(const lh_list *link) { return link->next != link; }

/* For assertions: what lies on both sides of `link` agrees. */
static inline bool lh_list_is_sound(const lh_list *link) {
    return link->next->prev == link && link->prev->next == link;
}

/* `link` must be unlinked. */
static inline void lh_list_append(lh_list *head, lh_list *link) {
    assert(lh_list_is_sound(head) && !lh_list_is_linked(link));
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* Harmless on an unlinked link. */
static inline void lh_list_remove(lh_list *link) {
    assert(lh_list_is_sound(link));
    link->next->prev = link->prev;
    link->prev->next = link->next;
    lh_list_init(link);
}

/* The first link, unlinked, or NULL. */
static inline lh_list *lh_list_take_first(lh_list *head) {
    lh_list *first = head->next;
    if (first == head) return NULL;
    lh_list_remove(first);
    return first;
}

/* Moves everything from `from` to the end of `to`. */
static inline void lh_list_splice(lh_list *to, lh_list *from) {
    assert(lh_list_is_sound(from) && lh_list_is_sound(to));
    if (lh_list_is_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    lh_list_init(from);
}
