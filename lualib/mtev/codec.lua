-- Digests, base64, HTML entities and UUIDs, in FFI: compiled loops call them like any C program.

local mtev, core = ...
local ffi = require("ffi")
local C, to_string, check_string = ffi.C, ffi.string, core.check.string
local tonumber, error = tonumber, error

ffi.cdef [[
typedef struct lh_codec { const char *text; int64_t length; } lh_codec;
int64_t lh_ffi_digest(lh_codec *codec, int kind, const char *bytes, size_t length);
int64_t lh_ffi_digest_hex(lh_codec *codec, int kind, const char *bytes, size_t length);
int64_t lh_ffi_hmac(lh_codec *codec, int kind, const char *message, size_t length, const char *key, size_t key_length);
int64_t lh_ffi_uuid(lh_codec *codec);
int64_t lh_ffi_base64_encode(lh_codec *codec, const char *bytes, size_t length);
int64_t lh_ffi_base64_decode(lh_codec *codec, const char *text, size_t length);
int64_t lh_ffi_utf8tohtml(lh_codec *codec, const char *text, size_t length, bool escapes_tags);
void lh_ffi_codec_relax(lh_codec *codec);
]]

local codec = ffi.cast("lh_codec *", core.codec) -- the state keeps core, and so its memory
local DONE, NO_MEMORY, REFUSED = -1, -2, -3
local SHORT = 4096 -- results that never need memory of their own

local function fail(rv)
  error(rv == REFUSED and "OpenSSL refuses this algorithm" or "not enough memory", 3)
end

local function result()
  local length = tonumber(codec.length)
  local text = to_string(codec.text, length)
  if length > SHORT then C.lh_ffi_codec_relax(codec) end
  return text
end

-- -- Digests ----------------------------------------------------------------------------------------------------------

local MD5, SHA1, SHA256 = 0, 1, 2

local function digest(kind, name)
  return function(s)
    s = check_string(s, 1, name)
    local rv = C.lh_ffi_digest(codec, kind, s, #s)
    if rv ~= DONE then fail(rv) end
    return result()
  end
end

local function digest_hex(kind, name)
  return function(s)
    s = check_string(s, 1, name)
    local rv = C.lh_ffi_digest_hex(codec, kind, s, #s)
    if rv ~= DONE then fail(rv) end
    return result()
  end
end

local function hmac(kind, name)
  return function(message, key)
    message, key = check_string(message, 1, name), check_string(key, 2, name)
    local rv = C.lh_ffi_hmac(codec, kind, message, #message, key, #key)
    if rv ~= DONE then fail(rv) end
    return result()
  end
end

mtev.md5, mtev.md5_hex = digest(MD5, "md5"), digest_hex(MD5, "md5_hex")
mtev.sha1, mtev.sha1_hex = digest(SHA1, "sha1"), digest_hex(SHA1, "sha1_hex")
mtev.sha256, mtev.sha256_hex = digest(SHA256, "sha256"), digest_hex(SHA256, "sha256_hex")
mtev.sha256_hash = digest_hex(SHA256, "sha256_hash")
mtev.hmac_sha1_encode = hmac(SHA1, "hmac_sha1_encode")
mtev.hmac_sha256_encode = hmac(SHA256, "hmac_sha256_encode")

function mtev.uuid()
  local rv = C.lh_ffi_uuid(codec)
  if rv ~= DONE then fail(rv) end
  return result()
end

-- -- Codecs -----------------------------------------------------------------------------------------------------------

function mtev.base64_encode(s)
  s = check_string(s, 1, "base64_encode")
  local rv = C.lh_ffi_base64_encode(codec, s, #s)
  if rv ~= DONE then fail(rv) end
  return result()
end

function mtev.base64_decode(s)
  s = check_string(s, 1, "base64_decode")
  local rv = tonumber(C.lh_ffi_base64_decode(codec, s, #s))
  if rv == DONE then return result() end
  if rv == NO_MEMORY then fail(rv) end
  C.lh_ffi_codec_relax(codec)
  if rv == #s then return nil, "text ends within a group of base64" end
  return nil, "not base64 at offset " .. rv
end

function mtev.utf8tohtml(s, tags)
  s = check_string(s, 1, "utf8tohtml")
  local rv = tonumber(C.lh_ffi_utf8tohtml(codec, s, #s, tags and true or false))
  if rv == DONE then return result() end
  if rv == NO_MEMORY then fail(rv) end
  error("invalid UTF-8 at offset " .. rv, 2)
end
