---@meta
-- For tests: require "mtev.debug".

-- == require "mtev.debug" ===========================================================================================

---@class mtev.debug
local debug = {}

---Counts what is alive in this thread, for leak checks: coroutines of the scheduler that have not ended (including
---the caller), armed timers, open sockets and pipes, running children, running file operations.
---@return {coroutines: integer, timers: integer, sockets: integer, children: integer, jobs: integer}
function debug.counts() end

---Makes the n-th allocation from now, of those that can fail, fail once: for tests of running out of memory. Works
---only in builds of the presets `debug` and `asan`.
---@param n integer 0: none fails
---@return boolean whether this build can
function debug.fail_allocation(n) end

---Where a coroutine waits: from the coroutines inside it down to the place where it was spawned.
---@param co thread
---@return string? traceback nil if it has ended
function debug.traceback(co) end
