/* Receiving. All sockets of a thread receive into one scratch area. The bytes stay there while they are being read (the
 * socket is then the net's `borrower`, and its `in` buffer points into the scratch); they move to a block of the
 * socket's own only when another socket wants to receive, or when more must be received behind them. A request that
 * arrives whole and is read line by line is therefore never copied and never costs a malloc.
 *
 * A short receive tells that the kernel's buffer is empty, so no second call is made to learn EAGAIN. The exception is
 * a hangup that was reported meanwhile: its end-of-file has no edge of its own, so reading goes on until it is seen.
 *
 * A socket moves no more than BUDGET bytes in a turn of the loop, lest one fast peer starve the others. */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "data/http_head.h"
#include "net/cut.h"

enum { BUDGET = LH_SOCKET_TURN_BYTES, DIRECT_MIN = 16 * 1024 };

/* -- The input buffer ---------------------------------------------------------------------------------------------- */

static bool is_borrowing(const lh_socket *socket) { return socket->net->borrower == socket; }

/* The scratch is looked into by its borrower only. */
static __attribute__((unused)) bool is_sound(const lh_socket *socket) {
    return is_borrowing(socket) == (socket->in.block && socket->in.capacity == 0);
}

/* Gives `length` bytes from the front to the caller; they stay readable until the next receive. */
static void hand_out(lh_socket *socket, size_t length, const char **bytes, size_t *out_length) {
    assert(is_sound(socket) && length > 0 && length <= socket->in.length);
    *bytes = lh_buffer_bytes(&socket->in);
    *out_length = length;
    lh_buffer_consume(&socket->in, length);
    socket->scanned_bytes = 0;
    if (socket->in.length == 0 && is_borrowing(socket)) {
        socket->net->borrower = NULL;
        socket->in = (lh_buffer){0};
    }
}

/* Frees the block of an emptied buffer (kept until now because the last result lay in it). */
static void relax(lh_socket *socket) {
    if (socket->in.length == 0 && !is_borrowing(socket)) lh_buffer_relax(&socket->in);
}

/* -- Receiving ----------------------------------------------------------------------------------------------------- */

/* False: to be waited for: the kernel, or, with the turn's bytes spent, the next turn. */
static bool can_receive(lh_socket *socket) { return socket->is_readable && lh_socket_may_move(socket); }

static size_t receive_bytes(lh_socket *socket, char *to, size_t room) {
    if (socket->layer) return socket->layer->receive(socket, to, room);
    const int fd = socket->watch.fd;
    ssize_t n;
    do {
        n = socket->family == LH_SOCKET_PIPE ? read(fd, to, room) : recv(fd, to, room, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        if ((size_t)n < room && !socket->has_hangup) socket->is_readable = false;
        return (size_t)n;
    }
    if (n == 0) {
        const int error = socket->cut ? atomic_load(&socket->cut->error) : 0;
        if (error) lh_socket_fail(socket, error);
        socket->is_at_end = true;
    } else if (errno == EAGAIN) {
        socket->is_readable = false;
    } else {
        lh_socket_fail(socket, errno);
    }
    return 0;
}

/* One system call into `to`; returns bytes, or 0 with the socket's flags telling why nothing came. */
static size_t receive(lh_socket *socket, char *to, size_t room) {
    assert(lh_socket_is_mine(socket) && room > 0);
    const size_t n = receive_bytes(socket, to, room);
    assert(n <= room);
    lh_socket_note_moved(socket, n);
    return n;
}

/* Receives behind what is buffered. `wanted`: how many more bytes the reader needs, if it knows (else 0). Returns the
 * bytes received, or -ENOMEM. */
static ssize_t receive_more(lh_socket *socket, size_t wanted) {
    lh_net *net = socket->net;
    int rv = lh_net_claim_scratch(net);
    if (rv < 0) return rv;
    assert(is_sound(socket) && !net->borrower);
    if (socket->in.length == 0 && wanted <= LH_NET_SCRATCH_BYTES) {
        const size_t n = receive(socket, net->scratch, LH_NET_SCRATCH_BYTES);
        if (n == 0) return 0;
        socket->in = (lh_buffer){.block = net->scratch, .length = n};
        net->borrower = socket;
        return (ssize_t)n;
    }
    if (wanted >= DIRECT_MIN) { /* a large counted read goes straight to its place */
        const size_t room = wanted < BUDGET ? wanted : BUDGET;
        rv = lh_buffer_reserve(&socket->in, room);
        if (rv < 0) return rv;
        const size_t n = receive(socket, lh_buffer_end(&socket->in), room);
        lh_buffer_commit(&socket->in, n);
        return (ssize_t)n;
    }
    const size_t n = receive(socket, net->scratch, LH_NET_SCRATCH_BYTES);
    rv = lh_buffer_append(&socket->in, net->scratch, n);
    if (rv < 0) {
        lh_socket_fail(socket, ENOMEM); /* bytes would be lost: the stream is over */
        return rv;
    }
    return (ssize_t)n;
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */

static bool is_counted(const lh_read_until *stop) { return !stop->terminator && stop->terminator_bytes == 0; }

static ssize_t match_head(const lh_buffer *in, lh_http_head *head) {
    const int rv = lh_http_head_read(head, lh_buffer_bytes(in), in->length);
    return rv > 0 ? (ssize_t)head->length : rv;
}

/* How many buffered bytes satisfy `stop`; 0 = not yet; or a negative errno. */
static ssize_t match(lh_socket *socket, const lh_read_until *stop) {
    const lh_buffer *in = &socket->in;
    if (is_counted(stop)) return in->length >= stop->count ? (ssize_t)stop->count : 0;
    if (!stop->terminator) return match_head(in, stop->head);
    const size_t size = stop->terminator_bytes;
    assert(size > 0 && socket->scanned_bytes <= in->length);
    const char *bytes = lh_buffer_bytes(in);
    const char *from = bytes + socket->scanned_bytes;
    const size_t left = in->length - socket->scanned_bytes;
    const char *hit = size == 1 ? memchr(from, stop->terminator[0], left) : memmem(from, left, stop->terminator, size);
    if (hit) return hit - bytes + (ssize_t)size;
    /* The last size - 1 bytes may be the beginning of a terminator whose rest is still under way. */
    socket->scanned_bytes = in->length >= size ? in->length - (size - 1) : 0;
    return 0;
}

static int end_of_stream(const lh_socket *socket) { return socket->error ? -socket->error : LH_STREAM_END; }

static bool is_over(const lh_socket *socket) { return socket->is_at_end || socket->error; }

int lh_stream_read(lh_socket *socket, const lh_read_until *stop, const char **bytes, size_t *length) {
    assert(lh_socket_is_mine(socket) && is_sound(socket));
    relax(socket);
    for (;;) {
        lh_buffer *in = &socket->in;
        if (in->length > 0) {
            const ssize_t found = match(socket, stop);
            if (found < 0) return (int)found;
            if ((size_t)found > stop->limit_bytes) return -EMSGSIZE;
            if (found > 0) {
                hand_out(socket, (size_t)found, bytes, length);
                return LH_STREAM_DONE;
            }
            if (in->length >= stop->limit_bytes) return -EMSGSIZE;
        }
        if (is_over(socket)) {
            if (in->length == 0) return end_of_stream(socket);
            hand_out(socket, in->length, bytes, length);
            return LH_STREAM_DONE;
        }
        if (!can_receive(socket)) return LH_STREAM_WAIT;
        const ssize_t n = receive_more(socket, is_counted(stop) ? stop->count - in->length : 0);
        if (n < 0) return (int)n;
    }
}

int lh_stream_peek(lh_socket *socket) {
    assert(lh_socket_is_mine(socket) && is_sound(socket));
    relax(socket);
    while (socket->in.length == 0) {
        if (is_over(socket)) return end_of_stream(socket);
        if (!can_receive(socket)) return LH_STREAM_WAIT;
        const ssize_t n = receive_more(socket, 0);
        if (n < 0) return (int)n;
    }
    return LH_STREAM_DONE;
}

int lh_stream_read_some(lh_socket *socket, size_t count, const char **bytes, size_t *length) {
    const int rv = lh_stream_peek(socket);
    if (rv != LH_STREAM_DONE) return rv;
    hand_out(socket, count < socket->in.length ? count : socket->in.length, bytes, length);
    return LH_STREAM_DONE;
}

int lh_stream_read_into(lh_socket *socket, char *to, size_t room, size_t *length) {
    assert(lh_socket_is_mine(socket) && is_sound(socket) && room > 0);
    relax(socket);
    if (socket->in.length > 0) {
        const char *bytes;
        hand_out(socket, room < socket->in.length ? room : socket->in.length, &bytes, length);
        memcpy(to, bytes, *length);
        return LH_STREAM_DONE;
    }
    if (is_over(socket)) return end_of_stream(socket);
    *length = can_receive(socket) ? receive(socket, to, room) : 0;
    if (*length > 0) return LH_STREAM_DONE;
    return is_over(socket) ? end_of_stream(socket) : LH_STREAM_WAIT;
}

int lh_stream_gather(lh_socket *socket) {
    while (!is_over(socket)) {
        if (!can_receive(socket)) return LH_STREAM_WAIT;
        const ssize_t n = receive_more(socket, BUDGET);
        if (n < 0) return (int)n;
    }
    return end_of_stream(socket);
}

/* -- Writing ------------------------------------------------------------------------------------------------------- */

static ssize_t send_bytes(const lh_socket *socket, const char *bytes, size_t length) {
    const int fd = socket->watch.fd;
    ssize_t n;
    do {
        n = socket->family == LH_SOCKET_PIPE ? write(fd, bytes, length) : send(fd, bytes, length, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* What a failed send means: 0 = wait, else the error. EPIPE and the like end writing only: what the peer sent before
 * may still be read. */
static int send_failure(lh_socket *socket, int error) {
    if (error != EAGAIN) return -error;
    socket->is_writable = false;
    return 0;
}

static int write_layered(lh_socket *socket, const char *bytes, size_t length, size_t *written) {
    const size_t before = *written;
    if (before < length && !lh_socket_may_move(socket)) return LH_STREAM_WAIT;
    const int rv = socket->layer->write(socket, bytes, length, written);
    assert(*written >= before && *written <= length);
    lh_socket_note_moved(socket, *written - before);
    return rv;
}

int lh_stream_write(lh_socket *socket, const char *bytes, size_t length, size_t *written) {
    assert(lh_socket_is_mine(socket) && *written <= length);
    if (socket->error) return -socket->error;
    if (socket->layer) return write_layered(socket, bytes, length, written);
    while (*written < length) {
        if (!socket->is_writable || !lh_socket_may_move(socket)) return LH_STREAM_WAIT;
        const size_t left = length - *written;
        const ssize_t n = send_bytes(socket, bytes + *written, left < BUDGET ? left : BUDGET);
        if (n < 0) return send_failure(socket, errno);
        *written += (size_t)n;
        lh_socket_note_moved(socket, (size_t)n);
    }
    return LH_STREAM_DONE;
}

int lh_stream_write_vector(lh_socket *socket, const struct iovec *pieces, int count, size_t *written) {
    assert(lh_socket_is_mine(socket) && count > 0);
    *written = 0;
    if (socket->error) return -socket->error;
    if (socket->layer) {
        const int rv = write_layered(socket, pieces[0].iov_base, pieces[0].iov_len, written);
        return rv < 0 ? rv : 0;
    }
    if (!socket->is_writable || !lh_socket_may_move(socket)) return 0;
    ssize_t n;
    do { /* SIGPIPE is ignored process-wide, so writev needs no MSG_NOSIGNAL */
        n = writev(socket->watch.fd, pieces, count > IOV_MAX ? IOV_MAX : count);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return send_failure(socket, errno);
    *written = (size_t)n;
    lh_socket_note_moved(socket, (size_t)n);
    return 0;
}
