/* Time as lhotse counts it.
 *
 * Every deadline is an instant of the monotonic clock in nanoseconds (`lh_ns`), so that setting the wall clock neither
 * fires nor delays one. Seconds as doubles exist only at the edge, where scripts and configuration speak; the two
 * conversions below round so that nothing ever happens early.
 *
 * Owner: nothing is allocated.
 * Thread: any.
 * Errors: none; the clocks used cannot fail on Linux. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* An instant (monotonic) or a duration, in nanoseconds. */
typedef uint64_t lh_ns;

#define LH_NEVER UINT64_MAX /* the deadline that does not come */
#define LH_SECOND UINT64_C(1000000000)
#define LH_MILLISECOND UINT64_C(1000000)

/* Wall clock time since 1970 UTC. */
typedef struct lh_wall_time {
    int64_t sec;
    int32_t usec; /* 0..999999 */
} lh_wall_time;

/* The monotonic clock now. */
lh_ns lh_clock_now(void);

/* The wall clock now. */
lh_wall_time lh_clock_wall(void);

/* `seconds` as a duration, rounded up to a whole nanosecond. Negative gives 0, infinity LH_NEVER, what does not
 * fit 292 years. NaN is the caller's to refuse. */
lh_ns lh_clock_from_seconds(double seconds);

/* Blocks the calling thread; for threads without a loop. A signal may end it early. */
void lh_clock_sleep(lh_ns duration);

/* `start + duration`, saturating at LH_NEVER. */
lh_ns lh_clock_add(lh_ns start, lh_ns duration);
