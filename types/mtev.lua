---@meta mtev
-- The reference of record: every function that a script can call, with types, units, defaults, results and errors.
--
-- Conventions
--   * Times are seconds as numbers; fractions count, to the microsecond. Timeouts are monotonic and never early:
--     nil waits for ever (unless said otherwise), 0 tries once, negative counts as 0 (but for shared_waitfor, where it waits for
--     ever), math.huge waits for ever, NaN raises. An mtev.timeval is taken for a number of seconds.
--   * "Yields" parks the calling coroutine, never the thread. Yielding is legal in any coroutine, also in those that a
--     script made itself, inside pcall, metamethods, iterators and module bodies. Where LuaJIT cannot yield (a comparator
--     of table.sort, a callback of string.gsub, the handler of xpcall) the call raises
--     "attempt to yield across C-call boundary (mtev.NAME)", for a method "(eventer:read)", if it would have to wait. In a handler of
--     xpcall nobody sees that: xpcall gives "error in error handling".
--   * Misuse raises: wrong type, wrong object, wrong coroutine, closed object. Failures of the world return values.
--     A wrong argument raises "bad argument #1 to 'read' (number or string expected, got nil)"; methods do not count self.
--   * Options in a table: a name that is not known raises "unknown option 'timeuot' (did you mean 'timeout'?)". In tables that
--     scripts for libmtev make (sslconfig, hooks, callbacks, Proc's) it is reported to the log `error`, once for each name. A boolean
--     may be a word: "true", "on", "yes", "1", "false", "off", "no", "0", in any case; another word raises.
--   * Strings are binary. Numbers are taken for strings and numeric strings for numbers, as everywhere in Lua.
--     Where an integer is wanted fractions are cut off.
--   * Ports are 0..65535, as a number or a numeric string; others raise (websocket_client_connect returns false).
--   * err is the system's text (strerror), errno the system's number.
--   * A call that waits while its coroutine is cancelled raises the string "coroutine cancelled".
--   * A finalizer (`__gc` of a newproxy, of a file or an object of the API, ffi.gc, ffi.metatype, debug.setmetatable)
--     is a coroutine and may wait. It runs at the next turn of the loop after the collector has found its object, when
--     a script calls collectgarbage, and at the end of the program: never inside a call. What getmetatable gives for
--     such an object has each metamethod to read and to set, but pairs finds none there. A `__gc` that is changed after
--     debug.setmetatable got the metatable goes by LuaJIT's rule: it runs inside whatever allocates, cannot wait, and
--     what it spawns begins later.
--   * A debug hook or callback of jit.attach cannot wait, nor what it resumes. Run-away recursion raises "stack
--     overflow" or "C stack overflow". A call for which there is no memory raises "not enough memory".

-- == Running a script ====================================================================================================
--
-- `lhotse FILE`: the file runs as a coroutine, then its entry does: `main` of what it returned (a table), of its module, or the
-- global. Exit status: when nothing is left to wait for what the entry returned, if that is an integer from 0 to 255, else 0; 1 after an uncaught error, when all
-- coroutines wait for one another, and when the file cannot be loaded; 2 for wrong usage, and for a configuration or logs that cannot
-- be; what os.exit says; 128 + N after signal N. A loop that does not turn for a second after SIGTERM, SIGINT or SIGQUIT is stopped, compiled
-- code too, and the traceback of what ran there is written; one that is stuck in a C function ends after 3.5 seconds. Under the name `luamtev` an error ends with 255, main's end does not end the program,
-- TLS verifies nothing unless `verify` says so, and the script must declare a module (`module(..., package.seeall)`): a global `main`
-- is not looked for.
--
-- Beside Lua's own there are the globals below, and `ffi`. Replaced are `print` (mtev.print), `module`, `require`, `os.exit` (it writes
-- the logs), `coroutine.resume` and `wrap` (for calls that wait inside), `dofile` (its file may wait), `newproxy`, `ffi.gc`, `ffi.metatype`,
-- `debug.setmetatable`, `debug.getmetatable` and `collectgarbage` (for finalizers), `debug.sethook`, `gethook` and
-- `jit.attach`, `string.gsub` and `load` (for recursion), `jit.profile` (it samples its own thread, one thread at a
-- time). `require "mtev.HttpClient"` and `require "mtev.debug"` give what is not part of the table `mtev`.

---The API.
---@class mtevlib
mtev = {}

---The environment at start: name -> value. Assigning to it changes nothing outside this table.
---@type table<string, string>
ENV = {}

---The script's arguments: `arg[0]` is the script, `arg[1]`... its arguments. Under the name `luamtev`: `arg[1]` is the
---script.
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
O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_SYNC, O_DSYNC, O_NOFOLLOW, O_CREAT, O_TRUNC, O_EXCL = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
O_DIRECTORY, O_NONBLOCK, O_CLOEXEC = 0, 0, 0
---File types of stat(2), for the platform.
S_IFIFO, S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG, S_IFLNK, S_IFSOCK = 0, 0, 0, 0, 0, 0, 0
---For scripts that mention libmtev's hooks.
MTEV_HOOK_CONTINUE, MTEV_HOOK_DONE, MTEV_HOOK_ABORT = 0, 1, 2

-- == Coroutines ==========================================================================================================

---Starts `f(...)` in a new coroutine of the scheduler. It runs at once, on top of the caller, until it first waits or ends;
---then this returns. (Beyond 151 starts inside one another it is put into the run queue instead.) Does not yield.
---
---What `f` returns is dropped. What it raises ends the program (or, with `--keep-going`, only the coroutine): it never
---reaches the caller. Eventers that it still owns when it ends are closed.
---
---Raises `mtev.coroutine_spawn(func, ...): bad arguments` if `f` is not a function.
---
---Difference: libmtev returns nothing.
---@param f function
---@param ... any passed to f; nils are kept
---@return thread co
function mtev.coroutine_spawn(f, ...) end

---Has `f` called, in a coroutine of its own, when SIGTERM, SIGINT or SIGQUIT tell the program to end; an extension. The program ends
---when all such functions of all threads have returned, or after 4 seconds, or at a second signal. Meanwhile everything goes on. With
---one registered, coroutines that all wait for one another are no deadlock: they may wait for the signal. Does not yield.
---@param f fun()
---@return fun() cancel
function mtev.on_stop(f) end

---Cancels a coroutine: what it waits for is withdrawn, what it owns is closed, and it never resumes. Does not yield.
---
---A coroutine inside `pcall` or `xpcall` gets the error `"coroutine cancelled"` (a string, compare with `==`) so that it can
---clean up: the wait it is in and two more raise; the next one abandons it. A coroutine that cancels itself ends at its next wait. Cancelling one that has ended does nothing. One that a
---script resumes itself can be cancelled too: `coroutine.resume` then gives `false, "coroutine cancelled"`.
---
---Raises `bad argument to mtev.cancel_coro` for anything but a thread or an address.
---@param co thread|string a thread of this state, or the address of one of any state as `%p` prints it: `"0x…"` or decimal
function mtev.cancel_coro(co) end

---Waits. Yields, always: with 0, nil or a negative number every coroutine and every descriptor that is ready comes first.
---
---Raises for NaN, infinity and what is not a number.
---@param seconds? number
---@return mtev.timeval slept the time slept, never less than `seconds`
function mtev.sleep(seconds) end

-- == Messages inside one thread ==========================================================================================

---Hands `key, ...` to the coroutine that has waited longest for `key`, or queues it (any number, first in, first out) for
---the next `mtev.waitfor`. Does not yield; the waiter runs once the caller waits or ends. Legal everywhere, also where
---nothing can yield. Values are passed by reference. With no arguments at all: nothing happens.
---
---Raises `notify called without key` if key is nil, `bad argument #1 to 'notify' (string expected, got table)` and the like if it is
---neither string nor number; `at most 7900 values` for more.
---
---Difference: libmtev may run the waiter inside notify.
---@param key string
---@param ... any nils are kept, in the middle and at the end
function mtev.notify(key, ...) end

---The oldest message for `key`, or waits for one. Yields if there is none. Several coroutines may wait for one key: they are
---served in the order in which they came.
---@param key string
---@param timeout? number seconds; nil for ever, 0 polls
---@return string key and what notify was given after it; no value at all on timeout
---@return any ...
function mtev.waitfor(key, timeout) end

-- == Between threads =====================================================================================================

---@class mtev.semaphore
local semaphore = {}

---A counting semaphore that all threads share by its name. It is made once and never destroyed. Does not yield.
---@param name string
---@param value? integer the first count, which may be negative; used by the first call only. Default 0
---@return mtev.semaphore
function mtev.semaphore(name, value) end

---Takes one unit; waits while there is none. Yields then. Waiters of all threads are served in the order in which they
---came, each directly from a release. A waiter that is cancelled or whose time is over loses no unit.
---@param timeout? number seconds; nil for ever, 0 tries
---@return boolean taken false on timeout
function semaphore:acquire(timeout) end

---Takes one unit if that is possible at once. Does not overtake coroutines that wait. Does not yield.
---@return boolean taken
function semaphore:try_acquire() end

---Gives one unit back, to the coroutine that has waited longest if there is one. Anyone may, also above the first count.
---Does not yield.
function semaphore:release() end

---Stores a deep copy of `value` under `key`, for all threads. nil deletes. Does not yield.
---
---Copied are booleans, numbers, strings and tables with string and number keys, without metatables. A table with a function
---in its field `serialize` (also by way of its metatable) is replaced by `value:serialize()`, which must return a table.
---
---Raises if not given exactly two arguments; for functions, userdata, threads, other keys and cycles it raises with the path
---(`cannot share value.a.b: function`), and the old value stays.
---@param key string
---@param value nil|boolean|number|string|table
function mtev.shared_set(key, value) end

---A fresh deep copy of what is stored under `key`, or nil. Does not yield.
---@param key string
---@return any value
function mtev.shared_get(key) end

---0, 1, 2 ... for each key: no two callers of any thread get the same. Does not yield.
---@param key string
---@return integer seq
function mtev.shared_seq(key) end

---As `mtev.notify`, with one value, which is copied as by `mtev.shared_set`, to whichever thread waits. Does not yield.
---Each message reaches exactly one waiter, the one that has waited longest.
---@param key string
---@param value any
function mtev.shared_notify(key, value) end

---As `mtev.waitfor`, for messages of `mtev.shared_notify`; but it returns the value only, not the key. Yields if there is none.
---@param key string
---@param timeout? number seconds; nil or negative for ever, 0 polls
---@return any value nil on timeout; no value at all when a poll finds nothing
function mtev.shared_waitfor(key, timeout) end

---Which thread this is. Does not yield.
---@return integer thread the kernel's thread id, as `ps -L` shows it
---@return integer tid the loop's number: 0 ... mtev.eventer_loop_concurrency() - 1
---@return string name such as `default/0`
function mtev.thread_self() end

---What each event loop thread does; an extension. The counts are those at the end of its last turn. Does not yield.
---@return {name: string, id: integer, cpu: number, turns: integer, coroutines: integer, sockets: integer, timers: integer}[] threads
---`name` as `mtev.thread_self` has it, `id` the kernel's number, its `thread`; `cpu`: seconds of CPU time; `turns` of the loop; what is there of the rest
function mtev.thread_stats() end

---@return integer n the number of event loop threads (`lhotse -n`)
function mtev.eventer_loop_concurrency() end

-- == Sockets =============================================================================================================

---A socket: TCP, UDP or Unix.
---
---Every eventer belongs to one coroutine: the one that made it, or that last called `own`. Only that one may accept,
---connect, read and write; another raises `cross-coroutine socket call: use event:own()`. When the owner ends, the eventer is
---closed at once. A coroutine that a script resumes itself acts for the coroutine of the scheduler that it runs in.
---
---Every method but `close` and `own` raises `mtev.eventer is closed` on a closed one; every method, these two as well, raises
---`mtev.eventer is owned by another coroutine` on a handle that `own` has replaced. Results differ: bind and connect give -1, err;
---listen gives -1, errno, err. An unreferenced eventer is closed by the collector.
---@class mtev.eventer
local eventer = {}

---A new socket, owned by the caller: non-blocking, close-on-exec, for TCP with TCP_NODELAY. Connects nothing and does not
---yield.
---
---Raises `mtev.socket family for X unknown` for another address, `mtev.socket called with invalid arguments` for another
---type, and outside a coroutine of the scheduler.
---@param address? string `"inet"` (the default), `"inet6"`, `"unix"`, an IPv4 or IPv6 literal (its family), a path with `/` (unix), `"reverse:NAME"` (inet)
---@param type? "tcp"|"udp" stream (the default) or datagram, also for unix
---@return mtev.eventer? e nil when the system refuses
---@return integer errno
---@return string err
function mtev.socket(address, type) end

---Gives the socket an address. Does not yield. After a failure it can only be bound again, or closed: listen, connect, send and recv
---fail with the same error, rather than use an address of the system's choice.
---@param address string an IP literal, `"*"` for any, or a path (unix; no port)
---@param port? integer 0 lets the system choose: ask `sock_name`
---@return integer rv 0; or -1
---@return string? err `Cannot translate 'X' to IP` for what is not an address
function eventer:bind(address, port) end

---Listens for connections. Does not yield.
---@param backlog? integer default SOMAXCONN
---@return integer rv 0; or -1
---@return integer? errno
---@return string? err
function eventer:listen(backlog) end

---The next connection, owned by the caller. Yields if none is pending. A connection that died in the queue is skipped.
---
---When descriptors or memory run out (EMFILE, ENFILE, ENOBUFS, ENOMEM) it returns nil, err; the listener stays usable, and the
---next accept waits until a descriptor of ours closes or 100 ms have passed.
---@return mtev.eventer? e
---@return string? err `closed` when another coroutine closes the listener meanwhile
function eventer:accept() end

---Connects. Yields while that is under way (UDP with an address: never). After a failure the eventer can only be closed. When the
---queue of a unix listener is full it waits for room. A socket that the kernel would connect with itself is refused.
---
---A host name is looked up as getaddrinfo(3) does (/etc/hosts, nsswitch.conf, DNS), on the pool of threads, and its addresses race
---(RFC 8305): they are tried in turn, families alternating, the socket's own first; the next one begins when one fails, or after a
---quarter of a second without an answer. The first that is connected becomes the socket, with the options that were set on it. So a
---socket of "inet" may end up with an IPv6 address. A datagram socket, and one that was bound, connect to the first address of their
---family instead.
---@param target string an IP literal (IPv6 with a zone if need be), a host name, a path with `/` for unix, or `"reverse:NAME"`: a channel to the process that offers that name, see reverse_listen; nobody does: `-1, "Reverse connection unavailable"`
---@param port? integer
---@param timeout? number seconds, for everything; nil: the system's; 0: only an immediate success counts. The third argument, also for paths
---@return integer rv 0; or -1
---@return string? err `timeout`, `Cannot translate 'X' to IP`, or the system's text
function eventer:connect(target, port, timeout) end

---Reads as many bytes as a number says, or up to and including a terminator. A string that tonumber takes is a count, not a
---terminator. Yields until they have come.
---
---At the end of the stream, or before an error, what is left comes first: fewer bytes, or a piece without its terminator.
---Then the end gives nil, an error nil, err. Bytes that were not asked for stay for the next call, whatever form that has.
---The terminator is found however the packets split it, and each byte is searched once.
---
---A timeout leaves what has come so far to the next call.
---
---`e:read(stop, nil, seconds, fn)` is libmtev's form of a timeout (10 s unless a number): then `fn()` is called in this
---coroutine and nil returned. `e:read(stop, nil, seconds)` is the option `timeout`.
---
---Raises `empty terminator`, for negative numbers and NaN, and while another coroutine reads.
---@param stop integer|string number of bytes (also as a numeric string), or a terminator
---@param options? {timeout?: number, limit?: number} seconds; the most bytes to wait through for a terminator: 16 MiB
---unless said, math.huge: as many as a string has (so it is by the name luamtev). A count is the script's own number:
---one above a `limit` that is given gives `nil, "limit"` at once; else it is as great as a string may be
---@param seconds? number
---@param fn? fun()
---@return string? data
---@return string? err `timeout`, `limit`, `closed`, or the system's text
function eventer:read(stop, options, seconds, fn) end

---Writes all of it. Yields until the kernel has taken the last byte. A connection that the peer closed gives -1, never a
---signal.
---
---Raises while another coroutine writes.
---@param data string|string[] an array is written with one system call
---@param options? {timeout?: number} seconds
---@return integer written the length of data; or -1
---@return string? err `timeout`, `closed`, or the system's text
---@return integer? partial after a failure of the network or a timeout: the bytes that were written
function eventer:write(data, options) end

---One send(2). Yields only while nothing can be sent. Any coroutine of the thread may, unless another one is sending.
---@param data string
---@return integer sent bytes, which may be fewer than there are; or -1
---@return string? err
function eventer:send(data) end

---One datagram. Yields only while nothing can be sent.
---@param data string `""` sends an empty datagram
---@param address string an IP literal, or a path (unix; no port)
---@param port? integer
---@return integer sent bytes; or -1
---@return string? err `Cannot translate 'X' to IP`, or the system's text
function eventer:sendto(data, address, port) end

---One datagram, or for streams whatever is there (buffered input first). Yields while there is nothing. Any coroutine of the
---thread may, unless another one is receiving.
---@param count integer the most bytes. 0 discards one datagram
---@param options? {timeout?: number} seconds
---@return integer rv number of bytes; 0 at the end of a stream; -1 on failure
---@return string payload or, on failure, err: `timeout`, `closed`, or the system's text
---@return string? address the sender, on streams too; nothing for the end of a stream, nil for a unix socket without a name
---@return integer? port
---@return boolean? is_truncated true if the datagram was longer than count, else absent
function eventer:recv(count, options) end

---Sets an option by the name that the system's headers give it: `SO_*`, `TCP_*`, `UDP_*`, `IP_*`, `IPV6_*`. Does not yield.
---
---`SO_LINGER` takes seconds or false, `SO_RCVTIMEO` and `SO_SNDTIMEO` seconds (without effect on the calls here),
---`SO_BINDTODEVICE` and `TCP_CONGESTION` text; memberships (`IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`, ...) take a group's address, or
---`{group, interface}` with the interface's address or name; `IP_MULTICAST_IF` an interface.
---@param name string
---@param value integer|boolean|number|string|string[]
---@return integer rv 0; or -1
---@return string? err `Socket operation 'X' not supported` for an unknown name, with the name that was probably meant
function eventer:setsockopt(name, value) end

---Reads an option that `setsockopt` knows. Does not yield. SO_LINGER gives seconds or false.
---@param name string
---@return integer|number|string|boolean|nil value
---@return string? err
function eventer:getsockopt(name) end

---The other end's address. Does not yield.
---@return string? address IP, or path (`""` without a name); no value when not connected
---@return integer? port not for unix
function eventer:peer_name() end

---This end's address. Does not yield.
---@return string? address
---@return integer? port not for unix
function eventer:sock_name() end

---Makes the calling coroutine the owner. The new handle has all that the old one had, buffered input too; the old one is dead.
---The owner itself gets the same handle back. Does not yield.
---
---Raises while another coroutine waits in a call on it.
---@return mtev.eventer? e nil if it is closed
function eventer:own() end

---Two handles of one connection, so that one coroutine may read while another writes: each makes its half its own with
---`own`. The reader can only read, the writer only write. Closing the writer sends the end of the stream; the connection is closed
---when both are. The old handle is dead. Does not yield.
---
---Raises for a half of a split one, and while a coroutine waits in a call on it.
---@return mtev.eventer reader
---@return mtev.eventer writer
function eventer:split() end

---Closes. A coroutine that waits in a call on it gets that call's failure with `closed`. What the kernel has taken is still
---delivered, also when there is input that nobody has read: for that the connection stays in the background for up to 30 s or 64 MiB,
---discarding what the peer sends, and the program stays with it. With SO_LINGER 0 the connection is reset at once. Does not yield.
---@return integer rv 0, also when it was closed already
function eventer:close() end

-- == TLS =================================================================================================================
--
-- On a socket that speaks TLS, read, write, send, recv, split and close do what they do on a plain one; sendto is refused. A
-- peer that ends without TLS's own end (close_notify) is an error for `read`: what came before it is delivered first, but
-- somebody may have cut off the rest. Renegotiation is refused; compression and versions below TLS 1.2 are off by default.
--
-- Differs from libmtev, which accepts any certificate: here the chain is verified against `ca_chain`, or the system's store
-- when none is given, and the name against `snihost`. `verify = false` accepts any (the program's name `luamtev` does, too,
-- unless told `verify = true`); `ssl_ctx().error` says what is wrong either way.
--
-- Sessions are resumed only by who verifies in the same way: all settings count, and the files as they are. A server's ticket keys
-- are made anew every hour.

---@class mtev.sslconfig
---Values may be strings, booleans or numbers, as configurations have them ("true"/"on"/"yes"/"1"); what is no boolean is an error,
---it never means false. Unknown keys are reported to the log `error`, once each; one that seems to be a misspelt `snihost`, `layer`,
---`ca_chain`, `require_client_cert` or the like, or sounds as if it asked for more (`fail_if_no_peer_cert`,
---`minVersion`, `revocation`, `security_level`, `pinnedpublickey`), is an error unless it is false, because without it the
---connection would be less strict. A PEM is the path of a file, or the text itself if there is a line break in it.
---Files are read again when they have changed.
---@field certificate? string PEM: our own certificate, and behind it those between it and the authority. Aliases `certificate_file`, `cert`
---@field key? string PEM: its key, without a password; default: in `certificate`. Alias `key_file`
---@field ca_chain? string PEM, or a directory as `openssl rehash` makes it: whom to trust. Alias `ca_file`. In a
---directory of more than 64 authorities, and in the system's, a file counts as changed when it is replaced, not when it
---is overwritten where it is
---@field crl? string PEM: revocation lists; every certificate of a chain is looked up in them
---@field ciphers? string OpenSSL's list for TLS up to 1.2; names that begin with "TLS_" are for TLS 1.3
---@field layer? string versions: "tlsv1.2", "tlsv1.2,tlsv1.3", or "base:options" with `>=V`, `<=V`, `=V`, `!V`, `V`, `all`,
---`cipher_server_preference`; default: TLS 1.2 and 1.3. `layer_openssl_11` counts more. A part that may be a misspelt version or word is
---an error, others are logged (`error/tls`) and ignored
---@field snihost? string the server's name: sent to it, and compared with its certificate (RFC 6125); or its IP address, compared with the
---addresses in it. A dot at its end is dropped. Raises when it is neither: empty, with a NUL, a leading dot, `"127.1"`
---@field alpn? string protocols in order of preference: "h2,http/1.1"; a server refuses a client whose list has none of them
---(RFC 7301). Alias `npn`
---@field verify? boolean false: the handshake never fails because of the certificate
---@field optional_no_ca? boolean accepts unknown issuers
---@field ignore_dates? boolean accepts what has expired or is not valid yet
---@field timeout? number seconds for the handshake; default: none. For Api: for connecting and the handshake; default 10
---@field server? boolean we are the server
---@field certificates? table<string, {certificate: string, key: string}> server: other certificates by the name that the client asks
---for; "*.example.com" stands for one label. Without `certificate`, other names are refused
---@field request_client_cert? boolean server: asks for a certificate; one that does not verify is refused
---@field require_client_cert? boolean server: refuses clients without one
---@field ca_accept? string server: like `ca_chain`, for clients

---Makes a TLS connection of a connected stream socket: waits for the handshake. Bytes that were received but not read belong to
---the handshake. After a failure the socket can only be closed, but `ssl_ctx()` still answers. Clients resume the session they had
---with the same peer, unless its certificate has expired since. A server that asks for the certificate later gets it (TLS 1.3,
---post-handshake authentication). With TLS 1.3 the server looks at a client's certificate after this has returned: the next read
---reports that it was refused. Without `snihost` the certificate's name cannot be checked: a warning goes to the log `error/tls`, once.
---@param certificate? string|mtev.sslconfig
---@param key? string behind a table: snihost
---@param ca? string behind a table: layer
---@param ciphers? string
---@param snihost? string
---@param layer? string
---@return integer rv 0, or -1
---@return string? err OpenSSL's or the certificate's reason; "timeout"; "ssl_client context creation failed: FILE: ..."
function eventer:ssl_upgrade_socket(certificate, key, ca, ciphers, snihost, layer) end

---What is known of the TLS connection; nil on a plain socket. The same object each time. Fetch it before `close`: the object stays
---readable, also after a failed handshake. Does not yield.
---@return mtev.eventer.ssl_ctx?
function eventer:ssl_ctx() end

---@class mtev.eventer.ssl_ctx
---@field error? string why the peer's certificate did not verify, also when that was not enforced; else why TLS failed
---@field verified boolean there is a peer's certificate and nothing is wrong with it (the name counts if one was given)
---@field subject? string of the peer's certificate: "/C=CH/O=Acme/CN=host"
---@field issuer? string
---@field start_time? integer seconds since 1970: valid from
---@field end_time? integer ... until
---@field san_list? string its DNS names, joined by ", "
---@field san_ips? string its IP addresses, likewise
---@field sni_name? string server: the name that the client asked for; client: the name we sent
---@field protocol? string "TLSv1.3", once the handshake is over
---@field alpn? string the protocol agreed on
---@field current_cipher? string "TLS_AES_256_GCM_SHA384"
---@field ciphers string[] the enabled ones
---@field method integer the lowest enabled version: 771 is TLS 1.2
---@field resumed boolean the handshake was short, by an earlier session
---@field peer_certificate? crypto.x509
---@field peer_chain string[] what the peer sent, PEM, its own certificate first
---@field ssl_session? crypto.ssl_session a new object each time

---@class crypto.x509
---@field serial number|string above 2^53 as decimal text
---@field bits integer of the key
---@field type string "rsa", "dsa", "ec", "ed25519", "ed448"
---@field signature_algorithm string "sha256WithRSAEncryption"
---@field purpose table<string, integer> 1 = may be used for it: "sslclient", "sslserver", ...; also by OpenSSL's long names
---@field ocsp? string the first URL to ask whether it was revoked
---@field pem string
---@field subject string
---@field issuer string
---@field start_time integer
---@field end_time integer
---@field san_list? string
---@field san_ips? string

---@class crypto.ssl_session
---@field cipher string
---@field ssl_version string "TLSv1.3"
---@field master_key string the secret itself, bytes; `""` right after a handshake of TLS 1.3, before the first ticket
---@field master_key_bits integer
---@field release fun(self) frees it now; its fields are nil from then on


-- == Reverse connections =================================================================================================
--
-- A process that nobody can connect to (behind a NAT, say) dials out to a hub and offers a name. The hub's scripts, on any thread, then
-- reach it with `e:connect("reverse:NAME")`: e becomes one end of a channel, as if it were a connected socket (its address is that of
-- an unnamed unix socket). Many channels share the one connection, each with its own flow control; TLS on top of a channel is legal.
-- When the connection is lost its channels report `Connection reset by peer`, never a mere end.
--
-- On the wire: HTTP/1.1 `POST /NAME` with `Upgrade: PTTH/2.0`, after the answer 101 HTTP/2 (RFC 9113) with the hub as client: a channel
-- is a CONNECT. Difference: libmtev has a protocol of its own; the two do not understand each other.
--
-- A connect that times out, is cancelled or closed resets its channel. Of a channel that was opened and closed here the
-- other side may take its time to close its own half; that takes no descriptor of ours, and `channels` of
-- `listener:names()` counts it until then. What comes on it meanwhile resets it.
--
-- A peer can make the other side keep: requests of 8 KiB; channels as `channels` says, and all that peers opened in the process together take
-- at most half of RLIMIT_NOFILE (more are refused; channels that this side's scripts open do not count: each takes two
-- descriptors while its eventer is open); of each channel `window` unread bytes, of all channels of a connection 64
-- MiB, then the connection stalls until some are read; 10000 frames that it does not take, then nothing more is read
-- from it.

---Listens for processes that offer their names. Does not yield; connections are served by coroutines of their own, until `close`.
---
---Somebody must decide who may offer which name: `authorize`, or client certificates (`sslconfig.require_client_cert`), with which a
---name must be the certificate's common name or one of its DNS names, to the letter but for case. Without either it raises, unless `insecure = true` is said. Of
---several processes that may offer one name the last one to connect counts.
---
---Raises for unknown options and wrong ones.
---@param options mtev.reverse_listen_options
---@return mtev.reverse_listener? listener nil when it cannot listen, also for what the files of `sslconfig` do not give
---@return string? err
function mtev.reverse_listen(options) end

---@class mtev.reverse_listen_options
---@field port integer 0: any, see `listener:sock_name()`
---@field address? string default `"*"`, every IPv4 interface
---@field sslconfig? table as for `ssl_upgrade_socket`, with a certificate; `server` is implied; default: no TLS
---@field authorize? fun(name: string, ssl_ctx: mtev.eventer.ssl_ctx?): boolean|string, string? true, and nothing else, lets it in; else the reason, first or second, which the other side is told. It may yield. If it raises, the name is refused and the error logged (`error/reverse`)
---@field insecure? boolean anybody may offer any name
---@field timeout? number seconds for the TLS handshake and the request together; default 10
---@field keepalive? number seconds of silence after which a peer counts as gone; PINGs are sent before; default 10
---@field window? integer bytes of a channel that may be under way and unread; default 262144
---@field backlog? integer from 0; default SOMAXCONN
---@field pending? integer connections at a time that are not authorized yet: a further one takes the place of the one that has offered no name for the longest time; while all wait for `authorize`, it is closed; default 128

---@class mtev.reverse_listener
local reverse_listener = {}

---@return string address
---@return integer port
function reverse_listener:sock_name() end

---Who is connected: name -> `address`, `port`, `since` (seconds since 1970), `channels` (how many are open).
---@return table<string, {address: string, port: integer, since: number, channels: integer}>
function reverse_listener:names() end

---Stops listening and closes all connections, with their channels. May be called again.
function reverse_listener:close() end

---Dials a hub, offers a name there, and comes back whenever the connection is lost, until `close`: after `retry_min` seconds, then twice
---as long each time up to `retry_max`, give or take a quarter. Does not yield; it works in coroutines of its own.
---
---Where memory runs out a channel is refused, or the connection is dropped and dialled again, and the log
---`error/reverse` says so. An error that `accept` raises is an uncaught one.
---
---Raises for unknown options and wrong ones.
---@param options mtev.reverse_connect_options
---@return mtev.reverse_dialler
function mtev.reverse_connect(options) end

---@class mtev.reverse_connect_options
---@field host string name or address of the hub; raises for what is neither
---@field port integer 1 to 65535
---@field name string 1 to 255 bytes, no NUL
---@field accept? fun(e: mtev.eventer) called for each channel, in a coroutine of its own, which owns e; when it ends, e is closed
---@field target? {address: string, port: integer} instead of `accept`: each channel leads to a new connection to there (also `{"127.0.0.1", 80}`, or a unix path without port); what connect would never take raises; the hub's `connect` fails with the reason if that fails
---@field sslconfig? table as for `ssl_upgrade_socket`; the hub's name is `snihost`, else `host`; default: no TLS
---@field timeout? number seconds for each step of connecting; default 10
---@field keepalive? number as for reverse_listen
---@field window? integer as for reverse_listen
---@field channels? integer at most so many at a time; more wait; default 5000 (some 12 MB when all are open), or a quarter of RLIMIT_NOFILE if that is less
---@field retry_min? number seconds; default 0.1
---@field retry_max? number seconds; default 30

---@class mtev.reverse_dialler
---@field error? string why it is not connected
local reverse_dialler = {}

---@return boolean
function reverse_dialler:is_connected() end

---Waits until it is connected. Yields.
---@param timeout? number seconds; default for ever
---@return boolean is_connected false when time is up, or it was closed
function reverse_dialler:ready(timeout) end

---Ends the connection with all its channels, and dials no more. May be called again.
function reverse_dialler:close() end


-- == Files ===============================================================================================================
--
-- A disk may be slow, so every function here but close, getcwd and lockfile_release runs on a pool of threads and yields
-- meanwhile; other coroutines go on. Where nothing can yield (a comparator of table.sort) they run at once instead. A
-- cancelled coroutine leaves its operation to end by itself; what it opened is closed. FIFOs, pipes, terminals and sockets hold
-- no thread while they wait for their other end, for bytes or for room.
--
-- Paths with a NUL byte raise. Modes are integers (decimal: `tonumber("755", 8)`) or strings of octal digits (`"0755"`).
-- Descriptors are plain integers. Those that belong to the runtime (sockets, pipes, log files) are refused with EBADF.

---Opens a file; the descriptor is close-on-exec and does not reach spawned processes. Nothing but `mtev.close` closes it. A FIFO is
---waited for until its other end is open, unless `flags` has O_NONBLOCK; its descriptor is non-blocking, which `mtev.read` and
---`mtev.write` do not show. Yields.
---@param path string
---@param flags integer sum of `O_*`
---@param mode? integer|string for O_CREAT, less the umask; default 0666
---@return integer fd -1 on failure
---@return integer? errno
---@return string? err
function mtev.open(path, flags, mode) end

---Reads from a descriptor: from a file `count` bytes, or fewer at its end; from anything else what one read gives. Yields.
---
---Extension: libmtev has none.
---@param fd integer
---@param count integer bytes, at most 2^31 - 256
---@param offset? integer where in the file, leaving its position alone; default at its position
---@return string? data `""` at the end; nil on failure
---@return integer errno
---@return string err
function mtev.read(fd, count, offset) end

---Writes all of `data`: short writes are continued, a full pipe is waited for. Yields.
---@param fd integer
---@param data string
---@param offset? integer where in the file, leaving its position alone; default at its position. Extension
---@return integer written `#data`; -1 on failure
---@return integer? errno EPIPE, ENOSPC, EBADF ...
---@return integer? partial on failure: the bytes that were written
function mtev.write(fd, data, offset) end

---Closes a descriptor that `mtev.open` gave; 0, 1 and 2 are refused. Does not yield.
---@param fd integer
---@return integer rv 0; -1 on failure
---@return integer? errno EBADF: not open, or not the script's, as 0, 1 and 2
function mtev.close(fd) end

---Yields.
---@param path string
---@param mode integer|string
---@return integer rv 0; -1 on failure
---@return integer? errno
function mtev.chmod(path, mode) end

---Makes a directory. Yields.
---@param path string
---@param mode? integer|string less the umask; default 0777
---@return boolean ok
---@return integer? errno EEXIST too
---@return string? err
function mtev.mkdir(path, mode) end

---Makes every directory above the last component of `path` that is not there. Yields.
---@param path string
---@param mode? integer|string less the umask; default 0777
---@return boolean ok
---@return integer? errno ENOTDIR: something on the way is no directory
---@return string? err
function mtev.mkdir_for_file(path, mode) end

---Removes an empty directory. Yields.
---@param path string
---@return boolean ok
---@return integer? errno
---@return string? err
function mtev.rmdir(path) end

---Removes a name of a file. Yields.
---@param path string
---@return boolean ok
---@return integer? errno
---@return string? err
function mtev.unlink(path) end

---The absolute path, without links, `.` and `..`. Yields.
---@param path string
---@return string? path nil on failure
---@return integer errno
---@return string err
function mtev.realpath(path) end

---The working directory. Does not yield.
---@return string? path nil when it is gone
---@return integer errno
---@return string err
function mtev.getcwd() end

---@class mtev.stat
---@field dev integer
---@field ino integer
---@field mode integer type and permissions: `bit.band(mode, 0xf000) == S_IFDIR`
---@field nlink integer
---@field uid integer
---@field gid integer
---@field rdev integer
---@field size integer bytes
---@field mtime number seconds since 1970, as mtev.time()
---@field atime number
---@field ctime number

---What lstat(2) or fstat(2) tell: links are not followed. Yields.
---@param path string|integer|nil a path or a descriptor; nil gives nil
---@return mtev.stat? stat nil on failure
---@return integer errno
---@return string err
function mtev.stat(path) end

---The names in a directory, in no order, `.` and `..` among them. Yields.
---@param path string
---@param filter? fun(name: string): any keeps the names for which it is true; it may yield
---@return string[]? names nil on failure
---@return integer errno
---@return string err
function mtev.readdir(path, filter) end

---Takes a lock file: makes it if need be, locks it (fcntl, for the open file: a second time in this process fails too),
---writes our pid into it. The system lets go of it when the process ends, however it ends. Yields, but does not wait for the
---lock.
---@param path string
---@return integer handle -1 on failure
---@return integer? errno EAGAIN: somebody has it
---@return string? err
function mtev.lockfile_acquire(path) end

---Removes a lock file and lets go of it; a file of that name that is another holder's is left alone. Does not yield.
---@param handle integer
---@return integer rv 0; -1 when this is no handle of this thread's
---@return integer? errno EBADF
function mtev.lockfile_release(handle) end

-- == Processes ===========================================================================================================

---@class mtev.process
---A child. It is collected as soon as it ends, so there are no zombies, and its status is kept. An object that Lua's collector
---takes while the child runs kills it, with its process group; so does the end of the program, also by os.exit or an error.
---When a signal ends the program its children are left alone. tostring shows pid and state.
local process = {}

---Starts a program. It gets default signal dispositions, an empty mask, a process group of its own, and no descriptor beyond
---0, 1 and 2. Its cost does not depend on our size. Does not yield.
---
---When the program cannot be started only two values come: an object with pid -1, whose wait gives exit code 127 (there is
---no such program) or 126 (it cannot be executed), and errno; a third, a text that names the directory, if that cannot be used.
---
---Raises `spawn(path [,{args} [,{env}]])` when argv or env is no table, for entries that are neither strings nor numbers
---(`arguments: string expected at 2, got table`), and for names of the environment that are empty or have a `=`.
---
---Differences: argv defaults to `{path}` and env to our own (libmtev: both empty). libmtev gives 127 for every failure.
---@param path string searched in our PATH if it has no `/`
---@param argv? string[] with the program's name first; default `{path}`
---@param env? table `"KEY=value"` entries at 1, 2, ... and KEY -> value, also mixed; default our own; `{}` is empty
---@param options? {dir?: string, stdin?: string, stdout?: string, stderr?: string} extension: working directory; each stream `"pipe"` (the default), `"null"` (/dev/null) or `"inherit"` (ours): there is no eventer then
---@return mtev.process proc
---@return mtev.eventer|integer in_e writes its stdin; errno on failure
---@return mtev.eventer|string out_e reads its stdout; the text when the directory cannot be used
---@return mtev.eventer err_e reads its stderr
function mtev.spawn(path, argv, env, options) end

---Does not yield.
---@return integer pid also after its end; -1 if it never started
function process:pid() end

---The status, once the child has ended: the kernel tells, at once. Any number of coroutines may wait, and ask again. Stops
---and continues are not reported. Yields if it has to wait.
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
---It is over when the program has exited and both outputs are closed. When `timeout` comes first: SIGTERM to its process group,
---3 s later SIGKILL, and status is nil. But if only a child of it keeps an output open, its status comes with what there is,
---and that child is left alone. A coroutine that is cancelled meanwhile kills the group at once.
---
---A program that cannot be started gives status 127 << 8 or 126 << 8 (as `spawn`), `""` and `exec: PATH: why`.
---
---Differences: env defaults to our own; the timeout is for the whole; what came before it is not lost.
---@param path string
---@param argv? string[] default `{path}`
---@param env? table as for spawn
---@param timeout? number seconds; default 5; math.huge for ever
---@param options? {limit?: number} bytes of each output: at more the group is killed; 16 MiB unless said, math.huge: any number (so it is by the name luamtev). Extension
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

---@class mtev.Proc
---A server program under test. A coroutine reads its stderr line by line and gives each line to the listeners, in the order in
---which they came; a listener may block, lines wait. The last line counts without a newline too; one longer than 1 MiB comes
---in pieces. A listener that raises is reported once to `error` and dropped. A Proc that Lua's collector takes kills its process.
---@field proc? mtev.process
---@field dir string
local Proc = {}
mtev.Proc = Proc

---Does not start anything yet. Does not yield.
---
---Raises `path not set`, and for options of a wrong type. Options it does not know are reported to the log `error`, once each. Fields
---that are not named here are its own.
---@param opts {path: string, argv?: string[], dir?: string, env?: table, boot_match?: string, boot_timeout?: number, stdout?: string|function} argv: default `{path}`. dir: working directory, default ours; a relative path is looked up in ours. env: as for spawn, default ENV. boot_match: Lua pattern that tells from a line of stderr that it is ready, default `"ready"`. boot_timeout: seconds, default 5. stdout (extension): `"log:NAME"` or a function for each line; default discarded
---@return mtev.Proc
function Proc:new(opts) end

---Starts it, once. Its stdin is empty. Does not yield.
---
---Raises `can't start already started proc` and `Could not start process: PATH: why`.
---@return mtev.Proc self
function Proc:start() end

---Waits until a line of stderr has matched boot_match, boot_timeout from now at most. If none does, or stderr ends before,
---the process is killed (`kill(10)`) and `pid` is -1 from then on. May be asked again: same answer. Yields if it has to wait.
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

---Writes each line to a file. What cannot be written (a full disk) is reported once to `error`; the process goes on. Does not
---yield.
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
---@param regex string|fun(line: string): any an expression as for mtev.pcre, matched afresh for each line; or a function
---@param limit? integer how many matches; default any number
---@return mtev.LogWatch
function Proc:logwatch(regex, limit) end

---The oldest line not taken yet; waits for one. Yields then.
---@param timeout? number seconds; nil for ever, 0 only looks
---@return string? line newline included; nil when time is up, or when stderr has ended
function LogWatch:wait(timeout) end

---No more matches; those queued are dropped.
function LogWatch:stop() end

-- == Regular expressions =================================================================================================

---Compiles a Perl compatible regular expression (PCRE2, bytes; `(*UTF)` in front for characters). Does not yield.
---
---The matcher searches a string, and when called with the same one again, goes on behind the last match, in the whole string:
---anchors and look-behind see what is really there, empty matches advance. It starts anew for another string, and after
---`m(nil)`. Once it has said false it says so until then. What is nested too deeply for the compiled expression's stack is
---matched in up to 256 MB of memory. Options: `limit` (match steps, default 10,000,000) and
---`limit_recurse` (depth; without effect on patterns that PCRE2 compiles to machine code, as nearly all are); `offsets=true`: the first
---value is an array of start, end (exclusive), start, end ... in bytes from 0 for the whole and each capture, -1 for those that took
---no part; the values follow it; `unmatched`: what stands for these, default nil. `m(nil)` returns false.
---
---Difference: libmtev gives `""` for captures that took no part, and nine captures at most.
---@param expression string
---@return (fun(subject: string?, options?: table): boolean|integer[], string?, ...: string?)? matcher true, the match, the captures; false; false, `"match limit exceeded"`, `"heap limit exceeded"` or what is wrong with the subject. nil: it cannot be compiled
---@return string message
---@return integer offset in bytes
function mtev.pcre(expression) end

-- == JSON ================================================================================================================

---@class mtev.json
---A JSON document: an object that holds its text. tostring gives the text.
local json = {}

---Reads a text by RFC 8259, strictly: no trailing garbage, comments, NaN, leading zeros, lone surrogates, invalid UTF-8, byte
---order mark; nesting up to 1024 levels; fractions beyond a double's range are errors (integers become strings, see `document`). Any scalar may be the document. Does not
---yield.
---@param text string up to 4 GiB
---@return mtev.json? json nil when the text is not JSON
---@return string message
---@return integer offset of the offending byte, from 0; the text's length when it ends too early
function mtev.parsejson(text) end

---The document as Lua values, made anew by each call. Members that are null are left out, in arrays they leave a hole; a lone
---null is nil. Integers from 2^53 on become strings of their digits; -0 keeps its sign. Of members of the same name the last one counts. Does not
---yield.
---@param options? {null?: any, int64?: boolean} extension: what stands for null; integers of up to 64 bits as int64_t and uint64_t of LuaJIT
---@return any
function json:document(options) end

---The text, without white space between tokens. Does not yield.
---@return string
function json:tostring() end

---Writes a value as JSON. A table whose keys are all positive integers is an array, holes become null; an empty table is `[]`;
---all others are objects, with number keys written as `%.14g`. Functions, userdata, threads and cdata are null in arrays and
---left out of objects, as are members whose key is neither string nor number. Does not yield.
---
---Raises, naming the place: NaN and infinities, invalid UTF-8, a table that contains itself, tables nested deeper than 1024,
---an array with more than three times as many holes as values, two keys that are the same as text (1 and "1").
---
---Difference: libmtev writes NaN and infinities, which are no JSON, and cuts strings at a NUL.
---@param value any
---@param maxdepth? integer tables deeper than this become `"[depth elided]"`; default -1: none
---@return mtev.json
function mtev.tojson(value, maxdepth) end

-- == XML =================================================================================================================

---@class mtev.xmldoc
---A document: an object; tostring gives its text.
local xmldoc = {}

---@class mtev.xmlnode
---An element, text, attribute, comment … of a document, which lives as long as any of its nodes is held. Nodes are compared with
---`==`. A node that was taken out of its document can still be read.
local xmlnode = {}

---Reads an XML 1.0 document with libxml2. Nothing is ever fetched, neither files nor network: a DTD that the document names is
---not read. Entities that it declares as text are replaced. Does not yield.
---
---Not accepted: external and parameter entities; entities that blow up; elements nested deeper than 256, with more than 1000
---attributes, or where more than 256 namespaces are declared; more than 10,000 attributes declared by `<!ATTLIST>`; names of more
---than 50,000 bytes, attributes and texts of more than 10 MB, documents from 2 GiB on. What is changed by `attr`, `addchild` and
---`contents` keeps to the same bounds, so that the document's text can be read again: they raise. The tree takes ten to fifteen
---times the memory of the text.
---@param text string in UTF-8, or in the encoding that it declares
---@return mtev.xmldoc? doc nil when the text is not well-formed
---@return string message `"line 3, column 5: Opening and ending tag mismatch: b line 2 and a"`
function mtev.parsexml(text) end

---The outermost element. Does not yield.
---@return mtev.xmlnode? node
function xmldoc:root() end

---The document as text, in the encoding it declares (UTF-8 else). Does not yield.
---@return string
function xmldoc:tostring() end

---Evaluates an XPath 1.0 expression. Nodes come in document order; namespace nodes are left out. A number, string or boolean comes
---once. The result is made at once: changing the document meanwhile does no harm. Does not yield.
---
---Raises for an expression that is wrong, and for a node of another document.
---
---Difference: libmtev drops results that are no nodes.
---@param expression string
---@param node? mtev.xmlnode where relative expressions begin; default: the document
---@param namespaces? table<string, string> extension: prefix -> URI, for the prefixes in the expression; those of the document are not known
---@return fun(): mtev.xmlnode|number|string|boolean|nil
function xmldoc:xpath(expression, node, namespaces) end

---The name without prefix; `"text"`, `"comment"` … for what has none. Does not yield.
---@return string
function xmlnode:name() end

---An element's attribute: its value or nil; with `value`: sets it, or with nil removes it. `"p:name"` means the attribute in the
---namespace of p at this place. `"xmlns:p"` declares p, and `"xmlns"` the namespace of this element and of those in it, as far as
---they have no prefix. Does not yield.
---
---Raises for nodes that are no elements, names that XML does not allow, values that are no UTF-8 or have control characters, a
---prefix that is not declared, a declaration that would change what a prefix in use means, more than 1000 attributes.
---@param name string
---@param value? string
---@return string? value
function xmlnode:attr(name, value) end

---The same as `xmlnode:attr`.
---@param name string
---@param value? string
---@return string? value
function xmlnode:attribute(name, value) end

---The text of the node and all within it; with `text`: replaces all within by it (plain text, nothing to be escaped). Does not
---yield.
---
---Raises for text that is no UTF-8, has control characters or more than 10 MB.
---@param text? string
---@return string contents
function xmlnode:contents(text) end

---Iterates over the children, elements as well as texts and comments. Removing the current one (`remove`) meanwhile is fine. Does
---not yield.
---@return fun(): mtev.xmlnode?
function xmlnode:children() end

---The next sibling, of any kind. Does not yield.
---
---Difference: libmtev's cannot be called like this, only used as an iterator.
---@return mtev.xmlnode? node
function xmlnode:next() end

---Takes the node, with all within, out of its document; an attribute out of its element. It can still be read. Once more does nothing.
---Does not yield.
---
---Raises for a document and what belongs to its DTD.
function xmlnode:remove() end

---Adds an element at the end. `"p:name"` is put into the namespace of p at this place, a plain name into the parent's. Does not
---yield.
---
---Raises for nodes that are no elements, names that XML does not allow, a prefix that is not declared, and for elements nested
---deeper than 256.
---@param name string
---@return mtev.xmlnode child
function xmlnode:addchild(name) end

-- == Digests and codecs ==================================================================================================
-- Pure functions; none yields. Compiled loops call them without leaving the trace.

---The MD5 digest (RFC 1321): 16 bytes.
---@param s string
---@return string bytes
function mtev.md5(s) end

---The MD5 digest as 32 lower-case hexadecimal digits.
---@param s string
---@return string hex
function mtev.md5_hex(s) end

---The SHA-1 digest (RFC 3174): 20 bytes.
---@param s string
---@return string bytes
function mtev.sha1(s) end

---The SHA-1 digest as 40 lower-case hexadecimal digits.
---@param s string
---@return string hex
function mtev.sha1_hex(s) end

---The SHA-256 digest (RFC 6234): 32 bytes.
---@param s string
---@return string bytes
function mtev.sha256(s) end

---The SHA-256 digest as 64 lower-case hexadecimal digits.
---@param s string
---@return string hex
function mtev.sha256_hex(s) end

---The old name of `mtev.sha256_hex`.
---@deprecated
---@param s string
---@return string hex
function mtev.sha256_hash(s) end

---HMAC-SHA-1 (RFC 2104) in base64.
---@param message string
---@param key string
---@return string base64 28 characters
function mtev.hmac_sha1_encode(message, key) end

---HMAC-SHA-256 (RFC 2104) in base64.
---@param message string
---@param key string
---@return string base64 44 characters
function mtev.hmac_sha256_encode(message, key) end

---Base64 (RFC 4648, section 4), with padding, in one line.
---@param s string
---@return string base64
function mtev.base64_encode(s) end

---Decodes base64; white space is skipped and padding may be missing.
---
---Difference: libmtev decodes anything.
---@param s string
---@return string? bytes nil for a character that does not belong there, or a text that ends within a group
---@return string message
function mtev.base64_decode(s) end

---A random UUID (RFC 4122, version 4), lower case, from the kernel's random numbers.
---@return string uuid 36 characters
function mtev.uuid() end

---Writes UTF-8 as HTML: characters beyond ASCII become entities, by name where HTML 4 has one (`&eacute;`), else `&#N;`. `&` and
---quotes stay as they are.
---
---Raises `invalid UTF-8 at offset N`.
---@param s string
---@param tags? boolean also `<` and `>`, as `&lt;` and `&gt;`; default false
---@return string html
function mtev.utf8tohtml(s, tags) end

---Makes a function that decompresses a stream, piece by piece: gzip (RFC 1952, also several members in a row, with zeros
---behind them), zlib (RFC 1950) or raw deflate (RFC 1951), whichever the first two bytes say. Each call returns what could be
---decompressed with the bytes so far and had not been returned; `""` is nothing yet.
---
---The function raises `zlib: data error` for anything else, also behind the end, and `zlib: more than N bytes` when a piece gives
---more than `limit`. From then on it always raises.
---@return fun(chunk: string, limit?: integer): string # limit: bytes that one call may return, default 1 MiB, 0 = none
function mtev.gunzip() end

---Compresses, as one gzip member. An extension.
---@param s string
---@param level? integer 0 (stored) to 9 (smallest); default 6
---@return string gzip
function mtev.gzip(s, level) end

-- == Logs ================================================================================================================
-- A stream has a name, is on or off, and sends to a sink or to other streams. `a/b/c` is made on first use and sends to
-- `a/b`. Built in: `stderr`, `stdout`, `error` -> `stderr`, `notice` -> `error`, and `debug` -> `stderr`, which is off
-- (`lhotse -d` turns it on). Streams belong to the process and stay. Records are written whole, by a thread of their own.
-- At most 8 MiB wait for a slow terminal or disk: then debug records are dropped first and the loss is reported, as is
-- one for lack of memory; stdout is never dropped, its writer waits.
--
-- The configuration makes others: each `<log name="..."/>` anywhere below `/*/logs`. Its outlets are the `<outlet name="..."/>` of
-- its own element and of those around it; attributes are inherited likewise, the nearest wins. With neither `type` nor outlets it
-- keeps the outlet it would have without the element. A record reaches a file, ring or descriptor once, whatever ways
-- lead there; once in each form, if they differ in timestamps, facility, debug or format.
--   type        absent (no sink of its own), or `file`, `file_synch` (written when `mtev.log` returns), `memory`, `stdout`, `stderr`
--   path        of the file, whose directory must be there; of `memory`: "LINES,BYTES", default "1000,1048576"
--   timestamps, facility, debug   `on`: each line begins with the local time, the stream's name, the thread and line of the caller
--   format      `plain` (default); `json`: an object a line, with time (RFC 3339, UTC), facility, thread, file, line, message
--   disabled    `on`: until it is enabled
--   rotate_bytes (at least 102400), rotate_seconds (at least 600)   FILE becomes FILE.YYYYMMDDTHHMMSS.UUUUUU (UTC)
--   retain_bytes, retain_seconds   how much of what was rotated stays, and how long
--   require_env `VAR`, `VAR=value`, `VAR~regex`, `!` in front for the contrary: else the element is ignored; also of an outlet
-- What cannot be, ends the program before the script runs: exit 2. SIGHUP opens the files anew. A file on a full disk, or whose
-- directory is gone, is tried again each second; what waits meanwhile is written then.

---Logs `string.format(fmt, ...)`. No newline is added. A disabled stream costs next to nothing: its arguments are not
---touched. Does not yield.
---
---Raises for a bad format, unless the stream is off, and for nil as facility or format.
---@param facility string
---@param fmt string `%s` takes any value
---@param ... any
---@return integer bytes 0 if the stream is off
function mtev.log(facility, fmt, ...) end

---As Lua's print (it is `print`): tostring, tabs between, a newline at the end. No format. Does not yield.
---@param ... any
---@return integer bytes
function mtev.print(...) end

---Chooses the stream that `mtev.print` writes to, for the whole process. It is `stdout` at first. Does not yield.
---@param facility string
function mtev.printto(facility) end

---Does a record for this stream reach a sink? false until the stream has been made or configured. Does not yield.
---@param facility string
---@return boolean
function mtev.log_enabled(facility) end

---Turns a stream on or off, for the whole process; it is made if need be. `debug/x` alone shows nothing while `debug` is off.
---Does not yield.
---@param facility string
---@param on? boolean default true
function mtev.enable_log(facility, on) end

---The records that a log of type `memory` holds, the oldest first, each with its prefix. Does not yield. Raises when
---there is no memory for all of them.
---@param facility string
---@param after? integer the number of a record: only those that came later; default 0, all
---@return string[]? lines nil if the log is not of that type
---@return integer|string last the number of the last record, to be given as `after` next time; or the reason
function mtev.log_lines(facility, after) end

-- == HTTP: mtev.Api =====================================================================================================
--
-- A client for one server, on libcurl: connections are kept and shared by all Apis of the thread, HTTP/2 is used where the server offers
-- it over TLS, gzip, deflate, br and zstd are unpacked, proxies are taken from the environment (http_proxy, https_proxy, no_proxy).
-- Redirects are not followed unless asked for. Names are looked up as `mtev.getaddrinfo` does, within the connect timeout, and believed
-- for a minute. When a kept connection turns out to be closed the request is made again on another one if
-- its method may be repeated (GET, HEAD, PUT, DELETE, OPTIONS, TRACE).
--
-- Defaults: 10 s to connect, 60 s in all (none when a function consumes or delivers a body), 30 s without a byte; 128 MiB of body (any number
-- when a function consumes it). Of a header 64 KiB and 1000 fields are read, of the trailers as much.

---@class mtev.Api
mtev.Api = {}

---Does not yield. Raises for bad hosts, ports and headers.
---@param host string name or address (IPv6 with a zone if need be), without scheme
---@param port integer|string 1..65535
---@param headers? table<string, any> sent with every request: values are strings, numbers, arrays (a line each);
---false leaves out a header of ours. Others raise
---@return mtev.Api
function mtev.Api:http(host, port, headers) end

---The same over TLS. The server is verified against `sslconfig.ca_chain`, or the system's store, and for its name, unless
---`verify = false`. Does not yield.
---@param host string
---@param port integer|string
---@param headers? table<string, any>
---@param sslconfig? table as for `ssl_upgrade_socket`; `snihost`: the name to ask for and to verify instead of `host` (the header Host stays `host`); `crl` must be a file
---@return mtev.Api
function mtev.Api:https(host, port, headers, sslconfig) end

---Makes a request. Yields.
---
---A table as payload is sent as JSON, with its content type. `Accept` is application/json, `User-Agent` lhotse/VERSION, unless headers
---say otherwise. Whatever goes wrong gives a response too: its `rc()` is -1 and its `text()` says why, mostly in libcurl's words,
---which change with its version; not so `"answer ended with 91 of 100 bytes missing"`, `"answer ended before the end of its
---body"`, `"what came is no HTTP"`.
---
---Content-Length is ours to say: one of the caller's is left out; Transfer-Encoding but `chunked` raises.
---
---Raises for misuse; errors of the functions in `options` come through.
---@param method string `"GET"` ..., upper case
---@param path? string with its query; what an URL may not hold is escaped; default `/`
---@param payload? string|table|(fun(): string?) a function is called for the body piece by piece, until it returns nil; it may yield. None with HEAD
---@param headers? table<string, any> they win over the Api's
---@param options? mtev.Api.options extension
---@return mtev.ApiResponse
function mtev.Api:request(method, path, payload, headers, options) end

---@class mtev.Api.options
---@field timeout? number seconds for the whole request; 0 is over at once, nothing is sent
---@field connect_timeout? number seconds, at least a millisecond
---@field idle_timeout? number seconds without a byte, rounded up to whole ones
---@field limit? integer bytes of the body, unpacked, also with `consume`; a longer one is an error
---@field redirects? integer follow at most so many: with 303 anything but HEAD becomes a GET, with 301 and 302 a POST; else the request is made again as it is, but for a body that comes from a function, which is an error. To another origin go no Authorization, Proxy-Authorization, Cookie and Host
---@field consume? fun(piece: string): any gets the body piece by piece; it may yield: the server waits then. false ends the request. `text()` is empty
---@field body_length? integer of a body that comes from a function; another length fails the request; default unknown: it is sent in chunks
---@field progress? fun(down: number, down_total: number, up: number, up_total: number) bytes so far and in all, 0 = unknown; it may yield
---@field progress_interval? number seconds; default 1
---@field decode? boolean false: the body as it came
---@field http1? boolean never HTTP/2
---@field proxy? string instead of the environment's; `""`: none

---Yields.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:get(path, payload, headers, options) end

---Yields.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:post(path, payload, headers, options) end

---Yields.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:put(path, payload, headers, options) end

---Yields. Extension.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:patch(path, payload, headers, options) end

---Yields. Extension.
---@param path? string
---@param payload? string|table|function
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:delete(path, payload, headers, options) end

---Yields. Extension.
---@param path? string
---@param payload? nil
---@param headers? table<string, any>
---@param options? mtev.Api.options
---@return mtev.ApiResponse
function mtev.Api:head(path, payload, headers, options) end

---What `options.timeout` is where a request does not say. Extension.
---@param seconds? number nil: the default again
---@return mtev.Api self
function mtev.Api:timeout(seconds) end

---What `options.limit` is where a request does not say. Extension.
---@param bytes? integer
---@return mtev.Api self
function mtev.Api:limit(bytes) end

---What `options.redirects` is where a request does not say. Extension.
---@param count? integer
---@return mtev.Api self
function mtev.Api:redirects(count) end

---@class mtev.ApiResponse
---@field code integer as rc()
---@field output string as text()
---@field headers table<string, string> by name, in any case; several of one name are joined by ", "; trailers are among them, where the header has no field of the name
---@field cookies string[] the values of Set-Cookie
---@field trailers table<string, string> what came behind the body, by name, in any case
---@field url string what was asked for
mtev.ApiResponse = {}

---@return integer rc the status; -1: there is no (whole) answer
function mtev.ApiResponse:rc() end

---@return string text the body; with rc -1 why there is none
function mtev.ApiResponse:text() end

---Raises `URL: HTTP 404: BODY`, or `URL: REASON`, unless the status is 200 to 299.
---@return mtev.ApiResponse self
function mtev.ApiResponse:check() end

---The body as JSON; raises when it is none.
---@return any value nil for an empty body
function mtev.ApiResponse:json() end

---The body as XML; raises when it is none.
---@return mtev.xmldoc? doc nil for an empty body
function mtev.ApiResponse:xml() end

-- == HTTP: require "mtev.HttpClient" =====================================================================================

---@class mtev.HttpClient
---HTTP/1.x on one connection, by hand, as libmtev's class of that name. One request at a time; the connection stays
---open for the next one if both sides allow. gzip and deflate are unpacked. After a failure of get_response it is
---closed, also when a hook raises, or the coroutine is cancelled, before the answer is whole. `require
---"mtev.HttpClient"` gives the class. Other fields are private.
---
---Of an answer's header 64 KiB and 1000 fields are read, of the trailers as much, of a chunk's line 16 KiB. Lines may end with LF alone, and be
---folded. What two readers may understand differently is refused: white space before a colon, NUL and stray CR, lengths that are none or
---differ, transfer codings but `chunked`. After an answer with both a length and `chunked`, which counts then, the connection is closed.
---@field code? integer the status
---@field protocol? string `"1.1"`
---@field headers? table<string, string> by lower-case name, without cookies
---@field cookies? string[] the values of Set-Cookie
---@field trailers? table<string, string> what came behind a chunked body; those that the header does not have are added to `headers`
---@field raw_bytes integer of the body, as it came
---@field content_bytes integer of the body, unpacked
local HttpClient = {}

---@param hooks? {connected?: fun(), headers?: fun(headers: table<string, string>, cookies: string[]), consume?: fun(piece: string), certfile?: fun(): string, keyfile?: fun(): string, cachain?: fun(): string, ciphers?: fun(): string} consume gets the body piece by piece; certfile and the following give what sslconfig does not say; they may yield
---@param sslconfig? table as for `ssl_upgrade_socket`
---@return mtev.HttpClient
function HttpClient:new(hooks, sslconfig) end

---Closes what was open and connects. Yields. Raises, before anything is closed, when `ssl_host` or `snihost` is no
---name.
---@param target string address, host name, unix path or `"reverse:NAME"`
---@param port? integer|string
---@param ssl? boolean
---@param ssl_host? string the name to ask for and to verify; default `sslconfig.snihost`, else `target`, which may be an address
---@param layer? string
---@return integer rv 0; or -1
---@return string? err
function HttpClient:connect(target, port, ssl, ssl_host, layer) end

---Sends a request. Content-Length is added (one of the script's is left out), and Host and User-Agent if they are missing. Yields. Raises
---for names and values that cannot be sent, for Transfer-Encoding, for two Hosts, and for one that could be taken for
---several (spaces, `@`, `?`, `#`, backslashes).
---
---If something has come that was not asked for, which would pass for the answer, the connection is closed and nothing sent.
---@param method string
---@param uri string without spaces and control characters
---@param headers? table<string, string|number>
---@param payload? string
---@param version? string `"1.1"` (default) or `"1.0"`
---@return boolean? ok
---@return string? err `not connected`, `the server sent something that was not asked for`, or the socket's
function HttpClient:do_request(method, uri, headers, payload, version) end

---Receives the answer. Yields. `closed`: a hook or another coroutine closed the client before the answer was whole.
---
---Difference: failures are returned.
---@param limit? integer bytes of the body, unpacked: at more it ends with `nil, "limit"`, the hook having got so many
---@return boolean? ok
---@return string? err `timeout`, `limit`, `not connected`, `closed`, or what is wrong with the answer
function HttpClient:get_response(limit) end

---How long the header may take, and each further piece; default 10.
---@param seconds? number
function HttpClient:set_timeout(seconds) end

---How long connecting may take, and the TLS handshake; default 10.
---@param seconds? number
function HttpClient:set_connect_timeout(seconds) end

---May be called again.
function HttpClient:close() end

---@return mtev.eventer.ssl_ctx? ctx nil without TLS; also after a handshake that failed
function HttpClient:ssl_ctx() end

---The value of the header Authorization that answers a Digest challenge (RFC 7616: MD5, SHA-256 and their -sess
---forms, qop auth or none). A challenge that it cannot be for gives nil, err. Raises for control characters in `uri`
---and `user`.
---@param method string
---@param uri string
---@param user string
---@param password string
---@param challenge string the header WWW-Authenticate, with or without the word Digest
---@return string? authorization
---@return string? err
function HttpClient:auth_digest(method, uri, user, password, challenge) end

-- == WebSocket ===========================================================================================================

---Connects to a WebSocket server (RFC 6455), in a coroutine of its own, which then runs the callbacks one after the other; they may
---yield, and messages wait meanwhile: up to 1 MiB of them, then nothing more is read. Pings are answered, fragments put together; a
---server that does not take its pongs is not read from (64 of them are kept). An open client keeps the program alive. Does not yield.
---
---Of the server's answer to the handshake 64 KiB are read, with at most 1000 header fields; lines that end without CR LF, folded lines
---and what else two readers may understand differently end it.
---
---Difference: a callback that returns nothing leaves the connection open; libmtev closes it.
---@param host string
---@param port integer|string
---@param uri? string default `/`; ASCII without spaces, control characters and `#`
---@param service? string subprotocols to offer, `"a, b"`; nil or empty: none
---@param callbacks mtev.websocket_callbacks
---@param sslconfig? table as for `ssl_upgrade_socket`; nil or empty: no TLS
---@return boolean is_started false when it cannot be tried: a bad host, snihost, port, uri or service. What fails later is told by `cleanup`
function mtev.websocket_client_connect(host, port, uri, service, callbacks, sslconfig) end

---@class mtev.websocket_callbacks
---@field ready? fun(ws: mtev.websocket_client): boolean? it is open; false closes it
---@field message? fun(ws: mtev.websocket_client, opcode: integer, payload: string): boolean? TEXT or BINARY; false closes
---@field cleanup? fun(ws: mtev.websocket_client) once, at the end, also when it was never open
---@field compress? boolean false: permessage-deflate (RFC 7692) is not offered. Extension
---@field limit? number bytes of a message, unpacked; a longer one ends the connection with 1009; default 16 MiB. Extension

---@class mtev.websocket_client
---@field CONTINUATION integer 0
---@field TEXT integer 1
---@field BINARY integer 2
---@field CONNECTION_CLOSE integer 8
---@field PING integer 9
---@field PONG integer 10
---@field protocol? string the subprotocol agreed on
---@field is_compressed? boolean messages are compressed where that pays
---@field error? string in cleanup: why it ended, be it that a callback raised; nil by an orderly close
---@field close_code? integer in cleanup: the server's; 1005 it gave none, 1006 it sent no close frame
local websocket_client = {}

---Sends a message, from any coroutine. Yields while more than 1 MiB waits to be sent. Raises for other opcodes, text that is not UTF-8,
---pings and pongs of more than 125 bytes, and when there is no memory for it (nothing of it is sent then).
---@param opcode integer TEXT, BINARY, PING, PONG; CONNECTION_CLOSE closes
---@param payload? string
---@return boolean ok false: it is closed, or closing
function websocket_client:send(opcode, payload) end

---Sends a close frame. No message comes any more; `cleanup` is called when the server has answered, or after 5 s. Does not yield.
---@param code? integer 1000 (default) to 1003, 1007 to 1014, 3000 to 4999; raises for others: they stand for what has no close frame, or for nothing
---@param reason? string UTF-8; at most 123 bytes of it go out, cut at a character
function websocket_client:close(code, reason) end

-- == Names and addresses =================================================================================================

---@class mtev.dns
---Asks DNS servers. Any number of lookups may be under way on one object, from any coroutine of the thread; about 250 are sent at a
---time, the rest wait their turn. Objects for the same server share its questions and sockets.
local dns = {}

---@param nameserver? string `"ip"`, `"ip:port"`, `"[ip]:port"`; default: the servers of /etc/resolv.conf, with its
---`timeout:` and `attempts:`, read again when the file has changed. Anything else raises
---@return mtev.dns
function mtev.dns(nameserver) end

---Asks for the records of a name: one table for each. Every table has `ttl` (seconds), and by type:
---`a`, `aaaa` (text) · `cname`, `ns`, `ptr`, `mb`, `md`, `mf`, `mg`, `mr`, `dname` (a name) · `mx`, `preference` · `txt`, `spf` (the
---strings of a record, joined) · `srv`, `priority`, `weight`, `port` · `mname`, `rname`, `serial`, `refresh`, `retry`, `expire`,
---`minimum` (SOA) · `caa`, `tag`, `flags` · `order`, `preference`, `flags`, `service`, `regexp`, `replacement` (NAPTR) ·
---`keytag`, `algorithm`, `digesttype`, `ds` · `usage`, `selector`, `matching`, `tlsa` · `algorithm`, `fptype`, `sshfp` · `priority`,
---`https` or `svcb`, `params` · `cpu`, `os` (HINFO) and so on: what has no fields of its own is bytes under its type's name. Records
---of types unknown here have `type` (a number) and `data` (bytes).
---
---Aliases (CNAME) are followed, also over several answers, at most 16. A truncated answer is asked for again over TCP. What does not
---answer the question that was asked is ignored. Yields.
---
---Raises `dns: bad rr type` for unknown types and classes.
---
---Difference: without a record libmtev returns no values.
---@param name string
---@param rtype? string `"A"` (the default), `"AAAA"`, `"MX"`, `"ANY"` ..., in any case
---@param ctype? string `"IN"` (the default), `"CH"`, `"HS"`, `"ANY"`
---@return table? record nil if there is none
---@return table|string|nil ... more records; without any, why: `"no such name"`, `"no data"`, `"timeout"`, `"server failure"`, `"refused"`, `"malformed answer"`, `"too long a chain of aliases"`, `"no server has an answer"`
function dns:lookup(name, rtype, ctype) end

---Also as `d.is_valid_ip(text)`. Does not yield.
---@param text string
---@return boolean is_valid
---@return integer? family 2 (AF_INET) or 10 (AF_INET6)
function dns:is_valid_ip(text) end

---The address of a host as the system finds it (getaddrinfo(3): /etc/hosts, nsswitch.conf, DNS), on a pool of threads. Literals
---give themselves. Names of /etc/hosts do not wait for others, which a name server may keep waiting. Yields.
---
---Raises unless it is given exactly one name.
---@param host string
---@return string|false ip IPv4 if it has one, else IPv6; false on failure
---@return string family `"inet"` or `"inet6"`; on failure `getaddrinfo(NAME) failed: REASON`
---@return string[]? all every address, IPv4 first; extension
function mtev.getaddrinfo(host) end

---Reads an address. Does not yield.
---@param text string
---@return boolean ok false (alone) when it is none
---@return string? family `"inet"` or `"inet6"`
---@return userdata? address 4 or 16 bytes, in network order
function mtev.inet_pton(text) end

-- == Daemons ===========================================================================================================
--
-- `lhotse -c FILE` without a script runs what the configuration names:
--   <modules>
--     <script file="web.lua" threads="all" entry="main"><argument>8080</argument></script>
--   </modules>
-- `threads`: a number, default 1, or `all`; scripts of fewer threads than there are (`/*/eventer/config/concurrency`, `-n`) are spread over
-- them. A script has globals of its own, and sees those of its thread; `arg`, `...` and the entry are as on the command line. libmtev's
-- form is there too: `<generic image="lua_mtev"><config><directory>DIR/?.lua</directory><cpath/><lua_module>NAME</lua_module>
-- <lua_function>FUNCTION</lua_function><concurrent>true</concurrent></config></generic>`, in the first thread unless concurrent.
-- `print` goes to the log `error`. `<security user="www-data" group="www-data"/>` is as `-u` and `-g`: of root's rights the one to bind low
-- ports stays, because scripts bind after that; programs that they start have nothing of it and gain nothing (sudo and the like fail).
-- A user that is a number without an account needs a group. An uncaught error ends the process: `-m` starts it again.

-- == Watchdog ============================================================================================================
--
-- `lhotse -m FILE` runs managed: a monitor in the background (`-m -m`: in the foreground) starts the program as its worker, and again
-- when it ends with another status than 0 or when one of its event loops has not turned for the timeout. An idle loop is alive. Of a
-- hang and a crash a trace is kept: the tracebacks of all coroutines of that thread, and the C functions. SIGTERM to the monitor ends
-- both; when the monitor dies so does the worker.
-- `<watchdog timeout="5" retries="5" span="60" tracedir="/var/tmp" glider="PROGRAM"/>`: seconds without a turn
-- (MTEV_WATCHDOG_TIMEOUT in the environment wins); so many new starts (a whole number) in so many seconds, then the
-- monitor ends with 1; where traces go, as lhotse.PID.trc; what is run with the worker's pid and `watchdog`, `crash` or
-- `unknown`, before a hung worker is killed. With `interrupt_time="3"` Lua code that runs so many seconds without a
-- turn (under `-m` only) gets the error `interrupted!`, once until the next turn: an endless loop costs its coroutine
-- (or, uncaught, a new start with a traceback). Not in C functions, nor in loops that LuaJIT has compiled: these hang
-- until the timeout.
-- Under systemd (NOTIFY_SOCKET), managed or not: READY=1 when each thread's script has begun, WATCHDOG=1 while all loops turn, STOPPING=1.

---Says that this thread is alive, for code that computes for long without waiting: loops say it by themselves at each turn.
---Does not yield.
---@return integer zero also when nobody looks
function mtev.watchdog_child_heartbeat() end

---How long this thread may go without a turn. Does not yield.
---@return number? seconds nil when nobody looks: neither a monitor nor systemd's watchdog; 5 under `-m` without a configuration
function mtev.watchdog_timeout() end

-- == Cluster ===========================================================================================================
--
-- Processes on several machines as one: membership, age, values, sequences, messages and semaphores, by an etcd (v3) that all can
-- reach. `docs/clusters.md` says what is promised and how it grows.
--   <clusters>
--     <cluster name="a" endpoints="http://10.0.0.1:2379,http://10.0.0.2:2379,http://10.0.0.3:2379" ttl="5"/>
--   </clusters>
--   ttl       seconds (2 to 86400) after which a node that says nothing is no member any more; default 5
--   timeout   seconds for what asks etcd; default 5
--   prefix    of all keys in etcd; default `/lhotse/NAME/`
--   node      the name that others see; default HOST:PID
--   user, password; ca, certificate, key (PEM files)   with `https://` endpoints; the server's certificate is verified always
-- Without endpoints a cluster is this process alone, with the same interface: programs run on a laptop unchanged. It, too, keeps the
-- program alive until it is left, and then loses its ephemeral values and semaphores. A process is one node, with all its threads.
--
-- Membership is lost when etcd cannot be told for `ttl` that the node lives. A node knows that by its own clock before etcd acts on it,
-- and what it writes is written only as a member: after a stop, or cut off, it cannot act on what it had. What it held (semaphores,
-- ephemeral values, the lead) is lost; each coroutine that had asked or acted before gets one error from the next call that acts; the
-- node joins again by itself, as the youngest. Functions that ask etcd return nil and a message when it does not answer in time, or
-- the node is no member; "it may have been done" is in the message when that is not known.

---@class mtev.cluster
local cluster = {}

---The cluster of that name. The first call joins it, in the background, and keeps the program alive until `leave`. Does not yield.
---
---Raises if its settings are no good. Methods raise `no such cluster` when it is not configured any more, and for arguments too many.
---
---Difference: libmtev's own protocol and its lists of `<node>` are not there. Libmtev returns nothing for an unknown name.
---@param name string
---@return mtev.cluster? c nil if no such cluster is configured
function mtev.cluster(name) end

---Waits until this node is a member. Yields.
---@param timeout? number seconds; nil for ever
---@return boolean? ok
---@return string? message
function cluster:join(timeout) end

---How many members there are, this one included; 0 while it is none. Yields for the first join (at most `timeout`), then never.
---@return integer
function cluster:size() end

---Is this node the oldest member? Of a cluster there is never more than one node that gets true at the same time, given clocks that
---run at the same rate; false while it is no member. Yields as `size`.
---@return boolean
function cluster:am_i_oldest_visible_node() end

---The members, the oldest first. `revision`: of etcd, when it joined. Yields as `size`.
---@return {id: string, name: string, revision: integer, is_self: boolean}[] nodes
function cluster:nodes() end

---The member that a key belongs to, by rendezvous hashing: the same at all members that see the same members; when one comes or goes
---only its own keys move. Yields as `size`.
---@param key string
---@return {id: string, name: string, revision: integer, is_self: boolean}? node nil while this node is no member
function cluster:owner(key) end

---This node's id, as in `nodes`. It stays when the node joins again. Does not yield.
---@return string id
function cluster:id() end

---Has `f` called, in a coroutine of its own, each time that members come or go. Does not yield.
---@param f fun(nodes: table[]) # as `nodes` gives them
---@return fun() stop
function cluster:on_change(f) end

---Has `f` called, in a coroutine of its own, each time that this node's membership is lost. Does not yield.
---@param f fun(why: string)
---@return fun() stop
function cluster:on_lost(f) end

---Leaves: the others are told at once. `mtev.cluster` joins again. A program that a signal tells to end leaves by itself. Yields.
---@return boolean? ok
---@return string? message etcd has not answered: it goes on trying
function cluster:leave() end

---A value, as the last `set` or `cas` of any node left it (linearizable). Yields.
---@param key string
---@return string? value nil if there is none; or
---@return string? message
function cluster:get(key) end

---Sets a value. Yields.
---@param key string
---@param value string? nil deletes
---@param options? {ephemeral?: boolean} ephemeral: it goes when this node's membership does
---@return boolean? ok
---@return string? message
function cluster:set(key, value, options) end

---Sets a value if it is what is expected. Yields.
---@param key string
---@param expected string? nil: there is none
---@param value string? nil deletes
---@return boolean? done false: it was another; nil: message
---@return string? value the other; or the message
function cluster:cas(key, expected, value) end

---1, 2, 3 ... for each key: no two calls of any node get the same, and a call that begins after another has returned gets a greater
---one. Numbers may be left out when etcd fails in mid-call. Yields.
---@param key string
---@return integer? number
---@return string? message
function cluster:seq(key) end

---Sends values to whichever node waits for the key, or will; they wait in etcd. Each message reaches one waiter, the oldest message
---first; it is lost if that node dies at the moment of taking it. Values: nil, booleans, numbers, strings, tables of these. Yields.
---
---Raises for other values. Messages count for etcd's limit of 1.5 MB a request.
---@param key string
---@param ... any
---@return boolean? ok
---@return string? message
function cluster:notify(key, ...) end

---Waits for a message. Yields.
---@param key string
---@param timeout? number seconds; nil for ever, 0 polls
---@return string? key no value at all on timeout; nil and a message if etcd fails or the membership is lost
---@return any ... the values
function cluster:waitfor(key, timeout) end

---A semaphore of all nodes. `n` counts as long as all give the same. Does not yield.
---@param name string
---@param n? integer units; default 1
---@return mtev.cluster.semaphore
function cluster:semaphore(name, n) end

---@class mtev.cluster.semaphore
local cluster_semaphore = {}

---Takes a unit; who has waited longest, on any node, is next. Cancelled, or when its time is over, it takes none. Yields.
---@param timeout? number seconds; nil for ever, 0 tries
---@return boolean? taken false on timeout; nil: message
---@return string? message
function cluster_semaphore:acquire(timeout) end

---`acquire(0)`. Yields.
---@return boolean? taken
---@return string? message
function cluster_semaphore:try_acquire() end

---Gives a unit back that this object took. Yields.
---@return boolean? ok nil: it holds none, any more or at all; or etcd has not answered, then it goes on trying
---@return string? message
function cluster_semaphore:release() end

---The units that this object holds; 0 from the moment the membership is lost. Does not yield.
---@return integer units
function cluster_semaphore:held() end

-- == Configuration =======================================================================================================
--
-- One XML document for the process: the file of `-c`, or what the command line amounts to (root `<cli>`, see `-T`). Paths are XPath 1.0,
-- relative ones begin at the document. Of several nodes the last one in document order counts, so that `ancestor-or-self::node()/@x`
-- gives the deepest. A path that is none raises `bad XPath: ...`. None of these functions but conf_save yields.
--
-- As they are read, a whole value `ENV:default:{KEY}`, and each `{{ENV:default:{KEY}}}` within one, become the environment variable
-- KEY, or the default, which has no white space and no braces. `<include file="..." [snippet="true"]/>` has the children of that file's root below it (of a snippet: its
-- content). Nothing is fetched, external entities are refused.
--
-- The program itself looks at `/*/eventer/config/concurrency`: the number of threads, unless `-n` says; at `<logs>`, `<watchdog>`,
-- `<modules>`, `<security>` and `<clusters>`, as the sections on these say. What it does not know there is reported at the start,
-- with the name that is nearest, and ignored; a value that it cannot use ends it with status 2.
--
-- Changes stay in memory until `conf_save`; every thread sees each of them at once. Difference: libmtev rewrites the file at every one.

---@param xpath string
---@param value? string in libmtev's older form sets: changes the one node that matches, or makes it; then the result is true, or false when there is no parent or several match
---@return string|boolean|nil value nil when nothing matches; what is no node set gives its value: `count(//x)` is `"3"`
function mtev.conf_get_string(xpath, value) end

---Decimal, `0x...`, or octal with a leading 0; at most 2^53.
---@param xpath string
---@param value? number sets, as for conf_get_string
---@return integer|boolean|nil value nil when nothing matches
---@return string? err `not an integer: 'abc'`
function mtev.conf_get_integer(xpath, value) end

---@param xpath string
---@param value? number sets, as for conf_get_string
---@return number|boolean|nil value nil when nothing matches
---@return string? err `not a number: 'abc'`
function mtev.conf_get_float(xpath, value) end

---true, on, yes, 1 and false, off, no, 0, in any case. Difference: in libmtev all else is false.
---@param xpath string
---@param value? any sets, as for conf_get_string
---@return boolean? value nil when nothing matches
---@return string? err `not a boolean: 'abc'`
function mtev.conf_get_boolean(xpath, value) end

---Raises `Unable to read option entry: BASE CHILD` for a match without the child.
---@param base string
---@param child string relative to each match
---@return string[]? values one for each match of base; nil when there is none
function mtev.conf_get_string_list(base, child) end

---Removes what matches, and sets the path's last step, `name` (an element) or `@name` (an attribute), at its parent: the first of several;
---for `//name` where the first match was. Raises when the last step is neither, and for text that XML cannot hold.
---@param path string
---@param value string|number|boolean
---@return boolean? ok false: there is no parent; nil without a value
function mtev.conf_replace_value(path, value) end

---@param path string
---@param value any true or false by its truth
---@return boolean? ok
function mtev.conf_replace_boolean(path, value) end

---Writes the configuration to its file, which is replaced as a whole; what was included stays in its files. A coroutine
---that is cancelled meanwhile leaves the old file or the new one, and no other. Yields. Extension.
---@return boolean ok
---@return string? err
function mtev.conf_save() end

---Nothing: for scripts that tell libmtev so. Extension.
function mtev.conf_mark_changed() end

---libmtev's name for conf_get_string.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf(xpath, value) end

---libmtev's name for conf_get_string.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_get(xpath, value) end

---libmtev's name for conf_get_string.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_string(xpath, value) end

---libmtev's name for conf_get_integer.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_integer(xpath, value) end

---libmtev's name for conf_get_float.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_number(xpath, value) end

---libmtev's name for conf_get_float.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_get_number(xpath, value) end

---libmtev's name for conf_get_boolean.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_boolean(xpath, value) end

---libmtev's name for conf_replace_value.
---@param path string
---@param value string|number|boolean
---@return boolean? ok
function mtev.conf_replace_string(path, value) end

---libmtev's name for conf_replace_value.
---@param path string
---@param value string|number|boolean
---@return boolean? ok
function mtev.conf_replace_integer(path, value) end

---libmtev's name for conf_replace_value.
---@param path string
---@param value string|number|boolean
---@return boolean? ok
function mtev.conf_replace_number(path, value) end

-- == Time ================================================================================================================

---The wall clock. Does not yield.
---@return number seconds since 1970-01-01 00:00 UTC, with microseconds
function mtev.time() end

---The wall clock. Does not yield.
---@return integer sec since 1970-01-01 00:00 UTC
---@return integer usec 0..999999
function mtev.gettimeofday() end

---A point in time or a duration; cannot be changed. `+` and `-` take a timeval or a number of seconds on either side and give
---a timeval; `<` and `<=` compare with both; `==` only with a timeval. tostring gives `S.UUUUUU`. Unknown fields are nil.
---
---Difference: type() is "cdata", because only those can be ordered against numbers.
---@class mtev.timeval
---@field sec integer may be negative
---@field usec integer 0..999999
local timeval = {}

---@return number seconds
function timeval:seconds() end

---@class mtev.timevallib
mtev.timeval = {}

---@return mtev.timeval now the wall clock
function mtev.timeval.now() end

---@param sec number with usec: whole seconds; without: seconds with their fraction
---@param usec? integer any size and sign
---@return mtev.timeval
function mtev.timeval.new(sec, usec) end

---@param tv mtev.timeval
---@return number seconds
function mtev.timeval.seconds(tv) end

---@class mtev.timezone
---A time zone: cdata; the same name gives the same object while it is held.
local timezone = {}

---A time zone of the system's files (`$TZDIR`, else /usr/share/zoneinfo). Does not yield; the file is read when the zone was not
---in use.
---
---Raises `unknown timezone: NAME` for names that are no zone's, also for those with `..` in them; `cannot read timezone
---NAME: WHY` when the file cannot be read just now.
---@param name string `"Europe/Zurich"`, `"UTC"`
---@return mtev.timezone
function mtev.timezone(name) end

---An instant as the zone's clocks show it. Beyond the changes that the zone's file lists, its rule goes on. Does not yield.
---
---Fields: `second` 0-59 (60 in a leap second of the zones `right/…`), `minute`, `hour`, `monthday` 1-31, `month` 1-12, `weekday`
---1-7 (Sunday is 1), `yearday` 1-366, `year`, `dst` (boolean: daylight saving time), `offset` (seconds east of UTC), `zonename`
---(`"CET"`).
---
---Raises for an unknown field, and times of 2^53 s and more.
---@param time number seconds since 1970 UTC, of any sign; fractions are cut downwards
---@param field string
---@param ... string more fields
---@return integer|boolean|string value
---@return integer|boolean|string ... one value for each field
function timezone:extract(time, field, ...) end

-- == require "mtev.debug" ================================================================================================

---@class mtev.debug
local debug = {}

---What is alive in this thread, for leak checks: coroutines of the scheduler that have not ended (the caller too), armed
---timers, open sockets and pipes, children that run, file operations under way.
---@return {coroutines: integer, timers: integer, sockets: integer, children: integer, jobs: integer}
function debug.counts() end

---Makes the n-th allocation from now, of those that can fail, fail once: for tests of what happens without memory. Only a build of the
---preset `debug` or `asan` can.
---@param n integer 0: none
---@return boolean it can
function debug.fail_allocation(n) end

---Where a coroutine waits: through the coroutines inside it, down to the place where it was spawned.
---@param co thread
---@return string? traceback nil when it has ended
function debug.traceback(co) end
