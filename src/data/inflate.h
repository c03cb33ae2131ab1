/* Decompression as a stream, and compression in one piece, on zlib.
 *
 * What it is fed may be gzip (RFC 1952, also several members in a row, with zeros behind), zlib (RFC 1950) or raw
 * deflate (RFC 1951): the first two bytes tell.
 *
 * Owner: lh_inflate_new, lh_inflate_free.
 * Thread: one at a time.
 * Errors: an lh_inflate_result; after LH_INFLATE_DATA every call gives it again. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

typedef struct lh_inflate lh_inflate;

typedef enum lh_inflate_result {
    LH_INFLATE_OK,
    LH_INFLATE_DATA,  /* this is no compressed data, or it is damaged */
    LH_INFLATE_LIMIT, /* it decompresses to more than `limit` bytes */
    LH_INFLATE_MEMORY
} lh_inflate_result;

/* NULL = no memory. */
lh_inflate *lh_inflate_new(void);
void lh_inflate_free(lh_inflate *inflate);

/* Appends to `out` what these bytes decompress to, at most `limit` bytes; with LH_INFLATE_LIMIT one more. All input is
 * taken. */
lh_inflate_result lh_inflate_feed(lh_inflate *inflate, const char *bytes, size_t length, size_t limit, lh_buffer *out)
    __attribute__((warn_unused_result));

/* The stream has come to its end (of gzip: of a member). */
bool lh_inflate_is_complete(const lh_inflate *inflate);

/* Appends one gzip member; `level` 0 (stored) to 9 (smallest). 0 or -ENOMEM. */
int lh_gzip(const char *bytes, size_t length, int level, lh_buffer *out) __attribute__((warn_unused_result));
