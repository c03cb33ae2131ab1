/* What lualib/mtev/time.lua calls through FFI: the clocks. */
#include "base/clock.h"

double lh_ffi_time(void);
int64_t lh_ffi_time_us(void);
double lh_ffi_monotonic(void);

/* Seconds since 1970 UTC, to the microsecond. */
double lh_ffi_time(void) {
    const lh_wall_time now = lh_clock_wall();
    return (double)now.sec + now.usec * 1e-6;
}

/* Microseconds since 1970 UTC. */
int64_t lh_ffi_time_us(void) {
    const lh_wall_time now = lh_clock_wall();
    return now.sec * 1000000 + now.usec;
}

/* Seconds of the clock that deadlines go by. */
double lh_ffi_monotonic(void) { return (double)lh_clock_now() * 1e-9; }
