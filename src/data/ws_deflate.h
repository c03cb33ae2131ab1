/* Compression of the messages of a WebSocket: permessage-deflate (RFC 7692). Each message is raw DEFLATE data without
 * the four bytes that a flush leaves at its end; unless agreed otherwise, a message may refer to those before it.
 *
 * Owner: lh_ws_deflate_new, lh_ws_deflate_free. zlib's memory (up to 300 KB) is got with the first message in
 * a direction, and given back after each one where messages do not refer to one another. Thread: one at a time. Errors:
 * negative errno. */
#pragma once
#include <stdbool.h>

#include "base/buffer.h"

typedef struct lh_ws_deflate lh_ws_deflate;

typedef struct lh_ws_deflate_options {
    int out_window_bits;     /* 9..15: how far our messages may refer back */
    bool is_out_independent; /* each message of ours stands for itself */
    bool is_in_independent;  /* each of the peer's */
} lh_ws_deflate_options;

lh_ws_deflate *lh_ws_deflate_new(const lh_ws_deflate_options *options);

/* Accepts NULL. */
void lh_ws_deflate_free(lh_ws_deflate *deflate);

/* Appends the compressed message to `out`. 0 or -ENOMEM. */
int lh_ws_deflate_compress(lh_ws_deflate *deflate, const char *bytes, size_t length, lh_buffer *out);

/* The last compressed message will not be sent: the next refers to none before it. */
void lh_ws_deflate_start_over(lh_ws_deflate *deflate);

/* Appends what the next bytes of a message become to `out`, which may then hold `limit` bytes. 0; -EBADMSG: it
 * is no such data; -EMSGSIZE: `out` would have more; -ENOMEM. After an error no further message can be understood. */
int lh_ws_deflate_decompress(lh_ws_deflate *deflate, const char *bytes, size_t length, size_t limit, lh_buffer *out);

/* The same for the end of the message, which its bytes do not say. */
int lh_ws_deflate_decompress_end(lh_ws_deflate *deflate, size_t limit, lh_buffer *out);
