/* What scripts get: mtev.time, mtev.gettimeofday, mtev.timeval. The first two are FFI calls (lualib/mtev/time.lua), so that
 * compiled loops call the clock directly. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mtev/api.h"
#include "runtime/errors.h"
#include "runtime/timeval.h"

#define TIMEVAL "mtev.timeval"

/* -- FFI ---------------------------------------------------------------------------------------------------------- */

double lh_ffi_time(void);
int64_t lh_ffi_time_us(void);

double lh_ffi_time(void) {
    const lh_wall_time now = lh_clock_wall();
    return (double)now.sec + now.usec * 1e-6;
}

int64_t lh_ffi_time_us(void) {
    const lh_wall_time now = lh_clock_wall();
    return now.sec * 1000000 + now.usec;
}

/* -- timeval ------------------------------------------------------------------------------------------------------ */

static const lh_wall_time *test_timeval(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return NULL;
    lua_getfield(L, LUA_REGISTRYINDEX, TIMEVAL);
    const bool is_timeval = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is_timeval ? lua_touserdata(L, index) : NULL;
}

static const lh_wall_time *check_timeval(lua_State *L, int index) {
    const lh_wall_time *tv = test_timeval(L, index);
    if (!tv) lh_raise_type(L, index, TIMEVAL);
    return tv;
}

static double to_seconds(const lh_wall_time *tv) { return (double)tv->sec + tv->usec * 1e-6; }

/* A timeval or a number of seconds, as whole microseconds: differences are then exact. */
static lh_wall_time operand(lua_State *L, int index) {
    const lh_wall_time *tv = test_timeval(L, index);
    if (tv) return *tv;
    if (!lua_isnumber(L, index)) lh_raise_type(L, index, "mtev.timeval or number");
    const double seconds = lua_tonumber(L, index), whole = floor(seconds);
    if (!(fabs(seconds) < 9e15)) lh_raise_argument(L, index, "number out of range");
    return (lh_wall_time){.sec = (int64_t)whole, .usec = (int32_t)floor((seconds - whole) * 1e6 + 0.5)};
}

static int timeval_new(lua_State *L) {
    if (lua_isnoneornil(L, 2)) {
        lh_check_number(L, 1);
        const lh_wall_time tv = operand(L, 1);
        lh_timeval_push(L, tv.sec, tv.usec);
        return 1;
    }
    const int64_t sec = lh_check_integer(L, 1, -(INT64_C(1) << 53), INT64_C(1) << 53);
    lh_timeval_push(L, sec, lh_check_integer(L, 2, -(INT64_C(1) << 53), INT64_C(1) << 53));
    return 1;
}

static int timeval_now(lua_State *L) {
    const lh_wall_time now = lh_clock_wall();
    lh_timeval_push(L, now.sec, now.usec);
    return 1;
}

static int timeval_seconds(lua_State *L) {
    lua_pushnumber(L, to_seconds(check_timeval(L, 1)));
    return 1;
}

static int timeval_index(lua_State *L) {
    const lh_wall_time *tv = check_timeval(L, 1);
    const char *key = lua_tostring(L, 2);
    if (key && strcmp(key, "sec") == 0) {
        lua_pushnumber(L, (double)tv->sec);
    } else if (key && strcmp(key, "usec") == 0) {
        lua_pushinteger(L, tv->usec);
    } else if (key && strcmp(key, "seconds") == 0) {
        lua_pushvalue(L, lua_upvalueindex(1));
    } else {
        return 0;
    }
    return 1;
}

static int timeval_add(lua_State *L) {
    const lh_wall_time a = operand(L, 1), b = operand(L, 2);
    lh_timeval_push(L, a.sec + b.sec, (int64_t)a.usec + b.usec);
    return 1;
}

static int timeval_sub(lua_State *L) {
    const lh_wall_time a = operand(L, 1), b = operand(L, 2);
    lh_timeval_push(L, a.sec - b.sec, (int64_t)a.usec - b.usec);
    return 1;
}

static int compare(lua_State *L) {
    const lh_wall_time a = operand(L, 1), b = operand(L, 2);
    if (a.sec != b.sec) return a.sec < b.sec ? -1 : 1;
    return (a.usec > b.usec) - (a.usec < b.usec);
}

static int timeval_eq(lua_State *L) {
    lua_pushboolean(L, compare(L) == 0);
    return 1;
}

static int timeval_lt(lua_State *L) {
    lua_pushboolean(L, compare(L) < 0);
    return 1;
}

static int timeval_le(lua_State *L) {
    lua_pushboolean(L, compare(L) <= 0);
    return 1;
}

static int timeval_tostring(lua_State *L) {
    const lh_wall_time *tv = check_timeval(L, 1);
    char text[48];
    /* A negative time is -0.25 and not -1.750000, its internal form. */
    const bool is_negative = tv->sec < 0;
    const int64_t sec = is_negative ? -(tv->sec + (tv->usec > 0)) : tv->sec;
    const int usec = is_negative && tv->usec > 0 ? 1000000 - tv->usec : tv->usec;
    snprintf(text, sizeof(text), "%s%lld.%06d", is_negative ? "-" : "", (long long)sec, usec);
    lua_pushstring(L, text);
    return 1;
}

static const luaL_Reg timeval_functions[] = {
    {"new", timeval_new},
    {"now", timeval_now},
    {"seconds", timeval_seconds},
    {NULL, NULL},
};

static const luaL_Reg timeval_meta[] = {
    {"__add", timeval_add}, {"__sub", timeval_sub}, {"__eq", timeval_eq},
    {"__lt", timeval_lt},   {"__le", timeval_le},   {"__tostring", timeval_tostring},
    {NULL, NULL},
};

void lh_open_time(lua_State *L) {
    lua_newtable(L);
    lh_set_functions(L, lua_gettop(L), timeval_functions);
    lua_pushvalue(L, -1);
    lh_state_name_methods(L, "mtev.timeval.");
    lua_pop(L, 1);
    lua_setfield(L, LH_MTEV, "timeval");
    luaL_newmetatable(L, TIMEVAL);
    lh_set_functions(L, lua_gettop(L), timeval_meta);
    lua_pushliteral(L, TIMEVAL);
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, timeval_seconds);
    lua_pushcclosure(L, timeval_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
