/* HTML entities: counted and written lengths agree, the result is ASCII, and what is refused is no UTF-8. */
#include <assert.h>
#include <stdlib.h>

#include "data/html.h"
#include "data/json.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    const char *text = (const char *)data;
    const bool escapes_tags = size & 1;
    const ssize_t length = lh_html_escape(text, size, escapes_tags, NULL);
    assert((length >= 0) == lh_json_is_utf8(text, size));
    if (length < 0) {
        assert((size_t)(-1 - length) < size);
        return 0;
    }
    char *html = malloc(length ? (size_t)length : 1);
    assert(lh_html_escape(text, size, escapes_tags, html) == length);
    for (ssize_t i = 0; i < length; i++) {
        assert((unsigned char)html[i] < 0x80);
        if (escapes_tags) assert(html[i] != '<' && html[i] != '>');
    }
    free(html);
    return 0;
}
