#include "runtime/option_table.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/word.h"
#include "runtime/errors.h"

static bool is_among(const char *key, const char *const *names) {
    for (; *names; names++) {
        if (strcmp(key, *names) == 0) return true;
    }
    return false;
}

void lh_raise_unknown_option(lua_State *L, int index, const char *const *names) {
    /* The key is at the top; a number must not become a string in lua_next's place, so a copy is converted. */
    lua_pushvalue(L, -1);
    const char *key = lua_isstring(L, -1) ? lua_tostring(L, -1) : luaL_typename(L, -1);
    const char *nearest = lh_word_nearest(key, names);
    if (!nearest) lh_raise_argument(L, index, lua_pushfstring(L, "unknown option '%s'", key));
    lh_raise_argument(L, index, lua_pushfstring(L, "unknown option '%s' (did you mean '%s'?)", key, nearest));
}

bool lh_check_options(lua_State *L, int index, const char *const *names) {
    assert(index > 0);
    if (lua_isnoneornil(L, index)) return false;
    if (!lua_istable(L, index)) lh_raise_type(L, index, "table");
    luaL_checkstack(L, 6, "options");
    for (lua_pushnil(L); lua_next(L, index);) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING && is_among(lua_tostring(L, -1), names)) continue;
        lh_raise_unknown_option(L, index, names);
    }
    return true;
}

bool lh_option_boolean(lua_State *L, int index, const char *name) {
    assert(index > 0 && lua_istable(L, index));
    lua_getfield(L, index, name);
    int truth = lua_toboolean(L, -1);
    if (lua_isstring(L, -1)) {
        size_t length;
        const char *word = lua_tolstring(L, -1, &length);
        truth = strlen(word) == length ? lh_word_boolean(word) : -1;
    }
    const bool is_right = truth >= 0 && (lua_isnil(L, -1) || lua_isboolean(L, -1) || lua_isstring(L, -1));
    if (!is_right) lh_raise_argument(L, index, lua_pushfstring(L, "%s must be a boolean", name));
    lua_pop(L, 1);
    return truth;
}

double lh_option_number(lua_State *L, int index, const char *name, double absent) {
    assert(index > 0 && lua_istable(L, index));
    lua_getfield(L, index, name);
    double number = absent;
    if (!lua_isnil(L, -1)) {
        number = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : lh_timeval_seconds(L, lua_gettop(L));
        if (isnan(number)) {
            lh_raise_argument(L, index, lua_pushfstring(L, "%s must be a number", name));
        }
    }
    lua_pop(L, 1);
    return number;
}
