---@meta
-- Digests and codecs: mtev.md5, sha1, sha256, hmac_*, base64_*, uuid, utf8tohtml, gunzip, gzip.

-- == Digests and codecs =============================================================================================
-- Pure functions; none yields. Compiled loops call them without leaving the trace.

---The MD5 digest (RFC 1321): 16 bytes.
---@param s string
---@return string bytes
function mtev.md5(s) end

---The MD5 digest as 32 lower-case hexadecimal digits.
---@param s string
---@return string hex
function mtev.md5_hex(s) end

---The SHA-1 digest (RFC 3174): 20 bytes.
---@param s string
---@return string bytes
function mtev.sha1(s) end

---The SHA-1 digest as 40 lower-case hexadecimal digits.
---@param s string
---@return string hex
function mtev.sha1_hex(s) end

---The SHA-256 digest (RFC 6234): 32 bytes.
---@param s string
---@return string bytes
function mtev.sha256(s) end

---The SHA-256 digest as 64 lower-case hexadecimal digits.
---@param s string
---@return string hex
function mtev.sha256_hex(s) end

---The old name of `mtev.sha256_hex`.
---@deprecated
---@param s string
---@return string hex
function mtev.sha256_hash(s) end

---HMAC-SHA-1 (RFC 2104) in base64.
---@param message string
---@param key string
---@return string base64 28 characters
function mtev.hmac_sha1_encode(message, key) end

---HMAC-SHA-256 (RFC 2104) in base64.
---@param message string
---@param key string
---@return string base64 44 characters
function mtev.hmac_sha256_encode(message, key) end

---Base64 (RFC 4648, section 4), with padding, in one line.
---@param s string
---@return string base64
function mtev.base64_encode(s) end

---Decodes base64; white space is skipped and padding may be missing.
---
---Difference: libmtev decodes anything.
---@param s string
---@return string? bytes nil for an invalid character, or a text that ends within a group
---@return string message
function mtev.base64_decode(s) end

---A random UUID (RFC 4122, version 4), lower case, from the kernel's random numbers.
---@return string uuid 36 characters
function mtev.uuid() end

---Writes UTF-8 as HTML: characters beyond ASCII become entities, by name where HTML 4 has one (`&eacute;`), otherwise
---`&#N;`. `&` and quotes are left unchanged.
---
---Raises `invalid UTF-8 at offset N`.
---@param s string
---@param tags? boolean also writes `<` and `>` as `&lt;` and `&gt;`; default false
---@return string html
function mtev.utf8tohtml(s, tags) end

---Makes a function that decompresses a stream, piece by piece: gzip (RFC 1952, also several members in a row,
---followed by zeros), zlib (RFC 1950) or raw deflate (RFC 1951), depending on the first two bytes. Each call returns
---the output available so far that has not been returned yet; `""` if there is none.
---
---The function raises `zlib: data error` for anything else, also after the end, and `zlib: more than N bytes` if a
---piece yields more than `limit`. From then on it always raises.
---
---Returns # limit: bytes that one call may return, default 1 MiB, 0 = unlimited
---@return fun(chunk: string, limit?: integer): string
function mtev.gunzip() end

---Compresses into one gzip member. Extension.
---@param s string
---@param level? integer 0 (stored) to 9 (smallest); default 6
---@return string gzip
function mtev.gzip(s, level) end
