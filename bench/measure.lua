-- What the Lua programs of bench/ share. They run in the project's folder.
local M = {}

-- The process's resident bytes.
function M.resident()
  local f = io.open("/proc/self/statm")
  local _, pages = f:read("*n", "*n")
  f:close()
  return pages * 4096
end

-- How long sleeper i of `count` sleeps, in seconds: spread over two of them, in no order.
function M.duration(i, count)
  return 0.5 + 2 * ((i * 7919) % count) / count
end

-- The p99 of a list of seconds, in milliseconds.
function M.p99_ms(list)
  table.sort(list)
  return list[math.ceil(#list * 0.99)] * 1000
end

function M.mean(list)
  local sum = 0
  for i = 1, #list do sum = sum + list[i] end
  return sum / #list
end

-- The programs about sleepers, of a function lateness() -> list of seconds, seconds to start them all.
function M.add_lateness(programs, lateness)
  function programs.lateness_p99() return M.p99_ms((lateness())) end
  function programs.million_mean() return M.mean((lateness())) end
  function programs.million_start() return select(2, lateness()) end
end

return M
