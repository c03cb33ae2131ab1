-- The blocking half of the queues that threads share. core.shared_waitfor pushes a first value of its own: an interrupted call
-- returns nil, INTERRUPTED, message.

local mtev, core = ...
local INTERRUPTED, shared_waitfor = core.INTERRUPTED, core.shared_waitfor

local function finish(status, ...)
  if status then return ... end
  if (...) == INTERRUPTED then error(select(2, ...), 0) end
end

function mtev.shared_waitfor(key, timeout)
  return finish(shared_waitfor(key, timeout))
end
