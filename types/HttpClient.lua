---@meta
-- HTTP client by hand: require "mtev.HttpClient".

-- == HTTP: require "mtev.HttpClient" ================================================================================

---@class mtev.HttpClient
---HTTP/1.x on one connection, by hand, as libmtev's class of that name. One request at a time; the connection stays
---open for the next one if both sides allow. gzip and deflate are unpacked. After a failure of get_response it is
---closed, also when a hook raises, or the coroutine is cancelled, before the answer is whole.
---`require "mtev.HttpClient"` gives the class. Other fields are private.
---
---Of an answer's header 64 KiB and 1000 fields are read, of the trailers as much, of a chunk's line 16 KiB. Lines may
---end with LF alone, and be folded. What two readers may understand differently is refused: white space before a
---colon, NUL and stray CR, lengths that are none or differ, transfer codings but `chunked`. After an answer with both
---a length and `chunked`, which counts then, the connection is closed.
---@field code? integer the status
---@field protocol? string `"1.1"`
---@field headers? table<string, string> by lower-case name, without cookies
---@field cookies? string[] the values of Set-Cookie
---`trailers`: what came behind a chunked body; those that the header does not have are added to `headers`
---@field trailers? table<string, string>
---@field raw_bytes integer of the body, as it came
---@field content_bytes integer of the body, unpacked
local HttpClient = {}

---@class mtev.HttpClient.hooks
---consume gets the body piece by piece; certfile and the following give what sslconfig does not say; they may yield
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

---Closes what was open and connects. Yields. Raises, before anything is closed, when `ssl_host` or `snihost` is no
---name.
---@param target string address, host name, unix path or `"reverse:NAME"`
---@param port? integer|string
---@param ssl? boolean
---`ssl_host`: the name to ask for and to verify; default `sslconfig.snihost`, else `target`, which may be an address
---@param ssl_host? string
---@param layer? string
---@return integer rv 0; or -1
---@return string? err
function HttpClient:connect(target, port, ssl, ssl_host, layer) end

---Sends a request. Content-Length is added (one of the script's is left out), and Host and User-Agent if they are
---missing. Yields. Raises for names and values that cannot be sent, for Transfer-Encoding, for two Hosts, and for one
---that could be taken for several (spaces, `@`, `?`, `#`, backslashes).
---
---If something has come that was not asked for, which would pass for the answer, the connection is closed and nothing
---sent.
---@param method string
---@param uri string without spaces and control characters
---@param headers? table<string, string|number>
---@param payload? string
---@param version? string `"1.1"` (default) or `"1.0"`
---@return boolean? ok
---@return string? err `not connected`, `the server sent something that was not asked for`, or the socket's
function HttpClient:do_request(method, uri, headers, payload, version) end

---Receives the answer. Yields. `closed`: a hook or another coroutine closed the client before the answer was whole.
---
---Difference: failures are returned.
---@param limit? integer bytes of the body, unpacked: at more it ends with `nil, "limit"`, the hook having got so many
---@return boolean? ok
---@return string? err `timeout`, `limit`, `not connected`, `closed`, or what is wrong with the answer
function HttpClient:get_response(limit) end

---How long the header may take, and each further piece; default 10.
---@param seconds? number
function HttpClient:set_timeout(seconds) end

---How long connecting may take, and the TLS handshake; default 10.
---@param seconds? number
function HttpClient:set_connect_timeout(seconds) end

---May be called again.
function HttpClient:close() end

---@return mtev.eventer.ssl_ctx? ctx nil without TLS; also after a handshake that failed
function HttpClient:ssl_ctx() end

---The value of the header Authorization that answers a Digest challenge (RFC 7616: MD5, SHA-256 and their -sess
---forms, qop auth or none). A challenge that it cannot be for gives nil, err. Raises for control characters in `uri`
---and `user`.
---@param method string
---@param uri string
---@param user string
---@param password string
---@param challenge string the header WWW-Authenticate, with or without the word Digest
---@return string? authorization
---@return string? err
function HttpClient:auth_digest(method, uri, user, password, challenge) end
