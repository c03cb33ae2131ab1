/* loop/: the timer wheel, the mailbox, the loop's turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>

#include "loop/loop.h"

/* -- Timers -------------------------------------------------------------------------------------------------------- */

static lh_timers wheel;
static lh_ns now;
static int fired_count;
static lh_ns last_deadline;

static void on_expire(lh_timer *timer) {
    assert_true(timer->deadline_ns <= now); /* never early */
    assert_false(timer->is_armed);
    /* In order, to the resolution of a tick. */
    assert_true(timer->deadline_ns + 1024 >= last_deadline);
    last_deadline = timer->deadline_ns;
    fired_count++;
}

static void advance_to(lh_ns instant) {
    now = instant;
    last_deadline = 0;
    lh_timers_expire(&wheel, now);
}

static void timers_fire_once_in_order_and_never_early(void **state) {
    (void)state;
    enum { COUNT = 10000 };
    static lh_timer timers[COUNT];
    const lh_ns start = 123456789012345;
    now = start;
    fired_count = 0;
    lh_timers_init(&wheel, start);
    srand(1);
    for (int i = 0; i < COUNT; i++) {
        lh_timer_init(&timers[i], on_expire);
        /* from microseconds to days, so that every level of the wheel is used */
        const lh_ns delay = (lh_ns)rand() % (UINT64_C(1) << (10 + rand() % 37));
        lh_timer_start(&wheel, &timers[i], start + delay);
    }
    while (wheel.count > 0) {
        const lh_ns next = lh_timers_next(&wheel);
        assert_true(next != LH_NEVER);
        for (int i = 0; i < COUNT; i += 997) { /* the promise: nothing is due before `next` */
            if (timers[i].is_armed) assert_true(timers[i].deadline_ns + 1024 >= next);
        }
        advance_to(next > now ? next : now + 1024);
    }
    assert_int_equal(fired_count, COUNT);
    assert_true(lh_timers_next(&wheel) == LH_NEVER);
}

static void timers_stop_and_move(void **state) {
    (void)state;
    lh_timer a, b, c;
    now = 5000000;
    fired_count = 0;
    lh_timers_init(&wheel, now);
    lh_timer_init(&a, on_expire);
    lh_timer_init(&b, on_expire);
    lh_timer_init(&c, on_expire);
    lh_timer_stop(&wheel, &a); /* harmless */
    lh_timer_start(&wheel, &a, now + 10000000);
    lh_timer_start(&wheel, &b, now + 10000000);
    lh_timer_start(&wheel, &c, LH_NEVER);
    assert_int_equal(wheel.count, 2);
    lh_timer_stop(&wheel, &a);
    lh_timer_stop(&wheel, &a);
    lh_timer_start(&wheel, &b, now + 20000000); /* moves */
    advance_to(now + 15000000);
    assert_int_equal(fired_count, 0);
    advance_to(now + 15000000);
    assert_int_equal(fired_count, 1);
    assert_int_equal(wheel.count, 0);
}

static lh_timer chained, victim;

static void stop_the_other(lh_timer *timer) {
    fired_count++;
    lh_timer_stop(&wheel, timer == &chained ? &victim : &chained);
}

static void rearm_in_the_past(lh_timer *timer) {
    fired_count++;
    lh_timer_start(&wheel, timer, 0);
}

static void timer_callbacks_may_stop_and_start(void **state) {
    (void)state;
    now = 1000000;
    fired_count = 0;
    lh_timers_init(&wheel, now);
    lh_timer_init(&chained, stop_the_other);
    lh_timer_init(&victim, stop_the_other);
    lh_timer_start(&wheel, &chained, now + 5000);
    lh_timer_start(&wheel, &victim, now + 5000);
    lh_timers_expire(&wheel, now + 10000);
    assert_int_equal(fired_count, 1); /* due in the same turn, stopped by the first */
    lh_timer_init(&chained, rearm_in_the_past);
    lh_timer_start(&wheel, &chained, 0);
    lh_timers_expire(&wheel, now + 20000);
    assert_int_equal(fired_count, 2); /* once per turn, not for ever */
    assert_true(lh_timers_next(&wheel) == 0);
    lh_timers_expire(&wheel, now + 30000);
    assert_int_equal(fired_count, 3);
    lh_timer_stop(&wheel, &chained);
}

static void timers_beyond_the_wheel_are_kept(void **state) {
    (void)state;
    lh_timer far;
    now = 1;
    lh_timers_init(&wheel, now);
    lh_timer_init(&far, on_expire);
    lh_timer_start(&wheel, &far, LH_NEVER - 1);
    assert_true(lh_timers_next(&wheel) < LH_NEVER);
    lh_timer_stop(&wheel, &far);
}

/* -- Mailbox ------------------------------------------------------------------------------------------------------- */

enum { POSTERS = 4, MAILS = 20000 };

typedef struct numbered_mail {
    lh_mail mail;
    int poster, number;
} numbered_mail;

static int last_of[POSTERS], delivered_count;

static void deliver(lh_mail *mail, lh_loop *loop, bool is_closing) {
    (void)is_closing;
    numbered_mail *numbered = LH_CONTAINER(mail, numbered_mail, mail);
    assert_int_equal(numbered->number, last_of[numbered->poster] + 1); /* each poster's in order */
    last_of[numbered->poster]++;
    free(numbered);
    if (++delivered_count == POSTERS * MAILS) lh_loop_stop(loop);
}

static lh_loop loop;

static void *post(void *argument) {
    for (int i = 1; i <= MAILS; i++) {
        numbered_mail *mail = calloc(1, sizeof(*mail));
        mail->mail.deliver = deliver;
        mail->poster = (int)(intptr_t)argument;
        mail->number = i;
        lh_mailbox_post(&loop.mailbox, &mail->mail);
        if (i % 1000 == 0) usleep(100); /* let the loop fall asleep now and then */
    }
    return NULL;
}

static bool no_turn(lh_loop *l) {
    (void)l;
    return false;
}

static void ignore(lh_loop *l) { (void)l; }

static void open_loop(void) {
    assert_int_equal(lh_loop_open(&loop), 0);
    loop.on_turn = no_turn;
    loop.on_idle = ignore;
    loop.on_busy = ignore;
}

static void mails_of_many_threads_arrive_in_order(void **state) {
    (void)state;
    open_loop();
    pthread_t threads[POSTERS];
    for (int i = 0; i < POSTERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, post, (void *)(intptr_t)i), 0);
    lh_loop_run(&loop); /* hangs, and the test's limit ends it, if a wake-up is lost */
    for (int i = 0; i < POSTERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(delivered_count, POSTERS * MAILS);
    lh_loop_close(&loop);
}

static void *stop_later(void *argument) {
    (void)argument;
    usleep(2000);
    lh_loop_stop(&loop);
    return NULL;
}

static void stop_wakes_a_sleeping_loop(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        open_loop();
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_later, NULL), 0);
        lh_loop_run(&loop);
        pthread_join(thread, NULL);
        lh_loop_close(&loop);
    }
}

/* -- Watches ------------------------------------------------------------------------------------------------------- */

static int ready_count;
static unsigned ready_events;

static void on_ready(lh_watch *watch, unsigned events) {
    ready_count++;
    ready_events |= events;
    if (ready_count < 3) {
        lh_loop_again(&loop, watch); /* called next turn, without an event */
        lh_loop_again(&loop, watch); /* twice is once */
    } else {
        lh_loop_stop(&loop);
    }
}

static void watches_report_what_is_ready_and_may_ask_again(void **state) {
    (void)state;
    open_loop();
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    lh_watch watch;
    lh_watch_init(&watch, fds[0], on_ready);
    assert_int_equal(lh_poll_add(&loop.poll, &watch), 0);
    assert_int_equal(lh_poll_add(&loop.poll, &watch), 0); /* once is enough */
    lh_loop_run(&loop);
    assert_int_equal(ready_count, 3);
    assert_true(ready_events & LH_POLL_IN);
    lh_poll_remove(&loop.poll, &watch);
    lh_poll_remove(&loop.poll, &watch);
    close(fds[0]);
    close(fds[1]);
    lh_loop_close(&loop);
}

static lh_watch *pair[2];
static int served_count;

/* Frees the other, whose event waits in the same batch. */
static void on_ready_free_other(lh_watch *watch, unsigned events) {
    (void)events;
    lh_watch **other = pair[0] == watch ? &pair[1] : &pair[0];
    lh_poll_remove(&loop.poll, *other);
    free(*other);
    *other = NULL;
    served_count++;
    lh_loop_stop(&loop);
}

static void a_watch_may_be_freed_while_its_event_waits(void **state) {
    (void)state;
    open_loop();
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    for (int i = 0; i < 2; i++) { /* both ends are ready: one reads, one writes */
        pair[i] = malloc(sizeof(*pair[i]));
        assert_non_null(pair[i]);
        lh_watch_init(pair[i], fds[i], on_ready_free_other);
        assert_int_equal(lh_poll_add(&loop.poll, pair[i]), 0);
    }
    lh_loop_run(&loop);
    assert_int_equal(served_count, 1);
    for (int i = 0; i < 2; i++) {
        if (pair[i]) lh_poll_remove(&loop.poll, pair[i]);
        free(pair[i]);
        close(fds[i]);
    }
    lh_loop_close(&loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_once_in_order_and_never_early),
        cmocka_unit_test(timers_stop_and_move),
        cmocka_unit_test(timer_callbacks_may_stop_and_start),
        cmocka_unit_test(timers_beyond_the_wheel_are_kept),
        cmocka_unit_test(mails_of_many_threads_arrive_in_order),
        cmocka_unit_test(stop_wakes_a_sleeping_loop),
        cmocka_unit_test(watches_report_what_is_ready_and_may_ask_again),
        cmocka_unit_test(a_watch_may_be_freed_while_its_event_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
