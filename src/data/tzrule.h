/* The rule of POSIX (XBD 8.3, the variable TZ) for when clocks change: "CET-1CEST,M3.5.0,M10.5.0/3", with RFC 8536's
 * hours up to 167 either way.
 *
 * Owner: the struct is embedded. Thread: any, unless written to.
 * Errors: false for what is no rule. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LH_TZRULE_NAME_MAX = 15 };

/* A day of every year and a time on it. */
typedef struct lh_tzrule_date {
    enum { LH_TZRULE_JULIAN, LH_TZRULE_ZERO_BASED, LH_TZRULE_WEEKDAY } form; /* J60, 59, M3.5.0 */
    int32_t day;         /* of the year, or of the week (Sunday 0) */
    int32_t month, week; /* week 5 is the last */
    int32_t time;        /* seconds after the day's midnight */
} lh_tzrule_date;

typedef struct lh_tzrule_time {
    int32_t offset; /* seconds east */
    bool is_dst;
    const char *name;
} lh_tzrule_time;

typedef struct lh_tzrule {
    char standard_name[LH_TZRULE_NAME_MAX + 1], dst_name[LH_TZRULE_NAME_MAX + 1];
    int32_t standard_offset, dst_offset; /* seconds east */
    bool has_dst;
    lh_tzrule_date start, end; /* of daylight saving time */
} lh_tzrule;

bool lh_tzrule_parse(const char *text, size_t length, lh_tzrule *rule);

/* `time`: seconds since 1970 UTC. The name belongs to the rule. */
lh_tzrule_time lh_tzrule_at(const lh_tzrule *rule, int64_t time);
