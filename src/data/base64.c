/* Three bytes are four characters. With AVX2 24 bytes become 32 characters at a time.
 *
 * Encoding spreads each three bytes over four lanes, moves six bits into each by two multiplications, and adds to each
 * value the distance to its letter, looked up by which of five ranges it is in. Decoding checks 32 characters by two
 * look-ups of their nibbles that share a bit where a character is none, adds the distance back, and joins the bits by
 * two multiply-and-adds. (W. Mula and D. Lemire, "Faster Base64 Encoding and Decoding using AVX2 Instructions", 2018.)
 */
#include "data/base64.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* -- With vectors: they do what they can and leave the rest; *from and *to move on -------------------------------- */

#if defined(__x86_64__)

enum { ENCODE_READ = 28, DECODE_READ = 45 }; /* bytes that must be left for a step: both touch more than they take */

#define BOTH_LANES(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

__attribute__((target("avx2"))) static void encode_vectors(const char **from, const char *end, char **to) {
    const __m256i spread = BOTH_LANES(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    const __m256i distances = BOTH_LANES('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                         '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
    while (end - *from >= ENCODE_READ) {
        const __m128i low = _mm_loadu_si128((const void *)*from), high = _mm_loadu_si128((const void *)(*from + 12));
        const __m256i in = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread);
        const __m256i first = _mm256_and_si256(in, _mm256_set1_epi32(0x0fc0fc00));
        const __m256i second = _mm256_and_si256(in, _mm256_set1_epi32(0x003f03f0));
        const __m256i values = _mm256_or_si256(_mm256_mulhi_epu16(first, _mm256_set1_epi32(0x04000040)),
                                               _mm256_mullo_epi16(second, _mm256_set1_epi32(0x01000010)));
        /* 0 for a..z, 1..10 for digits, 11 and 12 for + and /, 13 for A..Z */
        const __m256i capitals = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), values);
        const __m256i range = _mm256_or_si256(_mm256_subs_epu8(values, _mm256_set1_epi8(51)),
                                              _mm256_and_si256(capitals, _mm256_set1_epi8(13)));
        _mm256_storeu_si256((void *)*to, _mm256_add_epi8(values, _mm256_shuffle_epi8(distances, range)));
        *from += 24;
        *to += 32;
    }
}

__attribute__((target("avx2"))) static void decode_vectors(const char **from, const char *end, char **to) {
    const __m256i wrong_low =
        BOTH_LANES(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
    const __m256i wrong_high =
        BOTH_LANES(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
    const __m256i distances = BOTH_LANES(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i order = BOTH_LANES(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m256i slash =
        _mm256_set1_epi8('/'); /* 0x2f: also keeps a byte's low nibble and a bit that the look-up ignores */
    while (end - *from >= DECODE_READ) {
        const __m256i in = _mm256_loadu_si256((const void *)*from);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi32(in, 4), slash);
        const __m256i low = _mm256_and_si256(in, slash);
        if (!_mm256_testz_si256(_mm256_shuffle_epi8(wrong_low, low), _mm256_shuffle_epi8(wrong_high, high))) return;
        const __m256i range = _mm256_add_epi8(_mm256_cmpeq_epi8(in, slash), high);
        const __m256i values = _mm256_add_epi8(in, _mm256_shuffle_epi8(distances, range));
        const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
        const __m256i triples = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
        const __m256i bytes = _mm256_shuffle_epi8(triples, order);
        const __m256i joined = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
        _mm256_storeu_si256((void *)*to, joined);
        *from += 32;
        *to += 24;
    }
}

static bool has_vectors(void) { return __builtin_cpu_supports("avx2"); }

#else

static bool has_vectors(void) { return false; }
static void encode_vectors(const char **from, const char *end, char **to) { (void)from, (void)end, (void)to; }
static void decode_vectors(const char **from, const char *end, char **to) { (void)from, (void)end, (void)to; }

#endif

/* -- Encoding ------------------------------------------------------------------------------------------------------ */

size_t lh_base64_encode(const char *from, size_t length, char *to) {
    const char *const end = from + length, *const start = to;
    if (has_vectors()) encode_vectors(&from, end, &to);
    const unsigned char *in = (const unsigned char *)from;
    size_t left = (size_t)(end - from);
    for (; left >= 3; left -= 3, in += 3) {
        const uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *to++ = letters[bits >> 18];
        *to++ = letters[bits >> 12 & 63];
        *to++ = letters[bits >> 6 & 63];
        *to++ = letters[bits & 63];
    }
    if (left > 0) {
        const uint32_t bits = (uint32_t)in[0] << 16 | (left > 1 ? (uint32_t)in[1] << 8 : 0);
        *to++ = letters[bits >> 18];
        *to++ = letters[bits >> 12 & 63];
        *to++ = left > 1 ? letters[bits >> 6 & 63] : '=';
        *to++ = '=';
    }
    assert((size_t)(to - start) == lh_base64_encoded_length(length));
    return (size_t)(to - start);
}

/* -- Decoding ------------------------------------------------------------------------------------------------------ */

enum { SPACE = 64, PADDING = 65, WRONG = 66 };

/* ASCII; what is beyond is wrong. */
static const unsigned char letter_values[128] = {
    /* clang-format off */
    66, 66, 66, 66, 66, 66, 66, 66, 66, 64, 64, 64, 64, 64, 66, 66,
    66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
    64, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66, 62, 66, 66, 66, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 66, 66, 66, 65, 66, 66,
    66, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 66, 66, 66, 66, 66,
    66, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 66, 66, 66, 66, 66,
    /* clang-format on */
};

static unsigned value_of(char c) { return (unsigned char)c < 128 ? letter_values[(unsigned char)c] : WRONG; }

/* Whole groups of four letters, until something else comes. */
static void decode_groups(const char **from, const char *end, char **to) {
    for (; end - *from >= 4; *from += 4, *to += 3) {
        const unsigned a = value_of((*from)[0]), b = value_of((*from)[1]), c = value_of((*from)[2]),
                       d = value_of((*from)[3]);
        if ((a | b | c | d) >= SPACE) return;
        const uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        (*to)[0] = (char)(bits >> 16);
        (*to)[1] = (char)(bits >> 8);
        (*to)[2] = (char)bits;
    }
}

/* What is left of the text by the letter: white space, padding, the last group; `count` letters are in `bits`. */
typedef struct group {
    uint32_t bits;
    int count, padding;
} group;

static bool take(group *g, unsigned value) {
    if (value == SPACE) return true;
    if (value == WRONG) return false;
    if (value == PADDING) return g->count >= 2 && g->count + ++g->padding <= 4;
    g->bits = g->bits << 6 | value;
    g->count++;
    return g->padding == 0;
}

static char *finish(const group *g, char *to) {
    assert(g->count != 1 && g->count < 4);
    if (g->count > 1) *to++ = (char)(g->bits >> (g->count == 2 ? 4 : 10));
    if (g->count == 3) *to++ = (char)(g->bits >> 2);
    return to;
}

ssize_t lh_base64_decode(const char *from, size_t length, char *to) {
    const char *const begin = from, *const end = from + length, *const start = to;
    const bool vectors = has_vectors();
    group g = {.bits = 0};
    while (from < end) {
        if (g.count == 0) {
            if (vectors) decode_vectors(&from, end, &to);
            decode_groups(&from, end, &to);
            if (from == end) break;
        }
        if (!take(&g, value_of(*from))) return -1 - (ssize_t)(from - begin);
        from++;
        if (g.count < 4) continue;
        *to++ = (char)(g.bits >> 16);
        *to++ = (char)(g.bits >> 8);
        *to++ = (char)g.bits;
        g = (group){.bits = 0};
    }
    if (g.count == 1) return -1 - (ssize_t)length;
    assert((size_t)(to - start) + 2 <= lh_base64_decoded_room(length));
    return finish(&g, to) - start;
}
