/* How C functions of the API check arguments, raise, and return failures.
 *
 * Misuse raises, with the position of the script's code and the name the script used; the world's failures return, in
 * one of four shapes, each with one pusher here. Texts start lower-case and have no full stop.
 *
 * Owner: strings belong to the Lua values they came from.
 * Thread: the state's own.
 * Errors: functions that say "raises" do not return then. */
#pragma once
#include <stdint.h>

#include "base/clock.h"
#include "runtime/state.h"

/* The longest string that LuaJIT can hold; pushing a longer one raises. */
#define LH_STRING_MAX ((size_t)0x7fffff00)

/* Pushes "FILE:LINE: " of the innermost code that is the script's, or "". */
void lh_push_position(lua_State *L);

/* Raises `format` (lua_pushfstring) with the position of the innermost code that is the script's. */
int lh_raise(lua_State *L, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* Raises "not enough memory" while what is set aside for calls that cannot fail is in use (base/alloc.h): whatever a
 * script may make without end asks here first. */
void lh_check_memory(lua_State *L);

/* Raises "bad argument #n to 'f' (what)"; `index` counts as on the stack, a method's self is not counted in the text.
 */
int lh_raise_argument(lua_State *L, int index, const char *what) __attribute__((noreturn));

/* Raises "... (`expected` expected, got ...)". */
int lh_raise_type(lua_State *L, int index, const char *expected) __attribute__((noreturn));

/* A string (or a number, converted in place); raises else. */
const char *lh_check_string(lua_State *L, int index, size_t *length);

/* The same without NUL bytes: a path, an address. */
const char *lh_check_name(lua_State *L, int index);

/* A number (or a numeric string); NaN raises. */
double lh_check_number(lua_State *L, int index);

/* An integer from `min` to `max`; fractions are cut off, what is outside raises. */
int64_t lh_check_integer(lua_State *L, int index, int64_t min, int64_t max);

/* 0..65535, as number or numeric string; raises else. */
unsigned lh_check_port(lua_State *L, int index);

/* Seconds: a number as lh_check_number, or an mtev.timeval. */
double lh_check_seconds(lua_State *L, int index);

/* The seconds of an mtev.timeval; NaN for anything else. */
double lh_timeval_seconds(lua_State *L, int index);

/* registry: function(value) -> the seconds of an mtev.timeval, nil for anything else. Set by time.lua. */
#define LH_SECONDS "mtev.seconds"

/* A timeout in seconds: nil and infinity = LH_NEVER, 0 and less = 0; NaN and other types raise. */
static inline lh_ns lh_check_timeout(lua_State *L, int index) {
    return lua_isnoneornil(L, index) ? LH_NEVER : lh_clock_from_seconds(lh_check_seconds(L, index));
}

/* `nil, message` */
int lh_push_nil_error(lua_State *L, const char *message);
/* `nil, errno, strerror` */
int lh_push_nil_errno(lua_State *L, int error);
/* `-1, message` */
int lh_push_minus1_error(lua_State *L, const char *message);
/* `-1, errno, strerror` */
int lh_push_minus1_errno(lua_State *L, int error);

/* True for chunks of the built-in library, whose frames are not the script's. */
bool lh_is_internal_source(const char *source);

/* Sets ar->name and ar->namewhat of the function at `level`: how its caller's code names it; NULL = not known.
 *
 * LuaJIT's own "n" reads that code at the place of the call, and for a message handler, whose caller may have been in
 * compiled code when its stack overflowed, the place is no place in it: SIGSEGV. The line of such a place is none. */
void lh_get_frame_name(lua_State *L, int level, lua_Debug *ar);

/* A function's registered name: "mtev." and "sleep", "eventer:" and "read". Both NULL: it has none; `name` is "" for
 * the C half of a function whose Lua half has the name. */
typedef struct lh_function_name {
    const char *prefix, *name;
} lh_function_name;

/* That of the function on top of the stack, which is popped. */
lh_function_name lh_pop_function_name(lua_State *L);
