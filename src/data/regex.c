#include "data/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/alloc.h"

enum { STACK_FIRST_BYTES = 32 * 1024, STACK_MAX_BYTES = 4 * 1024 * 1024, FIRST_PAIRS = 10 };

struct lh_regex {
    pcre2_code *code;
    uint32_t capture_count;
    size_t next;       /* where the search in the subject goes on */
    bool was_empty;    /* the last match was: the next one at the same place must not be */
    bool is_exhausted; /* no match was left in the subject */
};

struct lh_regex_workspace {
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_match_data *results;
    uint32_t pair_count;                   /* that `results` has room for */
    uint32_t default_steps, default_depth; /* PCRE2's */
    uint32_t current_steps, current_depth; /* set in `context` */
};

/* -- The workspace ------------------------------------------------------------------------------------------------- */

lh_regex_workspace *lh_regex_workspace_new(void) {
    lh_regex_workspace *w = lh_alloc(sizeof(*w));
    w->context = pcre2_match_context_create(NULL);
    w->stack = pcre2_jit_stack_create(STACK_FIRST_BYTES, STACK_MAX_BYTES, NULL);
    w->results = pcre2_match_data_create(FIRST_PAIRS, NULL);
    w->pair_count = FIRST_PAIRS;
    if (!w->context || !w->stack || !w->results) {
        lh_regex_workspace_free(w);
        return NULL;
    }
    pcre2_jit_stack_assign(w->context, NULL, w->stack);
    pcre2_config(PCRE2_CONFIG_MATCHLIMIT, &w->default_steps);
    pcre2_config(PCRE2_CONFIG_DEPTHLIMIT, &w->default_depth);
    w->current_steps = w->default_steps;
    w->current_depth = w->default_depth;
    return w;
}

void lh_regex_workspace_free(lh_regex_workspace *w) {
    if (!w) return;
    pcre2_match_data_free(w->results);
    pcre2_jit_stack_free(w->stack);
    pcre2_match_context_free(w->context);
    lh_free(w);
}

static bool reserve_pairs(lh_regex_workspace *w, uint32_t count) {
    if (w->pair_count >= count) return true;
    pcre2_match_data *larger = pcre2_match_data_create(count, NULL);
    if (!larger) return false;
    pcre2_match_data_free(w->results);
    w->results = larger;
    w->pair_count = count;
    return true;
}

static void set_limits(lh_regex_workspace *w, uint32_t steps, uint32_t depth) {
    steps = steps ? steps : w->default_steps;
    depth = depth ? depth : w->default_depth;
    if (steps != w->current_steps) pcre2_set_match_limit(w->context, w->current_steps = steps);
    if (depth != w->current_depth) pcre2_set_depth_limit(w->context, w->current_depth = depth);
}

/* -- Expressions --------------------------------------------------------------------------------------------------- */

lh_regex *lh_regex_compile(const char *pattern, size_t length, char message[LH_REGEX_MESSAGE_BYTES], size_t *offset) {
    int error;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, length, 0, &error, offset, NULL);
    if (!code) {
        pcre2_get_error_message(error, (PCRE2_UCHAR *)message, LH_REGEX_MESSAGE_BYTES);
        return NULL;
    }
    lh_regex *regex = lh_alloc(sizeof(*regex));
    regex->code = code;
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it, the interpreter does */
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &regex->capture_count);
    return regex;
}

void lh_regex_free(lh_regex *regex) {
    if (regex) pcre2_code_free(regex->code);
    lh_free(regex);
}

size_t lh_regex_capture_count(const lh_regex *regex) { return regex->capture_count; }

void lh_regex_rewind(lh_regex *regex) {
    regex->next = 0;
    regex->was_empty = regex->is_exhausted = false;
}

static lh_regex_result failure_of(lh_regex *regex, int error, lh_regex_match *match) {
    switch (error) {
    case PCRE2_ERROR_NOMATCH: regex->is_exhausted = true; return LH_REGEX_NO_MATCH;
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_JIT_STACKLIMIT: return LH_REGEX_LIMIT;
    default:
        pcre2_get_error_message(error, (PCRE2_UCHAR *)match->message, LH_REGEX_MESSAGE_BYTES);
        return LH_REGEX_FAILED;
    }
}

lh_regex_result lh_regex_next(lh_regex *regex, lh_regex_workspace *w, const char *subject, size_t length,
                              uint32_t step_limit, uint32_t depth_limit, lh_regex_match *match) {
    if (regex->is_exhausted) return LH_REGEX_NO_MATCH;
    if (!reserve_pairs(w, regex->capture_count + 1)) return LH_REGEX_MEMORY;
    set_limits(w, step_limit, depth_limit);
    const uint32_t options = regex->was_empty ? PCRE2_NOTEMPTY_ATSTART : 0;
    const int count =
        pcre2_match(regex->code, (PCRE2_SPTR)subject, length, regex->next, options, w->results, w->context);
    if (count < 0) return failure_of(regex, count, match);
    match->pairs = pcre2_get_ovector_pointer(w->results);
    match->count = (size_t)count;
    regex->was_empty = match->pairs[0] >= match->pairs[1];
    regex->next = match->pairs[1];
    return LH_REGEX_MATCH;
}
