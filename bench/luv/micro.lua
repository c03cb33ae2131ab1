-- luv: as lhotse/micro.lua.   luajit micro.lua PROGRAM COUNT
-- It has no scheduler: coroutines resumed by its handles are what its users write.
local uv = require("luv")
local name, count = arg[1], tonumber(arg[2])

local function resident()
  return uv.resident_set_memory()
end

local function sleep_in(co, seconds)
  local timer = uv.new_timer()
  timer:start(math.ceil(seconds * 1000), 0, function()
    timer:close()
    assert(coroutine.resume(co))
  end)
end

local programs = {}

function programs.sleepers()
  collectgarbage()
  local before = resident()
  for _ = 1, count do
    local co = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(co)
    sleep_in(co, 100)
  end
  return (resident() - before) / count
end

local function lateness(spread)
  local late, started = {}, nil
  local began = uv.hrtime()
  for i = 1, count do
    local duration = 0.5 + spread * ((i * 7919) % count) / count
    local co
    co = coroutine.create(function()
      local start = uv.hrtime()
      coroutine.yield()
      late[#late + 1] = (uv.hrtime() - start) / 1e9 - duration
    end)
    coroutine.resume(co)
    uv.update_time()
    sleep_in(co, duration)
  end
  started = (uv.hrtime() - began) / 1e9
  uv.run()
  table.sort(late)
  return late, started
end

function programs.lateness_p99()
  local late = lateness(2)
  return late[math.ceil(#late * 0.99)] * 1000
end

function programs.million_start()
  local _, started = lateness(2)
  return started
end

function programs.million_mean()
  local late = lateness(2)
  local sum = 0
  for i = 1, #late do sum = sum + late[i] end
  return sum / #late
end

local result = programs[name]()
if result then print(("RESULT %.6g"):format(result)) end
os.exit(0)
