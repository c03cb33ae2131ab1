/* What scripts get: mtev.parsejson, mtev.tojson and the methods of mtev.json: document, tostring.
 *
 * An mtev.json object is its text: a Lua string, usually the very one that the script has anyway. parsejson leaves the
 * tape in the state's parser; as long as no other text was parsed, `document` walks that tape, else it parses once
 * more. So an object that is kept costs no more than its text, and one that is used at once is parsed once.
 *
 * tojson writes into one growing buffer of the state. Errors in between leave it to the next call. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "data/json.h"
#include "mtev/api.h"
#include "runtime/errors.h"

#define JSON "mtev.json"
#define WORKSPACE "mtev.json.workspace"

enum {
    KEPT_BYTES = 1024 * 1024,
    STRING_STEP = 1024,
    STRING_STEP_ROOM = 6 * STRING_STEP + 16,
    LEVEL_SLOTS = 12,
    LEVELS_AT_ONCE = 16,
    PATH_LEVELS = 16
};
enum { KNOWN_KEYS_LOG2 = 7, KNOWN_KEYS = 1 << KNOWN_KEYS_LOG2, KNOWN_KEY_MAX_BYTES = 64, KNOWN_KEYS_MIN_TEXT = 1024 };

/* What a state needs for all of its documents: a userdata in the registry. */
typedef struct workspace {
    lh_json_parser *parser; /* NULL = none yet */
    uint64_t generation;    /* of the parser's tape: of the object whose text it is */
    uint64_t last;          /* generation given out last */
    lh_buffer out;          /* where tojson writes */
} workspace;

typedef struct json {
    uint64_t generation; /* 0 = its text was never on the tape */
    bool is_compact;     /* the text has no white space between tokens */
} json;                  /* its environment: {text} */

static workspace *get_workspace(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, WORKSPACE);
    workspace *w = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return w;
}

static int workspace_gc(lua_State *L) {
    workspace *w = lua_touserdata(L, 1);
    lh_json_parser_free(w->parser);
    lh_buffer_reset(&w->out);
    *w = (workspace){.parser = NULL};
    return 0;
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

/* -- parsejson ----------------------------------------------------------------------------------------------------- */

static bool parse(lua_State *L, workspace *w, const char *text, size_t length, lh_json_error *error) {
    if (!w->parser) w->parser = lh_json_parser_new();
    if (!w->parser) lh_raise(L, "not enough memory");
    w->generation = 0;
    if (!lh_json_parse(w->parser, text, length, error)) return false;
    w->generation = ++w->last;
    return true;
}

static int mtev_parsejson(lua_State *L) {
    size_t length;
    lh_json_error error;
    const char *text = lh_check_string(L, 1, &length);
    workspace *w = get_workspace(L);
    if (!parse(L, w, text, length, &error)) {
        lua_pushnil(L);
        lua_pushstring(L, error.message);
        lua_pushnumber(L, (double)error.offset);
        return 3;
    }
    push_json(L, 1, false)->generation = w->generation;
    return 1;
}

/* -- document: from the tape to Lua values ------------------------------------------------------------------------- */

/* Keys that were met already. In records the same few come again and again, and finding one here costs a quarter of
 * making it known to Lua once more. The strings lie on the Lua stack. */
typedef struct known_key {
    const char *bytes;
    uint64_t ends; /* its first and last four bytes */
    size_t length; /* 0 = none */
} known_key;

typedef struct walk {
    const uint64_t *tape;
    const char *strings;
    size_t at;       /* the next word */
    int depth;       /* of arrays and objects */
    int null_index;  /* stack index of what stands for null; 0 = nothing does */
    int int64_index; /* stack index of the function that makes 64-bit integers; 0 = they become strings */
    int keys_index;  /* stack index of the first known key; 0 = they are not kept */
    known_key keys[KNOWN_KEYS];
} walk;

static const char *next_string(walk *w, size_t *length) {
    const char *string = w->strings + lh_json_payload(w->tape[w->at++]);
    uint32_t bytes;
    memcpy(&bytes, string, sizeof(bytes));
    *length = bytes;
    return string + sizeof(bytes);
}

static void push_string(lua_State *L, walk *w) {
    size_t length;
    const char *bytes = next_string(w, &length);
    lua_pushlstring(L, bytes, length);
}

/* The first and last four bytes: up to eight say all. A NUL and more lie behind every string, so four can be read. */
static uint64_t ends_of(const char *bytes, size_t length) {
    uint32_t first, last;
    memcpy(&first, bytes, sizeof(first));
    memcpy(&last, length > sizeof(last) ? bytes + length - sizeof(last) : bytes, sizeof(last));
    if (length < sizeof(first)) first = last = first & (UINT32_MAX >> (8 * (sizeof(first) - length)) % 32);
    return (uint64_t)last << 32 | first;
}

static unsigned slot_of(uint64_t ends, size_t length) {
    return (unsigned)((ends ^ length) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - KNOWN_KEYS_LOG2));
}

static bool is_known(const known_key *known, uint64_t ends, const char *bytes, size_t length) {
    return known->length == length && known->ends == ends && (length <= 8 || memcmp(known->bytes, bytes, length) == 0);
}

static void push_key(lua_State *L, walk *w) {
    size_t length;
    const char *bytes = next_string(w, &length);
    if (!w->keys_index || length == 0 || length > KNOWN_KEY_MAX_BYTES) {
        lua_pushlstring(L, bytes, length);
        return;
    }
    const uint64_t ends = ends_of(bytes, length);
    const unsigned slot = slot_of(ends, length);
    known_key *known = &w->keys[slot];
    if (is_known(known, ends, bytes, length)) {
        lua_pushvalue(L, w->keys_index + (int)slot);
        return;
    }
    lua_pushlstring(L, bytes, length);
    *known = (known_key){.bytes = lua_tostring(L, -1), .ends = ends, .length = length};
    lua_pushvalue(L, -1);
    lua_replace(L, w->keys_index + (int)slot);
}

static void know_keys(lua_State *L, walk *w) {
    luaL_checkstack(L, KNOWN_KEYS + LEVEL_SLOTS, "too many keys");
    w->keys_index = lua_gettop(L) + 1;
    lua_settop(L, lua_gettop(L) + KNOWN_KEYS);
    memset(w->keys, 0, sizeof(w->keys));
}

/* What a double cannot hold exactly: the digits, or a 64-bit integer of LuaJIT. */
static void push_big_integer(lua_State *L, const walk *w, uint64_t bits, bool is_unsigned) {
    if (w->int64_index) {
        lua_pushvalue(L, w->int64_index);
        lua_pushnumber(L, (double)(bits >> 32));
        lua_pushnumber(L, (double)(uint32_t)bits);
        lua_pushboolean(L, is_unsigned);
        lua_call(L, 3, 1);
        return;
    }
    char digits[24];
    const int length = is_unsigned ? snprintf(digits, sizeof(digits), "%" PRIu64, bits)
                                   : snprintf(digits, sizeof(digits), "%" PRId64, (int64_t)bits);
    lua_pushlstring(L, digits, (size_t)length);
}

static void push_int64(lua_State *L, walk *w) {
    const int64_t value = (int64_t)w->tape[w->at + 1];
    w->at += 2;
    if (value > -(INT64_C(1) << 53) && value < INT64_C(1) << 53) {
        lua_pushnumber(L, (double)value);
    } else {
        push_big_integer(L, w, (uint64_t)value, false);
    }
}

static void push_value(lua_State *L, walk *w);

/* Is the value at hand null, to be left out? Skips it then. */
static bool skip_null(walk *w) {
    if (w->null_index || lh_json_type_of(w->tape[w->at]) != LH_JSON_NULL) return false;
    w->at++;
    return true;
}

static int element_count(uint64_t word) { return (int)((word >> 32) & 0xffffff); }

static void push_array(lua_State *L, walk *w) {
    lua_createtable(L, element_count(w->tape[w->at++]), 0);
    for (int i = 1; lh_json_type_of(w->tape[w->at]) != LH_JSON_ARRAY_END; i++) {
        if (skip_null(w)) continue;
        push_value(L, w);
        lua_rawseti(L, -2, i);
    }
    w->at++;
}

static void push_object(lua_State *L, walk *w) {
    lua_createtable(L, 0, element_count(w->tape[w->at++]));
    while (lh_json_type_of(w->tape[w->at]) != LH_JSON_OBJECT_END) {
        push_key(L, w);
        if (skip_null(w)) {
            lua_pushvalue(L, -1); /* a key of the same name before is gone: the last one counts */
            lua_rawget(L, -3);
            const bool is_there = !lua_isnil(L, -1);
            lua_pop(L, 1);
            lua_pushnil(L);
            if (is_there) {
                lua_rawset(L, -3);
            } else {
                lua_pop(L, 2);
            }
            continue;
        }
        push_value(L, w);
        lua_rawset(L, -3);
    }
    w->at++;
}

static void begin_level(lua_State *L, walk *w) {
    if (w->depth++ % LEVELS_AT_ONCE == 0) luaL_checkstack(L, LEVELS_AT_ONCE * LEVEL_SLOTS, "nested too deeply");
}

/* At most LH_JSON_DEPTH_MAX levels deep, which the parser has seen to. */
static void push_value(lua_State *L, walk *w) {
    switch (lh_json_type_of(w->tape[w->at])) {
    case LH_JSON_ARRAY:
        begin_level(L, w);
        push_array(L, w);
        w->depth--;
        return;
    case LH_JSON_OBJECT:
        begin_level(L, w);
        push_object(L, w);
        w->depth--;
        return;
    case LH_JSON_STRING: push_string(L, w); return;
    case LH_JSON_INT64: push_int64(L, w); return;
    case LH_JSON_UINT64:
        push_big_integer(L, w, w->tape[w->at + 1], true);
        w->at += 2;
        return;
    case LH_JSON_DOUBLE: {
        double value;
        memcpy(&value, &w->tape[w->at + 1], sizeof(value));
        w->at += 2;
        lua_pushnumber(L, value);
        return;
    }
    case LH_JSON_TRUE:
        w->at++;
        lua_pushboolean(L, 1);
        return;
    case LH_JSON_FALSE:
        w->at++;
        lua_pushboolean(L, 0);
        return;
    default: /* null */
        w->at++;
        if (w->null_index) {
            lua_pushvalue(L, w->null_index);
        } else {
            lua_pushnil(L);
        }
    }
}

/* {null = value, int64 = true} at `index`; what the walk needs stays on the stack. */
static void get_options(lua_State *L, int index, walk *w) {
    if (lua_isnoneornil(L, index)) return;
    if (!lua_istable(L, index)) lh_raise_type(L, index, "table");
    lua_getfield(L, index, "int64");
    const bool wants_int64 = lua_toboolean(L, -1);
    lua_pop(L, 1);
    lua_getfield(L, index, "null");
    w->null_index = lua_isnil(L, -1) ? 0 : lua_gettop(L);
    if (!wants_int64) return;
    lua_getfield(L, LUA_REGISTRYINDEX, "mtev.json.int64");
    w->int64_index = lua_gettop(L);
}

static int json_document(lua_State *L) {
    json *j = check_json(L, 1);
    lua_settop(L, 2);
    workspace *w = get_workspace(L);
    walk reading;
    reading.at = 1;
    reading.null_index = reading.int64_index = reading.keys_index = 0;
    get_options(L, 2, &reading);
    size_t length;
    lh_json_error error;
    const char *text = push_text(L, 1, &length);
    if (!j->generation || j->generation != w->generation) {
        if (!parse(L, w, text, length, &error)) lh_raise(L, "%s", error.message);
        j->generation = w->generation;
    }
    if (length > KNOWN_KEYS_MIN_TEXT) know_keys(L, &reading);
    reading.tape = lh_json_tape(w->parser);
    reading.strings = lh_json_strings(w->parser);
    push_value(L, &reading);
    if (length > KEPT_BYTES) { /* a large tape is not kept for a small text's sake */
        lh_json_parser_free(w->parser);
        w->parser = NULL;
        w->generation = 0;
    }
    return 1;
}

/* -- tostring ------------------------------------------------------------------------------------------------------ */

static int json_tostring(lua_State *L) {
    json *j = check_json(L, 1);
    size_t length;
    const char *text = push_text(L, 1, &length);
    if (j->is_compact) return 1;
    workspace *w = get_workspace(L);
    w->out.length = w->out.start = 0;
    if (lh_buffer_reserve(&w->out, length + 64) < 0) lh_raise(L, "not enough memory");
    lua_pushlstring(L, w->out.block, lh_json_minify(text, length, w->out.block));
    if (w->out.capacity > KEPT_BYTES) lh_buffer_reset(&w->out);
    lua_getfenv(L, 1);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, 1);
    lua_pop(L, 1);
    j->is_compact = true;
    return 1;
}

/* -- tojson: from Lua values to text ------------------------------------------------------------------------------- */

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
    if (!l) lh_raise(L, "cannot encode as JSON: %s", what);
    push_path(L, l);
    size_t length;
    const char *path = lua_tolstring(L, -1, &length);
    if (length > 200) path = lua_pushfstring(L, "...%s", path + length - 200);
    lh_raise(L, "cannot encode as JSON: %s at %s", what, path);
}

static void grow(const encoder *e, size_t length) __attribute__((noinline, cold));
static void grow(const encoder *e, size_t length) {
    if (lh_buffer_reserve(e->out, length) < 0) lh_raise(e->L, "not enough memory");
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

static void put_key(encoder *e, const level *l, int index, int type, char before) {
    size_t length;
    char number[32];
    const char *key = number;
    if (type == LUA_TSTRING) {
        key = lua_tolstring(e->L, index, &length);
    } else {
        length = (size_t)snprintf(number, sizeof(number), "%.14g", lua_tonumber(e->L, index));
    }
    put_string(e, l, key, length, before, ':');
}

/* The first key, of `key_type`, and its value lie on top. */
static void put_object(encoder *e, level *l, int index, int key_type) {
    lua_State *L = e->L;
    char before = '{';
    for (;;) { /* stack: table, key, value */
        const int type = lua_type(L, index + 2);
        if ((key_type == LUA_TSTRING || key_type == LUA_TNUMBER) && is_encodable(type)) {
            l->key_index = index + 1;
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
}

/* The value on top of the stack, which it leaves there. */
/* The value at the top of the stack, which is `index`. */
static void put_value(encoder *e, const level *l, int index, int type) {
    lua_State *L = e->L;
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

static int mtev_tojson(lua_State *L) {
    if (lua_gettop(L) == 0) lh_raise_argument(L, 1, "value expected");
    const int64_t depth_max = lua_isnoneornil(L, 2) ? -1 : lh_check_integer(L, 2, INT32_MIN, INT32_MAX);
    workspace *w = get_workspace(L);
    encoder e = {.L = L, .out = &w->out, .depth_max = (int)depth_max};
    w->out.length = w->out.start = 0;
    lua_settop(L, 1);
    put_value(&e, NULL, 1, lua_type(L, 1));
    if (w->out.length > LH_STRING_MAX) lh_raise(L, "cannot encode as JSON: text of 2 GiB or more");
    lua_pushlstring(L, lh_buffer_bytes(&w->out), w->out.length);
    if (w->out.capacity > KEPT_BYTES) lh_buffer_reset(&w->out);
    push_json(L, 2, true);
    return 1;
}

/* -- The type ------------------------------------------------------------------------------------------------------ */

/* Called by json.lua with the function that makes 64-bit integers. */
static int core_json_set_int64(lua_State *L) {
    lua_settop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "mtev.json.int64");
    return 0;
}

static const luaL_Reg functions[] = {{"parsejson", mtev_parsejson}, {"tojson", mtev_tojson}, {NULL, NULL}};
static const luaL_Reg core_functions[] = {{"json_set_int64", core_json_set_int64}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"document", json_document}, {"tostring", json_tostring}, {NULL, NULL}};

void lh_open_json(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    workspace *w = lua_newuserdata(L, sizeof(*w));
    *w = (workspace){.parser = NULL};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, workspace_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, WORKSPACE);
    luaL_newmetatable(L, JSON);
    lua_newtable(L);
    lh_set_functions(L, lua_gettop(L), methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, LH_CORE, "json_methods");
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, json_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, JSON);
    lua_setfield(L, -2, "__name");
}
