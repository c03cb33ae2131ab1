/* What scripts get: mtev.thread_self, mtev.thread_stats, mtev.eventer_loop_concurrency. */
#include <assert.h>
#include <unistd.h>

#include "mtev/init.h"
#include "runtime/program.h"

static int mtev_thread_self(lua_State *L) {
    const lh_state *state = lh_state_here();
    assert(lh_loop_is_mine(&state->net.loop));
    lua_pushinteger(L, state->thread_id);
    lua_pushinteger(L, state->index);
    lua_pushfstring(L, "default/%d", state->index);
    return 3;
}

static void set_number(lua_State *L, const char *key, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

static int mtev_thread_stats(lua_State *L) {
    lh_thread_figures *threads = lua_newuserdata(L, (size_t)lh_options_get()->thread_count * sizeof(*threads));
    const int count = lh_program_threads(threads);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_createtable(L, 0, 7);
        lua_pushfstring(L, "default/%d", threads[i].index);
        lua_setfield(L, -2, "name");
        set_number(L, "id", threads[i].thread_id);
        set_number(L, "cpu", threads[i].cpu_seconds);
        set_number(L, "turns", (double)threads[i].turns);
        set_number(L, "coroutines", (double)threads[i].tasks);
        set_number(L, "sockets", (double)threads[i].sockets);
        set_number(L, "timers", (double)threads[i].timers);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int mtev_eventer_loop_concurrency(lua_State *L) {
    lua_pushinteger(L, lh_options_get()->thread_count);
    return 1;
}

static const luaL_Reg functions[] = {
    {"thread_self", mtev_thread_self},
    {"thread_stats", mtev_thread_stats},
    {"eventer_loop_concurrency", mtev_eventer_loop_concurrency},
    {NULL, NULL},
};

static int core_process_id(lua_State *L) {
    lua_pushinteger(L, getpid());
    return 1;
}

static const luaL_Reg core_functions[] = {{"process_id", core_process_id}, {NULL, NULL}};

void lh_open_thread(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
}
