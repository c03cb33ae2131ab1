-- Where an interrupted call raises. The C half of a blocking function returns three values when its wait was
-- interrupted (by a cancel, or because something raised while the results were made): anything, INTERRUPTED, the error.
-- Its Lua half passes the last two to check_interrupted; so the error has the place of the call.

local _, core = ...
local INTERRUPTED, error = core.INTERRUPTED, error
local await = core.await

local function check_interrupted(mark, message)
  if mark == INTERRUPTED then error(message, 0) end
end

core.check_interrupted = check_interrupted

-- await(condition, timeout) -> true; false when the timeout passed first.
function core.await(condition, timeout)
  local came, mark, message = await(condition, timeout)
  if came then return true end
  check_interrupted(mark, message)
  return false
end
