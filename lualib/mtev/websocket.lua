-- mtev.websocket_client_connect: the opening handshake of RFC 6455 and the callbacks; frames are src/net/websocket.c.

local mtev, core = ...
local ws_open, ws_next, ws_send, ws_wait_for_room = core.ws_open, core.ws_next, core.ws_send, core.ws_wait_for_room
local ws_shutdown, ws_close, is_utf8 = core.ws_shutdown, core.ws_close, core.ws_is_utf8
local check, copy, tls_name, check_interrupted = core.check, core.copy, core.tls_name, core.check_interrupted
local spawn = mtev.coroutine_spawn

local GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" -- RFC 6455, 1.3
local INTERIM_MAX = 16                              -- answers 1xx before the answer
local TIMEOUT = 10                                  -- seconds for each step of connecting
local CLOSE_TIMEOUT = 5                             -- seconds for the server to answer our close frame
local MESSAGE_MAX = 16 * 1024 * 1024                -- bytes of a received message, where callbacks.limit does not say
local STRING_MAX = 0x7fffff00                       -- bytes; more no string has
local CONTROL_MAX = 125

local Client = { CONTINUATION = 0, TEXT = 1, BINARY = 2, CONNECTION_CLOSE = 8, PING = 9, PONG = 10 }
Client.__index = Client
Client.__name = "mtev.websocket_client"

local function check_self(self, name)
  if getmetatable(self) ~= Client then
    error(("calling '%s' on bad self (mtev.websocket_client expected, got %s)"):format(name, type(self)), 3)
  end
end

-- -- Using it ---------------------------------------------------------------------------------------------------------

local SENDABLE = { [1] = true, [2] = true, [9] = true, [10] = true }

function Client:send(opcode, payload)
  check_self(self, "send")
  if type(opcode) ~= "number" then check.type(opcode, "number", 1, "send") end
  if type(payload) ~= "string" then payload = payload == nil and "" or check.string(payload, 2, "send") end
  if opcode == 8 then
    self:close()
    return true
  end
  if not SENDABLE[opcode] then error("bad argument #1 to 'send' (TEXT, BINARY, PING, PONG or CONNECTION_CLOSE expected)", 2) end
  if opcode == 1 and not is_utf8(payload) then error("bad argument #2 to 'send' (text must be UTF-8)", 2) end
  if opcode >= 8 and #payload > CONTROL_MAX then error("bad argument #2 to 'send' (at most 125 bytes in a ping or pong)", 2) end
  local ws = self.ws
  if not ws then return false end
  while true do
    local ok = ws_send(ws, opcode, payload)
    if ok ~= nil then return ok end
    local _, err, message = ws_wait_for_room(ws)
    check_interrupted(err, message)
  end
end

-- What may stand in a close frame: 1004 to 1006 and 1015 stand for what has none, the others below 3000 are not
-- assigned (RFC 6455, 7.4, and IANA's registry).
local function is_close_code(code)
  if code % 1 ~= 0 then return false end
  return code >= 1000 and code <= 1003 or code >= 1007 and code <= 1014 or code >= 3000 and code <= 4999
end

function Client:close(code, reason)
  check_self(self, "close")
  code = check.opt_number(code, 1, "close") or 1000
  if code < 1000 or code > 4999 then error("bad argument #1 to 'close' (a code from 1000 to 4999 expected)", 2) end
  if not is_close_code(code) then error(("bad argument #1 to 'close' (the code %g may not be sent)"):format(code), 2) end
  reason = check.opt_string(reason, 2, "close") or ""
  if reason:find("%z") or not is_utf8(reason) then error("bad argument #2 to 'close' (text must be UTF-8)", 2) end
  self.is_closed = true
  if self.ws then
    ws_shutdown(self.ws, code, reason)
  elseif self.e then
    self.e:close() -- the handshake ends with "closed"
  end
end

function Client:__tostring()
  local state = self.ws and not self.is_closed and "open" or self.is_over and "closed" or "on its way"
  return ("%s: %s, %s"):format(Client.__name, self.url, state)
end

-- -- The handshake ----------------------------------------------------------------------------------------------------

local function spell_request(self, key)
  local options, port = self.options, self.options.port
  local default = options.sslconfig and 443 or 80
  local lines = {
    "GET " .. options.uri .. " HTTP/1.1",
    "Host: " .. check.bracketed(options.host) .. (port ~= default and ":" .. port or ""),
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " .. key,
  }
  if options.compress then lines[#lines + 1] = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits" end
  if options.service then lines[#lines + 1] = "Sec-WebSocket-Protocol: " .. options.service end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

local function is_offered(service, chosen)
  for word in (service or ""):gmatch("[^,%s]+") do
    if word == chosen then return true end
  end
  return false
end

local PARAMETERS = { -- true: it has a number of bits
  server_no_context_takeover = false, client_no_context_takeover = false, server_max_window_bits = true,
  client_max_window_bits = true,
}

-- What the server says of permessage-deflate (RFC 7692, 7.1): {bits =, is_out_independent =, is_in_independent =};
-- false: none; nil: what cannot be.
local function parse_extensions(text, is_offered)
  if not text then return false end
  local items = core.http_items(text)
  if not is_offered or not items or not items[1] or items[1].name ~= "permessage-deflate" or items[1].value then return nil end
  local agreed = {}
  for i = 2, #items do
    local name, value = items[i].name, items[i].value
    local has_bits = PARAMETERS[name]
    if items[i].separator ~= ";" or has_bits == nil or agreed[name] ~= nil or has_bits ~= (value ~= nil) then return nil end
    local bits = has_bits and value:find("^[1-9]%d?$") and tonumber(value)
    if has_bits and not (bits and bits >= 8 and bits <= 15) then return nil end
    agreed[name] = bits or true
  end
  return {
    bits = agreed.client_max_window_bits or 15, is_out_independent = agreed.client_no_context_takeover,
    is_in_independent = agreed.server_no_context_takeover,
  }
end

-- What is wrong with the server's answer (RFC 6455, 4.1); nil: nothing.
local function examine(fields, key, options)
  if not core.http_has_token(fields.upgrade, "websocket") then return "the server did not upgrade to websocket" end
  if not core.http_has_token(fields.connection, "upgrade") then return "the server's Connection is not Upgrade" end
  if fields["sec-websocket-accept"] ~= mtev.base64_encode(mtev.sha1(key .. GUID)) then
    return "the server's Sec-WebSocket-Accept is wrong"
  end
  if parse_extensions(fields["sec-websocket-extensions"], options.compress) == nil then
    return "the server uses an extension that was not offered"
  end
  local chosen = fields["sec-websocket-protocol"]
  if chosen and not is_offered(options.service, chosen) then
    return ("the server chose the protocol '%s', which was not offered"):format(chosen)
  end
end

-- The server's answer to the handshake, or nil and why not. Interim answers are skipped (RFC 9110, 15.2).
local function read_answer(e)
  local reader = core.http_head("answer")
  local deadline = core.monotonic() + TIMEOUT
  for _ = 0, INTERIM_MAX do
    local head, err = e:read(reader, { timeout = deadline - core.monotonic() })
    local status, version = core.http_answer(reader)
    if err == "limit" then return nil, "the server's answer is too long" end
    if not head and err ~= "malformed" then return nil, err or "the server closed the connection" end
    if not status then
      local problem = core.http_problem(reader)
      if not problem then return nil, "the server closed the connection" end
      if problem == "it is not HTTP/1" then return nil, "this is not HTTP/1.1" end
      return nil, "the server's answer makes no sense: " .. problem
    end
    if version ~= "1.1" then return nil, "this is not HTTP/1.1" end
    if status == 101 then return head end
    if status >= 200 then return nil, ("the server answered %s"):format(head:match("^HTTP/1%.1 ([^\r\n]*)")) end
  end
  return nil, "too many interim answers"
end

-- A connection that speaks WebSocket, or nil and why not.
local function shake_hands(self)
  local options, e = self.options, self.e
  local rv, err = e:connect(options.host, options.port, TIMEOUT)
  if rv == 0 and options.sslconfig then
    rv, err = e:ssl_upgrade_socket(options.sslconfig, options.server_name)
  end
  if rv ~= 0 then return nil, err end
  local key = mtev.base64_encode(mtev.md5(mtev.uuid()))
  local written
  written, err = e:write(spell_request(self, key), { timeout = TIMEOUT })
  if written < 0 then return nil, err end
  local head
  head, err = read_answer(e)
  if not head then return nil, err end
  local fields = core.http_fields(head, true)
  err = examine(fields, key, options)
  if err then return nil, err end
  self.protocol = fields["sec-websocket-protocol"]
  local deflate = parse_extensions(fields["sec-websocket-extensions"], options.compress)
  self.is_compressed = deflate and true or false
  if not deflate then return ws_open(e, options.limit, CLOSE_TIMEOUT) end
  return ws_open(e, options.limit, CLOSE_TIMEOUT, deflate.bits, deflate.is_out_independent, deflate.is_in_independent)
end

-- -- Running ----------------------------------------------------------------------------------------------------------

-- Calls a callback; false closes.
local function call(self, name, ...)
  local callback = self.callbacks[name]
  if callback and callback(self, ...) == false then self:close() end
end

local function serve(self)
  call(self, "ready")
  while true do
    local opcode, payload, code = ws_next(self.ws)
    if not opcode then
      check_interrupted(payload, code)
      self.error, self.close_code = payload, code
      return
    end
    if not self.is_closed then call(self, "message", opcode, payload) end
  end
end

local function attempt(self)
  local _, err
  self.e, _, err = mtev.socket(self.options.host:find(":", 1, true) and "inet6" or "inet")
  if not self.e then
    self.error = err
    return
  end
  local ws
  ws, err = shake_hands(self)
  self.e:close()
  self.e = nil
  if not ws then
    self.error = err
    return
  end
  self.ws = ws
  if self.is_closed then ws_shutdown(ws, 1000, "") end
  serve(self)
end

local function run(self)
  local ok, err = core.pcall(attempt, self)
  if self.ws then ws_close(self.ws) end
  if self.e then self.e:close() end
  self.ws, self.e, self.is_over, self.is_closed = nil, nil, true, true
  local cleanup = self.callbacks.cleanup
  if not ok then self.error, self.close_code = tostring(err), 1006 end
  if ok then
    if cleanup then cleanup(self) end
    return
  end
  if cleanup then pcall(cleanup, self) end
  error(err, 0)
end

-- A path with its query; a fragment does not go to the server (RFC 6455, 3).
local function is_target(uri)
  return type(uri) == "string" and not uri:find("[%c #\128-\255]")
end

-- Names of protocols, with commas between them (RFC 6455, 4.1).
local function is_service(service)
  if type(service) ~= "string" or service:find("[^%w!#$%%&'*+.^_`|~, -]") then return false end
  local count = 0
  for word in service:gmatch("[^,]+") do
    count = count + 1
    if not word:find("^ *[^ ]+ *$") then return false end
  end
  return count > 0
end

local CALLBACKS = { ready = "function", message = "function", cleanup = "function", compress = "boolean", limit = "number" }

function mtev.websocket_client_connect(host, port, uri, service, callbacks, sslconfig)
  callbacks = check.opt_type(callbacks, "table", 5, "websocket_client_connect") or {}
  callbacks = check.foreign_options(callbacks, CALLBACKS, "websocket_client_connect")
  local limit = callbacks.limit or MESSAGE_MAX
  if type(limit) ~= "number" or not (limit >= 1) then
    error(("bad field 'limit' of argument #5 to 'websocket_client_connect' (at least 1 expected, got %s)"):format(tostring(limit)), 2)
  end
  sslconfig = check.opt_type(sslconfig, "table", 6, "websocket_client_connect")
  local number = tonumber(port)
  if not check.is_host(host) or not number or number < 1 or number > 65535 or number % 1 ~= 0 then return false end
  if uri == nil or uri == "" then uri = "/" end
  if not is_target(uri) then return false end
  if service == "" then service = nil end
  if service ~= nil and not is_service(service) then return false end
  if uri:byte() ~= 47 then uri = "/" .. uri end
  if sslconfig and next(sslconfig) == nil then sslconfig = nil end
  if sslconfig then
    sslconfig = copy(sslconfig)
    sslconfig.timeout = sslconfig.timeout or TIMEOUT
  end
  local server_name
  if sslconfig then
    local snihost = sslconfig.snihost
    server_name = tls_name(snihost and snihost ~= "" and tostring(snihost) or host)
    if not server_name then return false end
  end
  local self = setmetatable({
    url = ("%s://%s:%d%s"):format(sslconfig and "wss" or "ws", check.bracketed(host), number, uri),
    callbacks = callbacks,
    options = {
      host = host, port = number, uri = uri, service = service, sslconfig = sslconfig, compress = callbacks.compress ~= false,
      server_name = server_name,
      limit = math.floor(math.min(limit, STRING_MAX)),
    },
  }, Client)
  spawn(run, self)
  return true
end

core.websocket_client = Client
