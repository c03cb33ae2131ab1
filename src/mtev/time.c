/* What lualib/mtev/time.lua calls through FFI: the clocks. */
#include <time.h>

#include "base/clock.h"

double lh_ffi_time(void);
int64_t lh_ffi_time_us(void);
double lh_ffi_monotonic(void);
double lh_ffi_boot_time(void);

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

/* Seconds of the clock that goes on while the machine sleeps. */
double lh_ffi_boot_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Seconds of the clock that deadlines go by. */
double lh_ffi_monotonic(void) { return (double)lh_clock_now() * 1e-9; }
