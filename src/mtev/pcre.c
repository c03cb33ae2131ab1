/* What scripts get: mtev.pcre, which compiles a regular expression and returns the function that matches it.
 *
 * A matcher is a closure over its expression (a userdata) and the subject it is in the middle of. Searching goes on
 * behind the last match while the same string is given, in the whole subject, so that anchors and look-behind see what
 * is really there. One block for results and one stack for compiled expressions serve all matchers of a Lua state.
 *
 * Matching is bounded: by default after ten million steps it ends with "match limit exceeded". */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "mtev/api.h"
#include "runtime/errors.h"

#define PCRE "mtev.pcre"
#define WORKSPACE_KEY "mtev.pcre.workspace"

enum { EXPRESSION = 1, SUBJECT = 2, WORKSPACE = 3 }; /* upvalues of a matcher */
enum { STACK_FIRST_BYTES = 32 * 1024, STACK_MAX_BYTES = 4 * 1024 * 1024 };

typedef struct expression {
    pcre2_code *code; /* NULL = collected */
    uint32_t capture_count;
    size_t next;       /* where the search in the subject goes on */
    bool was_empty;    /* the last match was: the next one at the same place must not be */
    bool is_exhausted; /* no match was left in the subject */
} expression;

/* What matching needs besides: one per Lua state, a userdata that every matcher refers to. */
typedef struct workspace {
    pcre2_match_context *context; /* NULL = not made yet, as the rest */
    pcre2_jit_stack *stack;
    pcre2_match_data *results;
    uint32_t pair_count; /* that `results` has room for */
} workspace;

static bool prepare(workspace *w, uint32_t pair_count) {
    if (!w->context) w->context = pcre2_match_context_create(NULL);
    if (!w->stack) w->stack = pcre2_jit_stack_create(STACK_FIRST_BYTES, STACK_MAX_BYTES, NULL);
    if (!w->context || !w->stack) return false;
    pcre2_jit_stack_assign(w->context, NULL, w->stack);
    if (w->pair_count < pair_count) {
        pcre2_match_data_free(w->results);
        w->results = pcre2_match_data_create(pair_count, NULL);
        w->pair_count = w->results ? pair_count : 0;
    }
    return w->results != NULL;
}

static int workspace_gc(lua_State *L) {
    workspace *w = lua_touserdata(L, 1);
    pcre2_match_data_free(w->results);
    pcre2_jit_stack_free(w->stack);
    pcre2_match_context_free(w->context);
    *w = (workspace){.context = NULL};
    return 0;
}

static void push_workspace(lua_State *L) {
    workspace *w = lua_newuserdata(L, sizeof(*w));
    *w = (workspace){.context = NULL};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, workspace_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
}

/* -- Options ------------------------------------------------------------------------------------------------------- */

typedef struct options {
    uint32_t limit, limit_recurse; /* steps; 0 = the library's default */
    bool has_offsets;
    int unmatched; /* stack index of what stands for a capture that took no part; 0 = nil */
} options;

static uint32_t get_limit(lua_State *L, int index, const char *key) {
    uint32_t limit = 0;
    lua_getfield(L, index, key);
    if (!lua_isnil(L, -1)) {
        if (!lua_isnumber(L, -1)) lh_raise_argument(L, index, lua_pushfstring(L, "%s must be a number", key));
        const double value = lua_tonumber(L, -1);
        limit = value >= UINT32_MAX ? UINT32_MAX : value >= 1 ? (uint32_t)value : 1;
    }
    lua_pop(L, 1);
    return limit;
}

/* Leaves the value of `unmatched` on the stack. Keys it does not know are let pass: libmtev's. */
static options get_options(lua_State *L, int index) {
    options o = {.limit = 0};
    if (lua_isnoneornil(L, index)) return o;
    if (!lua_istable(L, index)) lh_raise_type(L, index, "table");
    o.limit = get_limit(L, index, "limit");
    o.limit_recurse = get_limit(L, index, "limit_recurse");
    lua_getfield(L, index, "offsets");
    o.has_offsets = lua_toboolean(L, -1);
    lua_pop(L, 1);
    lua_getfield(L, index, "unmatched");
    o.unmatched = lua_gettop(L);
    return o;
}

static void set_limits(const workspace *w, const options *o) {
    uint32_t match, depth;
    pcre2_config(PCRE2_CONFIG_MATCHLIMIT, &match);
    pcre2_config(PCRE2_CONFIG_DEPTHLIMIT, &depth);
    pcre2_set_match_limit(w->context, o->limit ? o->limit : match);
    pcre2_set_depth_limit(w->context, o->limit_recurse ? o->limit_recurse : depth);
}

/* -- Matching ------------------------------------------------------------------------------------------------------ */

static int push_offsets(lua_State *L, const size_t *pairs, uint32_t count) {
    lua_createtable(L, (int)count * 2, 0);
    for (uint32_t i = 0; i < count * 2; i++) {
        lua_pushinteger(L, pairs[i] == PCRE2_UNSET ? -1 : (lua_Integer)pairs[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static int push_match(lua_State *L, const expression *e, const size_t *pairs, const char *subject, const options *o,
                      int found_count) {
    const int count = (int)e->capture_count + 1;
    luaL_checkstack(L, count + 2, "too many captures");
    if (o->has_offsets) {
        push_offsets(L, pairs, (uint32_t)found_count);
    } else {
        lua_pushboolean(L, 1);
    }
    for (int i = 0; i < count; i++) {
        const size_t start = pairs[2 * i], end = pairs[2 * i + 1];
        if (i < found_count && start != PCRE2_UNSET && start <= end) {
            lua_pushlstring(L, subject + start, end - start);
        } else if (o->unmatched) {
            lua_pushvalue(L, o->unmatched);
        } else {
            lua_pushnil(L);
        }
    }
    return 1 + count;
}

static int push_failure(lua_State *L, expression *e, int rv) {
    lua_pushboolean(L, 0);
    if (rv == PCRE2_ERROR_NOMATCH) {
        e->is_exhausted = true;
        return 1;
    }
    if (rv == PCRE2_ERROR_MATCHLIMIT || rv == PCRE2_ERROR_DEPTHLIMIT || rv == PCRE2_ERROR_HEAPLIMIT ||
        rv == PCRE2_ERROR_JIT_STACKLIMIT) {
        lua_pushliteral(L, "match limit exceeded");
    } else {
        char message[128];
        pcre2_get_error_message(rv, (PCRE2_UCHAR *)message, sizeof(message));
        lua_pushstring(L, message);
    }
    return 2;
}

static void begin(lua_State *L, expression *e) {
    e->next = 0;
    e->was_empty = e->is_exhausted = false;
    lua_pushvalue(L, 1);
    lua_replace(L, lua_upvalueindex(SUBJECT));
}

static int match(lua_State *L) {
    expression *e = lua_touserdata(L, lua_upvalueindex(EXPRESSION));
    lua_settop(L, 2);
    if (lua_isnil(L, 1)) {
        begin(L, e);
        lua_pushboolean(L, 0);
        return 1;
    }
    size_t length;
    const char *subject = lh_check_string(L, 1, &length);
    const options o = get_options(L, 2);
    if (!lua_rawequal(L, 1, lua_upvalueindex(SUBJECT))) begin(L, e);
    if (e->is_exhausted) {
        lua_pushboolean(L, 0);
        return 1;
    }
    workspace *w = lua_touserdata(L, lua_upvalueindex(WORKSPACE));
    if (!prepare(w, e->capture_count + 1)) lh_raise(L, "not enough memory");
    set_limits(w, &o);
    const int count = pcre2_match(e->code, (PCRE2_SPTR)subject, length, e->next,
                                  e->was_empty ? PCRE2_NOTEMPTY_ATSTART : 0, w->results, w->context);
    if (count < 0) return push_failure(L, e, count);
    const size_t *pairs = pcre2_get_ovector_pointer(w->results);
    e->was_empty = pairs[0] >= pairs[1];
    e->next = pairs[1];
    return push_match(L, e, pairs, subject, &o, count);
}

/* -- Compiling ----------------------------------------------------------------------------------------------------- */

static int mtev_pcre(lua_State *L) {
    size_t length, offset;
    int error;
    const char *pattern = lh_check_string(L, 1, &length);
    expression *e = lua_newuserdata(L, sizeof(*e));
    *e = (expression){.code = NULL};
    luaL_getmetatable(L, PCRE);
    lua_setmetatable(L, -2);
    e->code = pcre2_compile((PCRE2_SPTR)pattern, length, 0, &error, &offset, NULL);
    if (!e->code) {
        char message[160];
        pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof(message));
        lua_pushnil(L);
        lua_pushstring(L, message);
        lua_pushnumber(L, (double)offset);
        return 3;
    }
    pcre2_jit_compile(e->code, PCRE2_JIT_COMPLETE); /* without it, the interpreter does */
    pcre2_pattern_info(e->code, PCRE2_INFO_CAPTURECOUNT, &e->capture_count);
    lua_pushnil(L);
    lua_getfield(L, LUA_REGISTRYINDEX, WORKSPACE_KEY);
    lua_pushcclosure(L, match, 3);
    return 1;
}

static int pcre_gc(lua_State *L) {
    expression *e = lua_touserdata(L, 1);
    pcre2_code_free(e->code);
    e->code = NULL;
    return 0;
}

static const luaL_Reg functions[] = {{"pcre", mtev_pcre}, {NULL, NULL}};

void lh_open_pcre(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    luaL_newmetatable(L, PCRE);
    lua_pushcfunction(L, pcre_gc);
    lua_setfield(L, -2, "__gc");
    push_workspace(L);
    lua_setfield(L, LUA_REGISTRYINDEX, WORKSPACE_KEY);
}
