-- lua-http: as lhotse/ws_client.lua.   luajit ws_client.lua PORT CONNECTIONS COUNT wall|cpu
local cqueues, websocket = require("cqueues"), require("http.websocket")
local port, connections, count, clock = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4]
local now = clock == "cpu" and os.clock or cqueues.monotime
local text = ("x"):rep(64)
local loop = cqueues.new()
local began = now()
for _ = 1, connections do
  loop:wrap(function()
    local ws = websocket.new_from_uri("ws://127.0.0.1:" .. port .. "/")
    assert(ws:connect())
    for _ = 1, count / connections do
      assert(ws:send(text))
      assert(ws:receive())
    end
  end)
end
assert(loop:loop())
print(("RESULT %.1f"):format(count / (now() - began)))
os.exit(0)
