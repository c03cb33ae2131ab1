---@meta
-- Messages inside one thread: mtev.notify, waitfor.

-- == Messages inside one thread =====================================================================================

---Hands `key, ...` to the coroutine that has waited longest for `key`, or queues it (any number, first in, first out)
---for the next `mtev.waitfor`. Does not yield; the waiter runs once the caller waits or ends. Legal everywhere, also
---where nothing can yield. Values are passed by reference. Without arguments it does nothing.
---
---Raises `notify called without key` if key is nil, `bad argument #1 to 'notify' (string expected, got table)` and
---the like if it is neither a string nor a number, and `at most 7900 values` for more.
---
---Difference: libmtev may run the waiter inside notify.
---@param key string
---@param ... any nils are kept, in the middle and at the end
function mtev.notify(key, ...) end

---Takes the oldest message for `key`, or waits for one. Yields if there is none. Several coroutines may wait for one
---key; they are served in order of arrival.
---@param key string
---@param timeout? number seconds; nil for ever, 0 polls
---@return string key and what notify was given after it; no value at all on timeout
---@return any ...
function mtev.waitfor(key, timeout) end
