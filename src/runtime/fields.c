#include "runtime/fields.h"

#include <assert.h>

const char *lh_field_text(lua_State *L, int table, const char *key, size_t *length) {
    assert(lua_istable(L, table));
    lua_getfield(L, table, key);
    const char *text = lua_isstring(L, -1) ? lua_tolstring(L, -1, length) : NULL;
    lua_pop(L, 1);
    return text;
}

bool lh_field_boolean(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    const bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

double lh_field_number(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    const double number = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number;
}
