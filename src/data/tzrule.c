#include "data/tzrule.h"

#include <assert.h>
#include <string.h>

#include "data/civil.h"

/* -- Parsing ------------------------------------------------------------------------------------------------------- */

typedef struct reader {
    const char *at, *end;
} reader;

static char peek(const reader *r) {
    assert(r->at <= r->end);
    return r->at < r->end ? *r->at : '\0';
}

static bool skip(reader *r, char c) {
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

static bool read_number(reader *r, int32_t min, int32_t max, int32_t *number) {
    if (!is_digit(peek(r))) return false;
    for (*number = 0; is_digit(peek(r)); r->at++) {
        *number = *number * 10 + (*r->at - '0');
        if (*number > max) return false;
    }
    return *number >= min;
}

/* hh[:mm[:ss]] with a sign. */
static bool read_time(reader *r, int32_t max_hours, int32_t *seconds) {
    int32_t hours, minutes = 0, rest = 0;
    const bool is_negative = skip(r, '-');
    if (!is_negative) skip(r, '+');
    if (!read_number(r, 0, max_hours, &hours)) return false;
    if (skip(r, ':')) {
        if (!read_number(r, 0, 59, &minutes)) return false;
        if (skip(r, ':') && !read_number(r, 0, 59, &rest)) return false;
    }
    *seconds = hours * 3600 + minutes * 60 + rest;
    if (is_negative) *seconds = -*seconds;
    return true;
}

/* Letters, or anything of letters, digits and signs between < and >. At least three. */
static bool read_name(reader *r, char name[LH_TZRULE_NAME_MAX + 1]) {
    const bool is_quoted = skip(r, '<');
    const char *start = r->at;
    while (is_letter(peek(r)) || (is_quoted && (is_digit(peek(r)) || peek(r) == '+' || peek(r) == '-'))) r->at++;
    const size_t length = (size_t)(r->at - start);
    if (length < 3 || length > LH_TZRULE_NAME_MAX || (is_quoted && !skip(r, '>'))) return false;
    memcpy(name, start, length);
    name[length] = '\0';
    return true;
}

static bool read_day(reader *r, lh_tzrule_date *date) {
    if (skip(r, 'M')) {
        date->form = LH_TZRULE_WEEKDAY;
        return read_number(r, 1, 12, &date->month) && skip(r, '.') && read_number(r, 1, 5, &date->week) &&
               skip(r, '.') && read_number(r, 0, 6, &date->day);
    }
    if (skip(r, 'J')) {
        date->form = LH_TZRULE_JULIAN;
        return read_number(r, 1, 365, &date->day);
    }
    date->form = LH_TZRULE_ZERO_BASED;
    return read_number(r, 0, 365, &date->day);
}

static bool read_date(reader *r, lh_tzrule_date *date) {
    date->time = 2 * 3600;
    return skip(r, ',') && read_day(r, date) && (!skip(r, '/') || read_time(r, 167, &date->time));
}

bool lh_tzrule_parse(const char *text, size_t length, lh_tzrule *rule) {
    static const char usual_dates[] = ",M3.2.0,M11.1.0"; /* what a rule without dates means */
    reader r = {.at = text, .end = text + length};
    int32_t west;
    *rule = (lh_tzrule){.has_dst = false};
    if (!read_name(&r, rule->standard_name) || !read_time(&r, 24, &west)) return false;
    rule->standard_offset = -west;
    if (r.at == r.end) return true;
    if (!read_name(&r, rule->dst_name)) return false;
    rule->has_dst = true;
    rule->dst_offset = rule->standard_offset + 3600;
    if (r.at < r.end && *r.at != ',') {
        if (!read_time(&r, 24, &west)) return false;
        rule->dst_offset = -west;
    }
    if (r.at == r.end) r = (reader){.at = usual_dates, .end = usual_dates + sizeof(usual_dates) - 1};
    return read_date(&r, &rule->start) && read_date(&r, &rule->end) && r.at == r.end;
}

/* -- When the clocks change ---------------------------------------------------------------------------------------- */

static int32_t month_days(int64_t year, int32_t month) {
    if (month == 2) return lh_is_leap_year(year) ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* The date in `year`, in seconds since 1970 by a clock that shows local time. */
static int64_t local_time_of(const lh_tzrule_date *date, int64_t year) {
    const int64_t new_year = lh_day_of_date(year, 1, 1);
    int64_t day;
    switch (date->form) {
    case LH_TZRULE_JULIAN: /* 1..365: 29 February is not counted */
        day = new_year + date->day - 1 + (date->day >= 60 && lh_is_leap_year(year));
        break;
    case LH_TZRULE_ZERO_BASED: day = new_year + date->day; break;
    default: {
        assert(date->month >= 1 && date->month <= 12 && date->week >= 1 && date->week <= 5 && date->day <= 6);
        const int64_t first = lh_day_of_date(year, date->month, 1);
        const int32_t weekday = (int32_t)(first + 4 - lh_floor_div(first + 4, 7) * 7);
        int32_t monthday = (date->day - weekday + 7) % 7 + 7 * (date->week - 1);
        if (monthday >= month_days(year, date->month)) monthday -= 7;
        assert(monthday >= 0 && monthday < month_days(year, date->month));
        day = first + monthday;
    }
    }
    return day * 86400 + date->time;
}

static bool is_dst_at(const lh_tzrule *rule, int64_t time) {
    const int64_t year = lh_date_of_day(lh_floor_div(time + rule->standard_offset, 86400)).year;
    const int64_t start = local_time_of(&rule->start, year) - rule->standard_offset;
    const int64_t end = local_time_of(&rule->end, year) - rule->dst_offset;
    return start < end ? time >= start && time < end : time >= start || time < end;
}

lh_tzrule_time lh_tzrule_at(const lh_tzrule *rule, int64_t time) {
    if (rule->has_dst && is_dst_at(rule, time)) {
        return (lh_tzrule_time){.offset = rule->dst_offset, .is_dst = true, .name = rule->dst_name};
    }
    return (lh_tzrule_time){.offset = rule->standard_offset, .name = rule->standard_name};
}
