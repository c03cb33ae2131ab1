#include "host/log_file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/descriptors.h"

enum { FILE_MODE = 0664, STAMP_BYTES = 22 }; /* ".YYYYMMDDTHHMMSS.UUUUUU" without the first dot */

static uint64_t period_of(const lh_log_file *file, time_t time) {
    return file->limits.rotate_seconds ? (uint64_t)time / file->limits.rotate_seconds : 0;
}

static bool is_ours(const lh_log_file *file, const struct stat *status) {
    return status->st_dev == file->device && status->st_ino == file->inode;
}

/* Foreign code can close our descriptor: then the number is another's, or the next file's, and not ours to close. */
static void forget_if_lost(lh_log_file *file) {
    struct stat status;
    if (file->fd < 0 || (fstat(file->fd, &status) == 0 && is_ours(file, &status))) return;
    lh_descriptor_forget(file->fd, file->path);
    file->fd = -1;
}

static int open_path(lh_log_file *file) {
    forget_if_lost(file);
    /* O_NONBLOCK: a pipe that nobody reads is an error, not a wait. */
    const int fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, FILE_MODE);
    struct stat status;
    if (fd < 0) return -errno;
    fcntl(fd, F_SETFL, O_APPEND);
    if (fstat(fd, &status) < 0) {
        const int error = -errno;
        close(fd);
        return error;
    }
    lh_descriptor_close(file->fd);
    file->fd = lh_descriptor_claim_for(fd, file->path);
    file->device = status.st_dev;
    file->inode = status.st_ino;
    file->size = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    file->period = period_of(file, file->size > 0 ? status.st_mtime : time(NULL));
    file->is_rotation_off = !S_ISREG(status.st_mode);
    return 0;
}

/* -- Retention ----------------------------------------------------------------------------------------------------- */

typedef struct old_file {
    char name[256];
    uint64_t size;
    time_t time;
} old_file;

static bool is_stamp(const char *text) {
    static const char shape[] = "ddddddddTdddddd.dddddd";
    _Static_assert(sizeof(shape) - 1 == STAMP_BYTES, "the shape of a stamp");
    for (size_t i = 0; i < STAMP_BYTES; i++) {
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i]) return false;
    }
    return text[STAMP_BYTES] == '\0';
}

static int newest_first(const void *a, const void *b) {
    return strcmp(((const old_file *)b)->name, ((const old_file *)a)->name); /* names of one length and shape */
}

/* The rotated files of `base` in an open directory, newest first. */
static size_t list_old(DIR *directory, const char *base, old_file **files) {
    const size_t base_length = strlen(base);
    size_t count = 0, capacity = 0;
    *files = NULL;
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat status;
        if (strncmp(entry->d_name, base, base_length) != 0 || entry->d_name[base_length] != '.') continue;
        if (strlen(entry->d_name) != base_length + 1 + STAMP_BYTES || !is_stamp(entry->d_name + base_length + 1))
            continue;
        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0) continue;
        if (count == capacity) {
            old_file *grown = lh_try_realloc(*files, (capacity ? capacity * 2 : 16) * sizeof(**files));
            if (!grown) break;
            capacity = capacity ? capacity * 2 : 16;
            *files = grown;
        }
        old_file *file = &(*files)[count++];
        snprintf(file->name, sizeof(file->name), "%s", entry->d_name);
        file->size = (uint64_t)status.st_size;
        file->time = status.st_mtime;
    }
    if (count > 0) qsort(*files, count, sizeof(**files), newest_first);
    return count;
}

/* A time that is still to come, by a clock that was set back or another machine's, is no age. */
static bool is_older(time_t time, time_t now, uint64_t seconds) {
    return time < now && (uint64_t)(now - time) > seconds;
}

static void remove_old(const lh_log_file *file) {
    const lh_log_file_limits *limits = &file->limits;
    if (!limits->retain_bytes && !limits->retain_seconds) return;
    const char *slash = strrchr(file->path, '/');
    char *parent = slash ? lh_alloc_copy(file->path, (size_t)(slash - file->path) + 1) : lh_alloc_copy(".", 1);
    DIR *directory = opendir(parent);
    lh_free(parent);
    if (!directory) return;
    old_file *files;
    const size_t count = list_old(directory, slash ? slash + 1 : file->path, &files);
    const time_t now = time(NULL);
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += files[i].size;
        const bool is_too_much = limits->retain_bytes && total > limits->retain_bytes;
        const bool is_too_old = limits->retain_seconds && is_older(files[i].time, now, limits->retain_seconds);
        if (is_too_much || is_too_old) unlinkat(dirfd(directory), files[i].name, 0);
    }
    lh_free(files);
    closedir(directory);
}

/* -- Rotation ------------------------------------------------------------------------------------------------------ */

static void print_stamp(char stamp[STAMP_BYTES + 1], const struct timespec *at) {
    struct tm parts;
    char seconds[16];
    gmtime_r(&at->tv_sec, &parts);
    strftime(seconds, sizeof(seconds), "%Y%m%dT%H%M%S", &parts);
    snprintf(stamp, STAMP_BYTES + 1, "%.15s.%06u", seconds, (unsigned)(at->tv_nsec / 1000) % 1000000);
    assert(is_stamp(stamp));
}

/* Renames the file to a name that nothing has yet. */
static int move_aside(const char *path) {
    const size_t size = strlen(path) + STAMP_BYTES + 2;
    char *to = lh_alloc(size);
    char stamp[STAMP_BYTES + 1];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int error;
    do {
        print_stamp(stamp, &now);
        snprintf(to, size, "%s.%s", path, stamp);
        error = renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
        if (error == -EINVAL) error = rename(path, to) < 0 ? -errno : 0; /* a file system that knows no NOREPLACE */
        now.tv_nsec += 1000;
        if (now.tv_nsec >= 1000000000) {
            now.tv_nsec -= 1000000000;
            now.tv_sec++;
        }
    } while (error == -EEXIST);
    lh_free(to);
    return error;
}

/* When it fails the file grows on: nothing is lost for want of a new one. */
static void rotate(lh_log_file *file) {
    assert(!file->is_following && !file->is_rotation_off);
    int error = move_aside(file->path);
    if (error == 0 || error == -ENOENT) error = open_path(file);
    if (error < 0) {
        file->is_rotation_off = true;
        file->rotation_error = error;
        return;
    }
    remove_old(file);
}

static bool is_due(const lh_log_file *file, size_t length) {
    if (file->size == 0 || file->is_rotation_off) return false;
    if (file->limits.rotate_bytes && file->size + length > file->limits.rotate_bytes) return true;
    return file->limits.rotate_seconds && period_of(file, time(NULL)) != file->period;
}

/* -- Opening and writing ------------------------------------------------------------------------------------------- */

int lh_log_file_open(lh_log_file *file, const char *path, const lh_log_file_limits *limits) {
    *file = (lh_log_file){.path = lh_alloc_copy(path, strlen(path)), .limits = *limits, .fd = -1};
    const int rv = open_path(file);
    if (rv == 0) remove_old(file);
    return rv;
}

int lh_log_file_reopen(lh_log_file *file) { return open_path(file); }

/* False when what is open is no longer what the path says, as far as that matters. */
static bool is_current(const lh_log_file *file) {
    struct stat mine, theirs;
    if (file->fd < 0 || fstat(file->fd, &mine) < 0 || !is_ours(file, &mine)) return false;
    if (!S_ISREG(mine.st_mode)) return true;
    if (mine.st_nlink == 0) return false;
    if (!file->is_following) return true;
    return stat(file->path, &theirs) == 0 && mine.st_dev == theirs.st_dev && mine.st_ino == theirs.st_ino;
}

static size_t sum(const struct iovec *pieces, int count) {
    size_t length = 0;
    for (int i = 0; i < count; i++) length += pieces[i].iov_len;
    return length;
}

int lh_log_file_write(lh_log_file *file, struct iovec *pieces, int count, bool is_continued) {
    if (!is_current(file)) {
        const int rv = open_path(file);
        if (rv < 0) return rv;
    }
    if (!is_continued && !file->is_following && is_due(file, sum(pieces, count))) rotate(file);
    assert(file->fd >= 0);
    while (count > 0) {
        const ssize_t n = writev(file->fd, pieces, count);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        file->size += (uint64_t)n;
        size_t done = (size_t)n;
        for (; count > 0 && done >= pieces->iov_len; pieces++, count--) {
            done -= pieces->iov_len;
            pieces->iov_len = 0;
        }
        if (count == 0) break;
        pieces->iov_base = (char *)pieces->iov_base + done;
        pieces->iov_len -= done;
    }
    if (file->limits.rotate_seconds) file->period = period_of(file, time(NULL));
    return 0;
}
