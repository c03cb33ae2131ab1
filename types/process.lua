---@meta
-- Programs: mtev.spawn, exec, sh, the methods of a process, the W* functions.

-- == Processes ======================================================================================================

---@class mtev.process
---A child. It is collected as soon as it ends, so there are no zombies, and its status is kept. An object that Lua's
---collector takes while the child runs kills it, with its process group; so does the end of the program, also by
---os.exit or an error. When a signal ends the program its children are left alone. tostring shows pid and state.
local process = {}

---Starts a program. It gets default signal dispositions, an empty mask, a process group of its own, and no descriptor
---beyond 0, 1 and 2. Its cost does not depend on our size. Does not yield.
---
---When the program cannot be started only two values come: an object with pid -1, whose wait gives exit code 127
---(there is no such program) or 126 (it cannot be executed), and errno; a third, a text that names the directory, if
---that cannot be used.
---
---Raises `spawn(path [,{args} [,{env}]])` when argv or env is no table, for entries that are neither strings nor
---numbers (`arguments: string expected at 2, got table`), and for names of the environment that are empty or have a
---`=`.
---
---Differences: argv defaults to `{path}` and env to our own (libmtev: both empty). libmtev gives 127 for every
---failure.
---@param path string searched in our PATH if it has no `/`
---@param argv? string[] with the program's name first; default `{path}`
---@param env? table `"KEY=value"` entries at 1, 2, ... and KEY -> value, also mixed; default our own; `{}` is empty
---`options`: extension: working directory; each stream `"pipe"` (the default), `"null"` (/dev/null) or `"inherit"`
---(ours): there is no eventer then
---@param options? {dir?: string, stdin?: string, stdout?: string, stderr?: string}
---@return mtev.process proc
---@return mtev.eventer|integer in_e writes its stdin; errno on failure
---@return mtev.eventer|string out_e reads its stdout; the text when the directory cannot be used
---@return mtev.eventer err_e reads its stderr
function mtev.spawn(path, argv, env, options) end

---Does not yield.
---@return integer pid also after its end; -1 if it never started
function process:pid() end

---The status, once the child has ended: the kernel tells, at once. Any number of coroutines may wait, and ask again.
---Stops and continues are not reported. Yields if it has to wait.
---@param timeout? number seconds; unlike elsewhere nil only looks, as 0 does; math.huge waits
---@return integer? status for the W* functions; nil when it still runs
---@return integer? errno ETIMEDOUT
function process:wait(timeout) end

---Sends a signal. Does not yield.
---@param signal? integer|string number or name (`"TERM"`, `"SIGTERM"`); default SIGTERM; 0 only tests
---@return boolean ok
---@return integer? errno ESRCH once it has ended, whoever has its pid now
function process:kill(signal) end

---The same, to its process group, which may outlive it. Does not yield.
---@param signal? integer|string
---@return boolean ok
---@return integer? errno ESRCH when nobody of the group is left
function process:pgkill(signal) end

---Runs a program to its end and collects what it prints. Its stdin is empty. Yields.
---
---It is over when the program has exited and both outputs are closed. When `timeout` comes first: SIGTERM to its
---process group, 3 s later SIGKILL, and status is nil. But if only a child of it keeps an output open, its status
---comes with what there is, and that child is left alone. A coroutine that is cancelled meanwhile kills the group at
---once.
---
---A program that cannot be started gives status 127 << 8 or 126 << 8 (as `spawn`), `""` and `exec: PATH: why`.
---
---Differences: env defaults to our own; the timeout is for the whole; what came before it is not lost.
---@param path string
---@param argv? string[] default `{path}`
---@param env? table as for spawn
---@param timeout? number seconds; default 5; math.huge for ever
---`options`: bytes of each output: at more the group is killed; 16 MiB unless said, math.huge: any number (so it is
---by the name luamtev). Extension
---@param options? {limit?: number}
---@return integer? status nil when time was up, or an output was too long
---@return string stdout
---@return string stderr
---@return string? why `limit`: an output was too long, what is here is its beginning. Extension
function mtev.exec(path, argv, env, timeout, options) end

---`mtev.exec(shell, {shell, "-c", command}, ENV, timeout, options)`. Yields.
---@param command string
---@param timeout? number seconds; nil for ever (libmtev: 5)
---@param shell? string default `ENV.SHELL`, else `/bin/sh`
---@param options? {limit?: number} as for exec. Extension
---@return integer? status
---@return string stdout
---@return string stderr
---@return string? why as for exec
function mtev.sh(command, timeout, shell, options) end

---The macros of wait(2), for a status of `process:wait`. They compile into traces. What is no integer raises.
---@param status integer
---@return boolean
function mtev.WIFEXITED(status) end

---@param status integer
---@return integer 0..255; counts only if WIFEXITED
function mtev.WEXITSTATUS(status) end

---@param status integer
---@return boolean it was ended by a signal
function mtev.WIFSIGNALED(status) end

---@param status integer
---@return integer signal
function mtev.WTERMSIG(status) end

---@param status integer
---@return boolean it was ended by a signal and left a core
function mtev.WCOREDUMP(status) end

---@param status integer
---@return boolean
function mtev.WIFSTOPPED(status) end

---@param status integer
---@return integer signal
function mtev.WSTOPSIG(status) end

---@param status integer
---@return boolean
function mtev.WIFCONTINUED(status) end
