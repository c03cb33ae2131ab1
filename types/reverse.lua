---@meta
-- Reverse connections: mtev.reverse_listen, reverse_connect, e:connect("reverse:NAME").

-- == Reverse connections ============================================================================================
--
-- A process that nobody can connect to (behind a NAT, for example) dials out to a hub and offers a name. The hub's
-- scripts, on any thread, then reach it with `e:connect("reverse:NAME")`: e becomes one end of a channel, as if it
-- were a connected socket (its address is that of an unnamed unix socket). Many channels share the one connection,
-- each with its own flow control; TLS on top of a channel is legal. When the connection is lost its channels report
-- `Connection reset by peer`, never just the end of the stream.
--
-- On the wire: HTTP/1.1 `POST /NAME` with `Upgrade: PTTH/2.0`; after the answer 101, HTTP/2 (RFC 9113) with the hub
-- as client; a channel is a CONNECT. Difference: libmtev has its own protocol, which is incompatible.
--
-- A connect that times out, is cancelled or closed resets its channel. After a channel opened here was closed here,
-- the other side may take its time to close its own half; that takes no descriptor of ours, and `channels` of
-- `listener:names()` includes it until then. Bytes that arrive on it meanwhile reset it.
--
-- What a peer can make the other side hold is limited: requests of 8 KiB; as many channels as `channels` says, where
-- all channels opened by peers in the process together take at most half of RLIMIT_NOFILE (further ones are refused;
-- channels opened by this side's scripts are not included: each takes two descriptors while its eventer is open);
-- `window` unread bytes for each channel, 64 MiB for all channels of a connection, beyond which the connection stalls
-- until some are read; 10000 frames that the peer does not take, beyond which nothing more is read from it.

---Listens for processes that offer their names. Does not yield; connections are served by coroutines of their own,
---until `close`.
---
---Names must be authorized: by `authorize`, or by client certificates (`sslconfig.require_client_cert`), in which
---case a name must equal the certificate's common name or one of its DNS names, ignoring case. Without either it
---raises unless given `insecure = true`. If several processes offer one name, connects go to the last one to connect.
---
---Raises for unknown options and invalid values.
---@param options mtev.reverse_listen_options
---@return mtev.reverse_listener? listener nil if it cannot listen, also if the files of `sslconfig` cannot be used
---@return string? err
function mtev.reverse_listen(options) end

---@class mtev.reverse_listen_options
---@field port integer 0: any, see `listener:sock_name()`
---@field address? string default `"*"`, every IPv4 interface
---@field sslconfig? table as for `ssl_upgrade_socket`, with a certificate; `server` is implied; default: no TLS
---`authorize`: only true lets it in; otherwise the first or second value is the reason, which is sent to the other
---side. It may yield. If it raises, the name is refused and the error logged (`error/reverse`)
---@field authorize? fun(name: string, ssl_ctx: mtev.eventer.ssl_ctx?): boolean|string, string?
---@field insecure? boolean any peer may offer any name
---@field timeout? number seconds for the TLS handshake and the request together; default 10
---@field keepalive? number seconds of silence after which a peer is considered lost; PINGs are sent before; default 10
---@field window? integer bytes of a channel that may be in transit or unread; default 262144
---@field backlog? integer from 0; default SOMAXCONN
---`pending`: connections not authorized yet, at a time: a further one replaces the one that has gone longest without
---offering a name; while all wait for `authorize`, it is closed; default 128
---@field pending? integer

---@class mtev.reverse_listener
local reverse_listener = {}

---@return string address
---@return integer port
function reverse_listener:sock_name() end

---The connected processes: name -> `address`, `port`, `since` (seconds since 1970), `channels` (how many are open).
---@return table<string, {address: string, port: integer, since: number, channels: integer}>
function reverse_listener:names() end

---Stops listening and closes all connections, with their channels. May be called again.
function reverse_listener:close() end

---Dials a hub, offers a name there, and reconnects whenever the connection is lost, until `close`: after `retry_min`
---seconds, then twice as long each time up to `retry_max`, plus or minus a quarter. Does not yield; it works in
---coroutines of its own.
---
---If memory runs out a channel is refused, or the connection is dropped and dialled again, and the log
---`error/reverse` says so. An error in `accept` is an uncaught error.
---
---Raises for unknown options and invalid values.
---@param options mtev.reverse_connect_options
---@return mtev.reverse_dialler
function mtev.reverse_connect(options) end

---@class mtev.reverse_connect_options
---@field host string name or address of the hub; raises for anything else
---@field port integer 1 to 65535
---@field name string 1 to 255 bytes, no NUL
---`accept`: called for each channel, in a coroutine of its own, which owns e; when it ends, e is closed
---@field accept? fun(e: mtev.eventer)
---`target`: instead of `accept`: each channel leads to a new connection to this address (also `{"127.0.0.1", 80}`, or
---a unix path without port); raises for what connect would never accept; if that connection fails, the hub's
---`connect` fails with its reason
---@field target? {address: string, port: integer}
---@field sslconfig? table as for `ssl_upgrade_socket`; the hub's name is `snihost`, by default `host`; default: no TLS
---@field timeout? number seconds for each step of connecting; default 10
---@field keepalive? number as for reverse_listen
---@field window? integer as for reverse_listen
---`channels`: at most so many at a time; further ones wait; default 5000 (about 12 MB when all are open), or a
---quarter of RLIMIT_NOFILE if that is less
---@field channels? integer
---@field retry_min? number seconds; default 0.1
---@field retry_max? number seconds; default 30

---@class mtev.reverse_dialler
---@field error? string why it is not connected
local reverse_dialler = {}

---@return boolean
function reverse_dialler:is_connected() end

---Waits until it is connected. Yields.
---@param timeout? number seconds; default for ever
---@return boolean is_connected false if it timed out or was closed
function reverse_dialler:ready(timeout) end

---Ends the connection with all its channels, and stops dialling. May be called again.
function reverse_dialler:close() end
