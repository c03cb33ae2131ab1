-- A job that must run once, on whatever machines there are: every node does its share of the work, one gives it out.
--
--   lhotse -c examples/cluster/laptop.xml examples/cluster/cluster.lua      one process, no etcd
--   lhotse -c examples/cluster/etcd.xml examples/cluster/cluster.lua        any number of processes, an etcd on this machine
--
-- The oldest node gives out jobs, each with a number that nobody else gets. All nodes take jobs; at most two of all of them
-- work at a time. When the oldest dies the next one goes on with the numbers. Whoever leads ends all after JOBS jobs (arg[1], default 10).

local jobs = tonumber(arg[1] or 10)
local c = assert(mtev.cluster("example"), "no cluster 'example' in the configuration: see -c above")

assert(c:join(10))
local stop_telling = c:on_change(function(nodes) print(("%d nodes, the oldest is %s"):format(#nodes, nodes[1] and nodes[1].name or "unknown")) end)

-- Gives out jobs as long as it leads. What it writes is written only if it is still a member: if it was stopped, or cut off, `seq`
-- and `notify` fail, and another leads.
mtev.coroutine_spawn(function()
  local given = 0
  while given < jobs do
    if c:am_i_oldest_visible_node() then
      local number, message = c:seq("job")
      if number and c:notify("jobs", number) then given = given + 1 else print(message) end
    end
    mtev.sleep(0.05)
  end
  for _ = 1, c:size() do c:notify("over") end
end)

local places = c:semaphore("workers", 2)

for _ = 1, 3 do
  mtev.coroutine_spawn(function()
    while true do
      local key, number = c:waitfor("jobs", 60)
      if key and places:acquire(60) then
        print(("job %d, for the owner of it, %s"):format(number, c:owner("job " .. number).name))
        mtev.sleep(0.05)
        places:release()
      end
    end
  end)
end

c:waitfor("over")
mtev.sleep(0.3) -- the last jobs
stop_telling()
c:leave()
print("all jobs are done")
os.exit(0)
