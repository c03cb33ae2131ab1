/* What scripts get: mtev.open, read, write, close; and how mtev.conf_save replaces its file. How an operation runs
 * while its coroutine waits: runtime/file_job.h. lualib/mtev/files.lua raises for interrupted calls. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/descriptors.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/file_job.h"

enum { FILE_MODE = 0666 };
enum { CHUNK_BYTES = 1024 * 1024 };

/* -- open, close -------------------------------------------------------------------------------------------------- */

/* fd or negative errno. */
static int open_file(const lh_file_job *job, int more_flags) {
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
static void adjust(lh_file_job *job) {
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
static void run_open(lh_file_job *job) {
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

static int push_open(lua_State *L, lh_file_job *job) {
    if (job->error) return lh_push_minus1_errno(L, job->error);
    assert(job->fd >= 0);
    lua_pushinteger(L, job->fd);
    return 1;
}

static void drop_open(const lh_file_job *job) { close(job->fd); }

static const lh_file_op open_op = {.wait = {.name = "mtev.open", .is_world = true, .withdraw = lh_file_job_withdraw},
                                   .run = run_open,
                                   .push = push_open,
                                   .drop = drop_open,
                                   .is_matched = is_matched};

static int core_open(lua_State *L) {
    const char *path = lh_check_name(L, 1);
    const int flags = (int)lh_check_integer(L, 2, 0, INT_MAX);
    const mode_t mode = lh_opt_mode(L, 3, FILE_MODE);
    lh_file_job *job = lh_file_job_new(L, &open_op, path, -1);
    job->flags = flags;
    job->mode = mode;
    return lh_file_job_start(L, job);
}

/* open_now(path, flags) -> as mtev.open, without yielding: for files that are opened where errors must be known at once
 */
static int core_open_now(lua_State *L) {
    lh_file_job job = {.op = &open_op, .fd = -1, .path = (char *)(uintptr_t)lh_check_name(L, 1), .mode = FILE_MODE};
    job.flags = (int)lh_check_integer(L, 2, 0, INT_MAX);
    job.fd = open_file(&job, O_NONBLOCK); /* a FIFO that nobody reads is an error */
    if (job.fd < 0) job.error = -job.fd;
    if (job.fd >= 0) adjust(&job);
    return push_open(L, &job);
}

/* The runtime's own descriptors. */
static bool is_refused(int fd) { return lh_descriptor_is_claimed(fd); }

static int mtev_close(lua_State *L) {
    const int fd = lh_check_fd(L, 1);
    const bool is_standard = fd >= 0 && fd <= STDERR_FILENO; /* the next file would be taken for it, by children too */
    const int error = is_refused(fd) || is_standard ? EBADF : close(fd) < 0 ? errno : 0;
    lua_pushinteger(L, error ? -1 : 0);
    if (!error) return 1;
    lua_pushinteger(L, error);
    return 2;
}

/* -- read, write --------------------------------------------------------------------------------------------------- */

static void get_offset(lua_State *L, int index, bool *has_offset, int64_t *offset) {
    *has_offset = !lua_isnoneornil(L, index);
    if (*has_offset) *offset = lh_check_integer(L, index, 0, INT64_C(1) << 53);
}

/* Is the descriptor ready for `events` (POLLIN or POLLOUT)? If not, the loop waits for it, or this call. */
static bool is_ready(lh_file_job *job, short events) {
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

static ssize_t read_once(lh_file_job *job, size_t room, bool is_file) {
    char *to = lh_buffer_end(&job->bytes);
    if (job->has_offset) return pread(job->fd, to, room, job->offset + (int64_t)job->bytes.length);
    return is_file ? read(job->fd, to, room) : read_some(job->fd, to, room);
}

/* A file is read until `count` or its end. From anything else comes what the first read gives: more may never come. */
static void run_read(lh_file_job *job) {
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

static const lh_file_op read_op = {.wait = {.name = "mtev.read", .is_world = true, .withdraw = lh_file_job_withdraw},
                                   .run = run_read,
                                   .push = lh_file_push_bytes};

static int core_file_read(lua_State *L) {
    const int fd = lh_check_fd(L, 1);
    const size_t count = (size_t)lh_check_integer(L, 2, 0, LH_STRING_MAX);
    bool has_offset;
    int64_t offset = 0;
    get_offset(L, 3, &has_offset, &offset);
    if (is_refused(fd)) return lh_push_nil_errno(L, EBADF);
    lh_file_job *job = lh_file_job_new(L, &read_op, NULL, fd);
    job->count = count;
    job->has_offset = has_offset;
    job->offset = offset;
    return lh_file_job_start(L, job);
}

/* `is_narrow`: what does not block takes PIPE_BUF bytes, and may block for more. */
static ssize_t write_once(const lh_file_job *job, bool is_narrow) {
    const char *from = lh_buffer_bytes(&job->bytes) + job->done_bytes;
    const size_t left =
        is_narrow && job->bytes.length - job->done_bytes > PIPE_BUF ? PIPE_BUF : job->bytes.length - job->done_bytes;
    if (job->has_offset) return pwrite(job->fd, from, left, job->offset + (int64_t)job->done_bytes);
    return write(job->fd, from, left);
}

static void run_write(lh_file_job *job) {
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

static int push_written(lua_State *L, lh_file_job *job) {
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

static const lh_file_op write_op = {.wait = {.name = "mtev.write", .is_world = true, .withdraw = lh_file_job_withdraw},
                                    .run = run_write,
                                    .push = push_written};

/* The bytes are copied: they must outlive the coroutine, and even the Lua state, if the disk hangs. */
static int core_file_write(lua_State *L) {
    size_t length;
    const int fd = lh_check_fd(L, 1);
    const char *bytes = lh_check_string(L, 2, &length);
    bool has_offset;
    int64_t offset = 0;
    get_offset(L, 3, &has_offset, &offset);
    lh_file_job *job = lh_file_job_new(L, &write_op, NULL, is_refused(fd) ? -1 : fd);
    job->has_offset = has_offset;
    job->offset = offset;
    job->error = -lh_buffer_append(&job->bytes, bytes, length);
    if (!job->error && length == 0 && fcntl(job->fd, F_GETFD) < 0) job->error = EBADF;
    if (!job->error) return lh_file_job_start(L, job);
    const int n = push_written(L, job);
    lh_file_job_free(job);
    return n;
}

/* -- Replacing a file ---------------------------------------------------------------------------------------------- */

/* One job from the first byte to the last name: wherever its coroutine is cancelled, the file that is written to is
 * removed, or has become the other. */
static void run_replace(lh_file_job *job) {
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

static const lh_file_op replace_op = {
    .wait = {.name = "mtev.conf_save", .is_world = true, .withdraw = lh_file_job_withdraw},
    .run = run_replace,
    .push = lh_file_push_true};

/* replace_file(path, temporary, bytes, mode) -> true; or false, errno, err. `temporary`, of the same directory, must
 * not be there. */
static int core_replace_file(lua_State *L) {
    size_t length;
    const char *path = lh_check_name(L, 1), *temporary = lh_check_name(L, 2);
    const char *bytes = lh_check_string(L, 3, &length);
    const mode_t mode = lh_check_mode(L, 4);
    lh_file_job *job = lh_file_job_new(L, &replace_op, temporary, -1);
    job->flags = O_WRONLY | O_CREAT | O_EXCL | O_SYNC;
    job->mode = mode;
    if (!job->error) job->error = -lh_buffer_append(&job->bytes, bytes, length);
    if (!job->error) job->target = lh_alloc_copy(path, strlen(path));
    return lh_file_job_start(L, job);
}

static const luaL_Reg functions[] = {{"close", mtev_close}, {NULL, NULL}};

static const luaL_Reg file_functions[] = {
    {"open", core_open}, {"read", core_file_read}, {"write", core_file_write}, {NULL, NULL}};

static const luaL_Reg core_functions[] = {
    {"open_now", core_open_now}, {"replace_file", core_replace_file}, {NULL, NULL}};

void lh_open_files(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lh_set_file_functions(L, file_functions);
}
