-- Lines logged to a file per second of CPU, of all threads, the writer's included. Prints RESULT <number>.
--   lhotse log.lua COUNT FILE       starts itself: `lhotse -c FILE.xml log.lua write COUNT`
local first, second = ...

if first == "write" then
  local count = tonumber(second)
  local function cpu() -- of the process, in seconds
    local times = { io.open("/proc/self/stat"):read("*a"):match("%) " .. ("%S+ "):rep(11) .. "(%d+) (%d+)") }
    return (times[1] + times[2]) / 100
  end
  local began = cpu()
  for i = 1, count do mtev.log("bench", "a line of the usual length, number %d of %s\n", i, "many") end
  while io.open("/proc/self/fdinfo/1") and mtev.stat(ENV.BENCH_LOG).size < count * 49 do mtev.sleep(0.001) end -- all is written
  print(("RESULT %.6g"):format(count / (cpu() - began)))
  os.exit(0)
end

local log = second or "/dev/shm/lhotse-bench.log"
local config = io.open(log .. ".xml", "w")
config:write(("<bench><logs><log name='bench' type='file' path='%s'/></logs></bench>"):format(log))
config:close()
local program = io.popen("readlink /proc/" .. io.open("/proc/self/stat"):read("*n") .. "/exe"):read("*l")
local status = os.execute(("BENCH_LOG=%s %s -c %s.xml bench/lhotse/log.lua write %s"):format(log, program, log, first))
os.remove(log)
os.remove(log .. ".xml")
os.exit(status == 0)
