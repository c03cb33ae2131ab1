-- The engine of a cluster on etcd: values, messages and semaphores, on the membership of membership.lua.

local mtev, core = ...
local Etcd, Engine = core.require("cluster/etcd"), core.require("cluster/membership")
local current_view, is_valid, is_current, complaint = Engine.current_view, Engine.is_valid, Engine.is_current, Engine.complaint
local act, mutate, raise_fence = Engine.act, Engine.mutate, Engine.raise_fence
local is_utf8, now = core.ws_is_utf8, core.monotonic
local to64, from64 = mtev.base64_encode, mtev.base64_decode

local RETRY_PAUSE = 0.2 -- seconds after a request that failed
local WATCH_PAUSE = 0.1 -- seconds after a watch that failed
local WATCH_SLICE = 10  -- seconds after which a waiter asks anew, whatever its watch says
local DEPTH_MAX = 100   -- of tables in messages

-- -- Values -----------------------------------------------------------------------------------------------------------

local function value_key(self, key) return self.settings.prefix .. "values/" .. key end

function Engine:get(key)
  local result, message = self.etcd:transact({}, { Etcd.get(value_key(self, key)) }, nil, self.settings.timeout)
  if not result then return nil, ("cluster '%s': %s"):format(self.name, message) end
  local kv = Etcd.clean_all(result[1].kvs)[1]
  return kv and kv.value
end

local function change(key, value, lease)
  return value and Etcd.put(key, value, lease) or Etcd.delete(key)
end

function Engine:set(key, value, is_ephemeral)
  local view, limit = act(self)
  if not view then return nil, limit end
  local result, message = mutate(self, view, limit, {}, { change(value_key(self, key), value, is_ephemeral and view.lease or nil) })
  if not result then return nil, message end
  return true
end

function Engine:cas(key, expected, value)
  local view, limit = act(self)
  if not view then return nil, limit end
  key = value_key(self, key)
  local compare = expected and Etcd.holds(key, expected) or Etcd.created(key, 0)
  local result, message = mutate(self, view, limit, { compare }, { change(key, value) }, true, Etcd.get(key))
  if not result then return nil, message end
  if result.ok then return true end
  local kv = Etcd.clean_all(result[2].kvs)[1]
  return false, kv and kv.value
end

-- How often the key was written is the number: no reading before, nothing to try again when others are faster.
function Engine:seq(key)
  local view, limit = act(self)
  if not view then return nil, limit end
  local result, message = mutate(self, view, limit, {}, { Etcd.put(self.settings.prefix .. "sequences/" .. key, "", nil, true) })
  if not result then return nil, message end
  local before = result[1].prev_kv
  return (before and tonumber(before.version or 0) or 0) + 1
end

-- -- Messages ---------------------------------------------------------------------------------------------------------

-- A value in JSON, which knows no binary strings, no NaN and no keys but strings: "s" text, "b" base64, "n" number that
-- JSON has not, "z" nil; a table is an array of its keys and values in turn.
local function pack(value, depth)
  local kind = type(value)
  if kind == "string" then return is_utf8(value) and "s" .. value or "b" .. to64(value) end
  if kind == "number" then return (value ~= value or value == math.huge or value == -math.huge) and "n" .. tostring(value) or value end
  if kind == "boolean" then return value end
  if kind == "nil" then return "z" end
  if kind ~= "table" then error(("cannot send a %s"):format(kind), 0) end
  if depth > DEPTH_MAX then error("cannot send tables nested so deeply", 0) end
  local packed = {}
  for k, v in pairs(value) do
    packed[#packed + 1] = pack(k, depth + 1)
    packed[#packed + 1] = pack(v, depth + 1)
  end
  return packed
end

local NUMBERS = { nnan = 0 / 0, ["n-nan"] = 0 / 0, ninf = math.huge, ["n-inf"] = -math.huge }

local function unpack_value(packed)
  if type(packed) == "table" then
    local value = {}
    for i = 1, #packed, 2 do value[unpack_value(packed[i])] = unpack_value(packed[i + 1]) end
    return value
  end
  if type(packed) ~= "string" then return packed end
  local tag = packed:sub(1, 1)
  if tag == "s" then return packed:sub(2) end
  if tag == "b" then return from64(packed:sub(2)) end
  if tag == "n" then return NUMBERS[packed] end
  return nil
end

-- Keys of one length behind another cannot be taken for one another: "1:a/" is not the beginning of "3:a/b/".
local function folder(self, kind, key)
  return ("%s%s/%d:%s/"):format(self.settings.prefix, kind, #key, key)
end

function Engine:notify(key, ...)
  local values = {}
  for i = 1, select("#", ...) do
    local ok, packed = pcall(pack, (select(i, ...)), 0)
    if not ok then error(("bad argument #%d to 'notify' (%s)"):format(i + 1, packed), 3) end
    values[i] = packed
  end
  local view, limit = act(self)
  if not view then return nil, limit end
  local message_key = folder(self, "messages", key) .. mtev.uuid()
  local result, message = mutate(self, view, limit, {}, { Etcd.put(message_key, mtev.tojson(values):tostring()) })
  if not result then return nil, message end
  return true
end

local function left_until(deadline)
  return deadline and math.max(0, deadline - now()) or math.huge
end

-- Waits for something to happen below `prefix`, of which `is_news` says whether it counts; not for long, so that who
-- waits looks for itself again.
local function wait_for_event(self, prefix, revision, deadline, is_news)
  local _, problem = self.etcd:watch(prefix, revision + 1, math.min(WATCH_SLICE, math.max(0.001, left_until(deadline))), function(events)
    for _, event in ipairs(events) do
      if is_news(event) then return true end
    end
  end)
  if problem and left_until(deadline) > 0 and not problem:find("timed out", 1, true) and not problem:find("within", 1, true) then
    mtev.sleep(math.min(WATCH_PAUSE, left_until(deadline)))
  end
end

local function is_new(event) return not event.is_gone end

local function receive(key, text)
  local values = mtev.parsejson(text):document()
  local count = #values
  for i = 1, count do values[i] = unpack_value(values[i]) end
  return key, unpack(values, 1, count)
end

function Engine:waitfor(key, timeout)
  local deadline = timeout and now() + timeout
  local prefix = folder(self, "messages", key)
  local view, limit = act(self)
  if not view then return nil, limit end
  while true do
    local result, message = self.etcd:transact({}, { Etcd.list(prefix, 1) }, nil, self.settings.timeout)
    if not result then return nil, ("cluster '%s': %s"):format(self.name, message) end
    local kv = Etcd.clean_all(result[1].kvs)[1]
    if kv then
      local taken
      taken, message = mutate(self, view, now() + self.settings.timeout, { Etcd.modified(kv.key, kv.modified) }, { Etcd.delete(kv.key) }, true)
      if not taken then return nil, message end
      if taken.ok then return receive(key, kv.value) end
    else
      if left_until(deadline) <= 0 then return end
      wait_for_event(self, prefix, result.revision, deadline, is_new)
      view, limit = act(self)
      if not view then return nil, limit end
    end
  end
end

-- -- Semaphores -------------------------------------------------------------------------------------------------------

-- A coroutine that wants a unit writes a ticket, which lives as long as the lease. Tickets are served by age: the first n
-- hold units, where n is what the oldest ticket says, so that all nodes agree. Waiters watch tickets being deleted; they
-- do not poll.
local Units = {}
Units.__index = Units

function Engine:semaphore(name, n)
  return setmetatable({ engine = self, name = name, n = n, prefix = folder(self, "semaphores", name), tickets = {} }, Units)
end

-- A ticket that nobody wants any more goes, unless its lease does so first. `may_come`: it may still be on its way.
local function drop_ticket(self, view, ticket, may_come)
  local epoch = view.epoch
  while current_view(self).epoch == epoch do
    may_come = may_come and not raise_fence(self, view, self.settings.timeout)
    if not may_come and self.etcd:transact({}, { Etcd.delete(ticket) }, nil, self.settings.timeout) then return end
    mtev.sleep(RETRY_PAUSE)
  end
end

-- The tickets before `ticket` (they can only become fewer), their number, and how many units there are; nil: it is not
-- there.
local function queue_before(kvs, ticket)
  local before, count, units = {}, 0, nil
  for _, kv in ipairs(Etcd.clean_all(kvs)) do
    units = units or kv.value -- as the oldest says
    if kv.key == ticket then return before, count, tonumber(units) or 1 end
    before[kv.key], count = true, count + 1
  end
end

-- true, false when the time is up, or nil, message, whether the ticket may still come. Does not clean up.
local function wait_for_unit(units, view, limit, ticket, deadline)
  local self, all = units.engine, Etcd.list(units.prefix)
  local put = Etcd.put(ticket, ("%d"):format(units.n), view.lease)
  local result, message, may_come = mutate(self, view, limit, {}, { put, all })
  if not result then return nil, message, may_come end
  local kvs = result[2].kvs
  while true do
    local before, count, n = queue_before(kvs or {}, ticket)
    if not before then return nil, ("cluster '%s': its lease has ended while it waited"):format(self.name) end
    if count >= n then
      if left_until(deadline) <= 0 then return false end
      wait_for_event(self, units.prefix, result.revision, deadline, function(event)
        if event.is_gone and before[event.key] then before[event.key], count = nil, count - 1 end
        return count < n
      end)
    end
    if count < n then
      if is_current(self, view) then return true end
      return nil, complaint(self, self.view)
    end
    result, message = self.etcd:transact({}, { all }, nil, self.settings.timeout)
    if not result then return nil, ("cluster '%s': %s"):format(self.name, message) end
    kvs = result[1].kvs
  end
end

function Units:acquire(timeout)
  local engine = self.engine
  local deadline = timeout and now() + timeout
  local view, limit = act(engine)
  if not view then return nil, limit end
  local epoch, ticket = view.epoch, self.prefix .. mtev.uuid()
  local ok, taken, message, may_come = pcall(wait_for_unit, self, view, limit, ticket, deadline)
  if ok and taken then
    self.tickets[#self.tickets + 1] = { key = ticket, epoch = epoch }
    return true
  end
  mtev.coroutine_spawn(drop_ticket, engine, view, ticket, may_come or not ok)
  if not ok then error(taken, 0) end -- cancelled
  return taken, message
end

-- The tickets that are still good; the others are forgotten.
local function good_tickets(units)
  local view, good = current_view(units.engine), {}
  for _, ticket in ipairs(units.tickets) do
    if is_valid(view) and ticket.epoch == view.epoch then good[#good + 1] = ticket end
  end
  return good
end

function Units:release()
  local count = #self.tickets
  local good = good_tickets(self)
  local ticket = table.remove(good)
  self.tickets = good
  if not ticket then return nil, count > 0 and "it was lost with the membership" or "it is not held" end
  local engine = self.engine
  local result, message = engine.etcd:transact({}, { Etcd.delete(ticket.key) }, nil, engine.settings.timeout)
  if result then return true end
  mtev.coroutine_spawn(drop_ticket, engine, { epoch = ticket.epoch }, ticket.key, false)
  return nil, ("cluster '%s': %s; it goes on trying"):format(engine.name, message)
end

function Units:held()
  return #good_tickets(self)
end

return Engine
