/* A log's file: written at its end, opened anew, rotated, and what rotation left removed in time.
 *
 * Rotating renames FILE to FILE.YYYYMMDDTHHMMSS.UUUUUU (UTC) and begins a new FILE. By size: before a write that would
 * make it larger than `rotate_bytes`. By time: before the first write of another period of `rotate_seconds` (periods
 * are counted from 1970) than that of the write before, also over restarts of the program. Rotated files are removed,
 * the oldest first, until they hold no more than `retain_bytes`, and when older than `retain_seconds`.
 *
 * A file that was deleted, with its directory or alone, is made again before the next write.
 *
 * Owner: the struct is embedded; the file stays open as long as the process.
 * Thread: one at a time: the caller sees to that.
 * Errors: negative errno. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct lh_log_file_limits {
    uint64_t rotate_bytes, retain_bytes;     /* 0 = no */
    uint64_t rotate_seconds, retain_seconds; /* 0 = no */
} lh_log_file_limits;

typedef struct lh_log_file {
    char *path;
    lh_log_file_limits limits;
    int fd;       /* claimed; -1 = could not be opened */
    dev_t device; /* of what was opened: any code in the process can close a number, and the next file gets it */
    ino_t inode;
    uint64_t size;
    uint64_t period;      /* of the last write, by rotate_seconds */
    bool is_following;    /* another process rotates it: the path is looked at before each write */
    bool is_rotation_off; /* it failed; until the file is opened anew */
    int rotation_error;   /* why, a negative errno: for the caller to say, and to reset */
} lh_log_file;

/* Opens the file, making it if needed; `path` is copied. 0 or a negative errno. */
int lh_log_file_open(lh_log_file *file, const char *path, const lh_log_file_limits *limits)
    __attribute__((warn_unused_result));

/* Opens the path again; when that fails the file that is open stays. 0 or a negative errno. */
int lh_log_file_reopen(lh_log_file *file);

/* Writes all pieces, which are consumed as far as they were written: after an error the caller calls again with what is
 * left. `is_continued`: the first piece goes on with a record, so that this is no place to rotate. */
int lh_log_file_write(lh_log_file *file, struct iovec *pieces, int count, bool is_continued);
