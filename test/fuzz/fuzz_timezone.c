/* Time zone files and rules: any bytes; what is accepted gives sane fields for any time. */
#include <assert.h>
#include <string.h>

#include "data/timezone.h"
#include "data/tzrule.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_fields(lh_timezone *zone, int64_t time) {
    lh_local_time t;
    lh_timezone_at(zone, time, &t);
    assert(t.month >= 1 && t.month <= 12 && t.monthday >= 1 && t.monthday <= 31);
    assert(t.hour >= 0 && t.hour < 24 && t.minute >= 0 && t.minute < 60 && t.second >= 0 && t.second <= 60);
    assert(t.weekday >= 1 && t.weekday <= 7 && t.yearday >= 1 && t.yearday <= 366);
    assert(strlen(t.name) <= 1024 * 1024);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static const int64_t times[] = {
        0, -1, 1, 951782400, -2208988800, 4133980799, 1483228826, INT64_C(1) << 53, -(INT64_C(1) << 53)};
    lh_tzrule rule;
    if (lh_tzrule_parse((const char *)data, size, &rule)) {
        for (int64_t time = 0; time < 86400 * 800; time += 86400 * 40) {
            const lh_tzrule_time now = lh_tzrule_at(&rule, time);
            assert(now.offset >= -26 * 3600 && now.offset <= 26 * 3600 && strlen(now.name) >= 3);
        }
    }
    lh_timezone *zone = lh_timezone_parse(data, size);
    if (!zone) return 0;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) check_fields(zone, times[i]);
    for (int64_t time = 1; time < INT64_C(1) << 40; time *= 3) {
        check_fields(zone, time);
        check_fields(zone, -time);
    }
    lh_timezone_close(zone);
    return 0;
}
