/* Any bytes as a head, a chunk's line or a list: what is found lies within them, whole or in pieces the same is found,
 * and what a strict reader takes a lenient one takes, too. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/http_head.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { ROOM = 50 };

static lh_http_field fields[ROOM], in_pieces[ROOM];

static void check_span(lh_http_span span, size_t length) { assert((size_t)span.offset + span.length <= length); }

static void check_head(const lh_http_head *head, const char *text) {
    assert(head->length > 0 && text[head->length - 1] == '\n' && head->field_count <= ROOM);
    check_span(head->method, head->length);
    check_span(head->target, head->length);
    check_span(head->reason, head->length);
    for (uint32_t i = 0; i < head->field_count; i++) {
        check_span(fields[i].name, head->length);
        check_span(fields[i].value, head->length);
        assert(lh_http_is_token(text + fields[i].name.offset, fields[i].name.length));
        char *value = malloc(fields[i].value.length + 1);
        const size_t length = lh_http_unfold(text, &fields[i], value);
        assert(length <= fields[i].value.length);
        assert(!memchr(value, '\n', length) && !memchr(value, '\r', length) && !memchr(value, 0, length));
        free(value);
    }
}

static void read_head(const char *text, size_t length, lh_http_kind kind, bool is_lenient, size_t step) {
    lh_http_head whole, pieces;
    lh_http_head_init(&whole, kind, is_lenient, fields, ROOM);
    const int rv = lh_http_head_read(&whole, text, length);
    if (rv == 1) check_head(&whole, text);
    if (rv < 0) assert(whole.problem);
    lh_http_head_init(&pieces, kind, is_lenient, in_pieces, ROOM);
    int piecewise = 0;
    for (size_t i = 0; i < length && piecewise == 0;) {
        i = i + step < length ? i + step : length;
        piecewise = lh_http_head_read(&pieces, text, i);
    }
    if (length > 0) assert(piecewise == rv);
    if (rv != 1) return;
    assert(pieces.length == whole.length && pieces.field_count == whole.field_count);
    for (uint32_t i = 0; i < whole.field_count; i++) {
        assert(memcmp(&fields[i].name, &in_pieces[i].name, sizeof(lh_http_span)) == 0);
        assert(memcmp(&fields[i].value, &in_pieces[i].value, sizeof(lh_http_span)) == 0);
        assert(fields[i].is_folded == in_pieces[i].is_folded);
    }
    if (is_lenient) return;
    lh_http_head lenient;
    lh_http_head_init(&lenient, kind, true, in_pieces, ROOM);
    assert(lh_http_head_read(&lenient, text, length) == 1 && lenient.length == whole.length);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size == 0) return 0;
    const char *text = (const char *)data + 1;
    const size_t length = size - 1;
    read_head(text, length, data[0] % 3, data[0] & 4, 1 + data[0] / 8);
    uint64_t number;
    if (lh_http_chunk_size(text, length, data[0] & 4, &number) == 0) assert(number < UINT64_C(1) << 53);
    lh_http_item item;
    for (size_t at = 0; lh_http_next_item(text, length, &at, &item) > 0;) {
        assert(at <= length && item.name.length > 0);
        check_span(item.name, length);
        check_span(item.value, length);
    }
    return 0;
}
