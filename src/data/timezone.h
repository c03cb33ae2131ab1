/* Time zones: the system's TZif files (RFC 8536), and the POSIX rule at their end for the times beyond.
 *
 * Files come from $TZDIR, else /usr/share/zoneinfo.
 *
 * Owner: lh_timezone_open, lh_timezone_close.
 * Thread: one at a time.
 * Errors: NULL for a name that is no zone's, or a file that is damaged. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lh_timezone lh_timezone;

/* "Europe/Zurich". Names that leave the directory are refused. */
lh_timezone *lh_timezone_open(const char *name);

/* The same from a file's bytes. */
lh_timezone *lh_timezone_parse(const unsigned char *bytes, size_t length);

void lh_timezone_close(lh_timezone *zone);

/* An instant as the clocks of a zone show it. */
typedef struct lh_local_time {
    int64_t year;
    int32_t month, monthday;      /* from 1 */
    int32_t hour, minute, second; /* second 60: a leap second, in the zones of right/ */
    int32_t weekday;              /* 1..7, Sunday is 1 */
    int32_t yearday;              /* from 1 */
    int32_t offset;               /* seconds east of UTC */
    int32_t is_dst;
    const char *name; /* "CET"; the zone's */
} lh_local_time;

/* `time`: seconds since 1970 UTC, at most 2^53 either way. */
void lh_timezone_at(lh_timezone *zone, int64_t time, lh_local_time *local);
