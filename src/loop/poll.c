#include "loop/poll.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptors.h"

enum { BATCH = 512 };

int lh_poll_open(lh_poll *poll) {
    const int fd = lh_descriptor_claim(epoll_create1(EPOLL_CLOEXEC));
    if (fd < 0) return -errno;
    *poll = (lh_poll){.epoll_fd = fd, .owner = lh_owner_here()};
    return 0;
}

static __attribute__((unused)) bool is_mine(const lh_poll *poll) { return poll->owner == lh_owner_here(); }

void lh_watch_init(lh_watch *watch, int fd, lh_watch_fn on_ready) {
    *watch = (lh_watch){.fd = fd, .on_ready = on_ready};
    lh_list_init(&watch->again_node);
}

int lh_poll_add(lh_poll *poll, lh_watch *watch) {
    assert(is_mine(poll) && watch->fd >= 0 && watch->on_ready);
    if (watch->is_registered) return 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = watch};
    if (epoll_ctl(poll->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0) return -errno;
    watch->is_registered = true;
    poll->watch_count++;
    return 0;
}

int lh_poll_want(lh_poll *poll, lh_watch *watch, unsigned wants) {
    assert(is_mine(poll) && !(wants & ~(unsigned)(LH_POLL_IN | LH_POLL_OUT)));
    if (wants == 0) {
        lh_poll_remove(poll, watch);
        return 0;
    }
    struct epoll_event event = {.data.ptr = watch};
    if (wants & LH_POLL_IN) event.events |= EPOLLIN | EPOLLRDHUP;
    if (wants & LH_POLL_OUT) event.events |= EPOLLOUT;
    const int operation = watch->is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(poll->epoll_fd, operation, watch->fd, &event) < 0) return -errno;
    if (!watch->is_registered) poll->watch_count++;
    watch->is_registered = true;
    return 0;
}

static void drop_events(const lh_poll *poll, const lh_watch *watch) {
    for (int i = 0; i < poll->batch_count; i++) {
        if (poll->batch[i].data.ptr == watch) poll->batch[i].data.ptr = NULL;
    }
}

void lh_poll_remove(lh_poll *poll, lh_watch *watch) {
    assert(is_mine(poll));
    if (!watch->is_registered) return;
    assert(watch->fd >= 0 && poll->watch_count > 0);
    drop_events(poll, watch);
    struct epoll_event unused = {0};
    epoll_ctl(poll->epoll_fd, EPOLL_CTL_DEL, watch->fd, &unused);
    watch->is_registered = false;
    poll->watch_count--;
}

static int wait_ms(const lh_poll *poll, struct epoll_event *events, lh_ns timeout) {
    int ms = -1;
    if (timeout != LH_NEVER) {
        const lh_ns rounded = (timeout + LH_MILLISECOND - 1) / LH_MILLISECOND;
        ms = rounded > INT_MAX ? INT_MAX : (int)rounded;
    }
    return epoll_wait(poll->epoll_fd, events, BATCH, ms);
}

static int wait_events(lh_poll *poll, struct epoll_event *events, lh_ns timeout) {
    if (timeout == 0 || timeout == LH_NEVER || poll->has_no_pwait2) return wait_ms(poll, events, timeout);
    const struct timespec ts = {.tv_sec = (time_t)(timeout / LH_SECOND), .tv_nsec = (long)(timeout % LH_SECOND)};
    const int n = epoll_pwait2(poll->epoll_fd, events, BATCH, &ts, NULL);
    if (n < 0 && errno == ENOSYS) {
        poll->has_no_pwait2 = true;
        return wait_ms(poll, events, timeout);
    }
    return n;
}

static unsigned translate(uint32_t events) {
    unsigned ready = 0;
    if (events & EPOLLIN) ready |= LH_POLL_IN;
    if (events & EPOLLOUT) ready |= LH_POLL_OUT;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) ready |= LH_POLL_IN | LH_POLL_HANGUP;
    if (events & (EPOLLHUP | EPOLLERR)) ready |= LH_POLL_OUT;
    return ready;
}

void lh_poll_wait(lh_poll *poll, lh_ns timeout, void (*on_awake)(void *context), void *context) {
    assert(is_mine(poll));
    struct epoll_event events[BATCH];
    const int count = wait_events(poll, events, timeout); /* EINTR counts as nothing ready */
    on_awake(context);
    for (int i = 0; i < count; i++) {
        lh_watch *watch = events[i].data.ptr;
        poll->batch = &events[i + 1];
        poll->batch_count = count - i - 1;
        assert(!watch || (watch->is_registered && watch->fd >= 0));
        if (watch) watch->on_ready(watch, translate(events[i].events));
    }
}

void lh_poll_close(lh_poll *poll) {
    assert(is_mine(poll) && poll->watch_count == 0);
    lh_descriptor_close(poll->epoll_fd);
    poll->epoll_fd = -1;
}
