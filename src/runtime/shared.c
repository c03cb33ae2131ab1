#include "runtime/shared.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strmap.h"

struct lh_shared_queue {
    lh_list waiters; /* lh_shared_waiter.wait_node, oldest first */
    lh_list items;   /* lh_blob.item_node, oldest first; messages only */
    int64_t count;   /* units; semaphores only */
    bool is_semaphore;
};

struct lh_shared_waiter {
    lh_mail mail;      /* brings the item to the waiter's thread */
    lh_list wait_node; /* linked = still waiting */
    lh_shared_queue *queue;
    lh_state *state;
    lh_task *task; /* NULL = it gave up while the item was under way. Of the waiter's own thread */
    lh_blob *item;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards everything below, and all queues */
static lh_strmap values, sequences, semaphores, messages;

/* -- Blobs, values, sequences -------------------------------------------------------------------------------------- */

lh_blob *lh_blob_new(const char *bytes, size_t length) {
    lh_blob *blob = lh_try_alloc(sizeof(*blob) + length);
    if (!blob) return NULL;
    lh_list_init(&blob->item_node);
    atomic_init(&blob->references, 1);
    blob->length = length;
    memcpy(blob->bytes, bytes, length);
    return blob;
}

void lh_blob_unref(lh_blob *blob) {
    assert(!blob || atomic_load(&blob->references) > 0);
    if (blob && atomic_fetch_sub(&blob->references, 1) == 1) lh_free(blob);
}

void lh_shared_set(const char *key, size_t length, lh_blob *take_value) {
    lh_blob *old;
    pthread_mutex_lock(&mutex);
    if (take_value) {
        void **slot = lh_strmap_slot(&values, key, length);
        old = *slot;
        *slot = take_value;
    } else {
        old = lh_strmap_remove(&values, key, length);
    }
    pthread_mutex_unlock(&mutex);
    lh_blob_unref(old);
}

lh_blob *lh_shared_get(const char *key, size_t length) {
    pthread_mutex_lock(&mutex);
    lh_blob *blob = lh_strmap_get(&values, key, length);
    if (blob) atomic_fetch_add(&blob->references, 1);
    pthread_mutex_unlock(&mutex);
    return blob;
}

uint64_t lh_shared_sequence(const char *key, size_t length) {
    pthread_mutex_lock(&mutex);
    /* The counter is the map's value itself. */
    uintptr_t *counter = (uintptr_t *)lh_strmap_slot(&sequences, key, length);
    const uint64_t next = (*counter)++;
    pthread_mutex_unlock(&mutex);
    return next;
}

/* -- Queues -------------------------------------------------------------------------------------------------------- */

static lh_shared_queue *get_queue(lh_strmap *map, const char *name, size_t length, bool is_semaphore, int64_t count) {
    pthread_mutex_lock(&mutex);
    void **slot = lh_strmap_slot(map, name, length);
    if (!*slot) {
        lh_shared_queue *queue = lh_alloc(sizeof(*queue));
        lh_list_init(&queue->waiters);
        lh_list_init(&queue->items);
        queue->is_semaphore = is_semaphore;
        queue->count = count;
        *slot = queue;
    }
    lh_shared_queue *queue = *slot;
    assert(queue->is_semaphore == is_semaphore);
    pthread_mutex_unlock(&mutex);
    return queue;
}

lh_shared_queue *lh_shared_semaphore(const char *name, size_t length, int64_t count) {
    return get_queue(&semaphores, name, length, true, count);
}

lh_shared_queue *lh_shared_messages(const char *key, size_t length) {
    return get_queue(&messages, key, length, false, 0);
}

/* Takes an item, waiters or not; the lock is held. */
static bool take_locked(lh_shared_queue *queue, lh_blob **item) {
    *item = NULL;
    if (queue->is_semaphore) {
        assert(lh_list_is_empty(&queue->items));
        if (queue->count <= 0) return false;
        queue->count--;
        return true;
    }
    assert(queue->count == 0);
    lh_list *node = lh_list_take_first(&queue->items);
    if (node) *item = LH_CONTAINER(node, lh_blob, item_node);
    return node != NULL;
}

bool lh_shared_take(lh_shared_queue *queue, lh_blob **item) {
    pthread_mutex_lock(&mutex);
    const bool is_taken = lh_list_is_empty(&queue->waiters) && take_locked(queue, item);
    pthread_mutex_unlock(&mutex);
    return is_taken;
}

static void arrive(lh_mail *mail, lh_loop *loop, bool is_closing);

bool lh_shared_take_or_wait(lh_shared_queue *queue, lh_blob **item, lh_task *task, lh_shared_waiter **waiter) {
    lh_shared_waiter *w = lh_alloc(sizeof(*w));
    w->mail.deliver = arrive;
    w->queue = queue;
    w->state = lh_state_here();
    w->task = task;
    lh_list_init(&w->wait_node);
    pthread_mutex_lock(&mutex);
    const bool is_taken = lh_list_is_empty(&queue->waiters) && take_locked(queue, item);
    if (!is_taken) lh_list_append(&queue->waiters, &w->wait_node);
    pthread_mutex_unlock(&mutex);
    if (is_taken) {
        lh_free(w);
    } else {
        *waiter = w;
    }
    return is_taken;
}

/* On the waiter's own thread: its item is here. */
static void hand_over(lh_shared_waiter *waiter) {
    assert(waiter->state == lh_state_here() && !lh_list_is_linked(&waiter->wait_node));
    if (waiter->task) {
        lh_task_wake(waiter->task, 0);
    } else {
        lh_shared_put_back(waiter);
    }
}

static void arrive(lh_mail *mail, lh_loop *loop, bool is_closing) {
    (void)loop;
    lh_shared_waiter *waiter = LH_CONTAINER(mail, lh_shared_waiter, mail);
    assert(loop == &waiter->state->net.loop);
    if (is_closing) {
        lh_blob_unref(waiter->item);
        lh_free(waiter);
        return;
    }
    hand_over(waiter);
}

/* Adds an item and, if both are there, takes an item for the first waiter. */
static void put(lh_shared_queue *queue, lh_blob *item, bool at_front) {
    assert(queue->is_semaphore == !item);
    lh_shared_waiter *waiter = NULL;
    pthread_mutex_lock(&mutex);
    if (queue->is_semaphore) {
        queue->count++;
    } else if (at_front) {
        lh_list_append(queue->items.next, &item->item_node); /* appending to a link puts before it */
    } else {
        lh_list_append(&queue->items, &item->item_node);
    }
    lh_blob *taken;
    if (!lh_list_is_empty(&queue->waiters) && take_locked(queue, &taken)) {
        waiter = LH_CONTAINER(lh_list_take_first(&queue->waiters), lh_shared_waiter, wait_node);
        waiter->item = taken;
    }
    pthread_mutex_unlock(&mutex);
    if (!waiter) return;
    if (waiter->state == lh_state_here()) {
        hand_over(waiter);
    } else {
        lh_mailbox_post(&waiter->state->net.loop.mailbox, &waiter->mail);
    }
}

void lh_shared_put(lh_shared_queue *queue, lh_blob *take_item) { put(queue, take_item, false); }
void lh_shared_return(lh_shared_queue *queue, lh_blob *take_item) { put(queue, take_item, true); }

bool lh_shared_is_granted(lh_shared_waiter *waiter) {
    pthread_mutex_lock(&mutex);
    const bool is_granted = !lh_list_is_linked(&waiter->wait_node);
    pthread_mutex_unlock(&mutex);
    return is_granted;
}

bool lh_shared_give_up(lh_shared_waiter *waiter) {
    assert(waiter->state == lh_state_here() && waiter->task);
    pthread_mutex_lock(&mutex);
    const bool is_waiting = lh_list_is_linked(&waiter->wait_node);
    lh_list_remove(&waiter->wait_node);
    pthread_mutex_unlock(&mutex);
    if (is_waiting) {
        lh_free(waiter);
    } else {
        waiter->task = NULL;
    }
    return is_waiting;
}

const lh_blob *lh_shared_item(const lh_shared_waiter *waiter) {
    assert(waiter->state == lh_state_here());
    return waiter->item;
}

lh_blob *lh_shared_receive(lh_shared_waiter *waiter) {
    assert(waiter->state == lh_state_here() && !lh_list_is_linked(&waiter->wait_node));
    lh_blob *item = waiter->item;
    lh_free(waiter);
    return item;
}

void lh_shared_put_back(lh_shared_waiter *waiter) {
    lh_shared_queue *queue = waiter->queue;
    put(queue, lh_shared_receive(waiter), true);
}

/* -- The end ------------------------------------------------------------------------------------------------------- */

static void free_value(const lh_strmap_node *node, void *context) {
    (void)context;
    lh_blob_unref(node->value);
}

static void free_queue(const lh_strmap_node *node, void *context) {
    (void)context;
    lh_shared_queue *queue = node->value;
    for (lh_list *link; (link = lh_list_take_first(&queue->waiters));) {
        lh_free(LH_CONTAINER(link, lh_shared_waiter, wait_node));
    }
    for (lh_list *link; (link = lh_list_take_first(&queue->items));) {
        lh_blob_unref(LH_CONTAINER(link, lh_blob, item_node));
    }
    lh_free(queue);
}

void lh_shared_fini(void) {
    lh_strmap_each(&values, free_value, NULL);
    lh_strmap_each(&semaphores, free_queue, NULL);
    lh_strmap_each(&messages, free_queue, NULL);
    lh_strmap_fini(&values);
    lh_strmap_fini(&sequences);
    lh_strmap_fini(&semaphores);
    lh_strmap_fini(&messages);
}
