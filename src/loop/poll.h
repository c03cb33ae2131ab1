/* Readiness of descriptors.
 *
 * A watch is registered once, for both directions, edge-triggered, and not modified (lh_poll_want, for curl, is the
 * exception): its owner remembers what is ready and forgets it on EAGAIN. Registering reports at once what is ready
 * already, so it may happen late: a descriptor that never has to wait never meets the poller. Only this file's .c knows
 * epoll.
 *
 * Owner: a watch is embedded in the caller's object, which may be freed once the watch was removed: events of it that
 * wait in the same batch are dropped.
 * Thread: the loop's own.
 * Errors: negative errno. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/owner.h"

typedef struct lh_watch lh_watch;

/* What is ready; LH_POLL_HANGUP: the peer has sent its last byte, or the descriptor failed. */
enum { LH_POLL_IN = 1, LH_POLL_OUT = 2, LH_POLL_HANGUP = 4 };

typedef void (*lh_watch_fn)(lh_watch *watch, unsigned events);

struct lh_watch {
    int fd;               /* -1 = closed */
    bool is_registered;   /* the poller knows the descriptor */
    lh_watch_fn on_ready; /* called with LH_POLL_*, or with 0 when asked for by lh_loop_again */
    lh_list again_node;   /* in lh_loop.again */
};

typedef struct lh_poll {
    int epoll_fd;
    lh_owner owner;            /* the thread that opened it */
    size_t watch_count;        /* registered watches */
    bool has_no_pwait2;        /* an old kernel: timeouts are rounded up to milliseconds */
    struct epoll_event *batch; /* what lh_poll_wait has still to serve */
    int batch_count;
} lh_poll;

int lh_poll_open(lh_poll *poll) __attribute__((warn_unused_result));

/* A watch on `fd` that is not registered yet. */
void lh_watch_init(lh_watch *watch, int fd, lh_watch_fn on_ready);

/* Registers; does nothing when registered already. 0 or a negative errno (ENOMEM, ENOSPC; EPERM for plain files). */
int lh_poll_add(lh_poll *poll, lh_watch *watch) __attribute__((warn_unused_result));

/* For a descriptor of a library that wants to be called as long as it is ready (level-triggered), and says what for:
 * registers, changes or, with 0, forgets it. `wants`: LH_POLL_IN, LH_POLL_OUT. 0 or a negative errno. */
int lh_poll_want(lh_poll *poll, lh_watch *watch, unsigned wants) __attribute__((warn_unused_result));

/* Forgets the descriptor; to be called before it is closed (a child between vfork and exec may hold a copy, which would
 * keep reporting). */
void lh_poll_remove(lh_poll *poll, lh_watch *watch);

/* Waits at most `timeout` (0 = look only, LH_NEVER = for ever) and calls on_ready for what is ready. `on_awake` is
 * called once between waiting and the first callback. */
void lh_poll_wait(lh_poll *poll, lh_ns timeout, void (*on_awake)(void *context), void *context);

void lh_poll_close(lh_poll *poll);
