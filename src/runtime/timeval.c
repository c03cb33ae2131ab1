#include "runtime/timeval.h"

#include "runtime/errors.h"

void lh_timeval_push(lua_State *L, int64_t sec, int64_t usec) {
    const int64_t carry = usec / 1000000 - (usec % 1000000 < 0);
    lh_wall_time *tv = lua_newuserdata(L, sizeof(*tv));
    *tv = (lh_wall_time){.sec = sec + carry, .usec = (int32_t)(usec - carry * 1000000)};
    lua_getfield(L, LUA_REGISTRYINDEX, "mtev.timeval");
    lua_setmetatable(L, -2);
}

void lh_timeval_push_duration(lua_State *L, lh_ns duration) {
    lh_state *state = lh_state_here();
    const lh_ns us = duration / 1000;
    if (state->last_slept_ref && state->last_slept_us == us) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, state->last_slept_ref);
        return;
    }
    lh_timeval_push(L, (int64_t)(us / 1000000), (int64_t)(us % 1000000));
    lua_pushvalue(L, -1);
    if (state->last_slept_ref) {
        lua_rawseti(L, LUA_REGISTRYINDEX, state->last_slept_ref);
    } else {
        state->last_slept_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    state->last_slept_us = us;
}
