---@meta mtev
-- The reference of record: every function that a script can call, with types, units, defaults, results and errors.
-- Here: conventions, running a script, daemons; the functions are in the files beside this one, by topic.
--
-- Conventions
--   * Times are numbers of seconds, with fractions down to the microsecond. Timeouts are monotonic and never early:
--     nil waits for ever (unless said otherwise), 0 tries once, negative means 0 (for shared_waitfor it waits for
--     ever), math.huge waits for ever, NaN raises. An mtev.timeval may stand for a number of seconds.
--   * "Yields" parks the calling coroutine, never the thread. Yielding is legal in any coroutine, including a
--     script's own, inside pcall, metamethods, iterators and module bodies. Where LuaJIT cannot yield (a comparator
--     of table.sort, a callback of string.gsub, the handler of xpcall) the call raises
--     "attempt to yield across C-call boundary (mtev.NAME)", for a method "(eventer:read)", if it would have to wait.
--     In a handler of xpcall this error is lost: xpcall gives "error in error handling".
--   * Misuse raises: wrong type, wrong object, wrong coroutine, closed object. Failures of the outside world return
--     values. A wrong argument raises "bad argument #1 to 'read' (number or string expected, got nil)"; for methods,
--     self is not counted.
--   * Options in a table: an unknown name raises "unknown option 'timeuot' (did you mean 'timeout'?)". In tables that
--     libmtev also takes (sslconfig, hooks, callbacks, Proc's) it is reported in the log `error`, once for each name.
--     A boolean may be a word: "true", "on", "yes", "1", "false", "off", "no", "0", in any case; any other word
--     raises.
--   * Strings are binary. Numbers may stand for strings and numeric strings for numbers, as everywhere in Lua. Where
--     an integer is expected, fractions are cut off.
--   * Ports are 0..65535, as a number or a numeric string; anything else raises (websocket_client_connect returns
--     false).
--   * err is the system's text (strerror), errno the system's number.
--   * A call that waits while its coroutine is cancelled raises the string "coroutine cancelled".
--   * A finalizer (`__gc` of a newproxy, of a file or an object of the API, ffi.gc, ffi.metatype, debug.setmetatable)
--     is a coroutine and may wait. It runs at the next turn of the loop after the collector has found its object,
--     when a script calls collectgarbage, and at the end of the program: never inside a call. The metatable that
--     getmetatable returns for such an object lets each metamethod be read and set, but pairs finds none. A `__gc`
--     changed after debug.setmetatable was given the metatable follows LuaJIT's rule: it runs inside whatever
--     allocates, cannot wait, and coroutines it spawns begin later.
--   * A debug hook or jit.attach callback cannot wait, nor can a coroutine it resumes. Runaway recursion raises
--     "stack overflow" or "C stack overflow". A call that runs out of memory raises "not enough memory".

-- == Running a script ===============================================================================================
--
-- `lhotse FILE`: the file runs as a coroutine, then its entry function: `main` of the table it returned, of its
-- module, or the global. The program ends when nothing is left to wait for; its exit status is what the entry
-- returned, if that is an integer from 0 to 255, otherwise 0. It is 1 after an uncaught error, when all coroutines
-- wait for one another, and when the file cannot be loaded; 2 for wrong usage, and for an invalid configuration or
-- logs that cannot be opened; the argument of os.exit; 128 + N after signal N. A loop that does not turn for a second
-- after SIGTERM, SIGINT or SIGQUIT is stopped, compiled code too, and the traceback of what ran there is written; if
-- it is stuck in a C function, the program ends after 3.5 seconds. Under the name `luamtev` the status after an error
-- is 255, the program goes on when main ends, TLS verifies nothing without `verify = true`, and the script must
-- declare a module (`module(..., package.seeall)`): a global `main` is not looked for.
--
-- Besides Lua's own there are the globals below, and `ffi`. Replaced are `print` (mtev.print), `module`, `require`,
-- `os.exit` (it writes the logs), `coroutine.resume` and `wrap` (for calls that wait inside), `dofile` (its file may
-- wait), `newproxy`, `ffi.gc`, `ffi.metatype`, `debug.setmetatable`, `debug.getmetatable` and `collectgarbage` (for
-- finalizers), `debug.sethook`, `gethook` and `jit.attach`, `string.gsub` and `load` (for recursion), `jit.profile`
-- (it samples its own thread, one thread at a time). `require "mtev.HttpClient"` and `require "mtev.debug"` return
-- what is not part of the table `mtev`.

---The API.
---@class mtevlib
mtev = {}

---The environment at start: name -> value. Assignments change this table only.
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

---The platform's flags of open(2).
O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_SYNC, O_DSYNC, O_NOFOLLOW = 0, 0, 0, 0, 0, 0, 0
O_CREAT, O_TRUNC, O_EXCL, O_DIRECTORY, O_NONBLOCK, O_CLOEXEC = 0, 0, 0, 0, 0, 0
---The platform's file types of stat(2).
S_IFIFO, S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG, S_IFLNK, S_IFSOCK = 0, 0, 0, 0, 0, 0, 0
---For scripts that mention libmtev's hooks.
MTEV_HOOK_CONTINUE, MTEV_HOOK_DONE, MTEV_HOOK_ABORT = 0, 1, 2

-- == Daemons ========================================================================================================
--
-- `lhotse -c FILE` without a script runs what the configuration names:
--   <modules>
--     <script file="web.lua" threads="all" entry="main"><argument>8080</argument></script>
--   </modules>
-- `threads`: a number (default 1) or `all`; scripts for fewer threads than there are
-- (`/*/eventer/config/concurrency`, `-n`) are spread over them. A script has globals of its own, and sees those of
-- its thread; `arg`, `...` and the entry are as on the command line. libmtev's form works too, in the first thread
-- unless concurrent:
--   <generic image="lua_mtev"><config><directory>DIR/?.lua</directory><cpath/><lua_module>NAME</lua_module>
--     <lua_function>FUNCTION</lua_function><concurrent>true</concurrent></config></generic>
-- `print` goes to the log `error`. `<security user="www-data" group="www-data"/>` is like `-u` and `-g`. Of root's
-- rights only the one to bind low ports is kept, because scripts bind later; programs that they start do not have it
-- and can gain none (sudo and the like fail). A numeric user without an account needs a group. An uncaught error ends
-- the process; with `-m` it is restarted.
