---@meta
-- Managed mode: <watchdog>, mtev.watchdog_child_heartbeat, watchdog_timeout.

-- == Watchdog =======================================================================================================
--
-- `lhotse -m FILE` runs managed: a monitor in the background (`-m -m`: in the foreground) starts the program as its
-- worker, and again when it ends with another status than 0 or when one of its event loops has not turned for the
-- timeout. An idle loop is alive. Of a hang and a crash a trace is kept: the tracebacks of all coroutines of that
-- thread, and the C functions. SIGTERM to the monitor ends both; when the monitor dies so does the worker.
-- `<watchdog timeout="5" retries="5" span="60" tracedir="/var/tmp" glider="PROGRAM"/>`: seconds without a turn
-- (MTEV_WATCHDOG_TIMEOUT in the environment wins); so many new starts (a whole number) in so many seconds, then the
-- monitor ends with 1; where traces go, as lhotse.PID.trc; what is run with the worker's pid and `watchdog`, `crash`
-- or `unknown`, before a hung worker is killed. With `interrupt_time="3"` Lua code that runs so many seconds without
-- a turn (under `-m` only) gets the error `interrupted!`, once until the next turn: an endless loop costs its
-- coroutine (or, uncaught, a new start with a traceback). Not in C functions, nor in loops that LuaJIT has compiled:
-- these hang until the timeout. Under systemd (NOTIFY_SOCKET), managed or not: READY=1 when each thread's script has
-- begun, WATCHDOG=1 while all loops turn, STOPPING=1.

---Says that this thread is alive, for code that computes for long without waiting: loops say it by themselves at each
---turn. Does not yield.
---@return integer zero also when nobody looks
function mtev.watchdog_child_heartbeat() end

---How long this thread may go without a turn. Does not yield.
---
---`seconds`: nil when nobody looks: neither a monitor nor systemd's watchdog; 5 under `-m` without a configuration
---@return number? seconds
function mtev.watchdog_timeout() end
