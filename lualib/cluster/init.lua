-- mtev.cluster: what scripts hold, and the checks. Two engines do the work, with the same methods: etcd_engine.lua, and
-- local_engine.lua for a cluster without endpoints, which is this process alone. Loaded by the first cluster that is
-- asked for.

local _, core = ...
local check = core.check
local conf_generation, tostring, type, select = core.conf_generation, tostring, type, select

local Settings = core.require("cluster/settings")

local engines = {
  etcd = core.require("cluster/etcd_engine"),
  local_ = core.require("cluster/local_engine"),
}

local find, read_settings = Settings.find, Settings.read

-- Is it still configured? Asked at each call, so the answer is kept as long as the configuration is.
local known = {} -- name -> {generation, is there}

local function is_configured(name)
  local generation = conf_generation()
  local entry = known[name]
  if not entry or entry[1] ~= generation then
    entry = { generation, find(name) ~= nil }
    known[name] = entry
  end
  return entry[2]
end

-- -- Objects ----------------------------------------------------------------------------------------------------------

local Cluster, Semaphore = {}, {}
Cluster.__index, Semaphore.__index = Cluster, Semaphore
Cluster.__name, Semaphore.__name = "mtev.cluster", "mtev.cluster.semaphore"

local open = {} -- name -> engine of this thread

-- `...`: what was given behind the `expected` arguments.
local function no_more(name, expected, ...)
  if select("#", ...) == 0 then return end
  local wanted = expected == 0 and "no argument" or "no more arguments"
  error(("bad argument #%d to '%s' (%s expected)"):format(expected + 1, name, wanted), 3)
end

local function engine_of(self, name)
  if getmetatable(self) ~= Cluster then
    error(("calling '%s' on bad self (mtev.cluster expected, got %s)"):format(name, type(self)), 3)
  end
  local engine = open[self.name]
  if not engine or not is_configured(self.name) then error("no such cluster", 3) end
  return engine
end

-- A key as part of a key of the engine's: never empty, so that it cannot be a prefix of all.
local function check_key(value, name, level)
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" or value == "" then
    error(("bad argument #1 to '%s' (key expected, got %s)"):format(name, value == "" and "''" or type(value)), (level or 2) + 1)
  end
  return value
end

-- nil = for ever.
local function duration(timeout)
  if timeout == nil or timeout == math.huge then return nil end
  return math.max(timeout, 0)
end

for _, name in ipairs { "size", "am_i_oldest_visible_node", "nodes", "id", "leave" } do
  Cluster[name] = function(self, ...)
    local engine = engine_of(self, name)
    no_more(name, 0, ...)
    return engine[name](engine)
  end
end

for _, name in ipairs { "owner", "get", "seq" } do
  Cluster[name] = function(self, key, ...)
    local engine = engine_of(self, name)
    no_more(name, 1, ...)
    return engine[name](engine, check_key(key, name))
  end
end

for _, name in ipairs { "on_change", "on_lost" } do
  Cluster[name] = function(self, f, ...)
    local engine = engine_of(self, name)
    no_more(name, 1, ...)
    return engine[name](engine, check.type(f, "function", 1, name))
  end
end

function Cluster:join(timeout, ...)
  local engine = engine_of(self, "join")
  no_more("join", 1, ...)
  return engine:join(duration(check.opt_number(timeout, 1, "join")))
end

local SET_OPTIONS = { ephemeral = "boolean" }

function Cluster:set(key, value, options, ...)
  local engine = engine_of(self, "set")
  no_more("set", 3, ...)
  key, value = check_key(key, "set"), check.opt_string(value, 2, "set")
  options = check.opt_type(options, "table", 3, "set") and check.options(options, SET_OPTIONS, "set")
  return engine:set(key, value, options and options.ephemeral and true or false)
end

function Cluster:cas(key, expected, value, ...)
  local engine = engine_of(self, "cas")
  no_more("cas", 3, ...)
  return engine:cas(check_key(key, "cas"), check.opt_string(expected, 2, "cas"), check.opt_string(value, 3, "cas"))
end

function Cluster:notify(key, ...)
  local engine = engine_of(self, "notify")
  return engine:notify(check_key(key, "notify"), ...)
end

function Cluster:waitfor(key, timeout, ...)
  local engine = engine_of(self, "waitfor")
  no_more("waitfor", 2, ...)
  return engine:waitfor(check_key(key, "waitfor"), duration(check.opt_number(timeout, 2, "waitfor")))
end

function Cluster:semaphore(name, n, ...)
  local engine = engine_of(self, "semaphore")
  no_more("semaphore", 2, ...)
  name, n = check_key(name, "semaphore"), check.opt_number(n, 2, "semaphore") or 1
  if n < 1 or n > 2 ^ 31 or n % 1 ~= 0 then error("bad argument #2 to 'semaphore' (a whole number from 1 expected)", 2) end
  return setmetatable({ cluster = self, name = name, n = n, engine = engine, units = engine:semaphore(name, n) }, Semaphore)
end

function Cluster:__tostring()
  return "mtev.cluster: " .. self.name
end

local function units_of(self, name)
  if getmetatable(self) ~= Semaphore then
    error(("calling '%s' on bad self (mtev.cluster.semaphore expected, got %s)"):format(name, type(self)), 3)
  end
  if open[self.cluster.name] ~= self.engine or not is_configured(self.cluster.name) then error("no such cluster", 3) end
  return self.units
end

function Semaphore:acquire(timeout, ...)
  local units = units_of(self, "acquire")
  no_more("acquire", 1, ...)
  return units:acquire(duration(check.opt_number(timeout, 1, "acquire")))
end

function Semaphore:try_acquire(...)
  local units = units_of(self, "try_acquire")
  no_more("try_acquire", 0, ...)
  return units:acquire(0)
end

function Semaphore:release(...)
  local units = units_of(self, "release")
  no_more("release", 0, ...)
  return units:release()
end

function Semaphore:held(...)
  local units = units_of(self, "held")
  no_more("held", 0, ...)
  return units:held()
end

function Semaphore:__tostring()
  return ("mtev.cluster.semaphore: %s, %d of cluster %s"):format(self.name, self.n, self.cluster.name)
end

-- The cluster of that name, joined or on its way; nil if none is configured.
return function(name)
  local number = find(name)
  if not number then return nil end
  local engine = open[name]
  if not engine or engine:is_left() then
    local settings = read_settings(name, number)
    open[name] = (settings.endpoints and engines.etcd or engines.local_).new(name, settings, function() return is_configured(name) end)
  end
  return setmetatable({ name = name }, Cluster)
end
