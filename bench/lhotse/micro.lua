-- lhotse: small programs that measure themselves and print RESULT <number>.   lhotse micro.lua PROGRAM COUNT
local measure = dofile("bench/measure.lua")
local name, count = ...
count = tonumber(count) or 0

local function cpu() return os.clock() end

local programs = {}

-- Switches per second of CPU: 100 coroutines that yield to one another.
function programs.switch()
  local left = 100
  local began = cpu()
  for _ = 1, 100 do
    mtev.coroutine_spawn(function()
      for _ = 1, count / 100 do mtev.sleep(0) end
      left = left - 1
      if left == 0 then mtev.notify("done") end
    end)
  end
  mtev.waitfor("done")
  return count / (cpu() - began)
end

-- Coroutines per second of CPU that start, do nothing and end.
function programs.spawn()
  local function nothing() end
  local began = cpu()
  for _ = 1, count do mtev.coroutine_spawn(nothing) end
  return count / (cpu() - began)
end

-- Round trips per second of CPU between two coroutines: two messages each.
function programs.notify()
  local began = cpu()
  mtev.coroutine_spawn(function()
    for _ = 1, count do
      mtev.waitfor("ping")
      mtev.notify("pong")
    end
  end)
  for _ = 1, count do
    mtev.notify("ping")
    mtev.waitfor("pong")
  end
  return count / (cpu() - began)
end

-- Round trips per second of wall time between two threads, by semaphores (run with -n 2).
function programs.semaphores()
  local _, tid = mtev.thread_self()
  local ping, pong = mtev.semaphore("ping", 0), mtev.semaphore("pong", 0)
  if tid == 1 then
    for _ = 1, count do
      ping:acquire()
      pong:release()
    end
    return
  end
  local began = mtev.time()
  for _ = 1, count do
    ping:release()
    pong:acquire()
  end
  return count / (mtev.time() - began)
end

-- The same by messages.
function programs.messages()
  local _, tid = mtev.thread_self()
  if tid == 1 then
    for _ = 1, count do mtev.shared_notify("pong", mtev.shared_waitfor("ping")) end
    return
  end
  local began = mtev.time()
  for i = 1, count do
    mtev.shared_notify("ping", i)
    mtev.shared_waitfor("pong")
  end
  return count / (mtev.time() - began)
end

-- Resident bytes per sleeping coroutine.
function programs.sleepers()
  collectgarbage()
  local before = measure.resident()
  for _ = 1, count do mtev.coroutine_spawn(mtev.sleep, 100) end
  return (measure.resident() - before) / count, true
end

-- Sleepers that wake spread over two seconds; none may be early.
local function lateness()
  local late, n = {}, 0
  local began = mtev.time()
  local done = 0
  for i = 1, count do
    local duration = measure.duration(i, count)
    mtev.coroutine_spawn(function()
      local slept = mtev.sleep(duration):seconds() - duration
      if slept < 0 then error("woke early") end
      n = n + 1
      late[n] = slept
      done = done + 1
      if done == count then mtev.notify("done") end
    end)
  end
  local started = mtev.time() - began
  mtev.waitfor("done")
  return late, started
end

measure.add_lateness(programs, lateness)

local result, is_final = programs[name]()
if result then
  printf("RESULT %.6g", result)
  if is_final or name == "semaphores" or name == "messages" then os.exit(0) end
end
