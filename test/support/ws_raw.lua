-- A WebSocket server for specs that says after the handshake exactly what it is told, byte by byte; and what frames look like.

local net = require("test.support.net")

local ws_raw = {}

-- A frame. options: fin (default true), rsv, mask, length (instead of the payload's).
function ws_raw.frame(opcode, payload, options)
  options = options or {}
  local length = options.length or #payload
  local first = opcode + (options.fin == false and 0 or 128) + (options.rsv or 0) * 16
  local mask_bit = options.mask and 128 or 0
  local head
  if length < 126 then
    head = string.char(first, mask_bit + length)
  elseif length < 65536 then
    head = string.char(first, mask_bit + 126, math.floor(length / 256), length % 256)
  else
    local bytes, rest = {}, length
    for i = 8, 1, -1 do
      bytes[i] = rest % 256
      rest = math.floor(rest / 256)
    end
    head = string.char(first, mask_bit + 127, unpack(bytes))
  end
  return head .. (options.mask and "\0\0\0\0" or "") .. payload
end

-- What a client sent: opcode, payload; nil at the end. Client frames must be masked.
function ws_raw.read_frame(e)
  local head = e:read(2)
  if not head or #head < 2 then return nil end
  local first, second = head:byte(1, 2)
  assert(second >= 128, "a client's frame must be masked")
  local length = second - 128
  if length == 126 then
    local a, b = e:read(2):byte(1, 2)
    length = a * 256 + b
  elseif length == 127 then
    length = 0
    for _, byte in ipairs { e:read(8):byte(1, 8) } do length = length * 256 + byte end
  end
  local mask = { e:read(4):byte(1, 4) }
  local payload = length > 0 and e:read(length) or ""
  local plain = {}
  for i = 1, #payload do plain[i] = string.char(bit.bxor(payload:byte(i), mask[(i - 1) % 4 + 1])) end
  return first % 16, table.concat(plain)
end

ws_raw.GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

-- The answer to a handshake's request; `more`: header lines.
function ws_raw.accept(request, more)
  local key = request:match("[Ss]ec%-[Ww]eb[Ss]ocket%-[Kk]ey: ([^\r]+)")
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: " ..
    mtev.base64_encode(mtev.sha1(key .. ws_raw.GUID)) .. "\r\n" .. (more or "") .. "\r\n"
end

-- Serves one connection: respond(request) gives the answer to the handshake, then f(e) runs. Returns the port.
function ws_raw.serve(respond, f)
  local listener, port = net.listen()
  mtev.coroutine_spawn(function()
    local own = listener:own()
    local e = own:accept()
    own:close()
    local request = e:read("\r\n\r\n")
    e:write(respond(request))
    if f then f(e) end
  end)
  return port
end

return ws_raw
