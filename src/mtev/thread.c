/* What scripts get: mtev.thread_self, mtev.eventer_loop_concurrency. */
#include <stdio.h>

#include "mtev/api.h"
#include "runtime/program.h"

static int mtev_thread_self(lua_State *L) {
    const lh_state *state = lh_state_here();
    lua_pushinteger(L, state->thread_id);
    lua_pushinteger(L, state->index);
    lua_pushfstring(L, "default/%d", state->index);
    return 3;
}

static int mtev_eventer_loop_concurrency(lua_State *L) {
    lua_pushinteger(L, lh_program_options()->thread_count);
    return 1;
}

static const luaL_Reg functions[] = {
    {"thread_self", mtev_thread_self},
    {"eventer_loop_concurrency", mtev_eventer_loop_concurrency},
    {NULL, NULL},
};

void lh_open_thread(lua_State *L) { lh_set_functions(L, LH_MTEV, functions); }
