---@meta
-- The threads themselves: mtev.thread_self, thread_stats, eventer_loop_concurrency.

---Which thread this is. Does not yield.
---@return integer thread the kernel's thread id, as `ps -L` shows it
---@return integer tid the loop's number: 0 ... mtev.eventer_loop_concurrency() - 1
---@return string name such as `default/0`
function mtev.thread_self() end

---What each event loop thread does; an extension. The counts are those at the end of its last turn. Does not yield.
---@return {name: string, id: integer, cpu: number, turns: integer, coroutines: integer, sockets: integer, timers: integer}[] threads
---`name` as `mtev.thread_self` has it, `id` the kernel's number, its `thread`; `cpu`: seconds of CPU time; `turns` of the loop; what is there of the rest
function mtev.thread_stats() end

---@return integer n the number of event loop threads (`lhotse -n`)
function mtev.eventer_loop_concurrency() end
