---@meta
-- Values, sequences and messages between threads: mtev.shared_set, _get, _seq, _notify, _waitfor.

---Stores a deep copy of `value` under `key`, for all threads. nil deletes. Does not yield.
---
---Copies booleans, numbers, strings and tables with string and number keys, without metatables. A table with a
---function in its field `serialize` (or its metatable's) is replaced by `value:serialize()`, which must return a
---table.
---
---Raises unless given exactly two arguments. For functions, userdata, threads, other keys and cycles it raises with
---the path (`cannot share value.a.b: function`), and the old value stays.
---@param key string
---@param value nil|boolean|number|string|table
function mtev.shared_set(key, value) end

---A fresh deep copy of what is stored under `key`, or nil. Does not yield.
---@param key string
---@return any value
function mtev.shared_get(key) end

---0, 1, 2 ... for each key: no two callers of any thread get the same. Does not yield.
---@param key string
---@return integer seq
function mtev.shared_seq(key) end

---Like `mtev.notify`, to any thread, with one value, which is copied as by `mtev.shared_set`. Does not yield. Each
---message reaches exactly one waiter, the one that has waited longest.
---@param key string
---@param value any
function mtev.shared_notify(key, value) end

---Like `mtev.waitfor`, for messages of `mtev.shared_notify`; it returns the value without the key. Yields if there is
---none.
---@param key string
---@param timeout? number seconds; nil or negative for ever, 0 polls
---@return any value nil on timeout; no value at all when a poll finds nothing
function mtev.shared_waitfor(key, timeout) end
