/* An event loop: one per thread.
 *
 * It waits for descriptors, timers and mails, and calls back. It knows nothing of Lua, and nothing of sockets beyond
 * their readiness. One turn is, in this order:
 *   1. wait in the kernel: not at all when something is ready, else until the next timer
 *   2. read the clock once; `lh_loop.now` holds for the turn
 *   3. call back for ready descriptors
 *   4. fire due timers
 *   5. deliver mails from other threads
 *   6. call again the watches that had more to do than one turn allows (lh_loop_again)
 *   7. `on_turn`: the owner runs what has become ready
 *
 * Owner: embedded by the floor above; watches, timers and mails are their owners'.
 * Thread: the one that opened it, except lh_loop_stop and the mailbox's post.
 * Errors: negative errno from lh_loop_open; none later. */
#pragma once
#include <stdatomic.h>

#include "base/owner.h"
#include "loop/mailbox.h"
#include "loop/poll.h"
#include "loop/timer.h"

typedef struct lh_loop lh_loop;

struct lh_loop {
    lh_ns now;      /* the turn's clock reading */
    uint32_t turn;  /* counts; 0 = it does not run yet */
    lh_owner owner; /* the thread that opened it */
    lh_timers timers;
    lh_poll poll;
    lh_mailbox mailbox;
    lh_watch mailbox_watch; /* wakes the poll; its mails are taken in step 5 */
    lh_list again;          /* watches to call again next turn */
    lh_watch sigchld_watch; /* child.c's, on kernels without pidfd */
    size_t wait_count;      /* waits that the world outside will end: descriptors, children, pool jobs */
    size_t child_count;     /* children that run */
    size_t job_count;       /* pool jobs under way */
    atomic_bool is_stopping;
    _Atomic lh_ns *beat; /* where the loop's life is seen (host/heartbeat.h); own_beat when nobody looks */
    _Atomic lh_ns own_beat;
    /* Runs what is ready; true = more is ready already, do not sleep. */
    bool (*on_turn)(lh_loop *loop);
    /* Nothing is ready, armed or waited for: only another thread can bring work. Called before sleeping so ... */
    void (*on_idle)(lh_loop *loop);
    /* ... and after it, before any mail is taken. */
    void (*on_busy)(lh_loop *loop);
};

/* 0 or a negative errno (EMFILE, ENOMEM). */
int lh_loop_open(lh_loop *loop) __attribute__((warn_unused_result));

/* For assertions: this is the loop's thread. */
static inline bool lh_loop_is_mine(const lh_loop *loop) { return loop->owner == lh_owner_here(); }

/* The loop is the calling thread's from now on: its own has ended. */
void lh_loop_adopt(lh_loop *loop);

/* Turns until lh_loop_stop. */
void lh_loop_run(lh_loop *loop);

/* Any thread, and signal handlers: the loop ends after the current turn. */
void lh_loop_stop(lh_loop *loop);

/* Calls `watch->on_ready(watch, 0)` in the next turn: for work cut off by a budget, so that others are served between.
 */
void lh_loop_again(lh_loop *loop, lh_watch *watch);

/* A fresh clock reading for a deadline: `duration` from now, LH_NEVER for LH_NEVER. */
lh_ns lh_loop_deadline(lh_ns duration);

/* True while a timer, a descriptor or a job can still wake something here. */
bool lh_loop_is_expecting(const lh_loop *loop);

/* Watches are unregistered by their owners before. Undelivered mails are told that the loop closes. */
void lh_loop_close(lh_loop *loop);
