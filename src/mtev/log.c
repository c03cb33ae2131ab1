/* What scripts get: mtev.log, mtev.print, mtev.printto, mtev.log_enabled, mtev.enable_log, mtev.log_lines. The first
 * two are in lualib/mtev/log.lua. */
#include <assert.h>
#include <string.h>

#include "base/buffer.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "host/log.h"
#include "host/options.h"

/* Where mtev.print writes, for the whole process. */
static _Atomic(lh_log *) print_stream;

enum { NAME_MAX_BYTES = 1000 }; /* a stream lives for ever, with one for each "/" in its name */

static const char *check_name(lua_State *L, int index, size_t *length) {
    const char *name = lh_check_string(L, index, length);
    if (*length > NAME_MAX_BYTES) lh_raise_argument(L, index, "name of more than 1000 bytes");
    return name;
}

static lh_log *check_stream(lua_State *L, int index) {
    size_t length;
    const char *name = check_name(L, index, &length);
    return lh_log_get(name, length);
}

static int mtev_log_enabled(lua_State *L) {
    size_t length;
    const char *name = check_name(L, 1, &length);
    const lh_log *log = memchr(name, '/', length) ? lh_log_get(name, length) : lh_log_find(name, length);
    lua_pushboolean(L, log && *lh_log_flag(log));
    return 1;
}

static int mtev_enable_log(lua_State *L) {
    lh_log_enable(check_stream(L, 1), lua_isnoneornil(L, 2) || lua_toboolean(L, 2));
    return 0;
}

static int mtev_printto(lua_State *L) {
    atomic_store(&print_stream, check_stream(L, 1));
    return 0;
}

typedef struct copied_lines {
    lh_buffer bytes; /* each with its length in front */
    bool is_short;   /* there was no memory for one */
} copied_lines;

/* The ring's lock is held: nothing of Lua here. */
static void copy_line(const char *bytes, size_t length, void *context) {
    copied_lines *lines = context;
    if (lines->is_short) return;
    lines->is_short = lh_buffer_append(&lines->bytes, (const char *)&length, sizeof(length)) < 0 ||
                      lh_buffer_append(&lines->bytes, bytes, length) < 0;
}

static int push_lines(lua_State *L) {
    copied_lines *copied = lua_touserdata(L, 1);
    lh_buffer *lines = &copied->bytes;
    if (copied->is_short) lh_raise(L, "not enough memory");
    lua_newtable(L);
    for (int i = 1; lines->length > 0; i++) {
        size_t length;
        assert(lines->length >= sizeof(length));
        memcpy(&length, lh_buffer_bytes(lines), sizeof(length));
        lh_buffer_consume(lines, sizeof(length));
        assert(length <= lines->length);
        lua_pushlstring(L, lh_buffer_bytes(lines), length);
        lh_buffer_consume(lines, length);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

/* lines(facility[, after]) -> records, number of the last one */
static int mtev_log_lines(lua_State *L) {
    size_t length;
    const char *name = lh_check_string(L, 1, &length);
    const double after = lua_isnoneornil(L, 2) ? 0 : (double)lh_check_integer(L, 2, 0, INT64_C(1) << 53);
    const lh_log *log = lh_log_find(name, length);
    lh_log_sink *sink = log ? lh_log_sink_of(log) : NULL;
    if (!sink || !lh_log_sink_is_memory(sink)) {
        lua_pushnil(L);
        lua_pushfstring(L, "the log '%s' is not of type memory", name);
        return 2;
    }
    copied_lines lines = {0};
    lua_pushcfunction(L, push_lines); /* before there is anything to free: it may raise */
    lua_pushlightuserdata(L, &lines);
    const uint64_t last = lh_log_sink_each(sink, (uint64_t)after, copy_line, &lines);
    const int rv = lua_pcall(L, 1, 1, 0);
    lh_buffer_reset(&lines.bytes);
    if (rv != 0) return lua_error(L);
    lua_pushnumber(L, (double)last);
    return 2;
}

/* -- For log.lua --------------------------------------------------------------------------------------------------- */

static int core_log_get(lua_State *L) {
    lua_pushlightuserdata(L, check_stream(L, 1));
    return 1;
}

static int core_log_flag(lua_State *L) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)lh_log_flag(lua_touserdata(L, 1)));
    return 1;
}

/* write(stream, text) -> bytes */
static int core_log_write(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 2, &length);
    lh_log *log = lua_touserdata(L, 1);
    lua_Debug caller;
    if ((*lh_log_flag(log) & LH_LOG_WANTS_CALLER) && lua_getstack(L, 1, &caller) && lua_getinfo(L, "Sl", &caller)) {
        lh_log_write_from(log, text, length, caller.short_src, caller.currentline);
    } else {
        lh_log_write(log, text, length);
    }
    lua_pushnumber(L, *lh_log_flag(log) ? (double)length : 0);
    return 1;
}

/* The same for compiled code, of a stream that does not want to know the caller. */
size_t lh_ffi_log_write(lh_log *log, const char *bytes, size_t length);
size_t lh_ffi_log_write(lh_log *log, const char *bytes, size_t length) {
    lh_log_write(log, bytes, length);
    return length;
}

static int core_print_target(lua_State *L) {
    lua_pushlightuserdata(L, atomic_load_explicit(&print_stream, memory_order_relaxed));
    return 1;
}

static const luaL_Reg functions[] = {
    {"log_enabled", mtev_log_enabled},
    {"enable_log", mtev_enable_log},
    {"printto", mtev_printto},
    {"log_lines", mtev_log_lines},
    {NULL, NULL},
};

static const luaL_Reg core_functions[] = {
    {"log_get", core_log_get},
    {"log_flag", core_log_flag},
    {"log_write", core_log_write},
    {"print_target", core_print_target},
    {NULL, NULL},
};

void lh_open_log(lua_State *L) {
    lh_log *expected = NULL;
    const char *name = lh_options_get()->mode == LH_MODE_DAEMON ? "error" : "stdout";
    atomic_compare_exchange_strong(&print_stream, &expected, lh_log_get(name, strlen(name)));
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
}
