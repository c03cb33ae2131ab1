---@meta
-- Sockets: mtev.socket and the methods of an eventer: bind, listen, accept, connect, read, write, own, split, close
-- ...

-- == Sockets ========================================================================================================

---A socket: TCP, UDP or Unix.
---
---Every eventer belongs to one coroutine: the one that made it, or that last called `own`. Only that one may accept,
---connect, read and write; another raises `cross-coroutine socket call: use event:own()`. When the owner ends, the
---eventer is closed at once. A coroutine that a script resumes itself acts for the coroutine of the scheduler that it
---runs in.
---
---Every method but `close` and `own` raises `mtev.eventer is closed` on a closed one; every method, these two as
---well, raises `mtev.eventer is owned by another coroutine` on a handle that `own` has replaced. Results differ: bind
---and connect give -1, err; listen gives -1, errno, err. An unreferenced eventer is closed by the collector.
---@class mtev.eventer
local eventer = {}

---A new socket, owned by the caller: non-blocking, close-on-exec, for TCP with TCP_NODELAY. Connects nothing and does
---not yield.
---
---Raises `mtev.socket family for X unknown` for another address, `mtev.socket called with invalid arguments` for
---another type, and outside a coroutine of the scheduler.
---
---`address`: `"inet"` (the default), `"inet6"`, `"unix"`, an IPv4 or IPv6 literal (its family), a path with `/`
---(unix), `"reverse:NAME"` (inet)
---@param address? string
---@param type? "tcp"|"udp" stream (the default) or datagram, also for unix
---@return mtev.eventer? e nil when the system refuses
---@return integer errno
---@return string err
function mtev.socket(address, type) end

---Gives the socket an address. Does not yield. After a failure it can only be bound again, or closed: listen,
---connect, send and recv fail with the same error, rather than use an address of the system's choice.
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

---The next connection, owned by the caller. Yields if none is pending. A connection that died in the queue is
---skipped.
---
---When descriptors or memory run out (EMFILE, ENFILE, ENOBUFS, ENOMEM) it returns nil, err; the listener stays
---usable, and the next accept waits until a descriptor of ours closes or 100 ms have passed.
---@return mtev.eventer? e
---@return string? err `closed` when another coroutine closes the listener meanwhile
function eventer:accept() end

---Connects. Yields while that is under way (UDP with an address: never). After a failure the eventer can only be
---closed. When the queue of a unix listener is full it waits for room. A socket that the kernel would connect with
---itself is refused.
---
---A host name is looked up as getaddrinfo(3) does (/etc/hosts, nsswitch.conf, DNS), on the pool of threads, and its
---addresses race (RFC 8305): they are tried in turn, families alternating, the socket's own first; the next one
---begins when one fails, or after a quarter of a second without an answer. The first that is connected becomes the
---socket, with the options that were set on it. So a socket of "inet" may end up with an IPv6 address. A datagram
---socket, and one that was bound, connect to the first address of their family instead.
---
---`target`: an IP literal (IPv6 with a zone if need be), a host name, a path with `/` for unix, or `"reverse:NAME"`:
---a channel to the process that offers that name, see reverse_listen; nobody does:
---`-1, "Reverse connection unavailable"`
---@param target string
---@param port? integer
---`timeout`: seconds, for everything; nil: the system's; 0: only an immediate success counts. The third argument,
---also for paths
---@param timeout? number
---@return integer rv 0; or -1
---@return string? err `timeout`, `Cannot translate 'X' to IP`, or the system's text
function eventer:connect(target, port, timeout) end

---Reads as many bytes as a number says, or up to and including a terminator. A string that tonumber takes is a count,
---not a terminator. Yields until they have come.
---
---At the end of the stream, or before an error, what is left comes first: fewer bytes, or a piece without its
---terminator. Then the end gives nil, an error nil, err. Bytes that were not asked for stay for the next call,
---whatever form that has. The terminator is found however the packets split it, and each byte is searched once.
---
---A timeout leaves what has come so far to the next call.
---
---`e:read(stop, nil, seconds, fn)` is libmtev's form of a timeout (10 s unless a number): then `fn()` is called in
---this coroutine and nil returned. `e:read(stop, nil, seconds)` is the option `timeout`.
---
---Raises `empty terminator`, for negative numbers and NaN, and while another coroutine reads.
---@param stop integer|string number of bytes (also as a numeric string), or a terminator
---`options`: seconds; the most bytes to wait through for a terminator: 16 MiB unless said, math.huge: as many as a
---string has (so it is by the name luamtev). A count is the script's own number: one above a `limit` that is given
---gives `nil, "limit"` at once; else it is as great as a string may be
---@param options? {timeout?: number, limit?: number}
---@param seconds? number
---@param fn? fun()
---@return string? data
---@return string? err `timeout`, `limit`, `closed`, or the system's text
function eventer:read(stop, options, seconds, fn) end

---Writes all of it. Yields until the kernel has taken the last byte. A connection that the peer closed gives -1,
---never a signal.
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

---One datagram, or for streams whatever is there (buffered input first). Yields while there is nothing. Any coroutine
---of the thread may, unless another one is receiving.
---@param count integer the most bytes. 0 discards one datagram
---@param options? {timeout?: number} seconds
---@return integer rv number of bytes; 0 at the end of a stream; -1 on failure
---@return string payload or, on failure, err: `timeout`, `closed`, or the system's text
---`address`: the sender, on streams too; nothing for the end of a stream, nil for a unix socket without a name
---@return string? address
---@return integer? port
---@return boolean? is_truncated true if the datagram was longer than count, else absent
function eventer:recv(count, options) end

---Sets an option by the name that the system's headers give it: `SO_*`, `TCP_*`, `UDP_*`, `IP_*`, `IPV6_*`. Does not
---yield.
---
---`SO_LINGER` takes seconds or false, `SO_RCVTIMEO` and `SO_SNDTIMEO` seconds (without effect on the calls here),
---`SO_BINDTODEVICE` and `TCP_CONGESTION` text; memberships (`IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`, ...) take a
---group's address, or `{group, interface}` with the interface's address or name; `IP_MULTICAST_IF` an interface.
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

---Makes the calling coroutine the owner. The new handle has all that the old one had, buffered input too; the old one
---is dead. The owner itself gets the same handle back. Does not yield.
---
---Raises while another coroutine waits in a call on it.
---@return mtev.eventer? e nil if it is closed
function eventer:own() end

---Two handles of one connection, so that one coroutine may read while another writes: each makes its half its own
---with `own`. The reader can only read, the writer only write. Closing the writer sends the end of the stream; the
---connection is closed when both are. The old handle is dead. Does not yield.
---
---Raises for a half of a split one, and while a coroutine waits in a call on it.
---@return mtev.eventer reader
---@return mtev.eventer writer
function eventer:split() end

---Closes. A coroutine that waits in a call on it gets that call's failure with `closed`. What the kernel has taken is
---still delivered, also when there is input that nobody has read: for that the connection stays in the background for
---up to 30 s or 64 MiB, discarding what the peer sends, and the program stays with it. With SO_LINGER 0 the
---connection is reset at once. Does not yield.
---@return integer rv 0, also when it was closed already
function eventer:close() end
