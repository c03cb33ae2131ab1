/* document: from the tape of a parser to Lua values, straight. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

#include "mtev/json.h"
#include "runtime/errors.h"
#include "runtime/option_table.h"

enum { LEVEL_SLOTS = 12, LEVELS_AT_ONCE = 16 };
enum { KNOWN_KEYS_LOG2 = 7, KNOWN_KEYS = 1 << KNOWN_KEYS_LOG2, KNOWN_KEY_MAX_BYTES = 64, KNOWN_KEYS_MIN_TEXT = 1024 };

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
    size_t at;        /* the next word */
    const char *text; /* what the tape was made of, NULL = it has no "-0" */
    size_t length;
    size_t zeros_at; /* behind the last integer zero in it */
    bool has_zeros;  /* one was met; only then `text` is known to have a "-0" */
    int depth;       /* of arrays and objects */
    lh_json_options options;
    int keys_index; /* stack index of the first known key; 0 = they are not kept */
    known_key keys[KNOWN_KEYS];
} walk;

static const char *next_string(walk *w, size_t *length) {
    assert(lh_json_type_of(w->tape[w->at]) == LH_JSON_STRING);
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
    if (w->options.int64_index) {
        lua_pushvalue(L, w->options.int64_index);
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

/* The tape has no sign for the integer zero, the text may have: its zeros come in the same order. */
static double zero_at_hand(walk *w) {
    if (!w->has_zeros) {
        w->has_zeros = true;
        if (!memmem(w->text, w->length, "-0", 2)) w->text = NULL;
    }
    return w->text && lh_json_next_zero_is_negative(w->text, w->length, &w->zeros_at) ? -0.0 : 0.0;
}

static void push_int64(lua_State *L, walk *w) {
    const int64_t value = (int64_t)w->tape[w->at + 1];
    w->at += 2;
    if (value == 0) {
        lua_pushnumber(L, zero_at_hand(w));
    } else if (value > -(INT64_C(1) << 53) && value < INT64_C(1) << 53) {
        lua_pushnumber(L, (double)value);
    } else {
        push_big_integer(L, w, (uint64_t)value, false);
    }
}

static void push_value(lua_State *L, walk *w);

/* Is the value at hand null, to be left out? Skips it then. */
static bool skip_null(walk *w) {
    if (w->options.null_index || lh_json_type_of(w->tape[w->at]) != LH_JSON_NULL) return false;
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
    assert(w->depth >= 0 && w->depth < LH_JSON_DEPTH_MAX);
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
        assert(lh_json_type_of(w->tape[w->at]) == LH_JSON_NULL);
        w->at++;
        if (w->options.null_index) {
            lua_pushvalue(L, w->options.null_index);
        } else {
            lua_pushnil(L);
        }
    }
}

lh_json_options lh_json_get_options(lua_State *L, int index) {
    lh_json_options options = {.null_index = 0};
    static const char *const names[] = {"null", "int64", NULL};
    if (!lh_check_options(L, index, names)) return options;
    const bool wants_int64 = lh_option_boolean(L, index, "int64");
    lua_getfield(L, index, "null");
    options.null_index = lua_isnil(L, -1) ? 0 : lua_gettop(L);
    if (!wants_int64) return options;
    lua_getfield(L, LUA_REGISTRYINDEX, LH_JSON_INT64_MAKER);
    options.int64_index = lua_gettop(L);
    return options;
}

void lh_json_push_value(lua_State *L, const lh_json_parser *parser, const char *text, size_t length,
                        lh_json_options options) {
    walk w;
    w.text = text;
    w.length = length;
    w.zeros_at = 0;
    w.has_zeros = false;
    w.tape = lh_json_tape(parser);
    w.strings = lh_json_strings(parser);
    w.at = 1;
    w.depth = 0;
    w.options = options;
    w.keys_index = 0;
    if (length > KNOWN_KEYS_MIN_TEXT) know_keys(L, &w);
    push_value(L, &w);
    assert(w.depth == 0);
}
