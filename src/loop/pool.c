/* One queue for all threads of the pool. A job that has run is posted to its loop under the mutex, so that
 * lh_pool_close draws a line: what ends after it finds no loop and gives its job back by itself. */
#include "loop/pool.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "loop/thread.h"

enum { THREADS_MAX = 32, IDLE_SECONDS = 20, STACK_BYTES = 256 * 1024 };

static struct {
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t queued;
    lh_list jobs; /* lh_job.queue_node, oldest first; initialised with the first job */
    int thread_count, idle_count, queued_count;
    bool is_closed;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER,
          .queued = PTHREAD_COND_INITIALIZER,
          .jobs = {.next = &pool.jobs, .prev = &pool.jobs}};

static void deliver(lh_mail *mail, lh_loop *loop, bool is_closing) {
    lh_job *job = LH_CONTAINER(mail, lh_job, mail);
    loop->job_count--;
    job->done(job, is_closing);
}

static void finish(lh_job *job) {
    pthread_mutex_lock(&pool.mutex);
    const bool is_closed = pool.is_closed;
    if (!is_closed) lh_mailbox_post(&job->loop->mailbox, &job->mail);
    pthread_mutex_unlock(&pool.mutex);
    if (is_closed) job->done(job, true);
}

/* The next job, or NULL when there was none for a while; the mutex is held. */
static lh_job *next_job(void) {
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += IDLE_SECONDS;
    pool.idle_count++;
    int rv = 0;
    while (pool.queued_count == 0 && rv != ETIMEDOUT) rv = pthread_cond_timedwait(&pool.queued, &pool.mutex, &limit);
    pool.idle_count--;
    lh_list *node = lh_list_take_first(&pool.jobs);
    if (!node) return NULL;
    pool.queued_count--;
    return LH_CONTAINER(node, lh_job, queue_node);
}

static void *work(void *unused) {
    (void)unused;
    pthread_mutex_lock(&pool.mutex);
    for (lh_job *job; (job = next_job());) {
        pthread_mutex_unlock(&pool.mutex);
        job->run(job);
        finish(job);
        pthread_mutex_lock(&pool.mutex);
    }
    pool.thread_count--;
    pthread_mutex_unlock(&pool.mutex);
    return NULL;
}

/* Reserves a thread when every idle one has a job already; the mutex is held. */
static bool wants_thread(void) {
    if (pool.queued_count <= pool.idle_count || pool.thread_count >= THREADS_MAX) return false;
    pool.thread_count++;
    return true;
}

/* No thread can be made. If there is none at all, nobody would ever run what is queued. */
static void do_without_thread(void) {
    pthread_mutex_lock(&pool.mutex);
    pool.thread_count--;
    lh_list *node = pool.thread_count == 0 ? lh_list_take_first(&pool.jobs) : NULL;
    if (node) pool.queued_count--;
    pthread_mutex_unlock(&pool.mutex);
    if (!node) return;
    lh_job *job = LH_CONTAINER(node, lh_job, queue_node);
    job->run(job);
    finish(job);
}

void lh_pool_submit(lh_loop *loop, lh_job *job) {
    job->loop = loop;
    job->mail.deliver = deliver;
    atomic_init(&job->is_abandoned, false);
    lh_list_init(&job->queue_node);
    loop->job_count++;
    pthread_mutex_lock(&pool.mutex);
    lh_list_append(&pool.jobs, &job->queue_node);
    pool.queued_count++;
    const bool is_short = wants_thread();
    pthread_cond_signal(&pool.queued);
    pthread_mutex_unlock(&pool.mutex);
    if (is_short && lh_thread_start("pool", work, NULL, STACK_BYTES) < 0) do_without_thread();
}

void lh_pool_close(void) {
    lh_list left;
    lh_list_init(&left);
    pthread_mutex_lock(&pool.mutex);
    pool.is_closed = true;
    pool.queued_count = 0;
    lh_list_splice(&left, &pool.jobs);
    pthread_mutex_unlock(&pool.mutex);
    for (lh_list *node; (node = lh_list_take_first(&left));) {
        lh_job *job = LH_CONTAINER(node, lh_job, queue_node);
        job->done(job, true);
    }
}
