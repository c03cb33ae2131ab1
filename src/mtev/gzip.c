/* What scripts get: mtev.gunzip, which gives the function that decompresses a stream, and mtev.gzip. */
#include "data/inflate.h"

#include <assert.h>

#include "base/alloc.h"
#include "mtev/init.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/type.h"

#define GUNZIP "mtev.gunzip"

enum { DEFAULT_LIMIT = 1024 * 1024, DEFAULT_LEVEL = 6 };

typedef struct gunzip {
    lh_inflate *inflate;
    lh_buffer out; /* of the call under way; between calls only what there was no memory to push */
} gunzip;

static size_t get_limit(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) return DEFAULT_LIMIT;
    const double limit = lh_check_number(L, index);
    if (limit < 0) lh_raise_argument(L, index, "limit must not be negative");
    return limit == 0 || limit >= (double)LH_STRING_MAX ? LH_STRING_MAX : (size_t)limit;
}

/* Pushes what the buffer holds, and empties it. */
static int push_and_reset(lua_State *L, gunzip *g) {
    lua_pushlstring(L, g->out.length > 0 ? lh_buffer_bytes(&g->out) : "", g->out.length);
    lh_buffer_reset(&g->out);
    return 1;
}

/* Into the buffer. LH_INFLATE_OK, or LH_INFLATE_LIMIT: then it has more bytes than the limit; raises for the rest. */
static lh_inflate_result unpack(lua_State *L, gunzip *g, const char *bytes, size_t length, size_t limit) {
    lh_buffer_reset(&g->out);
    if (!g->inflate) lh_raise(L, "the state is closing");
    const lh_inflate_result rv = lh_inflate_feed(g->inflate, bytes, length, limit, &g->out);
    if (rv == LH_INFLATE_OK || rv == LH_INFLATE_LIMIT) return rv;
    lh_buffer_reset(&g->out);
    lh_raise(L, rv == LH_INFLATE_MEMORY ? "not enough memory" : "zlib: data error");
}

static int feed(lua_State *L) {
    size_t length;
    gunzip *g = lua_touserdata(L, lua_upvalueindex(1));
    const char *bytes = lh_check_string(L, 1, &length);
    const size_t limit = get_limit(L, 2);
    if (unpack(L, g, bytes, length, limit) == LH_INFLATE_OK) return push_and_reset(L, g);
    lh_buffer_reset(&g->out);
    lh_raise(L, "zlib: more than %f bytes", (double)limit);
}

static int gunzip_gc(lua_State *L) {
    gunzip *g = lua_touserdata(L, 1);
    lh_inflate_free(g->inflate);
    lh_buffer_reset(&g->out);
    g->inflate = NULL;
    return 0;
}

static int mtev_gunzip(lua_State *L) {
    gunzip *g = lua_newuserdata(L, sizeof(*g));
    *g = (gunzip){.inflate = lh_inflate_new()};
    if (!g->inflate) lh_raise(L, "not enough memory");
    luaL_getmetatable(L, GUNZIP);
    lua_setmetatable(L, -2);
    lua_pushcclosure(L, feed, 1);
    return 1;
}

/* Its buffer is a gunzip without a stream, so that it is freed if there is no memory for the result. */
static int mtev_gzip(lua_State *L) {
    size_t length;
    const char *bytes = lh_check_string(L, 1, &length);
    const int level = lua_isnoneornil(L, 2) ? DEFAULT_LEVEL : (int)lh_check_integer(L, 2, 0, 9);
    gunzip *g = lua_newuserdata(L, sizeof(*g));
    *g = (gunzip){.inflate = NULL};
    luaL_getmetatable(L, GUNZIP);
    lua_setmetatable(L, -2);
    if (lh_gzip(bytes, length, level, &g->out) != 0 || g->out.length > LH_STRING_MAX) {
        lh_buffer_reset(&g->out);
        lh_raise(L, "not enough memory");
    }
    return push_and_reset(L, g);
}

/* core.gunzip_is_whole(f): what mtev.gunzip's function has been given ends with the end of its stream. */
static int core_gunzip_is_whole(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (!lua_getupvalue(L, 1, 1)) return 0;
    const gunzip *g = lh_type_check(L, -1, GUNZIP);
    lua_pushboolean(L, g->inflate && lh_inflate_is_complete(g->inflate));
    return 1;
}

/* core.gunzip_part(f, bytes[, limit]) -> bytes, is_more: as f(bytes), but what is more than the limit is left out;
 * nothing can follow then. */
static int core_gunzip_part(lua_State *L) {
    size_t length;
    const char *bytes = luaL_checklstring(L, 2, &length);
    const double given = luaL_optnumber(L, 3, (double)LH_STRING_MAX);
    const size_t limit = given < (double)LH_STRING_MAX ? (size_t)given : LH_STRING_MAX;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (!lua_getupvalue(L, 1, 1)) return 0;
    gunzip *g = lh_type_check(L, -1, GUNZIP);
    const bool is_more = unpack(L, g, bytes, length, limit) == LH_INFLATE_LIMIT;
    assert(is_more == (g->out.length > limit));
    if (is_more) g->out.length = limit;
    push_and_reset(L, g);
    lua_pushboolean(L, is_more);
    return 2;
}

static const luaL_Reg core_functions[] = {
    {"gunzip_is_whole", core_gunzip_is_whole}, {"gunzip_part", core_gunzip_part}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"gunzip", mtev_gunzip}, {"gzip", mtev_gzip}, {NULL, NULL}};

void lh_open_gzip(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lh_type_new(L, GUNZIP);
    lh_set_collector(L, gunzip_gc);
}
