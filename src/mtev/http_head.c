/* What the built-in Lua library gets of data/http_head: HTTP/1 heads, for HttpClient, Api, WebSocket and reverse.
 *
 *     reader = core.http_head(kind, is_lenient, may_lack_host)
 *                                                    kind: "request", "answer", "trailers"; e:read(reader) reads a head
 *                                                    then, or nil, "malformed" or "limit"
 *     core.http_problem(reader) -> string            what is wrong with it; nil: nothing
 *     core.http_answer(reader) -> status, version, length, is_chunked, is_strange, is_packed, is_kept
 *                                                    nil: the head did not come to its end
 *     core.http_request(reader, head) -> method, target, has_body; nil: as above
 *     core.http_fields(text[, has_start]) -> headers, cookies, end
 *                                                    by lower-case names, several of one name joined by ", ", but for
 *                                                    those of Set-Cookie, which are an array; and the head's length.
 *                                                    has_start: a status line is first; other lines are skipped
 *     core.http_chunk_size(line) -> number           nil: it is none
 *     core.http_items(text) -> {{name =, value =, separator =}, ...}
 *                                                    of a list with "," or ";"; value nil: it has none; nil: no list
 *     core.http_is_token(text) -> boolean
 *     core.http_has_token(list, token) -> boolean    in a list with ",", whatever the case; list nil: no */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "data/http_head.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/type.h"

/* -- Reading ------------------------------------------------------------------------------------------------------- */

static int core_http_head(lua_State *L) {
    static const char *const names[] = {"request", "answer", "trailers", NULL};
    static const lh_http_kind kinds[] = {LH_HTTP_REQUEST, LH_HTTP_ANSWER, LH_HTTP_TRAILERS};
    const lh_http_kind kind = kinds[luaL_checkoption(L, 1, NULL, names)];
    const bool is_lenient = lua_toboolean(L, 2);
    lh_http_head *head = lua_newuserdata(L, sizeof(*head));
    lh_http_head_init(head, kind, is_lenient, NULL, 0);
    head->may_lack_host = lua_toboolean(L, 3);
    luaL_getmetatable(L, LH_HTTP_HEAD_TYPE);
    lua_setmetatable(L, -2);
    return 1;
}

static int core_http_problem(lua_State *L) {
    const lh_http_head *head = lh_type_check(L, 1, LH_HTTP_HEAD_TYPE);
    if (!head->problem) return 0;
    lua_pushstring(L, head->problem);
    return 1;
}

static int core_http_answer(lua_State *L) {
    const lh_http_head *head = lh_type_check(L, 1, LH_HTTP_HEAD_TYPE);
    if (!head->is_whole) return 0;
    lua_pushinteger(L, head->status);
    if (head->minor == 1) {
        lua_pushliteral(L, "1.1");
    } else {
        lua_pushfstring(L, "1.%d", head->minor);
    }
    if (head->has_length) {
        lua_pushnumber(L, (double)head->body_length);
    } else {
        lua_pushnil(L);
    }
    lua_pushboolean(L, head->transfer == LH_HTTP_CHUNKED);
    lua_pushboolean(L, head->transfer == LH_HTTP_STRANGE);
    lua_pushboolean(L, head->is_packed);
    lua_pushboolean(L, head->is_kept);
    return 7;
}

static void push_span(lua_State *L, const char *bytes, lh_http_span span) {
    lua_pushlstring(L, bytes + span.offset, span.length);
}

static int core_http_request(lua_State *L) {
    const lh_http_head *head = lh_type_check(L, 1, LH_HTTP_HEAD_TYPE);
    size_t length;
    const char *bytes = luaL_checklstring(L, 2, &length);
    if (!head->is_whole || head->length > length) return 0;
    assert(head->target.offset + head->target.length <= head->length);
    push_span(L, bytes, head->method);
    push_span(L, bytes, head->target);
    lua_pushboolean(L, head->transfer != LH_HTTP_PLAIN || (head->has_length && head->body_length > 0));
    return 3;
}

/* -- Fields -------------------------------------------------------------------------------------------------------- */

/* Fields of one name are a chain, so that joining them takes time in proportion to their length. */
typedef struct chains {
    const char *bytes;
    lh_http_field fields[LH_HTTP_FIELDS_MAX];
    uint16_t next[LH_HTTP_FIELDS_MAX]; /* index + 1 of the next field of the name, 0 = none */
    uint16_t last[LH_HTTP_FIELDS_MAX]; /* of a chain's first field: its last */
    bool is_first[LH_HTTP_FIELDS_MAX];
    char *text; /* room for any name or joined value */
} chains;

static void push_name(lua_State *L, const chains *c, const lh_http_field *field) {
    for (uint32_t i = 0; i < field->name.length; i++) {
        const char ch = c->bytes[field->name.offset + i];
        c->text[i] = (char)(ch >= 'A' && ch <= 'Z' ? ch + 32 : ch);
    }
    lua_pushlstring(L, c->text, field->name.length);
}

/* stack: ..., headers; the table maps a name to the index + 1 of its first field meanwhile. */
static void link_fields(lua_State *L, chains *c, uint32_t count) {
    assert(count <= LH_HTTP_FIELDS_MAX && lua_istable(L, -1));
    for (uint32_t i = 0; i < count; i++) {
        c->next[i] = 0;
        push_name(L, c, &c->fields[i]);
        lua_pushvalue(L, -1);
        lua_rawget(L, -3);
        const uint32_t first = (uint32_t)lua_tointeger(L, -1);
        assert(first <= i);
        lua_pop(L, 1);
        c->is_first[i] = first == 0;
        if (first == 0) {
            c->last[i] = (uint16_t)i;
            lua_pushinteger(L, (lua_Integer)i + 1);
            lua_rawset(L, -3);
        } else {
            c->next[c->last[first - 1]] = (uint16_t)(i + 1);
            c->last[first - 1] = (uint16_t)i;
            lua_pop(L, 1);
        }
    }
}

static void push_joined(lua_State *L, const chains *c, uint32_t i) {
    size_t length = lh_http_unfold(c->bytes, &c->fields[i], c->text);
    while (c->next[i] != 0) {
        i = c->next[i] - 1u;
        memcpy(c->text + length, ", ", 2);
        length += 2;
        length += lh_http_unfold(c->bytes, &c->fields[i], c->text + length);
    }
    lua_pushlstring(L, c->text, length);
}

/* Removes the cookies from the headers on top of the stack and pushes them as an array. */
static void push_cookies(lua_State *L, const chains *c) {
    lua_pushliteral(L, "set-cookie");
    lua_rawget(L, -2);
    uint32_t i = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_pushliteral(L, "set-cookie");
    lua_pushnil(L);
    lua_rawset(L, -3);
    lua_newtable(L);
    for (int n = 1; i != 0; n++) {
        lua_pushlstring(L, c->text, lh_http_unfold(c->bytes, &c->fields[i - 1], c->text));
        lua_rawseti(L, -2, n);
        i = c->next[i - 1];
    }
}

static bool is_cookie(const chains *c, const lh_http_field *field) {
    return field->name.length == 10 && strncasecmp(c->bytes + field->name.offset, "set-cookie", 10) == 0;
}

static int core_http_fields(lua_State *L) {
    size_t length;
    const char *whole = luaL_checklstring(L, 1, &length);
    const char *feed = lua_toboolean(L, 2) ? memchr(whole, '\n', length) : NULL;
    const char *bytes = feed ? feed + 1 : whole;
    const size_t skipped = (size_t)(bytes - whole);
    length -= skipped;
    lh_http_head head;
    chains *c = lua_newuserdata(L, sizeof(*c));
    c->bytes = bytes;
    /* ", " between values takes the place of a name, a colon and a line end. */
    c->text = lua_newuserdata(L, (length < LH_HTTP_HEAD_MAX ? length : LH_HTTP_HEAD_MAX) + 2 * LH_HTTP_FIELDS_MAX);
    lh_http_head_init(&head, LH_HTTP_TRAILERS, true, c->fields, LH_HTTP_FIELDS_MAX);
    const int rv = lh_http_head_read(&head, bytes, length);
    lua_newtable(L);
    link_fields(L, c, head.field_count);
    push_cookies(L, c);
    lua_insert(L, -2); /* stack: cookies, headers */
    for (uint32_t i = 0; i < head.field_count; i++) {
        if (!c->is_first[i] || is_cookie(c, &c->fields[i])) continue;
        push_name(L, c, &c->fields[i]);
        push_joined(L, c, i);
        lua_rawset(L, -3);
    }
    lua_insert(L, -2);
    lua_pushinteger(L, (lua_Integer)(skipped + (rv < 0 ? length : head.length)));
    return 3;
}

/* -- Chunks and lists ---------------------------------------------------------------------------------------------- */

static int core_http_chunk_size(lua_State *L) {
    size_t length;
    const char *line = luaL_checklstring(L, 1, &length);
    uint64_t size;
    if (lh_http_chunk_size(line, length, true, &size) < 0) return 0;
    lua_pushnumber(L, (double)size);
    return 1;
}

static void push_quoted(lua_State *L, const char *text, lh_http_span span, char *scratch) {
    size_t length = 0;
    for (uint32_t i = 0; i < span.length; i++) {
        if (text[span.offset + i] == '\\' && i + 1 < span.length) i++;
        scratch[length++] = text[span.offset + i];
    }
    lua_pushlstring(L, scratch, length);
}

static void push_item(lua_State *L, const char *text, const lh_http_item *item, char *scratch) {
    lua_createtable(L, 0, 3);
    push_span(L, text, item->name);
    lua_setfield(L, -2, "name");
    if (item->has_value) {
        if (item->is_quoted) {
            push_quoted(L, text, item->value, scratch);
        } else {
            push_span(L, text, item->value);
        }
        lua_setfield(L, -2, "value");
    }
    lua_pushlstring(L, &item->separator, item->separator ? 1 : 0);
    lua_setfield(L, -2, "separator");
}

static int core_http_items(lua_State *L) {
    size_t length, at = 0;
    const char *text = luaL_checklstring(L, 1, &length);
    if (length > LH_HTTP_HEAD_MAX) return 0;
    char *scratch = lua_newuserdata(L, length + 1);
    lh_http_item item;
    int rv;
    lua_newtable(L);
    for (int n = 1; (rv = lh_http_next_item(text, length, &at, &item)) > 0; n++) {
        push_item(L, text, &item, scratch);
        lua_rawseti(L, -2, n);
    }
    return rv < 0 ? 0 : 1;
}

static int core_http_is_token(lua_State *L) {
    size_t length;
    const char *bytes = luaL_checklstring(L, 1, &length);
    lua_pushboolean(L, lh_http_is_token(bytes, length));
    return 1;
}

static int core_http_has_token(lua_State *L) {
    static const char between[] = ", \t";
    const char *list = luaL_optstring(L, 1, "");
    size_t length;
    const char *token = luaL_checklstring(L, 2, &length);
    bool is_found = false;
    while (*(list += strspn(list, between)) && !is_found) {
        const size_t size = strcspn(list, between);
        is_found = size == length && strncasecmp(list, token, size) == 0;
        list += size;
    }
    lua_pushboolean(L, is_found);
    return 1;
}

static const luaL_Reg core_functions[] = {
    {"http_head", core_http_head},           {"http_problem", core_http_problem},
    {"http_answer", core_http_answer},       {"http_request", core_http_request},
    {"http_fields", core_http_fields},       {"http_chunk_size", core_http_chunk_size},
    {"http_items", core_http_items},         {"http_is_token", core_http_is_token},
    {"http_has_token", core_http_has_token}, {NULL, NULL}};

void lh_open_http_head(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lh_type_new(L, LH_HTTP_HEAD_TYPE);
    lua_pop(L, 1);
}
