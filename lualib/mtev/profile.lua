-- jit.profile: LuaJIT's, with samples of this thread's own CPU time (src/mtev/profile.c).

local _, core = ...
local open = package.preload["jit.profile"]
local DEFAULT_INTERVAL = 10 -- milliseconds, LuaJIT's

package.preload["jit.profile"] = function(...)
  local profile = open(...) or package.loaded["jit.profile"]
  local start, stop = profile.start, profile.stop

  function profile.start(mode, callback)
    local interval = type(mode) == "string" and tonumber(mode:match("i(%d+)")) or DEFAULT_INTERVAL
    core.profile_begin()
    start(mode, callback)
    core.profile_timer(math.max(1, interval))
  end

  function profile.stop()
    stop()
    core.profile_end()
  end

  return profile
end
