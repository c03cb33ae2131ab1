---@meta
-- The threads themselves: mtev.thread_self, thread_stats, eventer_loop_concurrency.

---Identifies the calling thread. Does not yield.
---@return integer thread the kernel's thread id, as `ps -L` shows it
---@return integer tid the loop's number: 0 ... mtev.eventer_loop_concurrency() - 1
---@return string name such as `default/0`
function mtev.thread_self() end

---@class mtev.thread_figures
---@field name string as `mtev.thread_self` has it
---@field id integer the kernel's thread id, as its `thread`
---@field cpu number seconds of CPU time
---@field turns integer turns of the loop
---@field coroutines integer how many it has now
---@field sockets integer likewise
---@field timers integer likewise

---Figures of each event loop thread, as of the end of its last turn. Extension. Does not yield.
---@return mtev.thread_figures[] threads
function mtev.thread_stats() end

---@return integer n the number of event loop threads (`lhotse -n`)
function mtev.eventer_loop_concurrency() end
