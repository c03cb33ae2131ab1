---@meta
-- Sockets: mtev.socket and the methods of an eventer: bind, listen, accept, connect, read, write, own, split, close.

-- == Sockets ========================================================================================================

---A socket: TCP, UDP or Unix.
---
---Every eventer belongs to one coroutine: the one that made it, or that last called `own`. Only that one may accept,
---connect, read and write; any other raises `cross-coroutine socket call: use event:own()`. When the owner ends, the
---eventer is closed immediately. A coroutine that a script resumes itself acts for the scheduler's coroutine that it
---runs in.
---
---Every method but `close` and `own` raises `mtev.eventer is closed` on a closed one; every method, including these
---two, raises `mtev.eventer is owned by another coroutine` on a handle that `own` has replaced. Failures differ: bind
---and connect return -1, err; listen returns -1, errno, err. An unreferenced eventer is closed by the collector.
---@class mtev.eventer
local eventer = {}

---A new socket, owned by the caller: non-blocking, close-on-exec, TCP with TCP_NODELAY. Does not connect and does not
---yield.
---
---Raises `mtev.socket family for X unknown` for any other address, `mtev.socket called with invalid arguments` for
---any other type, and outside a coroutine of the scheduler.
---
---`address`: `"inet"` (the default), `"inet6"`, `"unix"`, an IPv4 or IPv6 literal (its family), a path with `/`
---(unix), `"reverse:NAME"` (inet)
---@param address? string
---@param type? "tcp"|"udp" stream (the default) or datagram, also for unix
---@return mtev.eventer? e nil when the system refuses
---@return integer errno
---@return string err
function mtev.socket(address, type) end

---Gives the socket an address. Does not yield. After a failure it can only be bound again or closed: listen, connect,
---send and recv fail with the same error rather than use an address of the system's choice.
---@param address string an IP literal, `"*"` for any, or a path (unix; no port)
---@param port? integer 0 lets the system choose: ask `sock_name`
---@return integer rv 0; or -1
---@return string? err `Cannot translate 'X' to IP` for anything but an address
function eventer:bind(address, port) end

---Listens for connections. Does not yield.
---@param backlog? integer default SOMAXCONN
---@return integer rv 0; or -1
---@return integer? errno
---@return string? err
function eventer:listen(backlog) end

---Returns the next connection, owned by the caller. Yields if none is pending. A connection that died in the queue is
---skipped.
---
---When descriptors or memory run out (EMFILE, ENFILE, ENOBUFS, ENOMEM) it returns nil, err; the listener stays
---usable, and the next accept waits until one of our descriptors closes or 100 ms have passed.
---@return mtev.eventer? e
---@return string? err `closed` when another coroutine closes the listener meanwhile
function eventer:accept() end

---Connects. Yields while that is under way (UDP with an address: never). After a failure the eventer can only be
---closed. When the queue of a unix listener is full it waits for room. A connection of the socket to itself is
---refused.
---
---A host name is looked up as getaddrinfo(3) does (/etc/hosts, nsswitch.conf, DNS), on the pool of threads, and its
---addresses race (RFC 8305): they are tried in turn, families alternating, the socket's own first; the next one
---begins when one fails, or after a quarter of a second without an answer. The first to connect becomes the socket,
---with the options that were set on it, so a socket of "inet" may end up with an IPv6 address. A datagram socket or a
---bound one connects to the first address of its family instead.
---
---`target`: an IP literal (IPv6 with a zone if need be), a host name, a path with `/` for unix, or `"reverse:NAME"`:
---a channel to the process that offers that name, see reverse_listen; if none does:
---`-1, "Reverse connection unavailable"`
---@param target string
---@param port? integer
---`timeout`: seconds, for everything; nil: the system's; 0: fails unless it succeeds immediately. The third argument,
---also for paths
---@param timeout? number
---@return integer rv 0; or -1
---@return string? err `timeout`, `Cannot translate 'X' to IP`, or the system's text
function eventer:connect(target, port, timeout) end

---Reads a number of bytes, or up to and including a terminator. A string that tonumber accepts is a count, not a
---terminator. Yields until they have arrived.
---
---At the end of the stream, or before an error, the rest is returned first: fewer bytes, or a piece without its
---terminator. After that the end returns nil, an error nil, err. Bytes that were not asked for stay for the next
---call, whatever its form. The terminator is found however the packets split it, and each byte is searched once.
---
---After a timeout the bytes received so far stay for the next call.
---
---`e:read(stop, nil, seconds, fn)` is libmtev's form of a timeout (10 s unless a number or mtev.timeval): then `fn()`
---is called in this coroutine and nil returned. In `e:read(stop, nil, seconds)` the number is the option `timeout`.
---
---Raises `empty terminator`, for negative numbers and NaN, and while another coroutine reads.
---@param stop integer|string number of bytes (also as a numeric string), or a terminator
---`options`: timeout in seconds; limit: the most bytes to search for a terminator, default 16 MiB, math.huge: as many
---as a string can have (the default under the name luamtev). A count above a given `limit` returns `nil, "limit"`
---immediately; without one, a count may be as large as a string can be
---@param options? {timeout?: number, limit?: number}
---@param seconds? number
---@param fn? fun()
---@return string? data
---@return string? err `timeout`, `limit`, `closed`, or the system's text
function eventer:read(stop, options, seconds, fn) end

---Writes all of it. Yields until the kernel has taken the last byte. A connection closed by the peer returns -1 and
---never raises a signal.
---
---Raises while another coroutine writes.
---@param data string|string[] an array is written with one system call
---@param options? {timeout?: number} seconds
---@return integer written the length of data; or -1
---@return string? err `timeout`, `closed`, or the system's text
---@return integer? partial after a failure of the network or a timeout: the bytes that were written
function eventer:write(data, options) end

---Calls send(2) once. Yields only while nothing can be sent. Any coroutine of the thread may call it unless another
---one is sending.
---@param data string
---@return integer sent bytes, possibly fewer than given; or -1
---@return string? err
function eventer:send(data) end

---Sends one datagram. Yields only while nothing can be sent.
---@param data string `""` sends an empty datagram
---@param address string an IP literal, or a path (unix; no port)
---@param port? integer
---@return integer sent bytes; or -1
---@return string? err `Cannot translate 'X' to IP`, or the system's text
function eventer:sendto(data, address, port) end

---Receives one datagram, or from a stream whatever is there (buffered input first). Yields while there is nothing.
---Any coroutine of the thread may call it unless another one is receiving.
---@param count integer at most so many bytes. 0 discards one datagram
---@param options? {timeout?: number} seconds
---@return integer rv number of bytes; 0 at the end of a stream; -1 on failure
---@return string payload or, on failure, err: `timeout`, `closed`, or the system's text
---`address`: the sender, for streams too; absent at the end of a stream, nil for a unix socket without a name
---@return string? address
---@return integer? port
---@return boolean? is_truncated true if the datagram was longer than count, otherwise absent
function eventer:recv(count, options) end

---Sets an option by its name in the system's headers: `SO_*`, `TCP_*`, `UDP_*`, `IP_*`, `IPV6_*`. Does not yield.
---
---`SO_LINGER` takes seconds or false, `SO_RCVTIMEO` and `SO_SNDTIMEO` seconds (without effect on the calls here),
---`SO_BINDTODEVICE` and `TCP_CONGESTION` text; memberships (`IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`, ...) take a
---group's address, or `{group, interface}` with the interface's address or name; `IP_MULTICAST_IF` an interface.
---@param name string
---@param value integer|boolean|number|string|string[]
---@return integer rv 0; or -1
---@return string? err `Socket operation 'X' not supported` for an unknown name, with the name probably meant
function eventer:setsockopt(name, value) end

---Reads an option that `setsockopt` knows. Does not yield. SO_LINGER returns seconds or false.
---@param name string
---@return integer|number|string|boolean|nil value
---@return string? err
function eventer:getsockopt(name) end

---The other end's address. Does not yield.
---@return string? address IP, or path (`""` without a name); absent when not connected
---@return integer? port not for unix
function eventer:peer_name() end

---This end's address. Does not yield.
---@return string? address
---@return integer? port not for unix
function eventer:sock_name() end

---Makes the calling coroutine the owner. The new handle takes over everything, buffered input included; the old one
---is dead. The owner itself gets the same handle back. Does not yield.
---
---Raises while another coroutine waits in a call on it.
---@return mtev.eventer? e nil if it is closed
function eventer:own() end

---Returns two handles of one connection, so that one coroutine can read while another writes: each takes its half
---with `own`. The reader can only read, the writer only write. Closing the writer sends the end of the stream; the
---connection closes when both halves are closed. The old handle is dead. Does not yield.
---
---Raises for a half of a split connection, and while a coroutine waits in a call on it.
---@return mtev.eventer reader
---@return mtev.eventer writer
function eventer:split() end

---Closes. A call that waits on it fails with `closed`. Bytes that the kernel has taken are still delivered, even if
---there is unread input: to that end the connection stays in the background for up to 30 s or 64 MiB, discarding what
---the peer sends, and keeps the program alive. With SO_LINGER 0 the connection is reset immediately. Does not yield.
---@return integer rv 0, also if it was already closed
function eventer:close() end
