/* What scripts get: mtev.parsejson, mtev.tojson and the methods of mtev.json: document, tostring.
 *
 * An mtev.json object is its text: a Lua string, usually the very one that the script has anyway. parsejson leaves the
 * tape in the state's parser; as long as no other text was parsed, `document` walks that tape, else it parses once
 * more. So an object that is kept costs no more than its text, and one that is used at once is parsed once. */
#include "mtev/json.h"

#include <assert.h>

#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/type.h"

#define JSON "mtev.json"

typedef struct json {
    uint64_t generation; /* of the tape of its text; 0 = its text was never on one */
    bool is_compact;     /* the text has no white space between tokens */
} json;                  /* its environment: {text} */

/* -- Parsing ------------------------------------------------------------------------------------------------------- */

static bool parse(lua_State *L, lh_json_workspace *w, const char *text, size_t length, lh_json_error *error) {
    static _Thread_local uint64_t last;
    if (!w->parser) w->parser = lh_json_parser_new();
    if (!w->parser) lh_raise(L, "not enough memory");
    w->generation = 0;
    if (!lh_json_parse(w->parser, text, length, error)) return false;
    w->generation = ++last;
    return true;
}

/* The tape of a large text is not kept for the small ones that follow. */
static void drop_large_tape(lh_json_workspace *w, size_t length) {
    enum { KEPT_TEXT = 1024 * 1024 };
    if (length <= KEPT_TEXT) return;
    lh_json_parser_free(w->parser);
    w->parser = NULL;
    w->generation = 0;
}

/* -- The object ---------------------------------------------------------------------------------------------------- */

static json *check_json(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        luaL_getmetatable(L, JSON);
        const bool is_json = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
        if (is_json) return lua_touserdata(L, index);
    }
    lh_raise_type(L, index, JSON);
}

/* Pushes the object whose text is at `text_index`. */
static json *push_json(lua_State *L, int text_index, bool is_compact) {
    json *j = lua_newuserdata(L, sizeof(*j));
    *j = (json){.is_compact = is_compact};
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, text_index);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    luaL_getmetatable(L, JSON);
    lua_setmetatable(L, -2);
    return j;
}

/* Pushes the text of the object at `index`. */
static const char *push_text(lua_State *L, int index, size_t *length) {
    lua_getfenv(L, index);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
    return lua_tolstring(L, -1, length);
}

static int mtev_parsejson(lua_State *L) {
    size_t length;
    lh_json_error error;
    const char *text = lh_check_string(L, 1, &length);
    lua_settop(L, 1);
    lh_json_workspace *w = lh_json_take(L);
    const bool is_json = parse(L, w, text, length, &error);
    lh_json_give(L, 2);
    if (!is_json) {
        lua_pushnil(L);
        lua_pushstring(L, error.message);
        lua_pushnumber(L, (double)error.offset);
        return 3;
    }
    const uint64_t generation = w->generation;
    push_json(L, 1, false)->generation = generation;
    return 1;
}

static int json_document(lua_State *L) {
    json *j = check_json(L, 1);
    lua_settop(L, 2);
    const lh_json_options options = lh_json_get_options(L, 2);
    size_t length;
    lh_json_error error;
    const char *text = push_text(L, 1, &length);
    lh_json_workspace *w = lh_json_take(L);
    const int workspace_index = lua_gettop(L);
    if (!j->generation || j->generation != w->generation) {
        if (!parse(L, w, text, length, &error)) lh_raise(L, "%s", error.message);
        j->generation = w->generation;
    }
    lh_json_push_value(L, w->parser, text, length, options);
    drop_large_tape(w, length);
    lh_json_give(L, workspace_index);
    return 1;
}

static int json_tostring(lua_State *L) {
    json *j = check_json(L, 1);
    lua_settop(L, 1);
    size_t length;
    const char *text = push_text(L, 1, &length);
    if (j->is_compact) return 1;
    lh_json_workspace *w = lh_json_take(L);
    if (lh_buffer_reserve(&w->out, length + 64) < 0) lh_raise(L, "not enough memory");
    lua_pushlstring(L, w->out.block, lh_json_minify(text, length, w->out.block));
    assert(lua_gettop(L) == 4);
    lh_json_give(L, 3);
    lua_getfenv(L, 1);
    lua_pushvalue(L, 4);
    lua_rawseti(L, -2, 1);
    lua_pop(L, 1);
    j->is_compact = true;
    return 1;
}

static int mtev_tojson(lua_State *L) {
    if (lua_gettop(L) == 0) lh_raise_argument(L, 1, "value expected");
    const int64_t depth_max = lua_isnoneornil(L, 2) ? -1 : lh_check_integer(L, 2, INT32_MIN, INT32_MAX);
    lua_settop(L, 1);
    lh_json_workspace *w = lh_json_take(L);
    lua_pushvalue(L, 1);
    lh_json_encode(L, 2, (int)depth_max);
    assert(lua_gettop(L) == 3);
    if (w->out.length > LH_STRING_MAX) {
        lh_json_give(L, 2);
        lh_raise(L, "cannot encode as JSON: text of 2 GiB or more");
    }
    lua_pushlstring(L, lh_buffer_bytes(&w->out), w->out.length);
    lh_json_give(L, 2);
    push_json(L, lua_gettop(L), true);
    return 1;
}

/* -- The type ------------------------------------------------------------------------------------------------------ */

/* Called by json.lua with the function that makes 64-bit integers. */
static int core_json_set_int64(lua_State *L) {
    lua_settop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, LH_JSON_INT64_MAKER);
    return 0;
}

static const luaL_Reg functions[] = {{"parsejson", mtev_parsejson}, {"tojson", mtev_tojson}, {NULL, NULL}};
static const luaL_Reg core_functions[] = {{"json_set_int64", core_json_set_int64}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"document", json_document}, {"tostring", json_tostring}, {NULL, NULL}};

void lh_open_json(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lh_json_open_workspace(L);
    lh_type_new(L, JSON);
    lua_newtable(L);
    lh_set_functions(L, lua_gettop(L), methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, LH_CORE, "json_methods");
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, json_tostring);
    lua_setfield(L, -2, "__tostring");
}
