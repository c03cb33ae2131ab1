/* Days since 1970 and dates of the Gregorian calendar, which also rules the past.
 *
 * Years are counted from March, so that the leap day is a year's last, in eras of 400 years (146097 days).
 *
 * Owner: nothing. Thread: any. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct lh_date {
    int64_t year;
    int32_t month, monthday; /* from 1 */
} lh_date;

static inline int64_t lh_floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static inline bool lh_is_leap_year(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static inline int64_t lh_day_of_date(int64_t year, int32_t month, int32_t monthday) {
    if (month <= 2) year--;
    const int64_t era = lh_floor_div(year, 400);
    const int64_t of_era = year - era * 400;
    const int32_t from_march = (month + 9) % 12;
    const int32_t of_year = (153 * from_march + 2) / 5 + monthday - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline lh_date lh_date_of_day(int64_t day) {
    day += 719468; /* since 0000-03-01 */
    const int64_t era = lh_floor_div(day, 146097);
    const int32_t of_era = (int32_t)(day - era * 146097);
    const int32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int32_t of_year = of_era - (365 * year + year / 4 - year / 100);
    const int32_t from_march = (5 * of_year + 2) / 153;
    const int32_t month = from_march < 10 ? from_march + 3 : from_march - 9;
    return (lh_date){
        .year = era * 400 + year + (month <= 2), .month = month, .monthday = of_year - (153 * from_march + 2) / 5 + 1};
}
