-- The blocking half of the queues that threads share. core.shared_waitfor pushes a first value of its own: an
-- interrupted call returns nil, INTERRUPTED, message.

local mtev, core = ...
local check_interrupted, shared_waitfor = core.check_interrupted, core.shared_waitfor

local function finish(status, ...)
  if status then return ... end
  check_interrupted(...)
end

function mtev.shared_waitfor(key, timeout)
  return finish(shared_waitfor(key, timeout))
end
