/* Bytes over a connected socket or a pipe: read up to a count or a terminator, write all.
 *
 * Everything tries and returns: LH_STREAM_WAIT where it would block. The caller waits for on_readable / on_writable and
 * calls again with the same stop; what was received stays buffered and is not scanned twice. An idle socket holds no
 * buffer: bytes are received into one scratch area per thread and, in the common case, read from there.
 *
 * Owner: as socket.h.
 * Thread: the loop's own.
 * Errors: negative errno; sticky, and reported only after the bytes received before it. */
#pragma once
#include <sys/uio.h>

#include "net/socket.h"

enum {
    LH_STREAM_WAIT = 0, /* would block; lh_socket_expect, then try again when called back */
    LH_STREAM_DONE = 1,
    LH_STREAM_END = 2, /* the peer has closed and everything was read */
};

/* LH_STREAM_DONE: *bytes, *length are the result (shorter than asked, or without terminator, only at the end of the
 * stream or before its error); they are valid until the next call on any socket of the thread. Else LH_STREAM_WAIT,
 * LH_STREAM_END or a negative errno. -EMSGSIZE and -ENOMEM are not sticky and lose nothing; nor is -EBADMSG, of a
 * head that is none. */
int lh_stream_read(lh_socket *socket, const lh_read_until *stop, const char **bytes, size_t *length);

/* Whatever there is, at most `count` bytes. LH_STREAM_END at the end. */
int lh_stream_read_some(lh_socket *socket, size_t count, const char **bytes, size_t *length);

/* Whether something has come that was not read yet: LH_STREAM_DONE, LH_STREAM_END, LH_STREAM_WAIT (no), or a negative
 * errno. What the kernel has not reported yet does not count. */
int lh_stream_peek(lh_socket *socket);

/* The same as lh_stream_read_some, straight into `to`. */
int lh_stream_read_into(lh_socket *socket, char *to, size_t room, size_t *length);

/* Receives behind what is in `socket->in`, which the caller then reads itself; at most a few hundred KiB per call.
 * Returns LH_STREAM_WAIT, LH_STREAM_END (everything is there) or a negative errno. Not to be mixed with the reads
 * above. */
int lh_stream_gather(lh_socket *socket);

/* Writes from `bytes + *written` on, advancing *written; LH_STREAM_DONE once it is `length`, else LH_STREAM_WAIT or a
 * negative errno. At most a few hundred KiB per call: what is left continues next turn, so that others are served. */
int lh_stream_write(lh_socket *socket, const char *bytes, size_t length, size_t *written);

/* One writev(2) worth of `count` pieces; the number of bytes taken in *written (0 = would block). 0 or negative errno.
 */
int lh_stream_write_vector(lh_socket *socket, const struct iovec *pieces, int count, size_t *written);
