-- require "mtev.debug": what is alive in this thread, for leak checks and for a look at what hangs.

local _, core = ...

local M = {}

-- {coroutines =, timers =, sockets =, children =, jobs =}: coroutines of the scheduler that have not ended (the caller
-- included), armed timers, open sockets and pipes, children that run, file operations under way.
function M.counts()
  local coroutines, timers, sockets, children, jobs = core.counts()
  return { coroutines = coroutines, timers = timers, sockets = sockets, children = children, jobs = jobs }
end

-- The traceback of a coroutine that mtev.coroutine_spawn returned, or nil when it has ended.
function M.traceback(co)
  return core.traceback(co)
end

-- For tests of what happens without memory: the n-th allocation from now fails, once; 0: none. False in a release
-- build, which cannot.
function M.fail_allocation(n)
  return core.fail_allocation(n)
end

return M
