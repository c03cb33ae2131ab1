/* Growth doubles, so appending n bytes in pieces costs O(n). Sliding to the front happens only when at least half of
 * the block is consumed space; otherwise the block grows. Either way a byte is moved O(1) times on average. */
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { SMALLEST = 256 };

/* One that looks into somebody else's block has a capacity of 0 and may only be consumed (net/stream.c). */
static __attribute__((unused)) bool is_own(const lh_buffer *buffer) { return !buffer->block == !buffer->capacity; }

static __attribute__((unused)) bool is_sound(const lh_buffer *buffer) {
    return buffer->capacity == 0 || buffer->start + buffer->length <= buffer->capacity;
}

int lh_buffer_reserve(lh_buffer *buffer, size_t length) {
    assert(is_own(buffer) && is_sound(buffer));
    if (lh_buffer_room(buffer) >= length) return 0;
    if (buffer->capacity - buffer->length >= length && buffer->start >= buffer->capacity / 2) {
        memmove(buffer->block, buffer->block + buffer->start, buffer->length);
        buffer->start = 0;
        return 0;
    }
    if (length > SIZE_MAX / 4 - buffer->length) return -ENOMEM;
    size_t capacity = buffer->capacity < SMALLEST ? SMALLEST : buffer->capacity;
    while (capacity < buffer->length + length) capacity *= 2;
    if (buffer->start > 0 && buffer->length > 0) memmove(buffer->block, lh_buffer_bytes(buffer), buffer->length);
    buffer->start = 0;
    char *block = lh_try_realloc(buffer->block, capacity); /* large ones are moved by the kernel, page by page */
    if (!block) return -ENOMEM;
    buffer->block = block;
    buffer->capacity = capacity;
    assert(lh_buffer_room(buffer) >= length);
    return 0;
}

int lh_buffer_append(lh_buffer *buffer, const char *bytes, size_t length) {
    if (length == 0) return 0;
    const int rv = lh_buffer_reserve(buffer, length);
    if (rv < 0) return rv;
    memcpy(lh_buffer_end(buffer), bytes, length);
    buffer->length += length;
    return 0;
}

void lh_buffer_consume(lh_buffer *buffer, size_t length) {
    assert(is_sound(buffer));
    if (length > buffer->length) length = buffer->length;
    buffer->length -= length;
    buffer->start = buffer->length == 0 ? 0 : buffer->start + length;
}

void lh_buffer_relax(lh_buffer *buffer) {
    if (buffer->length == 0 && buffer->block) lh_buffer_reset(buffer);
}

void lh_buffer_fit(lh_buffer *buffer) {
    assert(is_own(buffer) && is_sound(buffer));
    const size_t used = buffer->start + buffer->length;
    if (used == 0 || used == buffer->capacity) return;
    char *block = lh_try_realloc(buffer->block, used);
    if (!block) return;
    buffer->block = block;
    buffer->capacity = used;
}

void lh_buffer_reset(lh_buffer *buffer) {
    lh_free(buffer->block);
    *buffer = (lh_buffer){0};
}

int lh_buffer_print(lh_buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    int rv = length < 0 ? -EINVAL : lh_buffer_reserve(buffer, (size_t)length + 1);
    if (rv == 0) {
        vsnprintf(lh_buffer_end(buffer), (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    }
    va_end(again);
    return rv;
}
