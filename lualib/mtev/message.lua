-- The blocking halves of messages, semaphores and shared queues. The C functions push a first value of their own: an
-- interrupted call returns nil, INTERRUPTED, message.

local mtev, core = ...
local INTERRUPTED, unpack = core.INTERRUPTED, unpack
local waitfor, acquire, shared_waitfor = core.waitfor, core.acquire, core.shared_waitfor

local function finish(status, ...)
  if status then return ... end
  if (...) == INTERRUPTED then error(select(2, ...), 0) end
end

-- The first value is the number of values after the key; -1: they are in a table. The usual ones do without varargs,
-- which cost more.
local function pass(count, key, a, b, ...)
  if count == 0 then return key end
  if count == 1 then return key, a end
  if count == 2 then return key, a, b end
  if count == -1 then return key, unpack(a, 1, a.n) end
  if count then return key, a, b, ... end
  if key == INTERRUPTED then error(a, 0) end
end

function mtev.waitfor(key, timeout)
  return pass(waitfor(key, timeout))
end

function mtev.shared_waitfor(key, timeout)
  return finish(shared_waitfor(key, timeout))
end

function core.semaphore_methods.acquire(self, timeout)
  local taken, mark, message = acquire(self, timeout)
  if mark == INTERRUPTED then error(message, 0) end
  return taken
end
