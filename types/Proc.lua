---@meta
-- A server program under test and its log lines: mtev.Proc, mtev.LogWatch.

---@class mtev.Proc
---A server program under test. A coroutine reads its stderr line by line and passes each line to the listeners, in
---the order in which they were added; a listener may block, and lines wait. A last line without a newline is passed
---on too; a line longer than 1 MiB arrives in pieces. A listener that raises is reported once in `error` and dropped.
---When a Proc is garbage-collected, its process is killed.
---@field proc? mtev.process
---@field dir string
local Proc = {}
mtev.Proc = Proc

---@class mtev.Proc.options
---@field path string
---@field argv? string[] default: `{path}`
---@field dir? string working directory, default ours; a relative path is looked up in ours
---@field env? table as for spawn, default ENV
---@field boot_match? string Lua pattern for the line of stderr that means it is ready, default `"ready"`
---@field boot_timeout? number seconds, default 5
---@field stdout? string|function extension: `"log:NAME"` or a function for each line; default discarded

---Prepares a Proc; `start` starts it. Does not yield.
---
---Raises `path not set`, and for options of a wrong type. Unknown options are reported in the log `error`, once each.
---Fields not documented here are private.
---@param opts mtev.Proc.options
---@return mtev.Proc
function Proc:new(opts) end

---Starts it, once. Its stdin is empty. Does not yield.
---
---Raises `can't start already started proc` and `Could not start process: PATH: why`.
---@return mtev.Proc self
function Proc:start() end

---Waits, at most boot_timeout from now, until a line of stderr has matched boot_match. If none does, or stderr ends
---first, the process is killed (`kill(10)`) and `pid` is -1 from then on. Later calls return the same. Yields if it
---has to wait.
---@return boolean is_ready
function Proc:ready() end

---Sends SIGTERM to the process; if it has not ended after `timeout`, sends SIGKILL to its group and waits as long
---again. Yields.
---@param timeout? number seconds; default 2
---@return boolean? ok it has ended; absent if it was never started
---@return integer? status exit code, or the raw status after an end by a signal
---@return integer? errno ETIMEDOUT
function Proc:kill(timeout) end

---Waits for its end. Yields if it has to wait.
---@param timeout? number seconds; nil or 0 only looks
---@return boolean? ok it has exited by itself; nil if it was never started
---@return integer? status exit code, or the raw status after an end by a signal
---@return integer? errno ETIMEDOUT
function Proc:wait(timeout) end

---@return integer pid -1 if it was not started or did not become ready
function Proc:pid() end

---Sends SIGSTOP to the process group. Does not yield.
---@return boolean? ok absent if it was never started
---@return integer? errno
function Proc:pause() end

---Sends SIGCONT to the process group. Does not yield.
---@return boolean? ok
---@return integer? errno
function Proc:resume() end

---Adds a listener. One added before the first wait after `start` gets every line.
---@param f fun(line: string) called for each line of stderr from now on, newline included
---@return mtev.Proc self
function Proc:loglisten(f) end

---@param stream string a log stream
---@param prefix? string put before each line, unchanged
---@return mtev.Proc self
function Proc:loglog(stream, prefix) end

---Writes each line to a file. A failure to write (a full disk) is reported once in `error`; the process goes on. Does
---not yield.
---
---Raises `Could not open: PATH: why`.
---@param file string created or truncated now; relative to `dir`
---@return mtev.Proc self
function Proc:logwrite(file) end

---@class mtev.LogWatch
local LogWatch = {}
mtev.LogWatch = LogWatch

---Queues the lines that match from now on, until they are taken.
---
---Raises if the expression cannot be compiled.
---@param regex string|fun(line: string): any an expression as for mtev.pcre, searched for in each line; or a function
---@param limit? integer at most so many matches; default any number
---@return mtev.LogWatch
function Proc:logwatch(regex, limit) end

---Takes the oldest line, or waits for one. Yields if there is none.
---@param timeout? number seconds; nil for ever, 0 only looks
---@return string? line newline included; nil after a timeout, or when stderr has ended
function LogWatch:wait(timeout) end

---Stops matching and drops the queued lines.
function LogWatch:stop() end
