/* Sockets: opening, naming, listening, connecting, closing.
 *
 * A socket never blocks and never waits by itself: each function tries, and says -EAGAIN where it would have to wait.
 * Who wants to wait arms the direction (lh_socket_expect) and is called back by `on_readable` / `on_writable`, then
 * tries again. Bytes are the business of stream.h and datagram.h; pipes are sockets here too, of family LH_SOCKET_PIPE.
 *
 * Owner: a socket lives in its net's slab from open/adopt/accept to lh_socket_close.
 * Thread: the loop's own.
 * Errors: negative errno. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "net/address.h"
#include "net/net.h"

typedef struct lh_socket lh_socket;

enum { LH_SOCKET_PIPE = -1 }; /* a family of our own: reads and writes, nothing else */

/* What the owner of sockets wants to hear. A callback may close its socket. */
typedef struct lh_socket_events {
    void (*on_readable)(lh_socket *socket); /* something may be readable, acceptable, or at its end */
    void (*on_writable)(lh_socket *socket); /* there may be room, or a connect has ended */
} lh_socket_events;

/* Where a read ends: after `count` bytes; or with the first `terminator`, which is included; or with an HTTP head. */
typedef struct lh_read_until {
    union {
        size_t count;
        struct lh_http_head *head; /* of data/http_head.h, begun where the read begins */
    };
    const char *terminator;  /* NULL = none */
    size_t terminator_bytes; /* > 0 with a terminator; without one: 0 = `count`, 1 = `head` */
    size_t limit_bytes;      /* -EMSGSIZE when a terminator is not within so many bytes; SIZE_MAX = no limit */
} lh_read_until;

/* What stands between the stream and the kernel: TLS. */
typedef struct lh_layer {
    size_t (*receive)(lh_socket *socket, char *to, size_t room); /* as recv: bytes, or 0 and the flags say why */
    int (*write)(lh_socket *socket, const char *bytes, size_t length, size_t *written); /* as lh_stream_write */
    void (*on_writable)(lh_socket *socket); /* the kernel takes bytes again */
    void (*end)(lh_socket *socket);         /* nothing more will be written: tell the peer if that needs no waiting */
    void (*leave)(lh_socket *socket);       /* the socket closes */
    const char *(*error_text)(const lh_socket *socket); /* what EPROTO means, NULL = nothing more is known */
} lh_layer;

struct lh_socket {
    lh_watch watch; /* holds the descriptor */
    lh_net *net;
    const lh_socket_events *events; /* NULL: nobody listens */
    void *reader, *writer;          /* the owner's: who waits in that direction, NULL = nobody */
    lh_buffer in;                   /* received, not yet read; its block is the net's scratch while borrowed */
    size_t scanned_bytes;           /* of `in`: searched in vain for the terminator at hand */
    union {
        struct { /* the owner's: the read that `reader` waits in */
            lh_read_until stop;
            char terminator[8]; /* a short terminator's own copy */
        };
        struct {                 /* a listener's */
            lh_ns held_until_ns; /* no accept before, for want of descriptors; 0 = not held */
            lh_list held_node;   /* in lh_net.held */
        };
    };
    union {
        struct { /* the owner's: the write that `writer` waits in */
            const char *bytes;
            size_t length, written;
        } out;
        void *connecting; /* ... or the connect that takes more than this socket */
    };
    struct lh_cut *cut;            /* held; tells at an end of file whether it is one; NULL = it is */
    const lh_layer *layer;         /* NULL: bytes go to the kernel as they are */
    void *layered;                 /* the layer's own */
    int16_t error;                 /* errno that ended the socket, 0 = none */
    int16_t bind_error;            /* errno of the last bind, 0 = it succeeded, or there was none */
    uint32_t turn : 13;            /* the turn of the loop, its lowest bits, in which ... */
    uint32_t turn_bytes : 19;      /* ... so many bytes were moved, at most LH_SOCKET_TURN_BYTES */
    int16_t family;                /* AF_* or LH_SOCKET_PIPE */
    int16_t type;                  /* SOCK_STREAM, SOCK_DGRAM */
    bool is_readable, is_writable; /* what epoll said last, until EAGAIN; true when unknown */
    bool has_hangup;               /* the end is near: read until it is seen */
    bool is_at_end : 1;            /* EOF was read */
    bool is_listening : 1, is_connecting : 1, is_connected : 1;
    bool is_orphan : 1; /* the owner's: to be closed when the wait under way ends */
};

/* A new socket. `family` AF_INET, AF_INET6 or AF_UNIX; TCP_NODELAY is set on TCP. NULL with *error = errno. */
lh_socket *lh_socket_open(lh_net *net, int family, int type, int *error);

/* Takes over an open, non-blocking descriptor; never fails. */
lh_socket *lh_socket_adopt(lh_net *net, int fd, int family, int type);

/* Idempotent; accepts NULL. Removes the descriptor from the poll and closes it; unread bytes are dropped. */
void lh_socket_close(lh_socket *socket);

static inline bool lh_socket_is_open(const lh_socket *socket) { return socket->watch.fd >= 0; }

/* For assertions: it is open, and this is its thread. */
static inline bool lh_socket_is_mine(const lh_socket *socket) {
    return lh_loop_is_mine(&socket->net->loop) && lh_slab_has(&socket->net->sockets, socket) &&
           lh_socket_is_open(socket);
}

/* After a failure the socket can only be bound again, or closed: what it does without an address, or with one of the
 * kernel's choice, is not what was asked for. */
int lh_socket_bind(lh_socket *socket, const lh_address *address) __attribute__((warn_unused_result));
int lh_socket_listen(lh_socket *socket, int backlog) __attribute__((warn_unused_result));

/* A pending connection in *accepted. 0; -EAGAIN: none yet; -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM: the listener is held,
 * and until lh_socket_hold_time has passed or a socket closed, accepting says -EAGAIN. What went wrong with a
 * connection that died in the queue is skipped. */
int lh_socket_accept(lh_socket *listener, lh_socket **accepted) __attribute__((warn_unused_result));

/* When a held listener may be tried again; LH_NEVER when it is not held. */
lh_ns lh_socket_hold_time(const lh_socket *listener);

/* 0 = connected, -EINPROGRESS = on_writable will be called, then ask lh_socket_connect_result. Failure is sticky, but
 * for -EAGAIN: the queue of a unix listener is full, and nothing tells when it is not: try again. */
int lh_socket_connect(lh_socket *socket, const lh_address *address) __attribute__((warn_unused_result));

/* How a pending connect ended: 0, -EINPROGRESS (not yet) or its error. */
int lh_socket_connect_result(lh_socket *socket);

/* The socket becomes what `take_other` is, which is gone then: its descriptor, its state. Who waits on the socket
 * stays; what was buffered is dropped. Neither has a layer. */
void lh_socket_replace(lh_socket *socket, lh_socket *take_other);

/* The socket's end: `error` (errno) is what every later operation reports. */
void lh_socket_fail(lh_socket *socket, int error);

/* An error of this socket's in words: `error` is an errno, EPROTO is its layer's own. */
const char *lh_socket_error_text(const lh_socket *socket, int error);

/* Arms both directions. 0 or a negative errno (the poll is out of memory or watches). */
int lh_socket_expect(lh_socket *socket) __attribute__((warn_unused_result));

/* A turn of the loop moves at most LH_SOCKET_TURN_BYTES over a socket, whoever calls how often: a peer that is always
 * ready would otherwise keep the thread for itself, because a call that need not wait does not. A system call costs as
 * much as LH_SOCKET_CALL_COST bytes at least: lines of one byte would keep it as well. False: they are spent; the
 * caller waits, and will be called back in the next turn. */
enum { LH_SOCKET_TURN_BYTES = 256 * 1024, LH_SOCKET_CALL_COST = 256 };
bool lh_socket_may_move(lh_socket *socket);
static inline void lh_socket_note_moved(lh_socket *socket, size_t bytes) {
    const size_t all = socket->turn_bytes + (bytes > LH_SOCKET_CALL_COST ? bytes : LH_SOCKET_CALL_COST);
    socket->turn_bytes = all < LH_SOCKET_TURN_BYTES ? (uint32_t)all & 0x3ffff : LH_SOCKET_TURN_BYTES;
}

/* What was moved took long: the next turn goes on. */
void lh_socket_end_turn(lh_socket *socket);

/* For a call that does not wait: it may move as much again. */
static inline void lh_socket_renew_turn(lh_socket *socket) { socket->turn_bytes = 0; }

/* 0, or -ENOTCONN and the like. */
int lh_socket_local_address(const lh_socket *socket, lh_address *address) __attribute__((warn_unused_result));
int lh_socket_peer_address(const lh_socket *socket, lh_address *address) __attribute__((warn_unused_result));

/* Half-close; `how` as shutdown(2). What cannot be shut down is left alone. */
void lh_socket_shutdown(lh_socket *socket, int how);
