-- The blocking half of messages. core.waitfor pushes a first value of its own: an interrupted call returns nil,
-- INTERRUPTED, message.

local mtev, core = ...
local check_interrupted, unpack, waitfor = core.check_interrupted, unpack, core.waitfor

-- The first value is the number of values after the key; -1: they are in a table. The usual ones do without varargs,
-- which cost more.
local function pass(count, key, a, b, ...)
  if count == 0 then return key end
  if count == 1 then return key, a end
  if count == 2 then return key, a, b end
  if count == -1 then return key, unpack(a, 1, a.n) end
  if count then return key, a, b, ... end
  check_interrupted(key, a)
end

function mtev.waitfor(key, timeout)
  return pass(waitfor(key, timeout))
end
