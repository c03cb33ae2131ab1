---@meta
-- Managed mode: <watchdog>, mtev.watchdog_child_heartbeat, watchdog_timeout.

-- == Watchdog =======================================================================================================
--
-- `lhotse -m FILE` runs managed: a monitor in the background (`-m -m`: in the foreground) starts the program as its
-- worker, and restarts it when it ends with a status other than 0 or when one of its event loops has not turned for
-- the timeout. An idle loop is alive. After a hang or crash a trace is kept: the tracebacks of all coroutines of that
-- thread, and the C functions. SIGTERM to the monitor ends both; when the monitor dies, so does the worker.
-- `<watchdog timeout="5" retries="5" span="60" tracedir="/var/tmp" glider="PROGRAM"/>`: timeout: seconds without a
-- turn (overridden by MTEV_WATCHDOG_TIMEOUT in the environment); retries, span: after more than so many restarts (a
-- whole number) in so many seconds the monitor exits with 1; tracedir: where traces are written, as lhotse.PID.trc;
-- glider: a program that is run with the worker's pid and `watchdog`, `crash` or `unknown`, before a hung worker is
-- killed. With `interrupt_time="3"`, Lua code that runs for so many seconds without a turn (under `-m` only) gets the
-- error `interrupted!`, once until the next turn: an endless loop costs its coroutine (or, uncaught, a restart with a
-- traceback). This does not work in C functions, nor in loops that LuaJIT has compiled: these hang until the timeout.
-- Under systemd (NOTIFY_SOCKET), managed or not: READY=1 when each thread's script has begun, WATCHDOG=1 while all
-- loops turn, STOPPING=1.

---Reports that this thread is alive, for code that computes for long without waiting; loops report it by themselves
---at each turn. Does not yield.
---@return integer zero also if there is no watchdog
function mtev.watchdog_child_heartbeat() end

---How long this thread may go without a turn. Does not yield.
---
---`seconds`: nil if there is neither a monitor nor systemd's watchdog; 5 under `-m` without a configuration
---@return number? seconds
function mtev.watchdog_timeout() end
