-- cqueues: as lhotse/micro.lua.   luajit micro.lua PROGRAM COUNT
local cqueues, condition = require("cqueues"), require("cqueues.condition")
local name, count = arg[1], tonumber(arg[2])

local function resident()
  local f = io.open("/proc/self/statm")
  local _, pages = f:read("*n", "*n")
  f:close()
  return pages * 4096
end

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
  local before = resident()
  for _ = 1, count do loop:wrap(cqueues.sleep, 100) end
  assert(loop:step(0))
  return (resident() - before) / count
end

local function lateness(spread)
  local loop, late = cqueues.new(), {}
  local began = cqueues.monotime()
  for i = 1, count do
    local duration = 0.5 + spread * ((i * 7919) % count) / count
    loop:wrap(function()
      local start = cqueues.monotime()
      cqueues.sleep(duration)
      late[#late + 1] = cqueues.monotime() - start - duration
    end)
  end
  assert(loop:step(0))
  local started = cqueues.monotime() - began
  assert(loop:loop())
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

print(("RESULT %.6g"):format(programs[name]()))
