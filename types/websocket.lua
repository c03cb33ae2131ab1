---@meta
-- WebSocket client: mtev.websocket_client_connect.

-- == WebSocket ======================================================================================================

---Connects to a WebSocket server (RFC 6455), in a coroutine of its own, which then runs the callbacks one after the
---other; they may yield, and messages wait meanwhile: up to 1 MiB of them, beyond which nothing more is read. Pings
---are answered and fragments joined; nothing is read from a server that does not take its pongs (64 of them are
---kept). An open client keeps the program alive. Does not yield.
---
---The server's answer to the handshake may have 64 KiB and 1000 header fields; lines that end without CR LF, folded
---lines and other ambiguous framing end the connection.
---
---Difference: a callback that returns nothing leaves the connection open; libmtev closes it.
---@param host string
---@param port integer|string
---@param uri? string default `/`; ASCII without spaces, control characters and `#`
---@param service? string subprotocols to offer, `"a, b"`; nil or empty: none
---@param callbacks mtev.websocket_callbacks
---@param sslconfig? table as for `ssl_upgrade_socket`; nil or empty: no TLS
---`is_started`: false if the host, snihost, port, uri or service is invalid. Later failures are reported by `cleanup`
---@return boolean is_started
function mtev.websocket_client_connect(host, port, uri, service, callbacks, sslconfig) end

---@class mtev.websocket_callbacks
---@field ready? fun(ws: mtev.websocket_client): boolean? called when it is open; returning false closes it
---`message`: called for TEXT and BINARY; returning false closes it
---@field message? fun(ws: mtev.websocket_client, opcode: integer, payload: string): boolean?
---@field cleanup? fun(ws: mtev.websocket_client) called once, at the end, even if it was never open
---@field compress? boolean false: permessage-deflate (RFC 7692) is not offered. Extension
---`limit`: bytes of a decompressed message; a longer one ends the connection with 1009; default 16 MiB. Extension
---@field limit? number

---@class mtev.websocket_client
---@field CONTINUATION integer 0
---@field TEXT integer 1
---@field BINARY integer 2
---@field CONNECTION_CLOSE integer 8
---@field PING integer 9
---@field PONG integer 10
---@field protocol? string the subprotocol agreed on
---@field is_compressed? boolean messages are compressed where that saves bytes
---@field error? string in cleanup: why it ended, including an error in a callback; nil after an orderly close
---@field close_code? integer in cleanup: the server's; 1005: it gave none; 1006: it sent no close frame
local websocket_client = {}

---Sends a message, from any coroutine. Yields while more than 1 MiB waits to be sent. Raises for other opcodes, text
---that is not UTF-8, pings and pongs of more than 125 bytes, and if memory runs out (then nothing of it is sent).
---@param opcode integer TEXT, BINARY, PING, PONG; CONNECTION_CLOSE closes
---@param payload? string
---@return boolean ok false: it is closed, or closing
function websocket_client:send(opcode, payload) end

---Sends a close frame. No more messages are delivered; `cleanup` is called when the server has answered, or after 5
---s. Does not yield.
---
---`code`: 1000 (default) to 1003, 1007 to 1014, 3000 to 4999; raises for others, which are reserved or undefined
---@param code? integer
---@param reason? string UTF-8; at most 123 bytes of it are sent, cut at a character boundary
function websocket_client:close(code, reason) end
