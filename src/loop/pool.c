/* One queue for each kind of job. A job that has run is posted to its loop under the mutex, so that lh_pool_close draws
 * a line: what ends after it finds no loop and gives its job back by itself.
 *
 * At most THREADS_MAX jobs of a kind run at a time; one that takes longer than STUCK_TIME (a file server or a name
 * server does not answer), or that nobody waits for any more, counts no longer while others are queued. When all
 * threads are busy there is one more, which waits until a job is stuck. */
#include "loop/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/thread.h"

enum { THREADS_MAX = 32, STUCK_MAX = 256, STACK_BYTES = 256 * 1024 };

static const lh_ns STUCK_TIME = 1 * LH_SECOND, IDLE_TIME = 20 * LH_SECOND;

typedef struct lh_pool {
    pthread_cond_t queued;
    lh_list jobs;           /* lh_job.node, oldest first */
    lh_list running, stuck; /* likewise */
    int thread_count, idle_count, queued_count, running_count, stuck_count;
} lh_pool;

#define POOL(kind)                                                                                                     \
    [kind] = {.queued = PTHREAD_COND_INITIALIZER,                                                                      \
              .jobs = {&pools[kind].jobs, &pools[kind].jobs},                                                          \
              .running = {&pools[kind].running, &pools[kind].running},                                                 \
              .stuck = {&pools[kind].stuck, &pools[kind].stuck}}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the rest */
static lh_pool pools[LH_POOL_KINDS] = {POOL(LH_POOL_FILES), POOL(LH_POOL_HOSTS), POOL(LH_POOL_NAMES)};
static bool is_closed;

static void deliver(lh_mail *mail, lh_loop *loop, bool is_closing) {
    lh_job *job = LH_CONTAINER(mail, lh_job, mail);
    assert(job->loop == loop && job->state == LH_JOB_OVER && loop->job_count > 0);
    loop->job_count--;
    job->done(job, is_closing);
}

/* -- Jobs; the mutex is held --------------------------------------------------------------------------------------- */

static void take_out(lh_pool *pool, lh_job *job) {
    assert(job->state != LH_JOB_OVER && lh_list_is_linked(&job->node) && pool == &pools[job->kind]);
    lh_list_remove(&job->node);
    if (job->state == LH_JOB_QUEUED) pool->queued_count--;
    if (job->state == LH_JOB_RUNNING) pool->running_count--;
    if (job->state == LH_JOB_STUCK) pool->stuck_count--;
    job->state = LH_JOB_OVER;
    assert(pool->queued_count >= 0 && pool->running_count >= 0 && pool->stuck_count >= 0);
}

static void begin(lh_pool *pool, lh_job *job) {
    assert(job->state == LH_JOB_QUEUED);
    take_out(pool, job);
    job->state = LH_JOB_RUNNING;
    job->started_ns = lh_clock_now();
    lh_list_append(&pool->running, &job->node);
    pool->running_count++;
}

static void set_stuck(lh_pool *pool, lh_job *job) {
    assert(job->state == LH_JOB_RUNNING);
    if (pool->stuck_count == STUCK_MAX) return;
    take_out(pool, job);
    job->state = LH_JOB_STUCK;
    lh_list_append(&pool->stuck, &job->node);
    pool->stuck_count++;
}

static lh_job *first_of(const lh_list *list) {
    return lh_list_is_empty(list) ? NULL : LH_CONTAINER(list->next, lh_job, node);
}

/* When the next job counts as stuck; LH_NEVER = none will. */
static lh_ns find_stuck(lh_pool *pool, lh_ns now) {
    for (lh_job *oldest; pool->stuck_count < STUCK_MAX && (oldest = first_of(&pool->running));) {
        if (oldest->started_ns + STUCK_TIME > now) return oldest->started_ns + STUCK_TIME;
        set_stuck(pool, oldest);
    }
    return LH_NEVER;
}

/* -- Threads ------------------------------------------------------------------------------------------------------- */

static void wait_until(lh_pool *pool, lh_ns deadline) {
    const struct timespec limit = {.tv_sec = (time_t)(deadline / LH_SECOND), .tv_nsec = (long)(deadline % LH_SECOND)};
    pthread_cond_clockwait(&pool->queued, &mutex, CLOCK_MONOTONIC, &limit);
}

/* The next job, or NULL when there was none for a while; the mutex is held. */
static lh_job *next_job(lh_pool *pool) {
    lh_ns now = lh_clock_now();
    const lh_ns idle_until = now + IDLE_TIME;
    lh_job *job = NULL;
    for (pool->idle_count++; !job; now = lh_clock_now()) {
        const lh_ns stuck_at = pool->queued_count > 0 ? find_stuck(pool, now) : LH_NEVER;
        if (pool->queued_count > 0 && pool->running_count < THREADS_MAX) {
            job = first_of(&pool->jobs);
        } else if (stuck_at != LH_NEVER) {
            wait_until(pool, stuck_at);
        } else if (now < idle_until) {
            wait_until(pool, idle_until);
        } else {
            break;
        }
    }
    assert(pool->idle_count > 0 && pool->idle_count <= pool->thread_count);
    pool->idle_count--;
    if (job) begin(pool, job);
    return job;
}

/* Reserves a thread when every idle one has a job already; the mutex is held. */
static bool wants_thread(lh_pool *pool) {
    if (pool->queued_count <= pool->idle_count || pool->thread_count - pool->stuck_count > THREADS_MAX) return false;
    pool->thread_count++;
    return true;
}

static void finish(lh_pool *pool, lh_job *job) {
    pthread_mutex_lock(&mutex);
    take_out(pool, job);
    const bool has_no_loop = is_closed;
    if (!has_no_loop) lh_mailbox_post(&job->loop->mailbox, &job->mail);
    pthread_mutex_unlock(&mutex);
    if (has_no_loop) job->done(job, true);
}

static void start_thread(lh_pool *pool);

static void *work(void *argument) {
    lh_pool *pool = argument;
    pthread_mutex_lock(&mutex);
    for (lh_job *job; (job = next_job(pool));) {
        const bool is_short = wants_thread(pool);
        pthread_mutex_unlock(&mutex);
        if (is_short) start_thread(pool);
        job->run(job);
        finish(pool, job);
        pthread_mutex_lock(&mutex);
    }
    assert(pool->thread_count > 0);
    pool->thread_count--;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* No thread can be made. If there is none at all, nobody would ever run what is queued. */
static void do_without_thread(lh_pool *pool) {
    pthread_mutex_lock(&mutex);
    pool->thread_count--;
    lh_job *job = pool->thread_count == 0 ? first_of(&pool->jobs) : NULL;
    if (job) begin(pool, job);
    pthread_mutex_unlock(&mutex);
    if (!job) return;
    job->run(job);
    finish(pool, job);
}

static void start_thread(lh_pool *pool) {
    if (lh_thread_start("pool", work, pool, STACK_BYTES) < 0) do_without_thread(pool);
}

/* -- For loops ----------------------------------------------------------------------------------------------------- */

void lh_pool_submit(lh_loop *loop, lh_job *job) {
    lh_pool *pool = &pools[job->kind];
    job->loop = loop;
    job->mail.deliver = deliver;
    job->state = LH_JOB_QUEUED;
    atomic_init(&job->is_abandoned, false);
    lh_list_init(&job->node);
    loop->job_count++;
    pthread_mutex_lock(&mutex);
    lh_list_append(&pool->jobs, &job->node);
    pool->queued_count++;
    const bool is_short = wants_thread(pool);
    pthread_cond_signal(&pool->queued);
    pthread_mutex_unlock(&mutex);
    if (is_short) start_thread(pool);
}

void lh_pool_abandon(lh_job *job) {
    lh_pool *pool = &pools[job->kind];
    assert(lh_loop_is_mine(job->loop));
    atomic_store(&job->is_abandoned, true);
    pthread_mutex_lock(&mutex);
    if (job->state == LH_JOB_QUEUED) {
        take_out(pool, job);
        if (!is_closed) lh_mailbox_post(&job->loop->mailbox, &job->mail);
    } else if (job->state == LH_JOB_RUNNING) {
        set_stuck(pool, job);
    }
    const bool is_short = wants_thread(pool);
    pthread_cond_signal(&pool->queued);
    pthread_mutex_unlock(&mutex);
    if (is_short) start_thread(pool);
}

void lh_pool_close(void) {
    lh_list left;
    lh_list_init(&left);
    pthread_mutex_lock(&mutex);
    is_closed = true;
    for (int i = 0; i < LH_POOL_KINDS; i++) {
        for (lh_job *job; (job = first_of(&pools[i].jobs)); lh_list_append(&left, &job->node)) take_out(&pools[i], job);
    }
    pthread_mutex_unlock(&mutex);
    for (lh_list *node; (node = lh_list_take_first(&left));) {
        lh_job *job = LH_CONTAINER(node, lh_job, node);
        job->done(job, true);
    }
}
