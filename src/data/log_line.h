/* What a log record looks like where it ends: with a prefix, or as a JSON object.
 *
 * Owner: the caller frees what lh_log_line_json gives with lh_free.
 * Thread: any. */
#pragma once
#include <stddef.h>

/* What a stream asks for, or-ed; a record has what all streams that it passes ask for. */
typedef enum lh_log_style {
    LH_LOG_TIME = 1,     /* [2026-11-26 23:59:59.123456], local time */
    LH_LOG_FACILITY = 2, /* [error/lua] */
    LH_LOG_CALLER = 4,   /* [thread,file:line] */
    LH_LOG_JSON = 8,     /* {"time": RFC 3339 in UTC, "facility", "thread", "file", "line", "message"} and a newline */
} lh_log_style;

typedef struct lh_log_record {
    const char *facility;
    const char *file; /* of the caller, NULL = unknown */
    int line;
    const char *bytes;
    size_t length;
} lh_log_record;

enum { LH_LOG_PREFIX_BYTES = 512 };

/* The prefix, cut if it would be longer; returns its length. */
size_t lh_log_line_prefix(char prefix[LH_LOG_PREFIX_BYTES], int style, const lh_log_record *record);

/* The record as a line of JSON, NULL = no memory. Bytes that are not UTF-8 become U+FFFD. */
char *lh_log_line_json(const lh_log_record *record, size_t *length);
