-- The blocking half of semaphores. An interrupted call of core.acquire returns nil, INTERRUPTED, message.

local _, core = ...
local check_interrupted, acquire = core.check_interrupted, core.acquire

function core.semaphore_methods.acquire(self, timeout)
  local taken, mark, message = acquire(self, timeout)
  check_interrupted(mark, message)
  return taken
end
