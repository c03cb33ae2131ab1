/* A reader of JSON by the letter: one byte after the other, with a stack of brackets. It builds nothing; it knows where
 * it is. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/json.h"

typedef struct reader {
    const char *text;
    size_t length;
    size_t at;
    lh_json_error error;              /* message NULL = none yet */
    char brackets[LH_JSON_DEPTH_MAX]; /* open ones: '[' or '{' */
    int depth;
} reader;

/* The byte at hand; -1 at the end. */
static int peek(const reader *r) { return r->at < r->length ? (unsigned char)r->text[r->at] : -1; }

static bool fail_at(reader *r, size_t offset, const char *message) {
    assert(offset <= r->length && !r->error.message);
    r->error = (lh_json_error){.message = message, .offset = offset};
    return false;
}

static bool fail(reader *r, const char *message) {
    return fail_at(r, r->at, r->at >= r->length ? "unexpected end" : message);
}

static void skip_space(reader *r) {
    while (r->at < r->length && strchr(" \t\r\n", r->text[r->at]) && r->text[r->at]) r->at++;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

/* -- Strings ------------------------------------------------------------------------------------------------------- */

/* Four hexadecimal digits at hand; -1 when they are not. */
static int hex4(reader *r) {
    int value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        const int c = peek(r);
        const int digit = is_digit(c)            ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) {
            fail(r, "bad \\u escape");
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* Behind "\u". `start`: of the backslash. */
static bool read_unicode_escape(reader *r, size_t start) {
    const int high = hex4(r);
    if (high < 0) return false;
    if (high >= 0xdc00 && high <= 0xdfff) return fail_at(r, start, "lone surrogate");
    if (high < 0xd800 || high > 0xdbff) return true;
    if (r->length - r->at < 2 || memcmp(r->text + r->at, "\\u", 2) != 0) return fail_at(r, start, "lone surrogate");
    r->at += 2;
    const int low = hex4(r);
    if (low < 0) return false;
    return (low >= 0xdc00 && low <= 0xdfff) || fail_at(r, start, "lone surrogate");
}

static bool read_escape(reader *r) {
    const size_t start = r->at++;
    const int c = peek(r);
    if (c == 'u') {
        r->at++;
        return read_unicode_escape(r, start);
    }
    if (c <= 0 || !strchr("\"\\/bfnrt", c)) return fail(r, "bad escape");
    r->at++;
    return true;
}

/* The bytes of a character beyond ASCII, by the table of Unicode 3.9 D92; 0 when they are none. */
static size_t utf8_length(const unsigned char *s, size_t left) {
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, length;
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
                 {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (s[0] < forms[i].first_min || s[0] > forms[i].first_max) continue;
        if (left < forms[i].length || s[1] < forms[i].second_min || s[1] > forms[i].second_max) return 0;
        for (size_t k = 2; k < forms[i].length; k++) {
            if ((s[k] & 0xc0) != 0x80) return 0;
        }
        return forms[i].length;
    }
    return 0;
}

static bool read_string(reader *r) {
    r->at++;
    for (;;) {
        const int c = peek(r);
        if (c == '"') {
            r->at++;
            return true;
        }
        if (c < 0x20) return fail(r, "control character in a string"); /* and the end */
        if (c == '\\') {
            if (!read_escape(r)) return false;
        } else if (c < 0x80) {
            r->at++;
        } else {
            const size_t n = utf8_length((const unsigned char *)r->text + r->at, r->length - r->at);
            if (n == 0) return fail(r, "invalid UTF-8");
            r->at += n;
        }
    }
}

/* -- Numbers and words --------------------------------------------------------------------------------------------- */

static bool read_digits(reader *r) {
    if (!is_digit(peek(r))) return fail(r, "digit expected");
    while (is_digit(peek(r))) r->at++;
    return true;
}

static bool read_number(reader *r) {
    if (peek(r) == '-') r->at++;
    if (peek(r) == '0') {
        r->at++;
        if (is_digit(peek(r))) return fail(r, "leading zero");
    } else if (!read_digits(r)) {
        return false;
    }
    if (peek(r) == '.') {
        r->at++;
        if (!read_digits(r)) return false;
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->at++;
        if (peek(r) == '+' || peek(r) == '-') r->at++;
        return read_digits(r);
    }
    return true;
}

static bool read_word(reader *r, const char *word) {
    for (; *word; word++, r->at++) {
        if (peek(r) != *word) return fail(r, "value expected");
    }
    return true;
}

/* -- Values -------------------------------------------------------------------------------------------------------- */

static bool open_bracket(reader *r) {
    if (r->depth == LH_JSON_DEPTH_MAX) return fail(r, "nesting deeper than 1024");
    r->brackets[r->depth++] = r->text[r->at++];
    return true;
}

/* A scalar, or the opening of an array or object. */
static bool read_value(reader *r) {
    switch (peek(r)) {
    case '"': return read_string(r);
    case '[':
    case '{': return open_bracket(r);
    case 't': return read_word(r, "true");
    case 'f': return read_word(r, "false");
    case 'n': return read_word(r, "null");
    default:
        if (peek(r) == '-' || is_digit(peek(r))) return read_number(r);
        return fail(r, "value expected");
    }
}

static bool read_key(reader *r) {
    if (peek(r) != '"') return fail(r, "string expected as key");
    if (!read_string(r)) return false;
    skip_space(r);
    if (peek(r) != ':') return fail(r, "colon expected");
    r->at++;
    skip_space(r);
    return true;
}

static bool is_in_object(const reader *r) { return r->depth > 0 && r->brackets[r->depth - 1] == '{'; }

/* Behind a value: closes what ends here. True when another value follows; else the end of the text, or an error. */
static bool read_separators(reader *r) {
    for (;;) {
        skip_space(r);
        assert(r->at <= r->length && r->depth >= 0);
        if (r->depth == 0) {
            if (r->at < r->length) fail(r, "trailing garbage");
            return false;
        }
        const int c = peek(r);
        if (c == (is_in_object(r) ? '}' : ']')) {
            r->at++;
            r->depth--;
            continue;
        }
        if (c != ',') return fail(r, is_in_object(r) ? "comma or } expected" : "comma or ] expected");
        r->at++;
        skip_space(r);
        return !is_in_object(r) || read_key(r);
    }
}

/* Behind an opening bracket: true when a value follows, false when it closes at once (and what is around goes on). */
static bool read_first(reader *r) {
    skip_space(r);
    if (peek(r) == (is_in_object(r) ? '}' : ']')) return false;
    return !is_in_object(r) || read_key(r);
}

bool lh_json_check(const char *text, size_t length, lh_json_error *error) {
    reader r = {.text = text, .length = length};
    skip_space(&r);
    bool goes_on = true;
    while (goes_on) {
        const int depth = r.depth;
        if (!read_value(&r)) break;
        goes_on = r.depth > depth ? read_first(&r) : false;
        if (!goes_on && !r.error.message) goes_on = read_separators(&r);
    }
    if (!r.error.message) return true;
    *error = r.error;
    return false;
}

/* -- Numbers that fit nowhere -------------------------------------------------------------------------------------- */

/* The length of the next number of a JSON text from *at on, which is no place within a string; *at is moved to it.
 * 0 = none. */
static size_t find_number(const char *text, size_t length, size_t *at) {
    assert(*at <= length);
    size_t i = *at;
    while (i < length && text[i] != '-' && !is_digit(text[i])) {
        if (text[i++] != '"') continue;
        for (; i < length && text[i] != '"'; i++) {
            if (text[i] == '\\') i++;
        }
        i++;
    }
    const size_t start = *at = i < length ? i : length;
    while (i < length && (is_digit(text[i]) || (text[i] && strchr("+-.eE", text[i])))) i++;
    return i > start ? i - start : 0;
}

/* Calls `visit` for each number of a JSON text, with its offset and length; stops when that says false. */
static void each_number(const char *text, size_t length,
                        bool (*visit)(const char *number, size_t number_length, void *context), void *context) {
    size_t at = 0;
    for (size_t n; (n = find_number(text, length, &at)) > 0; at += n) {
        if (!visit(text + at, n, context)) return;
    }
}

bool lh_json_next_zero_is_negative(const char *text, size_t length, size_t *at) {
    for (size_t n; (n = find_number(text, length, at)) > 0;) {
        const char *number = text + *at;
        *at += n;
        if (n == 1 && number[0] == '0') return false;
        if (n == 2 && number[0] == '-' && number[1] == '0') return true;
    }
    return false;
}

static bool is_big_integer(const char *number, size_t length) {
    if (length < 19 || memchr(number, '.', length) || memchr(number, 'e', length) || memchr(number, 'E', length)) {
        return false;
    }
    const bool is_negative = number[0] == '-';
    const char *const limit = is_negative ? "9223372036854775808" : "18446744073709551615";
    const char *const digits = number + is_negative;
    const size_t count = length - is_negative, limit_count = strlen(limit);
    return count != limit_count ? count > limit_count : memcmp(digits, limit, count) > 0;
}

typedef struct copy {
    const char *from; /* not copied yet */
    char *to;
} copy;

static bool quote(const char *number, size_t length, void *context) {
    copy *c = context;
    if (!is_big_integer(number, length)) return true;
    const size_t before = (size_t)(number - c->from);
    memcpy(c->to, c->from, before);
    c->to += before;
    *c->to++ = '"';
    memcpy(c->to, number, length);
    c->to += length;
    *c->to++ = '"';
    c->from = number + length;
    return true;
}

size_t lh_json_quote_big_integers(const char *text, size_t length, char *to) {
    copy c = {.from = text, .to = to};
    each_number(text, length, quote, &c);
    const size_t rest = (size_t)(text + length - c.from);
    memcpy(c.to, c.from, rest);
    assert((size_t)(c.to + rest - to) <= 2 * length);
    return (size_t)(c.to + rest - to);
}

/* strtod needs an end: numbers are followed by a byte that is none of theirs, or copied when they end the text. */
static bool find_huge(const char *number, size_t length, void *context) {
    const char **found = context;
    char small[400];
    if (is_big_integer(number, length)) return true; /* these become strings */
    if (length >= sizeof(small)) length = sizeof(small) - 1;
    memcpy(small, number, length);
    small[length] = '\0';
    if (!isinf(strtod(small, NULL))) return true;
    *found = number;
    return false;
}

size_t lh_json_find_huge_number(const char *text, size_t length) {
    const char *found = NULL;
    each_number(text, length, find_huge, &found);
    return found ? (size_t)(found - text) : length;
}
