/* wslay reads and writes through callbacks of ours, until we say that it would block; so it is driven to rest after
 * every event. Messages gather in a buffer of ours: wslay would keep a block for each fragment, and a fragment may have
 * one byte. It queues a pong for each ping; a peer that does not take them is not read from (PONGS_MAX). Masks are
 * random bytes, got from OpenSSL a few hundred at a time (RFC 6455, 10.3: they must be unpredictable). */
#include "net/websocket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/alloc.h"
#include "data/json.h"
#include "net/openssl.h"
#include "net/stream.h"

enum {
    BUDGET = 256 * 1024,       /* bytes each way a turn, so that others are served */
    UNTAKEN_MAX = 1024 * 1024, /* bytes of messages that wait, above which nothing is read */
    MASK_BYTES = 512,          /* random bytes got at a time */
    REASON_MAX = 256,
    CONTROL_MAX = 125,  /* bytes in a control frame, RFC 6455, 5.5 */
    COMPRESS_MIN = 256, /* bytes of a message that is worth it */
    COMPRESS_BITS =
        9,          /* zlib's smallest window: with one of 8 bits, which a server may ask for, nothing is compressed */
    PONGS_MAX = 64, /* not sent, above which nothing is read */
    MESSAGE_COST = 64, /* what a message takes besides its block, about; and what it may leave unused there */
    PACKED_COST = 3,   /* of BUDGET, for each compressed byte */
};

struct lh_websocket {
    lh_socket *socket; /* NULL = closed */
    lh_net *net;
    wslay_event_context_ptr wslay;
    lh_websocket_options options;
    lh_ws_deflate *deflate; /* NULL = messages are not compressed */
    lh_list messages;       /* received, not taken */
    size_t untaken;         /* their cost */
    lh_buffer incoming;     /* the message that comes: an lh_websocket_message, to be filled in, and its bytes */
    bool is_packed;         /* ... which come compressed ... */
    size_t packed_length;   /* ... so many, with those of the frame under way */
    uint8_t frame_opcode;   /* of the frame that comes */
    size_t pongs;           /* queued: at most one more than said here */
    size_t close_length;    /* of the peer's close frame */
    unsigned char close[CONTROL_MAX];
    int close_code;  /* of the peer's, 0 = wslay knows */
    size_t budget;   /* of the call at work */
    lh_timer timer;  /* until the peer must have answered our close frame; or, once over, to tell so */
    bool is_paused;  /* not read from, for `untaken` or `pongs` */
    bool is_refused; /* what comes is not to be kept */
    bool is_closing; /* a close frame of ours is queued or sent */
    bool is_over;
    bool has_news;
    size_t mask_used;
    unsigned char masks[MASK_BYTES];
    char error[REASON_MAX]; /* "" = none */
};

/* Codes that IANA has added (RFC 6455, 11.7): "service restart" to "bad gateway". */
enum { CODE_RESTART = 1012, CODE_BAD_GATEWAY = 1014 };

static const char BROKE_RULES[] = "the server broke the rules of the protocol";

static void end(lh_websocket *w, const char *error) {
    if (w->is_over) return;
    w->is_over = w->has_news = true;
    if (error) snprintf(w->error, sizeof(w->error), "%s", error);
}

/* More is not to be read for now. */
static bool is_glutted(const lh_websocket *w) {
    return !w->is_closing && (w->untaken > UNTAKEN_MAX || w->pongs > PONGS_MAX);
}

static void read_again(lh_websocket *w) {
    assert(!w->is_over && lh_socket_is_mine(w->socket));
    w->is_paused = false;
    w->socket->is_readable = true;
    lh_loop_again(&w->net->loop, &w->socket->watch);
}

/* -- What wslay calls ---------------------------------------------------------------------------------------------- */

static ssize_t on_receive(wslay_event_context_ptr wslay, uint8_t *to, size_t room, int flags, void *context) {
    (void)flags;
    lh_websocket *w = context;
    size_t length = 0;
    w->is_paused = is_glutted(w);
    int rv = LH_STREAM_WAIT;
    if (w->budget == 0) {
        lh_loop_again(&w->net->loop, &w->socket->watch);
    } else if (!w->is_paused) {
        rv = lh_stream_read_into(w->socket, (char *)to, room, &length);
    }
    if (rv == LH_STREAM_DONE) {
        w->budget = length < w->budget ? w->budget - length : 0;
        return (ssize_t)length;
    }
    if (rv == LH_STREAM_WAIT) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    end(w, rv == LH_STREAM_END ? "the server closed the connection without a close frame"
                               : lh_socket_error_text(w->socket, -rv));
    wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *bytes, size_t length, int flags, void *context) {
    (void)flags;
    lh_websocket *w = context;
    size_t written = 0;
    const int rv = lh_stream_write(w->socket, (const char *)bytes, length, &written);
    if (written > 0) return (ssize_t)written;
    if (rv < 0) end(w, lh_socket_error_text(w->socket, -rv));
    wslay_event_set_error(wslay, rv < 0 ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static int on_mask(wslay_event_context_ptr wslay, uint8_t *to, size_t length, void *context) {
    lh_websocket *w = context;
    assert(length <= MASK_BYTES && w->mask_used <= MASK_BYTES);
    if (w->mask_used + length > MASK_BYTES) {
        if (RAND_bytes(w->masks, MASK_BYTES) != 1) {
            wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
            return -1;
        }
        w->mask_used = 0;
    }
    memcpy(to, w->masks + w->mask_used, length);
    w->mask_used += length;
    return 0;
}

static void fail_for_memory(lh_websocket *w) {
    end(w, "not enough memory");
    wslay_event_set_error(w->wslay, WSLAY_ERR_NOMEM);
}

/* Ends the connection for what a message turned out to be. */
static void refuse(lh_websocket *w, uint16_t code) {
    w->is_refused = true;
    wslay_event_queue_close(w->wslay, code, NULL, 0);
    wslay_event_shutdown_read(w->wslay);
}

/* -- Messages ------------------------------------------------------------------------------------------------------ */

/* A message grows behind room for what is kept with it, so that it need not be copied. */
static int begin_message(lh_buffer *buffer) {
    const int rv = lh_buffer_reserve(buffer, sizeof(lh_websocket_message));
    if (rv == 0) lh_buffer_commit(buffer, sizeof(lh_websocket_message));
    return rv;
}

static size_t message_length(const lh_buffer *buffer) {
    return buffer->length > 0 ? buffer->length - sizeof(lh_websocket_message) : 0;
}

static void keep_message(lh_websocket *w, int opcode, lh_buffer *take_buffer) {
    assert(take_buffer->start == 0 && take_buffer->length >= sizeof(lh_websocket_message));
    if (lh_buffer_room(take_buffer) > MESSAGE_COST) lh_buffer_fit(take_buffer);
    lh_websocket_message *message = (void *)take_buffer->block; /* nothing was ever consumed from it */
    message->opcode = opcode;
    message->length = message_length(take_buffer);
    message->cost = take_buffer->capacity + MESSAGE_COST;
    *take_buffer = (lh_buffer){0};
    lh_list_init(&message->node);
    lh_list_append(&w->messages, &message->node);
    w->untaken += message->cost;
    w->has_news = true;
}

static void refuse_packed(lh_websocket *w, int error) {
    lh_buffer_reset(&w->incoming);
    switch (error) {
    case -EMSGSIZE: refuse(w, WSLAY_CODE_MESSAGE_TOO_BIG); break;
    case -ENOMEM: fail_for_memory(w); break;
    default: refuse(w, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA);
    }
}

static void spend(lh_websocket *w, size_t cost) { w->budget = cost < w->budget ? w->budget - cost : 0; }

/* Unpacked as they come, so that a message of whatever kind is the work of many turns: much may come of little, and a
 * few bytes that become nothing may take long, too. */
static void unpack(lh_websocket *w, const char *bytes, size_t length) {
    const size_t before = w->incoming.length, limit = sizeof(lh_websocket_message) + w->options.message_max;
    const int rv = lh_ws_deflate_decompress(w->deflate, bytes, length, limit, &w->incoming);
    if (rv < 0) {
        refuse_packed(w, rv);
    } else {
        spend(w, PACKED_COST * length + w->incoming.length - before);
    }
}

static void keep_unpacked(lh_websocket *w, int opcode) {
    const size_t limit = sizeof(lh_websocket_message) + w->options.message_max;
    int rv = lh_ws_deflate_decompress_end(w->deflate, limit, &w->incoming);
    const char *bytes = lh_buffer_bytes(&w->incoming) + sizeof(lh_websocket_message);
    const bool is_text = opcode == WSLAY_TEXT_FRAME;
    if (rv == 0 && is_text && !lh_json_is_utf8(bytes, message_length(&w->incoming))) rv = -EBADMSG;
    if (rv < 0) {
        refuse_packed(w, rv);
    } else {
        keep_message(w, opcode, &w->incoming);
    }
}

/* What has come of the message in earlier frames, as it was sent. */
static size_t length_before(const lh_websocket *w) {
    return w->is_packed ? w->packed_length : message_length(&w->incoming);
}

/* What may come of it in frames. What cannot be packed becomes longer by that: five bytes a block (RFC 1951, 3.2.4),
 * and blocks of less than 64 bytes are nobody's. */
static size_t frames_max(const lh_websocket *w) {
    const size_t max = w->options.message_max;
    return w->is_packed && max < SIZE_MAX / 2 ? max + max / 8 + 64 : max;
}

static void on_frame(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_start_arg *arg,
                     void *context) {
    (void)wslay;
    lh_websocket *w = context;
    w->frame_opcode = arg->opcode;
    if (arg->opcode == WSLAY_CONNECTION_CLOSE) w->close_length = 0;
    if (wslay_is_ctrl_frame(arg->opcode) || w->is_refused || w->is_closing) return;
    if (arg->opcode != WSLAY_CONTINUATION_FRAME) {
        w->is_packed = w->deflate && wslay_get_rsv1(arg->rsv);
        w->packed_length = 0;
    }
    const size_t max = frames_max(w);
    if (w->incoming.length == 0 && begin_message(&w->incoming) < 0) {
        fail_for_memory(w);
    } else if (arg->payload_length > max || length_before(w) > max - arg->payload_length) {
        refuse(w, WSLAY_CODE_MESSAGE_TOO_BIG);
    } else {
        w->packed_length += arg->payload_length;
    }
}

static void on_bytes(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_chunk_arg *arg,
                     void *context) {
    (void)wslay;
    lh_websocket *w = context;
    if (w->frame_opcode == WSLAY_CONNECTION_CLOSE) {
        const size_t room = sizeof(w->close) - w->close_length;
        const size_t length = arg->data_length < room ? arg->data_length : room;
        memcpy(w->close + w->close_length, arg->data, length);
        w->close_length += length;
    } else if (!wslay_is_ctrl_frame(w->frame_opcode) && !w->is_refused && !w->is_closing && !w->is_over) {
        if (w->is_packed) {
            unpack(w, (const char *)arg->data, arg->data_length);
        } else if (lh_buffer_append(&w->incoming, (const char *)arg->data, arg->data_length) < 0) {
            fail_for_memory(w);
        }
    }
}

/* Two things of closes are not as wslay has them: half a code breaks the rules, which it takes for none; and it does
 * not know the codes 1012 to 1014, which IANA has added to those of RFC 6455. What is queued first goes out. */
static void on_frame_end(wslay_event_context_ptr wslay, void *context) {
    lh_websocket *w = context;
    if (w->frame_opcode != WSLAY_CONNECTION_CLOSE) return;
    if (w->close_length == 1) {
        snprintf(w->error, sizeof(w->error), "%s", BROKE_RULES);
        wslay_event_queue_close(wslay, WSLAY_CODE_PROTOCOL_ERROR, NULL, 0);
    }
    if (w->close_length < 2) return;
    const int code = w->close[0] << 8 | w->close[1];
    if (code < CODE_RESTART || code > CODE_BAD_GATEWAY) return;
    w->close_code = code;
    wslay_event_queue_close(wslay, (uint16_t)code, w->close + 2, w->close_length - 2);
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *arg, void *context) {
    (void)wslay;
    lh_websocket *w = context;
    if (arg->opcode == WSLAY_PING && !w->is_closing) w->pongs++;
    if (wslay_is_ctrl_frame(arg->opcode) || w->is_closing || w->is_refused || w->is_over) return;
    if (w->is_packed) {
        keep_unpacked(w, arg->opcode);
    } else {
        keep_message(w, arg->opcode, &w->incoming);
    }
}

static const struct wslay_event_callbacks callbacks = {.recv_callback = on_receive,
                                                       .send_callback = on_send,
                                                       .genmask_callback = on_mask,
                                                       .on_frame_recv_start_callback = on_frame,
                                                       .on_frame_recv_chunk_callback = on_bytes,
                                                       .on_frame_recv_end_callback = on_frame_end,
                                                       .on_msg_recv_callback = on_message};

/* -- Driving it ---------------------------------------------------------------------------------------------------- */

/* The close code that wslay queued for what the peer did wrong. */
static const char *explain_sent(const lh_websocket *w) {
    const uint16_t sent = wslay_event_get_status_code_sent(w->wslay);
    const bool is_answer =
        wslay_event_get_close_received(w->wslay) && wslay_event_get_status_code_received(w->wslay) == sent;
    if (w->is_closing || is_answer || w->close_code) return NULL;
    switch (sent) {
    case WSLAY_CODE_PROTOCOL_ERROR: return BROKE_RULES;
    case WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA:
        return "the server sent text that is not UTF-8, or data that cannot be unpacked";
    case WSLAY_CODE_MESSAGE_TOO_BIG: return "the server sent a message that is too long";
    default: return NULL;
    }
}

/* One side has closed: the rest may not take for ever. */
static void limit_closing(lh_websocket *w) {
    if (w->timer.is_armed || w->is_over || wslay_event_want_read(w->wslay)) return;
    lh_timer_start(&w->net->loop.timers, &w->timer, lh_loop_deadline(w->options.close_timeout_ns));
}

/* A close frame without wslay, which for a header that cannot be has one without a code. */
static void send_protocol_error(lh_websocket *w) {
    unsigned char frame[8] = {0x80 | WSLAY_CONNECTION_CLOSE, 0x80 | 2};
    if (RAND_bytes(frame + 2, 4) != 1) return;
    frame[6] = frame[2] ^ (WSLAY_CODE_PROTOCOL_ERROR >> 8);
    frame[7] = frame[3] ^ (WSLAY_CODE_PROTOCOL_ERROR & 0xff);
    size_t written = 0;
    const int rv = lh_stream_write(w->socket, (const char *)frame, sizeof(frame), &written);
    (void)rv; /* it ends either way */
}

/* wslay answers what breaks the rules by itself, but for a header that cannot be. */
static void receive_frames(lh_websocket *w) {
    const int rv = wslay_event_recv(w->wslay);
    if (rv == 0 || w->is_over) return;
    if (rv == WSLAY_ERR_NOMEM) {
        end(w, "not enough memory");
        return;
    }
    if (!w->is_closing && wslay_event_get_queued_msg_length(w->wslay) == 0) send_protocol_error(w);
    end(w, BROKE_RULES);
}

/* Pongs go first, so what has been sent was pongs as long as there were any. */
static void send_frames(lh_websocket *w) {
    const size_t before = wslay_event_get_queued_msg_count(w->wslay);
    if (wslay_event_send(w->wslay) != 0) end(w, "not enough memory");
    const size_t left = wslay_event_get_queued_msg_count(w->wslay), sent = before - left;
    w->pongs = left == 0 || sent >= w->pongs ? 0 : w->pongs - sent;
    if (w->is_paused && !w->is_over && !is_glutted(w)) read_again(w);
}

/* Sends and receives as far as it goes. It may be gone afterwards. */
static void run(lh_websocket *w) {
    assert(lh_loop_is_mine(&w->net->loop) && (w->is_over || w->socket));
    const bool was_full = lh_websocket_is_full(w);
    w->budget = BUDGET;
    if (!w->is_over) receive_frames(w);
    if (!w->is_over) send_frames(w);
    if (!w->is_over && !wslay_event_want_read(w->wslay) && !wslay_event_want_write(w->wslay)) end(w, explain_sent(w));
    if (was_full && !lh_websocket_is_full(w)) w->has_news = true;
    if (w->is_over && w->socket) {
        lh_timer_stop(&w->net->loop.timers, &w->timer);
        lh_socket_close(w->socket);
        w->socket = NULL;
    }
    limit_closing(w);
    if (!w->has_news) return;
    w->has_news = false;
    w->options.on_news(w);
}

static void on_ready(lh_socket *socket) { run(socket->reader); }

static void on_writable(lh_socket *socket) {
    /* on_ready has done both already if there was something to read, and perhaps closed it. */
    if (socket->writer) run(socket->writer);
}

static const lh_socket_events events = {.on_readable = on_ready, .on_writable = on_writable};

static void on_timer(lh_timer *timer) {
    lh_websocket *w = LH_CONTAINER(timer, lh_websocket, timer);
    end(w, "the server did not answer the close frame in time");
    run(w);
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */

lh_websocket *lh_websocket_open(lh_socket *take_socket, const lh_websocket_options *options) {
    lh_websocket *w = lh_alloc(sizeof(*w));
    w->socket = take_socket;
    w->net = take_socket->net;
    w->options = *options;
    w->mask_used = MASK_BYTES;
    lh_list_init(&w->messages);
    lh_timer_init(&w->timer, on_timer);
    if (wslay_event_context_client_init(&w->wslay, &callbacks, w) != 0 || lh_socket_expect(take_socket) < 0) {
        lh_websocket_close(w);
        return NULL;
    }
    wslay_event_config_set_no_buffering(w->wslay, 1);
    if (options->is_deflating) {
        wslay_event_config_set_allowed_rsv_bits(w->wslay, WSLAY_RSV1_BIT);
        w->deflate = lh_ws_deflate_new(&options->deflate);
    }
    take_socket->events = &events;
    take_socket->reader = take_socket->writer = w;
    take_socket->is_readable = true; /* something may have been received already */
    lh_loop_again(&w->net->loop, &take_socket->watch);
    return w;
}

void lh_websocket_close(lh_websocket *w) {
    if (!w) return;
    lh_timer_stop(&w->net->loop.timers, &w->timer);
    for (lh_list *node; (node = lh_list_take_first(&w->messages));)
        lh_free(LH_CONTAINER(node, lh_websocket_message, node));
    if (w->wslay) wslay_event_context_free(w->wslay);
    lh_ws_deflate_free(w->deflate);
    lh_buffer_reset(&w->incoming);
    lh_socket_close(w->socket);
    lh_free(w);
}

lh_websocket_message *lh_websocket_take(lh_websocket *w) {
    lh_list *node = lh_list_take_first(&w->messages);
    if (!node) return NULL;
    lh_websocket_message *message = LH_CONTAINER(node, lh_websocket_message, node);
    assert(w->untaken >= message->cost);
    w->untaken -= message->cost;
    if (w->is_paused && w->socket && !is_glutted(w)) read_again(w);
    return message;
}

/* What was queued goes out now; what that brings to light is told in the next turn. */
static void send_now(lh_websocket *w) {
    assert(w->socket && w->socket->reader == w);
    send_frames(w);
    if (!w->is_over) return;
    w->socket->is_readable = true;
    lh_loop_again(&w->net->loop, &w->socket->watch);
}

int lh_websocket_send(lh_websocket *w, int opcode, const char *bytes, size_t length) {
    if (w->is_over || w->is_closing) return -EPIPE;
    const bool is_data = opcode == LH_WEBSOCKET_TEXT || opcode == LH_WEBSOCKET_BINARY;
    lh_buffer packed = {0};
    uint8_t rsv = WSLAY_RSV_NONE;
    if (w->deflate && is_data && length >= COMPRESS_MIN && w->options.deflate.out_window_bits >= COMPRESS_BITS) {
        if (lh_ws_deflate_compress(w->deflate, bytes, length, &packed) < 0) {
            lh_buffer_reset(&packed);
            return -ENOMEM;
        }
        bytes = lh_buffer_bytes(&packed);
        length = packed.length;
        rsv = WSLAY_RSV1_BIT;
    }
    const struct wslay_event_msg message = {(uint8_t)opcode, (const uint8_t *)bytes, length};
    const int rv = wslay_event_queue_msg_ex(w->wslay, &message, rsv);
    if (rv != 0 && rsv) lh_ws_deflate_start_over(w->deflate);
    lh_buffer_reset(&packed);
    if (rv == WSLAY_ERR_NOMEM) return -ENOMEM;
    if (rv != 0) return -EPIPE;
    send_now(w);
    return 0;
}

void lh_websocket_shutdown(lh_websocket *w, int code, const char *reason) {
    if (w->is_over || w->is_closing) return;
    w->is_closing = true;
    size_t length = strlen(reason);
    if (length > CONTROL_MAX - 2) {
        length = CONTROL_MAX - 2;
        while (length > 0 && (reason[length] & 0xc0) == 0x80) length--; /* not within a character */
    }
    wslay_event_queue_close(w->wslay, (uint16_t)code, (const uint8_t *)reason, length);
    lh_timer_start(&w->net->loop.timers, &w->timer, lh_loop_deadline(w->options.close_timeout_ns));
    w->is_paused = false; /* the answer may lie behind messages that nobody wants any more */
    w->pongs = 0;         /* they do not go out any more */
    w->untaken = 0;
    lh_buffer_reset(&w->incoming);
    for (lh_list *node; (node = lh_list_take_first(&w->messages));)
        lh_free(LH_CONTAINER(node, lh_websocket_message, node));
    send_now(w);
    w->socket->is_readable = true;
    lh_loop_again(&w->net->loop, &w->socket->watch);
}

/* -- Asking -------------------------------------------------------------------------------------------------------- */

void *lh_websocket_owner(const lh_websocket *w) { return w->options.owner; }

bool lh_websocket_is_full(const lh_websocket *w) {
    if (w->is_over) return false;
    const size_t count = wslay_event_get_queued_msg_count(w->wslay);
    return wslay_event_get_queued_msg_length(w->wslay) + count * MESSAGE_COST > LH_WEBSOCKET_UNSENT_MAX;
}

bool lh_websocket_is_closing(const lh_websocket *w) { return w->is_closing; }
bool lh_websocket_is_over(const lh_websocket *w) { return w->is_over; }

int lh_websocket_close_code(const lh_websocket *w) {
    if (w->close_code) return w->close_code;
    if (!wslay_event_get_close_received(w->wslay)) return LH_WEBSOCKET_ABNORMAL;
    return wslay_event_get_status_code_received(w->wslay);
}

const char *lh_websocket_error(const lh_websocket *w) { return w->error[0] ? w->error : NULL; }
