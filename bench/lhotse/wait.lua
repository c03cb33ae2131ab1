-- How long after a child's last instruction proc:wait returns, on a loop that serves an echo load meanwhile.
--   lhotse wait.lua COUNT LAST_WORDS    LAST_WORDS: the program of bench/c/last_words.c
--   lhotse wait.lua load PORT           the load: 64 connections, a line each about every 2 ms
local CONNECTIONS, PAUSE = 64, 0.002

local function load(port)
  for _ = 1, CONNECTIONS do
    mtev.coroutine_spawn(function()
      local e = mtev.socket("inet")
      assert(e:connect("127.0.0.1", port) == 0)
      while e:write(("x"):rep(63) .. "\n") == 64 and e:read("\n") do mtev.sleep(PAUSE) end
    end)
  end
end

if arg[1] == "load" then return load(tonumber(arg[2])) end

local count, last_words = tonumber(arg[1]), arg[2]

ffi.cdef [[
typedef struct { long sec; long nsec; } wait_timespec;
int clock_gettime(int, wait_timespec *);
]]
local t = ffi.new("wait_timespec")
local function monotonic_ns()
  ffi.C.clock_gettime(1, t)
  return tonumber(t.sec) * 1e9 + tonumber(t.nsec)
end

local lines = 0
local listener = mtev.socket("inet")
assert(listener:bind("127.0.0.1", 0) == 0 and listener:listen(CONNECTIONS) == 0)
local _, port = listener:sock_name()
mtev.coroutine_spawn(function()
  local own = listener:own()
  while true do
    local e = own:accept()
    mtev.coroutine_spawn(function()
      local client = e:own()
      while true do
        local line = client:read("\n")
        if not line then return end
        client:write(line)
        lines = lines + 1
      end
    end)
  end
end)

local load_process = mtev.spawn("/proc/self/exe", { "lhotse", "bench/lhotse/wait.lua", "load", tostring(port) }, nil,
  { stdin = "null", stdout = "inherit", stderr = "inherit" })
while lines < 10000 do mtev.sleep(0.01) end

local late = {}
local began, served = monotonic_ns(), lines
for i = 1, count do
  local proc, _, out_e = mtev.spawn(last_words)
  assert(proc:wait(60) == 0)
  local returned = monotonic_ns()
  late[i] = (returned - tonumber(out_e:read("\n"))) / 1e6
  out_e:close()
end
local rate = (lines - served) / ((monotonic_ns() - began) / 1e9)
load_process:kill()
table.sort(late)
print(("proc:wait returns %.3f ms after the child's last instruction in the median, %.3f ms at p99, %.3f ms at most")
  :format(late[math.ceil(count / 2)], late[math.ceil(count * 0.99)], late[count]))
print(("%d children, while %d lines a second were echoed"):format(count, rate))
os.exit(0)
