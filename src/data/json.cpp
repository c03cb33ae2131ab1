/* The only C++ of the project: simdjson and std::to_chars behind a C header.
 *
 * simdjson says that a text is wrong, but not where, and takes no integer beyond 64 bits. Both are left to the slow
 * reader in json_check.c, which is asked only then. */
#include "data/json.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>

namespace {
/* A parser keeps its memory for the next text, up to this much text. */
constexpr size_t KEPT_BYTES = 1024 * 1024;
} // namespace

struct lh_json_parser {
    std::unique_ptr<simdjson::dom::parser> dom;
    size_t capacity = 0; /* bytes of text that `dom` has seen */
};

extern "C" lh_json_parser *lh_json_parser_new(void) { return new (std::nothrow) lh_json_parser; }

extern "C" void lh_json_parser_free(lh_json_parser *parser) { delete parser; }

static simdjson::error_code parse(lh_json_parser *parser, const char *text, size_t length) {
    if (!parser->dom || (parser->capacity > KEPT_BYTES && length < KEPT_BYTES)) {
        parser->dom.reset(new (std::nothrow) simdjson::dom::parser);
        parser->capacity = 0;
        if (!parser->dom) return simdjson::MEMALLOC;
    }
    if (parser->capacity < length) parser->capacity = length;
    const auto code = parser->dom->parse(reinterpret_cast<const uint8_t *>(text), length, true).error();
    if (code == simdjson::MEMALLOC) parser->dom.reset(); /* it takes its buffers for larger than they are */
    return code;
}

/* A byte order mark (RFC 8259, 8.1, allows either): simdjson takes it since 3.3, json_check refuses it. */
static bool has_mark(const char *text, size_t length) {
    return length >= 3 && std::memcmp(text, "\xEF\xBB\xBF", 3) == 0;
}

/* With integers of any size as strings of their digits. */
static simdjson::error_code parse_quoted(lh_json_parser *parser, const char *text, size_t length) {
    std::unique_ptr<char[]> copy(new (std::nothrow) char[2 * length + 1]);
    if (!copy) return simdjson::MEMALLOC;
    const size_t quoted_length = lh_json_quote_big_integers(text, length, copy.get());
    if (quoted_length == length) return simdjson::NUMBER_ERROR;
    return parse(parser, copy.get(), quoted_length);
}

extern "C" bool lh_json_parse(lh_json_parser *parser, const char *text, size_t length, lh_json_error *error) {
    if (length > UINT32_MAX - simdjson::SIMDJSON_PADDING) {
        *error = {"text of 4 GiB or more", 0};
        return false;
    }
    if (has_mark(text, length) && !lh_json_check(text, length, error)) return false;
    simdjson::error_code code = parse(parser, text, length);
    if (code == simdjson::SUCCESS) return true;
    if (code != simdjson::MEMALLOC && !lh_json_check(text, length, error)) return false;
    if (code != simdjson::MEMALLOC) code = parse_quoted(parser, text, length);
    if (code == simdjson::SUCCESS) return true;
    *error = {code == simdjson::MEMALLOC ? "not enough memory" : simdjson::error_message(code), 0};
    if (code == simdjson::NUMBER_ERROR) *error = {"number out of range", lh_json_find_huge_number(text, length)};
    return false;
}

extern "C" const uint64_t *lh_json_tape(const lh_json_parser *parser) { return parser->dom->doc.tape.get(); }

extern "C" const char *lh_json_strings(const lh_json_parser *parser) {
    return reinterpret_cast<const char *>(parser->dom->doc.string_buf.get());
}

extern "C" size_t lh_json_minify(const char *text, size_t length, char *to) {
    size_t new_length = 0;
    if (simdjson::minify(text, length, to, new_length) == simdjson::SUCCESS) return new_length;
    std::memcpy(to, text, length);
    return length;
}

extern "C" size_t lh_json_print_number(double value, char to[LH_JSON_NUMBER_MAX]) {
    char *const end = to + LH_JSON_NUMBER_MAX;
    if (std::fabs(value) < 9223372036854775808.0 && value == static_cast<double>(static_cast<int64_t>(value))) {
        if (value == 0 && std::signbit(value)) return std::memcpy(to, "-0", 2), 2;
        return static_cast<size_t>(std::to_chars(to, end, static_cast<int64_t>(value)).ptr - to);
    }
    return static_cast<size_t>(std::to_chars(to, end, value).ptr - to);
}

extern "C" bool lh_json_is_utf8(const char *bytes, size_t length) { return simdjson::validate_utf8(bytes, length); }
