/* What threads share: named values, sequences, and queues to wait on.
 *
 * A shared queue holds items (messages) or a count of units (a semaphore), and the coroutines of any thread that wait
 * for one, oldest first. An item meets a waiter under the lock and travels to it by mail: it is never polled for, and
 * nobody can overtake. An item whose receiver has given up meanwhile goes back to where it was.
 *
 * Owner: everything named lives as long as the process; blobs are counted; waiters belong to the queue until granted,
 * then to their task. Thread: any, one lock for all (held for a few instructions; never while Lua runs). Errors: none.
 */
#pragma once
#include <pthread.h>

#include "runtime/task.h"

/* A serialised Lua value, immutable. */
typedef struct lh_blob {
    lh_list item_node; /* in a queue's items; guarded by the shared lock */
    atomic_int references;
    size_t length;
    char bytes[];
} lh_blob;

lh_blob *lh_blob_new(const char *bytes, size_t length);
void lh_blob_unref(lh_blob *blob); /* accepts NULL */

/* Sets the value of a key; takes over the reference. NULL deletes. */
void lh_shared_set(const char *key, size_t length, lh_blob *take_value);

/* A new reference to the value of a key, or NULL. */
lh_blob *lh_shared_get(const char *key, size_t length);

/* 0, 1, 2 ... for each key. */
uint64_t lh_shared_sequence(const char *key, size_t length);

typedef struct lh_shared_queue lh_shared_queue;
typedef struct lh_shared_waiter lh_shared_waiter;

/* The semaphore of that name; `count` counts when it is new. */
lh_shared_queue *lh_shared_semaphore(const char *name, size_t length, int64_t count);

/* The message queue of that key. */
lh_shared_queue *lh_shared_messages(const char *key, size_t length);

/* Takes an item if there is one and nobody waits for it. True: *item is set (NULL for a semaphore's unit). */
bool lh_shared_take(lh_shared_queue *queue, lh_blob **item);

/* As lh_shared_take; if there is none, `task` (which the caller parks then) joins the waiters, and *waiter is set: when
 * an item comes, the task is woken with no results on its stack, so its wait must have on_run. */
bool lh_shared_take_or_wait(lh_shared_queue *queue, lh_blob **item, lh_task *task, lh_shared_waiter **waiter);

/* Adds an item (takes over the reference; NULL adds a unit), or hands it to the first waiter. */
void lh_shared_put(lh_shared_queue *queue, lh_blob *take_item);

/* The waiting is over without an item. False: one is under way already; it will be put back when it arrives. */
bool lh_shared_give_up(lh_shared_waiter *waiter);

/* True when an item is under way to the waiter: it will be woken. */
bool lh_shared_is_granted(lh_shared_waiter *waiter);

/* An item that was taken and could not be used: puts it back at the front, or hands it on. */
void lh_shared_return(lh_shared_queue *queue, lh_blob *take_item);

/* The item that a woken task's waiter brought, which stays the waiter's. */
const lh_blob *lh_shared_item(const lh_shared_waiter *waiter);

/* The item that a woken task's waiter brought; frees the waiter. */
lh_blob *lh_shared_receive(lh_shared_waiter *waiter);

/* A woken task will not run: puts its item back at the front (or hands it on) and frees the waiter. */
void lh_shared_put_back(lh_shared_waiter *waiter);

/* Frees everything; when no other thread runs any more. */
void lh_shared_fini(void);
