/* What lualib/mtev/codec.lua calls through FFI, so that compiled Lua calls it like any C program: digests, base64, HTML
 * entities, UUIDs.
 *
 * One lh_codec per Lua state. A call leaves its result in `text`, and Lua makes a string of it. In between compiled
 * code may give way to the collector, and so to a finalizer of the script that calls here too: each result has a serial
 * number, by which Lua sees that the text is another one's. Results that do not fit are made by the core_ functions
 * below. */
#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "data/base64.h"
#include "data/digest.h"
#include "data/html.h"
#include "mtev/init.h"
#include "runtime/collector.h"
#include "runtime/errors.h"

enum { TEXT_BYTES = 64 * 1024, KEPT_BYTES = 4 * 1024 * 1024 };

typedef struct lh_codec {
    int32_t serial, length; /* of what is in `text`; codec.lua knows these first three members */
    char text[TEXT_BYTES];
    lh_digests *digests; /* NULL = not used yet */
    lh_buffer out;       /* for results that do not fit */
    bool is_out_lent;    /* a call is at work on `out` */
    bool is_closed;      /* the state closes: finalizers of scripts may still call */
} lh_codec;

/* Each returns the serial number of its result, above 0, or 0: for digests and UUIDs that OpenSSL will not, or that the
 * state closes; for codecs that it is not done here: the function of core does it, or knows what is wrong. */
int lh_ffi_digest(lh_codec *codec, int kind, const char *bytes, size_t length);
int lh_ffi_digest_hex(lh_codec *codec, int kind, const char *bytes, size_t length);
int lh_ffi_hmac(lh_codec *codec, int kind, const char *message, size_t length, const char *key, size_t key_length);
int lh_ffi_uuid(lh_codec *codec);
int lh_ffi_base64_encode(lh_codec *codec, const char *bytes, size_t length);
int lh_ffi_base64_decode(lh_codec *codec, const char *text, size_t length);
int lh_ffi_utf8tohtml(lh_codec *codec, const char *text, size_t length, bool escapes_tags);

/* The text has a new result. */
static int publish(lh_codec *codec, size_t length) {
    assert(length <= TEXT_BYTES && codec->serial >= 0);
    codec->length = (int32_t)length;
    codec->serial = codec->serial == INT_MAX ? 1 : codec->serial + 1;
    return codec->serial;
}

/* -- Digests ------------------------------------------------------------------------------------------------------- */

static lh_digests *digests_of(lh_codec *codec) {
    assert(!codec->is_closed || !codec->digests);
    if (!codec->digests && !codec->is_closed) codec->digests = lh_digests_new();
    return codec->digests;
}

int lh_ffi_digest(lh_codec *codec, int kind, const char *bytes, size_t length) {
    lh_digests *digests = digests_of(codec);
    if (!digests || !lh_digest(digests, (lh_digest_kind)kind, bytes, length, (unsigned char *)codec->text)) return 0;
    return publish(codec, lh_digest_bytes((lh_digest_kind)kind));
}

int lh_ffi_digest_hex(lh_codec *codec, int kind, const char *bytes, size_t length) {
    unsigned char digest[LH_DIGEST_MAX_BYTES];
    lh_digests *digests = digests_of(codec);
    if (!digests || !lh_digest(digests, (lh_digest_kind)kind, bytes, length, digest)) return 0;
    const size_t digest_bytes = lh_digest_bytes((lh_digest_kind)kind);
    lh_digest_hex(digest, digest_bytes, codec->text);
    return publish(codec, 2 * digest_bytes);
}

int lh_ffi_hmac(lh_codec *codec, int kind, const char *message, size_t length, const char *key, size_t key_length) {
    unsigned char digest[LH_DIGEST_MAX_BYTES];
    lh_digests *digests = digests_of(codec);
    if (!digests || !lh_digest_hmac(digests, (lh_digest_kind)kind, message, length, key, key_length, digest)) return 0;
    return publish(codec, lh_base64_encode((const char *)digest, lh_digest_bytes((lh_digest_kind)kind), codec->text));
}

int lh_ffi_uuid(lh_codec *codec) {
    lh_digests *digests = digests_of(codec);
    if (!digests) return 0;
    lh_digest_uuid(digests, codec->text);
    return publish(codec, LH_UUID_LENGTH);
}

/* -- Codecs, short ------------------------------------------------------------------------------------------------- */

int lh_ffi_base64_encode(lh_codec *codec, const char *bytes, size_t length) {
    if (length > TEXT_BYTES || lh_base64_encoded_length(length) > TEXT_BYTES) return 0;
    return publish(codec, lh_base64_encode(bytes, length, codec->text));
}

int lh_ffi_base64_decode(lh_codec *codec, const char *text, size_t length) {
    if (lh_base64_decoded_room(length) > TEXT_BYTES) return 0;
    const ssize_t decoded = lh_base64_decode(text, length, codec->text);
    return decoded < 0 ? 0 : publish(codec, (size_t)decoded);
}

int lh_ffi_utf8tohtml(lh_codec *codec, const char *text, size_t length, bool escapes_tags) {
    if (length > TEXT_BYTES) return 0;
    const ssize_t escaped = lh_html_escape(text, length, escapes_tags, NULL);
    if (escaped < 0 || escaped > TEXT_BYTES) return 0;
    return publish(codec, (size_t)lh_html_escape(text, length, escapes_tags, codec->text));
}

/* -- Codecs, long -------------------------------------------------------------------------------------------------- */

/* Room for `length` bytes. While one call's result is on its way to a Lua string, a finalizer's call gets memory of
 * Lua's, on the stack. */
static char *lend(lua_State *L, lh_codec *codec, size_t length) {
    if (codec->is_out_lent || codec->is_closed) return lua_newuserdata(L, length ? length : 1);
    codec->out.start = codec->out.length = 0;
    if (lh_buffer_reserve(&codec->out, length ? length : 1) != 0) lh_raise(L, "not enough memory");
    codec->is_out_lent = true;
    return lh_buffer_end(&codec->out);
}

static void push_and_give_back(lua_State *L, lh_codec *codec, const char *bytes, size_t length) {
    assert(bytes != codec->out.block || codec->is_out_lent);
    if (length > LH_STRING_MAX) lh_raise(L, "not enough memory");
    lua_pushlstring(L, bytes, length);
    if (bytes != codec->out.block) return;
    codec->is_out_lent = false;
    if (codec->out.capacity > KEPT_BYTES) lh_buffer_reset(&codec->out);
}

static lh_codec *get_codec(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

static int core_base64_encode(lua_State *L) {
    size_t length;
    const char *bytes = luaL_checklstring(L, 1, &length);
    lh_codec *codec = get_codec(L);
    char *to = lend(L, codec, lh_base64_encoded_length(length));
    push_and_give_back(L, codec, to, lh_base64_encode(bytes, length, to));
    return 1;
}

/* `nil, offset` */
static int push_offset(lua_State *L, lh_codec *codec, const char *to, ssize_t rv) {
    if (to == codec->out.block) codec->is_out_lent = false;
    lua_pushnil(L);
    lua_pushnumber(L, (double)(-1 - rv));
    return 2;
}

static int core_base64_decode(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    lh_codec *codec = get_codec(L);
    char *to = lend(L, codec, lh_base64_decoded_room(length));
    const ssize_t decoded = lh_base64_decode(text, length, to);
    if (decoded < 0) return push_offset(L, codec, to, decoded);
    push_and_give_back(L, codec, to, (size_t)decoded);
    return 1;
}

static int core_utf8tohtml(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    const bool escapes_tags = lua_toboolean(L, 2);
    lh_codec *codec = get_codec(L);
    const ssize_t escaped = lh_html_escape(text, length, escapes_tags, NULL);
    if (escaped < 0) return push_offset(L, codec, NULL, escaped);
    char *to = lend(L, codec, (size_t)escaped);
    lh_html_escape(text, length, escapes_tags, to);
    push_and_give_back(L, codec, to, (size_t)escaped);
    return 1;
}

/* ------------------------------------------------------------------------------------------------------------------ */

static int codec_gc(lua_State *L) {
    lh_codec *codec = lua_touserdata(L, 1);
    lh_digests_free(codec->digests);
    lh_buffer_reset(&codec->out);
    codec->digests = NULL;
    codec->is_closed = true;
    return 0;
}

static const luaL_Reg core_functions[] = {{"base64_encode", core_base64_encode},
                                          {"base64_decode", core_base64_decode},
                                          {"utf8tohtml", core_utf8tohtml},
                                          {NULL, NULL}};

void lh_open_codec(lua_State *L) {
    lh_codec *codec = lua_newuserdata(L, sizeof(*codec));
    codec->serial = codec->length = 0;
    codec->digests = NULL;
    codec->out = (lh_buffer){.block = NULL};
    codec->is_out_lent = codec->is_closed = false;
    lua_createtable(L, 0, 1);
    lh_set_collector(L, codec_gc);
    lua_setmetatable(L, -2);
    for (const luaL_Reg *f = core_functions; f->name; f++) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, f->func, 1);
        lua_setfield(L, LH_CORE, f->name);
    }
    lua_setfield(L, LH_CORE, "codec");
}
