-- WebSocket messages of 64 bytes, echoed, per second.   lhotse ws_client.lua PORT CONNECTIONS COUNT wall|cpu
local port, connections, count, clock = ...
connections, count = tonumber(connections), tonumber(count)
local now = clock == "cpu" and os.clock or mtev.time
local text = ("x"):rep(64)
local sockets, received, began = {}, 0, nil

local function message(ws)
  received = received + 1
  if received < count then
    ws:send(1, text)
  elseif received == count then
    mtev.notify("done")
  end
end

for _ = 1, connections do
  mtev.websocket_client_connect("127.0.0.1", port, "/", nil, {
    ready = function(ws)
      sockets[#sockets + 1] = ws
      if #sockets == connections then mtev.notify("open") end
    end,
    message = message,
  })
end
mtev.waitfor("open")
began = now()
for _, ws in ipairs(sockets) do ws:send(1, text) end
mtev.waitfor("done")
printf("RESULT %.1f", count / (now() - began))
os.exit(0)
