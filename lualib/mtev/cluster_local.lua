-- The engine of a cluster without endpoints: one node, this process, with all its threads. What it offers is made of what
-- threads share anyway, so it has no coroutine of its own and does not keep the program alive.

local mtev, core = ...

local Local = {}
Local.__index = Local

function Local.new(name, settings)
  local self = setmetatable({ name = name, prefix = "lhotse.cluster:" .. name .. ":" }, Local)
  self.lock = mtev.semaphore(self.prefix .. "lock", 1)
  self.node_id = ("local:%d"):format(core.process_id())
  self.node = settings.node or "local"
  return self
end

function Local:id()
  return self.node_id
end

local function this_node(self)
  return { id = self:id(), name = self.node, revision = 1, is_self = true }
end

function Local:is_left() return self.has_left or false end
function Local:join() return true end
function Local:size() return self.has_left and 0 or 1 end
function Local:am_i_oldest_visible_node() return not self.has_left end
function Local:nodes() return self.has_left and {} or { this_node(self) } end
function Local:owner() return not self.has_left and this_node(self) or nil end

function Local:leave()
  self.has_left = true
  return true
end

-- One node: nothing changes, nothing is lost.
function Local:on_change() return function() end end
function Local:on_lost() return function() end end

-- -- Values -----------------------------------------------------------------------------------------------------------

local function left(self)
  return self.has_left and ("cluster '%s': it has been left"):format(self.name) or nil
end

function Local:get(key)
  return mtev.shared_get(self.prefix .. "kv:" .. key)
end

function Local:set(key, value)
  if self.has_left then return nil, left(self) end
  mtev.shared_set(self.prefix .. "kv:" .. key, value)
  return true
end

function Local:cas(key, expected, value)
  if self.has_left then return nil, left(self) end
  self.lock:acquire()
  local current = self:get(key)
  if current == expected then mtev.shared_set(self.prefix .. "kv:" .. key, value) end
  self.lock:release()
  if current == expected then return true end
  return false, current
end

function Local:seq(key)
  if self.has_left then return nil, left(self) end
  return mtev.shared_seq(self.prefix .. "seq:" .. key) + 1
end

-- -- Messages ---------------------------------------------------------------------------------------------------------

function Local:notify(key, ...)
  if self.has_left then return nil, left(self) end
  mtev.shared_notify(self.prefix .. "mail:" .. key, { n = select("#", ...), ... })
  return true
end

function Local:waitfor(key, timeout)
  if self.has_left then return nil, left(self) end
  local message = mtev.shared_waitfor(self.prefix .. "mail:" .. key, timeout)
  if message then return key, unpack(message, 1, message.n) end
end

-- -- Semaphores -------------------------------------------------------------------------------------------------------

local Units = {}
Units.__index = Units

function Local:semaphore(name, n)
  return setmetatable({ engine = self, semaphore = mtev.semaphore(self.prefix .. "semaphore:" .. name, n), count = 0 }, Units)
end

function Units:acquire(timeout)
  if self.engine.has_left then return nil, left(self.engine) end
  if not self.semaphore:acquire(timeout) then return false end
  self.count = self.count + 1
  return true
end

function Units:release()
  if self.count == 0 then return nil, "it is not held" end
  self.count = self.count - 1
  self.semaphore:release()
  return true
end

function Units:held() return self.count end

return Local
