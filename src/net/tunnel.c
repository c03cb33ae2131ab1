/* nghttp2 is a machine without I/O: bytes go in (nghttp2_session_mem_recv) and come out (nghttp2_session_mem_send), and
 * it calls back in between. None of those callbacks runs anybody else's code: what concerns others is noted on the
 * channel, which joins `news`, and told when the machine is at rest (tell_news). So others may do what they like, also
 * close the tunnel; its memory goes when the last call of ours into it has returned (`depth`).
 *
 * Flow control is ours: the connection's window is given back as bytes come, because the streams' windows bound what is
 * held; a stream's window is given back as the local socket takes its bytes. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "net/stream.h"
#include "net/tunnel_internal.h"

enum {
    BUDGET = 256 * 1024,     /* bytes each way a turn, so that others are served */
    BATCH_BYTES = 64 * 1024, /* frames gathered for one write */
    CONNECTION_WINDOW = 8 * 1024 * 1024,
    FIELDS_MAX = 64 * 1024, /* bytes of a request's or an answer's fields, each 32 more (RFC 9113, 6.5.2) */
    CHANNEL_COST = 2048,    /* of the budget: what a new channel takes besides the bytes of its request */
    BURST = 64,             /* channels opened by one piece of input, after which the pieces become small ... */
    BURST_PIECE = 4 * 1024, /* ... so that the turn can end: opening one is much work for few bytes */
};

static void settle(lh_tunnel *tunnel);

/* -- What nghttp2 calls -------------------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    lh_tunnel *tunnel = context;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    lh_channel *channel = lh__channel_offer(tunnel, frame->hd.stream_id);
    if (!channel) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    tunnel->opened++;
    nghttp2_session_set_stream_user_data(session, channel->stream, channel);
    return 0;
}

static bool is_name(const uint8_t *name, size_t length, const char *word) {
    return length == strlen(word) && memcmp(name, word, length) == 0;
}

/* Digits as a number; nghttp2 has checked that they are. */
static int number_of(const uint8_t *text, size_t length) {
    int number = 0;
    for (size_t i = 0; i < length && i < 3; i++) number = number * 10 + (text[i] - '0');
    return number;
}

/* Proxy-Status (RFC 9209): lhotse; details="what went wrong" */
static void take_reason(lh_channel *channel, const char *value, size_t length) {
    static const char before[] = "details=\"";
    const char *details = memmem(value, length, before, sizeof(before) - 1);
    if (!details) return;
    details += sizeof(before) - 1;
    const char *end = memchr(details, '"', length - (size_t)(details - value));
    if (end) snprintf(channel->reason, sizeof(channel->reason), "%.*s", (int)(end - details), details);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t length, uint8_t flags, void *context) {
    (void)flags;
    (void)context;
    lh_channel *channel = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!channel) return 0;
    channel->field_bytes += name_length + length + 32;
    if (channel->field_bytes > FIELDS_MAX) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
    if (is_name(name, name_length, ":status")) channel->status = number_of(value, length);
    if (is_name(name, name_length, ":method")) channel->is_connect = is_name(value, length, "CONNECT");
    if (is_name(name, name_length, "proxy-status")) take_reason(channel, (const char *)value, length);
    return 0;
}

/* The answer to our CONNECT. */
static void take_answer(lh_channel *channel) {
    if (channel->status < 200 || channel->has_answer) return;
    channel->has_answer = true;
    lh__channel_note_news(channel);
    if (channel->status >= 300) {
        lh__channel_reset(channel, NGHTTP2_CANCEL);
        return;
    }
    channel->is_open = true;
    if (channel->is_deferred) {
        channel->is_deferred = false;
        nghttp2_session_resume_data(channel->tunnel->session, channel->stream);
    }
}

static void take_request(lh_channel *channel) {
    if (channel->is_connect) {
        lh__channel_note_news(channel);
    } else {
        lh__channel_reset(channel, NGHTTP2_REFUSED_STREAM);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)context;
    lh_channel *channel = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!channel || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) return 0;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) channel->is_finished = true;
    if (frame->hd.type == NGHTTP2_HEADERS && channel->on_answer) {
        take_answer(channel);
    } else if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        take_request(channel); /* other headers are trailers: nothing but an end */
    }
    channel = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id); /* it may have ended */
    if (channel && channel->is_finished && channel->is_open) lh__channel_after_delivery(channel);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t length,
                   void *context) {
    (void)flags;
    lh_channel *channel = nghttp2_session_get_stream_user_data(session, stream);
    if (channel) lh__channel_deliver(channel, (const char *)bytes, length);
    lh__tunnel_give_window(context, length);
    return 0;
}

static bool is_request(const nghttp2_frame *frame) {
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)session;
    if (is_request(frame)) ((lh_tunnel *)context)->unsent--;
    return 0;
}

/* Its stream was given up before. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *context) {
    (void)error;
    return on_frame_sent(session, frame, context);
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *context) {
    (void)context;
    lh_channel *channel = nghttp2_session_get_stream_user_data(session, stream);
    if (!channel) return 0;
    channel->stream = 0;
    const bool is_lost = code != NGHTTP2_NO_ERROR || !channel->is_finished;
    if (is_lost || !channel->local || channel->to_local.length == 0) lh__channel_end(channel, is_lost);
    return 0;
}

/* -- The machine and its socket ------------------------------------------------------------------------------------ */

static void end_tunnel(lh_tunnel *tunnel, const char *reason) {
    if (tunnel->is_over) return;
    tunnel->is_over = true;
    snprintf(tunnel->reason, sizeof(tunnel->reason), "%s", reason);
    lh_timer_stop(&tunnel->net->loop.timers, &tunnel->timer);
}

/* Gathers frames in `out`. False: the session is broken. */
static bool gather(lh_tunnel *tunnel) {
    while (tunnel->out.length < BATCH_BYTES) {
        const uint8_t *bytes;
        const ssize_t n = nghttp2_session_mem_send(tunnel->session, &bytes);
        if (n == 0) return true;
        if (n < 0 || lh_buffer_append(&tunnel->out, (const char *)bytes, (size_t)n) < 0) return false;
    }
    return true;
}

/* The peer makes us queue frames and takes none. */
static bool is_glutted(const lh_tunnel *tunnel) {
    return nghttp2_session_get_outbound_queue_size(tunnel->session) > LH__TUNNEL_FRAMES_MAX + tunnel->unsent;
}

/* The pause is over when the peer has taken what it was for. */
static void read_again_if_drained(lh_tunnel *tunnel) {
    if (!tunnel->is_paused || tunnel->is_over || is_glutted(tunnel)) return;
    assert(lh_socket_is_mine(tunnel->socket));
    tunnel->is_paused = false;
    tunnel->socket->is_readable = true;
    lh_loop_again(&tunnel->net->loop, &tunnel->socket->watch);
}

static void send_frames(lh_tunnel *tunnel) {
    for (size_t budget = BUDGET; !tunnel->is_over;) {
        if (!gather(tunnel)) {
            end_tunnel(tunnel, "not enough memory");
            return;
        }
        if (tunnel->out.length == 0) break;
        if (budget == 0) {
            lh_loop_again(&tunnel->net->loop, &tunnel->socket->watch);
            return;
        }
        size_t written = 0;
        const int rv = lh_stream_write(tunnel->socket, lh_buffer_bytes(&tunnel->out), tunnel->out.length, &written);
        lh_buffer_consume(&tunnel->out, written);
        budget = written < budget ? budget - written : 0;
        if (rv < 0) {
            end_tunnel(tunnel, lh_socket_error_text(tunnel->socket, -rv));
        } else if (rv == LH_STREAM_WAIT) {
            return;
        }
    }
    lh_buffer_relax(&tunnel->out);
    if (!tunnel->is_over && !nghttp2_session_want_read(tunnel->session) &&
        !nghttp2_session_want_write(tunnel->session)) {
        end_tunnel(tunnel, "the peer broke the rules of HTTP/2");
    }
}

void lh__tunnel_flush(lh_tunnel *tunnel) {
    tunnel->depth++;
    send_frames(tunnel);
    read_again_if_drained(tunnel);
    settle(tunnel);
}

/* For calls from scripts, in which nobody may be told anything: the next turn sends and tells. */
void lh__tunnel_flush_later(lh_tunnel *tunnel) {
    if (tunnel->socket) {
        lh_loop_again(&tunnel->net->loop, &tunnel->socket->watch);
    } else {
        lh_timer_start(&tunnel->net->loop.timers, &tunnel->timer, lh_loop_deadline(0));
    }
}

static void receive_frames(lh_tunnel *tunnel) {
    for (size_t budget = BUDGET; budget > 0;) {
        const char *bytes;
        size_t length;
        tunnel->is_paused = is_glutted(tunnel);
        if (tunnel->is_paused) return;
        const size_t piece = tunnel->opened > BURST ? BURST_PIECE : LH_NET_SCRATCH_BYTES;
        const int rv = lh_stream_read_some(tunnel->socket, piece, &bytes, &length);
        if (rv == LH_STREAM_WAIT) return;
        if (rv != LH_STREAM_DONE) {
            end_tunnel(tunnel, rv == LH_STREAM_END ? "the peer closed the connection"
                                                   : lh_socket_error_text(tunnel->socket, -rv));
            return;
        }
        tunnel->last_received_ns = tunnel->net->loop.now;
        tunnel->opened = 0;
        const ssize_t n = nghttp2_session_mem_recv(tunnel->session, (const uint8_t *)bytes, length);
        if (n < 0) {
            end_tunnel(tunnel, nghttp2_strerror((int)n));
            return;
        }
        const size_t cost = length + tunnel->opened * CHANNEL_COST;
        budget = cost < budget ? budget - cost : 0;
    }
    lh_loop_again(&tunnel->net->loop, &tunnel->socket->watch);
}

static void on_readable(lh_socket *socket) {
    lh_tunnel *tunnel = socket->reader;
    assert(tunnel->socket == socket && !tunnel->is_closed);
    tunnel->depth++;
    receive_frames(tunnel);
    send_frames(tunnel);
    read_again_if_drained(tunnel);
    settle(tunnel);
}

static void on_writable(lh_socket *socket) { lh__tunnel_flush(socket->writer); }

static const lh_socket_events socket_events = {.on_readable = on_readable, .on_writable = on_writable};

static void arm_timer(lh_tunnel *tunnel) {
    lh_timer_start(&tunnel->net->loop.timers, &tunnel->timer, lh_loop_deadline(tunnel->options.keepalive_ns / 2));
}

static void on_timer(lh_timer *timer) {
    lh_tunnel *tunnel = LH_CONTAINER(timer, lh_tunnel, timer);
    const lh_ns silence = tunnel->net->loop.now - tunnel->last_received_ns;
    if (silence >= tunnel->options.keepalive_ns) {
        end_tunnel(tunnel, "timeout");
    } else if (!tunnel->is_over) {
        if (silence >= tunnel->options.keepalive_ns / 4) {
            nghttp2_submit_ping(tunnel->session, NGHTTP2_FLAG_NONE, NULL);
        }
        arm_timer(tunnel);
    }
    lh__tunnel_flush(tunnel);
}

/* -- Telling ------------------------------------------------------------------------------------------------------- */

static void tell_answer(lh_channel *channel) {
    char text[LH_TUNNEL_REASON_MAX + 16];
    channel->is_told = true;
    if (channel->is_open) {
        channel->on_answer(channel->owner, NULL);
        return;
    }
    const lh_tunnel *tunnel = channel->tunnel;
    const char *said = channel->reason[0] ? channel->reason : "refused";
    snprintf(text, sizeof(text), "%s", channel->has_answer ? said : tunnel->is_over ? tunnel->reason : "reset");
    channel->on_answer(channel->owner, text);
}

static void tell(lh_channel *channel) {
    assert(channel->tunnel && channel->holds > 0 && !lh_list_is_linked(&channel->news_node));
    if (!channel->on_answer) {
        lh_list_append(&channel->tunnel->offered, &channel->news_node);
        channel->tunnel->has_offers = true;
        return;
    }
    const bool is_ended = !lh_list_is_linked(&channel->node); /* then the tunnel's hold is this function's */
    if (!channel->is_told) tell_answer(channel);
    if (!is_ended) return;
    channel->tunnel = NULL;
    lh_channel_release(channel);
}

static void end_channels(lh_tunnel *tunnel) {
    while (!lh_list_is_empty(&tunnel->channels)) {
        lh__channel_end(LH_CONTAINER(tunnel->channels.next, lh_channel, node), true);
    }
}

/* The connection goes; the memory stays until its owner closes. */
static void close_connection(lh_tunnel *tunnel) {
    end_channels(tunnel);
    if (!tunnel->socket) return;
    lh_socket_close(tunnel->socket);
    tunnel->socket = NULL;
}

static void tell_news(lh_tunnel *tunnel) {
    for (lh_list *node; !tunnel->is_closed && (node = lh_list_take_first(&tunnel->news));) {
        tell(LH_CONTAINER(node, lh_channel, news_node));
    }
    if (!tunnel->is_closed && tunnel->has_offers) {
        tunnel->has_offers = false;
        tunnel->options.events->on_channel(tunnel);
    }
    if (!tunnel->is_closed && tunnel->is_over && !tunnel->is_end_told) {
        tunnel->is_end_told = true;
        tunnel->options.events->on_end(tunnel, tunnel->reason);
    }
}

/* All channels have ended: those in `news` wait for their answer. */
static void free_tunnel(lh_tunnel *tunnel) {
    assert(tunnel->depth == 0 && !tunnel->socket && lh_list_is_empty(&tunnel->channels));
    for (lh_list *node; (node = lh_list_take_first(&tunnel->news));) tell(LH_CONTAINER(node, lh_channel, news_node));
    nghttp2_session_del(tunnel->session);
    lh_buffer_reset(&tunnel->out);
    lh_free(tunnel);
}

/* The end of each call of ours: the outermost tells what there is to tell. */
static void settle(lh_tunnel *tunnel) {
    assert(tunnel->depth > 0 && lh_loop_is_mine(&tunnel->net->loop));
    if (tunnel->depth == 1) {
        if (tunnel->is_over) close_connection(tunnel);
        tell_news(tunnel);
    }
    if (--tunnel->depth == 0 && tunnel->is_closed) free_tunnel(tunnel);
}

/* -- Opening and closing ------------------------------------------------------------------------------------------- */

static nghttp2_session *new_session(lh_tunnel *tunnel) {
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0) goto done;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1); /* it would keep as many as there may be open ones */
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    if (tunnel->options.opens_channels) {
        nghttp2_session_client_new2(&session, callbacks, tunnel, option);
    } else {
        nghttp2_session_server_new2(&session, callbacks, tunnel, option);
    }
done:
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return session;
}

static bool greet(lh_tunnel *tunnel) {
    const lh_tunnel_options *options = &tunnel->options;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options->window_bytes},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options->opens_channels ? 0 : options->channels_max},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    return nghttp2_submit_settings(tunnel->session, NGHTTP2_FLAG_NONE, settings, options->opens_channels ? 3 : 2) ==
               0 &&
           nghttp2_session_set_local_window_size(tunnel->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) == 0;
}

lh_tunnel *lh_tunnel_open(lh_socket *take_socket, const lh_tunnel_options *options) {
    lh_tunnel *tunnel = lh_alloc(sizeof(*tunnel));
    tunnel->socket = take_socket;
    tunnel->net = take_socket->net;
    tunnel->options = *options;
    lh_list_init(&tunnel->channels);
    lh_list_init(&tunnel->news);
    lh_list_init(&tunnel->offered);
    lh_timer_init(&tunnel->timer, on_timer);
    tunnel->session = new_session(tunnel);
    if (!tunnel->session || !greet(tunnel) || lh_socket_expect(take_socket) < 0) {
        lh_socket_close(take_socket);
        free_tunnel(tunnel);
        return NULL;
    }
    take_socket->events = &socket_events;
    take_socket->reader = take_socket->writer = tunnel;
    tunnel->last_received_ns = tunnel->net->loop.now;
    arm_timer(tunnel);
    /* Next turn the greeting goes out, and what has been received already is read. */
    take_socket->is_readable = true;
    lh_loop_again(&tunnel->net->loop, &take_socket->watch);
    return tunnel;
}

void lh_tunnel_close(lh_tunnel *tunnel) {
    if (!tunnel || tunnel->is_closed) return;
    assert(lh_loop_is_mine(&tunnel->net->loop));
    tunnel->is_closed = true;
    end_tunnel(tunnel, "closed");
    close_connection(tunnel);
    if (tunnel->depth == 0) free_tunnel(tunnel);
}

void *lh_tunnel_owner(const lh_tunnel *tunnel) { return tunnel->options.owner; }

bool lh_tunnel_is_over(const lh_tunnel *tunnel) { return tunnel->is_over; }

size_t lh_tunnel_channel_count(const lh_tunnel *tunnel) { return tunnel->channel_count; }
