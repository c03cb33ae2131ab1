/* What scripts get: mtev.open, read, write, close, chmod, mkdir, mkdir_for_file, rmdir, unlink, realpath, getcwd, stat,
 * readdir, lockfile_acquire, lockfile_release; and how mtev.conf_save replaces its file.
 *
 * A disk may be slow, so all but close, getcwd and lockfile_release run on the thread pool while the coroutine waits;
 * where it cannot yield they run at once. lualib/mtev/files.lua raises for interrupted calls and filters readdir.
 *
 * An operation is a `file_op`: what runs on the pool, which touches the file_job only, and what pushes its results. A
 * cancelled coroutine leaves its job behind: the job ends, and what it opened is closed. A job that waits works on a
 * descriptor of its own, because the script may close its one meanwhile.
 *
 * What is no file (FIFOs, terminals, sockets) may keep one waiting for ever: its job leaves the pool, the loop waits
 * for it, and the job is submitted again. Only where a coroutine cannot yield does the call itself wait. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "loop/pool.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/taken.h"
#include "runtime/task.h"

enum { DIRECTORY_MODE = 0777, FILE_MODE = 0666, MODE_MAX = 07777 };
enum { CHUNK_BYTES = 1024 * 1024 };

/* How often we look whether somebody has opened the other end of a FIFO, of which nothing tells. */
static const lh_ns FIRST_PAUSE = 1 * LH_MILLISECOND, LAST_PAUSE = 50 * LH_MILLISECOND;

typedef struct file_job file_job;

typedef struct file_op {
    lh_wait wait; /* how a coroutine waits for it */
    void (*run)(file_job *job);
    int (*push)(lua_State *L, file_job *job);
} file_op;

struct file_job {
    lh_job job;
    const file_op *op;
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

static void free_job(file_job *job) {
    assert(!job->is_in_loop && !job->watch.is_registered && !job->timer.is_armed);
    if (job->is_loaned) lh_descriptor_close(job->fd);
    lh_free(job->path);
    lh_free(job->target);
    lh_buffer_reset(&job->bytes);
    lh_free(job);
}

/* -- Starting an operation ----------------------------------------------------------------------------------------- */

static file_job *job_of(lh_job *job) { return LH_CONTAINER(job, file_job, job); }

static void run_job(lh_job *job) { job_of(job)->op->run(job_of(job)); }

static int push_open(lua_State *L, file_job *job);
static int push_lock(lua_State *L, file_job *job);

static void drop_result(const file_job *job) {
    if (job->error || job->fd < 0) return;
    if (job->op->push == push_open) close(job->fd);
    if (job->op->push == push_lock) lh_descriptor_close(job->fd);
}

static int push_done(lh_task *task, lua_State *T, void *context) {
    (void)task;
    file_job **file = context;
    assert((*file)->task == task);
    const int n = (*file)->op->push(T, *file);
    free_job(*file);
    *file = NULL;
    return n;
}

static lh_loop *loop_here(void) { return &lh_state_here()->net.loop; }

static void leave_loop(file_job *file) {
    assert(file->is_in_loop);
    lh_poll_remove(&loop_here()->poll, &file->watch);
    lh_timer_stop(&loop_here()->timers, &file->timer);
    file->is_in_loop = false;
}

static void submit_again(file_job *file) {
    leave_loop(file);
    file->awaited = 0;
    file->is_unmatched = false;
    lh_pool_submit(loop_here(), &file->job);
}

static void on_ready(lh_watch *watch, unsigned events) {
    file_job *file = LH_CONTAINER(watch, file_job, watch);
    if (events & file->awaited) submit_again(file);
}

static bool is_matched(int fd);

static void look_again_later(file_job *file) {
    assert(file->is_in_loop && !file->timer.is_armed);
    file->pause = file->pause == 0 ? FIRST_PAUSE : 2 * file->pause < LAST_PAUSE ? 2 * file->pause : LAST_PAUSE;
    lh_timer_start(&loop_here()->timers, &file->timer, lh_loop_deadline(file->pause));
}

static void on_pause(lh_timer *timer) {
    file_job *file = LH_CONTAINER(timer, file_job, timer);
    if (file->is_unmatched && file->fd >= 0 && !is_matched(file->fd)) {
        look_again_later(file);
    } else {
        submit_again(file);
    }
}

static void wait_in_loop(file_job *file) {
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

static bool waits_in_loop(const file_job *file) { return file->awaited || file->is_unmatched; }

static void finish_job(lh_job *job, bool is_closing) {
    file_job *file = job_of(job);
    assert(!file->is_in_loop);
    lh_task *task = is_closing ? NULL : file->task;
    if (!task) {
        drop_result(file);
        free_job(file);
        return;
    }
    if (waits_in_loop(file)) {
        wait_in_loop(file);
        return;
    }
    file_job *left = file;
    lh_task_answer(task, push_done, &left);
    if (!left) return;
    drop_result(left); /* its results could not be pushed */
    free_job(left);
}

static void withdraw(lh_task *task) {
    file_job *file = task->object;
    assert(file->task == task);
    file->task = NULL;
    if (!file->is_in_loop) {
        lh_pool_abandon(&file->job);
        return;
    }
    leave_loop(file);
    drop_result(file);
    free_job(file);
}

/* The coroutine that can wait here, or NULL: then the operation runs at once. Raises in a cancelled one. */
static lh_task *waiting_task(lua_State *L, const file_op *op) {
    return lh_state_here()->running && lh_task_can_yield(L) ? lh_task_may_park(L, &op->wait) : NULL;
}

/* A descriptor for the job alone: while it is queued, runs or waits, the script may close its own, whose number then
 * means another file. -1: there is none left, or `fd` is not open. */
static int copy_of(int fd) {
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return lh_descriptor_claim(copy);
}

/* After the arguments are checked: nothing raises from here to `start`. Works on `path`, or if that is NULL on `fd`. */
static file_job *new_job(lua_State *L, const file_op *op, const char *path, int fd) {
    lh_check_memory(L);
    lh_task *task = waiting_task(L, op);
    const int copy = task && !path ? copy_of(fd) : -1;
    file_job *file = lh_alloc(sizeof(*file));
    *file = (file_job){.op = op, .fd = path ? -1 : fd, .may_wait = task != NULL};
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
static void run_at_once(file_job *file) {
    file->op->run(file);
    if (waits_in_loop(file)) file->error = EMFILE;
}

static int push_results(lh_task *task, lua_State *T, void *context) {
    (void)task;
    file_job *file = context;
    return file->op->push(T, file);
}

/* On the pool, or at once; to be returned. Takes `file`. */
static int start(lua_State *L, file_job *file) {
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
    const int n = lh_task_protect(L, push_results, file);
    if (n == LH_TASK_RAISED) drop_result(file);
    free_job(file);
    return n == LH_TASK_RAISED ? lua_error(L) : n;
}

/* -- Arguments and results ----------------------------------------------------------------------------------------- */

static int check_fd(lua_State *L, int index) { return (int)lh_check_integer(L, index, INT_MIN, INT_MAX); }

/* An integer, or a string of octal digits. */
static mode_t check_mode(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TSTRING) return (mode_t)lh_check_integer(L, index, 0, MODE_MAX);
    char *end;
    const char *text = lua_tostring(L, index);
    const long mode = strtol(text, &end, 8);
    if (*text == '\0' || *end || mode < 0 || mode > MODE_MAX) {
        lh_raise_argument(L, index, "mode must be an integer or a string of octal digits");
    }
    return (mode_t)mode;
}

static mode_t opt_mode(lua_State *L, int index, mode_t otherwise) {
    return lua_isnoneornil(L, index) ? otherwise : check_mode(L, index);
}

static void get_offset(lua_State *L, int index, bool *has_offset, int64_t *offset) {
    *has_offset = !lua_isnoneornil(L, index);
    if (*has_offset) *offset = lh_check_integer(L, index, 0, INT64_C(1) << 53);
}

/* `0, nil` or `-1, errno` */
static int push_zero(lua_State *L, file_job *job) {
    lua_pushinteger(L, job->error ? -1 : 0);
    if (job->error) {
        lua_pushinteger(L, job->error);
    } else {
        lua_pushnil(L);
    }
    return 2;
}

/* `true` or `false, errno, err` */
static int push_true(lua_State *L, file_job *job) {
    lua_pushboolean(L, job->error == 0);
    if (!job->error) return 1;
    lua_pushinteger(L, job->error);
    lua_pushstring(L, lh_error_text(job->error));
    return 3;
}

/* The bytes, or `nil, errno, err` */
static int push_bytes(lua_State *L, file_job *job) {
    if (job->error) return lh_push_nil_errno(L, job->error);
    lua_pushlstring(L, job->bytes.block ? lh_buffer_bytes(&job->bytes) : "", job->bytes.length);
    return 1;
}

/* -- open, close --------------------------------------------------------------------------------------------------- */

/* fd or negative errno. */
static int open_file(const file_job *job, int more_flags) {
    int fd;
    do {
        fd = open(job->path, job->flags | more_flags | O_CLOEXEC, job->mode);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static bool is_fifo(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* Has somebody opened this FIFO, which we read, for writing? tee(2) takes nothing, and tells an empty FIFO (EAGAIN)
 * from one that nobody writes to (0 bytes). */
static bool is_matched(int fd) {
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    int ends[2];
    if (poll(&pollfd, 1, 0) != 0) return true; /* there are bytes, or there was a writer */
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return false;
    const ssize_t n = tee(fd, ends[1], 1, SPLICE_F_NONBLOCK);
    const bool is_there = n > 0 || (n < 0 && errno == EAGAIN);
    close(ends[0]);
    close(ends[1]);
    return is_there;
}

/* Nothing but a file (or a disk, or a directory) stays non-blocking: reading and writing would wait for it here. */
static void adjust(file_job *job) {
    struct stat st;
    if (fstat(job->fd, &st) < 0) return;
    if (S_ISFIFO(st.st_mode) && (job->flags & O_ACCMODE) == O_RDONLY) {
        job->is_unmatched = !is_matched(job->fd);
    } else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode)) {
        const int flags = fcntl(job->fd, F_GETFL);
        if (flags >= 0) fcntl(job->fd, F_SETFL, flags & ~O_NONBLOCK);
    }
}

/* open(2) of a FIFO waits until its other end is open, of a serial line until it has a carrier: it is told not to. */
static void run_open(file_job *job) {
    const bool waits = job->may_wait && !(job->flags & (O_NONBLOCK | O_PATH));
    if (job->fd >= 0) return; /* it was unmatched, and is no more */
    int fd = open_file(job, waits ? O_NONBLOCK : 0);
    if (fd == -EWOULDBLOCK && waits && !is_fifo(job->path)) fd = open_file(job, 0); /* somebody's lease is broken */
    if (fd == -ENXIO && waits && is_fifo(job->path)) {
        job->is_unmatched = true;
        return;
    }
    job->fd = fd < 0 ? -1 : fd;
    job->error = fd < 0 ? -fd : 0;
    if (fd >= 0 && waits) adjust(job);
}

static int push_open(lua_State *L, file_job *job) {
    if (job->error) return lh_push_minus1_errno(L, job->error);
    assert(job->fd >= 0);
    lua_pushinteger(L, job->fd);
    return 1;
}

static const file_op open_op = {
    .wait = {.name = "mtev.open", .is_world = true, .withdraw = withdraw}, .run = run_open, .push = push_open};

static int core_open(lua_State *L) {
    const char *path = lh_check_name(L, 1);
    const int flags = (int)lh_check_integer(L, 2, 0, INT_MAX);
    const mode_t mode = opt_mode(L, 3, FILE_MODE);
    file_job *job = new_job(L, &open_op, path, -1);
    job->flags = flags;
    job->mode = mode;
    return start(L, job);
}

/* open_now(path, flags) -> as mtev.open, without yielding: for files that are opened where errors must be known at once
 */
static int core_open_now(lua_State *L) {
    file_job job = {.op = &open_op, .fd = -1, .path = (char *)(uintptr_t)lh_check_name(L, 1), .mode = FILE_MODE};
    job.flags = (int)lh_check_integer(L, 2, 0, INT_MAX);
    job.fd = open_file(&job, O_NONBLOCK); /* a FIFO that nobody reads is an error */
    if (job.fd < 0) job.error = -job.fd;
    if (job.fd >= 0) adjust(&job);
    return push_open(L, &job);
}

/* The runtime's own descriptors. */
static bool is_refused(int fd) { return lh_descriptor_is_claimed(fd); }

static int mtev_close(lua_State *L) {
    const int fd = check_fd(L, 1);
    const bool is_standard = fd >= 0 && fd <= STDERR_FILENO; /* the next file would be taken for it, by children too */
    const int error = is_refused(fd) || is_standard ? EBADF : close(fd) < 0 ? errno : 0;
    lua_pushinteger(L, error ? -1 : 0);
    if (!error) return 1;
    lua_pushinteger(L, error);
    return 2;
}

/* -- read, write --------------------------------------------------------------------------------------------------- */

/* Is the descriptor ready for `events` (POLLIN or POLLOUT)? If not, the loop waits for it, or this call. */
static bool is_ready(file_job *job, short events) {
    assert((events == POLLIN || events == POLLOUT) && !job->awaited);
    struct pollfd pollfd = {.fd = job->fd, .events = events};
    int n;
    do {
        n = poll(&pollfd, 1, job->may_wait ? 0 : -1);
    } while (n < 0 && errno == EINTR);
    if (n != 0) return true;
    job->awaited = events == POLLIN ? LH_POLL_IN : LH_POLL_OUT;
    return false;
}

static bool is_regular(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_blocking(int fd) {
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && !(flags & O_NONBLOCK);
}

/* Others may read from the same pipe: what is there when the poll says so may be gone. */
static ssize_t read_some(int fd, char *to, size_t room) {
    struct iovec piece = {.iov_base = to, .iov_len = room};
    const ssize_t n = preadv2(fd, &piece, 1, -1, RWF_NOWAIT);
    return n < 0 && errno == EOPNOTSUPP ? read(fd, to, room) : n;
}

static ssize_t read_once(file_job *job, size_t room, bool is_file) {
    char *to = lh_buffer_end(&job->bytes);
    if (job->has_offset) return pread(job->fd, to, room, job->offset + (int64_t)job->bytes.length);
    return is_file ? read(job->fd, to, room) : read_some(job->fd, to, room);
}

/* A file is read until `count` or its end. From anything else comes what the first read gives: more may never come. */
static void run_read(file_job *job) {
    const bool is_file = is_regular(job->fd);
    if (!is_file && is_blocking(job->fd) && !is_ready(job, POLLIN)) return;
    while (job->bytes.length < job->count) {
        const size_t left = job->count - job->bytes.length;
        const size_t room = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        job->error = -lh_buffer_reserve(&job->bytes, room);
        if (job->error) return;
        const ssize_t n = read_once(job, room, is_file);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN && is_ready(job, POLLIN)) continue;
        if (n < 0 && job->awaited) return;
        if (n < 0) job->error = errno;
        if (n > 0) lh_buffer_commit(&job->bytes, (size_t)n);
        if (n <= 0 || !is_file) return;
    }
}

static const file_op read_op = {
    .wait = {.name = "mtev.read", .is_world = true, .withdraw = withdraw}, .run = run_read, .push = push_bytes};

static int core_file_read(lua_State *L) {
    const int fd = check_fd(L, 1);
    const size_t count = (size_t)lh_check_integer(L, 2, 0, LH_STRING_MAX);
    bool has_offset;
    int64_t offset = 0;
    get_offset(L, 3, &has_offset, &offset);
    if (is_refused(fd)) return lh_push_nil_errno(L, EBADF);
    file_job *job = new_job(L, &read_op, NULL, fd);
    job->count = count;
    job->has_offset = has_offset;
    job->offset = offset;
    return start(L, job);
}

/* `is_narrow`: what does not block takes PIPE_BUF bytes, and may block for more. */
static ssize_t write_once(const file_job *job, bool is_narrow) {
    const char *from = lh_buffer_bytes(&job->bytes) + job->done_bytes;
    const size_t left =
        is_narrow && job->bytes.length - job->done_bytes > PIPE_BUF ? PIPE_BUF : job->bytes.length - job->done_bytes;
    if (job->has_offset) return pwrite(job->fd, from, left, job->offset + (int64_t)job->done_bytes);
    return write(job->fd, from, left);
}

static void run_write(file_job *job) {
    const bool is_narrow = job->may_wait && !is_regular(job->fd) && is_blocking(job->fd);
    while (job->done_bytes < job->bytes.length) {
        if (is_narrow && !is_ready(job, POLLOUT)) return;
        const ssize_t n = write_once(job, is_narrow);
        if (n >= 0) {
            job->done_bytes += (size_t)n;
        } else if (errno != EINTR && !(errno == EAGAIN && is_ready(job, POLLOUT))) {
            if (!job->awaited) job->error = errno;
            return;
        }
    }
}

static int push_written(lua_State *L, file_job *job) {
    assert(job->error || job->done_bytes == job->bytes.length);
    lua_pushnumber(L, job->error ? -1 : (double)job->bytes.length);
    if (!job->error) {
        lua_pushnil(L);
        return 2;
    }
    lua_pushinteger(L, job->error);
    lua_pushnumber(L, (double)job->done_bytes);
    return 3;
}

static const file_op write_op = {
    .wait = {.name = "mtev.write", .is_world = true, .withdraw = withdraw}, .run = run_write, .push = push_written};

/* The bytes are copied: they must outlive the coroutine, and even the Lua state, if the disk hangs. */
static int core_file_write(lua_State *L) {
    size_t length;
    const int fd = check_fd(L, 1);
    const char *bytes = lh_check_string(L, 2, &length);
    bool has_offset;
    int64_t offset = 0;
    get_offset(L, 3, &has_offset, &offset);
    file_job *job = new_job(L, &write_op, NULL, is_refused(fd) ? -1 : fd);
    job->has_offset = has_offset;
    job->offset = offset;
    job->error = -lh_buffer_append(&job->bytes, bytes, length);
    if (!job->error && length == 0 && fcntl(job->fd, F_GETFD) < 0) job->error = EBADF;
    if (!job->error) return start(L, job);
    const int n = push_written(L, job);
    free_job(job);
    return n;
}

/* -- Replacing a file ---------------------------------------------------------------------------------------------- */

/* One job from the first byte to the last name: wherever its coroutine is cancelled, the file that is written to is
 * removed, or has become the other. */
static void run_replace(file_job *job) {
    job->fd = open_file(job, 0);
    if (job->fd < 0) {
        job->error = -job->fd;
        return;
    }
    run_write(job);
    if (close(job->fd) < 0 && !job->error) job->error = errno;
    job->fd = -1;
    if (!job->error && atomic_load(&job->job.is_abandoned))
        job->error = ECANCELED; /* a later one may be done already */
    if (!job->error && rename(job->path, job->target) < 0) job->error = errno;
    if (job->error) unlink(job->path);
}

static const file_op replace_op = {
    .wait = {.name = "mtev.conf_save", .is_world = true, .withdraw = withdraw}, .run = run_replace, .push = push_true};

/* replace_file(path, temporary, bytes, mode) -> true; or false, errno, err. `temporary`, of the same directory, must
 * not be there. */
static int core_replace_file(lua_State *L) {
    size_t length;
    const char *path = lh_check_name(L, 1), *temporary = lh_check_name(L, 2);
    const char *bytes = lh_check_string(L, 3, &length);
    const mode_t mode = check_mode(L, 4);
    file_job *job = new_job(L, &replace_op, temporary, -1);
    job->flags = O_WRONLY | O_CREAT | O_EXCL | O_SYNC;
    job->mode = mode;
    if (!job->error) job->error = -lh_buffer_append(&job->bytes, bytes, length);
    if (!job->error) job->target = lh_alloc_copy(path, strlen(path));
    return start(L, job);
}

/* -- chmod, mkdir, mkdir_for_file, rmdir, unlink ------------------------------------------------------------------- */

static void run_chmod(file_job *job) { job->error = chmod(job->path, job->mode) < 0 ? errno : 0; }
static void run_mkdir(file_job *job) { job->error = mkdir(job->path, job->mode) < 0 ? errno : 0; }
static void run_rmdir(file_job *job) { job->error = rmdir(job->path) < 0 ? errno : 0; }
static void run_unlink(file_job *job) { job->error = unlink(job->path) < 0 ? errno : 0; }

static int make_one(const char *path, mode_t mode) {
    if (mkdir(path, mode) == 0) return 0;
    const int error = errno;
    struct stat st;
    if (stat(path, &st) < 0) return error; /* EROFS and EACCES may come for what is there: that is fine */
    return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}

static void run_mkdir_for_file(file_job *job) {
    char *path = job->path;
    if (*path == '\0') job->error = ENOENT;
    for (char *slash = path; (slash = strchr(slash, '/')) && !job->error; slash++) {
        if (slash == path || slash[-1] == '/') continue;
        *slash = '\0';
        job->error = make_one(path, job->mode);
        *slash = '/';
    }
}

static const file_op chmod_op = {
    .wait = {.name = "mtev.chmod", .is_world = true, .withdraw = withdraw}, .run = run_chmod, .push = push_zero};
static const file_op mkdir_op = {
    .wait = {.name = "mtev.mkdir", .is_world = true, .withdraw = withdraw}, .run = run_mkdir, .push = push_true};
static const file_op mkdir_for_file_op = {
    .wait = {.name = "mtev.mkdir_for_file", .is_world = true, .withdraw = withdraw},
    .run = run_mkdir_for_file,
    .push = push_true};
static const file_op rmdir_op = {
    .wait = {.name = "mtev.rmdir", .is_world = true, .withdraw = withdraw}, .run = run_rmdir, .push = push_true};
static const file_op unlink_op = {
    .wait = {.name = "mtev.unlink", .is_world = true, .withdraw = withdraw}, .run = run_unlink, .push = push_true};

static int start_with_mode(lua_State *L, const file_op *op, const char *path, mode_t mode) {
    file_job *job = new_job(L, op, path, -1);
    job->mode = mode;
    return start(L, job);
}

static int core_chmod(lua_State *L) {
    const char *path = lh_check_name(L, 1);
    return start_with_mode(L, &chmod_op, path, check_mode(L, 2));
}

static int core_mkdir(lua_State *L) {
    const char *path = lh_check_name(L, 1);
    return start_with_mode(L, &mkdir_op, path, opt_mode(L, 2, DIRECTORY_MODE));
}

static int core_mkdir_for_file(lua_State *L) {
    const char *path = lh_check_name(L, 1);
    return start_with_mode(L, &mkdir_for_file_op, path, opt_mode(L, 2, DIRECTORY_MODE));
}

static int core_rmdir(lua_State *L) { return start(L, new_job(L, &rmdir_op, lh_check_name(L, 1), -1)); }
static int core_unlink(lua_State *L) { return start(L, new_job(L, &unlink_op, lh_check_name(L, 1), -1)); }

/* -- realpath, getcwd ---------------------------------------------------------------------------------------------- */

static void run_realpath(file_job *job) {
    char *path = realpath(job->path, NULL);
    job->error = path ? -lh_buffer_append(&job->bytes, path, strlen(path)) : errno;
    lh_free(path);
}

static const file_op realpath_op = {
    .wait = {.name = "mtev.realpath", .is_world = true, .withdraw = withdraw}, .run = run_realpath, .push = push_bytes};

static int core_realpath(lua_State *L) { return start(L, new_job(L, &realpath_op, lh_check_name(L, 1), -1)); }

static int mtev_getcwd(lua_State *L) {
    char *path = getcwd(NULL, 0);
    if (!path) return lh_push_nil_errno(L, errno);
    lh_push_taken(L, path, strlen(path), lh_free);
    return 1;
}

/* -- stat, readdir ------------------------------------------------------------------------------------------------- */

static void run_stat(file_job *job) {
    const int rv = job->path ? lstat(job->path, &job->stat) : fstat(job->fd, &job->stat);
    if (rv < 0) job->error = errno;
}

static void set_number(lua_State *L, const char *key, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

static double seconds(const struct timespec *t) { return (double)t->tv_sec + (double)t->tv_nsec / 1e9; }

static int push_stat(lua_State *L, file_job *job) {
    if (job->error) return lh_push_nil_errno(L, job->error);
    const struct stat *st = &job->stat;
    lua_createtable(L, 0, 11);
    set_number(L, "dev", (double)st->st_dev);
    set_number(L, "ino", (double)st->st_ino);
    set_number(L, "mode", st->st_mode);
    set_number(L, "nlink", (double)st->st_nlink);
    set_number(L, "uid", st->st_uid);
    set_number(L, "gid", st->st_gid);
    set_number(L, "rdev", (double)st->st_rdev);
    set_number(L, "size", (double)st->st_size);
    set_number(L, "mtime", seconds(&st->st_mtim));
    set_number(L, "atime", seconds(&st->st_atim));
    set_number(L, "ctime", seconds(&st->st_ctim));
    return 1;
}

static const file_op stat_op = {
    .wait = {.name = "mtev.stat", .is_world = true, .withdraw = withdraw}, .run = run_stat, .push = push_stat};

static int core_stat(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    const bool is_fd = lua_type(L, 1) == LUA_TNUMBER;
    const int fd = is_fd ? check_fd(L, 1) : -1;
    return start(L, new_job(L, &stat_op, is_fd ? NULL : lh_check_name(L, 1), fd));
}

static void run_readdir(file_job *job) {
    DIR *dir = opendir(job->path);
    if (!dir) {
        job->error = errno;
        return;
    }
    errno = 0;
    for (const struct dirent *entry; !job->error && (entry = readdir(dir)); errno = 0) {
        job->error = -lh_buffer_append(&job->bytes, entry->d_name, strlen(entry->d_name) + 1);
    }
    if (!job->error) job->error = errno;
    closedir(dir);
}

static int push_names(lua_State *L, file_job *job) {
    if (job->error) return lh_push_nil_errno(L, job->error);
    lua_newtable(L);
    const char *name = lh_buffer_bytes(&job->bytes);
    const char *end = name + job->bytes.length;
    assert(name == end || end[-1] == '\0');
    for (int i = 1; name < end; name += strlen(name) + 1) {
        lua_pushstring(L, name);
        lua_rawseti(L, -2, i++);
    }
    return 1;
}

static const file_op readdir_op = {
    .wait = {.name = "mtev.readdir", .is_world = true, .withdraw = withdraw}, .run = run_readdir, .push = push_names};

static int core_readdir(lua_State *L) { return start(L, new_job(L, &readdir_op, lh_check_name(L, 1), -1)); }

/* -- Lock files ---------------------------------------------------------------------------------------------------- */

static int lock_whole(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* A holder removes its file before it unlocks: what we have locked may not be the file of that name any more. */
static bool is_still(int fd, const char *path) {
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
           mine.st_dev == there.st_dev;
}

/* The lock belongs to the open file, not to the process: a second acquire in this process fails as well. */
static void run_lock(file_job *job) {
    for (;;) {
        const int fd = open(job->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            job->error = errno;
            return;
        }
        job->error = -lock_whole(fd);
        if (!job->error && is_still(fd, job->path)) {
            char text[32];
            const int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
            if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)length) < 0) job->error = errno;
            job->fd = lh_descriptor_claim(fd);
            if (!job->error) return;
            lh_descriptor_close(fd);
            return;
        }
        close(fd);
        if (job->error) return;
    }
}

/* registry[LOCKFILES][handle] = path */
#define LOCKFILES "mtev.lockfiles"

static int push_lock(lua_State *L, file_job *job) {
    if (job->error) return lh_push_minus1_errno(L, job->error);
    lua_getfield(L, LUA_REGISTRYINDEX, LOCKFILES);
    lua_pushstring(L, job->path);
    lua_rawseti(L, -2, job->fd);
    lua_pop(L, 1);
    lua_pushinteger(L, job->fd);
    return 1;
}

static const file_op lock_op = {.wait = {.name = "mtev.lockfile_acquire", .is_world = true, .withdraw = withdraw},
                                .run = run_lock,
                                .push = push_lock};

static int core_lockfile_acquire(lua_State *L) { return start(L, new_job(L, &lock_op, lh_check_name(L, 1), -1)); }

static int mtev_lockfile_release(lua_State *L) {
    const int handle = check_fd(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, LOCKFILES);
    lua_rawgeti(L, -1, handle); /* stack: ..., lockfiles, path */
    const char *path = lua_tostring(L, -1);
    if (!path) {
        lua_pushinteger(L, -1);
        lua_pushinteger(L, EBADF);
        return 2;
    }
    if (is_still(handle, path)) unlink(path);
    lh_descriptor_close(handle);
    lua_pushnil(L);
    lua_rawseti(L, -3, handle);
    lua_pushinteger(L, 0);
    return 1;
}

static const luaL_Reg functions[] = {
    {"close", mtev_close},
    {"getcwd", mtev_getcwd},
    {"lockfile_release", mtev_lockfile_release},
    {NULL, NULL},
};

/* In a table of their own: core.read and core.write are the eventers'. */
static const luaL_Reg file_functions[] = {
    {"open", core_open},   {"read", core_file_read},  {"write", core_file_write},
    {"chmod", core_chmod}, {"mkdir", core_mkdir},     {"mkdir_for_file", core_mkdir_for_file},
    {"rmdir", core_rmdir}, {"unlink", core_unlink},   {"realpath", core_realpath},
    {"stat", core_stat},   {"readdir", core_readdir}, {"lockfile_acquire", core_lockfile_acquire},
    {NULL, NULL},
};

static const luaL_Reg core_functions[] = {
    {"open_now", core_open_now}, {"replace_file", core_replace_file}, {NULL, NULL}};

void lh_open_files(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lua_newtable(L);
    lh_set_functions(L, lua_gettop(L), file_functions);
    lua_setfield(L, LH_CORE, "files");
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LOCKFILES);
}
