---@meta mtev
-- The reference of record: every function that a script can call, with types, units, defaults, results and errors.
-- Here: conventions, running a script, daemons; the functions are in the files beside this one, by topic.
--
-- Conventions
--   * Times are seconds as numbers; fractions count, to the microsecond. Timeouts are monotonic and never early: nil
--     waits for ever (unless said otherwise), 0 tries once, negative counts as 0 (but for shared_waitfor, where it
--     waits for ever), math.huge waits for ever, NaN raises. An mtev.timeval is taken for a number of seconds.
--   * "Yields" parks the calling coroutine, never the thread. Yielding is legal in any coroutine, also in those that
--     a script made itself, inside pcall, metamethods, iterators and module bodies. Where LuaJIT cannot yield (a
--     comparator of table.sort, a callback of string.gsub, the handler of xpcall) the call raises
--     "attempt to yield across C-call boundary (mtev.NAME)", for a method "(eventer:read)", if it would have to wait.
--     In a handler of xpcall nobody sees that: xpcall gives "error in error handling".
--   * Misuse raises: wrong type, wrong object, wrong coroutine, closed object. Failures of the world return values. A
--     wrong argument raises "bad argument #1 to 'read' (number or string expected, got nil)"; methods do not count
--     self.
--   * Options in a table: a name that is not known raises "unknown option 'timeuot' (did you mean 'timeout'?)". In
--     tables that scripts for libmtev make (sslconfig, hooks, callbacks, Proc's) it is reported to the log `error`,
--     once for each name. A boolean may be a word: "true", "on", "yes", "1", "false", "off", "no", "0", in any case;
--     another word raises.
--   * Strings are binary. Numbers are taken for strings and numeric strings for numbers, as everywhere in Lua. Where
--     an integer is wanted fractions are cut off.
--   * Ports are 0..65535, as a number or a numeric string; others raise (websocket_client_connect returns false).
--   * err is the system's text (strerror), errno the system's number.
--   * A call that waits while its coroutine is cancelled raises the string "coroutine cancelled".
--   * A finalizer (`__gc` of a newproxy, of a file or an object of the API, ffi.gc, ffi.metatype, debug.setmetatable)
--     is a coroutine and may wait. It runs at the next turn of the loop after the collector has found its object,
--     when a script calls collectgarbage, and at the end of the program: never inside a call. What getmetatable gives
--     for such an object has each metamethod to read and to set, but pairs finds none there. A `__gc` that is changed
--     after debug.setmetatable got the metatable goes by LuaJIT's rule: it runs inside whatever allocates, cannot
--     wait, and what it spawns begins later.
--   * A debug hook or callback of jit.attach cannot wait, nor what it resumes. Run-away recursion raises
--     "stack overflow" or "C stack overflow". A call for which there is no memory raises "not enough memory".

-- == Running a script ===============================================================================================
--
-- `lhotse FILE`: the file runs as a coroutine, then its entry does: `main` of what it returned (a table), of its
-- module, or the global. Exit status: when nothing is left to wait for what the entry returned, if that is an integer
-- from 0 to 255, else 0; 1 after an uncaught error, when all coroutines wait for one another, and when the file
-- cannot be loaded; 2 for wrong usage, and for a configuration or logs that cannot be; what os.exit says; 128 + N
-- after signal N. A loop that does not turn for a second after SIGTERM, SIGINT or SIGQUIT is stopped, compiled code
-- too, and the traceback of what ran there is written; one that is stuck in a C function ends after 3.5 seconds.
-- Under the name `luamtev` an error ends with 255, main's end does not end the program, TLS verifies nothing unless
-- `verify` says so, and the script must declare a module (`module(..., package.seeall)`): a global `main` is not
-- looked for.
--
-- Beside Lua's own there are the globals below, and `ffi`. Replaced are `print` (mtev.print), `module`, `require`,
-- `os.exit` (it writes the logs), `coroutine.resume` and `wrap` (for calls that wait inside), `dofile` (its file may
-- wait), `newproxy`, `ffi.gc`, `ffi.metatype`, `debug.setmetatable`, `debug.getmetatable` and `collectgarbage` (for
-- finalizers), `debug.sethook`, `gethook` and `jit.attach`, `string.gsub` and `load` (for recursion), `jit.profile`
-- (it samples its own thread, one thread at a time). `require "mtev.HttpClient"` and `require "mtev.debug"` give what
-- is not part of the table `mtev`.

---The API.
---@class mtevlib
mtev = {}

---The environment at start: name -> value. Assigning to it changes nothing outside this table.
---@type table<string, string>
ENV = {}

---The script's arguments: `arg[0]` is the script, `arg[1]`... its arguments. Under the name `luamtev`: `arg[1]` is
---the script.
---@type table<integer, string>
arg = {}

---`print(string.format(fmt, ...))`.
---@param fmt string
---@param ... any
---@return integer bytes
function printf(fmt, ...) end

---`error(string.format(fmt, ...))`, with the position of the caller.
---@param fmt string
---@param ... any
function errorf(fmt, ...) end

---Flags of open(2), for the platform.
O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_SYNC, O_DSYNC, O_NOFOLLOW = 0, 0, 0, 0, 0, 0, 0
O_CREAT, O_TRUNC, O_EXCL, O_DIRECTORY, O_NONBLOCK, O_CLOEXEC = 0, 0, 0, 0, 0, 0
---File types of stat(2), for the platform.
S_IFIFO, S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG, S_IFLNK, S_IFSOCK = 0, 0, 0, 0, 0, 0, 0
---For scripts that mention libmtev's hooks.
MTEV_HOOK_CONTINUE, MTEV_HOOK_DONE, MTEV_HOOK_ABORT = 0, 1, 2

-- == Daemons ========================================================================================================
--
-- `lhotse -c FILE` without a script runs what the configuration names:
--   <modules>
--     <script file="web.lua" threads="all" entry="main"><argument>8080</argument></script>
--   </modules>
-- `threads`: a number, default 1, or `all`; scripts of fewer threads than there are (`/*/eventer/config/concurrency`,
-- `-n`) are spread over them. A script has globals of its own, and sees those of its thread; `arg`, `...` and the
-- entry are as on the command line. libmtev's form is there too, in the first thread unless concurrent:
--   <generic image="lua_mtev"><config><directory>DIR/?.lua</directory><cpath/><lua_module>NAME</lua_module>
--     <lua_function>FUNCTION</lua_function><concurrent>true</concurrent></config></generic>
-- `print` goes to the log `error`. `<security user="www-data" group="www-data"/>` is as `-u` and `-g`: of root's
-- rights the one to bind low ports stays, because scripts bind after that; programs that they start have nothing of
-- it and gain nothing (sudo and the like fail). A user that is a number without an account needs a group. An uncaught
-- error ends the process: `-m` starts it again.
