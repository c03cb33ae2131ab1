#include "runtime/collector.h"

#include <assert.h>

#include "runtime/errors.h"
#include "runtime/state.h"

/* Upvalues: the collector, the metatable of its type. */
static int collect(lua_State *L) {
    const bool has_metatable = lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1);
    if (!has_metatable || !lua_rawequal(L, -1, lua_upvalueindex(2))) lh_raise_argument(L, 1, "not of this type");
    lua_settop(L, 1);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

void lh_set_collector(lua_State *L, lua_CFunction gc) {
    assert(lua_istable(L, -1));
    lua_pushcfunction(L, gc);
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, collect, 2);
    lua_setfield(L, -2, "__gc");
}

bool lh_collector_may_close(bool is_awaited) { return !is_awaited || lh_state_here()->is_closing; }
