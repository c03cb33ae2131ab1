---@meta
-- HTTP client: mtev.Api and its responses.

-- == HTTP: mtev.Api =================================================================================================
--
-- A client for one server, on libcurl: connections are kept and shared by all Apis of the thread, HTTP/2 is used
-- where the server offers it over TLS, gzip, deflate, br and zstd are unpacked, proxies are taken from the
-- environment (http_proxy, https_proxy, no_proxy). Redirects are not followed unless asked for. Names are looked up
-- as `mtev.getaddrinfo` does, within the connect timeout, and believed for a minute. When a kept connection turns out
-- to be closed the request is made again on another one if its method may be repeated (GET, HEAD, PUT, DELETE,
-- OPTIONS, TRACE).
--
-- Defaults: 10 s to connect, 60 s in all (none when a function consumes or delivers a body), 30 s without a byte; 128
-- MiB of body (any number when a function consumes it). Of a header 64 KiB and 1000 fields are read, of the trailers
-- as much.

---@class mtev.Api
mtev.Api = {}

---Does not yield. Raises for bad hosts, ports and headers.
---@param host string name or address (IPv6 with a zone if need be), without scheme
---@param port integer|string 1..65535
---`headers`: sent with every request: values are strings, numbers, arrays (a line each); false leaves out a header of
---ours. Others raise
---@param headers? table<string, any>
---@return mtev.Api
function mtev.Api:http(host, port, headers) end

---The same over TLS. The server is verified against `sslconfig.ca_chain`, or the system's store, and for its name,
---unless `verify = false`. Does not yield.
---@param host string
---@param port integer|string
---@param headers? table<string, any>
---`sslconfig`: as for `ssl_upgrade_socket`; `snihost`: the name to ask for and to verify instead of `host` (the
---header Host stays `host`); `crl` must be a file
---@param sslconfig? table
---@return mtev.Api
function mtev.Api:https(host, port, headers, sslconfig) end

---Makes a request. Yields.
---
---A table as payload is sent as JSON, with its content type. `Accept` is application/json, `User-Agent`
---lhotse/VERSION, unless headers say otherwise. Whatever goes wrong gives a response too: its `rc()` is -1 and its
---`text()` says why, mostly in libcurl's words, which change with its version; not so
---`"answer ended with 91 of 100 bytes missing"`, `"answer ended before the end of its body"`,
---`"what came is no HTTP"`.
---
---Content-Length is ours to say: one of the caller's is left out; Transfer-Encoding but `chunked` raises.
---
---Raises for misuse; errors of the functions in `options` come through.
---@param method string `"GET"` ..., upper case
---@param path? string with its query; what an URL may not hold is escaped; default `/`
---`payload`: a function is called for the body piece by piece, until it returns nil; it may yield. None with HEAD
---@param payload? string|table|(fun(): string?)
---@param headers? table<string, any> they win over the Api's
---@param options? mtev.Api.options extension
---@return mtev.ApiResponse
function mtev.Api:request(method, path, payload, headers, options) end

---@class mtev.Api.options
---@field timeout? number seconds for the whole request; 0 is over at once, nothing is sent
---@field connect_timeout? number seconds, at least a millisecond
---@field idle_timeout? number seconds without a byte, rounded up to whole ones
---@field limit? integer bytes of the body, unpacked, also with `consume`; a longer one is an error
---`redirects`: follow at most so many: with 303 anything but HEAD becomes a GET, with 301 and 302 a POST; else the
---request is made again as it is, but for a body that comes from a function, which is an error. To another origin go
---no Authorization, Proxy-Authorization, Cookie and Host
---@field redirects? integer
---`consume`: gets the body piece by piece; it may yield: the server waits then. false ends the request. `text()` is
---empty
---@field consume? fun(piece: string): any
---`body_length`: of a body that comes from a function; another length fails the request; default unknown: it is sent
---in chunks
---@field body_length? integer
---`progress`: bytes so far and in all, 0 = unknown; it may yield
---@field progress? fun(down: number, down_total: number, up: number, up_total: number)
---@field progress_interval? number seconds; default 1
---@field decode? boolean false: the body as it came
---@field http1? boolean never HTTP/2
---@field proxy? string instead of the environment's; `""`: none

---Yields.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:get(path, payload, headers, options) end

---Yields.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:post(path, payload, headers, options) end

---Yields.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:put(path, payload, headers, options) end

---Yields. Extension.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:patch(path, payload, headers, options) end

---Yields. Extension.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:delete(path, payload, headers, options) end

---Yields. Extension.
---@param path? string
---@param payload? nil
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:head(path, payload, headers, options) end

---What `options.timeout` is where a request does not say. Extension.
---@param seconds? number nil: the default again
---@return mtev.Api self
function mtev.Api:timeout(seconds) end

---What `options.limit` is where a request does not say. Extension.
---@param bytes? integer
---@return mtev.Api self
function mtev.Api:limit(bytes) end

---What `options.redirects` is where a request does not say. Extension.
---@param count? integer
---@return mtev.Api self
function mtev.Api:redirects(count) end

---@class mtev.ApiResponse
---@field code integer as rc()
---@field output string as text()
---`headers`: by name, in any case; several of one name are joined by ", "; trailers are among them, where the header
---has no field of the name
---@field headers table<string, string>
---@field cookies string[] the values of Set-Cookie
---@field trailers table<string, string> what came behind the body, by name, in any case
---@field url string what was asked for
mtev.ApiResponse = {}

---@return integer rc the status; -1: there is no (whole) answer
function mtev.ApiResponse:rc() end

---@return string text the body; with rc -1 why there is none
function mtev.ApiResponse:text() end

---Raises `URL: HTTP 404: BODY`, or `URL: REASON`, unless the status is 200 to 299.
---@return mtev.ApiResponse self
function mtev.ApiResponse:check() end

---The body as JSON; raises when it is none.
---@return any value nil for an empty body
function mtev.ApiResponse:json() end

---The body as XML; raises when it is none.
---@return mtev.xmldoc? doc nil for an empty body
function mtev.ApiResponse:xml() end
