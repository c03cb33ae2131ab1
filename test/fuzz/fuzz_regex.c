/* Regular expressions: the first line is the expression, the rest the subject. A search comes to its end, goes on only
 * forwards, and stays inside the subject. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/regex.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { STEPS = 10000, DEPTH = 1000, MAX_PATTERN = 200 };

static void check_pairs(const lh_regex_match *match, size_t captures, size_t length) {
    assert(match->count >= 1 && match->count <= captures + 1);
    for (size_t i = 0; i < 2 * match->count; i++) {
        assert(match->pairs[i] <= length || match->pairs[i] == LH_REGEX_UNSET);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static lh_regex_workspace *workspace;
    char message[LH_REGEX_MESSAGE_BYTES];
    size_t offset;
    if (!workspace) workspace = lh_regex_workspace_new();
    const unsigned char *line_end = memchr(data, '\n', size);
    const size_t pattern_length = line_end ? (size_t)(line_end - data) : size;
    if (pattern_length > MAX_PATTERN) return 0;
    lh_regex *regex = lh_regex_compile((const char *)data, pattern_length, message, &offset);
    if (!regex) {
        assert(offset <= pattern_length && *message);
        return 0;
    }
    /* A copy of its own, so that the sanitizer sees a byte too many. */
    const size_t length = line_end ? size - pattern_length - 1 : 0;
    char *subject = malloc(length ? length : 1);
    if (length) memcpy(subject, line_end + 1, length);
    lh_regex_match match;
    size_t count = 0;
    while (lh_regex_next(regex, workspace, subject, length, STEPS, DEPTH, &match) == LH_REGEX_MATCH) {
        check_pairs(&match, lh_regex_capture_count(regex), length);
        assert(++count <= 2 * length + 2);
    }
    free(subject);
    lh_regex_free(regex);
    return 0;
}
