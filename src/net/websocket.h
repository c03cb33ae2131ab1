/* A WebSocket client after its handshake (RFC 6455): messages over a connected socket, by libwslay.
 *
 * Fragments are put together, pings answered, closes acknowledged, text checked for UTF-8 and the rules of masking and
 * reserved bits enforced by wslay; what breaks them ends the connection with the close code that RFC 6455 names. While
 * messages wait to be taken, beyond a bound, nothing is read.
 *
 * Owner: its opener's until lh_websocket_close.
 * Thread: the loop's own.
 * Errors: in words, from lh_websocket_error. */
#pragma once
#include "data/ws_deflate.h"
#include "net/socket.h"

typedef struct lh_websocket lh_websocket;

enum { /* opcodes, RFC 6455, 11.8 */
       LH_WEBSOCKET_TEXT = 1,
       LH_WEBSOCKET_BINARY = 2,
       LH_WEBSOCKET_CLOSE = 8,
       LH_WEBSOCKET_PING = 9,
       LH_WEBSOCKET_PONG = 10
};

enum { LH_WEBSOCKET_NORMAL = 1000, LH_WEBSOCKET_NO_STATUS = 1005, LH_WEBSOCKET_ABNORMAL = 1006 };

/* Bytes that wait to be sent, above which lh_websocket_is_full. */
enum { LH_WEBSOCKET_UNSENT_MAX = 1024 * 1024 };

typedef struct lh_websocket_options {
    uint64_t message_max;          /* bytes of a received one, decompressed; longer ones end the connection with 1009 */
    bool is_deflating;             /* permessage-deflate was agreed on ... */
    lh_ws_deflate_options deflate; /* ... like this */
    lh_ns close_timeout_ns;        /* how long the peer may take to answer our close frame */
    void (*on_news)(lh_websocket *websocket); /* a message has come, there is room to send again, or it is over */
    void *owner;
} lh_websocket_options;

/* A received message; freed with lh_free. Its bytes may be followed by unused room. */
typedef struct lh_websocket_message {
    lh_list node; /* in the websocket's queue */
    int opcode;   /* LH_WEBSOCKET_TEXT, _BINARY */
    size_t length;
    size_t cost; /* the memory that it takes, about */
    char bytes[];
} lh_websocket_message;

/* Over a connected socket, with or without TLS. NULL: out of memory; the socket is closed then, too. */
lh_websocket *lh_websocket_open(lh_socket *take_socket, const lh_websocket_options *options);

void *lh_websocket_owner(const lh_websocket *websocket);

/* The oldest message that has come, NULL = none. */
lh_websocket_message *lh_websocket_take(lh_websocket *websocket);

/* Queues a message or a ping (at most 125 bytes). 0, -EPIPE: it is over, or closing; -ENOMEM. */
int lh_websocket_send(lh_websocket *websocket, int opcode, const char *bytes, size_t length);

/* There is so much to be sent that more should wait. */
bool lh_websocket_is_full(const lh_websocket *websocket);

/* Sends a close frame; it is over when the peer has answered, or its time is up. */
void lh_websocket_shutdown(lh_websocket *websocket, int code, const char *reason);

/* We have sent a close frame, or are about to. */
bool lh_websocket_is_closing(const lh_websocket *websocket);

/* Nothing more will come, but for messages not yet taken. */
bool lh_websocket_is_over(const lh_websocket *websocket);

/* The peer's close code: LH_WEBSOCKET_NO_STATUS: it gave none; LH_WEBSOCKET_ABNORMAL: it sent no close frame. */
int lh_websocket_close_code(const lh_websocket *websocket);

/* Why it ended, NULL = by an orderly close. */
const char *lh_websocket_error(const lh_websocket *websocket);

/* Ends it at once and frees it. Accepts NULL. */
void lh_websocket_close(lh_websocket *websocket);
