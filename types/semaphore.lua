---@meta
-- Semaphores that all threads share: mtev.semaphore.

-- == Between threads ================================================================================================

---@class mtev.semaphore
local semaphore = {}

---A counting semaphore that all threads share by its name. It is made once and never destroyed. Does not yield.
---@param name string
---@param value? integer the first count, which may be negative; used by the first call only. Default 0
---@return mtev.semaphore
function mtev.semaphore(name, value) end

---Takes one unit; waits while there is none. Yields then. Waiters of all threads are served in the order in which
---they came, each directly from a release. A waiter that is cancelled or whose time is over loses no unit.
---@param timeout? number seconds; nil for ever, 0 tries
---@return boolean taken false on timeout
function semaphore:acquire(timeout) end

---Takes one unit if that is possible at once. Does not overtake coroutines that wait. Does not yield.
---@return boolean taken
function semaphore:try_acquire() end

---Gives one unit back, to the coroutine that has waited longest if there is one. Anyone may, also above the first
---count. Does not yield.
function semaphore:release() end
