---@meta
-- HTTP client by hand: require "mtev.HttpClient".

-- == HTTP: require "mtev.HttpClient" ================================================================================

---@class mtev.HttpClient
---HTTP/1.x on one connection, by hand, like libmtev's class of that name. One request at a time; the connection stays
---open for the next one if both sides allow. gzip and deflate are decompressed. After a failure of get_response the
---connection is closed, also if a hook raises or the coroutine is cancelled before the answer is complete.
---`require "mtev.HttpClient"` returns the class. Other fields are private.
---
---An answer's header may have 64 KiB and 1000 fields, and so may the trailers; a chunk's line 16 KiB. Lines may end
---with LF alone and may be folded. Ambiguous framing is refused: white space before a colon, NUL and stray CR,
---invalid or conflicting lengths, transfer codings other than `chunked`. After an answer with both a length and
---`chunked`, where `chunked` applies, the connection is closed.
---@field code? integer the status
---@field protocol? string `"1.1"`
---@field headers? table<string, string> by lower-case name, without cookies
---@field cookies? string[] the values of Set-Cookie
---`trailers`: the fields after a chunked body; those not in the header are also added to `headers`
---@field trailers? table<string, string>
---@field raw_bytes integer size of the body as received
---@field content_bytes integer size of the decompressed body
local HttpClient = {}

---@class mtev.HttpClient.hooks
---consume gets the body piece by piece; certfile and those after it provide what sslconfig lacks. All may yield.
---@field connected? fun()
---@field headers? fun(headers: table<string, string>, cookies: string[])
---@field consume? fun(piece: string)
---@field certfile? fun(): string
---@field keyfile? fun(): string
---@field cachain? fun(): string
---@field ciphers? fun(): string

---@param hooks? mtev.HttpClient.hooks
---@param sslconfig? table as for `ssl_upgrade_socket`
---@return mtev.HttpClient
function HttpClient:new(hooks, sslconfig) end

---Closes an open connection and connects. Yields. Raises, before anything is closed, if `ssl_host` or `snihost` is
---not a valid name.
---@param target string address, host name, unix path or `"reverse:NAME"`
---@param port? integer|string
---@param ssl? boolean
---`ssl_host`: the name to send and to verify; default `sslconfig.snihost`, or else `target`, which may be an address
---@param ssl_host? string
---@param layer? string
---@return integer rv 0; or -1
---@return string? err
function HttpClient:connect(target, port, ssl, ssl_host, layer) end

---Sends a request. Content-Length is added (the script's is dropped), and Host and User-Agent if missing. Yields.
---Raises for names and values that cannot be sent, for Transfer-Encoding, for two Hosts, and for an ambiguous Host
---(spaces, `@`, `?`, `#`, backslashes).
---
---If unsolicited bytes have arrived, which would be mistaken for the answer, the connection is closed and nothing is
---sent.
---@param method string
---@param uri string without spaces and control characters
---@param headers? table<string, string|number>
---@param payload? string
---@param version? string `"1.1"` (default) or `"1.0"`
---@return boolean? ok
---@return string? err `not connected`, `the server sent something that was not asked for`, or the socket's error
function HttpClient:do_request(method, uri, headers, payload, version) end

---Receives the answer. Yields. `closed`: a hook or another coroutine closed the client before the answer was
---complete.
---
---Difference: failures are returned.
---
---`limit`: bytes of the decompressed body: beyond it returns `nil, "limit"`, after the hook has got so many
---@param limit? integer
---@return boolean? ok
---@return string? err `timeout`, `limit`, `not connected`, `closed`, or what is wrong with the answer
function HttpClient:get_response(limit) end

---Sets how long the header may take, and each further piece; default 10.
---@param seconds? number
function HttpClient:set_timeout(seconds) end

---Sets how long connecting may take, and the TLS handshake; default 10.
---@param seconds? number
function HttpClient:set_connect_timeout(seconds) end

---Closes the connection. May be called again.
function HttpClient:close() end

---@return mtev.eventer.ssl_ctx? ctx nil without TLS; available also after a failed handshake
function HttpClient:ssl_ctx() end

---Returns the value of the header Authorization that answers a Digest challenge (RFC 7616: MD5, SHA-256 and their
----sess forms, qop auth or none). For any other challenge it returns nil, err. Raises for control characters in `uri`
---and `user`.
---@param method string
---@param uri string
---@param user string
---@param password string
---@param challenge string the header WWW-Authenticate, with or without the word Digest
---@return string? authorization
---@return string? err
function HttpClient:auth_digest(method, uri, user, password, challenge) end
