/* Regular expressions on PCRE2 with its just-in-time compiler, and searching on behind the last match.
 *
 * A search sees the whole subject, so that anchors and look-behind see what is really there. It is bounded: by PCRE2's
 * default of ten million steps, or by what is asked for.
 *
 * Owner: lh_regex_compile and lh_regex_free; lh_regex_workspace_new and lh_regex_workspace_free, one for many
 * expressions. Thread: one at a time. Errors: NULL, or an lh_regex_result. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lh_regex lh_regex;
typedef struct lh_regex_workspace lh_regex_workspace;

enum { LH_REGEX_MESSAGE_BYTES = 160 };
#define LH_REGEX_UNSET ((size_t)-1)

typedef enum lh_regex_result {
    LH_REGEX_MATCH,
    LH_REGEX_NO_MATCH,
    LH_REGEX_LIMIT,
    LH_REGEX_MEMORY,
    LH_REGEX_FAILED
} lh_regex_result;

typedef struct lh_regex_match {
    const size_t *pairs; /* start and end of the match and of each capture, or LH_REGEX_UNSET; the workspace's */
    size_t count;        /* pairs; what is beyond took no part */
    char message[LH_REGEX_MESSAGE_BYTES]; /* with LH_REGEX_FAILED */
} lh_regex_match;

/* NULL: `message` and `offset` (in the pattern) say why. */
lh_regex *lh_regex_compile(const char *pattern, size_t length, char message[LH_REGEX_MESSAGE_BYTES], size_t *offset);
void lh_regex_free(lh_regex *regex);

size_t lh_regex_capture_count(const lh_regex *regex);

/* NULL = no memory. */
lh_regex_workspace *lh_regex_workspace_new(void);
void lh_regex_workspace_free(lh_regex_workspace *workspace);

/* The next search is in a new subject. */
void lh_regex_rewind(lh_regex *regex);

/* Searches the subject, the same as before unless rewound, behind the last match. Once there was none, there is none
 * until lh_regex_rewind. `step_limit`, `depth_limit`: 0 = PCRE2's. */
lh_regex_result lh_regex_next(lh_regex *regex, lh_regex_workspace *workspace, const char *subject, size_t length,
                              uint32_t step_limit, uint32_t depth_limit, lh_regex_match *match);
