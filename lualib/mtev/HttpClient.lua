-- require "mtev.HttpClient": HTTP/1.x by hand over an eventer, as scripts written for libmtev know it: connect, do_request,
-- get_response, hooks that hear of the header and of each piece of the body. mtev.Api is the convenient client.

local mtev, core = ...
local check, monotonic = core.check, core.monotonic
local type, tonumber, tostring, pairs, setmetatable, rawget, min = type, tonumber, tostring, pairs, setmetatable, rawget, math.min

local HttpClient = {}

local TIMEOUT = 10              -- seconds, default of both timeouts
local HEAD_MAX = 256 * 1024     -- bytes of a header, also of a chunk's line and of the trailers
local PIECE = 64 * 1024         -- bytes that are read, and given to `consume`, at a time
local INTERIM_MAX = 16          -- answers 1xx before the answer

-- The header is read when somebody asks for it.
local function read_fields(self)
  local headers, cookies, last = {}, {}, nil
  local head = rawget(self, "head")
  if not head then return end
  for line in head:gmatch("\r\n([^\r\n]+)") do
    local name, value = line:match("^([^%s:]+)[ \t]*:[ \t]*(.-)[ \t]*$")
    if name then
      name = name:lower()
      last = name
      if name == "set-cookie" then
        cookies[#cookies + 1] = value
      else
        headers[name] = headers[name] and headers[name] .. ", " .. value or value
      end
    elseif last and last ~= "set-cookie" then -- a folded line (RFC 9112, 5.2)
      headers[last] = headers[last] .. " " .. line:match("^%s*(.-)%s*$")
    end
  end
  self.headers, self.cookies = headers, cookies
end

function HttpClient.__index(self, key)
  if key ~= "headers" and key ~= "cookies" then return HttpClient[key] end
  read_fields(self)
  return rawget(self, key)
end

HttpClient.__name = "mtev.HttpClient"

local HOOKS = {
  connected = "function", headers = "function", consume = "function", certfile = "function", keyfile = "function",
  cachain = "function", ciphers = "function",
}

function HttpClient:new(hooks, sslconfig)
  check.foreign_options(check.opt_type(hooks, "table", 1, "new") or {}, HOOKS, "new")
  check.opt_type(sslconfig, "table", 2, "new")
  return setmetatable({
    hooks = hooks or {}, sslconfig = sslconfig, raw_bytes = 0, content_bytes = 0,
    timeout = TIMEOUT, connect_timeout = TIMEOUT, options = {},
  }, HttpClient)
end

local function check_self(self, name)
  if getmetatable(self) ~= HttpClient then
    error(("calling '%s' on bad self (mtev.HttpClient expected, got %s)"):format(name, type(self)), 3)
  end
end

function HttpClient:set_timeout(seconds)
  check_self(self, "set_timeout")
  self.timeout = check.opt_number(seconds, 1, "set_timeout") or TIMEOUT
end

function HttpClient:set_connect_timeout(seconds)
  check_self(self, "set_connect_timeout")
  self.connect_timeout = check.opt_number(seconds, 1, "set_connect_timeout") or TIMEOUT
end

-- -- Connecting -------------------------------------------------------------------------------------------------------

local function family_of(target)
  return target:find(":", 1, true) and not target:find("^reverse:") and "inet6" or target:find("^/") and "unix" or "inet"
end

-- libmtev's hooks that give the files.
local FILE_HOOKS = { certfile = "certificate", keyfile = "key", cachain = "ca_chain", ciphers = "ciphers" }

local function upgrade(self, host, layer)
  local config = core.copy(self.sslconfig or {})
  config.timeout = config.timeout or self.connect_timeout
  for hook, key in pairs(FILE_HOOKS) do
    local file_of = self.hooks[hook]
    if file_of and config[key] == nil and config[key .. "_file"] == nil then config[key] = file_of() end
  end
  return self.e:ssl_upgrade_socket(config, host, layer)
end

-- The name that the server's certificate is to have: an address is one, too (RFC 9110, 4.3.5). nil: a path, or a reverse
-- connection's name, is in no certificate.
local function server_name(self, target, ssl_host)
  if ssl_host ~= nil and ssl_host ~= "" then return ssl_host end
  local snihost = self.sslconfig and self.sslconfig.snihost
  if snihost and snihost ~= "" then return snihost end
  return not target:find("/", 1, true) and not target:find("^reverse:") and target or nil
end

function HttpClient:connect(target, port, ssl, ssl_host, layer)
  check_self(self, "connect")
  target = check.string(target, 1, "connect")
  self:close()
  local e, _, err = mtev.socket(family_of(target))
  if not e then return -1, err end
  self.e, self.host, self.port = e, target, port
  local rv
  rv, err = e:connect(target, port, self.connect_timeout)
  if rv == 0 and ssl then
    rv, err = upgrade(self, server_name(self, target, ssl_host), layer)
  end
  if rv ~= 0 then
    if not ssl then self:close() end -- ssl_ctx() still tells of the certificate
    return -1, err
  end
  self.is_open = true
  local connected = self.hooks.connected
  if connected then connected() end
  return 0
end

function HttpClient:close()
  check_self(self, "close")
  self.is_open = false
  if self.e then self.e:close() end
end

function HttpClient:ssl_ctx()
  check_self(self, "ssl_ctx")
  return self.e and self.e:ssl_ctx()
end

-- Nothing can follow on this connection.
local function fail(self, err)
  self:close()
  return nil, err or "the server closed the connection"
end

-- -- Requests ---------------------------------------------------------------------------------------------------------

local function bad_field(name)
  error(("bad header '%s': a name has no space and no colon, a value no line break"):format(tostring(name)), 3)
end

local function add_fields(text, headers)
  local has_host, has_agent = false, false
  for name, value in pairs(headers) do
    if type(value) ~= "string" then value = tostring(value) end
    if type(name) ~= "string" or name == "" or name:find("[%c%s:]") or value:find("[\r\n%z]") then bad_field(name) end
    local lower = name:lower()
    if lower == "host" then has_host = true elseif lower == "user-agent" then has_agent = true end
    -- The length is ours to say.
    if lower ~= "content-length" then text = text .. name .. ": " .. value .. "\r\n" end
  end
  return text, has_host, has_agent
end

local NO_HEADERS = {}
local USER_AGENT = "User-Agent: lhotse/" .. core.version .. "\r\n"
local HAS_LENGTH = { POST = true, PUT = true, PATCH = true }

local function spell_request(self, method, uri, headers, payload, version)
  local text, has_host, has_agent = add_fields(method .. " " .. uri .. " HTTP/" .. version .. "\r\n", headers)
  if not has_host and version ~= "1.0" then
    local host = self.host
    if host:find("^[%x:]*:") then host = "[" .. host .. "]" end
    text = text .. "Host: " .. host .. (self.port and self.port ~= 80 and self.port ~= 443 and ":" .. self.port or "") .. "\r\n"
  end
  if not has_agent then text = text .. USER_AGENT end
  if payload or HAS_LENGTH[method] then text = text .. "Content-Length: " .. (payload and #payload or 0) .. "\r\n" end
  return text .. "\r\n"
end

local function check_request(method, uri)
  if not method:find("^[%w-]+$") then
    error(("bad argument #1 to 'do_request' (method expected, got '%s')"):format(method:sub(1, 100)), 3)
  end
  if uri == "" or uri:find("[%c ]") then error("bad argument #2 to 'do_request' (URI without spaces expected)", 3) end
end

function HttpClient:do_request(method, uri, headers, payload, version)
  check_self(self, "do_request")
  method, uri = check.string(method, 1, "do_request"), check.string(uri, 2, "do_request")
  check_request(method, uri)
  headers = check.opt_type(headers, "table", 3, "do_request") or NO_HEADERS
  payload = check.opt_string(payload, 4, "do_request")
  if payload == "" then payload = nil end
  self.method, self.code, self.protocol = method, nil, nil
  self.head, self.headers, self.cookies = nil, nil, nil
  self.raw_bytes, self.content_bytes = 0, 0
  if not self.is_open then return nil, "not connected" end
  local text = spell_request(self, method, uri, headers, payload, version and tostring(version) or "1.1")
  local options = self.options
  options.timeout, options.limit = self.timeout, nil
  local written, err
  if payload and #payload > PIECE then
    written, err = self.e:write({ text, payload }, options)
  else
    written, err = self.e:write(payload and text .. payload or text, options)
  end
  if written < 0 then return fail(self, err) end
  return true
end

-- -- Answers: the head ------------------------------------------------------------------------------------------------

-- What of a head matters for reading on. The same head means the same: servers repeat theirs.
local function understand(head)
  local version, code = head:match("^HTTP/(1%.%d) +(%d%d%d)")
  if not version then return nil end
  local lower = head:lower()
  local function field(name) return lower:match("\r\n" .. name .. "[ \t]*:[ \t]*([^\r\n]-)[ \t]*\r\n") end
  local encoding, connection, coding = field("transfer%-encoding"), field("connection") or "", field("content%-encoding")
  local lengths, length = 0, nil
  for digits in lower:gmatch("\r\ncontent%-length[ \t]*:[ \t]*([^\r\n]-)[ \t]*%f[\r]") do
    local number = digits:find("^%d+$") and tonumber(digits)
    if not number or (length and number ~= length) then return nil end
    lengths, length = lengths + 1, number
  end
  return {
    protocol = version, code = tonumber(code), length = length,
    is_chunked = encoding and encoding:find("chunked%s*$") ~= nil,
    is_strange = encoding and not encoding:find("chunked%s*$"),
    is_packed = coding == "gzip" or coding == "x-gzip" or coding == "deflate",
    is_kept = version ~= "1.0" and not connection:find("close", 1, true) or connection:find("keep-alive", 1, true) ~= nil,
  }
end

local function read_head(self)
  local e, options = self.e, self.options
  local deadline = monotonic() + self.timeout
  for _ = 0, INTERIM_MAX do
    options.timeout, options.limit = deadline - monotonic(), HEAD_MAX
    local head, err = e:read("\r\n\r\n", options)
    if not head then
      if err == "limit" then err = "the answer's header is too long" end
      return nil, err
    end
    if head:sub(-4) ~= "\r\n\r\n" then
      return nil, head:find("^HTTP/1%.") and "the answer ends within its header" or "this is not HTTP"
    end
    local facts = self.facts
    if head ~= self.head_before then
      facts = understand(head)
      if not facts then return nil, head:find("^HTTP/1%.") and "the answer's header makes no sense" or "this is not HTTP" end
      self.facts, self.head_before = facts, head
    end
    if facts.code >= 200 or facts.code == 101 then
      self.head = head
      return facts
    end
  end
  return nil, "too many interim answers"
end

-- -- Answers: the body ------------------------------------------------------------------------------------------------

-- Gives a piece of the body, decompressed, to the hook. True, or nil and why not.
local function deliver(self, piece, limit)
  local consume, unpack = self.hooks.consume, self.unpack
  if unpack then
    local ok, plain = pcall(unpack, piece, limit and limit + 1 or 0)
    if not ok then
      if limit and tostring(plain):find("zlib: more than", 1, true) then return nil, "limit" end
      if plain == "coroutine cancelled" then error(plain, 0) end
      return nil, tostring(plain):match("zlib: .*") or tostring(plain)
    end
    piece = plain
  end
  local length = #piece
  local total = self.content_bytes + length
  if limit and total > limit then
    piece = piece:sub(1, limit - self.content_bytes)
    self.content_bytes = limit
    if consume and piece ~= "" then consume(piece) end
    return nil, "limit"
  end
  self.content_bytes = total
  if consume and length > 0 then consume(piece) end
  return true
end

local function read_counted(self, count, limit)
  local e, options, left = self.e, self.options, count
  while left > 0 do
    local wanted = left < PIECE and left or PIECE
    options.timeout, options.limit = self.timeout, nil
    local piece, err = e:read(wanted, options)
    if not piece then return nil, err or "the answer ends within its body" end
    self.raw_bytes = self.raw_bytes + #piece
    local ok, why = deliver(self, piece, limit)
    if not ok then return nil, why end
    if #piece < wanted then -- the next read says why
      local _, reason = e:read(1, options)
      return nil, reason or "the answer ends within its body"
    end
    left = left - wanted
  end
  return true
end

local function read_line(self, deadline)
  local options = self.options
  options.timeout, options.limit = deadline and deadline - monotonic() or self.timeout, HEAD_MAX
  local line, err = self.e:read("\n", options)
  if not line then return nil, err == "limit" and "a line of the answer is too long" or err or "the answer ends within its body" end
  if line:sub(-1) ~= "\n" then return nil, "the answer ends within its body" end
  return line
end

local function read_trailers(self)
  local deadline, bytes = monotonic() + self.timeout, 0
  while true do
    local line, err = read_line(self, deadline)
    if not line then return nil, err end
    if line == "\r\n" or line == "\n" then return true end
    bytes = bytes + #line
    if bytes > HEAD_MAX then return nil, "the answer's trailers are too long" end
    local name, value = line:match("^([^%s:]+):[ \t]*(.-)%s*$")
    if name then self.headers[name:lower()] = value end
  end
end

local function read_chunks(self, limit)
  while true do
    local line, err = read_line(self)
    if not line then return nil, err end
    local digits = line:match("^(%x+)[ \t]*\r?\n$") or line:match("^(%x+)[ \t]*;[^\n]*\n$")
    if not digits or #digits > 12 then return nil, "a chunk begins with nonsense" end
    local size = tonumber(digits, 16)
    if size == 0 then return read_trailers(self) end
    local ok, why = read_counted(self, size, limit)
    if not ok then return nil, why end
    line, err = read_line(self)
    if not line then return nil, err end
    if line ~= "\r\n" and line ~= "\n" then return nil, "a chunk is longer than it said" end
  end
end

local function read_to_end(self, limit)
  while true do
    local n, piece = self.e:recv(PIECE, { timeout = self.timeout })
    if n < 0 then return nil, piece end
    if n == 0 then return true end
    self.raw_bytes = self.raw_bytes + n
    local ok, why = deliver(self, piece, limit)
    if not ok then return nil, why end
  end
end

local function has_no_body(self, code)
  return self.method == "HEAD" or code == 204 or code == 304 or code == 101
end

local function read_body(self, facts, limit)
  if has_no_body(self, facts.code) then return true end
  self.unpack = facts.is_packed and mtev.gunzip() or nil
  if facts.is_strange then return nil, "the answer has a transfer encoding that is not known" end
  if facts.is_chunked then return read_chunks(self, limit) end
  if facts.length then return read_counted(self, facts.length, limit) end
  facts.is_kept = false
  return read_to_end(self, limit)
end

function HttpClient:get_response(limit)
  check_self(self, "get_response")
  limit = check.opt_number(limit, 1, "get_response")
  if limit and limit <= 0 then limit = nil end
  if not self.is_open then return nil, "not connected" end
  local facts, err = read_head(self)
  if not facts then return fail(self, err) end
  self.code, self.protocol = facts.code, facts.protocol
  local hook = self.hooks.headers
  if hook then hook(self.headers, self.cookies) end
  local ok, why = read_body(self, facts, limit)
  if not ok then return fail(self, why) end
  if not facts.is_kept then self:close() end
  return true
end

-- -- Digest authentication (RFC 7616) ---------------------------------------------------------------------------------

local HASHES = { MD5 = "md5_hex", ["MD5-SESS"] = "md5_hex", ["SHA-256"] = "sha256_hex", ["SHA-256-SESS"] = "sha256_hex" }

local function parse_challenge(challenge)
  local fields = {}
  challenge = challenge:gsub("^%s*[Dd]igest%s+", "")
  for name, value in challenge:gmatch('([%w_-]+)%s*=%s*"([^"]*)"') do fields[name:lower()] = value end
  for name, value in challenge:gmatch("([%w_-]+)%s*=%s*([^\"%s,]+)") do fields[name:lower()] = fields[name:lower()] or value end
  return fields
end

-- The value for the header Authorization; nil and why not.
function HttpClient:auth_digest(method, uri, user, password, challenge)
  check_self(self, "auth_digest")
  method, uri = check.string(method, 1, "auth_digest"), check.string(uri, 2, "auth_digest")
  user, password = check.string(user, 3, "auth_digest"), check.string(password, 4, "auth_digest")
  local fields = parse_challenge(check.string(challenge, 5, "auth_digest"))
  local algorithm = fields.algorithm or "MD5"
  local hash = mtev[HASHES[algorithm:upper()]]
  if not hash then return nil, "unknown algorithm: " .. algorithm end
  if not fields.realm or not fields.nonce then return nil, "the challenge has no realm or no nonce" end
  local qop = fields.qop and (("," .. fields.qop:gsub("%s", "") .. ","):find(",auth,", 1, true) and "auth" or false)
  if qop == false then return nil, "unknown qop: " .. fields.qop end
  self.nonce_count = fields.nonce == self.nonce and self.nonce_count + 1 or 1
  self.nonce = fields.nonce
  local count, cnonce = ("%08x"):format(self.nonce_count), mtev.uuid():gsub("-", "")
  local secret = hash(user .. ":" .. fields.realm .. ":" .. password)
  if algorithm:upper():find("-SESS$") then secret = hash(secret .. ":" .. fields.nonce .. ":" .. cnonce) end
  local request = hash(method .. ":" .. uri)
  local response = qop and hash(table.concat({ secret, fields.nonce, count, cnonce, qop, request }, ":"))
    or hash(secret .. ":" .. fields.nonce .. ":" .. request)
  local function quote(text) return '"' .. text:gsub('[\\"]', "\\%0") .. '"' end
  local parts = {
    "username=" .. quote(user), "realm=" .. quote(fields.realm), "nonce=" .. quote(fields.nonce), "uri=" .. quote(uri),
    "response=" .. quote(response),
  }
  if fields.algorithm then parts[#parts + 1] = "algorithm=" .. fields.algorithm end
  if qop then parts[#parts + 1] = ("qop=%s, nc=%s, cnonce=%s"):format(qop, count, quote(cnonce)) end
  if fields.opaque then parts[#parts + 1] = "opaque=" .. quote(fields.opaque) end
  return "Digest " .. table.concat(parts, ", ")
end

function HttpClient:__tostring()
  return ("%s: %s"):format(HttpClient.__name, self.is_open and tostring(self.e) or "closed")
end

return HttpClient
