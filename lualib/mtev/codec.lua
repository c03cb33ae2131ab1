-- Digests, base64, HTML entities and UUIDs, in FFI: compiled loops call them like any C program.
--
-- A function leaves its result in the codec's text. Before a string is made of it a finalizer may run, call here too,
-- and leave another text there: then the serial number is another one, and the call is made again.

local mtev, core = ...
local ffi = require("ffi")
local C, to_string, check_string = ffi.C, ffi.string, core.check.string
local base64_encode, base64_decode, utf8tohtml = core.base64_encode, core.base64_decode, core.utf8tohtml
local error = error

ffi.cdef [[
typedef struct { int32_t serial, length; char text[1]; } lh_codec;
int lh_ffi_digest(lh_codec *codec, int kind, const char *bytes, size_t length);
int lh_ffi_digest_hex(lh_codec *codec, int kind, const char *bytes, size_t length);
int lh_ffi_hmac(lh_codec *codec, int kind, const char *message, size_t length, const char *key, size_t key_length);
int lh_ffi_uuid(lh_codec *codec);
int lh_ffi_base64_encode(lh_codec *codec, const char *bytes, size_t length);
int lh_ffi_base64_decode(lh_codec *codec, const char *text, size_t length);
int lh_ffi_utf8tohtml(lh_codec *codec, const char *text, size_t length, bool escapes_tags);
]]

local codec = ffi.cast("lh_codec *", core.codec) -- the state keeps core, and so its memory
local text = ffi.cast("const char *", codec.text)

local function refuse()
  error("OpenSSL refuses this algorithm", 3)
end

-- -- Digests ----------------------------------------------------------------------------------------------------------

-- `make` is one of the C functions.
local function digest(make, kind, name)
  local function digest_of(s)
    s = check_string(s, 1, name)
    local serial = make(codec, kind, s, #s)
    if serial == 0 then refuse() end
    local result = to_string(text, codec.length)
    if codec.serial == serial then return result end
    return digest_of(s)
  end
  return digest_of
end

local function hmac(kind, name)
  local function hmac_of(message, key)
    message, key = check_string(message, 1, name), check_string(key, 2, name)
    local serial = C.lh_ffi_hmac(codec, kind, message, #message, key, #key)
    if serial == 0 then refuse() end
    local result = to_string(text, codec.length)
    if codec.serial == serial then return result end
    return hmac_of(message, key)
  end
  return hmac_of
end

local MD5, SHA1, SHA256 = 0, 1, 2

mtev.md5 = digest(C.lh_ffi_digest, MD5, "md5")
mtev.md5_hex = digest(C.lh_ffi_digest_hex, MD5, "md5_hex")
mtev.sha1 = digest(C.lh_ffi_digest, SHA1, "sha1")
mtev.sha1_hex = digest(C.lh_ffi_digest_hex, SHA1, "sha1_hex")
mtev.sha256 = digest(C.lh_ffi_digest, SHA256, "sha256")
mtev.sha256_hex = digest(C.lh_ffi_digest_hex, SHA256, "sha256_hex")
mtev.sha256_hash = digest(C.lh_ffi_digest_hex, SHA256, "sha256_hash")
mtev.hmac_sha1_encode = hmac(SHA1, "hmac_sha1_encode")
mtev.hmac_sha256_encode = hmac(SHA256, "hmac_sha256_encode")

local function uuid()
  local serial = C.lh_ffi_uuid(codec)
  if serial == 0 then refuse() end
  local result = to_string(text, codec.length)
  if codec.serial == serial then return result end
  return uuid()
end

mtev.uuid = uuid

-- -- Codecs -----------------------------------------------------------------------------------------------------------

local function encode(s)
  s = check_string(s, 1, "base64_encode")
  local serial = C.lh_ffi_base64_encode(codec, s, #s)
  if serial == 0 then return (base64_encode(s)) end
  local result = to_string(text, codec.length)
  if codec.serial == serial then return result end
  return encode(s)
end

local function decode_long(s)
  local bytes, offset = base64_decode(s)
  if bytes then return bytes end
  if offset == #s then return nil, "text ends within a group of base64" end
  return nil, "not base64 at offset " .. offset
end

local function decode(s)
  s = check_string(s, 1, "base64_decode")
  local serial = C.lh_ffi_base64_decode(codec, s, #s)
  if serial == 0 then return decode_long(s) end
  local result = to_string(text, codec.length)
  if codec.serial == serial then return result end
  return decode(s)
end

local function escape_long(s, tags)
  local html, offset = utf8tohtml(s, tags)
  if not html then error("invalid UTF-8 at offset " .. offset, 3) end
  return html
end

local function escape(s, tags)
  s, tags = check_string(s, 1, "utf8tohtml"), tags and true or false
  local serial = C.lh_ffi_utf8tohtml(codec, s, #s, tags)
  if serial == 0 then return (escape_long(s, tags)) end
  local result = to_string(text, codec.length)
  if codec.serial == serial then return result end
  return escape(s, tags)
end

mtev.base64_encode, mtev.base64_decode, mtev.utf8tohtml = encode, decode, escape
