#include "runtime/command.h"

#include <assert.h>
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
    assert(((size_t)list->count + 2) * sizeof(char *) <= lua_objlen(L, list->anchors - 1));
    if (strlen(text) != length) lh_raise_argument(L, index, "string contains NUL");
    lua_rawseti(L, list->anchors, ++list->count);
    list->items[list->count - 1] = text;
    list->items[list->count] = NULL;
}

static char *const *items_of(const strings *list) { return (char *const *)(const void *)list->items; }

/* Raises unless the value on top is a string. */
static void check_item(lua_State *L, int index, const char *what, int i) {
    if (lua_isstring(L, -1)) return;
    lh_raise_argument(L, index, lua_pushfstring(L, "%s: string expected at %d, got %s", what, i, luaL_typename(L, -1)));
}

/* Adds the strings at 1, 2 ... of the table at `index`. */
static void add_array(lua_State *L, strings *list, int index, const char *what) {
    for (int i = 1;; i++) {
        lua_rawgeti(L, index, i);
        if (lua_isnil(L, -1)) break;
        check_item(L, index, what, i);
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

/* Adds the entries at 1, 2 ... of the table at `index`, as they are. */
static void add_entries(lua_State *L, strings *list, int index) {
    for (int i = 1;; i++) {
        lua_rawgeti(L, index, i);
        if (lua_isnil(L, -1)) break;
        check_item(L, index, "environment", i);
        size_t length;
        const char *entry = lua_tolstring(L, -1, &length), *equals = memchr(entry, '=', length);
        if (!equals || equals == entry) {
            lh_raise_argument(L, index, lua_pushfstring(L, "environment: NAME=value expected at %d", i));
        }
        add(L, list, index);
    }
    lua_pop(L, 1);
}

/* An environment's entry ends its name at the first "=" (POSIX), so a name has none and is not empty. */
static void check_variable(lua_State *L, int index, int count) {
    if (lua_type(L, -2) == LUA_TNUMBER) {
        lh_raise_argument(
            L, index,
            lua_pushfstring(L, "environment: entries have the keys 1 to %d, not %f", count, lua_tonumber(L, -2)));
    }
    if (lua_type(L, -2) != LUA_TSTRING) {
        lh_raise_argument(L, index, lua_pushfstring(L, "environment: a name is a %s", luaL_typename(L, -2)));
    }
    size_t length;
    const char *name = lua_tolstring(L, -2, &length);
    if (length == 0) lh_raise_argument(L, index, "environment: empty name");
    if (memchr(name, '=', length)) {
        lh_raise_argument(L, index, lua_pushfstring(L, "environment: '=' in the name '%s'", name));
    }
}

static bool is_entry(lua_State *L, int count) {
    const double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    return key >= 1 && key <= count && key == (double)(int)key;
}

/* Adds "KEY=value" for each string key of the table at `index`, whose keys 1 to `count` are entries. */
static void add_pairs(lua_State *L, strings *list, int index, int count) {
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) { /* stack: key, value */
        if (is_entry(L, count)) continue;
        check_variable(L, index, count);
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
    add_entries(L, &list, index);
    add_pairs(L, &list, index, list.count);
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
