---@meta
-- HTTP client: mtev.Api and its responses.

-- == HTTP: mtev.Api =================================================================================================
--
-- A client for one server, on libcurl: connections are kept and shared by all Apis of the thread, HTTP/2 is used if
-- the server offers it over TLS, gzip, deflate, br and zstd are decompressed, proxies are taken from the environment
-- (http_proxy, https_proxy, no_proxy). Redirects are not followed unless asked for. Names are looked up as by
-- `mtev.getaddrinfo`, within the connect timeout, and remembered for a minute. If a kept connection turns out to be
-- closed, the request is repeated on another one if its method allows that (GET, HEAD, PUT, DELETE, OPTIONS, TRACE).
--
-- Defaults: 10 s to connect, 60 s in all (none when a function consumes or delivers a body), 30 s without a byte; 128
-- MiB of body (unlimited when a function consumes it). A header may have 64 KiB and 1000 fields, and so may the
-- trailers.

---@class mtev.Api
mtev.Api = {}

---A client for HTTP. Does not yield. Raises for invalid hosts, ports and headers.
---@param host string name or address (IPv6 with a zone if needed), without scheme
---@param port integer|string 1..65535
---`headers`: sent with every request: values are strings, numbers, arrays (one line per element); false omits a
---header that is sent by default. Other values raise
---@param headers? table<string, any>
---@return mtev.Api
function mtev.Api:http(host, port, headers) end

---A client for HTTPS. The server's certificate is verified against `sslconfig.ca_chain`, by default the system's
---store, and its name is checked, unless `verify = false`. Does not yield.
---@param host string
---@param port integer|string
---@param headers? table<string, any>
---`sslconfig`: as for `ssl_upgrade_socket`; `snihost`: the name to send and to verify instead of `host` (the header
---Host stays `host`); `crl` must be a file
---@param sslconfig? table
---@return mtev.Api
function mtev.Api:https(host, port, headers, sslconfig) end

---Makes a request. Yields.
---
---A table as payload is sent as JSON, with its content type. `Accept` is application/json, `User-Agent`
---lhotse/VERSION, unless headers say otherwise. Failures return a response too: its `rc()` is -1 and its `text()`
---says why, mostly in libcurl's words, which change with its version; fixed texts are
---`"answer ended with 91 of 100 bytes missing"`, `"answer ended before the end of its body"`,
---`"the answer is not HTTP"`.
---
---Content-Length is set by the Api: the caller's is dropped; a Transfer-Encoding other than `chunked` raises.
---
---Raises for misuse; errors of the functions in `options` are passed on.
---@param method string `"GET"` ..., upper case
---@param path? string with its query; characters not allowed in a URL are escaped; default `/`
---`payload`: a function is called for the body piece by piece, until it returns nil; it may yield. None with HEAD
---@param payload? string|table|(fun(): string?)
---@param headers? table<string, any> override the Api's
---@param options? mtev.Api.options extension
---@return mtev.ApiResponse
function mtev.Api:request(method, path, payload, headers, options) end

---@class mtev.Api.options
---@field timeout? number seconds for the whole request; 0 fails immediately, nothing is sent
---@field connect_timeout? number seconds, at least a millisecond
---@field idle_timeout? number seconds without a byte, rounded up to whole seconds
---@field limit? integer bytes of the decompressed body, also with `consume`; a longer one is an error
---`redirects`: follow at most so many: with 303 any method but HEAD becomes GET, with 301 and 302 POST becomes GET;
---otherwise the request is repeated unchanged, except that a body from a function is an error. Authorization,
---Proxy-Authorization, Cookie and Host are not sent to another origin
---@field redirects? integer
---`consume`: gets the body piece by piece; it may yield, and the server waits. Returning false ends the request.
---`text()` is empty. The network is read 2 KiB at a time, because a compressed body may be much larger when unpacked;
---with `decode = false` in larger pieces, at a third of the cost
---@field consume? fun(piece: string): any
---`body_length`: of a body from a function; any other length fails the request; default unknown: sent in chunks
---@field body_length? integer
---`progress`: bytes so far and in total, 0 = unknown; it may yield
---@field progress? fun(down: number, down_total: number, up: number, up_total: number)
---@field progress_interval? number seconds; default 1
---@field decode? boolean false: the body as received
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

---Sets the default of `options.timeout`. Extension.
---@param seconds? number nil: back to the built-in default
---@return mtev.Api self
function mtev.Api:timeout(seconds) end

---Sets the default of `options.limit`. Extension.
---@param bytes? integer
---@return mtev.Api self
function mtev.Api:limit(bytes) end

---Sets the default of `options.redirects`. Extension.
---@param count? integer
---@return mtev.Api self
function mtev.Api:redirects(count) end

---@class mtev.ApiResponse
---@field code integer as rc()
---@field output string as text()
---`headers`: by name, in any case; several of one name are joined by ", "; includes trailers whose name is not in the
---header
---@field headers table<string, string>
---@field cookies string[] the values of Set-Cookie
---@field trailers table<string, string> the fields after the body, by name, in any case
---@field url string the URL requested
mtev.ApiResponse = {}

---@return integer rc the status; -1: no answer, or not a complete one
function mtev.ApiResponse:rc() end

---@return string text the body; with rc -1 the reason
function mtev.ApiResponse:text() end

---Raises `URL: HTTP 404: BODY`, or `URL: REASON`, unless the status is 200 to 299.
---@return mtev.ApiResponse self
function mtev.ApiResponse:check() end

---The body as JSON; raises if it is not JSON.
---@return any value nil for an empty body
function mtev.ApiResponse:json() end

---The body as XML; raises if it is not XML.
---@return mtev.xmldoc? doc nil for an empty body
function mtev.ApiResponse:xml() end
