-- A weather station that makes its weather up: GET /now gives it as JSON, the WebSocket /feed sends each change. As much of both
-- protocols as this example needs.

local station = { temperature = 20, wind = 3 }
local listeners = {} -- eventers of those who follow the feed

local function text_frame(text) -- RFC 6455, 5.2: final, text, not masked, less than 126 bytes
  return string.char(0x81, #text) .. text
end

local function change()
  while true do
    mtev.sleep(0.3)
    station.temperature = station.temperature + math.random(-10, 10) / 10
    station.wind = math.max(0, station.wind + math.random(-1, 1))
    local frame = text_frame(("%.1f degrees, wind %d"):format(station.temperature, station.wind))
    for e in pairs(listeners) do
      if e:send(frame) < 0 then listeners[e] = nil end
    end
  end
end

local function follow(e, request)
  local key = request:match("\r\nSec%-WebSocket%-Key: ([^\r]+)")
  local accept = mtev.base64_encode(mtev.sha1(key .. "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
  e:write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " .. accept .. "\r\n\r\n")
  listeners[e] = true
  local head = e:read(2) -- the client's first frame is its last: it closes
  listeners[e] = nil
  if head then e:write("\136\2\3\232") end -- close, 1000
end

local function serve(e)
  for request in function() return e:read("\r\n\r\n") end do
    if request:find("^GET /feed ") then return follow(e, request) end
    local body = mtev.tojson(station):tostring()
    local status = request:find("^GET /now ") and "200 OK" or "404 Not Found"
    e:write(("HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(status, #body, body))
  end
end

-- Starts the station; returns its port.
return function()
  local listener = mtev.socket("inet")
  assert(listener:bind("127.0.0.1", 0) == 0)
  listener:listen()
  local _, port = listener:sock_name()
  mtev.coroutine_spawn(change)
  mtev.coroutine_spawn(function()
    local own = listener:own()
    while true do
      local e = own:accept()
      mtev.coroutine_spawn(function() serve(e:own()) end)
    end
  end)
  return port
end
