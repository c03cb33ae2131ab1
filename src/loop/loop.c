#include "loop/loop.h"

#include <assert.h>
#include <errno.h>

#include "loop/child.h"

static void on_mailbox_ready(lh_watch *watch, unsigned events) {
    /* Nothing to read: the wake-up itself was the message; step 5 takes the mails. */
    (void)watch;
    (void)events;
}

int lh_loop_open(lh_loop *loop) {
    *loop = (lh_loop){.now = lh_clock_now(), .owner = lh_owner_here()};
    loop->beat = &loop->own_beat;
    lh_timers_init(&loop->timers, loop->now);
    lh_list_init(&loop->again);
    lh_watch_init(&loop->sigchld_watch, -1, NULL);
    int rv = lh_poll_open(&loop->poll);
    if (rv < 0) return rv;
    rv = lh_mailbox_open(&loop->mailbox);
    if (rv < 0) goto fail_mailbox;
    lh_watch_init(&loop->mailbox_watch, loop->mailbox.event_fd, on_mailbox_ready);
    rv = lh_poll_add(&loop->poll, &loop->mailbox_watch);
    if (rv < 0) goto fail_watch;
    return 0;

fail_watch:
    lh_mailbox_close(&loop->mailbox);
fail_mailbox:
    lh_poll_close(&loop->poll);
    return rv;
}

void lh_loop_adopt(lh_loop *loop) { loop->owner = loop->timers.owner = loop->poll.owner = lh_owner_here(); }

static void read_clock(void *context) {
    lh_loop *loop = context;
    assert(lh_loop_is_mine(loop));
    lh_mailbox_awake(&loop->mailbox);
    loop->now = lh_clock_now();
    loop->turn++;
    atomic_store_explicit(loop->beat, loop->now, memory_order_relaxed);
}

/* How long the kernel may keep us. */
static lh_ns sleep_time(lh_loop *loop) {
    const lh_ns next = lh_timers_next(&loop->timers);
    if (next == LH_NEVER || next == 0) return next;
    const lh_ns now = lh_clock_now(); /* the turn's reading is stale by what the turn did */
    return next > now ? next - now : 0;
}

static void wait_for_events(lh_loop *loop, bool is_busy) {
    if (is_busy || !lh_list_is_empty(&loop->again)) {
        /* The mailbox's own watch is always there: with no other, looking would find nothing. */
        if (loop->poll.watch_count > 1) {
            lh_poll_wait(&loop->poll, 0, read_clock, loop);
        } else {
            read_clock(loop);
        }
        return;
    }
    const bool is_idle = !lh_loop_is_expecting(loop);
    if (is_idle) loop->on_idle(loop);
    const lh_ns timeout = sleep_time(loop);
    /* In this order: lh_loop_stop stores first and looks for a sleeper then. */
    const bool may_sleep = lh_mailbox_may_sleep(&loop->mailbox) && !atomic_load(&loop->is_stopping);
    if (may_sleep && timeout > 0) {
        atomic_store_explicit(loop->beat, lh_clock_add(loop->now, timeout), memory_order_relaxed);
    }
    lh_poll_wait(&loop->poll, may_sleep ? timeout : 0, read_clock, loop);
    if (is_idle) loop->on_busy(loop);
}

static void call_again(lh_loop *loop) {
    if (lh_list_is_empty(&loop->again)) return;
    lh_list batch;
    lh_list_init(&batch);
    lh_list_splice(&batch, &loop->again);
    for (lh_list *node; (node = lh_list_take_first(&batch));) {
        lh_watch *watch = LH_CONTAINER(node, lh_watch, again_node);
        assert(!lh_list_is_linked(node) && watch->on_ready);
        if (watch->fd >= 0) watch->on_ready(watch, 0);
    }
}

void lh_loop_run(lh_loop *loop) {
    assert(lh_loop_is_mine(loop) && loop->on_turn && loop->on_idle && loop->on_busy);
    read_clock(loop);
    bool is_busy = loop->on_turn(loop);
    while (!atomic_load_explicit(&loop->is_stopping, memory_order_relaxed)) {
        wait_for_events(loop, is_busy);
        lh_timers_expire(&loop->timers, loop->now);
        lh_mailbox_drain(&loop->mailbox, loop, false);
        call_again(loop);
        is_busy = loop->on_turn(loop);
    }
}

void lh_loop_stop(lh_loop *loop) {
    atomic_store(&loop->is_stopping, true);
    lh_mailbox_wake(&loop->mailbox);
}

void lh_loop_again(lh_loop *loop, lh_watch *watch) {
    assert(lh_loop_is_mine(loop) && watch->on_ready);
    if (!lh_list_is_linked(&watch->again_node)) lh_list_append(&loop->again, &watch->again_node);
}

lh_ns lh_loop_deadline(lh_ns duration) {
    return duration == LH_NEVER ? LH_NEVER : lh_clock_add(lh_clock_now(), duration);
}

bool lh_loop_is_expecting(const lh_loop *loop) {
    assert(loop->wait_count < SIZE_MAX / 2); /* it did not fall below 0 */
    return loop->timers.count > 0 || loop->wait_count > 0 || !lh_list_is_empty(&loop->again);
}

void lh_loop_close(lh_loop *loop) {
    assert(lh_loop_is_mine(loop));
    lh_child_close_all(loop);
    lh_mailbox_drain(&loop->mailbox, loop, true);
    lh_poll_remove(&loop->poll, &loop->mailbox_watch);
    lh_mailbox_close(&loop->mailbox);
    lh_poll_close(&loop->poll);
}
