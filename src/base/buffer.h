/* A byte queue: bytes are appended at the end and consumed from the front.
 *
 * The memory is one block that exists only while there are bytes in it (or room was reserved): an idle connection holds
 * none. Consuming moves an offset; the bytes slide to the front only when room is needed, so that consuming line by
 * line is linear.
 *
 * Owner: the struct is embedded; its block is freed by lh_buffer_relax (when empty) and lh_buffer_reset.
 * Thread: one.
 * Errors: -ENOMEM from what grows; the content is then unchanged. */
#pragma once
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lh_buffer {
    char *block;     /* NULL = none */
    size_t start;    /* offset of the first byte */
    size_t length;   /* bytes held */
    size_t capacity; /* of the block */
} lh_buffer;

/* The first byte held; valid until the next call that changes the buffer. */
static inline const char *lh_buffer_bytes(const lh_buffer *buffer) { return buffer->block + buffer->start; }

/* Copies `length` bytes to the end. 0 or -ENOMEM. */
int lh_buffer_append(lh_buffer *buffer, const char *bytes, size_t length) __attribute__((warn_unused_result));

/* Makes room for `length` more bytes at lh_buffer_end(). 0 or -ENOMEM. */
int lh_buffer_reserve(lh_buffer *buffer, size_t length) __attribute__((warn_unused_result));

/* Where the next byte goes, after lh_buffer_reserve. */
static inline char *lh_buffer_end(lh_buffer *buffer) { return buffer->block + buffer->start + buffer->length; }

/* Free bytes behind lh_buffer_end(). */
static inline size_t lh_buffer_room(const lh_buffer *buffer) {
    return buffer->capacity - buffer->start - buffer->length;
}

/* Says that `length` bytes were written at lh_buffer_end(). */
static inline void lh_buffer_commit(lh_buffer *buffer, size_t length) {
    assert(length <= lh_buffer_room(buffer));
    buffer->length += length;
}

/* Drops `length` bytes (at most what is held) from the front. Frees nothing: earlier pointers into the buffer stay
 * readable until the next append, reserve, relax or reset. */
void lh_buffer_consume(lh_buffer *buffer, size_t length);

/* Frees the block if no byte is held. */
void lh_buffer_relax(lh_buffer *buffer);

/* Gives back the room behind the bytes, as far as the allocator does. The bytes may move. */
void lh_buffer_fit(lh_buffer *buffer);

/* Drops everything. */
void lh_buffer_reset(lh_buffer *buffer);

/* Appends as printf does. 0 or -ENOMEM. */
int lh_buffer_print(lh_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
