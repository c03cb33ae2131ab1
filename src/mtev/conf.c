/* What scripts get: mtev.conf_get_* and mtev.conf_replace_* under all their names. mtev.conf_save is in
 * lualib/mtev/conf.lua. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/word.h"
#include "data/xml.h"
#include "mtev/init.h"
#include "host/conf.h"
#include "runtime/errors.h"
#include "runtime/taken.h"
#include "runtime/task.h"

static const char *check_path(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TSTRING) lh_raise_type(L, index, "string");
    return lh_check_name(L, index);
}

static void check_result(lua_State *L, lh_config_result result, const char *message) {
    if (result == LH_CONFIG_BAD) lh_raise(L, "bad XPath: %s", message);
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */

/* Pushes the value as a string and returns it; NULL: nothing is there, nil is pushed. */
static const char *push_value(lua_State *L, const char *path) {
    char message[LH_CONFIG_MESSAGE_BYTES], *value = NULL;
    check_result(L, lh_conf_read(path, &value, message), message);
    if (value) {
        lh_push_taken(L, value, strlen(value), lh_free);
    } else {
        lua_pushnil(L);
    }
    return lua_tostring(L, -1);
}

static int push_misfit(lua_State *L, const char *what, const char *value) {
    char shown[64];
    snprintf(shown, sizeof(shown), "%s", value);
    lua_pushnil(L);
    lua_pushfstring(L, "not %s: '%s'", what, shown);
    return 2;
}

/* The value at 2, put where the path at 1 says: true, or false. */
static int write_value(lua_State *L, bool is_boolean, bool is_replacing) {
    char message[LH_CONFIG_MESSAGE_BYTES];
    const char *path = check_path(L, 1);
    if (is_boolean || lua_type(L, 2) == LUA_TBOOLEAN) {
        lua_pushstring(L, lua_toboolean(L, 2) ? "true" : "false");
        lua_replace(L, 2);
    }
    size_t length;
    const char *value = lh_check_string(L, 2, &length);
    if (!lh_xml_is_text(value, length)) lh_raise_argument(L, 2, "text of characters that XML allows expected");
    const lh_config_result result = lh_conf_write(path, value, length, is_replacing, message);
    check_result(L, result, message);
    assert(result == LH_CONFIG_DONE || result == LH_CONFIG_NONE);
    lua_pushboolean(L, result == LH_CONFIG_DONE);
    return 1;
}

/* A path alone reads; with a value libmtev's older form sets. */
static int set_value(lua_State *L, bool is_boolean) { return write_value(L, is_boolean, false); }

static int mtev_conf_get_string(lua_State *L) {
    if (!lua_isnoneornil(L, 2)) return set_value(L, false);
    push_value(L, check_path(L, 1));
    return 1;
}

static bool is_space(const char *text) { return text[strspn(text, " \t\r\n")] == 0; }

static int mtev_conf_get_integer(lua_State *L) {
    if (!lua_isnoneornil(L, 2)) return set_value(L, false);
    const char *value = push_value(L, check_path(L, 1));
    if (!value) return 1;
    char *end;
    errno = 0;
    const long long number = strtoll(value, &end, 0);
    const bool is_exact = number >= -(1LL << 53) && number <= 1LL << 53;
    if (end == value || !is_space(end) || errno || !is_exact) return push_misfit(L, "an integer", value);
    lua_pushnumber(L, (double)number);
    return 1;
}

static int mtev_conf_get_float(lua_State *L) {
    if (!lua_isnoneornil(L, 2)) return set_value(L, false);
    const char *value = push_value(L, check_path(L, 1));
    if (!value) return 1;
    char *end;
    const double number = strtod(value, &end);
    if (end == value || !is_space(end) || isnan(number)) return push_misfit(L, "a number", value);
    lua_pushnumber(L, number);
    return 1;
}

static int mtev_conf_get_boolean(lua_State *L) {
    if (!lua_isnoneornil(L, 2)) return set_value(L, true);
    const char *value = push_value(L, check_path(L, 1));
    if (!value) return 1;
    const int truth = lh_word_boolean(value);
    if (truth < 0) return push_misfit(L, "a boolean", value);
    lua_pushboolean(L, truth);
    return 1;
}

typedef struct list {
    char **values;
    size_t count;
} list;

static int push_list(lh_task *task, lua_State *T, void *context) {
    (void)task;
    const list *l = context;
    lua_createtable(T, (int)l->count, 0);
    for (size_t i = 0; i < l->count; i++) {
        lua_pushstring(T, l->values[i]);
        lua_rawseti(T, -2, (int)i + 1);
    }
    return 1;
}

static int mtev_conf_get_string_list(lua_State *L) {
    char message[LH_CONFIG_MESSAGE_BYTES];
    list l = {.values = NULL};
    const char *base = check_path(L, 1), *child = check_path(L, 2);
    const lh_config_result result = lh_conf_read_list(base, child, &l.values, &l.count, message);
    const int n = lh_protect(L, push_list, &l);
    for (size_t i = 0; i < l.count; i++) lh_free(l.values[i]);
    lh_free(l.values);
    if (n == LH_PROTECT_RAISED) lua_error(L);
    check_result(L, result, message);
    if (result == LH_CONFIG_INCOMPLETE) lh_raise(L, "Unable to read option entry: %s %s", base, child);
    if (result == LH_CONFIG_NONE) lua_pushnil(L);
    return 1;
}

/* -- Replacing ----------------------------------------------------------------------------------------------------- */

static int replace(lua_State *L, bool is_boolean) {
    if (lua_gettop(L) >= 2) return write_value(L, is_boolean, true);
    lua_pushnil(L);
    return 1;
}

static int mtev_conf_replace_value(lua_State *L) { return replace(L, false); }
static int mtev_conf_replace_boolean(lua_State *L) { return replace(L, true); }

/* The text to be saved and the file, or nothing: there is no file. */
static int core_conf_text(lua_State *L) {
    size_t length;
    const char *file = lh_conf_file();
    if (!file) return 0;
    char *text = lh_conf_saved_text(&length);
    if (!text) return luaL_error(L, "not enough memory");
    lh_push_taken(L, text, length, lh_free);
    lua_pushstring(L, file);
    return 2;
}

static int core_conf_generation(lua_State *L) {
    lua_pushnumber(L, (double)lh_conf_generation());
    return 1;
}

/* The reference's names, and libmtev's. */
static const luaL_Reg functions[] = {{"conf_get_string", mtev_conf_get_string},
                                     {"conf_get_integer", mtev_conf_get_integer},
                                     {"conf_get_float", mtev_conf_get_float},
                                     {"conf_get_boolean", mtev_conf_get_boolean},
                                     {"conf_get_string_list", mtev_conf_get_string_list},
                                     {"conf_replace_value", mtev_conf_replace_value},
                                     {"conf_replace_boolean", mtev_conf_replace_boolean},
                                     {"conf", mtev_conf_get_string},
                                     {"conf_get", mtev_conf_get_string},
                                     {"conf_string", mtev_conf_get_string},
                                     {"conf_integer", mtev_conf_get_integer},
                                     {"conf_number", mtev_conf_get_float},
                                     {"conf_get_number", mtev_conf_get_float},
                                     {"conf_boolean", mtev_conf_get_boolean},
                                     {"conf_replace_string", mtev_conf_replace_value},
                                     {"conf_replace_integer", mtev_conf_replace_value},
                                     {"conf_replace_number", mtev_conf_replace_value},
                                     {NULL, NULL}};

static const luaL_Reg core_functions[] = {
    {"conf_text", core_conf_text}, {"conf_generation", core_conf_generation}, {NULL, NULL}};

void lh_open_conf(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
}
