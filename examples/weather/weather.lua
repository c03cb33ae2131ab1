-- Polls an HTTP API every second, shows its JSON, and follows its WebSocket feed meanwhile.
--
--     lhotse examples/weather/weather.lua [SECONDS]

local start = dofile((arg[0]:match("^(.*/)") or "./") .. "server.lua")
local seconds = tonumber((...)) or 3
local port = start()

local changes = 0
mtev.websocket_client_connect("127.0.0.1", port, "/feed", nil, {
  ready = function() print("following the feed") end,
  message = function(_, _, text)
    changes = changes + 1
    printf("feed: %s", text)
    if changes >= seconds * 3 then return false end
  end,
  cleanup = function(ws) mtev.notify("feed has ended", ws.error) end,
})

local api = mtev.Api:http("127.0.0.1", port):timeout(5)
for _ = 1, seconds do
  local response = api:get("/now")
  if response:rc() == 200 then
    local now = response:json()
    printf("now: %.1f degrees, wind %d", now.temperature, now.wind)
  else
    printf("no weather: %s", response:text())
  end
  mtev.sleep(1)
end

local _, err = mtev.waitfor("feed has ended", 10)
print("the feed has ended: " .. (err or "in good order"))
os.exit(0)
