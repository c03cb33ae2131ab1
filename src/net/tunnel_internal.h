/* What tunnel.c (the connection) and tunnel_channel.c (one stream of it) know of each other; for them alone.
 *
 * A channel never calls others' code: what concerns them it notes, and tunnel.c tells when nghttp2 is at rest.
 *
 * Owner, thread, errors: as tunnel.h says. */
#pragma once
#include <nghttp2/nghttp2.h>

#include "net/tunnel.h"

/* That wait to be sent; legal peers take them: each side reads, whatever it has to send. */
enum { LH__TUNNEL_FRAMES_MAX = 10000 };

struct lh_channel {
    lh_list node;      /* in lh_tunnel.channels */
    lh_list news_node; /* in lh_tunnel.news, or in lh_tunnel.offered */
    lh_tunnel *tunnel; /* NULL = the channel is over */
    lh_socket *local;  /* NULL = not accepted yet, or nobody reads and writes there any more */
    lh_cut *cut;
    lh_buffer to_local; /* received, not yet taken by `local`; at most a window */
    int32_t stream;     /* 0 = the stream is over; what is in `to_local` is still to be delivered */
    unsigned holds;     /* the tunnel's, and takers' */
    unsigned claims;    /* of claimed_descriptors */
    size_t field_bytes; /* of its request or answer */
    bool is_open;       /* accepted: bytes may flow */
    bool is_deferred;   /* nghttp2 waits for bytes of `local` */
    bool is_finished;   /* the peer has sent its last byte */
    bool is_connect;    /* the request is a CONNECT */
    bool is_told;       /* on_answer has been called */
    bool has_answer;
    int status;                        /* of the answer */
    char reason[LH_TUNNEL_REASON_MAX]; /* the peer's, for a refusal; "" = it gave none */
    lh_channel_answer_fn on_answer;
    void *owner;
};

struct lh_tunnel {
    lh_socket *socket; /* NULL = over */
    lh_net *net;
    nghttp2_session *session;
    lh_tunnel_options options;
    lh_list channels; /* all that are not over */
    lh_list news;     /* channels with something to tell */
    lh_list offered;  /* that the peer wants to open, not yet taken */
    size_t channel_count;
    bool has_offers; /* since on_channel was called */
    size_t unread;   /* bytes in all `to_local` */
    size_t owed;     /* of the connection's window, for `unread` */
    size_t unsent;   /* our requests that are queued: they may wait for the peer to allow more */
    size_t opened;   /* channels by the peer, with the last piece of input */
    bool is_paused;  /* not read from, because the peer takes nothing */
    lh_buffer out;
    lh_timer timer;
    lh_ns last_received_ns;
    unsigned depth; /* calls of ours at work */
    bool is_closed; /* by its owner: to be freed when depth is 0 */
    bool is_over;
    bool is_end_told;
    char reason[LH_TUNNEL_REASON_MAX]; /* why it ended */
};

/* Writes what nghttp2 has to send: now, or in the next turn. */
void lh__tunnel_flush(lh_tunnel *tunnel);
void lh__tunnel_flush_later(lh_tunnel *tunnel);

/* The connection's window: given back at once, until too much is unread. */
void lh__tunnel_give_window(lh_tunnel *tunnel, size_t bytes);

/* A channel that the peer opens; NULL: the process has no descriptors for more. */
lh_channel *lh__channel_offer(lh_tunnel *tunnel, int32_t stream);

/* It has something to tell. */
void lh__channel_note_news(lh_channel *channel);

/* The channel is over; it may still have news to tell. `is_lost`: the local side learns that the rest is lost. */
void lh__channel_end(lh_channel *channel, bool is_lost);

/* Resets the stream and ends the channel. */
void lh__channel_reset(lh_channel *channel, uint32_t code);

/* Bytes have come. May end the channel. */
void lh__channel_deliver(lh_channel *channel, const char *bytes, size_t length);

/* When everything that came has been delivered: passes the end on, if it was the end. */
void lh__channel_after_delivery(lh_channel *channel);
