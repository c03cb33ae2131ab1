/* A job is in one of three places: at the pool, which runs it; in the loop, which waits for its descriptor or looks
 * again after a pause; or ended. Its coroutine may leave at any of them. */
#include "runtime/file_job.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "runtime/errors.h"

enum { MODE_MAX = 07777 };

/* How often we look whether somebody has opened the other end of a FIFO, of which nothing tells. */
static const lh_ns FIRST_PAUSE = 1 * LH_MILLISECOND, LAST_PAUSE = 50 * LH_MILLISECOND;

void lh_file_job_free(lh_file_job *job) {
    assert(!job->is_in_loop && !job->watch.is_registered && !job->timer.is_armed);
    if (job->is_loaned) lh_descriptor_close(job->fd);
    lh_free(job->path);
    lh_free(job->target);
    lh_buffer_reset(&job->bytes);
    lh_free(job);
}

/* -- Starting an operation ---------------------------------------------------------------------------------------- */

static lh_file_job *job_of(lh_job *job) { return LH_CONTAINER(job, lh_file_job, job); }

static void run_job(lh_job *job) { job_of(job)->op->run(job_of(job)); }

static void drop_result(const lh_file_job *job) {
    if (!job->error && job->fd >= 0 && job->op->drop) job->op->drop(job);
}

static int push_done(lh_task *task, lua_State *T, void *context) {
    (void)task;
    lh_file_job **file = context;
    assert((*file)->task == task);
    const int n = (*file)->op->push(T, *file);
    lh_file_job_free(*file);
    *file = NULL;
    return n;
}

static lh_loop *loop_here(void) { return &lh_state_here()->net.loop; }

static void leave_loop(lh_file_job *file) {
    assert(file->is_in_loop);
    lh_poll_remove(&loop_here()->poll, &file->watch);
    lh_timer_stop(&loop_here()->timers, &file->timer);
    file->is_in_loop = false;
}

static void submit_again(lh_file_job *file) {
    leave_loop(file);
    file->awaited = 0;
    file->is_unmatched = false;
    lh_pool_submit(loop_here(), &file->job);
}

static void on_ready(lh_watch *watch, unsigned events) {
    lh_file_job *file = LH_CONTAINER(watch, lh_file_job, watch);
    if (events & file->awaited) submit_again(file);
}

static void look_again_later(lh_file_job *file) {
    assert(file->is_in_loop && !file->timer.is_armed);
    file->pause = file->pause == 0 ? FIRST_PAUSE : 2 * file->pause < LAST_PAUSE ? 2 * file->pause : LAST_PAUSE;
    lh_timer_start(&loop_here()->timers, &file->timer, lh_loop_deadline(file->pause));
}

static void on_pause(lh_timer *timer) {
    lh_file_job *file = LH_CONTAINER(timer, lh_file_job, timer);
    if (file->is_unmatched && file->fd >= 0 && !file->op->is_matched(file->fd)) {
        look_again_later(file);
    } else {
        submit_again(file);
    }
}

static void wait_in_loop(lh_file_job *file) {
    assert(!file->is_in_loop && file->task);
    file->is_in_loop = true;
    lh_timer_init(&file->timer, on_pause);
    lh_watch_init(&file->watch, -1, on_ready);
    assert(!file->awaited || file->is_loaned);
    if (file->awaited) {
        file->watch.fd = file->fd;
        if (lh_poll_add(&loop_here()->poll, &file->watch) == 0) return;
    }
    look_again_later(file);
}

static bool waits_in_loop(const lh_file_job *file) { return file->awaited || file->is_unmatched; }

static void finish_job(lh_job *job, bool is_closing) {
    lh_file_job *file = job_of(job);
    assert(!file->is_in_loop);
    lh_task *task = is_closing ? NULL : file->task;
    if (!task) {
        drop_result(file);
        lh_file_job_free(file);
        return;
    }
    if (waits_in_loop(file)) {
        wait_in_loop(file);
        return;
    }
    lh_file_job *left = file;
    lh_task_answer(task, push_done, &left);
    if (!left) return;
    drop_result(left); /* its results could not be pushed */
    lh_file_job_free(left);
}

void lh_file_job_withdraw(lh_task *task) {
    lh_file_job *file = task->object;
    assert(file->task == task);
    file->task = NULL;
    if (!file->is_in_loop) {
        lh_pool_abandon(&file->job);
        return;
    }
    leave_loop(file);
    drop_result(file);
    lh_file_job_free(file);
}

/* The coroutine that can wait here, or NULL: then the operation runs at once. Raises in a cancelled one. */
static lh_task *waiting_task(lua_State *L, const lh_file_op *op) {
    return lh_state_here()->running && lh_task_can_yield(L) ? lh_task_may_park(L, &op->wait) : NULL;
}

/* A descriptor for the job alone: while it is queued, runs or waits, the script may close its own, whose number then
 * means another file. -1: there is none left, or `fd` is not open. */
static int copy_of(int fd) {
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return lh_descriptor_claim(copy);
}

lh_file_job *lh_file_job_new(lua_State *L, const lh_file_op *op, const char *path, int fd) {
    lh_check_memory(L);
    lh_task *task = waiting_task(L, op);
    const int copy = task && !path ? copy_of(fd) : -1;
    lh_file_job *file = lh_alloc(sizeof(*file));
    *file = (lh_file_job){.op = op, .fd = path ? -1 : fd, .may_wait = task != NULL};
    if (path || copy >= 0) file->task = task;
    if (copy >= 0) {
        file->fd = copy;
        file->is_loaned = true;
    }
    if (!path) return file;
    const size_t length = strlen(path);
    if (length < PATH_MAX) {
        file->path = lh_alloc_copy(path, length);
    } else {
        file->error = ENAMETOOLONG; /* the kernel would say so; a copy may cost memory that there is not */
    }
    return file;
}

/* Where there is no descriptor left for a job of its own, what need not wait is done all the same. */
static void run_at_once(lh_file_job *file) {
    file->op->run(file);
    if (waits_in_loop(file)) file->error = EMFILE;
}

static int push_results(lh_task *task, lua_State *T, void *context) {
    (void)task;
    lh_file_job *file = context;
    return file->op->push(T, file);
}

int lh_file_job_start(lua_State *L, lh_file_job *file) {
    lh_task *task = file->task;
    if (task && !file->error) {
        const lh_wait *wait = &file->op->wait;
        file->job.kind = LH_POOL_FILES;
        file->job.run = run_job;
        file->job.done = finish_job;
        task->object = file;
        lh_pool_submit(&lh_state_here()->net.loop, &file->job);
        return lh_task_park(task, L, wait, LH_NEVER);
    }
    if (!file->error) run_at_once(file);
    const int n = lh_protect(L, push_results, file);
    if (n == LH_PROTECT_RAISED) drop_result(file);
    lh_file_job_free(file);
    return n == LH_PROTECT_RAISED ? lua_error(L) : n;
}

/* -- Arguments and results ---------------------------------------------------------------------------------------- */

int lh_check_fd(lua_State *L, int index) { return (int)lh_check_integer(L, index, INT_MIN, INT_MAX); }

mode_t lh_check_mode(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TSTRING) return (mode_t)lh_check_integer(L, index, 0, MODE_MAX);
    char *end;
    const char *text = lua_tostring(L, index);
    const long mode = strtol(text, &end, 8);
    if (*text == '\0' || *end || mode < 0 || mode > MODE_MAX) {
        lh_raise_argument(L, index, "mode must be an integer or a string of octal digits");
    }
    return (mode_t)mode;
}

mode_t lh_opt_mode(lua_State *L, int index, mode_t otherwise) {
    return lua_isnoneornil(L, index) ? otherwise : lh_check_mode(L, index);
}

int lh_file_push_zero(lua_State *L, lh_file_job *job) {
    lua_pushinteger(L, job->error ? -1 : 0);
    if (job->error) {
        lua_pushinteger(L, job->error);
    } else {
        lua_pushnil(L);
    }
    return 2;
}

int lh_file_push_true(lua_State *L, lh_file_job *job) {
    lua_pushboolean(L, job->error == 0);
    if (!job->error) return 1;
    lua_pushinteger(L, job->error);
    lua_pushstring(L, lh_error_text(job->error));
    return 3;
}

int lh_file_push_bytes(lua_State *L, lh_file_job *job) {
    if (job->error) return lh_push_nil_errno(L, job->error);
    lua_pushlstring(L, job->bytes.block ? lh_buffer_bytes(&job->bytes) : "", job->bytes.length);
    return 1;
}
