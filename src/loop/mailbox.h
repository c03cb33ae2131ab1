/* Messages from any thread to a loop.
 *
 * A lock-free list of mails that the loop empties once per turn. A burst of posts wakes the loop once, and a loop that
 * is busy is not woken at all: it looks before it sleeps.
 *
 * Owner: the poster gives the mail away; `deliver` frees it (or not, if it is static).
 * Thread: lh_mailbox_post from any thread and from a signal handler; the rest is the loop's own.
 * Errors: none after lh_mailbox_open. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>

typedef struct lh_mail lh_mail;
struct lh_loop;

struct lh_mail {
    lh_mail *next;
    /* Runs on the loop's thread; owns the mail. `is_closing`: the loop is going, only give back what the mail holds. */
    void (*deliver)(lh_mail *mail, struct lh_loop *loop, bool is_closing);
};

typedef struct lh_mailbox {
    _Atomic(lh_mail *) newest; /* posted mails, newest first */
    atomic_bool is_asleep;     /* the loop may be blocked in the kernel: posting must wake it */
    int event_fd;              /* written to wake the loop */
} lh_mailbox;

/* 0 or a negative errno. */
int lh_mailbox_open(lh_mailbox *mailbox) __attribute__((warn_unused_result));

/* Any thread; also async-signal-safe. */
void lh_mailbox_post(lh_mailbox *mailbox, lh_mail *mail);

/* Any thread; also async-signal-safe: a sleeping loop makes a turn, without a mail. */
void lh_mailbox_wake(lh_mailbox *mailbox);

/* Says that the loop is about to sleep. False: a mail is waiting, do not. */
bool lh_mailbox_may_sleep(lh_mailbox *mailbox);

/* Says that the loop is awake again. */
void lh_mailbox_awake(lh_mailbox *mailbox);

bool lh_mailbox_is_empty(const lh_mailbox *mailbox);

/* Delivers, oldest first, what was posted up to now. */
void lh_mailbox_drain(lh_mailbox *mailbox, struct lh_loop *loop, bool is_closing);

void lh_mailbox_close(lh_mailbox *mailbox);
