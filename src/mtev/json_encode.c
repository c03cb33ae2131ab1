/* tojson: Lua values to text, written into one growing buffer. Nothing here runs code of the script's. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

#include "mtev/json.h"
#include "runtime/errors.h"

enum {
    STRING_STEP = 1024,
    STRING_STEP_ROOM = 6 * STRING_STEP + 16,
    LEVEL_SLOTS = 12,
    LEVELS_AT_ONCE = 16,
    PATH_LEVELS = 16
};

/* A table under way, for the paths in errors. */
typedef struct level {
    const struct level *up;
    int table_index; /* stack index */
    int key_index;   /* stack index of the key at hand; 0 = `position` */
    int position;
} level;

typedef struct encoder {
    lua_State *L;
    lh_buffer *out;
    int workspace_index; /* stack index of the owner of `out` */
    int depth;
    int depth_max; /* tables deeper than this are elided; negative = none */
} encoder;

/* Pushes "a.b[3]" for the value at hand below `l`. */
static void push_path(lua_State *L, const level *l) {
    int count = 0;
    const level *levels[PATH_LEVELS];
    for (; l && count < PATH_LEVELS; l = l->up) levels[count++] = l;
    lua_pushstring(L, l ? "..." : "");
    while (count-- > 0) {
        const level *at = levels[count];
        if (at->key_index && lua_type(L, at->key_index) == LUA_TSTRING) {
            lua_pushfstring(L, "%s%s", at->up ? "." : "", lua_tostring(L, at->key_index));
        } else if (at->key_index) {
            lua_pushfstring(L, "[%f]", lua_tonumber(L, at->key_index));
        } else {
            lua_pushfstring(L, "[%d]", at->position);
        }
        lua_concat(L, 2);
    }
}

static void raise_at(const encoder *e, const level *l, const char *what) __attribute__((noreturn));
static void raise_at(const encoder *e, const level *l, const char *what) {
    lua_State *L = e->L;
    luaL_checkstack(L, 8, "error");
    lh_json_give(L, e->workspace_index);
    if (!l) lh_raise(L, "cannot encode as JSON: %s", what);
    push_path(L, l);
    size_t length;
    const char *path = lua_tolstring(L, -1, &length);
    if (length > 200) path = lua_pushfstring(L, "...%s", path + length - 200);
    lh_raise(L, "cannot encode as JSON: %s at %s", what, path);
}

static void grow(const encoder *e, size_t length) __attribute__((noinline, cold));
static void grow(const encoder *e, size_t length) {
    if (lh_buffer_reserve(e->out, length) == 0) return;
    lh_json_give(e->L, e->workspace_index);
    lh_raise(e->L, "not enough memory");
}

static inline char *reserve(const encoder *e, size_t length) {
    if (lh_buffer_room(e->out) < length) grow(e, length);
    return lh_buffer_end(e->out);
}

static void put(encoder *e, const char *bytes, size_t length) {
    memcpy(reserve(e, length), bytes, length);
    lh_buffer_commit(e->out, length);
}

static void put_char(encoder *e, char c) {
    *reserve(e, 1) = c;
    lh_buffer_commit(e->out, 1);
}

/* What a byte becomes: 0 = itself, 'u' = \u00XX, else a backslash and this. */
static char escape_of(unsigned char c) {
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return c < 0x20 ? 'u' : 0;
    }
}

/* Eight bytes at a time: true when one of them is below 0x20, a quote or a backslash. */
static bool has_escape(uint64_t word) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    const uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    const uint64_t control = (word - ones * 0x20) & ~word;
    return (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | control) & high;
}

/* One to seven bytes as a word, filled up with spaces. */
static uint64_t load_short(const char *from, size_t length) {
    const uint64_t spaces = UINT64_C(0x2020202020202020) << (8 * length);
    if (length >= 4) {
        uint32_t first, last;
        memcpy(&first, from, 4);
        memcpy(&last, from + length - 4, 4);
        return spaces | first | (uint64_t)last << (8 * (length - 4));
    }
    const uint64_t first = (unsigned char)from[0], middle = (unsigned char)from[length / 2],
                   last = (unsigned char)from[length - 1];
    return spaces | first | middle << (8 * (length / 2)) | last << (8 * (length - 1));
}

/* Up to eight bytes, one by one. */
static char *escape_slowly(char *to, const char *from, size_t length) {
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)from[i];
        const char as = escape_of(c);
        if (!as) {
            *to++ = (char)c;
        } else if (as == 'u') {
            memcpy(to, "\\u00", 4);
            to[4] = hex[c >> 4];
            to[5] = hex[c & 15];
            to += 6;
        } else {
            *to++ = '\\';
            *to++ = as;
        }
    }
    return to;
}

/* The bytes of a string, escaped; `to` has room for six times as many and eight. Returns the end. */
static char *escape(char *to, const char *from, size_t length, uint64_t *seen) {
    while (length > 0) {
        const size_t step = length < 8 ? length : 8;
        uint64_t word;
        if (length < 8) {
            word = load_short(from, length);
        } else {
            memcpy(&word, from, 8);
        }
        *seen |= word;
        if (has_escape(word)) {
            to = escape_slowly(to, from, step);
        } else {
            memcpy(to, &word, 8);
            to += step;
        }
        from += step;
        length -= step;
    }
    return to;
}

static void put_string(encoder *e, const level *l, const char *bytes, size_t length, char before, char after) {
    uint64_t seen = 0;
    char *to = reserve(e, STRING_STEP_ROOM);
    const char *from = bytes, *const end = bytes + length;
    char *start = to;
    if (before) *to++ = before;
    *to++ = '"';
    for (;;) {
        const size_t step = (size_t)(end - from) < STRING_STEP ? (size_t)(end - from) : STRING_STEP;
        to = escape(to, from, step, &seen);
        from += step;
        if (from == end) break;
        lh_buffer_commit(e->out, (size_t)(to - start));
        start = to = reserve(e, STRING_STEP_ROOM);
    }
    *to++ = '"';
    if (after) *to++ = after;
    lh_buffer_commit(e->out, (size_t)(to - start));
    if ((seen & UINT64_C(0x8080808080808080)) && !lh_json_is_utf8(bytes, length)) raise_at(e, l, "invalid UTF-8");
}

static void put_number(encoder *e, const level *l, double value) {
    if (!isfinite(value)) raise_at(e, l, isnan(value) ? "NaN" : "an infinite number");
    char *to = reserve(e, LH_JSON_NUMBER_MAX);
    lh_buffer_commit(e->out, lh_json_print_number(value, to));
}

static void put_value(encoder *e, const level *l, int index, int type);

/* -- Arrays: tables all of whose keys are positive integers -- */

/* The last of the keys behind the one at index + 1 (`position`) if they are its successors and nothing else; 0 if
 * not. */
static int end_of_sequence(lua_State *L, int index, int position) {
    const int top = index + 2; /* table, key, value */
    lua_pushvalue(L, index + 1);
    while (lua_next(L, index)) {
        if (lua_type(L, top + 1) != LUA_TNUMBER || lua_tonumber(L, top + 1) != ++position) {
            lua_settop(L, top);
            return 0;
        }
        lua_pop(L, 1);
    }
    return position;
}

/* Writes the elements from `i` to `length`, with what separates them from the one before. `top`: the first free stack
 * index. */
static void put_elements(encoder *e, level *l, int index, int top, int i, int length) {
    for (; i <= length; i++) {
        if (i > 1) put_char(e, ',');
        l->position = i;
        lua_rawgeti(e->L, index, i);
        put_value(e, l, top, lua_type(e->L, top));
        lua_pop(e->L, 1);
    }
}

/* The first key is 1, it and its value lie on top. Writes while the keys come as 1, 2, 3 ... which they do for nearly
 * every array, and then returns true. The keys are read ahead before the first table among the values: what is taken
 * back when this turns out to be no sequence are scalars only, so the work stays linear however tables are nested. */
static bool put_sequence(encoder *e, level *l, int index) {
    lua_State *L = e->L;
    put_char(e, '[');
    for (int i = 1; i == 1 || lua_next(L, index); i++) { /* stack: table, key, value */
        if (i > 1 && (lua_type(L, index + 1) != LUA_TNUMBER || lua_tonumber(L, index + 1) != i)) return false;
        const int type = lua_type(L, index + 2);
        const int length = type == LUA_TTABLE ? end_of_sequence(L, index, i) : i;
        if (length == 0) return false;
        if (i > 1) put_char(e, ',');
        l->position = i;
        put_value(e, l, index + 2, type);
        if (type == LUA_TTABLE) {
            put_elements(e, l, index, index + 3, i + 1, length);
            lua_settop(L, index);
            break;
        }
        lua_settop(L, index + 1);
    }
    put_char(e, ']');
    return true;
}

/* True for an array whose keys come in any order or with holes; *length is the largest. */
static bool is_array(const encoder *e, const level *l, int index, int *length) {
    lua_State *L = e->L;
    double count = 0, largest = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
        if (key < 1 || key != floor(key) || key > INT32_MAX) {
            lua_settop(L, index);
            return false;
        }
        count++;
        if (key > largest) largest = key;
    }
    if (largest - count > 3 * count) raise_at(e, l, "an array with more than three times as many holes as values");
    *length = (int)largest;
    return true;
}

/* -- Objects -- */

static bool is_encodable(int type) {
    return type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN || type == LUA_TTABLE;
}

static size_t print_number_key(lua_State *L, int index, char text[32]) {
    return (size_t)snprintf(text, 32, "%.14g", lua_tonumber(L, index));
}

static void put_key(encoder *e, const level *l, int index, int type, char before) {
    size_t length;
    char number[32];
    const char *key = number;
    if (type == LUA_TSTRING) {
        key = lua_tolstring(e->L, index, &length);
    } else {
        length = print_number_key(e->L, index, number);
    }
    put_string(e, l, key, length, before, ':');
}

/* May another key have the same text as this number? A string may have any; of numbers only those that the text does
 * not hold exactly. */
static bool is_exact(double key) { return key == floor(key) && fabs(key) < 1e14; }

/* Raises if two members have the same name: 1 and "1" do, and so do numbers that differ in their 15th digit. */
static void check_unique(encoder *e, level *l, int index) {
    lua_State *L = e->L;
    assert(lua_gettop(L) == index);
    char text[32];
    const int names = index + 1, key = index + 2;
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, index); lua_settop(L, key)) {
        if (lua_type(L, key) != LUA_TNUMBER || !is_encodable(lua_type(L, key + 1))) continue;
        lua_pushlstring(L, text, print_number_key(L, key, text));
        const int name = lua_gettop(L);
        lua_pushvalue(L, name);
        lua_rawget(L, index);
        const bool is_string_too = is_encodable(lua_type(L, -1));
        lua_pushvalue(L, name);
        lua_rawget(L, names);
        l->key_index = key;
        if (is_string_too || !lua_isnil(L, -1)) raise_at(e, l, "a second member of the same name");
        lua_pushvalue(L, name);
        lua_pushboolean(L, 1);
        lua_rawset(L, names);
    }
    lua_settop(L, index);
}

/* The first key, of `key_type`, and its value lie on top. */
static void put_object(encoder *e, level *l, int index, int key_type) {
    lua_State *L = e->L;
    char before = '{';
    bool has_strings = false, has_numbers = false, has_inexact = false;
    for (;;) { /* stack: table, key, value */
        assert(lua_gettop(L) == index + 2);
        const int type = lua_type(L, index + 2);
        if ((key_type == LUA_TSTRING || key_type == LUA_TNUMBER) && is_encodable(type)) {
            l->key_index = index + 1;
            if (key_type == LUA_TSTRING) {
                has_strings = true;
            } else {
                has_numbers = true;
                if (!is_exact(lua_tonumber(L, index + 1))) has_inexact = true;
            }
            put_key(e, l, index + 1, key_type, before);
            before = ',';
            put_value(e, l, index + 2, type);
        }
        lua_settop(L, index + 1);
        if (!lua_next(L, index)) break;
        key_type = lua_type(L, index + 1);
    }
    if (before == '{') put_char(e, '{');
    put_char(e, '}');
    if (has_inexact || (has_strings && has_numbers)) check_unique(e, l, index);
}

/* A table whose first key is neither a string nor leads a sequence. */
static void put_scattered(encoder *e, level *l, int index) {
    lua_State *L = e->L;
    int length;
    if (is_array(e, l->up, index, &length)) {
        put_char(e, '[');
        put_elements(e, l, index, index + 1, 1, length);
        put_char(e, ']');
    } else {
        lua_pushnil(L);
        lua_next(L, index);
        put_object(e, l, index, lua_type(L, index + 1));
    }
}

static void put_members(encoder *e, level *l, int index) {
    lua_State *L = e->L;
    const size_t start = e->out->length;
    lua_pushnil(L);
    if (!lua_next(L, index)) {
        put(e, "[]", 2);
        return;
    }
    const int key_type = lua_type(L, index + 1);
    if (key_type == LUA_TSTRING) {
        put_object(e, l, index, key_type);
        return;
    }
    if (key_type == LUA_TNUMBER && lua_tonumber(L, index + 1) == 1 && put_sequence(e, l, index)) return;
    e->out->length = start;
    lua_settop(L, index);
    put_scattered(e, l, index);
}

static void raise_too_deep(const encoder *e, const level *l, int index) __attribute__((noreturn));
static void raise_too_deep(const encoder *e, const level *l, int index) {
    for (const level *up = l; up; up = up->up) {
        if (lua_rawequal(e->L, up->table_index, index)) raise_at(e, l, "a table that contains itself");
    }
    raise_at(e, l, "tables nested deeper than 1024");
}

static void put_table(encoder *e, const level *up, int index) {
    level l = {.up = up, .table_index = index};
    if (e->depth_max >= 0 && e->depth >= e->depth_max) {
        put(e, "\"[depth elided]\"", strlen("\"[depth elided]\""));
        return;
    }
    if (e->depth >= LH_JSON_DEPTH_MAX) raise_too_deep(e, up, index);
    if (e->depth % LEVELS_AT_ONCE == 0) luaL_checkstack(e->L, LEVELS_AT_ONCE * LEVEL_SLOTS, "nested too deeply");
    e->depth++;
    put_members(e, &l, index);
    e->depth--;
    assert(e->depth >= 0 && lua_gettop(e->L) == index);
}

/* The value on top of the stack, at `index`, which it leaves there. */
static void put_value(encoder *e, const level *l, int index, int type) {
    lua_State *L = e->L;
    assert(lua_gettop(L) == index);
    size_t length;
    switch (type) {
    case LUA_TSTRING: {
        const char *bytes = lua_tolstring(L, -1, &length);
        put_string(e, l, bytes, length, 0, 0);
        return;
    }
    case LUA_TNUMBER: put_number(e, l, lua_tonumber(L, -1)); return;
    case LUA_TBOOLEAN:
        if (lua_toboolean(L, -1)) {
            put(e, "true", 4);
        } else {
            put(e, "false", 5);
        }
        return;
    case LUA_TTABLE: put_table(e, l, index); return;
    default: put(e, "null", 4);
    }
}

void lh_json_encode(lua_State *L, int workspace_index, int depth_max) {
    lh_json_workspace *w = lua_touserdata(L, workspace_index);
    encoder e = {.L = L, .out = &w->out, .workspace_index = workspace_index, .depth_max = depth_max};
    put_value(&e, NULL, lua_gettop(L), lua_type(L, -1));
    assert(e.depth == 0);
}
