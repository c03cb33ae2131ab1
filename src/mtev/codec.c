/* What lualib/mtev/codec.lua calls through FFI, so that compiled Lua calls it like any C program: digests, base64, HTML
 * entities, UUIDs.
 *
 * One lh_codec per Lua state; each call leaves its result there until the next. */
#include <stdint.h>

#include "base/buffer.h"
#include "data/base64.h"
#include "data/digest.h"
#include "data/html.h"
#include "mtev/api.h"

enum { KEPT_BYTES = 4 * 1024 * 1024, DONE = -1, NO_MEMORY = -2, REFUSED = -3 };

/* The first two members are known to codec.lua. */
typedef struct lh_codec {
    const char *text; /* the result */
    int64_t length;
    lh_digests *digests; /* NULL = not used yet */
    lh_buffer out;       /* results that may be long */
    bool is_closed;      /* the state closes: finalizers of scripts may still call */
    char hex[2 * LH_DIGEST_MAX_BYTES];
    unsigned char bytes[LH_DIGEST_MAX_BYTES];
    char base64[LH_DIGEST_MAX_BYTES * 2];
    char uuid[LH_UUID_LENGTH];
} lh_codec;

/* Each returns DONE, NO_MEMORY, REFUSED (OpenSSL will not), or the offset of a wrong byte. */
int64_t lh_ffi_digest(lh_codec *codec, int kind, const char *bytes, size_t length);
int64_t lh_ffi_digest_hex(lh_codec *codec, int kind, const char *bytes, size_t length);
int64_t lh_ffi_hmac(lh_codec *codec, int kind, const char *message, size_t length, const char *key, size_t key_length);
int64_t lh_ffi_uuid(lh_codec *codec);
int64_t lh_ffi_base64_encode(lh_codec *codec, const char *bytes, size_t length);
int64_t lh_ffi_base64_decode(lh_codec *codec, const char *text, size_t length);
int64_t lh_ffi_utf8tohtml(lh_codec *codec, const char *text, size_t length, bool escapes_tags);
void lh_ffi_codec_relax(lh_codec *codec);

static int64_t give(lh_codec *codec, const void *text, size_t length) {
    codec->text = text;
    codec->length = (int64_t)length;
    return DONE;
}

static lh_digests *digests_of(lh_codec *codec) {
    if (!codec->digests && !codec->is_closed) codec->digests = lh_digests_new();
    return codec->digests;
}

/* Room for a result of `length` bytes, or NULL. */
static char *reserve(lh_codec *codec, size_t length) {
    codec->out.start = codec->out.length = 0;
    if (codec->is_closed || lh_buffer_reserve(&codec->out, length ? length : 1) != 0) return NULL;
    return lh_buffer_end(&codec->out);
}

/* -- Digests ------------------------------------------------------------------------------------------------------- */

int64_t lh_ffi_digest(lh_codec *codec, int kind, const char *bytes, size_t length) {
    lh_digests *digests = digests_of(codec);
    if (!digests || !lh_digest(digests, (lh_digest_kind)kind, bytes, length, codec->bytes)) return REFUSED;
    return give(codec, codec->bytes, lh_digest_bytes((lh_digest_kind)kind));
}

int64_t lh_ffi_digest_hex(lh_codec *codec, int kind, const char *bytes, size_t length) {
    const int64_t rv = lh_ffi_digest(codec, kind, bytes, length);
    if (rv != DONE) return rv;
    lh_digest_hex(codec->bytes, (size_t)codec->length, codec->hex);
    return give(codec, codec->hex, 2 * (size_t)codec->length);
}

int64_t lh_ffi_hmac(lh_codec *codec, int kind, const char *message, size_t length, const char *key, size_t key_length) {
    lh_digests *digests = digests_of(codec);
    if (!digests || !lh_digest_hmac(digests, (lh_digest_kind)kind, message, length, key, key_length, codec->bytes)) {
        return REFUSED;
    }
    const size_t bytes = lh_digest_bytes((lh_digest_kind)kind);
    return give(codec, codec->base64, lh_base64_encode((const char *)codec->bytes, bytes, codec->base64));
}

int64_t lh_ffi_uuid(lh_codec *codec) {
    lh_digests *digests = digests_of(codec);
    if (!digests) return REFUSED;
    lh_digest_uuid(digests, codec->uuid);
    return give(codec, codec->uuid, LH_UUID_LENGTH);
}

/* -- Codecs -------------------------------------------------------------------------------------------------------- */

int64_t lh_ffi_base64_encode(lh_codec *codec, const char *bytes, size_t length) {
    char *to = reserve(codec, lh_base64_encoded_length(length));
    return to ? give(codec, to, lh_base64_encode(bytes, length, to)) : NO_MEMORY;
}

int64_t lh_ffi_base64_decode(lh_codec *codec, const char *text, size_t length) {
    char *to = reserve(codec, lh_base64_decoded_room(length));
    if (!to) return NO_MEMORY;
    const ssize_t decoded = lh_base64_decode(text, length, to);
    return decoded >= 0 ? give(codec, to, (size_t)decoded) : -1 - (int64_t)decoded;
}

int64_t lh_ffi_utf8tohtml(lh_codec *codec, const char *text, size_t length, bool escapes_tags) {
    const ssize_t escaped = lh_html_escape(text, length, escapes_tags, NULL);
    if (escaped < 0) return -1 - (int64_t)escaped;
    char *to = reserve(codec, (size_t)escaped);
    if (!to) return NO_MEMORY;
    lh_html_escape(text, length, escapes_tags, to);
    return give(codec, to, (size_t)escaped);
}

/* Once the result was taken: what was needed for a big one is not kept. */
void lh_ffi_codec_relax(lh_codec *codec) {
    if (codec->out.capacity > KEPT_BYTES) lh_buffer_reset(&codec->out);
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

void lh_open_codec(lua_State *L) {
    lh_codec *codec = lua_newuserdata(L, sizeof(*codec));
    *codec = (lh_codec){.text = NULL};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, codec_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_setfield(L, LH_CORE, "codec");
}
