/* What tells a file from what was under its name before: to be put into the key of whatever was made of it.
 *
 * Owner: the caller's buffer. Thread: any. Errors: negative errno. */
#pragma once
#include <sys/stat.h>

#include "base/buffer.h"

/* Appends path, device, inode, size and times. 0 or -ENOMEM. */
int lh_file_mark(lh_buffer *to, const char *path, const struct stat *status) __attribute__((warn_unused_result));
