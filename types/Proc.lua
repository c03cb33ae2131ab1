---@meta
-- A server program under test and its log lines: mtev.Proc, mtev.LogWatch.

---@class mtev.Proc
---A server program under test. A coroutine reads its stderr line by line and gives each line to the listeners, in the
---order in which they came; a listener may block, lines wait. The last line counts without a newline too; one longer
---than 1 MiB comes in pieces. A listener that raises is reported once to `error` and dropped. A Proc that Lua's
---collector takes kills its process.
---@field proc? mtev.process
---@field dir string
local Proc = {}
mtev.Proc = Proc

---@class mtev.Proc.options
---@field path string
---@field argv? string[] default: `{path}`
---@field dir? string working directory, default ours; a relative path is looked up in ours
---@field env? table as for spawn, default ENV
---@field boot_match? string Lua pattern that tells from a line of stderr that it is ready, default `"ready"`
---@field boot_timeout? number seconds, default 5
---@field stdout? string|function extension: `"log:NAME"` or a function for each line; default discarded

---Does not start anything yet. Does not yield.
---
---Raises `path not set`, and for options of a wrong type. Options it does not know are reported to the log `error`,
---once each. Fields that are not named here are its own.
---@param opts mtev.Proc.options
---@return mtev.Proc
function Proc:new(opts) end

---Starts it, once. Its stdin is empty. Does not yield.
---
---Raises `can't start already started proc` and `Could not start process: PATH: why`.
---@return mtev.Proc self
function Proc:start() end

---Waits until a line of stderr has matched boot_match, boot_timeout from now at most. If none does, or stderr ends
---before, the process is killed (`kill(10)`) and `pid` is -1 from then on. May be asked again: same answer. Yields if
---it has to wait.
---@return boolean is_ready
function Proc:ready() end

---SIGTERM to the process; if it has not ended after `timeout`, SIGKILL to its group and the same time again. Yields.
---@param timeout? number seconds; default 2
---@return boolean? ok it has ended; nothing when it was never started
---@return integer? status exit code, or the raw status after an end by a signal
---@return integer? errno ETIMEDOUT
function Proc:kill(timeout) end

---Yields if it has to wait.
---@param timeout? number seconds; nil or 0 only looks
---@return boolean? ok it has exited by itself; nil when it was never started
---@return integer? status exit code, or the raw status after an end by a signal
---@return integer? errno ETIMEDOUT
function Proc:wait(timeout) end

---@return integer pid -1 when it was not started or did not become ready
function Proc:pid() end

---SIGSTOP to the process group. Does not yield.
---@return boolean? ok nothing when it was never started
---@return integer? errno
function Proc:pause() end

---SIGCONT to the process group. Does not yield.
---@return boolean? ok
---@return integer? errno
function Proc:resume() end

---Listeners that are added before the first wait after `start` hear every line.
---@param f fun(line: string) for each line of stderr from now on, newline included
---@return mtev.Proc self
function Proc:loglisten(f) end

---@param stream string a log stream
---@param prefix? string put before each line, as it is
---@return mtev.Proc self
function Proc:loglog(stream, prefix) end

---Writes each line to a file. What cannot be written (a full disk) is reported once to `error`; the process goes on.
---Does not yield.
---
---Raises `Could not open: PATH: why`.
---@param file string made or emptied now; relative to `dir`
---@return mtev.Proc self
function Proc:logwrite(file) end

---@class mtev.LogWatch
local LogWatch = {}
mtev.LogWatch = LogWatch

---Queues the lines that match from now on, until somebody takes them.
---
---Raises for an expression that cannot be compiled.
---
---`regex`: an expression as for mtev.pcre, matched afresh for each line; or a function
---@param regex string|fun(line: string): any
---@param limit? integer how many matches; default any number
---@return mtev.LogWatch
function Proc:logwatch(regex, limit) end

---The oldest line not taken yet; waits for one. Yields then.
---@param timeout? number seconds; nil for ever, 0 only looks
---@return string? line newline included; nil when time is up, or when stderr has ended
function LogWatch:wait(timeout) end

---No more matches; those queued are dropped.
function LogWatch:stop() end
