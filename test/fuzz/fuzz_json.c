/* JSON: the fast parser and the slow reader agree on what JSON is; what is accepted stays the same when it is made
 * compact; the tape ends where it says. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/json.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Follows the tape from the value at `at`; returns the index behind it. */
static size_t follow(const uint64_t *tape, const char *strings, size_t at) {
    uint32_t length;
    switch (lh_json_type_of(tape[at])) {
    case LH_JSON_ARRAY:
    case LH_JSON_OBJECT: {
        const size_t end = (uint32_t)tape[at];
        size_t inner = at + 1;
        while (inner < end - 1) inner = follow(tape, strings, inner);
        assert(inner == end - 1);
        return end;
    }
    case LH_JSON_STRING:
        memcpy(&length, strings + lh_json_payload(tape[at]), sizeof(length));
        assert(lh_json_is_utf8(strings + lh_json_payload(tape[at]) + sizeof(length), length));
        return at + 1;
    case LH_JSON_INT64:
    case LH_JSON_UINT64:
    case LH_JSON_DOUBLE: return at + 2;
    default: return at + 1;
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static lh_json_parser *parser;
    const char *text = (const char *)data;
    lh_json_error error, again;
    if (!parser) parser = lh_json_parser_new();
    const bool is_right = lh_json_check(text, size, &error);
    if (!lh_json_parse(parser, text, size, &again)) {
        assert(again.offset <= size);
        /* What only the parser refuses is a number that no double holds. */
        if (is_right) assert(strcmp(again.message, "number out of range") == 0 && again.offset < size);
        return 0;
    }
    assert(is_right);
    follow(lh_json_tape(parser), lh_json_strings(parser), 1);
    char *compact = malloc(size + 64);
    const size_t length = lh_json_minify(text, size, compact);
    assert(length <= size && lh_json_check(compact, length, &error));
    free(compact);
    return 0;
}
