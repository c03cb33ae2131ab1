-- mtev.on_stop: functions that run before a signal ends the program (src/runtime/stop.h).

local mtev, core = ...
local check, stop_register, stop_done, spawn = core.check, core.stop_register, core.stop_done, mtev.coroutine_spawn
local pairs = pairs

local hooks = {} -- hook -> true

function mtev.on_stop(f)
  local hook = { run = check.type(f, "function", 1, "on_stop") }
  hooks[hook] = true
  stop_register(1)
  return function()
    if not hooks[hook] then return end
    hooks[hook] = nil
    stop_register(-1)
  end
end

local function report(err)
  if err ~= "coroutine cancelled" then core.report_error(err) end
end

-- The program is to end: the last function to return says that this thread has no more to do.
core.set_stop(function()
  local left = 1
  local function done()
    left = left - 1
    if left == 0 then stop_done() end
  end
  local all = {}
  for hook in pairs(hooks) do all[#all + 1] = hook end
  for _, hook in pairs(all) do
    left = left + 1
    spawn(function()
      local ok, unreported = xpcall(hook.run, report)
      if not ok and unreported ~= nil then core.report_error(unreported) end -- no memory: no handler was called
      done()
    end)
  end
  done()
end)
