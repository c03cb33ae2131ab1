-- GETs of 1 KB per second.   lhotse http_client.lua Api|HttpClient PORT PARALLEL COUNT wall|cpu
local what, port, parallel, count, clock = ...
parallel, count = tonumber(parallel), tonumber(count)
local now = clock == "cpu" and os.clock or mtev.time

local clients = {}

function clients.Api()
  local api = mtev.Api:http("127.0.0.1", port)
  return function() assert(#api:get("/1k"):check():text() == 1024) end
end

function clients.HttpClient()
  local HttpClient = require("mtev.HttpClient")
  local length
  local client = HttpClient:new { consume = function(piece) length = length + #piece end }
  assert(client:connect("127.0.0.1", port) == 0)
  return function()
    length = 0
    client:do_request("GET", "/1k", { Host = "127.0.0.1" })
    client:get_response()
    assert(client.code == 200 and length == 1024)
  end
end

local left, began = parallel, now()
local shared = what == "Api" and clients.Api()
for _ = 1, parallel do
  mtev.coroutine_spawn(function()
    local get = shared or clients[what]()
    for _ = 1, count / parallel do get() end
    left = left - 1
    if left == 0 then mtev.notify("done") end
  end)
end
mtev.waitfor("done")
printf("RESULT %.1f", count / (now() - began))
os.exit(0)
