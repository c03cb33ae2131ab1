-- Tarantool: as lhotse/http_client.lua.   tarantool http_client.lua PORT PARALLEL COUNT wall|cpu
local fiber, clock_module = require("fiber"), require("clock")
local port, parallel, count, clock = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4]
local now = clock == "cpu" and clock_module.proc or clock_module.monotonic
local client = require("http.client").new({ max_connections = parallel })
local url = ("http://127.0.0.1:%s/1k"):format(port)
local left, done = parallel, fiber.channel(1)
local began = now()
for _ = 1, parallel do
  fiber.create(function()
    for _ = 1, count / parallel do assert(#client:get(url).body == 1024) end
    left = left - 1
    if left == 0 then done:put(true) end
  end)
end
done:get()
print(("RESULT %.1f"):format(count / (now() - began)))
os.exit(0)
