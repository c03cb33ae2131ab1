/* Many byte streams over one connection: HTTP/2 (RFC 9113) by libnghttp2.
 *
 * One side opens channels, with CONNECT (RFC 9113, 8.5); the other accepts or refuses them. Which side connected to
 * which does not matter here: for reverse connections it is the listener that opens channels. A channel copies between
 * its HTTP/2 stream and a local socket, both ways, as fast as each takes it: a channel that is not read from stalls
 * only itself, at its window. Half-closes are passed on; what is lost is a reset on both sides, never an end of file.
 *
 * A tunnel sends PINGs when it is idle, and ends when nothing has come for `keepalive`.
 *
 * What a peer can make us keep is bounded, whether it reads, and acknowledges our SETTINGS, or not: channels by
 * `channels_max`; descriptors by half of RLIMIT_NOFILE, for all tunnels of the process together; unread bytes of a
 * channel by its window, of all channels by LH_TUNNEL_UNREAD_MAX, beyond which the peer gets no more window for the
 * connection; frames that it does not take by FRAMES_MAX, beyond which it is not read from.
 *
 * Owner: a tunnel is its opener's until lh_tunnel_close, also after on_end. A channel is its tunnel's; who keeps one
 * holds it.
 * Thread: the loop's own.
 * Errors: as each function says. */
#pragma once
#include "net/cut.h"
#include "net/socket.h"

typedef struct lh_tunnel lh_tunnel;
typedef struct lh_channel lh_channel;

enum { LH_TUNNEL_REASON_MAX = 256, LH_TUNNEL_UNREAD_MAX = 64 * 1024 * 1024 };

/* Callbacks run in the loop, when the tunnel is done with what has come; each may close the tunnel. */
typedef struct lh_tunnel_events {
    void (*on_channel)(lh_tunnel *tunnel);                 /* lh_tunnel_take has something */
    void (*on_end)(lh_tunnel *tunnel, const char *reason); /* once; not after lh_tunnel_close */
} lh_tunnel_events;

typedef struct lh_tunnel_options {
    bool opens_channels;   /* else it accepts them */
    lh_ns keepalive_ns;    /* silence after which the peer counts as gone */
    uint32_t window_bytes; /* of a channel: what may be under way and unread */
    uint32_t channels_max; /* at a time, of those it accepts */
    const lh_tunnel_events *events;
    void *owner;
} lh_tunnel_options;

/* Over a connected socket, with or without TLS. NULL: out of memory; the socket is closed then, too. */
lh_tunnel *lh_tunnel_open(lh_socket *take_socket, const lh_tunnel_options *options);

void *lh_tunnel_owner(const lh_tunnel *tunnel);

/* Closes it now, and all that goes through it. Accepts NULL. */
void lh_tunnel_close(lh_tunnel *tunnel);

bool lh_tunnel_is_over(const lh_tunnel *tunnel);
size_t lh_tunnel_channel_count(const lh_tunnel *tunnel);

/* How a channel's opening ended: NULL = it is open, else why not. */
typedef void (*lh_channel_answer_fn)(void *owner, const char *reason);

/* Opens a channel to `local`, which is taken; `cut` (may be NULL, is held) tells the other end of a socket pair of a
 * loss. on_answer comes later, exactly once, at the latest from lh_tunnel_close; then it must not touch the tunnel. Who
 * closes the other end of `local` before the answer gives the channel up: its stream is reset. */
void lh_tunnel_connect(lh_tunnel *tunnel, lh_socket *take_local, lh_cut *cut, lh_channel_answer_fn on_answer,
                       void *owner);

/* The next channel that the peer wants to open, held for the caller; NULL = none. */
lh_channel *lh_tunnel_take(lh_tunnel *tunnel);
bool lh_tunnel_has_offer(const lh_tunnel *tunnel); /* there is one */

/* Lets it through to `local`. 0, or -ECONNRESET: it has gone meanwhile; `take_local` is closed then. A cut is that of a
 * socket pair whose other end was made for this, and counts as a descriptor until it is gone. */
int lh_channel_accept(lh_channel *channel, lh_socket *take_local, lh_cut *cut);

/* `reason` is for the peer to read. */
void lh_channel_refuse(lh_channel *channel, const char *reason);

void lh_channel_release(lh_channel *channel);
