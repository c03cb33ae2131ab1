#include "data/log_line.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "data/utf8.h"

enum { ESCAPED_MAX = 6 }; /* bytes that one byte becomes: \u0001 */

/* The thread's name; asked once. */
static const char *thread_name(void) {
    static _Thread_local char name[16];
    if (!name[0] && pthread_getname_np(pthread_self(), name, sizeof(name)) != 0) return "?";
    return name;
}

/* A second is printed once. */
static size_t print_time(char *out, size_t size, const char *format, struct tm *(*split)(const time_t *, struct tm *)) {
    static _Thread_local struct {
        time_t second;
        const char *format;
        char text[24];
    } last;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != last.second || format != last.format) {
        struct tm parts;
        split(&now.tv_sec, &parts);
        strftime(last.text, sizeof(last.text), format, &parts);
        last.second = now.tv_sec;
        last.format = format;
    }
    return (size_t)snprintf(out, size, "%s.%06ld", last.text, now.tv_nsec / 1000);
}

size_t lh_log_line_prefix(char prefix[LH_LOG_PREFIX_BYTES], int style, const lh_log_record *record) {
    static const char format[] = "[%Y-%m-%d %H:%M:%S";
    size_t length = 0;
    if (style & LH_LOG_TIME) {
        length = print_time(prefix, LH_LOG_PREFIX_BYTES, format, localtime_r);
        length += (size_t)snprintf(prefix + length, LH_LOG_PREFIX_BYTES - length, "] ");
    }
    if (style & LH_LOG_FACILITY) {
        length += (size_t)snprintf(prefix + length, LH_LOG_PREFIX_BYTES - length, "[%.200s] ", record->facility);
    }
    if ((style & LH_LOG_CALLER) && record->file) {
        length += (size_t)snprintf(prefix + length, LH_LOG_PREFIX_BYTES - length, "[%s,%.200s:%d] ", thread_name(),
                                   record->file, record->line);
    } else if (style & LH_LOG_CALLER) {
        length += (size_t)snprintf(prefix + length, LH_LOG_PREFIX_BYTES - length, "[%s] ", thread_name());
    }
    assert(length < LH_LOG_PREFIX_BYTES);
    return length;
}

/* -- JSON ---------------------------------------------------------------------------------------------------------- */

static char short_escape(unsigned char c) {
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
    }
}

static char *put_literal(char *to, const char *text) {
    const size_t length = strlen(text);
    memcpy(to, text, length);
    return to + length;
}

static char *put_byte(char *to, unsigned char c) {
    static const char digits[] = "0123456789abcdef";
    const char as = short_escape(c);
    if (as) {
        *to++ = '\\';
        *to++ = as;
    } else if (c < 0x20 || c == 0x7f) {
        to = put_literal(to, "\\u00");
        *to++ = digits[c >> 4];
        *to++ = digits[c & 15];
    } else {
        *to++ = (char)c;
    }
    return to;
}

/* A string between quotes; `to` has ESCAPED_MAX bytes for each and two. */
static char *put_string(char *to, const char *text, size_t length) {
    const unsigned char *s = (const unsigned char *)text;
    *to++ = '"';
    for (size_t i = 0, size; i < length; i += size) {
        uint32_t code;
        size = 1;
        if (s[i] < 0x80) {
            to = put_byte(to, s[i]);
        } else if ((size = lh_utf8_decode(s + i, length - i, &code))) {
            memcpy(to, s + i, size);
            to += size;
        } else {
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
            size = 1;
        }
    }
    *to++ = '"';
    return to;
}

char *lh_log_line_json(const lh_log_record *record, size_t *length) {
    static const char format[] = "%Y-%m-%dT%H:%M:%S";
    const char *file = record->file ? record->file : "";
    const size_t facility_length = strlen(record->facility), file_length = strlen(file);
    size_t message_length = record->length;
    if (message_length > 0 && record->bytes[message_length - 1] == '\n') message_length--;
    char *line = lh_try_alloc(ESCAPED_MAX * (facility_length + file_length + message_length + 16) + 256);
    if (!line) return NULL;
    char *to = put_literal(line, "{\"time\":\"");
    to += print_time(to, 40, format, gmtime_r);
    to = put_literal(to, "Z\",\"facility\":");
    to = put_string(to, record->facility, facility_length);
    to = put_literal(to, ",\"thread\":");
    to = put_string(to, thread_name(), strlen(thread_name()));
    if (record->file) {
        to = put_literal(to, ",\"file\":");
        to = put_string(to, file, file_length);
        to += snprintf(to, 32, ",\"line\":%d", record->line);
    }
    to = put_literal(to, ",\"message\":");
    to = put_string(to, record->bytes, message_length);
    to = put_literal(to, "}\n");
    *length = (size_t)(to - line);
    assert(*length <= ESCAPED_MAX * (facility_length + file_length + message_length + 16) + 256);
    return line;
}
