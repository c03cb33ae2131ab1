---@meta
-- Coroutines: mtev.coroutine_spawn, on_stop, cancel_coro, sleep.

-- == Coroutines =====================================================================================================

---Starts `f(...)` in a new coroutine of the scheduler. It runs immediately, on top of the caller, until it first
---waits or ends; then this returns. (Beyond 150 nested starts it is put into the run queue instead.) Does not yield.
---
---Results of `f` are dropped. An error in it ends the program (or, with `--keep-going`, only the coroutine) and never
---reaches the caller. Eventers that it still owns when it ends are closed.
---
---Raises `mtev.coroutine_spawn(func, ...): bad arguments` if `f` is not a function.
---
---Difference: libmtev returns nothing.
---@param f function
---@param ... any passed to f; nils are kept
---@return thread co
function mtev.coroutine_spawn(f, ...) end

---Calls `f`, in a coroutine of its own, when SIGTERM, SIGINT or SIGQUIT tells the program to end. Extension. The
---program ends when all such functions of all threads have returned, or after 4 seconds, or at a second signal.
---Meanwhile everything else goes on. While a function is registered, coroutines that all wait for one another are not
---a deadlock: they may be waiting for the signal. Does not yield.
---@param f fun()
---@return fun() cancel
function mtev.on_stop(f) end

---Cancels a coroutine: its wait is withdrawn, what it owns is closed, and it never resumes. Does not yield.
---
---A coroutine inside `pcall` or `xpcall` gets the error `"coroutine cancelled"` (a string, compare with `==`) so that
---it can clean up: the wait it is in and two more raise; the next one abandons it. A coroutine that cancels itself
---ends at its next wait. Cancelling one that has ended does nothing. A coroutine that a script resumes itself can be
---cancelled too: `coroutine.resume` then returns `false, "coroutine cancelled"`.
---
---Raises `bad argument to mtev.cancel_coro` for anything but a thread or an address.
---
---`co`: a thread of this state, or the address of one of any state, as `%p` prints it: `"0x…"` or decimal
---@param co thread|string
function mtev.cancel_coro(co) end

---Waits. Always yields: with 0, nil or a negative number, every coroutine and descriptor that is ready comes first.
---
---Raises unless given a finite number.
---@param seconds? number
---@return mtev.timeval slept the time slept, never less than `seconds`
function mtev.sleep(seconds) end
