-- What a peer can make this process keep.

local memory = {}

-- MiB of memory that are really there.
function memory.resident()
  local file = assert(io.open("/proc/self/statm"))
  local pages = tonumber(file:read("*a"):match("^%d+ (%d+)"))
  file:close()
  return pages * 4096 / 2 ^ 20
end

-- Under a sanitizer freed memory stays for a while, and every block is larger.
memory.is_exact = os.getenv("LHOTSE_SLOW_BUILD") == nil

-- Runs f(); how many MiB more there were, at most, while it ran.
function memory.growth(f)
  collectgarbage()
  collectgarbage()
  local before, most = memory.resident(), 0
  local watcher = mtev.coroutine_spawn(function()
    while true do
      most = math.max(most, memory.resident() - before)
      mtev.sleep(0.01)
    end
  end)
  f()
  mtev.cancel_coro(watcher)
  return math.max(most, memory.resident() - before)
end

return memory
