/* What scripts get: mtev.watchdog_child_heartbeat, mtev.watchdog_timeout. */
#include "host/heartbeat.h"
#include "mtev/init.h"
#include "runtime/state.h"

static int mtev_watchdog_child_heartbeat(lua_State *L) {
    atomic_store_explicit(lh_state_here()->net.loop.beat, lh_clock_now(), memory_order_relaxed);
    lua_pushinteger(L, 0);
    return 1;
}

static int mtev_watchdog_timeout(lua_State *L) {
    if (!lh_heartbeats_here || lh_heartbeats_here->timeout == LH_NEVER) return lua_pushnil(L), 1;
    lua_pushnumber(L, (double)lh_heartbeats_here->timeout / (double)LH_SECOND);
    return 1;
}

static const luaL_Reg functions[] = {
    {"watchdog_child_heartbeat", mtev_watchdog_child_heartbeat},
    {"watchdog_timeout", mtev_watchdog_timeout},
    {NULL, NULL},
};

void lh_open_watchdog(lua_State *L) { lh_set_functions(L, LH_MTEV, functions); }
