/* A blocking function of the API is a Lua function of the built-in library around a C function, so the frame that a
 * script called is not always the innermost one. `api_level` finds it: from the C function outwards as long as the
 * callers are built-in. What LuaJIT knows of its name is how the script wrote it; where it knows none (pcall(e.read,
 * e)) the table of registered names does. */
#include "runtime/errors.h"
#include "runtime/type.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

bool lh_is_internal_source(const char *source) { return strncmp(source, "=mtev/", 6) == 0; }

/* -- Position and name --------------------------------------------------------------------------------------------- */

void lh_push_position(lua_State *L) {
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && !lh_is_internal_source(ar.source)) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

int lh_raise(lua_State *L, const char *format, ...) {
    luaL_checkstack(L, 6, "error");
    lh_push_position(L);
    va_list arguments;
    va_start(arguments, format);
    lua_pushvfstring(L, format, arguments);
    va_end(arguments);
    lua_concat(L, 2);
    lua_error(L);
    __builtin_unreachable();
}

/* The level of the API function that the script called, -1 = none. */
static int find_api_frame(lua_State *L) {
    lua_Debug ar;
    if (!lua_getstack(L, 0, &ar)) return -1;
    int level = 0;
    while (lua_getstack(L, level + 1, &ar)) {
        lua_getinfo(L, "S", &ar);
        if (!lh_is_internal_source(ar.source)) break;
        level++;
    }
    return level;
}

void lh_get_frame_name(lua_State *L, int level, lua_Debug *ar) {
    lua_Debug caller;
    ar->name = NULL;
    ar->namewhat = "";
    if (!lua_getstack(L, level + 1, &caller)) return;
    lua_getinfo(L, "Sl", &caller);
    const bool is_line_there = caller.currentline > 0 && caller.currentline >= caller.linedefined &&
                               caller.currentline <= caller.lastlinedefined;
    if (is_line_there && lua_getstack(L, level, ar)) lua_getinfo(L, "n", ar);
}

/* registry[table][function on top of `L`], a string or NULL: stays valid, as the table keeps it. */
static const char *registered_string(lua_State *L, const char *table) {
    lua_getfield(L, LUA_REGISTRYINDEX, table);
    assert(lua_isfunction(L, -2) && lua_istable(L, -1));
    lua_pushvalue(L, -2);
    lua_rawget(L, -2);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 2);
    return text;
}

lh_function_name lh_pop_function_name(lua_State *L) {
    const lh_function_name name = {
        .prefix = registered_string(L, LH_PREFIXES),
        .name = registered_string(L, LH_NAMES),
    };
    lua_pop(L, 1);
    return name;
}

void lh_check_memory(lua_State *L) {
    if (!lh_alloc_is_low()) return;
    lh_alloc_reserve(); /* there may be some again */
    if (lh_alloc_is_low()) lh_raise(L, "not enough memory");
}

int lh_raise_argument(lua_State *L, int index, const char *what) {
    luaL_checkstack(L, 6, "error");
    lua_Debug ar;
    const char *name = "?";
    bool is_method = false;
    const int level = find_api_frame(L);
    if (level >= 0 && lua_getstack(L, level, &ar)) {
        lh_get_frame_name(L, level, &ar);
        lua_getinfo(L, "f", &ar);
        const lh_function_name registered = lh_pop_function_name(L);
        const bool is_registered = registered.name && *registered.name;
        is_method = is_registered ? strchr(registered.prefix, ':') != NULL : strcmp(ar.namewhat, "method") == 0;
        if (ar.name) {
            name = ar.name;
        } else if (is_registered) {
            name = registered.name;
        }
    }
    if (is_method && --index == 0) lh_raise(L, "calling '%s' on bad self (%s)", name, what);
    lh_raise(L, "bad argument #%d to '%s' (%s)", index, name, what);
}

int lh_raise_type(lua_State *L, int index, const char *expected) {
    lh_raise_argument(L, index, lua_pushfstring(L, "%s expected, got %s", expected, lh_type_name(L, index)));
}

/* -- Arguments ----------------------------------------------------------------------------------------------------- */

const char *lh_check_string(lua_State *L, int index, size_t *length) {
    const char *string = lua_tolstring(L, index, length);
    if (!string) lh_raise_type(L, index, "string");
    return string;
}

const char *lh_check_name(lua_State *L, int index) {
    size_t length;
    const char *name = lh_check_string(L, index, &length);
    if (strlen(name) != length) lh_raise_argument(L, index, "string contains NUL");
    return name;
}

double lh_check_number(lua_State *L, int index) {
    const double number = lua_tonumber(L, index);
    if (number == 0 && !lua_isnumber(L, index)) lh_raise_type(L, index, "number");
    if (isnan(number)) lh_raise_argument(L, index, "number is NaN");
    return number;
}

int64_t lh_check_integer(lua_State *L, int index, int64_t min, int64_t max) {
    assert(min <= max && min >= -(INT64_C(1) << 53) && max <= INT64_C(1) << 53);
    const double number = trunc(lh_check_number(L, index));
    if (number < (double)min || number > (double)max) {
        char text[96];
        snprintf(text, sizeof(text), "number from %lld to %lld expected, got %.14g", (long long)min, (long long)max,
                 number);
        lh_raise_argument(L, index, text);
    }
    return (int64_t)number;
}

unsigned lh_check_port(lua_State *L, int index) {
    const double number = lh_check_number(L, index);
    if (number != trunc(number) || number < 0 || number > 65535) {
        lh_raise_argument(L, index, "port must be an integer from 0 to 65535");
    }
    return (unsigned)number;
}

double lh_timeval_seconds(lua_State *L, int index) {
    enum { CDATA = LUA_TTHREAD + 2 }; /* LuaJIT's type, which lua.h does not name */
    if (lua_type(L, index) != CDATA) return NAN;
    lua_pushvalue(L, index);
    lua_getfield(L, LUA_REGISTRYINDEX, LH_SECONDS);
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    const double seconds = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : NAN;
    lua_pop(L, 1);
    return seconds;
}

double lh_check_seconds(lua_State *L, int index) {
    const double number = lua_tonumber(L, index);
    if (number > 0 || number < 0) return number; /* the usual case, at no further cost */
    const double seconds = lh_timeval_seconds(L, index);
    return isnan(seconds) ? lh_check_number(L, index) : seconds;
}

/* -- Failures ------------------------------------------------------------------------------------------------------ */

int lh_push_nil_error(lua_State *L, const char *message) {
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

int lh_push_nil_errno(lua_State *L, int error) {
    assert(error > 0);
    lua_pushnil(L);
    lua_pushinteger(L, error);
    lua_pushstring(L, lh_error_text(error));
    return 3;
}

int lh_push_minus1_error(lua_State *L, const char *message) {
    lua_pushinteger(L, -1);
    lua_pushstring(L, message);
    return 2;
}

int lh_push_minus1_errno(lua_State *L, int error) {
    assert(error > 0);
    lua_pushinteger(L, -1);
    lua_pushinteger(L, error);
    lua_pushstring(L, lh_error_text(error));
    return 3;
}
