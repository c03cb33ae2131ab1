-- How a cluster grows: an etcd of three members and N nodes, all processes on this machine. Prints what docs/clusters.md quotes.
--   lhotse bench/lhotse/cluster.lua [N...]      default 3 10 50; in the project's directory

local files = require("test.support.files")
local process = require("test.support.process")
local cluster = require("test.support.cluster")

local ROUNDS, IDLE = 10, 10 -- joins and leaves measured; seconds of doing nothing
local TTL = 5
local TICKS = 100           -- of /proc/PID/stat a second

local function median(values)
  table.sort(values)
  return values[math.ceil(#values / 2)], values[#values]
end

local function cpu_of(pid)
  local stat = io.open(("/proc/%d/stat"):format(pid)):read("*a"):match("%) (.*)")
  local i, ticks = 0, 0
  for field in stat:gmatch("%S+") do
    i = i + 1
    if i == 12 or i == 13 then ticks = ticks + tonumber(field) end
  end
  return ticks / TICKS
end

local function resident_of(pid)
  return tonumber(io.open(("/proc/%d/status"):format(pid)):read("*a"):match("VmRSS:%s*(%d+)")) / 1024
end

local function total(etcd, read)
  local sum = 0
  for _, member in ipairs(etcd.members) do sum = sum + read(member.process:pid()) end
  return sum
end

-- Proposals to the log (writes) that etcd has applied.
local function writes(etcd)
  local text = mtev.Api:http("127.0.0.1", etcd.members[1].client):get("/metrics"):text()
  return tonumber(text:match("\netcd_server_proposals_applied_total (%S+)"))
end

local function per_second(seconds, read)
  local before, started = read(), mtev.time()
  mtev.sleep(seconds)
  return (read() - before) / (mtev.time() - started)
end

local function measure(etcd, dir, count)
  local nodes = cluster.nodes(dir, ("<cluster name='spec' endpoints='%s' ttl='%d' timeout='30' prefix='/bench%d/'/>"):format(
    etcd:endpoints(), TTL, count))
  local started = mtev.time()
  local all = nodes:start_members(count)
  for _, node in ipairs(all) do process.wait_for(function() return node:ask("return c:size()") == count end) end
  local together = mtev.time() - started
  for _, node in ipairs(all) do
    node:ask("seen = {} c:on_change(function(nodes) seen[#nodes] = seen[#nodes] or mtev.time() end)")
  end
  local joins, leaves, notices = {}, {}, {}
  for round = 1, ROUNDS do
    local node = all[round % count + 1]
    for _, other in ipairs(all) do other:ask("seen = {}") end
    local from, took = node:ask("local from = mtev.time() assert(c:leave()) return from, mtev.time() - from")
    leaves[#leaves + 1] = took
    for _, other in ipairs(all) do
      if other ~= node then
        local at = process.wait_for(function() return other:ask("return seen[%d]", count - 1) end)
        notices[#notices + 1] = at - from
      end
    end
    joins[#joins + 1] = node:ask("local from = mtev.time() c = mtev.cluster('spec') assert(c:join(60)) " ..
      "c:on_change(function(nodes) seen[#nodes] = seen[#nodes] or mtev.time() end) return mtev.time() - from")
    for _, other in ipairs(all) do process.wait_for(function() return other:ask("return c:size()") == count end) end
  end
  local join, join_most = median(joins)
  local leave = median(leaves)
  local notice, notice_most = median(notices)
  mtev.sleep(1)
  local written = writes(etcd)
  local cpu = per_second(IDLE, function() return total(etcd, cpu_of) end)
  local own = per_second(2 * TTL, function() return cpu_of(all[1].process:pid()) end)
  local idle_writes = (writes(etcd) - written) / (IDLE + 2 * TTL)
  print(("%5d %10.2f s %9.1f ms %9.1f ms %9.1f ms %9.1f ms %9.1f ms %8.1f %% %8.1f/s %8.0f MB %8.2f %% %6.1f MB"):format(count, together,
    join * 1e3, join_most * 1e3, leave * 1e3, notice * 1e3, notice_most * 1e3, cpu * 100, idle_writes, total(etcd, resident_of), own * 100,
    resident_of(all[1].process:pid())))
  nodes:stop()
end

local dir = files.directory()
local etcd = cluster.etcd(dir, 3, { data = dir }) -- on a disk
print("nodes  all at once  one joins        most     leaves     others        most     etcd, idle   writes   etcd's    a node, idle   a node")
for _, count in ipairs(arg[1] and arg or { 3, 10, 50 }) do measure(etcd, dir, tonumber(count)) end
etcd:stop()
files.remove(dir)
os.exit(0)
