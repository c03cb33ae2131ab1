/* loop/child and loop/pool, without Lua: children of a bare loop, jobs of the thread pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "loop/child.h"
#include "loop/pool.h"

static lh_loop loop;
static atomic_size_t ended_count; /* the pool's threads count too, once it is closed */
static size_t wanted_count;       /* the loop stops at so many */

static bool nothing_ready(lh_loop *l) {
    (void)l;
    if (ended_count >= wanted_count) lh_loop_stop(&loop);
    return false;
}

static void ignore(lh_loop *l) { (void)l; }
static void awake(void *context) { (void)context; }

static int open_loop(void **state) {
    (void)state;
    ended_count = 0;
    assert_int_equal(lh_loop_open(&loop), 0);
    loop.on_turn = nothing_ready;
    loop.on_idle = loop.on_busy = ignore;
    return 0;
}

static int close_loop(void **state) {
    (void)state;
    lh_loop_close(&loop);
    return 0;
}

static void run_until(size_t count) {
    wanted_count = count;
    atomic_store(&loop.is_stopping, false); /* it ran before */
    lh_loop_run(&loop);
}

/* -- Children ------------------------------------------------------------------------------------------------------ */

static lh_child *start_shell(const char *text) {
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)text, NULL};
    const lh_command command = {
        .path = "sh", .argv = argv, .stdio = {LH_STDIO_NULL, LH_STDIO_INHERIT, LH_STDIO_INHERIT}};
    lh_child *child;
    int pipes[3];
    assert_int_equal(lh_child_start(&loop, &command, &child, pipes), 0);
    for (int i = 0; i < 3; i++) assert_int_equal(pipes[i], -1);
    return child;
}

static void count_exit(lh_child *child) {
    assert_true(child->has_exited);
    ended_count++;
}

static void children_report_their_end_once(void **state) {
    (void)state;
    enum { COUNT = 20 };
    lh_child *children[COUNT];
    for (int i = 0; i < COUNT; i++) {
        char text[32];
        snprintf(text, sizeof(text), "exit %d", i);
        children[i] = start_shell(text);
        children[i]->on_exit = count_exit;
    }
    assert_int_equal(loop.child_count, COUNT);
    run_until(COUNT);
    assert_int_equal(loop.child_count, 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(WEXITSTATUS(children[i]->status), i);
        assert_true(lh_child_poll(children[i]));
        assert_int_equal(lh_child_kill(children[i], 0), -ESRCH);
        assert_int_equal(lh_child_kill_group(children[i], 0), -ESRCH);
        lh_child_abandon(children[i]);
    }
    assert_int_equal(ended_count, COUNT);
}

static void abandoned_children_are_killed(void **state) {
    (void)state;
    const pid_t pid = start_shell("sleep 60")->pid; /* left to the loop's end */
    lh_child *other = start_shell("sleep 60");
    const pid_t other_pid = other->pid;
    lh_child_abandon(other);
    while (loop.child_count > 1) {
        lh_poll_wait(&loop.poll, LH_SECOND, awake, NULL);
    }
    assert_int_equal(kill(other_pid, 0), -1);
    lh_loop_close(&loop);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(lh_loop_open(&loop), 0);
}

static void pipes_are_ours_and_claimed(void **state) {
    (void)state;
    char *argv[] = {(char *)(uintptr_t) "cat", NULL};
    const lh_command command = {.path = "cat", .argv = argv};
    lh_child *child;
    int pipes[3];
    char text[8];
    assert_int_equal(lh_child_start(&loop, &command, &child, pipes), 0);
    child->on_exit = count_exit;
    for (int i = 0; i < 3; i++) assert_true(lh_descriptor_is_claimed(pipes[i]));
    assert_int_equal(read(pipes[1], text, sizeof(text)), -1);
    assert_int_equal(errno, EAGAIN);
    for (int i = 0; i < 3; i++) {
        lh_descriptor_close(pipes[i]);
        assert_false(lh_descriptor_is_claimed(pipes[i]));
    }
    run_until(1);
    lh_child_abandon(child);
}

static void failures_name_their_cause(void **state) {
    (void)state;
    char *argv[] = {(char *)(uintptr_t) "x", NULL};
    lh_command command = {.path = "/no/such/program", .argv = argv};
    lh_child *child;
    int pipes[3];
    assert_int_equal(lh_child_start(&loop, &command, &child, pipes), -ENOENT);
    command.path = "/";
    assert_int_equal(lh_child_start(&loop, &command, &child, pipes), -EACCES);
    assert_int_equal(WEXITSTATUS(lh_child_status_of_error(ENOENT)), 127);
    assert_int_equal(WEXITSTATUS(lh_child_status_of_error(EACCES)), 126);
    assert_int_equal(loop.child_count, 0);
    lh_child_abandon(NULL);
}

/* -- The pool ------------------------------------------------------------------------------------------------------ */

typedef struct test_job {
    lh_job job;
    pthread_t ran_on;
    pthread_t done_on;
    bool was_closing;
} test_job;

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void run_job(lh_job *job) { LH_CONTAINER(job, test_job, job)->ran_on = pthread_self(); }

static void run_behind_gate(lh_job *job) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    run_job(job);
}

static void count_done(lh_job *job, bool is_closing) {
    test_job *test = LH_CONTAINER(job, test_job, job);
    test->done_on = pthread_self();
    test->was_closing = is_closing;
    ended_count++;
}

static void jobs_run_elsewhere_and_end_here(void) {
    enum { COUNT = 500 };
    static test_job jobs[COUNT];
    for (int i = 0; i < COUNT; i++) {
        jobs[i].job.run = run_job;
        jobs[i].job.done = count_done;
        lh_pool_submit(&loop, &jobs[i].job);
    }
    assert_int_equal(loop.job_count, COUNT);
    run_until(COUNT);
    assert_int_equal(loop.job_count, 0);
    for (int i = 0; i < COUNT; i++) {
        assert_false(pthread_equal(jobs[i].ran_on, pthread_self()));
        assert_true(pthread_equal(jobs[i].done_on, pthread_self()));
        assert_false(jobs[i].was_closing);
    }
}

/* 100 jobs hold all threads and fill the queue; those that have not begun come back from lh_pool_close, the others when
 * they end, from their own threads. */
static void closing_gives_every_job_back(void) {
    enum { COUNT = 100 };
    static test_job jobs[COUNT];
    ended_count = 0;
    pthread_mutex_lock(&gate);
    for (int i = 0; i < COUNT; i++) {
        jobs[i].job.run = run_behind_gate;
        jobs[i].job.done = count_done;
        lh_pool_submit(&loop, &jobs[i].job);
    }
    lh_pool_close();
    const size_t given_back = ended_count;
    assert_true(given_back >= 50 && given_back <= COUNT);
    for (int i = 0; i < COUNT; i++) assert_true(jobs[i].was_closing || !jobs[i].done_on);
    pthread_mutex_unlock(&gate);
}

/* 40 jobs that do not come back: others of their kind wait until these count as stuck, those of another kind do not
 * wait; a job that has not begun is given up at once. */
static void stuck_jobs_hold_up_nobody(void) {
    enum { COUNT = 40 };
    static test_job stuck[COUNT], other, behind, queued;
    ended_count = 0;
    pthread_mutex_lock(&gate);
    for (int i = 0; i < COUNT; i++) {
        stuck[i].job = (lh_job){.kind = LH_POOL_NAMES, .run = run_behind_gate, .done = count_done};
        lh_pool_submit(&loop, &stuck[i].job);
    }
    queued.job = (lh_job){.kind = LH_POOL_NAMES, .run = run_job, .done = count_done};
    lh_pool_submit(&loop, &queued.job);
    lh_pool_abandon(&queued.job);
    other.job = (lh_job){.kind = LH_POOL_FILES, .run = run_job, .done = count_done};
    lh_pool_submit(&loop, &other.job);
    run_until(2);
    assert_true(other.done_on && queued.done_on && !queued.ran_on);
    behind.job = (lh_job){.kind = LH_POOL_NAMES, .run = run_job, .done = count_done};
    lh_pool_submit(&loop, &behind.job);
    for (int i = 0; i < COUNT; i++) lh_pool_abandon(&stuck[i].job);
    for (size_t count = 3; !behind.done_on; count++) run_until(count); /* those that had not begun come back, too */
    assert_true(behind.ran_on);
    pthread_mutex_unlock(&gate);
    run_until(COUNT + 3);
    assert_int_equal(loop.job_count, 0);
    ended_count = 0;
}

/* One test, because a loop may close only after the pool: a thread of it may still be in the loop's mailbox. */
static void a_pool_lives_and_closes(void **state) {
    (void)state;
    jobs_run_elsewhere_and_end_here();
    stuck_jobs_hold_up_nobody();
    closing_gives_every_job_back();
}

int main(void) {
    lh_child_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(children_report_their_end_once, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(abandoned_children_are_killed, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(pipes_are_ours_and_claimed, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(failures_name_their_cause, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(a_pool_lives_and_closes, open_loop, close_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
