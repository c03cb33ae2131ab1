---@meta
-- Semaphores that all threads share: mtev.semaphore.

-- == Between threads ================================================================================================

---@class mtev.semaphore
local semaphore = {}

---A counting semaphore, shared by all threads under its name. It is created once and never destroyed. Does not yield.
---@param name string
---@param value? integer the initial count, which may be negative; used by the first call only. Default 0
---@return mtev.semaphore
function mtev.semaphore(name, value) end

---Takes one unit; waits, and yields, while there is none. Waiters of all threads are served in order of arrival, each
---directly by a release. No unit is lost when a waiter is cancelled or times out.
---@param timeout? number seconds; nil for ever, 0 tries
---@return boolean taken false on timeout
function semaphore:acquire(timeout) end

---Takes one unit if it can do so immediately. Does not overtake waiting coroutines. Does not yield.
---@return boolean taken
function semaphore:try_acquire() end

---Gives one unit back, to the coroutine that has waited longest if there is one. Any coroutine may, even beyond the
---initial count. Does not yield.
function semaphore:release() end
