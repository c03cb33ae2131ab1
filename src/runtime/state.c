#include "runtime/state.h"

#include <assert.h>
#include <lualib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "net/http_client.h"
#include "net/resolver.h"
#include "net/tls_context.h"
#include "runtime/errors.h"
#include "runtime/finalizer.h"
#include "host/log.h"
#include "runtime/lualib.h"
#include "runtime/task.h"

_Thread_local lh_state *lh__state_here;

const lh_lualib_file *lh_lualib_find(const char *name) {
    for (const lh_lualib_file *file = lh_lualib_files; file->name; file++) {
        if (strcmp(file->name, name) == 0) return file;
    }
    return NULL;
}

static const void *global_function(lua_State *L, const char *name) {
    lua_getglobal(L, name);
    const void *f = lua_topointer(L, -1);
    lua_pop(L, 1);
    return f;
}

/* Sets registry[name] to a new table whose keys (and values, by `mode`) are weak. */
static void make_weak_table(lua_State *L, const char *name, const char *mode) {
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, name);
}

/* Names for the functions of the table on top of the stack: prefix .. key, or "" when `prefix` is NULL. Functions that
 * have one keep it. Kept apart, as both strings exist already: put together where one is asked for (errors.c). */
static void name_functions(lua_State *L, const char *prefix) {
    assert(lua_istable(L, -1));
    lua_pushstring(L, prefix ? prefix : "");
    lua_getfield(L, LUA_REGISTRYINDEX, LH_PREFIXES);
    lua_getfield(L, LUA_REGISTRYINDEX, LH_NAMES);
    lua_pushnil(L);
    while (lua_next(L, -5)) { /* stack: table, prefix, prefixes, names, key, value */
        if (lua_isfunction(L, -1) && lua_type(L, -2) == LUA_TSTRING) {
            lua_pushvalue(L, -1);
            lua_rawget(L, -4);
            const bool is_new = lua_isnil(L, -1);
            lua_pop(L, 1);
            if (is_new) {
                lua_pushvalue(L, -1);
                lua_pushvalue(L, prefix ? -3 : -6); /* stack: ..., key, value, value, key */
                lua_rawset(L, -5);                  /* names[value] = key, or "" */
                lua_pushvalue(L, -1);
                lua_pushvalue(L, -6);
                lua_rawset(L, -6); /* prefixes[value] = prefix */
            }
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 3);
}

static void name_standard_library(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_istable(L, -1) && lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "_G") != 0) {
            lua_pushfstring(L, "%s.", lua_tostring(L, -2));
            lua_pushvalue(L, -2);
            name_functions(L, lua_tostring(L, -2));
            lua_pop(L, 2);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    name_functions(L, "");
    lua_pop(L, 1);
}

/* Work of the collector per allocated KiB, in percent of that; LuaJIT's default is 200. A cycle then takes a fifth of
 * the time, so that less is allocated during it and more of what it looks at is still in the processor's caches; a
 * single step takes some ten microseconds. */
enum { COLLECTOR_STEP = 1000 };

static int open_lua(lua_State *L) {
    lh_state *state = lua_touserdata(L, 1);
    void (*const *open_api)(lua_State *) = lua_touserdata(L, 2);
    lua_settop(L, 0);
    luaL_openlibs(L);
    state->pcall = global_function(L, "pcall");
    state->xpcall = global_function(L, "xpcall");
    lh_protect_open(state, L);
    lh_task_open(state, L);
    lh_finalizers_open(state, L);
    make_weak_table(L, LH_NAMES, "k");
    make_weak_table(L, LH_PREFIXES, "k");
    make_weak_table(L, LH_INNER, "kv");
    make_weak_table(L, LH_FAILED, "v");
    assert(lua_gettop(L) == 0);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setglobal(L, "mtev");
    (*open_api)(L);
    lua_getglobal(L, "mtev");
    name_functions(L, "mtev.");
    name_standard_library(L);
    assert(lua_gettop(L) == 1);
    return 0;
}

#ifdef LHOTSE_INJECT
/* LuaJIT's allocator, whose allocations count among those that can fail. */
static void *allocate(void *data, void *block, size_t old_size, size_t size) {
    const lh_state *state = data;
    if (size > old_size && lh_alloc_is_to_fail()) return NULL;
    return state->allocate(state->allocator, block, old_size, size);
}

static void set_allocator(lh_state *state) {
    state->allocate = lua_getallocf(state->L, &state->allocator);
    lua_setallocf(state->L, allocate, state);
}
#else
static void set_allocator(lh_state *state) { state->allocate = lua_getallocf(state->L, &state->allocator); }
#endif

void lh_state_name_methods(lua_State *L, const char *prefix) { name_functions(L, prefix); }

bool lh_state_open(lh_state *state, struct lh_program *program, int index, void (*open_api)(lua_State *L)) {
    assert(!lh__state_here && index >= 0);
    *state = (lh_state){.program = program, .index = index, .thread_id = (pid_t)syscall(SYS_gettid)};
    lh__state_here = state;
    const int rv = lh_net_open(&state->net);
    if (rv < 0) {
        lh_log_print("error", "lhotse: cannot open an event loop: %s\n", lh_error_text(-rv));
        return false;
    }
    lh_slab_init(&state->tasks, sizeof(lh_task), offsetof(lh_task, wait_node));
    state->L = luaL_newstate();
    if (!state->L) {
        lh_log_print("error", "lhotse: cannot create a Lua state: out of memory\n");
        return false;
    }
    set_allocator(state);
    lua_gc(state->L, LUA_GCSETSTEPMUL, COLLECTOR_STEP);
    lua_pushcfunction(state->L, open_lua);
    lua_pushlightuserdata(state->L, state);
    lua_pushlightuserdata(state->L, &open_api);
    if (lua_pcall(state->L, 2, 0, 0) != 0) {
        lh_log_print("error", "lhotse: %s\n", lua_tostring(state->L, -1));
        return false;
    }
    return true;
}

void lh_state_close(lh_state *state) {
    assert(state->L && !state->is_closing && !state->running);
    lh__state_here = state; /* the thread that closes need not be the one that ran */
    lh_loop_adopt(&state->net.loop);
    state->is_closing = true;
    lh_finalizers_end(state);
    lua_setallocf(state->L, state->allocate, state->allocator);
    lua_close(state->L);
    lh_tls_contexts_close(&state->net);
    lh_resolvers_close(&state->net);
    lh_http_close(&state->net);
    lh_net_close(&state->net);
    lh_slab_fini(&state->tasks);
    lh_ptrmap_fini(&state->task_of);
    lh__state_here = NULL;
}
