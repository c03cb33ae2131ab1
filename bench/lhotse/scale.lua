-- How throughput grows with threads: N loops share a port by SO_REUSEPORT, and each request costs some Lua. A program of this file
-- serves (`lhotse -n N scale.lua server PORT`), this one asks over 32 connections.
--   lhotse bench/lhotse/scale.lua [CORES]      default: 1, 2 ... of this machine

local WORK, SECONDS, CONNECTIONS, ROUNDS = 100000, 2, 32, 5

local function work()
  local x = 0
  for i = 1, WORK do x = x + i % 7 end
  return x
end

local function answer(e)
  while true do
    local line = e:read("\n")
    if not line then return end
    if line == "stats\n" then
      e:write(mtev.tojson(mtev.thread_stats()):tostring() .. "\n")
    else
      e:write(work() .. "\n")
    end
  end
end

local function serve(port)
  local listener = mtev.socket("inet")
  listener:setsockopt("SO_REUSEPORT", 1)
  assert(listener:bind("127.0.0.1", port) == 0)
  listener:listen(128)
  while true do
    local e = listener:accept()
    mtev.coroutine_spawn(function() answer(e:own()) end)
  end
end

local function connect(port)
  while true do
    local e = mtev.socket("inet")
    if e:connect("127.0.0.1", port, 10) == 0 then return e end
    e:close()
    mtev.sleep(0.01)
  end
end

local function measure(program, threads)
  local port = 20000 + math.random(10000)
  local child = mtev.spawn(program, { "lhotse", "-n", tostring(threads), "bench/lhotse/scale.lua", "server", tostring(port) }, nil,
    { stdin = "null", stdout = "null", stderr = "inherit" })
  local count, running, is_over = 0, 0, false
  connect(port):close()
  mtev.sleep(0.3) -- all threads listen
  for _ = 1, CONNECTIONS do
    running = running + 1
    mtev.coroutine_spawn(function()
      local e = connect(port)
      while not is_over do
        e:write("work\n")
        e:read("\n")
        count = count + 1
      end
      e:close()
      running = running - 1
    end)
  end
  mtev.sleep(0.5)
  local before, started = count, mtev.time()
  mtev.sleep(SECONDS)
  local rate = (count - before) / (mtev.time() - started)
  is_over = true
  while running > 0 do mtev.sleep(0.01) end
  local e = connect(port)
  e:write("stats\n")
  local stats = mtev.parsejson(e:read("\n")):document()
  child:kill(9)
  child:wait(60)
  return rate, stats
end

if arg[1] == "server" then return serve(tonumber(arg[2])) end

local cores = tonumber(arg[1]) or select(2, io.open("/proc/cpuinfo"):read("*a"):gsub("processor%s*:", ""))
local program = io.popen("readlink /proc/" .. io.open("/proc/self/stat"):read("*n") .. "/exe"):read("*l")
print(("| threads | requests/s, median of %d rounds | to one thread | CPU of each thread, last round |"):format(ROUNDS))
print("|---|---|---|---|")
local one
for threads = 1, cores do
  local rates, stats = {}, nil
  for round = 1, ROUNDS do rates[round], stats = measure(program, threads) end
  table.sort(rates)
  local rate = rates[math.ceil(ROUNDS / 2)]
  one = one or rate
  local cpu = {}
  for i, thread in ipairs(stats) do cpu[i] = ("%.1f s"):format(thread.cpu) end
  print(("| %d | %.0f [%.0f..%.0f] | %.2f | %s |"):format(threads, rate, rates[1], rates[ROUNDS], rate / one, table.concat(cpu, ", ")))
end
os.exit(0)
