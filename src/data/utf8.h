/* UTF-8 (RFC 3629).
 *
 * Owner: nothing. Thread: any. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* The character at `s`, of which `left` > 0 bytes are there: *code and its length, or 0 for what is not UTF-8. */
static inline size_t lh_utf8_decode(const unsigned char *s, size_t left, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80) {
        *code = s[0];
        return 1;
    }
    const size_t length = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (length == 0 || left < length) return 0;
    uint32_t bits = s[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        bits = bits << 6 | (s[i] & 0x3f);
    }
    if (bits < least[length] || bits > 0x10ffff || (bits >= 0xd800 && bits <= 0xdfff)) return 0;
    *code = bits;
    return length;
}
