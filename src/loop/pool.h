/* Pools of threads for calls that may block: on a disk, or until a name server answers.
 *
 * A job's `run` is called on a pool thread, then its `done` on the thread of the loop that submitted it. Each kind of
 * job has threads of its own, started when a job finds none idle, so that one kind never waits for another; they end
 * after a while without work. Jobs that are stuck do not hold up others, up to some hundreds.
 *
 * Owner: a job is its submitter's until lh_pool_submit, then the pool's, then again the submitter's in `done`, which
 * frees it or submits it again. Embed it in what it works on.
 * Thread: submit and abandon from the loop's; close from any.
 * Errors: none: a job that finds no thread at all runs at once on the caller's. */
#pragma once
#include <stdatomic.h>

#include "loop/loop.h"

typedef struct lh_job lh_job;

typedef enum lh_pool_kind {
    LH_POOL_FILES, /* a disk may be slow */
    LH_POOL_HOSTS, /* names that a file has: they never wait for ... */
    LH_POOL_NAMES, /* ... those that a server has */
    LH_POOL_KINDS
} lh_pool_kind;

struct lh_job {
    lh_mail mail;             /* brings it back to its loop */
    lh_list node;             /* the pool's, as the next three */
    lh_ns started_ns;         /* when `run` was called */
    uint8_t state;            /* LH_JOB_* */
    uint8_t kind;             /* lh_pool_kind */
    lh_loop *loop;            /* where `done` runs */
    atomic_bool is_abandoned; /* nobody wants the result: `run` should end early if it can */
    void (*run)(lh_job *job); /* pool thread; touches the job only */
    /* Takes the job. `is_closing`: on any thread, with no loop any more: only give back what the job holds. */
    void (*done)(lh_job *job, bool is_closing);
};

enum { LH_JOB_OVER, LH_JOB_QUEUED, LH_JOB_RUNNING, LH_JOB_STUCK };

/* `kind`, `run` and `done` are set; the rest is the pool's. `done` is called in a later turn, never from here. */
void lh_pool_submit(lh_loop *loop, lh_job *job);

/* Nobody wants the result of a job under way: it holds up no others from now on. `done` is still called, later; soon if
 * the job has not begun, and then without `run`. */
void lh_pool_abandon(lh_job *job);

/* Ends the pools: jobs that have not begun are handed back as closing, those that run are when they end. No submit
 * after this. To be called when loops have stopped and before they close. */
void lh_pool_close(void);
