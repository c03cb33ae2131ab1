---@meta
-- Programs: mtev.spawn, exec, sh, the methods of a process, the W* functions.

-- == Processes ======================================================================================================

---@class mtev.process
---A child. It is reaped as soon as it exits, so there are no zombies, and its status is kept. If the object is
---garbage-collected while the child runs, the child and its process group are killed; so they are when the program
---ends, also by os.exit or an error. When a signal ends the program its children are left alone. tostring shows pid
---and state.
local process = {}

---Starts a program. It gets default signal dispositions, an empty mask, a process group of its own, and no descriptor
---beyond 0, 1 and 2. Its cost does not depend on our size. Does not yield.
---
---If the program cannot be started it returns two values: an object with pid -1, whose wait returns exit code 127 (no
---such program) or 126 (it cannot be executed), and errno. If the directory cannot be used, a third value is a text
---that names it.
---
---Raises `spawn(path [,{args} [,{env}]])` when argv or env is not a table, for entries that are neither strings nor
---numbers (`arguments: string expected at 2, got table`), and for names of the environment that are empty or contain
---a `=`.
---
---Differences: argv defaults to `{path}` and env to our own (libmtev: both empty). libmtev returns 127 for every
---failure.
---@param path string searched for in our PATH if it has no `/`
---@param argv? string[] with the program's name first; default `{path}`
---@param env? table `"KEY=value"` entries at 1, 2, ... and KEY -> value, also mixed; default our own; `{}` is empty
---`options`: extension: working directory; each stream `"pipe"` (the default), or without an eventer: `"null"`
---(/dev/null) or `"inherit"` (ours)
---@param options? {dir?: string, stdin?: string, stdout?: string, stderr?: string}
---@return mtev.process proc
---@return mtev.eventer|integer in_e writes its stdin; errno on failure
---@return mtev.eventer|string out_e reads its stdout; the text when the directory cannot be used
---@return mtev.eventer err_e reads its stderr
function mtev.spawn(path, argv, env, options) end

---Does not yield.
---@return integer pid also after its end; -1 if it never started
function process:pid() end

---Returns the status once the child has ended, as soon as the kernel reports it. Any number of coroutines may wait,
---and may ask again. Stops and continues are not reported. Yields if it has to wait.
---@param timeout? number seconds; unlike elsewhere nil only looks, like 0; math.huge waits for ever
---@return integer? status for the W* functions; nil while it runs
---@return integer? errno ETIMEDOUT
function process:wait(timeout) end

---Sends a signal. Does not yield.
---@param signal? integer|string number or name (`"TERM"`, `"SIGTERM"`); default SIGTERM; 0 only checks
---@return boolean ok
---@return integer? errno ESRCH once it has ended, even if its pid is in use again
function process:kill(signal) end

---Sends a signal to its process group, which may outlive it. Does not yield.
---@param signal? integer|string
---@return boolean ok
---@return integer? errno ESRCH when the group has no members left
function process:pgkill(signal) end

---Runs a program to its end and collects what it prints. Its stdin is empty. Yields.
---
---It returns when the program has exited and both outputs are closed. If `timeout` comes first, the process group
---gets SIGTERM, 3 s later SIGKILL, and status is nil. But if the program has exited and only a child of it keeps an
---output open, its status is returned with the output so far, and that child is left alone. If the coroutine is
---cancelled meanwhile, the group is killed immediately.
---
---For a program that cannot be started it returns status 127 << 8 or 126 << 8 (as `spawn`), `""` and
---`exec: PATH: why`.
---
---Differences: env defaults to our own; the timeout is for the whole call; output before it is not lost.
---@param path string
---@param argv? string[] default `{path}`
---@param env? table as for spawn
---@param timeout? number seconds; default 5; math.huge for ever
---`options`: bytes of each output: beyond it the group is killed; default 16 MiB, math.huge: any number (the default
---under the name luamtev). Extension
---@param options? {limit?: number}
---@return integer? status nil after a timeout, or if an output was too long
---@return string stdout
---@return string stderr
---@return string? why `limit`: an output was too long; this is its beginning. Extension
function mtev.exec(path, argv, env, timeout, options) end

---`mtev.exec(shell, {shell, "-c", command}, ENV, timeout, options)`. Yields.
---@param command string
---@param timeout? number seconds; nil for ever (libmtev: 5)
---@param shell? string default `ENV.SHELL`, or else `/bin/sh`
---@param options? {limit?: number} as for exec. Extension
---@return integer? status
---@return string stdout
---@return string stderr
---@return string? why as for exec
function mtev.sh(command, timeout, shell, options) end

---The macros of wait(2), for a status of `process:wait`. They compile into traces. Raise unless given an integer.
---@param status integer
---@return boolean
function mtev.WIFEXITED(status) end

---@param status integer
---@return integer 0..255; meaningful only if WIFEXITED
function mtev.WEXITSTATUS(status) end

---@param status integer
---@return boolean it was terminated by a signal
function mtev.WIFSIGNALED(status) end

---@param status integer
---@return integer signal
function mtev.WTERMSIG(status) end

---@param status integer
---@return boolean it was terminated by a signal and dumped core
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
