-- cqueues: as lhotse/micro.lua.   luajit micro.lua PROGRAM COUNT
local measure = dofile("bench/measure.lua")
local cqueues, condition = require("cqueues"), require("cqueues.condition")
local name, count = arg[1], tonumber(arg[2])

local programs = {}

function programs.switch()
  local loop = cqueues.new()
  for _ = 1, 100 do
    loop:wrap(function() for _ = 1, count / 100 do cqueues.sleep(0) end end)
  end
  local began = os.clock()
  assert(loop:loop())
  return count / (os.clock() - began)
end

function programs.spawn()
  local loop = cqueues.new()
  local function nothing() end
  local began = os.clock()
  loop:wrap(function()
    for i = 1, count do
      loop:wrap(nothing)
      if i % 100 == 0 then cqueues.sleep(0) end
    end
  end)
  assert(loop:loop())
  return count / (os.clock() - began)
end

function programs.notify()
  local loop, ping, pong = cqueues.new(), condition.new(), condition.new()
  local has_ping, has_pong = false, false
  loop:wrap(function()
    for _ = 1, count do
      while not has_ping do ping:wait() end
      has_ping, has_pong = false, true
      pong:signal()
    end
  end)
  loop:wrap(function()
    for _ = 1, count do
      has_ping = true
      ping:signal()
      while not has_pong do pong:wait() end
      has_pong = false
    end
  end)
  local began = os.clock()
  assert(loop:loop())
  return count / (os.clock() - began)
end

function programs.sleepers()
  local loop = cqueues.new()
  collectgarbage()
  local before = measure.resident()
  for _ = 1, count do loop:wrap(cqueues.sleep, 100) end
  assert(loop:step(0))
  return (measure.resident() - before) / count
end

local function lateness()
  local loop, late = cqueues.new(), {}
  local began = cqueues.monotime()
  for i = 1, count do
    local duration = measure.duration(i, count)
    loop:wrap(function()
      local start = cqueues.monotime()
      cqueues.sleep(duration)
      late[#late + 1] = cqueues.monotime() - start - duration
    end)
  end
  assert(loop:step(0))
  local started = cqueues.monotime() - began
  assert(loop:loop())
  return late, started
end

measure.add_lateness(programs, lateness)

print(("RESULT %.6g"):format(programs[name]()))
