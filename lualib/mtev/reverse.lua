-- mtev.reverse_listen and mtev.reverse_connect: a process that nobody can connect to dials out to a hub and offers a
-- name; the hub's scripts reach it with e:connect("reverse:NAME").
--
-- The dialling side asks, in HTTP/1.1, to turn the connection round: POST /NAME with Upgrade: PTTH/2.0 (the idea of
-- draft-lentczner-rhttp). After the hub's 101 it speaks HTTP/2 (src/net/tunnel.c) with the hub as its client.

local mtev, core = ...
local tunnel_open, tunnel_next, tunnel_close, tunnel_count =
  core.tunnel_open, core.tunnel_next, core.tunnel_close, core.tunnel_count
local channel_accept, channel_refuse, peer_is, copy = core.channel_accept, core.channel_refuse, core.tls_peer_is, core.copy
local await, broadcast, condition = core.await, core.broadcast, core.condition
local check_interrupted = core.check_interrupted
local check, tls_settings, monotonic = core.check, core.tls_settings, core.monotonic
local spawn, cancel, running = mtev.coroutine_spawn, mtev.cancel_coro, coroutine.running

local HEAD_MAX = 8192     -- bytes of a request or an answer
local NAME_MAX = 255      -- bytes
local INTERIM_MAX = 16
local PROTOCOL = "PTTH/2.0"
local CANCELLED = "coroutine cancelled"
local BREATH = 0.1        -- seconds after a failure of ours, lest it comes again and again

-- Unlike mtev.sleep it allocates nothing.
local function sleep(seconds)
  local us, _, message = core.sleep(seconds)
  if not us then error(message, 0) end
end

-- -- Failures of ours -------------------------------------------------------------------------------------------------
--
-- Where memory runs out a call raises. That is the end of one connection, or of one channel, never of the coroutine
-- that serves them all.

local function debug_log(format, ...)
  mtev.log("debug/reverse", "lhotse: reverse: " .. format .. "\n", ...)
end

local function log_failure(name, err)
  mtev.log("error/reverse", "lhotse: %s: %s\n", name, tostring(err))
end

-- `err` was caught in function `name`: to go on after it, unless this coroutine is to end.
local function survive(name, err)
  if err == CANCELLED then error(err, 0) end
  pcall(log_failure, name, err)
end

-- A function of ours calls spawn, not pcall: the coroutine is said to be spawned here.
local function begin(f, ...) spawn(f, ...) end

-- -- Options ----------------------------------------------------------------------------------------------------------

local LISTEN = {
  sslconfig = "table", timeout = "number", keepalive = "number", window = "number",
  address = "string", port = "port", authorize = "function", insecure = "boolean", backlog = "number",
  pending = "number",
}
local CONNECT = {
  sslconfig = "table", timeout = "number", keepalive = "number", window = "number",
  host = "string", port = "port", name = "string", accept = "function", target = "table", channels = "number",
  retry_min = "number", retry_max = "number",
}
local NUMBERS = { -- default (false: none), least
  timeout = { 10, 0.001 }, keepalive = { 10, 0.01 }, window = { 256 * 1024, 1 },
  channels = { 5000, 1 }, pending = { 128, 1 },
  retry_min = { 0.1, 0.001 }, retry_max = { 30, 0.001 }, backlog = { false, 0 },
}

-- A copy of `options` with its defaults; raises at the script's line.
local function check_options(options, known, name, required)
  if type(options) ~= "table" then
    error(("bad argument #1 to '%s' (table expected, got %s)"):format(name, options == nil and "nil" or type(options)), 3)
  end
  local checked = copy(check.options(options, known, name))
  for _, key in ipairs(required) do
    if checked[key] == nil then error(("option '%s' to '%s' is missing"):format(key, name), 3) end
  end
  -- A channel takes two descriptors, and all of them no more than half of what there are.
  local most = math.max(1, math.floor(core.descriptor_limit() / 4))
  checked.channels = checked.channels or math.min(NUMBERS.channels[1], most)
  for key, limits in pairs(NUMBERS) do
    if checked[key] == nil then checked[key] = limits[1] or nil end
    if checked[key] and not (checked[key] >= limits[2] and checked[key] < 2 ^ 31) then
      error(("bad option '%s' to '%s' (out of range)"):format(key, name), 3)
    end
  end
  return checked
end

-- -- HTTP -------------------------------------------------------------------------------------------------------------

local function escape(name)
  return (name:gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function unescape(path)
  return (path:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- The name that is offered, or nil.
local function parse_request(reader, head)
  local method, target, has_body = core.http_request(reader, head)
  if method ~= "POST" or has_body or target:byte() ~= 47 then return nil end
  if not core.http_has_token(core.http_fields(head, true).upgrade, PROTOCOL) then return nil end
  local name = unescape(target:sub(2))
  if name == "" or #name > NAME_MAX or name:find("%z") then return nil end
  return name
end

local function answer(status, text)
  return ("HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"):format(status, #text, text)
end

local SWITCHING = ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"):format(PROTOCOL)

-- -- The hub's side ---------------------------------------------------------------------------------------------------

local Listener = {}
Listener.__index = Listener
Listener.__name = "mtev.reverse_listener"

-- True, or false and why the name is refused.
local function is_authorized(options, name, e)
  if options.authorize then
    local ok, allowed, reason = pcall(options.authorize, name, e:ssl_ctx())
    if not ok then
      if allowed == CANCELLED then error(allowed, 0) end
      mtev.log("error/reverse", "lhotse: reverse_listen: authorize failed, '%s' is refused: %s\n", name, tostring(allowed))
      return false, "refused"
    end
    if type(allowed) == "string" then reason = allowed end
    return allowed == true, type(reason) == "string" and reason or "refused" -- a reason, even "false", lets nobody in
  end
  if options.has_certificates then return peer_is(e, name), "the certificate is not this name's" end
  return true -- insecure
end

local NO_METHOD = "its request line has no method" -- then it is no HTTP

-- The name that the peer offers, or nil and why not. All of it must be there by the deadline.
local function hear_name(options, e)
  local deadline = monotonic() + options.timeout
  if options.sslconfig then
    local rv, err = e:ssl_upgrade_socket(options.sslconfig)
    if rv ~= 0 then return nil, err end
  end
  local reader = core.http_head("request", false, true)
  local head, err = e:read(reader, { timeout = deadline - monotonic(), limit = HEAD_MAX })
  local name = head and parse_request(reader, head)
  if name then return name end
  if head or err == "malformed" and core.http_problem(reader) ~= NO_METHOD then
    e:write(answer("400 Bad Request", "POST /NAME with Upgrade: " .. PROTOCOL .. " expected"), { timeout = options.timeout })
  end
  return nil, err or "a request that makes no sense"
end

-- The name that the peer offers and may offer, or nil.
local function greet(options, e, on_heard)
  local name, err = hear_name(options, e)
  if not name then return nil, err end
  on_heard()
  local ok, reason = is_authorized(options, name, e)
  if not ok then
    e:write(answer("403 Forbidden", reason), { timeout = options.timeout })
    return nil, ("'%s' is not authorized"):format(name)
  end
  if e:write(SWITCHING, { timeout = options.timeout }) ~= #SWITCHING then return nil, "gone" end
  return name
end

local function refuse_all(tunnel)
  while true do
    local channel, reason, message = tunnel_next(tunnel)
    check_interrupted(reason, message)
    if not channel then return reason end
    channel_refuse(channel, "this side opens channels")
  end
end

-- It is authorized, or gone.
local function leave_pending(listener, co)
  if listener.pending[co] then listener.pending_count = listener.pending_count - 1 end
  listener.pending[co], listener.greeting[co] = nil, nil
end

-- Lists it, and serves it until it ends; why it ended.
local function keep(listener, tunnel, entry)
  listener.tunnels[tunnel] = entry
  debug_log("'%s' is here, from %s:%s", entry.name, tostring(entry.address), tostring(entry.port))
  return refuse_all(tunnel)
end

local function serve(listener, e, co)
  local options = listener.options
  local address, port = e:peer_name()
  local name, why = greet(options, e, function() listener.greeting[co] = nil end)
  leave_pending(listener, co)
  if not name then
    debug_log("%s:%s: %s", tostring(address), tostring(port), tostring(why))
    return
  end
  local entry = { name = name, address = address, port = port, since = mtev.time() }
  local tunnel = tunnel_open(e, name, options.keepalive, options.window, 1)
  if not tunnel then return end
  local ok, err = pcall(keep, listener, tunnel, entry)
  listener.tunnels[tunnel] = nil
  tunnel_close(tunnel)
  if not ok then error(err, 0) end
  debug_log("'%s' has gone: %s", name, err)
end

local function note_pending(listener, co)
  listener.accepted = listener.accepted + 1
  listener.coroutines[co] = true
  listener.greeting[co] = listener.accepted
  listener.pending[co] = true -- last: it is what leave_pending counts
  listener.pending_count = listener.pending_count + 1
end

local function own_and_serve(listener, connection, co)
  note_pending(listener, co)
  local e = connection:own()
  local ok, err = pcall(serve, listener, e, co)
  if ok then return end
  e:close()
  error(err, 0)
end

-- The coroutine of a connection.
local function attend(listener, connection)
  local co = running()
  local ok, err = pcall(own_and_serve, listener, connection, co)
  leave_pending(listener, co)
  listener.coroutines[co] = nil
  if not ok then survive("reverse_listen", err) end
end

-- Makes room for one more that is not authorized yet: the one that has been silent longest goes. False: all have
-- offered a name, and wait to be authorized.
local function make_room(listener)
  if listener.pending_count < listener.options.pending then return true end
  local oldest, since
  for co, number in pairs(listener.greeting) do
    if not since or number < since then oldest, since = co, number end
  end
  if not oldest then return false end
  leave_pending(listener, oldest)
  listener.coroutines[oldest] = nil
  cancel(oldest)
  return true
end

-- True when there is nothing more to be accepted.
local function accept_one(listener, e)
  local connection, err = e:accept()
  if not connection then return err == "closed" end
  if not make_room(listener) then
    connection:close()
    return false
  end
  local ok, problem = pcall(begin, attend, listener, connection)
  if ok then return false end
  connection:close()
  error(problem, 0)
end

local function accept_all(listener, e)
  local ok, is_over
  repeat
    ok, is_over = pcall(accept_one, listener, e)
    if not ok then
      survive("reverse_listen", is_over)
      sleep(BREATH)
    end
  until ok and is_over
end

-- What sslconfig says; raises when it makes no sense, rather than at each connection.
local function check_sslconfig(config, name, is_client)
  local settings, message = tls_settings(config, nil, is_client)
  if settings and not is_client and not settings.certificate and #(settings.hosts or {}) == 0 then
    message = "certificate and key expected: without them no handshake can succeed"
  end
  if message then core.raise(("bad option 'sslconfig' to '%s' (%s)"):format(name, message)) end
  return settings
end

-- The listener, or nil and what is wrong.
function mtev.reverse_listen(options)
  options = check_options(options, LISTEN, "reverse_listen", { "port" })
  local config = options.sslconfig and copy(options.sslconfig)
  if config then
    config.server = true
    options.has_certificates = check_sslconfig(config, "reverse_listen").requires_certificate
  end
  if not options.authorize and not options.has_certificates and not options.insecure then
    error("reverse_listen: anybody could offer any name: give it `authorize`, or client certificates " ..
      "(sslconfig.require_client_cert), or say insecure = true", 2)
  end
  if config then
    config.timeout = config.timeout or options.timeout
    if options.has_certificates then config.verify = true end
    local context, why = core.tls_context(tls_settings(config))
    if not context then return nil, "sslconfig: " .. why end
    options.sslconfig = config
  end
  local address = options.address or "*"
  local e, _, err = mtev.socket(address:find(":", 1, true) and "inet6" or "inet")
  if not e then return nil, err end
  e:setsockopt("SO_REUSEADDR", 1)
  local rv
  rv, err = e:bind(address, options.port)
  if rv == 0 then
    local _
    rv, _, err = e:listen(options.backlog)
  end
  if rv ~= 0 then
    e:close()
    return nil, err
  end
  local listener = setmetatable({ options = options, coroutines = {}, tunnels = {} }, Listener)
  listener.accepted = 0
  listener.pending, listener.greeting, listener.pending_count = {}, {}, 0 -- coroutines of peers not authorized; of silent ones
  listener.bound = { e:sock_name() }
  listener.acceptor = spawn(function() accept_all(listener, e:own()) end)
  return listener
end

local function check_self(self, class, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (%s expected, got %s)"):format(name, class.__name, type(self)), 3)
  end
end

function Listener:sock_name()
  check_self(self, Listener, "sock_name")
  return self.bound[1], self.bound[2]
end

function Listener:names()
  check_self(self, Listener, "names")
  local names = {}
  for tunnel, entry in pairs(self.tunnels) do
    local known = names[entry.name]
    if not known or known.since < entry.since then
      names[entry.name] = { address = entry.address, port = entry.port, since = entry.since, channels = tunnel_count(tunnel) }
    end
  end
  return names
end

function Listener:close()
  check_self(self, Listener, "close")
  cancel(self.acceptor)
  for tunnel in pairs(self.tunnels) do tunnel_close(tunnel) end
  for co in pairs(self.coroutines) do cancel(co) end
  self.coroutines, self.tunnels, self.pending, self.greeting, self.pending_count = {}, {}, {}, {}, 0
end

function Listener:__tostring()
  return ("%s: %s:%s"):format(Listener.__name, self.bound[1], self.bound[2])
end

-- -- The dialling side ------------------------------------------------------------------------------------------------

local Dialler = {}
Dialler.__index = Dialler
Dialler.__name = "mtev.reverse_dialler"

local function spell_request(options)
  return ("POST /%s HTTP/1.1\r\nHost: %s:%s\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: 0\r\n\r\n")
    :format(escape(options.name), check.bracketed(options.host), options.port, PROTOCOL)
end

-- The hub's answer: true, or false and why not.
local function is_turned_round(options, e)
  local reader = core.http_head("answer")
  local deadline = monotonic() + options.timeout
  local head, err, status, length, _
  for _ = 0, INTERIM_MAX do -- answers 1xx before the answer
    head, err = e:read(reader, { timeout = deadline - monotonic(), limit = HEAD_MAX })
    if not head then return false, err or "the hub closed the connection" end
    status = core.http_answer(reader)
    if not status then return false, "the hub closed the connection" end
    if status == 101 or status >= 200 then break end
  end
  if status == 101 then
    if core.http_has_token(core.http_fields(head, true).upgrade, PROTOCOL) then return true end
    return false, "the hub speaks another protocol"
  end
  _, _, length = core.http_answer(reader)
  local reason = length and length <= HEAD_MAX and e:read(length, { timeout = deadline - monotonic() })
  return false, ("%d %s"):format(status, reason or "")
end

-- Connects, and has the hub turn the connection round: true, or false and why not.
local function turn_round(options, e)
  local rv, err = e:connect(options.host, options.port, options.timeout)
  if rv == 0 and options.sslconfig then
    rv, err = e:ssl_upgrade_socket(options.sslconfig, options.server_name)
  end
  if rv ~= 0 then return false, err end
  e:write(spell_request(options), { timeout = options.timeout })
  return is_turned_round(options, e)
end

-- A connection that the hub has turned round, or nil and why not.
local function dial(options)
  local e, _, err = mtev.socket(options.host:find(":", 1, true) and "inet6" or "inet")
  if not e then return nil, err end
  local ok, is_ready, why = pcall(turn_round, options, e)
  if ok and is_ready then return e end
  e:close()
  if not ok then error(is_ready, 0) end
  return nil, why
end

local function connect_target(options, channel)
  local address, port = options.target.address, options.target.port
  local e, _, err = mtev.socket(address:find("/", 1, true) and "unix" or address:find(":", 1, true) and "inet6" or "inet")
  local rv = -1
  if e then rv, err = e:connect(address, port, options.timeout) end
  if rv == 0 then
    channel_accept(channel, e)
  else
    channel_refuse(channel, err)
  end
end

local function refuse_for(channel, err)
  channel_refuse(channel, type(err) == "string" and err or "refused")
end

-- Leads it to the target, or gives the script's end of it.
local function open_channel(options, channel)
  if options.target then return connect_target(options, channel) end
  return (channel_accept(channel))
end

-- The coroutine of a channel. What the script's `accept` raises is an uncaught error, with its own traceback.
local function accept_channel(options, channel)
  local ok, e = pcall(open_channel, options, channel)
  if not ok then
    refuse_for(channel, e)
    survive("reverse_connect", e)
  elseif e then
    options.accept(e)
  end
end

-- Serves the hub's channels until the tunnel ends; why it ended.
local function serve_channels(self, tunnel)
  while true do
    local channel, reason, message = tunnel_next(tunnel)
    check_interrupted(reason, message)
    if not channel then return reason end
    local ok, err = pcall(begin, accept_channel, self.options, channel)
    if not ok then
      refuse_for(channel, err)
      survive("reverse_connect", err)
    end
  end
end

local function open_tunnel(options, e)
  return tunnel_open(e, nil, options.keepalive, options.window, options.channels)
end

-- One connection, to its end.
local function run_once(self)
  local options = self.options
  local e, err = dial(options)
  if not e then return err end
  local ok
  ok, self.tunnel, err = pcall(open_tunnel, options, e)
  if not ok then
    err, self.tunnel = self.tunnel, nil
    e:close()
    error(err, 0)
  end
  if not self.tunnel then return err end
  self.error = nil
  self.has_connected = true
  broadcast(self.changed)
  err = serve_channels(self, self.tunnel)
  self.tunnel = nil
  return err
end

-- A little more or less, lest all diallers come back to a restarted hub at once.
local function jitter(seconds)
  return seconds * (0.75 + 0.5 * (select(2, mtev.gettimeofday()) % 1000) / 1000)
end

local function note_pause(self, pause)
  local options = self.options
  debug_log("%s:%s: %s; again in %.1f s", options.host, tostring(options.port), tostring(self.error), pause)
  return jitter(pause)
end

local function run(self)
  local options = self.options
  local pause = options.retry_min
  while true do
    self.has_connected = false
    local ok, err = pcall(run_once, self)
    if not ok then
      if self.tunnel then tunnel_close(self.tunnel) end
      self.tunnel = nil
      survive("reverse_connect", err)
    end
    self.error = err
    if self.has_connected then pause = options.retry_min end
    local is_noted, jittered = pcall(note_pause, self, pause)
    sleep(is_noted and jittered or pause)
    pause = math.min(pause * 2, options.retry_max)
  end
end

local TARGET = { "any", "any", address = "any", port = "any" }
local PATH_MAX = 107 -- bytes: unix(7)

local function port_of(value)
  local number = (type(value) == "number" or type(value) == "string") and tonumber(value)
  return number and number >= 1 and number <= 65535 and number % 1 == 0 and number or nil
end

-- What connect would take for a host: an address, or a name whose last part is no number.
local function may_be_host(host)
  if #host > NAME_MAX or host == "*" or not check.is_host(host) then return false end
  return host:find(":", 1, true) or not host:match("[^.]*$"):find("^%d+$") or core.ip_family(host)
end

local function problem_of_target(address, port)
  if type(address) ~= "string" then return "{address, port} expected" end
  if address:find("%z") then return "there is a NUL in its address" end
  local is_reverse = address:find("^reverse:.")
  if address:find("/", 1, true) and not is_reverse then return #address > PATH_MAX and "its path is too long" end
  if not port_of(port) then return "{address, port} with a port from 1 to 65535 expected" end
  return not (is_reverse or may_be_host(address)) and "name or address expected"
end

-- A copy of it: {address =, port =}. What connect would never take raises here, rather than fail for each channel.
local function check_target(target)
  check.options(target, TARGET, "reverse_connect")
  local address, port = target.address or target[1], target.port or target[2]
  local problem = problem_of_target(address, port)
  if problem then core.raise(("bad option 'target' to 'reverse_connect' (%s)"):format(problem)) end
  return { address = address, port = port_of(port) }
end

function mtev.reverse_connect(options)
  options = check_options(options, CONNECT, "reverse_connect", { "host", "port", "name" })
  if (options.accept ~= nil) == (options.target ~= nil) then
    error("reverse_connect: either `accept` or `target` is expected", 2)
  end
  if options.target then options.target = check_target(options.target) end
  if options.port == 0 then
    error("bad option 'port' to 'reverse_connect' (port from 1 to 65535 expected, got '0')", 2)
  end
  if not check.is_host(options.host) then error("bad option 'host' to 'reverse_connect' (name or address expected)", 2) end
  if options.name == "" or #options.name > NAME_MAX or options.name:find("%z") then
    error("bad option 'name' to 'reverse_connect' (1 to 255 bytes without NUL expected)", 2)
  end
  if options.sslconfig then
    local config = copy(options.sslconfig)
    check_sslconfig(config, "reverse_connect", true)
    local snihost = config.snihost and config.snihost ~= "" and tostring(config.snihost)
    local what = snihost and "option 'snihost'" or "option 'host'"
    options.server_name = check.server_name(snihost or options.host, what, "reverse_connect")
    config.timeout = config.timeout or options.timeout
    config.server = nil
    options.sslconfig = config
  end
  local self = setmetatable({ options = options, changed = condition("reverse_connect:ready") }, Dialler)
  self.coroutine = spawn(run, self)
  return self
end

function Dialler:is_connected()
  check_self(self, Dialler, "is_connected")
  return self.tunnel ~= nil
end

-- Waits until it is connected; false when `timeout` passes first, or it is closed.
function Dialler:ready(timeout)
  check_self(self, Dialler, "ready")
  timeout = check.opt_number(timeout, 1, "ready")
  if self.tunnel or self.is_closed then return self.tunnel ~= nil end
  local ok = await(self.changed, timeout)
  return ok and not self.is_closed
end

function Dialler:close()
  check_self(self, Dialler, "close")
  if self.is_closed then return end
  self.is_closed = true
  if self.tunnel then tunnel_close(self.tunnel) end
  self.tunnel = nil
  cancel(self.coroutine)
  broadcast(self.changed)
end

function Dialler:__tostring()
  local options = self.options
  return ("%s: '%s' to %s:%s, %s"):format(Dialler.__name, options.name, options.host, options.port,
    self.is_closed and "closed" or self.tunnel and "connected" or "not connected")
end

core.reverse_listener, core.reverse_dialler = Listener, Dialler
