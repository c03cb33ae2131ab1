/* JSON text (RFC 8259) to a tape, and the few parts of writing it that are not plain copying.
 *
 * A parser turns a text into a tape: an array of 64-bit words with the type in the top byte, as simdjson lays it out
 * (its doc/tape.md). Who wants values walks the tape; nothing of C++ is seen here. The tape lies in the parser and is
 * overwritten by the next parse.
 *
 * Integers beyond 64 bits appear as strings of their digits. Nesting is limited to LH_JSON_DEPTH_MAX.
 *
 * Owner: lh_json_parser_new, lh_json_parser_free.
 * Thread: one at a time per parser; the rest any.
 * Errors: as each function says. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LH_JSON_DEPTH_MAX = 1024, LH_JSON_NUMBER_MAX = 32 }; /* levels; bytes of a number's text */

typedef struct lh_json_parser lh_json_parser;

/* Where a text is wrong, and how. */
typedef struct lh_json_error {
    const char *message; /* a constant */
    size_t offset;       /* of the offending byte, from 0; the text's length when it ends too early */
} lh_json_error;

/* The first letter of a tape word's type, as in lh_json_type. */
typedef enum lh_json_type {
    LH_JSON_ARRAY = '[',  /* payload: index behind its end (low 32 bits), number of elements (24 bits, saturated) */
    LH_JSON_OBJECT = '{', /* the same; keys (strings) and values take turns */
    LH_JSON_ARRAY_END = ']',
    LH_JSON_OBJECT_END = '}',
    LH_JSON_STRING = '"', /* payload: offset into the strings: length (4 bytes), the bytes, NUL */
    LH_JSON_INT64 = 'l',  /* the value is the next word */
    LH_JSON_UINT64 = 'u', /* the same; only above INT64_MAX */
    LH_JSON_DOUBLE = 'd', /* the same */
    LH_JSON_TRUE = 't',
    LH_JSON_FALSE = 'f',
    LH_JSON_NULL = 'n',
} lh_json_type;

static inline lh_json_type lh_json_type_of(uint64_t word) { return (lh_json_type)(word >> 56); }
static inline uint64_t lh_json_payload(uint64_t word) { return word & UINT64_C(0x00ffffffffffffff); }

lh_json_parser *lh_json_parser_new(void);
void lh_json_parser_free(lh_json_parser *parser);

/* False with *error. The tape's first value is at index 1. */
bool lh_json_parse(lh_json_parser *parser, const char *text, size_t length, lh_json_error *error);

/* Of the last successful parse. */
const uint64_t *lh_json_tape(const lh_json_parser *parser);
const char *lh_json_strings(const lh_json_parser *parser);

/* The text without white space between tokens, into `to` (`length` bytes of room); returns its length. `text` is JSON.
 */
size_t lh_json_minify(const char *text, size_t length, char *to);

/* The shortest text that reads back as the same double; integers below 2^63 without exponent. `value` is finite.
 * Returns the length; no NUL. */
size_t lh_json_print_number(double value, char to[LH_JSON_NUMBER_MAX]);

bool lh_json_is_utf8(const char *bytes, size_t length);

/* -- json_check.c: the slow, exact reading, for when something is wrong -- */

/* Reads the whole text by the letter of RFC 8259; false with *error when it is not JSON. */
bool lh_json_check(const char *text, size_t length, lh_json_error *error);

/* Copies the JSON `text` to `to` (2 * length bytes of room) with quotes around each integer beyond 64 bits. Returns the
 * new length; the same length says that there was none. */
size_t lh_json_quote_big_integers(const char *text, size_t length, char *to);

/* Finds the next integer that is zero, "0" or "-0", from *at on in the JSON `text`, whose tape cannot tell them apart.
 * True: it is "-0"; *at is behind it. */
bool lh_json_next_zero_is_negative(const char *text, size_t length, size_t *at);

/* The offset of the first number of the JSON `text` that no double can hold; `length` when there is none. */
size_t lh_json_find_huge_number(const char *text, size_t length);

#ifdef __cplusplus
}
#endif
