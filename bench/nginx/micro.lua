-- nginx+lua: the programs of lhotse/micro.lua that it has the means for. `program` and `count` come from nginx.conf.
local measure = dofile("bench/measure.lua")
local semaphore = require("ngx.semaphore")
local spawn, sleep, wait = ngx.thread.spawn, ngx.sleep, ngx.thread.wait

local function cpu() return os.clock() end

local programs = {}

function programs.switch()
  local threads = {}
  local began = cpu()
  for i = 1, 100 do
    threads[i] = spawn(function() for _ = 1, count / 100 do sleep(0) end end)
  end
  for i = 1, 100 do wait(threads[i]) end
  return count / (cpu() - began)
end

function programs.spawn()
  local function nothing() end
  local began = cpu()
  for _ = 1, count do wait(spawn(nothing)) end
  return count / (cpu() - began)
end

function programs.notify()
  local ping, pong = semaphore.new(), semaphore.new()
  local began = cpu()
  local other = spawn(function()
    for _ = 1, count do
      ping:wait(10)
      pong:post(1)
    end
  end)
  for _ = 1, count do
    ping:post(1)
    pong:wait(10)
  end
  wait(other)
  return count / (cpu() - began)
end

function programs.sleepers()
  collectgarbage()
  local before = measure.resident()
  for _ = 1, count do spawn(function() sleep(100) end) end
  return (measure.resident() - before) / count
end

if program == "dns" then programs.dns = dofile("bench/nginx/dns.lua") end

ngx.timer.at(0, function()
  local ok, result = pcall(programs[program])
  if ok then io.stdout:write(("RESULT %.1f\n"):format(result)) else io.stderr:write(tostring(result), "\n") end
  io.stdout:flush()
  os.exit(0)
end)
