-- luv: as lhotse/micro.lua.   luajit micro.lua PROGRAM COUNT
-- It has no scheduler: coroutines resumed by its handles are what its users write.
local measure = dofile("bench/measure.lua")
local uv = require("luv")
local name, count = arg[1], tonumber(arg[2])

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
  local before = measure.resident()
  for _ = 1, count do
    local co = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(co)
    sleep_in(co, 100)
  end
  return (measure.resident() - before) / count
end

local function lateness()
  local late, started = {}, nil
  local began = uv.hrtime()
  for i = 1, count do
    local duration = measure.duration(i, count)
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
  return late, started
end

measure.add_lateness(programs, lateness)

local result = programs[name]()
if result then print(("RESULT %.6g"):format(result)) end
os.exit(0)
