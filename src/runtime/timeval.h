/* mtev.timeval: seconds and microseconds, immutable.
 *
 * Owner: a Lua userdata. Thread: the state's own. Errors: misuse raises. */
#pragma once
#include "base/clock.h"
#include "runtime/state.h"

/* Pushes a duration, rounded down to microseconds. Since values cannot change, the same one is given again while the
 * duration stays the same: what all coroutines of a turn slept costs one object. */
void lh_timeval_push_duration(lua_State *L, lh_ns duration);

/* Pushes `sec` + `usec` normalised so that 0 <= usec < 1000000. */
void lh_timeval_push(lua_State *L, int64_t sec, int64_t usec);
