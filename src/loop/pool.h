/* A pool of threads for calls that may block on a disk.
 *
 * A job's `run` is called on a pool thread, then its `done` on the thread of the loop that submitted it. Threads are
 * started when a job finds none idle, up to THREADS_MAX, and end after a while without work.
 *
 * Owner: a job is its submitter's until lh_pool_submit, then the pool's, then again the submitter's in `done`, which
 * frees it. Embed it in what it works on.
 * Thread: submit from the loop's; close from any.
 * Errors: none: a job that finds no thread at all runs at once on the caller's. */
#pragma once
#include <stdatomic.h>

#include "loop/loop.h"

typedef struct lh_job lh_job;

struct lh_job {
    lh_mail mail;             /* brings it back to its loop */
    lh_list queue_node;       /* while it waits for a thread */
    lh_loop *loop;            /* where `done` runs */
    atomic_bool is_abandoned; /* nobody wants the result: `run` should end early if it can */
    void (*run)(lh_job *job); /* pool thread; touches the job only */
    /* Takes the job. `is_closing`: on any thread, with no loop any more: only give back what the job holds. */
    void (*done)(lh_job *job, bool is_closing);
};

/* `run` and `done` are set; the rest is the pool's. `done` is called in a later turn, never from here. */
void lh_pool_submit(lh_loop *loop, lh_job *job);

/* Ends the pool: jobs that have not begun are handed back as closing, those that run are when they end. No submit
 * after this. To be called when loops have stopped and before they close. */
void lh_pool_close(void);
