-- DNS lookups of an A record per second.   lhotse dns.lua PORT PARALLEL COUNT wall|cpu
local port, parallel, count, clock = ...
parallel, count = tonumber(parallel), tonumber(count)
local now = clock == "cpu" and os.clock or mtev.time
local d = mtev.dns("127.0.0.1:" .. port)
assert(d:lookup("host.bench.test").a == "192.0.2.1")
local left, began = parallel, now()
for _ = 1, parallel do
  mtev.coroutine_spawn(function()
    for _ = 1, count / parallel do assert(d:lookup("host.bench.test")) end
    left = left - 1
    if left == 0 then mtev.notify("done") end
  end)
end
mtev.waitfor("done")
printf("RESULT %.1f", count / (now() - began))
