-- `lhotse test`: busted specs inside the runtime.
--
-- Each test, with its before_each and after_each, runs in a coroutine of its own, so that it may block and what it owns
-- ends with it. A test that hangs is interrupted after a while: the call it waits in raises, and the report shows
-- where.

local mtev, core = ...
local DEFAULT_TIMEOUT = 30 -- seconds

local function pack(...)
  return { n = select("#", ...), ... }
end

-- Runs f() in a task; returns or raises what f does, and raises if it takes longer than `timeout`.
local function in_task(f, timeout)
  local done = "mtev.test:" .. tostring({})
  local result
  local task = mtev.coroutine_spawn(function()
    mtev.sleep(0) -- our own waiting begins first: a test that counts timers finds the same before and after
    result = pack(pcall(f))
    mtev.notify(done)
  end)
  if not mtev.waitfor(done, timeout) then
    local where = core.traceback(task) or ""
    if not core.interrupt(task, ("test timed out after %g s\n%s"):format(timeout, where)) then
      mtev.cancel_coro(task)
      error(("test timed out after %g s and cannot be interrupted\n%s"):format(timeout, where), 0)
    end
    mtev.waitfor(done, timeout)
  end
  if not result then error("test ended without a result (it was cancelled)", 0) end
  if not result[1] then error(result[2], 0) end
  return unpack(result, 2, result.n)
end

-- busted runs a test element by busted.safe(descriptor, function, element); the inner calls (the test's own function,
-- the hooks) have element.run as their function.
local function run_tests_in_tasks(busted, timeout)
  local safe = busted.safe
  function busted.safe(descriptor, run, element)
    if descriptor ~= "it" or run == element.run then return safe(descriptor, run, element) end
    return safe(descriptor, function() return in_task(run, timeout) end, element)
  end
  return busted
end

-- busted writes with io.write and leaves with os.exit(number of failures), which wraps at 256.
local function exit_sanely()
  local exit = os.exit
  function os.exit(code)
    if type(code) == "number" and code ~= 0 then code = 1 end
    exit(code)
  end
end

return function(arguments, timeout)
  local ok, new_core = pcall(require, "busted.core")
  if not ok then
    error("lhotse test needs busted (Debian: lua-busted): " .. tostring(new_core), 0)
  end
  package.loaded["busted.core"] = function() return run_tests_in_tasks(new_core(), timeout or DEFAULT_TIMEOUT) end
  exit_sanely()
  arg = { [0] = "lhotse test" }
  for i, argument in ipairs(arguments) do arg[i] = argument end
  require("busted.runner") { standalone = false, output = "plainTerminal" }
  os.exit(0)
end
