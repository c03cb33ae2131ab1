#include "base/clock.h"

#include <math.h>
#include <time.h>

lh_ns lh_clock_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (lh_ns)ts.tv_sec * LH_SECOND + (lh_ns)ts.tv_nsec;
}

lh_wall_time lh_clock_wall(void) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (lh_wall_time){.sec = ts.tv_sec, .usec = (int32_t)(ts.tv_nsec / 1000)};
}

lh_ns lh_clock_from_seconds(double seconds) {
    if (!(seconds > 0)) return 0;
    const double ns = ceil(seconds * 1e9);
    if (isinf(ns)) return LH_NEVER;
    return ns < 9.2e18 ? (lh_ns)ns : (lh_ns)9.2e18; /* 292 years: longer than the program, and yet an end */
}

lh_ns lh_clock_add(lh_ns start, lh_ns duration) { return duration > LH_NEVER - start ? LH_NEVER : start + duration; }

void lh_clock_sleep(lh_ns duration) {
    const struct timespec pause = {.tv_sec = (time_t)(duration / LH_SECOND), .tv_nsec = (long)(duration % LH_SECOND)};
    nanosleep(&pause, NULL);
}
