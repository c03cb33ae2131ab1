#include "data/regex.h"

#include <assert.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"

enum {
    STACK_FIRST_BYTES = 32 * 1024,
    STACK_MAX_BYTES = 4 * 1024 * 1024,
    FIRST_PAIRS = 10,
    HEAP_MAX_KIB = 256 * 1024,     /* of the interpreter; PCRE2's default is 20 GB */
    KEPT_SUBJECT_BYTES = 16 * 1024 /* the interpreter's memory is kept after subjects up to this */
};

struct lh_regex {
    pcre2_code *code;
    uint32_t capture_count;
    bool is_utf;
    bool is_compiled;    /* to machine code */
    size_t next;         /* where the search in the subject goes on */
    bool was_empty;      /* the last match was: the next one at the same place must not be */
    bool is_exhausted;   /* no match was left in the subject */
    bool is_checked;     /* the subject is known to be UTF-8: checking it costs its whole length */
    bool is_interpreted; /* the stack of the machine code did not suffice for the subject */
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
    pcre2_set_heap_limit(w->context, HEAP_MAX_KIB);
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
    size_t machine_code_bytes = 0;
    uint32_t options = 0;
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it, the interpreter does */
    pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &machine_code_bytes);
    pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options);
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &regex->capture_count);
    regex->is_compiled = machine_code_bytes > 0;
    regex->is_utf = options & PCRE2_UTF;
    return regex;
}

void lh_regex_free(lh_regex *regex) {
    if (regex) pcre2_code_free(regex->code);
    lh_free(regex);
}

size_t lh_regex_capture_count(const lh_regex *regex) { return regex->capture_count; }

void lh_regex_rewind(lh_regex *regex) {
    regex->next = 0;
    regex->was_empty = regex->is_exhausted = regex->is_checked = regex->is_interpreted = false;
}

static lh_regex_result failure_of(lh_regex *regex, int error, lh_regex_match *match) {
    switch (error) {
    case PCRE2_ERROR_NOMATCH: regex->is_exhausted = true; return LH_REGEX_NO_MATCH;
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT: return LH_REGEX_LIMIT;
    case PCRE2_ERROR_NOMEMORY: return LH_REGEX_MEMORY;
    default: /* also the heap's limit, which is no limit of the caller's */
        pcre2_get_error_message(error, (PCRE2_UCHAR *)match->message, LH_REGEX_MESSAGE_BYTES);
        return LH_REGEX_FAILED;
    }
}

/* PCRE2 checks all of the subject for UTF-8 each time, unless told. A match that ended within a character (\C) is left
 * to its check, which refuses to go on from there. */
static uint32_t options_of(const lh_regex *regex, const char *subject, size_t length) {
    uint32_t options = regex->was_empty ? PCRE2_NOTEMPTY_ATSTART : 0;
    const bool is_within = regex->next < length && ((unsigned char)subject[regex->next] & 0xc0) == 0x80;
    if (regex->is_utf && regex->is_checked && !is_within) options |= PCRE2_NO_UTF_CHECK;
    return options;
}

/* The interpreter takes its memory from the heap, and leaves it with the match data: they are not kept when it may be
 * much. */
static int interpret(const lh_regex *regex, lh_regex_workspace *w, const char *subject, size_t length,
                     uint32_t options) {
    pcre2_match_data *results = pcre2_match_data_create(regex->capture_count + 1, NULL);
    if (!results) return PCRE2_ERROR_NOMEMORY;
    const int count =
        pcre2_match(regex->code, (PCRE2_SPTR)subject, length, regex->next, options | PCRE2_NO_JIT, results, w->context);
    if (count > 0) {
        assert((uint32_t)count <= w->pair_count);
        memcpy(pcre2_get_ovector_pointer(w->results), pcre2_get_ovector_pointer(results),
               2 * (size_t)count * sizeof(PCRE2_SIZE));
    }
    pcre2_match_data_free(results);
    return count;
}

static int search(lh_regex *regex, lh_regex_workspace *w, const char *subject, size_t length) {
    assert(regex->next <= length && w->pair_count > regex->capture_count);
    const uint32_t options = options_of(regex, subject, length);
    if (regex->is_interpreted || (!regex->is_compiled && length > KEPT_SUBJECT_BYTES)) {
        return interpret(regex, w, subject, length, options);
    }
    const int count =
        pcre2_match(regex->code, (PCRE2_SPTR)subject, length, regex->next, options, w->results, w->context);
    if (count != PCRE2_ERROR_JIT_STACKLIMIT) return count;
    regex->is_interpreted = true;
    return interpret(regex, w, subject, length, options);
}

lh_regex_result lh_regex_next(lh_regex *regex, lh_regex_workspace *w, const char *subject, size_t length,
                              uint32_t step_limit, uint32_t depth_limit, lh_regex_match *match) {
    if (regex->is_exhausted) return LH_REGEX_NO_MATCH;
    if (!reserve_pairs(w, regex->capture_count + 1)) return LH_REGEX_MEMORY;
    set_limits(w, step_limit, depth_limit);
    const int count = search(regex, w, subject, length);
    if (count < 0) return failure_of(regex, count, match);
    assert(count > 0 && (uint32_t)count <= regex->capture_count + 1);
    match->pairs = pcre2_get_ovector_pointer(w->results);
    match->count = (size_t)count;
    regex->is_checked = true; /* the first search in a subject begins, and so checks it, at its beginning */
    regex->was_empty = match->pairs[0] >= match->pairs[1];
    regex->next = match->pairs[1];
    return LH_REGEX_MATCH;
}
