#include "runtime/command.h"

#include <limits.h>
#include <string.h>

#include "runtime/errors.h"

/* An array of C strings under construction; its memory is a userdata of Lua's, its strings are in a table. */
typedef struct strings {
    const char **items;
    int count;
    int anchors; /* stack index of the table */
} strings;

/* Room for `max` strings and the NULL. Pushes two values. */
static strings new_strings(lua_State *L, size_t max) {
    if (max > INT_MAX / 2) lh_raise(L, "too many strings in a command");
    strings list = {.items = lua_newuserdata(L, (max + 1) * sizeof(char *))};
    list.items[0] = NULL;
    lua_newtable(L);
    list.anchors = lua_gettop(L);
    return list;
}

/* Pops the string on top. `index`: of the argument it belongs to. */
static void add(lua_State *L, strings *list, int index) {
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    if (strlen(text) != length) lh_raise_argument(L, index, "string contains NUL");
    lua_rawseti(L, list->anchors, ++list->count);
    list->items[list->count - 1] = text;
    list->items[list->count] = NULL;
}

static char *const *items_of(const strings *list) { return (char *const *)(const void *)list->items; }

/* Adds the strings at 1, 2 ... of the table at `index`. */
static void add_array(lua_State *L, strings *list, int index, const char *what) {
    for (int i = 1;; i++) {
        lua_rawgeti(L, index, i);
        if (lua_isnil(L, -1)) break;
        if (!lua_isstring(L, -1)) {
            lh_raise_argument(L, index,
                              lua_pushfstring(L, "%s: string expected at %d, got %s", what, i, luaL_typename(L, -1)));
        }
        add(L, list, index);
    }
    lua_pop(L, 1);
}

static char *const *check_argv(lua_State *L, int index, const char *path) {
    if (lua_isnoneornil(L, index)) {
        strings list = new_strings(L, 1);
        lua_pushstring(L, path);
        add(L, &list, index);
        return items_of(&list);
    }
    strings list = new_strings(L, lua_objlen(L, index) + 1);
    add_array(L, &list, index, "arguments");
    return items_of(&list);
}

static size_t count_pairs(lua_State *L, int index) {
    size_t count = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) count++;
    return count;
}

/* Adds "KEY=value" for each string key of the table at `index`. */
static void add_pairs(lua_State *L, strings *list, int index) {
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) { /* stack: key, value */
        if (lua_type(L, -2) != LUA_TSTRING) continue;
        if (!lua_isstring(L, -1)) {
            lh_raise_argument(L, index,
                              lua_pushfstring(L, "environment: string expected for '%s', got %s", lua_tostring(L, -2),
                                              luaL_typename(L, -1)));
        }
        lua_pushvalue(L, -2);
        lua_pushliteral(L, "=");
        lua_pushvalue(L, -3);
        lua_concat(L, 3); /* keeps NULs, so that `add` sees them */
        add(L, list, index);
    }
}

static char *const *check_env(lua_State *L, int index) {
    strings list = new_strings(L, count_pairs(L, index));
    add_array(L, &list, index, "environment");
    add_pairs(L, &list, index);
    return items_of(&list);
}

void lh_check_command(lua_State *L, const char *usage, lh_command *command) {
    const char *path = lh_check_name(L, 1);
    for (int i = 2; i <= 3; i++) {
        if (!lua_isnoneornil(L, i) && !lua_istable(L, i)) lh_raise(L, "%s", usage);
    }
    *command = (lh_command){.path = path, .argv = check_argv(L, 2, path)};
    if (!lua_isnoneornil(L, 3)) command->env = check_env(L, 3);
}
