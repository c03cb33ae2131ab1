/* The workspaces of JSON: see json.h. */
#include <assert.h>
#include <lauxlib.h>

#include "mtev/json.h"
#include "runtime/collector.h"
#include "runtime/type.h"

#define WORKSPACE "mtev.json.workspace"

enum { KEPT_BYTES = 1024 * 1024 };

/* Its address is the registry's key of the state's workspace; nil there = taken, or none was needed yet. */
static const char place;

static void push_place(lua_State *L) { lua_pushlightuserdata(L, (void *)(uintptr_t)&place); }

/* A finalizer that runs while the state closes may still want one: it makes its own then. */
static int workspace_gc(lua_State *L) {
    lh_json_workspace *w = lua_touserdata(L, 1);
    lh_json_parser_free(w->parser);
    lh_buffer_reset(&w->out);
    *w = (lh_json_workspace){.parser = NULL};
    push_place(L);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (!lua_rawequal(L, 1, -1)) return 0;
    push_place(L);
    lua_pushnil(L);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return 0;
}

static lh_json_workspace *push_new_workspace(lua_State *L) {
    lh_json_workspace *w = lua_newuserdata(L, sizeof(*w));
    *w = (lh_json_workspace){.parser = NULL};
    luaL_getmetatable(L, WORKSPACE);
    lua_setmetatable(L, -2);
    return w;
}

lh_json_workspace *lh_json_take(lua_State *L) {
    push_place(L);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lh_json_workspace *w = lua_touserdata(L, -1);
    if (!w) {
        lua_pop(L, 1);
        return push_new_workspace(L);
    }
    push_place(L);
    lua_pushnil(L);
    lua_rawset(L, LUA_REGISTRYINDEX);
    assert(w->out.length == 0);
    return w;
}

void lh_json_give(lua_State *L, int index) {
    lh_json_workspace *w = lua_touserdata(L, index);
    w->out.length = w->out.start = 0;
    if (w->out.capacity > KEPT_BYTES) lh_buffer_reset(&w->out);
    push_place(L);
    lua_pushvalue(L, index);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void lh_json_open_workspace(lua_State *L) {
    lh_type_new(L, WORKSPACE);
    lh_set_collector(L, workspace_gc);
    lua_pop(L, 1);
}
