-- mtev.Api: an HTTP client for one server, on libcurl (src/net/http_client.c).

local mtev, core = ...
local http_settings, http_lines, http_start, http_wait = core.http_settings, core.http_lines, core.http_start, core.http_wait
local http_redirect, getaddrinfo, ip_family = core.http_redirect, core.getaddrinfo, core.ip_family
local http_feed, http_free, http_progress = core.http_feed, core.http_free, core.http_progress
local await, broadcast, condition = core.await, core.broadcast, core.condition
local check_interrupted, tls_settings = core.check_interrupted, core.tls_settings
local type, pairs, tostring, error, setmetatable = type, pairs, tostring, error, setmetatable
local check, http_fields = core.check, core.http_fields

-- -- Responses --------------------------------------------------------------------------------------------------------

local Response = { __name = "mtev.ApiResponse" }
mtev.ApiResponse = Response

-- Header fields by their names in any case.
local headers_meta = {
  __index = function(headers, name) return type(name) == "string" and rawget(headers, name:lower()) or nil end,
}

-- Reads a head: its fields by lower-case names, several of one name joined with ", " (RFC 9110, 5.3); the cookies one
-- by one, because their values may hold commas; and the trailers, which replace nothing (6.5.1).
local function read_head(self)
  local head = rawget(self, "head") or ""
  local headers, cookies, length = http_fields(head, true)
  if cookies[1] then headers["set-cookie"] = table.concat(cookies, ", ") end
  local trailers = http_fields(head:sub(length + 1))
  for name, value in pairs(trailers) do
    if headers[name] == nil then headers[name] = value end
  end
  self.headers, self.cookies, self.trailers = setmetatable(headers, headers_meta), cookies, setmetatable(trailers, headers_meta)
end

local LAZY = { headers = true, cookies = true, trailers = true }

-- The header is read when somebody asks for it.
function Response:__index(key)
  if not LAZY[key] then return Response[key] end
  read_head(self)
  return rawget(self, key)
end

local function check_response(self, name)
  if getmetatable(self) ~= Response then
    error(("calling '%s' on bad self (mtev.ApiResponse expected, got %s)"):format(name, type(self)), 3)
  end
end

function Response:rc()
  check_response(self, "rc")
  return self.code
end

function Response:text()
  check_response(self, "text")
  return self.output
end

function Response:check()
  check_response(self, "check")
  local code = self.code
  if code >= 200 and code <= 299 then return self end
  if code == -1 then error(("%s: %s"):format(self.url, self.output), 2) end
  local output = self.output or ""
  error(("%s: HTTP %d%s"):format(self.url, code, output ~= "" and ": " .. output:sub(1, 1000) or ""), 2)
end

-- There is a body, or none; of a request that failed it is said why.
local function has_body(self)
  if self.code == -1 then error(("%s: %s"):format(self.url, self.output), 3) end
  return self.output ~= nil and self.output ~= ""
end

function Response:json()
  check_response(self, "json")
  if not has_body(self) then return nil end
  local json, message, offset = mtev.parsejson(self.output)
  if not json then error(("%s: not JSON: %s at byte %d"):format(self.url, message, offset), 2) end
  return json:document()
end

function Response:xml()
  check_response(self, "xml")
  if not has_body(self) then return nil end
  local doc, message = mtev.parsexml(self.output)
  if not doc then error(("%s: not XML: %s"):format(self.url, message), 2) end
  return doc
end

function Response:__tostring()
  return ("mtev.ApiResponse: %d"):format(self.code)
end

-- -- Requests: headers ------------------------------------------------------------------------------------------------

local USER_AGENT = "lhotse/" .. core.version

local BYTES = "a name has letters, digits and !#$%&'*+-.^_`|~, a value no line break and no NUL"

local function bad_header(name, why, level)
  error(("bad header '%s': %s"):format(tostring(name), why), level + 1)
end

-- As curl takes it.
local function header_line(name, value, level)
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" then
    bad_header(name, "a value is a string or a number, got " .. type(value), level + 1)
  end
  if value:find("[\r\n%z]") then bad_header(name, BYTES, level + 1) end
  if name:lower() == "host" and not check.is_host_field(value) then
    bad_header(name, "host or host:port expected", level + 1)
  end
  if value == "" then return name .. ";" end
  return name .. ": " .. value
end

-- How long the body is, and how it is sent, is not for the caller's headers to say: where they were wrong, the rest of
-- the body would begin the next request. A length is left out, and so is the coding that is used anyway.
local function frames_message(name, value, level)
  local lower = name:lower()
  if lower == "content-length" then return true end
  if lower ~= "transfer-encoding" then return false end
  if type(value) ~= "string" or value:lower() ~= "chunked" then
    error(("bad header '%s': how the body is sent is not for headers to say"):format(name), level + 1)
  end
  return true
end

-- Fields of a later table replace those of an earlier one, in whatever case they are written. `all`: lower-case name ->
-- {name, value}
local function merge(all, headers, level)
  if not headers then return end
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then bad_header(name, BYTES, level + 1) end
    if not frames_message(name, value, level + 1) then all[name:lower()] = { name, value } end
  end
end

local function header_lines(all, level)
  local lines = {}
  for _, field in pairs(all) do
    local name, value = field[1], field[2]
    if type(value) == "table" then
      for _, one in ipairs(value) do lines[#lines + 1] = header_line(name, one, level + 1) end
    elseif value ~= false then
      lines[#lines + 1] = header_line(name, value, level + 1)
    else
      lines[#lines + 1] = name .. ":" -- curl leaves it out
    end
  end
  return lines
end

-- Ours, then the Api's, then the request's.
local function make_lines(api, kind, headers, level, drop)
  local all = { accept = { "Accept", "application/json" }, ["user-agent"] = { "User-Agent", USER_AGENT } }
  all["content-type"] = { "Content-Type", kind == "json" and "application/json" }
  merge(all, api.host_header, level + 1)
  merge(all, api.headers, level + 1)
  merge(all, headers, level + 1)
  for _, name in ipairs(drop or {}) do all[name] = nil end
  return http_lines(header_lines(all, level + 1))
end

-- Most requests have no headers of their own.
local function lines_of(api, kind, headers, level)
  if headers and next(headers) ~= nil then return make_lines(api, kind, headers, level + 1) end
  local known = api.lines[kind]
  if not known then
    known = make_lines(api, kind, nil, level + 1)
    api.lines[kind] = known
  end
  return known
end

-- -- Requests: options ------------------------------------------------------------------------------------------------

local OPTIONS = {
  timeout = "seconds", connect_timeout = "seconds", idle_timeout = "seconds", limit = "count", redirects = "count",
  consume = "function", body_length = "count", progress = "function", progress_interval = "seconds", decode = "boolean",
  http1 = "boolean", proxy = "string",
}

local CONNECT_TIMEOUT, TOTAL_TIMEOUT, IDLE_TIMEOUT = 10, 60, 30 -- seconds
local LEAST_TIMEOUT = 0.001                                     -- seconds; libcurl takes 0 for none
local DEFAULT_TLS = tls_settings({}, nil, true)                -- a redirect may lead from http to https
local LIMIT = 128 * 1024 * 1024                                 -- bytes
local TIMEOUT_TEXT = "Operation timed out"
local PROGRESS_INTERVAL = 1                                     -- seconds
local MOST = { limit = 2 ^ 53, redirects = 1e6, body_length = 2 ^ 53 } -- more is the same

-- A target may hold what an URL may not; what is escaped already stays.
local function escape(path)
  return (path:gsub("[%z\1-\32\127-\255\"<>\\^`{|}#]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local URLS_MAX = 256 -- kept by an Api

local function url_of(api, path)
  local url = api.urls[path]
  if url then return url end
  local target = (path == nil or path == "") and "/" or tostring(path)
  if target:byte() ~= 47 then target = "/" .. target end
  url = api.base .. escape(target)
  if path == nil then return url end
  if api.url_count >= URLS_MAX then api.urls, api.url_count = {}, 0 end
  api.urls[path], api.url_count = url, api.url_count + 1
  return url
end

local function total_timeout(api, options, is_streaming)
  local total = options.timeout or api.total_timeout
  if not total and not is_streaming then total = TOTAL_TIMEOUT end
  return total and math.max(total, LEAST_TIMEOUT)
end

-- What does not depend on the single request; the same for all without options of their own.
local function make_settings(api, options, total)
  return http_settings {
    connect_to = api.connect_to,
    streams_down = options.consume ~= nil,
    keeps_encoding = options.decode == false,
    is_http1 = options.http1,
    limit = math.min(options.limit or api.body_limit or options.consume and MOST.limit or LIMIT, MOST.limit),
    connect_timeout = math.max(options.connect_timeout or api.tls and api.tls.timeout or CONNECT_TIMEOUT, LEAST_TIMEOUT),
    timeout = total,
    idle_timeout = math.max(options.idle_timeout or IDLE_TIMEOUT, LEAST_TIMEOUT),
    tls = api.tls or DEFAULT_TLS,
    proxy = options.proxy,
  }
end

-- -- Requests: the work -----------------------------------------------------------------------------------------------

local function respond(url, err, status, head, body)
  if err then
    return setmetatable({ code = -1, output = err, url = url }, Response)
  end
  return setmetatable({ code = status, output = body or "", head = head, url = url }, Response)
end

local function report(progress, request, options)
  local down, down_total, up, up_total = http_progress(request)
  progress(down, down_total, up, up_total)
  return core.monotonic() + (options.progress_interval or PROGRESS_INTERVAL)
end

-- A request that calls the script's functions while it runs.
local function drive(request, url, body, options)
  local consume, progress = options.consume, options.progress
  local interval = progress and (options.progress_interval or PROGRESS_INTERVAL)
  local next_report = progress and core.monotonic() + interval
  while true do
    local what, a, b, c, d = http_wait(request, interval)
    if what == "done" then return respond(url, a, b, c, d), http_redirect(request) end
    if what == nil then error(b, 0) end
    if what == "data" then
      if consume(a) == false then return respond(url, "consume has stopped it") end
    elseif what == "more" then
      local piece = body()
      if piece ~= nil and type(piece) ~= "string" then
        error(("the body function returned a %s (string or nil expected)"):format(type(piece)), 0)
      end
      http_feed(request, piece)
    end
    if progress and core.monotonic() >= next_report then next_report = report(progress, request, options) end
  end
end

local function drive_safely(request, ...)
  local ok, response, redirect = core.pcall(drive, request, ...)
  http_free(request)
  if not ok then error(response, 0) end
  return response, redirect
end

local NO_OPTIONS = {}

local function bad_argument(index, expected, value, level)
  error(("bad argument #%d to 'request' (%s expected, got %s)"):format(index, expected, type(value)), level + 1)
end

-- -- Requests: names -------------------------------------------------------------------------------------------------

-- curl's own lookups run in a thread that it joins, which stops ours until the resolver gives up: so curl is told the
-- addresses of every name that it may connect to.

local NAMES_MAX, NAMES_SECONDS = 256, 60 -- entries; how long an answer is believed, as curl does ...
local TOLD_SECONDS = 5                   -- ... so that it need not be told with each request
local names, name_count = {}, 0          -- of this thread: name -> {addresses, expires}

local lookups = {}                       -- under way: name -> condition

local function find_addresses(name, timeout)
  local _, err, all = getaddrinfo(name, timeout)
  check_interrupted(err, all)
  return all, err
end

-- One lookup at a time for a name, by whoever came first; the others wait for its end.
local function look_up(name, timeout)
  local over = condition("Api:request")
  lookups[name] = over
  local ok, all, err = pcall(find_addresses, name, timeout)
  lookups[name] = nil
  broadcast(over)
  if not ok then error(all, 0) end
  return all, err
end

-- The addresses of a name, with commas; or nil and why there are none.
local function addresses_of(name, timeout)
  local known = names[name]
  if known and known[2] > core.monotonic() then return known[1] end
  local deadline = core.monotonic() + timeout
  while lookups[name] do
    local came = await(lookups[name], deadline - core.monotonic())
    if not came then return nil, "timeout" end
    known = names[name]
    if known and known[2] > core.monotonic() then return known[1] end
  end
  local all, err = look_up(name, math.max(deadline - core.monotonic(), 0))
  if not all then return nil, err end
  for i, address in ipairs(all) do
    if address:find(":", 1, true) then all[i] = "[" .. address .. "]" end
  end
  if name_count >= NAMES_MAX then names, name_count = {}, 0 end
  if not names[name] then name_count = name_count + 1 end
  names[name] = { table.concat(all, ","), core.monotonic() + NAMES_SECONDS }
  return names[name][1]
end

-- Scheme, host and port of a URL that curl has made whole.
local function origin_of(url)
  local scheme, authority = url:match("^(%a[%w+.-]*)://([^/?#]*)")
  if not scheme then return nil end
  authority = authority:match("[^@]*$")
  local host, port = authority:match("^%[([^%]]*)%]:?(%d*)$")
  if not host then host, port = authority:match("^([^:]*):?(%d*)$") end
  if not host then return nil end
  scheme = scheme:lower()
  return scheme, host, tonumber(port) or scheme == "https" and 443 or 80
end

local PROXY_VARIABLES = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" }

local function has_proxy_variable()
  for _, name in ipairs(PROXY_VARIABLES) do
    if os.getenv(name) then return true end
  end
  return false
end

-- The proxy for a scheme, as curl finds it: host, port, whether it looks names up itself; nil: none.
local function proxy_of(scheme, options)
  local text = options.proxy
  if text == nil then
    text = os.getenv(scheme .. "_proxy") or scheme == "https" and os.getenv("HTTPS_PROXY")
      or os.getenv("all_proxy") or os.getenv("ALL_PROXY")
  end
  if not text or text == "" then return nil end
  local kind, host, port = origin_of(text:find("://", 1, true) and text or "http://" .. text)
  if not host then return nil end
  if not text:match("[^@/]*$"):find(":%d+/?$") and not text:find(":%d+/?$") then port = kind == "https" and 443 or 1080 end
  return host, port, kind ~= "socks4" and kind ~= "socks5"
end

-- An address needs no addresses. It may have a zone: fe80::1%eth0, in a URL fe80::1%25eth0.
local function is_address(host)
  return ip_family(host:match("^([%x:.]*:[%x:.]*)%%[%w._~-]+$") or host) ~= nil
end

local function add_name(lines, host, port, timeout)
  if host == "" or is_address(host) then return true end
  local addresses, err = addresses_of(host, timeout)
  if not addresses then return false, err end
  lines[#lines + 1] = ("+%s:%d:%s"):format(host, port, addresses)
  return true
end

-- Lines for CURLOPT_RESOLVE, nil if no name is needed; false and why not.
local function resolve(api, url, options, timeout)
  local scheme, host, port = origin_of(url)
  if not host then return nil end
  if api.connect_host and url:sub(1, #api.base) == api.base then host = api.connect_host end
  local proxy, proxy_port, is_remote = proxy_of(scheme, options)
  if not proxy and is_address(host) then return nil end
  local lines = {}
  if proxy then
    local ok, err = add_name(lines, proxy, proxy_port, timeout)
    if not ok then return false, err end
  end
  if not is_remote or os.getenv("no_proxy") or os.getenv("NO_PROXY") then
    local ok, err = add_name(lines, host, port, timeout)
    if not ok and not proxy then return false, err end
  end
  return lines[1] and http_lines(lines) or nil
end

-- -- Requests: sending and following ---------------------------------------------------------------------------------

local function why_unresolved(url, err)
  local _, host = origin_of(url)
  if err == "timeout" then return ("Could not resolve host: %s: timed out"):format(host) end
  return ("Could not resolve host: %s: %s"):format(host, (err or ""):match("failed: (.*)$") or err)
end

-- Lines for CURLOPT_RESOLVE, nil if there are none; or false and a response that says why.
local function resolve_for(api, url, options, total)
  local timeout = math.max(options.connect_timeout or CONNECT_TIMEOUT, LEAST_TIMEOUT)
  if total and total < timeout then timeout = total end
  local resolved, err = resolve(api, url, options, timeout)
  if resolved == false then return false, respond(url, why_unresolved(url, err)) end
  return resolved
end

-- Makes one request: its response, and, if that counts, where it leads.
local function send(api, options, settings, method, url, lines, body, payload, total, follows)
  local resolved, failure
  if follows or options.proxy or api.needs_names and core.monotonic() >= api.told_until then
    resolved, failure = resolve_for(api, url, options, total)
    if failure then return failure end
    if not follows and not options.proxy then api.told_until = core.monotonic() + TOLD_SECONDS end
  end
  local request, err = http_start(settings, method, url, lines, body,
    options.body_length and math.min(options.body_length, MOST.body_length), resolved, follows)
  if not request then return respond(url, err) end
  if body == true or options.consume or options.progress then return drive_safely(request, url, payload, options) end
  local what, a, b, c, d = http_wait(request)
  if what == nil then error(b, 0) end
  local redirect = follows and http_redirect(request) or nil
  http_free(request)
  return respond(url, a, b, c, d), redirect
end

-- What a redirect makes of a method (RFC 9110, 15.4): with 303 something else is asked for; with 301 and 302 a POST
-- becomes a GET, as everybody has it; else the request is made again as it is.
local function method_after(status, method)
  if status == 303 and method ~= "HEAD" then return "GET" end
  if (status == 301 or status == 302) and method == "POST" then return "GET" end
  return method
end

local CREDENTIALS = { "authorization", "cookie", "proxy-authorization", "host" }

local function is_same_origin(a, b)
  local scheme, host, port = origin_of(a)
  local other_scheme, other_host, other_port = origin_of(b)
  return scheme == other_scheme and port == other_port and host ~= nil and other_host ~= nil and host:lower() == other_host:lower()
end

-- Makes the request, and those that its answers lead to.
local function follow(call, total, redirects)
  local first_url, deadline = call.url, total and core.monotonic() + total
  local drop = {}
  for count = 0, math.huge do
    local response, to = send(call.api, call.options, call.settings, call.method, call.url, call.lines, call.body, call.payload, total,
      true)
    response.url = first_url
    if not to then return response end
    if count >= redirects then return respond(first_url, ("Maximum (%d) redirects followed"):format(redirects)) end
    local method = method_after(response.code, call.method)
    if method ~= call.method then
      call.body, call.payload, call.kind = nil, nil, "plain"
      drop[#drop + 1] = "content-type"
    elseif call.body == true then
      return respond(first_url, ("a redirect to %s: the body cannot be sent again"):format(to))
    end
    if not is_same_origin(call.url, to) then
      for _, name in ipairs(CREDENTIALS) do drop[#drop + 1] = name end
    end
    total = deadline and math.max(deadline - core.monotonic(), LEAST_TIMEOUT)
    call.method, call.url = method, to
    call.settings = make_settings(call.api, call.options, total)
    call.lines = make_lines(call.api, call.kind, call.headers, call.level + 1, drop)
  end
end

local function perform(api, method, path, payload, headers, options, level)
  local url = url_of(api, path)
  local body, kind = payload, "plain"
  local payload_type = type(payload)
  if payload_type == "table" then
    body, kind = mtev.tojson(payload):tostring(), "json"
  elseif payload_type == "number" then
    body = tostring(payload)
  elseif payload_type == "function" then
    body = true
  elseif payload ~= nil and payload_type ~= "string" then
    bad_argument(3, "string, table or function", payload, level + 1)
  end
  if method == "HEAD" and body ~= nil then -- no answer to it has a body (RFC 9110, 9.3.2); curl would wait for one
    if body ~= "" then error(("bad argument #3 to 'request' (HEAD has no payload, got %s)"):format(payload_type), level + 1) end
    body = nil
  end
  if headers ~= nil and type(headers) ~= "table" then bad_argument(4, "table", headers, level + 1) end
  local is_streaming = body == true or options ~= nil and options.consume ~= nil
  local settings, total, err = api.settings, nil, nil
  if options then
    options = check.options(options, OPTIONS, "request")
    total = total_timeout(api, options, is_streaming)
    settings, err = make_settings(api, options, total)
  else
    options = NO_OPTIONS
    total = total_timeout(api, options, is_streaming)
    if body == true then
      settings, err = make_settings(api, options, total)
    elseif not settings then
      settings, err = make_settings(api, options, total)
      api.settings = settings
    end
  end
  if not settings then return respond(url, err) end
  local lines = lines_of(api, kind, headers, level + 1)
  if (options.timeout or api.total_timeout) == 0 then return respond(url, TIMEOUT_TEXT) end
  local redirects = options.redirects or api.redirect_count or 0
  if redirects < 1 then return (send(api, options, settings, method, url, lines, body, payload, total, false)) end
  return follow({
    api = api, options = options, settings = settings, method = method, url = url, lines = lines, body = body, payload = payload,
    kind = kind, headers = headers, level = level,
  }, total, math.min(redirects, MOST.redirects))
end

-- -- Api --------------------------------------------------------------------------------------------------------------

local Api = {}
Api.__index, Api.__name = Api, "mtev.Api"
mtev.Api = Api

local function check_api(self, name)
  if getmetatable(self) ~= Api then
    error(("calling '%s' on bad self (mtev.Api expected, got %s)"):format(name, type(self)), 3)
  end
end

local function split_ciphers(list)
  local old, new = {}, {}
  for word in (list or ""):gmatch("[^:, ]+") do
    local to = word:find("^TLS_") and new or old
    to[#to + 1] = word
  end
  return old[1] and table.concat(old, ":"), new[1] and table.concat(new, ":")
end

-- sslconfig as for e:ssl_upgrade_socket.
local function tls_of(sslconfig, level)
  local settings, message = tls_settings(sslconfig or {}, nil, true)
  if not settings then error("bad sslconfig: " .. message, level + 1) end
  settings.ciphers, settings.ciphers_13 = split_ciphers(settings.ciphers)
  if settings.crl and settings.crl:find("\n", 1, true) then error("bad sslconfig: crl must be a file here", level + 1) end
  return settings
end

local function new(scheme, name, host, port, headers, sslconfig)
  if type(host) ~= "string" or host == "" or host:find("[%c%s/@?#\\%[%]]") then
    error(("bad argument #1 to '%s' (host name expected)"):format(name), 3)
  end
  local number = tonumber(port)
  if not number or number < 1 or number > 65535 or number % 1 ~= 0 then
    error(("bad argument #2 to '%s' (port must be an integer from 1 to 65535)"):format(name), 3)
  end
  if headers ~= nil and type(headers) ~= "table" then
    error(("bad argument #3 to '%s' (table expected, got %s)"):format(name, type(headers)), 3)
  end
  if sslconfig ~= nil and type(sslconfig) ~= "table" then
    error(("bad argument #4 to '%s' (table expected, got %s)"):format(name, type(sslconfig)), 3)
  end
  local copy = core.copy(headers or {})
  local bracketed = host:find(":", 1, true) and "[" .. host .. "]" or host
  local self = { host = host, port = number, headers = copy, lines = {}, urls = {}, url_count = 0 }
  self.base = ("%s://%s:%d"):format(scheme, bracketed, number)
  self.told_until = 0
  self.needs_names = not is_address(host) or has_proxy_variable()
  if scheme == "https" then
    self.tls = tls_of(sslconfig, 3)
    local sni = sslconfig and sslconfig.snihost
    if sni == "" and not self.tls.is_verifying then sni = nil end
    if sni then sni = check.server_name(tostring(sni), "option 'snihost'", name) end
    if not sni then check.server_name(host, "argument #1", name) end
    if sni and sni:find(":", 1, true) then sni = "[" .. sni .. "]" end
    if sni and sni ~= bracketed then
      self.base = ("https://%s:%d"):format(sni, number)
      self.connect_to, self.connect_host = ("%s:%d:%s:%d"):format(sni, number, bracketed, number), host
      local own = check.bracketed(host) -- without its zone
      self.host_header = { Host = number == 443 and own or ("%s:%d"):format(own, number) }
    end
  end
  local fields = {}
  merge(fields, copy, 3)
  header_lines(fields, 3)
  return setmetatable(self, Api)
end

function Api:http(host, port, headers)
  local self = new("http", "http", host, port, headers) -- not a tail call: errors count levels
  return self
end

function Api:https(host, port, headers, sslconfig)
  local self = new("https", "https", host, port, headers, sslconfig)
  return self
end

function Api:request(method, path, payload, headers, options)
  check_api(self, "request")
  method = check.string(method, 1, "request")
  if not method:find("^%u[%u_-]*$") then
    error(("bad argument #1 to 'request' (method expected, got '%s')"):format(method:sub(1, 100)), 2)
  end
  if options ~= nil then check.type(options, "table", 5, "request") end
  if path ~= nil then check.string(path, 2, "request") end
  return perform(self, method, path, payload, headers, options, 2)
end

for name, method in pairs { get = "GET", post = "POST", put = "PUT", delete = "DELETE", patch = "PATCH", head = "HEAD" } do
  Api[name] = function(self, path, payload, headers, options)
    check_api(self, name)
    if options ~= nil then check.type(options, "table", 4, name) end
    if path ~= nil then check.string(path, 1, name) end
    return perform(self, method, path, payload, headers, options, 2)
  end
end

-- `least`: what less counts as; nil: less raises.
local function setter(name, field, least)
  Api[name] = function(self, value)
    check_api(self, name)
    value = check.opt_number(value, 1, name)
    if value and value < 0 then
      if not least then error(("bad argument #1 to '%s' (must not be negative)"):format(name), 2) end
      value = least
    end
    self[field] = value
    self.settings = nil
    return self
  end
end

setter("timeout", "total_timeout", 0)
setter("limit", "body_limit")
setter("redirects", "redirect_count")

function Api:__tostring()
  return "mtev.Api: " .. self.base
end
