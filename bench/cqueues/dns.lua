-- cqueues: as lhotse/dns.lua.   luajit dns.lua PORT PARALLEL COUNT wall|cpu
local cqueues = require("cqueues")
local resolver, config, hints = require("cqueues.dns.resolver"), require("cqueues.dns.config"), require("cqueues.dns.hints")
local port, parallel, count, clock = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4]
local now = clock == "cpu" and os.clock or cqueues.monotime
local settings = config.new { nameserver = { ("[127.0.0.1]:%s"):format(port) }, lookup = { "bind" } }
local loop = cqueues.new()
local began = now()
for _ = 1, parallel do
  loop:wrap(function()
    local r = resolver.new(settings, nil, hints.stub(settings))
    for _ = 1, count / parallel do
      local packet = assert(r:query("host.bench.test", "A"))
      assert(packet:count() > 0)
    end
  end)
end
assert(loop:loop())
print(("RESULT %.1f"):format(count / (now() - began)))
