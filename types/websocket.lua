---@meta
-- WebSocket client: mtev.websocket_client_connect.

-- == WebSocket ======================================================================================================

---Connects to a WebSocket server (RFC 6455), in a coroutine of its own, which then runs the callbacks one after the
---other; they may yield, and messages wait meanwhile: up to 1 MiB of them, then nothing more is read. Pings are
---answered, fragments put together; a server that does not take its pongs is not read from (64 of them are kept). An
---open client keeps the program alive. Does not yield.
---
---Of the server's answer to the handshake 64 KiB are read, with at most 1000 header fields; lines that end without CR
---LF, folded lines and what else two readers may understand differently end it.
---
---Difference: a callback that returns nothing leaves the connection open; libmtev closes it.
---@param host string
---@param port integer|string
---@param uri? string default `/`; ASCII without spaces, control characters and `#`
---@param service? string subprotocols to offer, `"a, b"`; nil or empty: none
---@param callbacks mtev.websocket_callbacks
---@param sslconfig? table as for `ssl_upgrade_socket`; nil or empty: no TLS
---`is_started`: false when it cannot be tried: a bad host, snihost, port, uri or service. What fails later is told by
---`cleanup`
---@return boolean is_started
function mtev.websocket_client_connect(host, port, uri, service, callbacks, sslconfig) end

---@class mtev.websocket_callbacks
---@field ready? fun(ws: mtev.websocket_client): boolean? it is open; false closes it
---`message`: TEXT or BINARY; false closes
---@field message? fun(ws: mtev.websocket_client, opcode: integer, payload: string): boolean?
---@field cleanup? fun(ws: mtev.websocket_client) once, at the end, also when it was never open
---@field compress? boolean false: permessage-deflate (RFC 7692) is not offered. Extension
---`limit`: bytes of a message, unpacked; a longer one ends the connection with 1009; default 16 MiB. Extension
---@field limit? number

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

---Sends a message, from any coroutine. Yields while more than 1 MiB waits to be sent. Raises for other opcodes, text
---that is not UTF-8, pings and pongs of more than 125 bytes, and when there is no memory for it (nothing of it is
---sent then).
---@param opcode integer TEXT, BINARY, PING, PONG; CONNECTION_CLOSE closes
---@param payload? string
---@return boolean ok false: it is closed, or closing
function websocket_client:send(opcode, payload) end

---Sends a close frame. No message comes any more; `cleanup` is called when the server has answered, or after 5 s.
---Does not yield.
---
---`code`: 1000 (default) to 1003, 1007 to 1014, 3000 to 4999; raises for others: they stand for what has no close
---frame, or for nothing
---@param code? integer
---@param reason? string UTF-8; at most 123 bytes of it go out, cut at a character
function websocket_client:close(code, reason) end
