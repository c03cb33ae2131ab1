/* Base64 (RFC 4648, section 4). No kept library of Debian's does it with vectors, and a table alone is not fast enough;
 * so both are here: AVX2 where the processor has it, else a table.
 *
 * Owner: nothing. Thread: any. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

/* Bytes that encoding `length` bytes gives, with padding. */
static inline size_t lh_base64_encoded_length(size_t length) { return (length + 2) / 3 * 4; }

/* Bytes of room that decoding `length` characters needs; more than it gives. */
static inline size_t lh_base64_decoded_room(size_t length) { return length / 4 * 3 + 40; }

/* `to` has room for lh_base64_encoded_length; returns that. No NUL. */
size_t lh_base64_encode(const char *from, size_t length, char *to);

/* White space is skipped, padding may be missing. The length of the result, or -1 - offset of a character that does not
 * belong there (the text's length: it ends within a character). */
ssize_t lh_base64_decode(const char *from, size_t length, char *to);
