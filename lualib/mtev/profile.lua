-- jit.profile: LuaJIT's, with samples of this thread's own CPU time (src/mtev/profile.c).

local _, core = ...
local check = core.check
local ffi = require("ffi")
local is_over = ffi.cast("const volatile int *", core.profile_is_over)
local open = package.preload["jit.profile"]
local DEFAULT_INTERVAL = 10 -- milliseconds, LuaJIT's

package.preload["jit.profile"] = function(...)
  local profile = open(...) or package.loaded["jit.profile"]
  local start, stop = profile.start, profile.stop

  function profile.start(mode, callback)
    mode = check.opt_string(mode, 1, "start") or "f"
    check.type(callback, "function", 2, "start")
    local interval = tonumber(mode:match("i(%d+)")) or DEFAULT_INTERVAL
    if not core.profile_begin() then error("jit.profile: another thread is profiling", 2) end
    -- "l": code that is compiled meanwhile looks for samples in every line, so that a signal can end a loop
    local ok, problem = pcall(start, mode .. "l", function(thread, ...)
      if is_over[0] ~= 0 then core.profile_exit(thread) end
      return callback(thread, ...)
    end)
    if not ok then
      core.profile_end()
      error(problem, 2)
    end
    core.profile_timer(math.max(1, interval))
  end

  function profile.stop()
    stop()
    core.profile_end()
  end

  return profile
end
