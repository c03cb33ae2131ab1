/* What lualib/mtev/timezone.lua calls through FFI, so that compiled Lua calls it like any C program. */
#include "data/timezone.h"

lh_timezone *lh_ffi_timezone_open(const char *name);
void lh_ffi_timezone_close(lh_timezone *zone);
void lh_ffi_timezone_at(lh_timezone *zone, int64_t time, lh_local_time *local);

lh_timezone *lh_ffi_timezone_open(const char *name) { return lh_timezone_open(name); }

void lh_ffi_timezone_close(lh_timezone *zone) { lh_timezone_close(zone); }

void lh_ffi_timezone_at(lh_timezone *zone, int64_t time, lh_local_time *local) { lh_timezone_at(zone, time, local); }
