/* What scripts get: mtev.pcre, which compiles a regular expression and returns the function that matches it.
 *
 * A matcher is a closure over its expression (a userdata) and the subject it is in the middle of: while the same string
 * is given, searching goes on behind the last match. One workspace serves all matchers of a Lua state. */
#include "data/regex.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "mtev/init.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/option_table.h"
#include "runtime/type.h"

#define PCRE "mtev.pcre"
#define WORKSPACE "mtev.pcre.workspace"

enum { FEW_CAPTURES = 31 };
enum { EXPRESSION = 1, SUBJECT = 2, USED_WORKSPACE = 3 }; /* upvalues of a matcher */

/* Userdata; NULL = collected. */
typedef struct expression {
    lh_regex *regex;
} expression;

typedef struct workspace {
    lh_regex_workspace *space;
} workspace;

/* -- Options ------------------------------------------------------------------------------------------------------- */

typedef struct options {
    uint32_t limit, limit_recurse; /* steps; 0 = the library's default */
    bool has_offsets;
    int unmatched; /* stack index of what stands for a capture that took no part; 0 = nil */
} options;

static uint32_t get_limit(lua_State *L, int index, const char *key) {
    const double limit = lh_option_number(L, index, key, NAN);
    if (isnan(limit)) return 0;
    return limit >= UINT32_MAX ? UINT32_MAX : limit >= 1 ? (uint32_t)limit : 1;
}

/* Leaves the value of `unmatched` on the stack. */
static options get_options(lua_State *L, int index) {
    options o = {.limit = 0};
    static const char *const names[] = {"limit", "limit_recurse", "offsets", "unmatched", NULL};
    if (!lh_check_options(L, index, names)) return o;
    o.limit = get_limit(L, index, "limit");
    o.limit_recurse = get_limit(L, index, "limit_recurse");
    o.has_offsets = lh_option_boolean(L, index, "offsets");
    lua_getfield(L, index, "unmatched");
    o.unmatched = lua_gettop(L);
    return o;
}

/* -- Matching ------------------------------------------------------------------------------------------------------ */

static void push_offset(lua_State *L, size_t offset) {
    lua_pushnumber(L, offset == LH_REGEX_UNSET ? -1 : (double)offset);
}

static void push_offsets(lua_State *L, const size_t *pairs, size_t count) {
    lua_createtable(L, (int)count * 2, 0);
    for (size_t i = 0; i < count * 2; i++) {
        push_offset(L, pairs[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static int push_captures(lua_State *L, const size_t *pairs, size_t capture_count, const char *subject,
                         const options *o) {
    if (o->has_offsets) {
        push_offsets(L, pairs, capture_count + 1);
    } else {
        lua_pushboolean(L, 1);
    }
    for (size_t i = 0; i <= capture_count; i++) {
        const size_t start = pairs[2 * i], end = pairs[2 * i + 1];
        if (start != LH_REGEX_UNSET && start <= end) {
            lua_pushlstring(L, subject + start, end - start);
        } else if (o->unmatched) {
            lua_pushvalue(L, o->unmatched);
        } else {
            lua_pushnil(L);
        }
    }
    return (int)capture_count + 2;
}

static int push_failure(lua_State *L, const char *message) {
    lua_pushboolean(L, 0);
    lua_pushstring(L, message);
    return 2;
}

static void begin(lua_State *L, lh_regex *regex) {
    lh_regex_rewind(regex);
    lua_pushvalue(L, 1);
    lua_replace(L, lua_upvalueindex(SUBJECT));
}

/* The pairs found are the workspace's, which a finalizer's search may use as soon as anything is allocated: so there is
 * room for a copy before the search, and nothing is allocated between. */
static int search(lua_State *L) {
    size_t length;
    lh_regex_match match;
    const expression *e = lua_touserdata(L, lua_upvalueindex(EXPRESSION));
    const workspace *w = lua_touserdata(L, lua_upvalueindex(USED_WORKSPACE));
    if (!e->regex || !w->space) lh_raise(L, "the state is closing");
    lua_settop(L, 2);
    if (lua_isnil(L, 1)) {
        begin(L, e->regex);
        lua_pushboolean(L, 0);
        return 1;
    }
    const char *subject = lh_check_string(L, 1, &length);
    const options o = get_options(L, 2);
    const size_t capture_count = lh_regex_capture_count(e->regex);
    size_t few[2 * (FEW_CAPTURES + 1)];
    size_t *pairs = capture_count <= FEW_CAPTURES ? few : lua_newuserdata(L, 2 * (capture_count + 1) * sizeof(*pairs));
    luaL_checkstack(L, (int)capture_count + 4, "too many captures");
    if (!lua_rawequal(L, 1, lua_upvalueindex(SUBJECT))) begin(L, e->regex);
    switch (lh_regex_next(e->regex, w->space, subject, length, o.limit, o.limit_recurse, &match)) {
    case LH_REGEX_MATCH:
        assert(match.count > 0 && match.count <= capture_count + 1);
        memcpy(pairs, match.pairs, 2 * match.count * sizeof(*pairs));
        /* PCRE2 counts up to the last capture that took part. */
        for (size_t i = 2 * match.count; i < 2 * (capture_count + 1); i++) pairs[i] = LH_REGEX_UNSET;
        return push_captures(L, pairs, capture_count, subject, &o);
    case LH_REGEX_NO_MATCH: lua_pushboolean(L, 0); return 1;
    case LH_REGEX_LIMIT: return push_failure(L, "match limit exceeded");
    case LH_REGEX_MEMORY: lh_raise(L, "not enough memory");
    default: return push_failure(L, match.message);
    }
}

/* -- Compiling ----------------------------------------------------------------------------------------------------- */

static int mtev_pcre(lua_State *L) {
    size_t length, offset;
    char message[LH_REGEX_MESSAGE_BYTES];
    const char *pattern = lh_check_string(L, 1, &length);
    lua_getfield(L, LUA_REGISTRYINDEX, WORKSPACE);
    workspace *w = lua_touserdata(L, -1);
    if (!w->space) w->space = lh_regex_workspace_new();
    if (!w->space) lh_raise(L, "not enough memory");
    expression *e = lua_newuserdata(L, sizeof(*e));
    *e = (expression){.regex = NULL};
    luaL_getmetatable(L, PCRE);
    lua_setmetatable(L, -2);
    lh_check_memory(L);
    e->regex = lh_regex_compile(pattern, length, message, &offset);
    if (!e->regex) {
        lua_pushnil(L);
        lua_pushstring(L, message);
        lua_pushnumber(L, (double)offset);
        return 3;
    }
    lua_pushnil(L);
    lua_pushvalue(L, -3);
    assert(lua_touserdata(L, -1) == w && lua_touserdata(L, -3) == e);
    lua_pushcclosure(L, search, 3);
    return 1;
}

static int pcre_gc(lua_State *L) {
    expression *e = lua_touserdata(L, 1);
    lh_regex_free(e->regex);
    e->regex = NULL;
    return 0;
}

static int workspace_gc(lua_State *L) {
    workspace *w = lua_touserdata(L, 1);
    lh_regex_workspace_free(w->space);
    w->space = NULL;
    return 0;
}

static void push_workspace(lua_State *L) {
    workspace *w = lua_newuserdata(L, sizeof(*w));
    *w = (workspace){.space = NULL};
    lua_createtable(L, 0, 1);
    lh_set_collector(L, workspace_gc);
    lua_setmetatable(L, -2);
}

static const luaL_Reg functions[] = {{"pcre", mtev_pcre}, {NULL, NULL}};

void lh_open_pcre(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_type_new(L, PCRE);
    lh_set_collector(L, pcre_gc);
    push_workspace(L);
    lua_setfield(L, LUA_REGISTRYINDEX, WORKSPACE);
}
