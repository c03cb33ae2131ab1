#include "mtev/init.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/lualib.h"
#include "runtime/state.h"
#include "runtime/type.h"

/* Run when the state opens, in this order; every other file of the library waits until it is required. */
static const char *const boot_files[] = {
    "inner/check",  "inner/blocking", "mtev/time",      "mtev/coroutine", "mtev/message", "mtev/semaphore",
    "mtev/shared",  "mtev/eventer",   "mtev/log",       "mtev/files",     "mtev/process", "mtev/LogWatch",
    "mtev/Proc",    "mtev/json",      "mtev/codec",     "mtev/timezone",  "mtev/tls",     "mtev/dns",
    "mtev/reverse", "mtev/Api",       "mtev/websocket", "mtev/conf",      "mtev/stop",    "inner/finalizer",
    "inner/stack",  "mtev/profile",
};

static void (*const topics[])(lua_State *L) = {
    lh_open_check,
    lh_open_coroutine,
    lh_open_message,
    lh_open_semaphore,
    lh_open_shared,
    lh_open_eventer,
    lh_open_eventer_socket,
    lh_open_eventer_options,
    lh_open_log,
    lh_open_thread,
    lh_open_condition,
    lh_open_files,
    lh_open_files_tree,
    lh_open_files_lock,
    lh_open_process,
    lh_open_exec,
    lh_open_pcre,
    lh_open_json,
    lh_open_codec,
    lh_open_gzip,
    lh_open_xml,
    lh_open_tls,
    lh_open_ssl_ctx,
    lh_open_dns,
    lh_open_eventer_connect,
    lh_open_reverse,
    lh_open_Api,
    lh_open_websocket,
    lh_open_conf,
    lh_open_watchdog,
    lh_open_hook,
    lh_open_profile,
    lh_open_http_head,
    lh_open_stop,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void lh_set_functions(lua_State *L, int index, const struct luaL_Reg *functions) {
    assert(index > 0 && lua_istable(L, index));
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, index, f->name);
    }
}

void lh_set_file_functions(lua_State *L, const struct luaL_Reg *functions) {
    lua_getfield(L, LH_CORE, "files");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, LH_CORE, "files");
    }
    lh_set_functions(L, lua_gettop(L), functions);
    lua_pop(L, 1);
}

void lh_new_type(lua_State *L, const char *name, lua_CFunction gc) {
    lh_type_new(L, name);
    lh_set_collector(L, gc);
    lua_pop(L, 1);
}

void **lh_push_object(lua_State *L, const char *type) {
    void **object = lua_newuserdata(L, sizeof(*object));
    *object = NULL;
    luaL_getmetatable(L, type);
    assert(lua_istable(L, -1));
    lua_setmetatable(L, -2);
    return object;
}

/* -- Globals ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int value;
} constants[] = {
    {"O_RDONLY", O_RDONLY},    {"O_WRONLY", O_WRONLY},       {"O_RDWR", O_RDWR},         {"O_APPEND", O_APPEND},
    {"O_SYNC", O_SYNC},        {"O_NOFOLLOW", O_NOFOLLOW},   {"O_CREAT", O_CREAT},       {"O_TRUNC", O_TRUNC},
    {"O_EXCL", O_EXCL},        {"O_DIRECTORY", O_DIRECTORY}, {"O_NONBLOCK", O_NONBLOCK}, {"O_CLOEXEC", O_CLOEXEC},
    {"O_DSYNC", O_DSYNC},      {"S_IFIFO", S_IFIFO},         {"S_IFCHR", S_IFCHR},       {"S_IFDIR", S_IFDIR},
    {"S_IFBLK", S_IFBLK},      {"S_IFREG", S_IFREG},         {"S_IFLNK", S_IFLNK},       {"S_IFSOCK", S_IFSOCK},
    {"MTEV_HOOK_CONTINUE", 0}, {"MTEV_HOOK_DONE", 1},        {"MTEV_HOOK_ABORT", 2},
};

static void set_environment(lua_State *L) {
    extern char **environ;
    lua_newtable(L);
    for (char **entry = environ; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!equals || equals == *entry) continue; /* no name: no child could get it either */
        lua_pushlstring(L, *entry, (size_t)(equals - *entry));
        lua_pushstring(L, equals + 1);
        lua_rawset(L, -3);
    }
    lua_setglobal(L, "ENV");
}

static void set_globals(lua_State *L) {
    for (size_t i = 0; i < COUNT(constants); i++) {
        lua_pushinteger(L, constants[i].value);
        lua_setglobal(L, constants[i].name);
    }
    set_environment(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "ffi");
    lua_call(L, 1, 1);
    lua_setglobal(L, "ffi");
}

/* -- The built-in Lua library -------------------------------------------------------------------------------------- */

/* Calls the file's chunk with (mtev, core): leaves its result. */
static void run_file(lua_State *L, const lh_lualib_file *file, int core) {
    assert(file && lua_istable(L, core));
    lua_pushfstring(L, "=%s%s.lua", strncmp(file->name, "mtev/", 5) == 0 ? "" : "mtev/", file->name);
    if (luaL_loadbuffer(L, file->text, (size_t)(file->end - file->text), lua_tostring(L, -1)) != 0) lua_error(L);
    lua_remove(L, -2);
    lua_getglobal(L, "mtev");
    lua_pushvalue(L, core);
    lua_call(L, 2, 1);
}

/* package.preload's loader: upvalues are the file and `core`. */
static int load_module(lua_State *L) {
    run_file(L, lua_touserdata(L, lua_upvalueindex(1)), lua_upvalueindex(2));
    return 1;
}

/* core.require("cluster/etcd"): what scripts cannot require. Upvalues: the results so far, and `core`. */
static int core_require(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(1));
    if (!lua_isnil(L, -1)) return 1;
    run_file(L, lh_lualib_find(name), lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(1));
    return 1;
}

static bool is_boot_file(const char *name) {
    for (size_t i = 0; i < COUNT(boot_files); i++) {
        if (strcmp(boot_files[i], name) == 0) return true;
    }
    return false;
}

/* Scripts can require what is below lualib/mtev and was not run yet: "mtev.HttpClient". */
static void preload_modules(lua_State *L) {
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    for (const lh_lualib_file *file = lh_lualib_files; file->name; file++) {
        if (strncmp(file->name, "mtev/", 5) != 0 || is_boot_file(file->name)) continue;
        lua_pushfstring(L, "mtev.%s", file->name + 5);
        lua_pushlightuserdata(L, (void *)(uintptr_t)file);
        lua_pushvalue(L, LH_CORE);
        lua_pushcclosure(L, load_module, 2);
        lua_rawset(L, -3);
    }
    lua_pop(L, 2);
}

static void open_library(lua_State *L) {
    lua_newtable(L);
    lua_pushvalue(L, LH_CORE);
    lua_pushcclosure(L, core_require, 2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, LH_REQUIRE);
    lua_setfield(L, LH_CORE, "require");
    for (size_t i = 0; i < COUNT(boot_files); i++) {
        run_file(L, lh_lualib_find(boot_files[i]), LH_CORE);
        lua_pop(L, 1);
    }
    preload_modules(L);
    assert(lua_gettop(L) == LH_CORE);
}

/* -- Names of functions -------------------------------------------------------------------------------------------- */

/* Tables of methods, by which error messages and tracebacks name them. */
static const struct {
    int index; /* LH_MTEV or LH_CORE */
    const char *key, *prefix;
} classes[] = {
    {LH_CORE, "eventer_methods", "eventer:"},
    {LH_CORE, "eventer_tails", "eventer:"}, /* what methods tail-call goes by their names */
    {LH_CORE, "eventer_long_tails", "eventer:"},
    {LH_CORE, "semaphore_methods", "semaphore:"},
    {LH_CORE, "process_methods", "process:"},
    {LH_CORE, "dns_methods", "dns:"},
    {LH_CORE, "json_methods", "json:"},
    {LH_CORE, "xmldoc_methods", "xmldoc:"},
    {LH_CORE, "xmlnode_methods", "xmlnode:"},
    {LH_MTEV, "Proc", "Proc:"},
    {LH_MTEV, "LogWatch", "LogWatch:"},
    {LH_CORE, "files", NULL}, /* NULL = part of the library itself, not named */
};

static void name_classes(lua_State *L) {
    for (size_t i = 0; i < COUNT(classes); i++) {
        lua_getfield(L, classes[i].index, classes[i].key);
        lh_state_name_methods(L, classes[i].prefix);
    }
}

void lh_open_api(lua_State *L) {
    lua_settop(L, 1); /* stack: mtev */
    lua_newtable(L);  /* stack: mtev, core */
    set_globals(L);
    for (size_t i = 0; i < COUNT(topics); i++) {
        topics[i](L);
        lua_settop(L, LH_CORE);
        assert(lua_istable(L, LH_MTEV) && lua_istable(L, LH_CORE));
    }
    open_library(L);
    name_classes(L);
    lua_pushvalue(L, LH_CORE);
    lh_state_name_methods(L, NULL);
    lua_settop(L, 0);
}
