/* Operations on files: each runs on the thread pool while its coroutine waits; where a coroutine cannot yield it runs
 * at once.
 *
 * An operation is a constant lh_file_op. What it does (`run`) touches its job only. A cancelled coroutine leaves the
 * job behind: it ends, and what it opened is dropped. A job that waits works on a descriptor of its own, because the
 * script may close its one meanwhile.
 *
 * What is no file (FIFOs, terminals, sockets) may keep one waiting for ever: then `run` says what for (`awaited`,
 * `is_unmatched`) and returns, the job leaves the pool, the loop waits, and the job is submitted again. Only where a
 * coroutine cannot yield does the call itself wait.
 *
 * Owner: a job is its maker's until lh_file_job_start or lh_file_job_free takes it.
 * Thread: the state's own, but for `run`.
 * Errors: errno in the job. */
#pragma once
#include <sys/stat.h>

#include "base/buffer.h"
#include "loop/poll.h"
#include "loop/pool.h"
#include "runtime/task.h"

typedef struct lh_file_job lh_file_job;

typedef struct lh_file_op {
    lh_wait wait; /* how a coroutine waits for it; its withdraw is lh_file_job_withdraw */
    void (*run)(lh_file_job *job);
    int (*push)(lua_State *L, lh_file_job *job); /* the results; may raise */
    void (*drop)(const lh_file_job *job);        /* nobody takes what it opened; NULL = it opens nothing */
    bool (*is_matched)(int fd);                  /* of what may be unmatched: not any more? */
} lh_file_op;

struct lh_file_job {
    lh_job job;
    const lh_file_op *op;
    lh_task *task;   /* who waits; NULL = nobody any more */
    int error;       /* errno, 0 = it worked */
    char *path;      /* NULL = it works on `fd` */
    char *target;    /* the name that the file is to have at last, NULL = it keeps its own */
    int fd;          /* given, or opened */
    int flags;       /* of open(2) */
    mode_t mode;     /* of open, chmod, mkdir */
    bool has_offset; /* read or write at `offset`, not at the file's position */
    int64_t offset;
    size_t count;      /* bytes to read */
    size_t done_bytes; /* of the write */
    lh_buffer bytes;   /* to write, or read; names, each with a NUL behind it */
    struct stat stat;
    bool may_wait;     /* in the loop: the call is not to block */
    unsigned awaited;  /* LH_POLL_*: what the loop is to wait for, 0 = nothing */
    bool is_unmatched; /* a FIFO whose other end nobody has opened yet: the loop is to look again */
    bool is_in_loop;   /* which waits for it; the pool has no part in it */
    bool is_loaned;    /* `fd` is a copy of the script's (see copy_of) */
    lh_ns pause;       /* until the next look */
    lh_watch watch;    /* of `fd`, while the loop waits */
    lh_timer timer;    /* likewise */
};

/* After the arguments are checked. Works on `path`, or if that is NULL on `fd`. Raises in a cancelled coroutine, and
 * without memory; from here to lh_file_job_start nothing may raise. */
lh_file_job *lh_file_job_new(lua_State *L, const lh_file_op *op, const char *path, int fd);

/* Runs it, on the pool or at once; to be returned. Takes the job. */
int lh_file_job_start(lua_State *L, lh_file_job *job);
void lh_file_job_free(lh_file_job *job);
void lh_file_job_withdraw(lh_task *task);

/* Results: `0, nil` or `-1, errno` */
int lh_file_push_zero(lua_State *L, lh_file_job *job);
/* `true` or `false, errno, err` */
int lh_file_push_true(lua_State *L, lh_file_job *job);
/* The bytes, or `nil, errno, err` */
int lh_file_push_bytes(lua_State *L, lh_file_job *job);

/* Arguments: a descriptor, which need not be open. */
int lh_check_fd(lua_State *L, int index);
/* A mode: an integer, or a string of octal digits. */
mode_t lh_check_mode(lua_State *L, int index);
mode_t lh_opt_mode(lua_State *L, int index, mode_t otherwise);
