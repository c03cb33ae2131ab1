/* A Treiber stack whose consumer takes everything with one exchange, so there is no ABA: nothing is ever popped singly.
 *
 * Sleeping and posting meet as Dekker's two flags: the loop stores `is_asleep` and then looks at `newest`; a poster
 * pushes to `newest` and then looks at `is_asleep`. With sequentially consistent operations at least one of them sees
 * the other, so no mail is left behind a sleeping loop. */
#include "loop/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/descriptors.h"

int lh_mailbox_open(lh_mailbox *mailbox) {
    const int fd = lh_descriptor_claim(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (fd < 0) return -errno;
    atomic_init(&mailbox->newest, NULL);
    atomic_init(&mailbox->is_asleep, false);
    mailbox->event_fd = fd;
    return 0;
}

void lh_mailbox_wake(lh_mailbox *mailbox) {
    if (!atomic_exchange(&mailbox->is_asleep, false)) return;
    /* The counter is never read: each write is a new edge for epoll, and it cannot overflow in a lifetime. */
    const uint64_t one = 1;
    const int saved_errno = errno;
    if (write(mailbox->event_fd, &one, sizeof(one)) < 0) {
        /* Only a full counter could fail here, and then the loop has been woken already. */
    }
    errno = saved_errno;
}

void lh_mailbox_post(lh_mailbox *mailbox, lh_mail *mail) {
    assert(mail->deliver && mailbox->event_fd >= 0);
    lh_mail *newest = atomic_load(&mailbox->newest);
    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak(&mailbox->newest, &newest, mail));
    lh_mailbox_wake(mailbox);
}

bool lh_mailbox_is_empty(const lh_mailbox *mailbox) { return atomic_load(&mailbox->newest) == NULL; }

bool lh_mailbox_may_sleep(lh_mailbox *mailbox) {
    atomic_store(&mailbox->is_asleep, true);
    if (lh_mailbox_is_empty(mailbox)) return true;
    atomic_store(&mailbox->is_asleep, false);
    return false;
}

void lh_mailbox_awake(lh_mailbox *mailbox) {
    /* Relaxed is enough: a poster that still sees `true` writes to the eventfd once too often, harmlessly. */
    atomic_store_explicit(&mailbox->is_asleep, false, memory_order_relaxed);
}

void lh_mailbox_drain(lh_mailbox *mailbox, struct lh_loop *loop, bool is_closing) {
    if (atomic_load_explicit(&mailbox->newest, memory_order_relaxed) == NULL) return;
    lh_mail *oldest = NULL;
    for (lh_mail *mail = atomic_exchange(&mailbox->newest, NULL), *next; mail; mail = next) {
        next = mail->next;
        mail->next = oldest;
        oldest = mail;
    }
    for (lh_mail *mail = oldest, *next; mail; mail = next) {
        next = mail->next;
        mail->deliver(mail, loop, is_closing);
    }
}

void lh_mailbox_close(lh_mailbox *mailbox) {
    lh_descriptor_close(mailbox->event_fd);
    mailbox->event_fd = -1;
}
