/* A channel: its stream on one side, its local socket on the other. What comes is written to the socket, and only then
 * is the stream's window given back; what the socket has is pulled when HTTP/2 has window for it. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "net/stream.h"
#include "net/tunnel_internal.h"

enum { CHANNEL_DESCRIPTORS = 2 }; /* that one may need: the ends of a socket pair */

/* Descriptors of channels that peers have opened, in all tunnels of the process. */
static atomic_uint claimed_descriptors;

/* -- Channels ------------------------------------------------------------------------------------------------------ */

static lh_channel *new_channel(lh_tunnel *tunnel) {
    assert(!tunnel->is_closed);
    lh_channel *channel = lh_alloc(sizeof(*channel));
    channel->tunnel = tunnel;
    channel->holds = 1;
    lh_list_init(&channel->node);
    lh_list_init(&channel->news_node);
    lh_list_append(&tunnel->channels, &channel->node);
    tunnel->channel_count++;
    return channel;
}

/* Peers get at most half of what the process may open. The limit may change while it runs. */
static bool claim_descriptors(void) {
    struct rlimit limit;
    const bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    const unsigned before = atomic_fetch_add(&claimed_descriptors, CHANNEL_DESCRIPTORS);
    if (!is_known || before + CHANNEL_DESCRIPTORS <= limit.rlim_cur / 2) return true;
    atomic_fetch_sub(&claimed_descriptors, CHANNEL_DESCRIPTORS);
    return false;
}

lh_channel *lh__channel_offer(lh_tunnel *tunnel, int32_t stream) {
    if (!claim_descriptors()) return NULL;
    lh_channel *channel = new_channel(tunnel);
    channel->stream = stream;
    channel->claims = CHANNEL_DESCRIPTORS;
    return channel;
}

void lh_channel_release(lh_channel *channel) {
    assert(channel->holds > 0);
    if (--channel->holds > 0) return;
    assert(!channel->tunnel && !channel->local && !lh_list_is_linked(&channel->node));
    atomic_fetch_sub(&claimed_descriptors, channel->claims);
    lh_cut_release(channel->cut);
    lh_free(channel);
}

void lh__channel_note_news(lh_channel *channel) {
    if (!lh_list_is_linked(&channel->news_node)) lh_list_append(&channel->tunnel->news, &channel->news_node);
}

/* The local side learns that the rest is lost. */
static void cut_local(lh_channel *channel) {
    if (channel->cut) {
        atomic_store(&channel->cut->error, ECONNRESET);
    } else {
        const struct linger reset = {.l_onoff = 1};
        setsockopt(channel->local->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
}

/* The connection's window: given back at once, until too much is unread. */
void lh__tunnel_give_window(lh_tunnel *tunnel, size_t bytes) {
    tunnel->owed += bytes;
    if (tunnel->owed == 0 || tunnel->unread > LH_TUNNEL_UNREAD_MAX) return;
    nghttp2_session_consume_connection(tunnel->session, tunnel->owed);
    tunnel->owed = 0;
}

static void forget_unread(lh_channel *channel, size_t bytes) {
    assert(bytes <= channel->tunnel->unread);
    channel->tunnel->unread -= bytes;
    lh__tunnel_give_window(channel->tunnel, 0);
}

/* The channel is over. It may still have news to tell. */
void lh__channel_end(lh_channel *channel, bool is_lost) {
    lh_tunnel *tunnel = channel->tunnel;
    assert(tunnel && lh_list_is_linked(&channel->node) && tunnel->channel_count > 0);
    if (channel->stream) nghttp2_session_set_stream_user_data(tunnel->session, channel->stream, NULL);
    channel->stream = 0;
    if (channel->local) {
        if (is_lost) cut_local(channel);
        lh_socket_close(channel->local);
    }
    channel->local = NULL;
    forget_unread(channel, channel->to_local.length);
    lh_buffer_reset(&channel->to_local);
    lh_list_remove(&channel->node);
    tunnel->channel_count--;
    if (channel->on_answer && !channel->is_told) {
        lh__channel_note_news(channel); /* which keeps the tunnel's hold */
        return;
    }
    lh_list_remove(&channel->news_node);
    channel->tunnel = NULL;
    lh_channel_release(channel);
}

/* Resets the stream and ends the channel. */
void lh__channel_reset(lh_channel *channel, uint32_t code) {
    if (channel->stream) {
        nghttp2_submit_rst_stream(channel->tunnel->session, NGHTTP2_FLAG_NONE, channel->stream, code);
    }
    lh__channel_end(channel, true);
}

/* -- From the stream to the local socket --------------------------------------------------------------------------- */

static void give_window(const lh_channel *channel, size_t bytes) {
    if (channel->stream && bytes > 0) {
        nghttp2_session_consume_stream(channel->tunnel->session, channel->stream, bytes);
    }
}

/* Everything that came has been delivered: pass the end on, if it was the end. */
void lh__channel_after_delivery(lh_channel *channel) {
    if (channel->to_local.length > 0 || !channel->is_finished) return;
    if (channel->stream) {
        if (channel->local) lh_socket_shutdown(channel->local, SHUT_WR);
    } else {
        lh__channel_end(channel, false);
    }
}

void lh__channel_deliver(lh_channel *channel, const char *bytes, size_t length) {
    assert(channel->tunnel && !channel->is_finished);
    size_t written = 0;
    if (channel->is_open && !channel->local) {
        lh__channel_reset(channel, NGHTTP2_CONNECT_ERROR);
        return;
    }
    if (channel->local && channel->to_local.length == 0) {
        if (lh_stream_write(channel->local, bytes, length, &written) < 0) {
            lh__channel_reset(channel, NGHTTP2_CONNECT_ERROR);
            return;
        }
        give_window(channel, written);
    }
    if (lh_buffer_append(&channel->to_local, bytes + written, length - written) < 0) {
        lh__channel_reset(channel, NGHTTP2_INTERNAL_ERROR);
    } else {
        channel->tunnel->unread += length - written;
    }
}

static void deliver_rest(lh_channel *channel) {
    size_t written = 0;
    const lh_buffer *rest = &channel->to_local;
    if (rest->length > 0) {
        if (lh_stream_write(channel->local, lh_buffer_bytes(rest), rest->length, &written) < 0) {
            lh__channel_reset(channel, NGHTTP2_CONNECT_ERROR);
            return;
        }
        lh_buffer_consume(&channel->to_local, written);
        lh_buffer_relax(&channel->to_local);
        forget_unread(channel, written);
        give_window(channel, written);
    }
    lh__channel_after_delivery(channel);
}

static void on_local_writable(lh_socket *local) {
    lh_channel *channel = local->writer;
    assert(channel->local == local && channel->tunnel);
    lh_tunnel *tunnel = channel->tunnel;
    deliver_rest(channel);
    lh__tunnel_flush(tunnel); /* windows */
}

/* -- From the local socket to the stream --------------------------------------------------------------------------- */

/* The other end is closed, which is more than a half-close: whatever comes, nobody will read it. */
static bool is_abandoned(const lh_socket *local) {
    struct pollfd ask = {.fd = local->watch.fd};
    return local->has_hangup && poll(&ask, 1, 0) == 1 && (ask.revents & POLLHUP);
}

/* The peer may take its time with its own end, also for ever: a descriptor does not wait for that. */
static void close_abandoned_local(lh_channel *channel) {
    lh_socket *local = channel->local;
    if (!local->is_at_end || channel->to_local.length > 0 || !is_abandoned(local)) return;
    channel->local = NULL;
    lh_socket_close(local);
}

static void on_local_readable(lh_socket *local) {
    lh_channel *channel = local->reader;
    assert(channel->local == local && channel->tunnel);
    lh_tunnel *tunnel = channel->tunnel;
    if (!channel->is_open) {
        if (!is_abandoned(local)) return;
        lh__channel_reset(channel, NGHTTP2_CANCEL); /* the peer has not answered, and need not any more */
    } else if (channel->is_deferred && channel->stream) {
        channel->is_deferred = false;
        nghttp2_session_resume_data(tunnel->session, channel->stream);
    } else {
        close_abandoned_local(channel);
        return;
    }
    lh__tunnel_flush(tunnel);
}

static const lh_socket_events local_events = {.on_readable = on_local_readable, .on_writable = on_local_writable};

static ssize_t provide(nghttp2_session *session, int32_t stream, uint8_t *to, size_t room, uint32_t *flags,
                       nghttp2_data_source *source, void *context) {
    (void)source;
    (void)context;
    lh_channel *channel = nghttp2_session_get_stream_user_data(session, stream);
    if (!channel) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t length;
    assert(!channel->is_open || channel->local);
    const int rv = channel->is_open ? lh_stream_read_into(channel->local, (char *)to, room, &length) : LH_STREAM_WAIT;
    switch (rv) {
    case LH_STREAM_DONE: return (ssize_t)length;
    case LH_STREAM_END:
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        close_abandoned_local(channel);
        return 0;
    case LH_STREAM_WAIT: channel->is_deferred = true; return NGHTTP2_ERR_DEFERRED;
    default: return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
    }
}

static const nghttp2_data_provider provider = {.read_callback = provide};

static bool attach(lh_channel *channel, lh_socket *local, lh_cut *cut) {
    assert(!channel->local && lh_socket_is_mine(local));
    channel->local = local;
    channel->cut = cut ? lh_cut_hold(cut) : NULL;
    local->events = &local_events;
    local->reader = local->writer = channel;
    return lh_socket_expect(local) == 0;
}

/* -- Opening and accepting channels -------------------------------------------------------------------------------- */

#define FIELD(field_name, field_value)                                                                                 \
    { (uint8_t *)(field_name), (uint8_t *)(field_value), strlen(field_name), strlen(field_value), NGHTTP2_NV_FLAG_NONE }

void lh_tunnel_connect(lh_tunnel *tunnel, lh_socket *take_local, lh_cut *cut, lh_channel_answer_fn on_answer,
                       void *owner) {
    lh_channel *channel = new_channel(tunnel);
    channel->on_answer = on_answer;
    channel->owner = owner;
    tunnel->depth++;
    const nghttp2_nv fields[] = {FIELD(":method", "CONNECT"), FIELD(":authority", "reverse:0")};
    /* A peer that allows no channels keeps also the requests of those that were given up: nghttp2 queues them. */
    const bool is_full = tunnel->unsent >= LH__TUNNEL_FRAMES_MAX + tunnel->channel_count;
    if (!attach(channel, take_local, cut) || tunnel->is_over || is_full) {
        lh__channel_end(channel, true);
    } else {
        channel->stream = nghttp2_submit_request(tunnel->session, NULL, fields, 2, &provider, channel);
        if (channel->stream < 0) {
            channel->stream = 0;
            lh__channel_end(channel, true);
        } else {
            tunnel->unsent++;
        }
    }
    tunnel->depth--;
    lh__tunnel_flush_later(tunnel);
}

bool lh_tunnel_has_offer(const lh_tunnel *tunnel) { return !lh_list_is_empty(&tunnel->offered); }

lh_channel *lh_tunnel_take(lh_tunnel *tunnel) {
    lh_list *node = lh_list_take_first(&tunnel->offered);
    if (!node) return NULL;
    lh_channel *channel = LH_CONTAINER(node, lh_channel, news_node);
    channel->holds++;
    return channel;
}

int lh_channel_accept(lh_channel *channel, lh_socket *take_local, lh_cut *cut) {
    static const nghttp2_nv fields[] = {{(uint8_t *)":status", (uint8_t *)"200", 7, 3, NGHTTP2_NV_FLAG_NONE}};
    lh_tunnel *tunnel = channel->tunnel;
    if (!tunnel || !channel->stream || tunnel->is_over || channel->is_open) {
        lh_socket_close(take_local);
        return -ECONNRESET;
    }
    channel->is_open = true;
    if (cut && channel->claims > 0) { /* from now on it is the cut that lives as long as the near end */
        channel->claims--;
        cut->counter = &claimed_descriptors;
    }
    if (!attach(channel, take_local, cut) ||
        nghttp2_submit_response(tunnel->session, channel->stream, fields, 1, &provider) != 0) {
        lh__channel_reset(channel, NGHTTP2_INTERNAL_ERROR);
        return -ECONNRESET;
    }
    deliver_rest(channel);
    lh__tunnel_flush_later(tunnel);
    return 0;
}

/* What may stand in a quoted string of a header (RFC 8941, 3.3.3). */
static void spell_reason(const char *reason, char details[LH_TUNNEL_REASON_MAX]) {
    size_t length = 0;
    for (; reason[length] && length < LH_TUNNEL_REASON_MAX - 1; length++) {
        const char c = reason[length];
        details[length] = c < ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c;
    }
    details[length] = 0;
}

void lh_channel_refuse(lh_channel *channel, const char *reason) {
    lh_tunnel *tunnel = channel->tunnel;
    if (!tunnel || !channel->stream || channel->is_open) return;
    char details[LH_TUNNEL_REASON_MAX], status[LH_TUNNEL_REASON_MAX + 32];
    spell_reason(reason, details);
    snprintf(status, sizeof(status), "lhotse; details=\"%s\"", details);
    const nghttp2_nv fields[] = {FIELD(":status", "502"), FIELD("proxy-status", status)};
    if (nghttp2_submit_response(tunnel->session, channel->stream, fields, 2, NULL) != 0) {
        lh__channel_reset(channel, NGHTTP2_INTERNAL_ERROR);
    }
    lh__tunnel_flush_later(tunnel);
}
