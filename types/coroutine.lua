---@meta
-- Coroutines: mtev.coroutine_spawn, on_stop, cancel_coro, sleep.

-- == Coroutines =====================================================================================================

---Starts `f(...)` in a new coroutine of the scheduler. It runs at once, on top of the caller, until it first waits or
---ends; then this returns. (Beyond 151 starts inside one another it is put into the run queue instead.) Does not
---yield.
---
---What `f` returns is dropped. What it raises ends the program (or, with `--keep-going`, only the coroutine): it
---never reaches the caller. Eventers that it still owns when it ends are closed.
---
---Raises `mtev.coroutine_spawn(func, ...): bad arguments` if `f` is not a function.
---
---Difference: libmtev returns nothing.
---@param f function
---@param ... any passed to f; nils are kept
---@return thread co
function mtev.coroutine_spawn(f, ...) end

---Has `f` called, in a coroutine of its own, when SIGTERM, SIGINT or SIGQUIT tell the program to end; an extension.
---The program ends when all such functions of all threads have returned, or after 4 seconds, or at a second signal.
---Meanwhile everything goes on. With one registered, coroutines that all wait for one another are no deadlock: they
---may wait for the signal. Does not yield.
---@param f fun()
---@return fun() cancel
function mtev.on_stop(f) end

---Cancels a coroutine: what it waits for is withdrawn, what it owns is closed, and it never resumes. Does not yield.
---
---A coroutine inside `pcall` or `xpcall` gets the error `"coroutine cancelled"` (a string, compare with `==`) so that
---it can clean up: the wait it is in and two more raise; the next one abandons it. A coroutine that cancels itself
---ends at its next wait. Cancelling one that has ended does nothing. One that a script resumes itself can be
---cancelled too: `coroutine.resume` then gives `false, "coroutine cancelled"`.
---
---Raises `bad argument to mtev.cancel_coro` for anything but a thread or an address.
---
---`co`: a thread of this state, or the address of one of any state as `%p` prints it: `"0x…"` or decimal
---@param co thread|string
function mtev.cancel_coro(co) end

---Waits. Yields, always: with 0, nil or a negative number every coroutine and every descriptor that is ready comes
---first.
---
---Raises for NaN, infinity and what is not a number.
---@param seconds? number
---@return mtev.timeval slept the time slept, never less than `seconds`
function mtev.sleep(seconds) end
