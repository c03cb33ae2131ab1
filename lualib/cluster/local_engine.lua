-- The engine of a cluster without endpoints: one node, this process, with all its threads. What it offers is made of
-- what threads share anyway. As on etcd, a membership keeps the program alive until it is left, by whichever thread,
-- and what was held in it is lost then. Memberships are numbered: `left` is the last one that has ended.

local mtev, core = ...
local spawn, cancel, sleep, now = mtev.coroutine_spawn, mtev.cancel_coro, mtev.sleep, core.monotonic

local Local = {}
Local.__index = Local

local PAUSE = 1 -- seconds between looks at whether the configuration has it still

function Local.new(name, settings, is_configured)
  local self = setmetatable({ name = name, prefix = "lhotse.cluster:" .. name .. ":" }, Local)
  self.lock = mtev.semaphore(self.prefix .. "lock", 1)
  self.node_id = ("local:%d"):format(core.process_id())
  self.node = settings.node or "local"
  self.epoch = (mtev.shared_get(self.prefix .. "left") or 0) + 1
  self.units, self.waiting = setmetatable({}, { __mode = "k" }), {}
  self.keeper = spawn(function() -- it keeps the program alive
    while is_configured() do sleep(PAUSE) end
    self.keeper = nil
    self:leave()
  end)
  if mtev.eventer_loop_concurrency() > 1 then
    self.listener = spawn(function()
      mtev.shared_waitfor(self:channel((select(2, mtev.thread_self()))))
      self:finish()
    end)
  end
  return self
end

-- By which a thread is told that the membership has been left.
function Local:channel(thread)
  return ("%sleave:%d:%d"):format(self.prefix, self.epoch, thread)
end

-- The membership has ended: what this thread had by it is lost.
function Local:finish()
  if self.keeper then cancel(self.keeper) end
  for units in pairs(self.units) do
    for _ = 1, units.count do units.semaphore:release() end
    units.count = 0
  end
  for key, count in pairs(self.waiting) do
    for _ = 1, count do mtev.shared_notify(self.prefix .. "mail:" .. key, { ended = self.epoch }) end
  end
end

function Local:id()
  return self.node_id
end

local function this_node(self)
  return { id = self:id(), name = self.node, revision = 1, is_self = true }
end

function Local:is_left() return (mtev.shared_get(self.prefix .. "left") or 0) >= self.epoch end
function Local:join()
  if self:is_left() then return nil, self:left() end
  return true
end

function Local:size() return self:is_left() and 0 or 1 end
function Local:am_i_oldest_visible_node() return not self:is_left() end
function Local:nodes() return self:is_left() and {} or { this_node(self) } end
function Local:owner() return not self:is_left() and this_node(self) or nil end

function Local:leave()
  if self:is_left() then return true end
  self.lock:acquire()
  mtev.shared_set(self.prefix .. "left", self.epoch)
  for key in pairs(mtev.shared_get(self.prefix .. "ephemeral") or {}) do mtev.shared_set(self.prefix .. "kv:" .. key, nil) end
  mtev.shared_set(self.prefix .. "ephemeral", nil)
  self.lock:release()
  local _, here = mtev.thread_self()
  for thread = 0, mtev.eventer_loop_concurrency() - 1 do
    if thread ~= here then mtev.shared_notify(self:channel(thread), true) end
  end
  if self.listener then cancel(self.listener) end
  self:finish()
  return true
end

-- One node: nothing changes, nothing is lost.
function Local:on_change() return function() end end
function Local:on_lost() return function() end end

-- -- Values -----------------------------------------------------------------------------------------------------------

-- Why nothing can be done; nil: it can.
function Local:left()
  return self:is_left() and ("cluster '%s': it has been left"):format(self.name) or nil
end

function Local:get(key)
  return mtev.shared_get(self.prefix .. "kv:" .. key)
end

-- With the lock held.
local function put(self, key, value, is_ephemeral)
  mtev.shared_set(self.prefix .. "kv:" .. key, value)
  local ephemeral = mtev.shared_get(self.prefix .. "ephemeral") or {}
  local mark = is_ephemeral and value ~= nil or nil
  if ephemeral[key] == mark then return end
  ephemeral[key] = mark
  mtev.shared_set(self.prefix .. "ephemeral", ephemeral)
end

function Local:set(key, value, is_ephemeral)
  self.lock:acquire()
  local why = self:left()
  if not why then put(self, key, value, is_ephemeral) end
  self.lock:release()
  return not why or nil, why
end

function Local:cas(key, expected, value)
  self.lock:acquire()
  local why, current = self:left(), self:get(key)
  if not why and current == expected then put(self, key, value) end
  self.lock:release()
  if why then return nil, why end
  if current == expected then return true end
  return false, current
end

function Local:seq(key)
  if self:is_left() then return nil, self:left() end
  return mtev.shared_seq(self.prefix .. "seq:" .. key) + 1
end

-- -- Messages ---------------------------------------------------------------------------------------------------------

function Local:notify(key, ...)
  if self:is_left() then return nil, self:left() end
  mtev.shared_notify(self.prefix .. "mail:" .. key, { n = select("#", ...), ... })
  return true
end

local function wait(self, key, timeout)
  local deadline = timeout and now() + timeout
  while true do
    local left = deadline and math.max(deadline - now(), 0)
    local message = mtev.shared_waitfor(self.prefix .. "mail:" .. key, left)
    if not message then return end
    if not message.ended then return key, unpack(message, 1, message.n) end
    if self:is_left() then return nil, self:left() end
  end -- else it is from an earlier membership, whose waiter was gone by then
end

local function stop_waiting(self, key, ok, ...)
  local count = self.waiting[key] - 1
  self.waiting[key] = count > 0 and count or nil
  if not ok then error((...), 0) end
  return ...
end

function Local:waitfor(key, timeout)
  if self:is_left() then return nil, self:left() end
  self.waiting[key] = (self.waiting[key] or 0) + 1
  return stop_waiting(self, key, pcall(wait, self, key, timeout))
end

-- -- Semaphores -------------------------------------------------------------------------------------------------------

local Units = {}
Units.__index = Units

function Local:semaphore(name, n)
  local units = setmetatable({ engine = self, semaphore = mtev.semaphore(self.prefix .. "semaphore:" .. name, n), count = 0 }, Units)
  self.units[units] = true
  return units
end

function Units:acquire(timeout)
  local engine = self.engine
  if engine:is_left() then return nil, engine:left() end
  if not self.semaphore:acquire(timeout) then return false end
  if engine:is_left() then
    self.semaphore:release()
    return nil, engine:left()
  end
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
