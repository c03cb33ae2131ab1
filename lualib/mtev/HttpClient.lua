-- require "mtev.HttpClient": HTTP/1.x by hand over an eventer, as scripts written for libmtev know it: connect,
-- do_request, get_response, hooks that hear of the header and of each piece of the body. mtev.Api is the convenient
-- client.

local mtev, core = ...
local check, monotonic, has_input = core.check, core.monotonic, core.has_input
local gunzip_is_whole, gunzip_part = core.gunzip_is_whole, core.gunzip_part
local http_answer, http_problem, http_fields, http_chunk_size = core.http_answer, core.http_problem, core.http_fields, core.http_chunk_size
local type, tostring, pairs, setmetatable, rawget = type, tostring, pairs, setmetatable, rawget
local pcall, error, call = pcall, error, core.pcall

local HttpClient = {}

local TIMEOUT = 10              -- seconds, default of both timeouts
local CHUNK_LINE_MAX = 16 * 1024 -- bytes; a header and trailers may have 64 KiB (data/http_head.h)
local PIECE = 64 * 1024         -- bytes that are read, and given to `consume`, at a time ...
local CHUNKS_PER_TURN = 1000    -- a server may send chunks of one byte: then others go on between
local PACKED_PIECE = 4 * 1024   -- ... of a packed body: each may become a thousand times as long
local TURN_BYTES = 1024 * 1024  -- that are unpacked before others have their turn
local INTERIM_MAX = 16          -- answers 1xx before the answer

-- The header is read when somebody asks for it.
local function read_fields(self)
  local head = rawget(self, "head")
  if head then self.headers, self.cookies = http_fields(head, true) end
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
    timeout = TIMEOUT, connect_timeout = TIMEOUT, options = {}, reader = core.http_head("answer", true), facts = {},
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

-- The name that the server's certificate is to have: an address is one, too (RFC 9110, 4.3.5). nil: a path, or a
-- reverse connection's name, is in no certificate.
local function server_name(self, target, ssl_host)
  if ssl_host ~= nil and ssl_host ~= "" then return check.server_name(ssl_host, "argument #4", "connect") end
  local snihost = self.sslconfig and self.sslconfig.snihost
  if snihost and snihost ~= "" then return check.server_name(tostring(snihost), "option 'snihost'", "connect") end
  if target:find("/", 1, true) or target:find("^reverse:") then return nil end
  return core.tls_name(target) or target -- where nobody can be reached, connecting says so
end

function HttpClient:connect(target, port, ssl, ssl_host, layer)
  check_self(self, "connect")
  target = check.string(target, 1, "connect")
  local name
  if ssl then
    ssl_host, layer = check.opt_string(ssl_host, 4, "connect"), check.opt_string(layer, 5, "connect")
    name = server_name(self, target, ssl_host)
  end
  self:close()
  local e, _, err = mtev.socket(family_of(target))
  if not e then return -1, err end
  self.e, self.host, self.port = e, target, port
  local rv
  rv, err = e:connect(target, port, self.connect_timeout)
  if rv == 0 and ssl then rv, err = upgrade(self, name, layer) end
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

-- Nothing can follow on this connection. A hook may have closed it already, and opened another.
local function fail(self, e, err)
  if self.e == e then self:close() end
  return nil, err or "the server closed the connection"
end

-- Nor when a request or an answer was left half-way by an error (a hook's, or that the coroutine is cancelled), which
-- is passed on. One of a coroutine that does not own the connection has done nothing to it, and may not close it.
local function finish(self, e, ok, rv, err)
  if ok then return rv, err end
  if pcall(e.close, e) and self.e == e then self.is_open = false end
  error(rv, 0)
end

-- -- Requests ---------------------------------------------------------------------------------------------------------

local CONTROL = "[%z\1-\8\10-\31\127]" -- what no value has: all but the tab

local function bad_field(name, why)
  error(("bad header '%s': %s"):format(tostring(name), why), 5)
end

local BAD_NAME = "a name has letters, digits and !#$%&'*+-.^_`|~"
local OURS = "how the body is sent is not for headers to say"

local function add_fields(text, headers)
  local has_host, has_agent = false, false
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not core.http_is_token(name) then bad_field(name, BAD_NAME) end
    if type(value) == "number" then value = tostring(value) end
    if type(value) ~= "string" then bad_field(name, "a value is a string or a number, got " .. type(value)) end
    if value:find(CONTROL) then bad_field(name, "a value has no line break and no control characters") end
    local lower = name:lower()
    if lower == "transfer-encoding" then bad_field(name, OURS) end
    if lower == "host" then
      if has_host then bad_field(name, "it is there twice") end
      if not check.is_host_field(value) then bad_field(name, "host or host:port expected") end
      has_host = true
    elseif lower == "user-agent" then
      has_agent = true
    end
    -- The length is ours to say.
    if lower ~= "content-length" then text = text .. name .. ": " .. value .. "\r\n" end
  end
  return text, has_host, has_agent
end

local NO_HEADERS = {}
local USER_AGENT = "User-Agent: lhotse/" .. core.version .. "\r\n"
local HAS_LENGTH = { POST = true, PUT = true, PATCH = true }
local VERSIONS = { ["1.0"] = "1.0", ["1.1"] = "1.1", [1] = "1.0", [1.1] = "1.1" }

local function spell_request(self, method, uri, headers, payload, version)
  local text, has_host, has_agent = add_fields(method .. " " .. uri .. " HTTP/" .. version .. "\r\n", headers)
  if not has_host and version ~= "1.0" then
    local host = self.host
    if host:find("^[%x:]*:") then host = "[" .. host:match("^[^%%]*") .. "]" end
    if host:find("[^%w._~!$&'()*+,;=:%[%]-]") then host = "localhost" end -- a path, or a name of reverse connections
    text = text .. "Host: " .. host .. (self.port and self.port ~= 80 and self.port ~= 443 and ":" .. self.port or "") .. "\r\n"
  end
  if not has_agent then text = text .. USER_AGENT end
  if payload or HAS_LENGTH[method] then text = text .. "Content-Length: " .. (payload and #payload or 0) .. "\r\n" end
  return text .. "\r\n"
end

local function check_request(method, uri, version)
  if not core.http_is_token(method) then
    error(("bad argument #1 to 'do_request' (method expected, got '%s')"):format(method:sub(1, 100)), 3)
  end
  if uri == "" or uri:find("[%c ]") then error("bad argument #2 to 'do_request' (URI without spaces expected)", 3) end
  if version ~= nil and not VERSIONS[version] then
    error(("bad argument #5 to 'do_request' ('1.0' or '1.1' expected, got '%s')"):format(tostring(version):sub(1, 100)), 3)
  end
end

-- What came before the request was sent does not answer it (RFC 9112, 9.3): nothing that follows could be told apart.
local function is_clean(self)
  local what = has_input(self.e)
  if not what then return true end
  return fail(self, self.e, what == "data" and "the server sent something that was not asked for" or nil)
end

function HttpClient:do_request(method, uri, headers, payload, version)
  check_self(self, "do_request")
  method, uri = check.string(method, 1, "do_request"), check.string(uri, 2, "do_request")
  check_request(method, uri, version)
  headers = check.opt_type(headers, "table", 3, "do_request") or NO_HEADERS
  payload = check.opt_string(payload, 4, "do_request")
  if payload == "" then payload = nil end
  self.method, self.code, self.protocol = method, nil, nil
  self.head, self.headers, self.cookies, self.trailers = nil, nil, nil, nil
  self.raw_bytes, self.content_bytes, self.is_over_at_end = 0, 0, false
  local text = self.is_open and spell_request(self, method, uri, headers, payload, version and VERSIONS[version] or "1.1")
  if not text then return nil, "not connected" end
  local ok, err = is_clean(self)
  if not ok then return nil, err end
  local options, e = self.options, self.e
  options.timeout, options.limit = self.timeout, nil
  local data = payload and (#payload > PIECE and { text, payload } or text .. payload) or text
  local written
  written, err = finish(self, e, call(e.write, e, data, options))
  if written < 0 then return fail(self, e, err) end
  return true
end

-- -- Answers: the head ------------------------------------------------------------------------------------------------

local function bad_head(self, err)
  if err == "limit" then return "the answer's header is too long" end
  if err ~= "malformed" then return err end
  return http_problem(self.reader) == "it is not HTTP/1" and "this is not HTTP" or "the answer's header makes no sense"
end

local function read_head(self, e)
  local options, reader, facts = self.options, self.reader, self.facts
  local deadline = monotonic() + self.timeout
  for _ = 0, INTERIM_MAX do
    options.timeout, options.limit = deadline - monotonic(), nil
    local head, err = e:read(reader, options)
    if not head then return nil, bad_head(self, err) end
    if head ~= self.head_before then -- servers repeat theirs, and the same head means the same
      facts.code, facts.protocol, facts.length, facts.is_chunked, facts.is_strange, facts.is_packed, facts.is_kept = http_answer(reader)
      self.head_before = facts.code and head
      if not facts.code then return nil, "the answer ends within its header" end
    end
    if facts.code >= 200 or facts.code == 101 then
      self.head = head
      return facts
    end
  end
  return nil, "too many interim answers"
end

-- -- Answers: the body ------------------------------------------------------------------------------------------------

-- As e:read, with self.options. Since the last time a hook, or another coroutine, may have closed the client.
local function read(self, e, stop)
  if self.e ~= e or not self.is_open then return nil, "closed" end
  return e:read(stop, self.options)
end

-- Gives a piece of the body, decompressed, to the hook. True, or nil and why not.
local function deliver(self, piece, limit)
  local consume, unpack = self.hooks.consume, self.unpack
  local left, is_more = limit and limit - self.content_bytes, false
  if unpack then
    local ok, plain, more = pcall(gunzip_part, unpack, piece, left)
    if not ok then
      if plain == "coroutine cancelled" then error(plain, 0) end
      return nil, tostring(plain):match("zlib: .*") or tostring(plain)
    end
    piece, is_more = plain, more
  elseif left and #piece > left then
    piece, is_more = piece:sub(1, left), true
  end
  local length = #piece
  self.content_bytes = self.content_bytes + length
  if consume and length > 0 then consume(piece) end
  if is_more then return nil, "limit" end
  if self.unpack then -- much may come of little
    self.unpacked = (self.unpacked or 0) + length
    if self.unpacked > TURN_BYTES then
      self.unpacked = 0
      mtev.sleep(0)
    end
  end
  return true
end

local function read_counted(self, e, count, limit)
  local options, left = self.options, count
  local most = self.unpack and PACKED_PIECE or PIECE
  while left > 0 do
    local wanted = left < most and left or most
    options.timeout, options.limit = self.timeout, nil
    local piece, err = read(self, e, wanted)
    if not piece then return nil, err or "the answer ends within its body" end
    self.raw_bytes = self.raw_bytes + #piece
    local ok, why = deliver(self, piece, limit)
    if not ok then return nil, why end
    if #piece < wanted then -- the next read says why
      local _, reason = read(self, e, 1)
      return nil, reason or "the answer ends within its body"
    end
    left = left - wanted
  end
  return true
end

local function read_line(self, e)
  local options = self.options
  options.timeout, options.limit = self.timeout, CHUNK_LINE_MAX
  local line, err = read(self, e, "\n")
  if not line then return nil, err == "limit" and "a line of the answer is too long" or err or "the answer ends within its body" end
  if line:sub(-1) ~= "\n" then return nil, "the answer ends within its body" end
  return line
end

-- They do not change what the header said (RFC 9110, 6.5.1).
local function read_trailers(self, e)
  local options = self.options
  options.timeout, options.limit = self.timeout, nil
  self.trailer_reader = self.trailer_reader or core.http_head("trailers", true)
  local text, err = read(self, e, self.trailer_reader)
  if not text then return nil, err == "limit" and "the answer's trailers are too long" or err or "the answer ends within its body" end
  if text == "\r\n" then return true end
  if not text:find("\n\r?\n$") and text ~= "\n" then return nil, "the answer ends within its body" end
  local headers = self.headers
  self.trailers = http_fields(text)
  for name, value in pairs(self.trailers) do
    if headers[name] == nil then headers[name] = value end
  end
  return true
end

local function read_chunks(self, e, limit)
  for count = 1, math.huge do
    if count % CHUNKS_PER_TURN == 0 then mtev.sleep(0) end
    local line, err = read_line(self, e)
    if not line then return nil, err end
    local size = http_chunk_size(line)
    if not size then return nil, "a chunk begins with nonsense" end
    if size == 0 then return read_trailers(self, e) end
    local ok, why = read_counted(self, e, size, limit)
    if not ok then return nil, why end
    line, err = read_line(self, e)
    if not line then return nil, err end
    if line ~= "\r\n" and line ~= "\n" then return nil, "a chunk is longer than it said" end
  end
end

local function read_to_end(self, e, limit)
  while true do
    if self.e ~= e or not self.is_open then return nil, "closed" end
    local n, piece = e:recv(self.unpack and PACKED_PIECE or PIECE, { timeout = self.timeout })
    if n < 0 then return nil, piece end
    if n == 0 then return true end
    self.raw_bytes = self.raw_bytes + n
    local ok, why = deliver(self, piece, limit)
    if not ok then return nil, why end
  end
end

-- After a 2xx to CONNECT the connection is a tunnel, whatever the header says (RFC 9112, 6.3).
local function is_tunnel(self, code)
  return self.method == "CONNECT" and code >= 200 and code <= 299
end

local function has_no_body(self, code)
  return self.method == "HEAD" or code == 204 or code == 304 or code == 101 or is_tunnel(self, code)
end

local function read_as_framed(self, e, facts, limit)
  if facts.is_strange then return nil, "the answer has a transfer encoding that is not known" end
  if facts.is_chunked then return read_chunks(self, e, limit) end
  if facts.length then return read_counted(self, e, facts.length, limit) end
  self.is_over_at_end = true
  return read_to_end(self, e, limit)
end

local function read_body(self, e, facts, limit)
  if has_no_body(self, facts.code) then return true end
  self.unpack = facts.is_packed and mtev.gunzip() or nil
  local ok, why = read_as_framed(self, e, facts, limit)
  if ok and self.unpack and self.raw_bytes > 0 and not gunzip_is_whole(self.unpack) then
    return nil, "the answer ends within its packed body"
  end
  return ok, why
end

local function read_answer(self, e, limit)
  local facts, err = read_head(self, e)
  if not facts then return fail(self, e, err) end
  self.code, self.protocol = facts.code, facts.protocol
  local hook = self.hooks.headers
  if hook then hook(self.headers, self.cookies) end
  local ok, why = read_body(self, e, facts, limit)
  if not ok then return fail(self, e, why) end
  if self.e ~= e then return true end
  if (self.is_over_at_end or not facts.is_kept) and not is_tunnel(self, facts.code) then self:close() end
  return true
end

function HttpClient:get_response(limit)
  check_self(self, "get_response")
  limit = check.opt_number(limit, 1, "get_response")
  if limit and limit <= 0 then limit = nil end
  if not self.is_open then return nil, "not connected" end
  local e = self.e
  return finish(self, e, call(read_answer, self, e, limit))
end

-- -- Digest authentication (RFC 7616) ---------------------------------------------------------------------------------

local HASHES = { MD5 = "md5_hex", ["MD5-SESS"] = "md5_hex", ["SHA-256"] = "sha256_hex", ["SHA-256-SESS"] = "sha256_hex" }

-- The parameters of the first Digest challenge; with others before or behind it (RFC 9110, 11.6.1).
local function parse_challenge(challenge)
  local fields, scheme = {}, "digest"
  local is_found = false
  for _, item in ipairs(core.http_items(challenge) or {}) do
    local name = item.name:lower()
    if not item.value then
      if is_found then break end
      scheme = name
    elseif scheme == "digest" then
      is_found = true
      fields[name] = fields[name] or item.value
    end
  end
  return fields
end

-- It would be given back within a header, which cannot be sent with it.
local function has_control_characters(fields)
  return (fields.realm .. fields.nonce .. (fields.opaque or "")):find(CONTROL) ~= nil
end

-- The value for the header Authorization; nil and why not.
function HttpClient:auth_digest(method, uri, user, password, challenge)
  check_self(self, "auth_digest")
  method, uri = check.string(method, 1, "auth_digest"), check.string(uri, 2, "auth_digest")
  user, password = check.string(user, 3, "auth_digest"), check.string(password, 4, "auth_digest")
  for index, text in pairs { [2] = uri, [3] = user } do
    if text:find(CONTROL) then
      error(("bad argument #%d to 'auth_digest' (there are control characters in it)"):format(index), 2)
    end
  end
  local fields = parse_challenge(check.string(challenge, 5, "auth_digest"))
  local algorithm = fields.algorithm or "MD5"
  local hash = mtev[HASHES[algorithm:upper()]]
  if not hash then return nil, "unknown algorithm: " .. algorithm end
  if not fields.realm or not fields.nonce then return nil, "the challenge has no realm or no nonce" end
  if has_control_characters(fields) then return nil, "the challenge has control characters in it" end
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
