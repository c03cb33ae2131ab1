---@meta
-- For tests: require "mtev.debug".

-- == require "mtev.debug" ===========================================================================================

---@class mtev.debug
local debug = {}

---What is alive in this thread, for leak checks: coroutines of the scheduler that have not ended (the caller too),
---armed timers, open sockets and pipes, children that run, file operations under way.
---@return {coroutines: integer, timers: integer, sockets: integer, children: integer, jobs: integer}
function debug.counts() end

---Makes the n-th allocation from now, of those that can fail, fail once: for tests of what happens without memory.
---Only a build of the preset `debug` or `asan` can.
---@param n integer 0: none
---@return boolean it can
function debug.fail_allocation(n) end

---Where a coroutine waits: through the coroutines inside it, down to the place where it was spawned.
---@param co thread
---@return string? traceback nil when it has ended
function debug.traceback(co) end
