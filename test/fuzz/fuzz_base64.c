/* Base64: bytes come back; a text is refused exactly where a reader by the letter refuses it, and decodes to the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/base64.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The definition, slowly. */
static ssize_t decode_slowly(const char *text, size_t length, char *to) {
    unsigned bits = 0;
    int count = 0, padding = 0;
    ssize_t done = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] && strchr(" \t\r\n\v\f", text[i])) continue;
        if (text[i] == '=' && count >= 2 && count + padding < 4) {
            padding++;
            continue;
        }
        const char *letter = text[i] ? strchr(letters, text[i]) : NULL;
        if (!letter || padding) return -1 - (ssize_t)i;
        bits = bits << 6 | (unsigned)(letter - letters);
        if (++count < 4) continue;
        for (int shift = 16; shift >= 0; shift -= 8) to[done++] = (char)(bits >> shift);
        bits = 0;
        count = 0;
    }
    if (count == 1) return -1 - (ssize_t)length;
    if (count >= 2) to[done++] = (char)(bits >> (count == 2 ? 4 : 10));
    if (count == 3) to[done++] = (char)(bits >> 2);
    return done;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    const char *bytes = (const char *)data;
    const size_t length = lh_base64_encoded_length(size);
    /* Exactly as large as promised, so that the sanitizer sees a byte too many. */
    char *text = malloc(length ? length : 1);
    char *back = malloc(lh_base64_decoded_room(length));
    assert(lh_base64_encode(bytes, size, text) == length);
    assert(lh_base64_decode(text, length, back) == (ssize_t)size && memcmp(back, bytes, size) == 0);
    free(text);
    free(back);

    char *fast = malloc(lh_base64_decoded_room(size)), *slow = malloc(size + 4);
    const ssize_t got = lh_base64_decode(bytes, size, fast), expected = decode_slowly(bytes, size, slow);
    assert(got == expected);
    if (got > 0) assert(memcmp(fast, slow, (size_t)got) == 0);
    free(fast);
    free(slow);
    return 0;
}
