-- The blocking half of semaphores. An interrupted call of core.acquire returns nil, INTERRUPTED, message.

local _, core = ...
local INTERRUPTED, acquire = core.INTERRUPTED, core.acquire

function core.semaphore_methods.acquire(self, timeout)
  local taken, mark, message = acquire(self, timeout)
  if mark == INTERRUPTED then error(message, 0) end
  return taken
end
