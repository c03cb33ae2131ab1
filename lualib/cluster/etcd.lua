-- A client of etcd's v3 API, by its JSON gateway, for lualib/cluster/init.lua. One per thread and cluster.
--
-- A call goes to one endpoint, the same as long as that answers; then to the next, until its time is up. Keys and
-- values are base64 in the gateway's JSON, 64-bit numbers are decimal text.

local mtev, core = ...
local to64, from64 = mtev.base64_encode, mtev.base64_decode
local now = core.monotonic

local Etcd = {}
Etcd.__index = Etcd

local TRY_LEAST = 0.3    -- seconds for one endpoint
local UNAUTHENTICATED = 16 -- gRPC's code
-- What another member, or a later moment, may answer: gRPC's codes unavailable, deadline exceeded, unknown (no leader).
local PASSING = { [14] = true, [4] = true, [2] = true }
local LINE_MAX = 64 * 1024 * 1024 -- bytes of an event
local PERMANENT = 2 ^ 53   -- "no limit" for a stream

-- {scheme =, host =, port =} of "http://host:port", or nil.
local function parse_endpoint(text)
  local scheme, host, port = text:match("^(https?)://%[?([^/%[%]]-)%]?:(%d+)/?$")
  port = tonumber(port)
  if not scheme or port < 1 or port > 65535 then return nil end
  return { scheme = scheme, host = host, port = port, text = text }
end

Etcd.parse_endpoint = parse_endpoint

-- settings: {endpoints = text, user =, password =, ca =, certificate =, key =}
function Etcd.new(settings)
  local self = setmetatable({ settings = settings, apis = {}, endpoints = {} }, Etcd)
  local sslconfig = { ca_chain = settings.ca, certificate = settings.certificate, key = settings.key }
  for text in settings.endpoints:gmatch("[^,%s]+") do
    local endpoint = assert(parse_endpoint(text))
    local headers = { ["Content-Type"] = "application/json" }
    local api = endpoint.scheme == "https" and mtev.Api:https(endpoint.host, endpoint.port, headers, sslconfig)
      or mtev.Api:http(endpoint.host, endpoint.port, headers)
    self.endpoints[#self.endpoints + 1] = endpoint
    self.apis[#self.apis + 1] = api
  end
  assert(#self.apis > 0)
  self.current = core.process_id() % #self.apis + 1 -- so that not all nodes ask the same member
  return self
end

-- The next endpoint, if `failed` is still the current one.
function Etcd:turn_from(failed)
  if self.current == failed then self.current = failed % #self.apis + 1 end
end

local function decode(text)
  local json = mtev.parsejson(text)
  return json and json:document()
end

local function message_of(answer, response)
  local message = type(answer) == "table" and (answer.message or answer.error)
  if type(message) == "table" then message = message.message end
  return message or ("HTTP %d %s"):format(response:rc(), (response:text() or ""):sub(1, 200):gsub("%s+$", ""))
end

-- -- Calls ------------------------------------------------------------------------------------------------------------

local function headers_of(self)
  return self.token and { Authorization = self.token }
end

-- curl's words when it has not got as far as to send anything.
local function is_before_sending(message)
  return message:find("^Failed to connect") ~= nil or message:find("^Could not resolve") ~= nil
end

-- One try at the current endpoint: the answer, or nil, message, gRPC's code (nil = no answer), whether it cannot have
-- been carried out.
local function try(self, path, body, timeout)
  local index = self.current
  local response = self.apis[index]:post(path, body, headers_of(self), { timeout = timeout, connect_timeout = timeout })
  if response:rc() == -1 then
    local message = response:text()
    return nil, ("%s: %s"):format(self.endpoints[index].text, message), nil, is_before_sending(message)
  end
  local answer = decode(response:text())
  if response:rc() == 200 and answer then return answer end
  return nil, message_of(answer, response), type(answer) == "table" and answer.code or 14, false
end

local function log_in(self, timeout)
  local answer, message, code = try(self, "/v3/auth/authenticate",
    { name = self.settings.user, password = self.settings.password or "" }, timeout)
  self.token = answer and answer.token
  return message, code
end

-- The answer, or nil, message, whether it is certain that nothing was done. `is_once`: not to be repeated when it may
-- have been carried out.
function Etcd:call(path, body, timeout, is_once)
  local deadline = now() + timeout
  local share = math.max(TRY_LEAST, timeout / math.min(#self.apis, 3))
  local message, has_logged_in = nil, false
  while true do
    local left = deadline - now()
    if left <= 0 then return nil, ("etcd does not answer within %g s (%s)"):format(timeout, message or "no time"), is_once or false end
    local index, before, answer, code, is_unsent = self.current, message, nil, nil, nil
    if self.settings.user and not self.token then
      message, code = log_in(self, math.min(left, share))
      is_unsent = true
    end
    if not self.settings.user or self.token then
      answer, message, code, is_unsent = try(self, path, body, math.min(left, share))
      if answer then return answer end
    end
    if left < TRY_LEAST and not code and before then message = before end -- it had no time to say anything better
    local is_token_bad = code == UNAUTHENTICATED and self.token ~= nil and not has_logged_in
    if is_token_bad then
      self.token, has_logged_in = nil, true
    else
      if code and not PASSING[code] then return nil, "etcd: " .. message, true end
      self:turn_from(index)
      if is_once and not is_unsent then return nil, "etcd: " .. message, false end
      if self.current == 1 or code then mtev.sleep(math.min(0.1, math.max(0, deadline - now()))) end
    end
  end
end

-- -- Keys -------------------------------------------------------------------------------------------------------------

-- The end of the range of all keys that begin with `prefix`.
local function end_of(prefix)
  local last = #prefix
  while last > 0 and prefix:byte(last) == 255 do last = last - 1 end
  return prefix:sub(1, last - 1) .. string.char(prefix:byte(last) + 1)
end

local function clean(kv)
  return {
    key = from64(kv.key), value = from64(kv.value or ""), version = tonumber(kv.version or 0),
    created = tonumber(kv.create_revision or 0), modified = tonumber(kv.mod_revision or 0), lease = kv.lease,
  }
end

local function clean_all(kvs)
  local result = {}
  for i, kv in ipairs(kvs or {}) do result[i] = clean(kv) end
  return result
end

Etcd.clean_all = clean_all

-- Parts of a transaction.
-- `with_before`: the response has what was there before.
function Etcd.put(key, value, lease, with_before)
  return { request_put = { key = to64(key), value = to64(value), lease = lease, prev_kv = with_before } }
end

function Etcd.get(key)
  return { request_range = { key = to64(key) } }
end

-- The keys that begin with `prefix`, the oldest first.
function Etcd.list(prefix, limit)
  return { request_range = {
    key = to64(prefix), range_end = to64(end_of(prefix)), sort_order = "ASCEND", sort_target = "CREATE", limit = limit,
  } }
end

function Etcd.delete(key)
  return { request_delete_range = { key = to64(key) } }
end

-- created(key, 0): the key is not there.
function Etcd.created(key, revision)
  return { key = to64(key), target = "CREATE", result = "EQUAL", create_revision = ("%d"):format(revision) }
end

function Etcd.modified(key, revision)
  return { key = to64(key), target = "MOD", result = "EQUAL", mod_revision = ("%d"):format(revision) }
end

function Etcd.holds(key, value)
  return { key = to64(key), target = "VALUE", result = "EQUAL", value = to64(value) }
end

-- {ok = did the comparisons hold, revision =, of each operation in order: its response}, or as Etcd:call.
function Etcd:transact(compare, success, failure, timeout, is_once)
  local answer, message, is_undone = self:call("/v3/kv/txn",
    { compare = compare, success = success, failure = failure }, timeout, is_once)
  if not answer then return nil, message, is_undone end
  local result = { ok = answer.succeeded == true, revision = tonumber(answer.header and answer.header.revision or 0) }
  for i, response in ipairs(answer.responses or {}) do
    result[i] = response.response_range or response.response_put or response.response_delete_range or {}
  end
  return result
end

-- -- Leases -----------------------------------------------------------------------------------------------------------

-- id, seconds.
function Etcd:grant(ttl, timeout)
  local answer, message = self:call("/v3/lease/grant", { TTL = ("%d"):format(ttl) }, timeout)
  if not answer then return nil, message end
  return answer.ID, tonumber(answer.TTL)
end

-- Seconds that are left, 0 = it is over; or nil, message.
function Etcd:keep_alive(lease, timeout)
  local answer, message = self:call("/v3/lease/keepalive", { ID = lease }, timeout)
  if not answer then return nil, message end
  return tonumber(answer.result and answer.result.TTL or 0)
end

function Etcd:revoke(lease, timeout)
  return self:call("/v3/lease/revoke", { ID = lease }, timeout)
end

-- -- Watching ---------------------------------------------------------------------------------------------------------

-- Calls `on_events(array of {is_gone =, kv})` for what happens to the keys that begin with `prefix` from `revision` on,
-- until it returns true; or until the time is up, or the stream ends. Returns true if on_events did, else nil and why.
function Etcd:watch(prefix, revision, timeout, on_events)
  local index, is_done, problem = self.current, false, nil
  local parts, length = {}, 0 -- of a line that has not come to its end
  local function consume_line(line)
    local message = decode(line)
    local result = message and message.result
    if not result then problem = "no event: " .. line:sub(1, 200) return true end
    if result.canceled then problem = "the watch was cancelled: " .. tostring(result.cancel_reason or "compacted") return true end
    if not result.events then return false end
    local events = {}
    for i, event in ipairs(result.events) do
      events[i] = clean(event.kv)
      events[i].is_gone = event.type == "DELETE"
    end
    is_done = on_events(events) == true
    return is_done
  end
  local function consume(piece)
    local from = 1
    while true do
      local feed = piece:find("\n", from, true)
      if not feed then break end
      parts[#parts + 1] = piece:sub(from, feed - 1)
      local line = table.concat(parts)
      parts, length, from = {}, 0, feed + 1
      if consume_line(line) then return false end
    end
    parts[#parts + 1] = piece:sub(from)
    length = length + #piece - from + 1
    if length <= LINE_MAX then return true end
    problem = "a line of etcd's answer is too long"
    return false
  end
  local request = { create_request = { key = to64(prefix), range_end = to64(end_of(prefix)), start_revision = ("%d"):format(revision) } }
  local options = { consume = consume, timeout = timeout, idle_timeout = 1e6, limit = PERMANENT, connect_timeout = 2 }
  local response = self.apis[index]:post("/v3/watch", request, headers_of(self), options)
  if is_done then return true end
  return nil, problem or response:text()
end

return Etcd
