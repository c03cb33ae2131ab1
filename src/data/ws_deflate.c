#include "data/ws_deflate.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"

enum { PIECE = 16 * 1024, MEMORY_LEVEL = 8 };

/* What a sync flush ends with: an empty block (RFC 7692, 7.2.1). */
static const char flush_end[4] = {0, 0, (char)0xff, (char)0xff};

struct lh_ws_deflate {
    lh_ws_deflate_options options;
    z_stream out, in;
    bool has_out, has_in; /* the streams are open */
};

lh_ws_deflate *lh_ws_deflate_new(const lh_ws_deflate_options *options) {
    lh_ws_deflate *deflate = lh_alloc(sizeof(*deflate));
    deflate->options = *options;
    return deflate;
}

static void close_out(lh_ws_deflate *d) {
    if (d->has_out) deflateEnd(&d->out);
    d->has_out = false;
}

static void close_in(lh_ws_deflate *d) {
    if (d->has_in) inflateEnd(&d->in);
    d->has_in = false;
}

void lh_ws_deflate_free(lh_ws_deflate *d) {
    if (!d) return;
    close_out(d);
    close_in(d);
    lh_free(d);
}

static bool open_out(lh_ws_deflate *d) {
    if (d->has_out) return true;
    assert(d->options.out_window_bits >= 9 && d->options.out_window_bits <= 15);
    d->out = (z_stream){0};
    d->has_out = deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -d->options.out_window_bits, MEMORY_LEVEL,
                              Z_DEFAULT_STRATEGY) == Z_OK;
    return d->has_out;
}

static bool open_in(lh_ws_deflate *d) {
    if (d->has_in) return true;
    d->in = (z_stream){0};
    d->has_in = inflateInit2(&d->in, -MAX_WBITS) == Z_OK;
    return d->has_in;
}

/* zlib counts in 32 bits. */
static uInt take_part(const char **bytes, size_t *length, z_stream *stream) {
    const uInt part = *length < INT_MAX ? (uInt)*length : INT_MAX;
    stream->next_in = (Bytef *)(uintptr_t)*bytes; /* zlib does not write there */
    stream->avail_in = part;
    *bytes += part;
    *length -= part;
    return part;
}

static int deflate_piece(z_stream *stream, lh_buffer *out, int flush) {
    if (lh_buffer_reserve(out, PIECE) < 0) return -ENOMEM;
    stream->next_out = (Bytef *)lh_buffer_end(out);
    stream->avail_out = PIECE;
    deflate(stream, flush);
    lh_buffer_commit(out, PIECE - stream->avail_out);
    return 0;
}

int lh_ws_deflate_compress(lh_ws_deflate *d, const char *bytes, size_t length, lh_buffer *out) {
    if (length == 0) return lh_buffer_append(out, "", 1); /* RFC 7692, 7.2.3.6; zlib does not flush twice in a row */
    if (!open_out(d)) return -ENOMEM;
    do {
        take_part(&bytes, &length, &d->out);
        const int flush = length == 0 ? Z_SYNC_FLUSH : Z_NO_FLUSH;
        do {
            const int rv = deflate_piece(&d->out, out, flush);
            if (rv < 0) {
                close_out(d); /* it has taken in what nobody will get: the next message refers to none before it */
                return rv;
            }
        } while (d->out.avail_out == 0);
    } while (length > 0);
    assert(d->out.avail_in == 0 && out->length >= sizeof(flush_end));
    assert(memcmp(lh_buffer_end(out) - sizeof(flush_end), flush_end, sizeof(flush_end)) == 0);
    out->length -= sizeof(flush_end);
    if (d->options.is_out_independent) close_out(d);
    return 0;
}

void lh_ws_deflate_start_over(lh_ws_deflate *d) { close_out(d); }

/* All of what next_in has, as far as the limit goes. */
static int inflate_part(z_stream *stream, size_t limit, lh_buffer *out) {
    do {
        if (lh_buffer_reserve(out, PIECE) < 0) return -ENOMEM;
        stream->next_out = (Bytef *)lh_buffer_end(out);
        stream->avail_out = PIECE;
        const int rv = inflate(stream, Z_SYNC_FLUSH);
        lh_buffer_commit(out, PIECE - stream->avail_out);
        if (out->length > limit) return -EMSGSIZE;
        if (rv == Z_STREAM_END) { /* a final block: what follows begins anew (RFC 7692, 7.2.3.4) */
            if (inflateReset(stream) != Z_OK) return -EBADMSG;
        } else if (rv == Z_MEM_ERROR) {
            return -ENOMEM;
        } else if (rv != Z_OK && rv != Z_BUF_ERROR) {
            return -EBADMSG;
        }
    } while (stream->avail_out == 0 || stream->avail_in > 0);
    return 0;
}

int lh_ws_deflate_decompress(lh_ws_deflate *d, const char *bytes, size_t length, size_t limit, lh_buffer *out) {
    assert(out->length <= limit);
    if (!open_in(d)) return -ENOMEM;
    int rv = 0;
    while (length > 0 && rv == 0) {
        take_part(&bytes, &length, &d->in);
        rv = inflate_part(&d->in, limit, out);
    }
    assert(rv < 0 || (out->length <= limit && d->in.avail_in == 0));
    if (rv < 0) close_in(d);
    return rv;
}

int lh_ws_deflate_decompress_end(lh_ws_deflate *d, size_t limit, lh_buffer *out) {
    const int rv = lh_ws_deflate_decompress(d, flush_end, sizeof(flush_end), limit, out);
    if (d->options.is_in_independent) close_in(d);
    return rv;
}
