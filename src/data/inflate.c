#include "data/inflate.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"

enum { FIRST_ROOM = 16 * 1024, MAX_ROOM = 1024 * 1024, HEADER_BYTES = 2, GZIP_WINDOW = 15 + 16 };

typedef enum lh_inflate_format { UNKNOWN, GZIP, ZLIB, RAW } lh_inflate_format;

struct lh_inflate {
    z_stream stream;
    lh_inflate_format format;
    bool is_open; /* zlib holds memory: about 40 KiB, given back at the end of the data */
    bool is_broken, is_at_end;
    unsigned char header[HEADER_BYTES]; /* while the format is unknown */
    unsigned header_length;
};

lh_inflate *lh_inflate_new(void) {
    lh_inflate *self = lh_try_alloc(sizeof(*self));
    if (self) *self = (lh_inflate){.format = UNKNOWN};
    return self;
}

void lh_inflate_free(lh_inflate *self) {
    if (self && self->is_open) inflateEnd(&self->stream);
    lh_free(self);
}

bool lh_inflate_is_complete(const lh_inflate *self) { return self->is_at_end; }

static lh_inflate_format format_of(const unsigned char header[HEADER_BYTES]) {
    if (header[0] == 0x1f && header[1] == 0x8b) return GZIP;
    const bool is_deflate = (header[0] & 15) == Z_DEFLATED && header[0] >> 4 <= 7;
    return is_deflate && (header[0] << 8 | header[1]) % 31 == 0 ? ZLIB : RAW;
}

static bool start(lh_inflate *self) {
    assert(!self->is_open && self->format != UNKNOWN);
    const int window = self->format == GZIP ? GZIP_WINDOW : self->format == ZLIB ? MAX_WBITS : -MAX_WBITS;
    self->is_at_end = false;
    self->is_open = inflateInit2(&self->stream, window) == Z_OK;
    return self->is_open;
}

static void end(lh_inflate *self) {
    inflateEnd(&self->stream);
    self->is_open = false;
    self->is_at_end = true;
}

/* Room for the next step: what is left of the limit, and one byte that would be too many. */
static size_t reserve(lh_buffer *out, size_t produced, size_t limit) {
    assert(produced <= limit);
    size_t room = produced < FIRST_ROOM ? FIRST_ROOM : produced < MAX_ROOM ? produced : MAX_ROOM;
    if (limit - produced < room) room = limit - produced + 1;
    return lh_buffer_reserve(out, room) == 0 ? room : 0;
}

/* Behind a gzip member another one may come, or zeros (tar pads with them). */
static lh_inflate_result go_on(lh_inflate *self) {
    z_stream *z = &self->stream;
    if (z->avail_in > 0 && self->format != GZIP) return LH_INFLATE_DATA;
    while (z->avail_in > 0 && *z->next_in == 0) z->next_in++, z->avail_in--;
    return z->avail_in == 0 || start(self) ? LH_INFLATE_OK : LH_INFLATE_MEMORY;
}

/* Feeds zlib `length` bytes, at most INT_MAX. */
static lh_inflate_result feed(lh_inflate *self, const unsigned char *bytes, size_t length, size_t limit,
                              size_t *produced, lh_buffer *out) {
    assert(length <= INT_MAX && (self->is_open || self->is_at_end));
    z_stream *z = &self->stream;
    z->next_in = (unsigned char *)bytes;
    z->avail_in = (unsigned)length;
    for (;;) {
        if (self->is_at_end) {
            const lh_inflate_result rv = go_on(self);
            if (rv != LH_INFLATE_OK || self->is_at_end) return rv;
        }
        const size_t room = reserve(out, *produced, limit);
        if (room == 0) return LH_INFLATE_MEMORY;
        z->next_out = (unsigned char *)lh_buffer_end(out);
        z->avail_out = (unsigned)room;
        const int rv = inflate(z, Z_NO_FLUSH);
        const size_t made = room - z->avail_out;
        lh_buffer_commit(out, made);
        *produced += made;
        if (*produced > limit) return LH_INFLATE_LIMIT;
        if (rv == Z_MEM_ERROR) return LH_INFLATE_MEMORY;
        if (rv == Z_STREAM_END) {
            end(self);
        } else if (rv != Z_OK && rv != Z_BUF_ERROR) {
            return LH_INFLATE_DATA; /* also a preset dictionary, which nobody can give */
        } else if (z->avail_in == 0 && z->avail_out > 0) {
            return LH_INFLATE_OK;
        }
    }
}

static lh_inflate_result feed_all(lh_inflate *self, const unsigned char *bytes, size_t length, size_t limit,
                                  lh_buffer *out) {
    size_t produced = 0;
    while (self->format == UNKNOWN) {
        if (length == 0) return LH_INFLATE_OK;
        assert(self->header_length < HEADER_BYTES);
        self->header[self->header_length++] = *bytes++;
        length--;
        if (self->header_length < HEADER_BYTES) continue;
        self->format = format_of(self->header);
        if (!start(self)) return LH_INFLATE_MEMORY;
        const lh_inflate_result rv = feed(self, self->header, HEADER_BYTES, limit, &produced, out);
        if (rv != LH_INFLATE_OK) return rv;
    }
    do {
        const size_t part = length < INT_MAX ? length : INT_MAX;
        const lh_inflate_result rv = feed(self, bytes, part, limit, &produced, out);
        if (rv != LH_INFLATE_OK) return rv;
        bytes += part;
        length -= part;
    } while (length > 0);
    return LH_INFLATE_OK;
}

lh_inflate_result lh_inflate_feed(lh_inflate *self, const char *bytes, size_t length, size_t limit, lh_buffer *out) {
    if (self->is_broken) return LH_INFLATE_DATA;
    const lh_inflate_result rv = feed_all(self, (const unsigned char *)bytes, length, limit, out);
    self->is_broken = rv != LH_INFLATE_OK;
    return rv;
}

/* -- Compression --------------------------------------------------------------------------------------------------- */

int lh_gzip(const char *bytes, size_t length, int level, lh_buffer *out) {
    assert(level >= 0 && level <= 9);
    z_stream z = {.zalloc = NULL};
    if (deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) return -ENOMEM;
    int rv = lh_buffer_reserve(out, deflateBound(&z, length));
    z.next_in = (unsigned char *)bytes;
    while (rv == 0) {
        const size_t room = lh_buffer_room(out) < INT_MAX ? lh_buffer_room(out) : INT_MAX;
        assert(room > 0);
        const size_t part = length < INT_MAX ? length : INT_MAX;
        z.next_out = (unsigned char *)lh_buffer_end(out);
        z.avail_out = (unsigned)room;
        z.avail_in = (unsigned)part;
        const int status = deflate(&z, part == length ? Z_FINISH : Z_NO_FLUSH);
        length -= part - z.avail_in;
        lh_buffer_commit(out, room - z.avail_out);
        if (status == Z_STREAM_END) break;
        if (lh_buffer_room(out) == 0) rv = lh_buffer_reserve(out, MAX_ROOM);
    }
    deflateEnd(&z);
    return rv;
}
