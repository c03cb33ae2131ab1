/* What lualib/mtev/time.lua calls through FFI: the wall clock. */
#include "base/clock.h"

double lh_ffi_time(void);
int64_t lh_ffi_time_us(void);

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
