/* A dial travels: from the thread that wants it to the tunnel's, by mail, with one end of a socket pair; and back with
 * the answer. It is counted, because either thread may close first. */
#include "net/reverse.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptors.h"

struct lh_dial {
    lh_mail mail; /* the tunnel side's hold travels with it */
    atomic_uint holds;
    uint64_t tunnel_id;
    int far_fd; /* the tunnel's end of the pair, until it is taken; -1 = taken */
    lh_cut *cut;
    lh_net *from; /* whose thread dialled */
    /* The dialling thread's own: */
    lh_socket *near; /* NULL = given up, or handed out */
    lh_dial_fn on_done;
    void *owner;
    /* The answer, once the mail is on its way back: */
    bool is_open;
    char reason[LH_TUNNEL_REASON_MAX];
};

/* A name's tunnel. */
typedef struct entry {
    lh_list node; /* in `entries` */
    lh_tunnel *tunnel;
    lh_net *net;
    uint64_t id;
    char name[];
} entry;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static lh_list entries = {&entries, &entries};            /* newest last */
static uint64_t last_id;

static atomic_bool is_ended; /* no loop takes mail any more */

/* -- Entries ------------------------------------------------------------------------------------------------------- */

/* What `is_it` finds, newest first; NULL = nothing. The lock is held. */
static entry *find(bool (*is_it)(const entry *e, const void *what), const void *what) {
    for (lh_list *node = entries.prev; node != &entries; node = node->prev) {
        entry *e = LH_CONTAINER(node, entry, node);
        if (is_it(e, what)) return e;
    }
    return NULL;
}

static bool has_name(const entry *e, const void *name) { return strcmp(e->name, name) == 0; }
static bool has_tunnel(const entry *e, const void *tunnel) { return e->tunnel == tunnel; }
static bool has_id(const entry *e, const void *id) { return e->id == *(const uint64_t *)id; }

void lh_reverse_publish(lh_tunnel *tunnel, lh_net *net, const char *name) {
    const size_t size = strlen(name) + 1;
    entry *e = lh_alloc(sizeof(*e) + size);
    e->tunnel = tunnel;
    e->net = net;
    memcpy(e->name, name, size);
    lh_list_init(&e->node);
    pthread_mutex_lock(&mutex);
    e->id = ++last_id;
    lh_list_append(&entries, &e->node);
    pthread_mutex_unlock(&mutex);
}

void lh_reverse_unpublish(const lh_tunnel *tunnel) {
    pthread_mutex_lock(&mutex);
    entry *e = find(has_tunnel, tunnel);
    if (e) lh_list_remove(&e->node);
    pthread_mutex_unlock(&mutex);
    lh_free(e);
}

/* -- Dials --------------------------------------------------------------------------------------------------------- */

static void release(lh_dial *dial) {
    if (atomic_fetch_sub(&dial->holds, 1) != 1) return;
    lh_descriptor_close(dial->far_fd);
    lh_cut_release(dial->cut);
    lh_free(dial);
}

/* Back on the thread that dialled. */
static void come_back(lh_mail *mail, lh_loop *loop, bool is_closing) {
    (void)loop;
    lh_dial *dial = LH_CONTAINER(mail, lh_dial, mail);
    lh_socket *near = dial->near;
    if (near && !is_closing) {
        dial->near = NULL;
        if (dial->is_open) {
            dial->on_done(dial->owner, near, NULL);
        } else {
            lh_socket_close(near);
            dial->on_done(dial->owner, NULL, dial->reason);
        }
        release(dial); /* the dialler's hold */
    }
    release(dial);
}

static void send_back(lh_dial *dial, const char *reason) {
    dial->is_open = !reason;
    if (reason) snprintf(dial->reason, sizeof(dial->reason), "%s", reason);
    dial->mail.deliver = come_back;
    lh_mailbox_post(&dial->from->loop.mailbox, &dial->mail);
}

static void on_answer(void *owner, const char *reason) {
    lh_dial *dial = owner;
    if (atomic_load(&is_ended)) {
        release(dial);
    } else {
        send_back(dial, reason);
    }
}

/* On the tunnel's thread. */
static void arrive(lh_mail *mail, lh_loop *loop, bool is_closing) {
    lh_dial *dial = LH_CONTAINER(mail, lh_dial, mail);
    if (is_closing) {
        release(dial);
        return;
    }
    pthread_mutex_lock(&mutex);
    const entry *e = find(has_id, &dial->tunnel_id);
    lh_tunnel *tunnel = e ? e->tunnel : NULL; /* this thread's: it does not go away meanwhile */
    pthread_mutex_unlock(&mutex);
    if (!tunnel) {
        send_back(dial, "Reverse connection unavailable");
        return;
    }
    lh_socket *far = lh_socket_adopt(lh_net_of(loop), dial->far_fd, AF_UNIX, SOCK_STREAM);
    far->is_connected = true;
    dial->far_fd = -1;
    lh_tunnel_connect(tunnel, far, dial->cut, on_answer, dial);
}

/* Gives the dial to the thread of the newest tunnel of that name. The lock keeps that thread's loop alive. */
static bool post(lh_dial *dial, const char *name) {
    pthread_mutex_lock(&mutex);
    const entry *e = find(has_name, name);
    if (e) {
        dial->tunnel_id = e->id;
        lh_mailbox_post(&e->net->loop.mailbox, &dial->mail);
    }
    pthread_mutex_unlock(&mutex);
    return e != NULL;
}

static bool is_published(const char *name) {
    pthread_mutex_lock(&mutex);
    const entry *e = find(has_name, name);
    pthread_mutex_unlock(&mutex);
    return e != NULL;
}

lh_dial *lh_reverse_dial(lh_net *net, const char *name, lh_dial_fn on_done, void *owner, int *error) {
    int fds[2];
    *error = EHOSTUNREACH;
    if (!is_published(name)) return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
        *error = errno;
        return NULL;
    }
    lh_dial *dial = lh_alloc(sizeof(*dial));
    atomic_init(&dial->holds, 2);
    dial->mail.deliver = arrive;
    dial->cut = lh_cut_new();
    dial->far_fd = lh_descriptor_claim(fds[1]);
    dial->from = net;
    dial->on_done = on_done;
    dial->owner = owner;
    dial->near = lh_socket_adopt(net, fds[0], AF_UNIX, SOCK_STREAM);
    dial->near->is_connected = true;
    dial->near->cut = lh_cut_hold(dial->cut);
    if (post(dial, name)) return dial;
    release(dial);
    lh_dial_give_up(dial);
    return NULL;
}

void lh_dial_give_up(lh_dial *dial) {
    if (!dial || !dial->near) return;
    lh_socket_close(dial->near);
    dial->near = NULL;
    release(dial);
}

void lh_reverse_end(void) { atomic_store(&is_ended, true); }
