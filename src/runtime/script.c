#include "runtime/script.h"

#include <assert.h>

#include "base/buffer.h"
#include "host/exit.h"
#include "runtime/errors.h"
#include "host/log.h"
#include "runtime/lualib.h"
#include "host/options.h"
#include "runtime/task.h"

static void set_string(lua_State *L, const char *key, const char *value) {
    if (!value) return;
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

static void set_boolean(lua_State *L, const char *key, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, key);
}

/* What run.lua needs to know of the command line. */
static void push_options(lua_State *L, const lh_options *options) {
    lua_newtable(L);
    set_string(L, "script", options->script);
    set_string(L, "entry", options->entry);
    set_string(L, "config", options->config);
    set_string(L, "path", options->path);
    set_string(L, "cpath", options->cpath);
    set_boolean(L, "is_luamtev", options->is_luamtev);
    set_boolean(L, "is_daemon", options->mode == LH_MODE_DAEMON);
    set_boolean(L, "is_test", options->mode == LH_MODE_TEST);
    lua_pushnumber(L, options->test_timeout);
    lua_setfield(L, -2, "test_timeout");
    lua_newtable(L);
    for (int i = 0; options->arguments && options->arguments[i]; i++) {
        lua_pushstring(L, options->arguments[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "arguments");
}

/* The script cannot be loaded: one line, and the process ends, with the status if there is a second argument. */
static int fail(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    lh_buffer record = {0};
    if (lh_buffer_print(&record, "%s: ", lh_options_get()->program) == 0 &&
        lh_buffer_append(&record, text, length) == 0 && lh_buffer_append(&record, "\n", 1) == 0) {
        lh_log_write(lh_log_get("error", 5), lh_buffer_bytes(&record), record.length);
    }
    lh_exit((int)luaL_optinteger(L, 2, lh_exit_failure_status()));
}

static int exit_process(lua_State *L) {
    int status = 0;
    if (lua_isboolean(L, 1)) {
        status = lua_toboolean(L, 1) ? 0 : 1;
    } else if (!lua_isnoneornil(L, 1)) {
        status = (int)lh_check_integer(L, 1, -128, 255);
    }
    lh_exit(status);
}

static int load_main(lua_State *L) {
    const lh_lualib_file *file = lh_lualib_find("inner/run");
    if (luaL_loadbuffer(L, file->text, (size_t)(file->end - file->text), "=mtev/inner/run.lua") != 0) lua_error(L);
    push_options(L, lh_options_get());
    lua_pushcfunction(L, fail);
    lua_setfield(L, -2, "fail");
    lua_pushcfunction(L, exit_process);
    lua_setfield(L, -2, "exit");
    lua_getfield(L, LUA_REGISTRYINDEX, LH_REQUIRE);
    lua_setfield(L, -2, "require");
    lua_call(L, 1, 1); /* the function that is the main task */
    return 1;
}

void lh_script_start(lh_state *state) {
    assert(lh_loop_is_mine(&state->net.loop) && !state->main_task);
    lua_State *L = state->L;
    lua_settop(L, 0);
    lua_pushcfunction(L, load_main);
    if (lua_pcall(L, 0, 1, 0) != 0) {
        lh_log_print("error", "lhotse: %s\n", lua_tostring(L, -1));
        lh_exit(1);
    }
    assert(lua_gettop(L) == 1 && lua_isfunction(L, 1));
    state->main_task = lh_task_new(state, L, 0);
    lh_task_anchor(state->main_task);
    lua_settop(L, 0);
    lh_task_start(state, state->main_task);
}
