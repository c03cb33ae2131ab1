/* The name is in the metatable's __name, where Lua's own library looks from 5.3 on. Tables of our classes have one,
 * too. */
#include "runtime/type.h"

#include <lauxlib.h>

#include "runtime/errors.h"

/* Upvalue: the name. */
static int type_tostring(lua_State *L) {
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    lua_pushfstring(L, "%s: %p", name, lh_type_check(L, 1, name));
    return 1;
}

void lh_type_new(lua_State *L, const char *name) {
    luaL_newmetatable(L, name);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushstring(L, name);
    lua_pushcclosure(L, type_tostring, 1);
    lua_setfield(L, -2, "__tostring");
}

void *lh_type_test(lua_State *L, int index, const char *name) { return luaL_testudata(L, index, name); }

void *lh_type_check(lua_State *L, int index, const char *name) {
    void *object = lh_type_test(L, index, name);
    if (!object) lh_raise_type(L, index, name);
    return object;
}

const char *lh_type_name(lua_State *L, int index) {
    const int type = lua_type(L, index);
    if ((type != LUA_TUSERDATA && type != LUA_TTABLE) || !lua_getmetatable(L, index)) return luaL_typename(L, index);
    lua_pushliteral(L, "__name");
    lua_rawget(L, -2);
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : lua_typename(L, type);
    lua_pop(L, 2); /* the metatable keeps it */
    return name;
}
