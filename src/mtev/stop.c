/* The C half of mtev.on_stop: see lualib/mtev/stop.lua and runtime/stop.h. */
#include "runtime/stop.h"

#include "mtev/init.h"

static int core_stop_register(lua_State *L) {
    lh_stop_register((int)luaL_checkinteger(L, 1));
    return 0;
}

static int core_stop_done(lua_State *L) {
    (void)L;
    lh_stop_done();
    return 0;
}

static int core_set_stop(lua_State *L) {
    lua_settop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, LH_STOP);
    return 0;
}

static const luaL_Reg functions[] = {
    {"stop_register", core_stop_register},
    {"stop_done", core_stop_done},
    {"set_stop", core_set_stop},
    {NULL, NULL},
};

void lh_open_stop(lua_State *L) { lh_set_functions(L, LH_CORE, functions); }
