#include "net/datagram.h"

#include <assert.h>
#include <errno.h>

/* No UDP datagram is larger than the scratch; a unix one is at most what SO_SNDBUF lets out. */
enum { LARGEST = 1024 * 1024, DATAGRAM_COST = 256 };

int lh_datagram_receive(lh_socket *socket, size_t count, const char **bytes, size_t *length, lh_address *from,
                        bool *is_truncated) {
    assert(lh_socket_is_mine(socket) && !socket->layer);
    if (socket->bind_error) return -socket->bind_error; /* nobody can send to it */
    if (!socket->is_readable || !lh_socket_may_move(socket)) return -EAGAIN;
    lh_net *net = socket->net;
    const int rv = lh_net_claim_scratch(net);
    if (rv < 0) return rv;
    char *to = net->scratch;
    if (count > LARGEST) count = LARGEST;
    if (count > LH_NET_SCRATCH_BYTES) {
        if (lh_buffer_reserve(&socket->in, count) < 0) return -ENOMEM;
        to = lh_buffer_end(&socket->in);
    }
    struct iovec piece = {.iov_base = to, .iov_len = count};
    struct msghdr message = {
        .msg_name = &from->storage, .msg_namelen = sizeof(from->storage), .msg_iov = &piece, .msg_iovlen = 1};
    ssize_t n;
    do {
        n = recvmsg(socket->watch.fd, &message, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        const int error = errno;
        if (error == EAGAIN) socket->is_readable = false;
        return -error;
    }
    assert((size_t)n <= count && message.msg_namelen <= sizeof(from->storage));
    lh_socket_note_moved(socket, (size_t)n + DATAGRAM_COST);
    *bytes = to;
    *length = (size_t)n;
    from->length = message.msg_namelen;
    *is_truncated = (message.msg_flags & MSG_TRUNC) != 0;
    return 0;
}

ssize_t lh_datagram_send(lh_socket *socket, const char *bytes, size_t length, const lh_address *to) {
    assert(lh_socket_is_mine(socket) && (!to || to->length <= sizeof(to->storage)));
    if (socket->bind_error) return -socket->bind_error;
    if (!socket->is_writable) return -EAGAIN;
    ssize_t n;
    do {
        n = sendto(socket->watch.fd, bytes, length, MSG_NOSIGNAL, to ? (const struct sockaddr *)&to->storage : NULL,
                   to ? to->length : 0);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return n;
    const int error = errno;
    if (error == EAGAIN) socket->is_writable = false;
    return -error;
}
