/* What tells a file from what was under its name before: to be put into the key of whatever was made of it.
 *
 * Owner: the caller's buffer. Thread: any. Errors: negative errno; what cannot be read is not there. */
#pragma once
#include <sys/stat.h>

#include "base/buffer.h"

/* Appends path, device, inode, size and times. 0 or -ENOMEM. */
int lh_file_mark(lh_buffer *to, const char *path, const struct stat *status) __attribute__((warn_unused_result));

/* Of a directory of authorities, or of revocation lists, more files than these are not looked at one by one. */
enum { LH_HASHED_FILES_MAX = 64 };

/* Calls `visit` for the files of a directory in which OpenSSL looks for certificates and revocation lists, as `openssl
 * rehash` names them: one that is overwritten where it is leaves the directory as it was. For none when there are more
 * than LH_HASHED_FILES_MAX: each is asked for at each handshake. */
void lh_hashed_files(const char *directory, void (*visit)(void *context, const char *path, const struct stat *status),
                     void *context);
