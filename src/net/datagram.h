/* Single datagrams.
 *
 * Owner, thread: as socket.h. Errors: negative errno; -EAGAIN = would block, expect and try again. */
#pragma once
#include "net/socket.h"

/* One datagram of at most `count` bytes into the thread's scratch (or, above its size, a block the socket keeps until
 * the next receive). Returns its bytes in *bytes, *length (valid until the next receive of the thread), its sender in
 * *from (length 0 = none), and whether the rest was cut off. */
int lh_datagram_receive(lh_socket *socket, size_t count, const char **bytes, size_t *length, lh_address *from,
                        bool *is_truncated) __attribute__((warn_unused_result));

/* One datagram to `to` (NULL = the connected peer). The number of bytes sent, or a negative errno. */
ssize_t lh_datagram_send(lh_socket *socket, const char *bytes, size_t length, const lh_address *to)
    __attribute__((warn_unused_result));
