-- An etcd cluster on loopback, and nodes of ours on it, as processes that a spec tells what to do.

local process = require("test.support.process")
local files = require("test.support.files")
local net = require("test.support.net")
local server = require("test.support.server")

local cluster = {}

local wait_for = process.wait_for

-- -- etcd -------------------------------------------------------------------------------------------------------------

local Etcd = {}
Etcd.__index = Etcd

-- Where etcd keeps its data: in memory if there is room (it sets 64 MB aside for each log), so that a slow disk is no part of what
-- is tested.
local function data_directory()
  local free = tonumber(process.sh("df -k --output=avail /dev/shm 2>/dev/null"):match("(%d+)%s*$"))
  if not free or free < 1024 * 1024 then return files.directory() end
  return (process.sh("mktemp -d /dev/shm/etcd-XXXXXX"):match("%S+"))
end

-- `count` members, their logs under `dir`; `options`: more of etcd's, and `data`, where to keep that; `scheme` of what clients use.
function cluster.etcd(dir, count, options, scheme)
  local self = setmetatable({ dir = dir, members = {}, scheme = scheme or "http", data = options and options.data or data_directory() }, Etcd)
  local initial = {}
  for i = 1, count do
    local member = { name = "m" .. i, client = server.port(), peer = server.port() }
    self.members[i] = member
    initial[i] = ("%s=http://127.0.0.1:%d"):format(member.name, member.peer)
  end
  for i, member in ipairs(self.members) do
    local client = ("%s://127.0.0.1:%d"):format(self.scheme, member.client)
    local peer = ("http://127.0.0.1:%d"):format(member.peer)
    member.argv = { "etcd", "--name", member.name, "--data-dir", ("%s/%s"):format(self.data, member.name),
      "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
      "--initial-advertise-peer-urls", peer, "--initial-cluster", table.concat(initial, ","), "--initial-cluster-state", "new",
      "--logger", "zap", "--log-outputs", ("%s/%s.log"):format(dir, member.name), "--auto-compaction-retention", "1h" }
    for _, option in ipairs(options or {}) do member.argv[#member.argv + 1] = option end
    self:start(i)
  end
  if self.scheme == "http" then self:await_leader() end
  return self
end

function Etcd:start(i)
  local member = self.members[i]
  member.process = assert(mtev.spawn("etcd", member.argv, nil, { stdout = "null", stderr = "null" }))
end

function Etcd:kill(i)
  local child = self.members[i].process
  child:kill(9)
  child:wait(60)
end

function Etcd:signal(i, signal)
  self.members[i].process:kill(signal)
end

function Etcd:endpoints()
  local list = {}
  for i, member in ipairs(self.members) do list[i] = ("%s://127.0.0.1:%d"):format(self.scheme, member.client) end
  return table.concat(list, ",")
end

function Etcd:ask(i, path, body)
  local response = mtev.Api:http("127.0.0.1", self.members[i].client):timeout(5):post(path, body or "{}",
    { ["Content-Type"] = "application/json" })
  return response:rc() == 200 and response:json() or nil
end

-- The number of the member that leads, once all that run agree.
function Etcd:await_leader()
  return wait_for(function()
    for i, member in ipairs(self.members) do
      if not member.process:wait(0) then
        local status = self:ask(i, "/v3/maintenance/status")
        if status and status.leader and status.leader == status.header.member_id then return i end
      end
    end
  end)
end

function Etcd:stop()
  for i, member in ipairs(self.members) do
    member.process:kill("CONT")
    self:kill(i)
  end
  files.remove(self.data)
end

-- -- What lies between ------------------------------------------------------------------------------------------------

local Proxy = {}
Proxy.__index = Proxy

-- Passes connections on to `port`. While `is_holding`, what clients send is held, also when they have long gone, until
-- `release`; `held` counts the pieces.
function cluster.proxy(port)
  local self = setmetatable({ to = port, held = 0, generation = 0, is_holding = false }, Proxy)
  self.listener, self.port = net.listen()
  self.accepting = net.give(self.listener, function(listener)
    while true do net.give(listener:accept(), function(client) self:pass(client) end) end
  end)
  return self
end

function Proxy:pass(client)
  local from_client, to_client = client:split()
  local from_etcd, to_etcd = net.connect(self.to):split()
  net.give(from_etcd, function(from)
    to_client = to_client:own()
    net.pump(from, to_client)
  end)
  while true do
    local n, data = from_client:recv(65536)
    if n <= 0 then break end
    if self.is_holding then
      local generation = self.generation
      self.held = self.held + 1
      while self.generation == generation do mtev.sleep(0.01) end
    end
    if to_etcd:write(data) ~= #data then break end
  end
  mtev.sleep(1) -- etcd does not finish what a client has turned away from
  to_etcd:close()
end

-- What was held arrives now, and is answered.
function Proxy:release()
  self.generation, self.held = self.generation + 1, 0
  mtev.sleep(1)
end

function Proxy:close()
  mtev.cancel_coro(self.accepting)
end

-- -- Nodes ------------------------------------------------------------------------------------------------------------

local Node = {}
Node.__index = Node

local Nodes = {}
Nodes.__index = Nodes

-- Nodes with a configuration: the text of its <clusters>.
function cluster.nodes(dir, clusters)
  local self = setmetatable({ dir = dir, waiting = {}, count = 0, all = {} }, Nodes)
  self.config = files.write(dir .. "/cluster.xml", "<any><clusters>" .. clusters .. "</clusters></any>")
  self.listener = mtev.socket("inet")
  assert(self.listener:bind("127.0.0.1", 0) == 0)
  self.listener:listen(100)
  local _, port = self.listener:sock_name()
  self.port = port
  self.accepting = mtev.coroutine_spawn(function()
    local listener = self.listener:own()
    while true do
      local e = listener:accept()
      mtev.coroutine_spawn(function() self:serve(e:own()) end)
    end
  end)
  return self
end

-- The answers of a node that has connected.
function Nodes:serve(e)
  local reader, writer = e:split()
  reader = reader:own()
  local hello = reader:read("\n")
  local number, id = (hello or ""):match("^hello (%d+) (%S+)\n$")
  local node = self.all[tonumber(number or 0)]
  if not node then return end
  node.id = id
  node.writer = mtev.coroutine_spawn(function()
    local out = writer:own()
    while true do
      local _, line = mtev.waitfor("to node " .. number .. " " .. self.port)
      out:write(line)
    end
  end)
  node.is_connected = true
  while true do
    local line = reader:read("\n")
    if not line then break end
    local request, json = line:match("^(%S+) (.*)\n$")
    mtev.notify("answer " .. request, mtev.parsejson(json):document())
  end
  node.is_over = true
  mtev.cancel_coro(node.writer)
end

function Nodes:start()
  self.count = self.count + 1
  local node = setmetatable({ nodes = self, number = self.count }, Node)
  self.all[self.count] = node
  local argv = { "lhotse", "-c", self.config, "test/support/cluster_node.lua", tostring(self.port), tostring(self.count) }
  node.process = assert(mtev.spawn(process.lhotse, argv, nil, { stdout = "inherit", stderr = "null" }))
  return node
end

-- Starts some, and waits until all are members.
function Nodes:start_members(count)
  local started = {}
  for i = 1, count do started[i] = self:start() end
  for i = 1, count do assert(started[i]:ask("return c:join(60)") == true) end
  return started
end

local requests = 0

-- Sends a request; returns its name.
function Node:send(code)
  wait_for(function() return self.is_connected end)
  requests = requests + 1
  local name = ("r%d"):format(requests)
  mtev.notify("to node " .. self.number .. " " .. self.nodes.port, ("%s %s\n"):format(name, (code:gsub("\n", "\1"))))
  return name
end

function Node:answer(name, timeout)
  local _, values = mtev.waitfor("answer " .. name, timeout)
  if not values then return nil, "no answer" end
  if values[1] ~= true then error(tostring(values[2]), 0) end
  for i = 2, #values do
    if values[i] == "nil" then values[i] = nil end
  end
  return unpack(values, 2, 12)
end

-- Runs Lua in the node; its results. Raises its errors.
function Node:ask(code, ...)
  if select("#", ...) > 0 then code = code:format(...) end
  return self:answer(self:send(code))
end

function Node:kill(signal)
  self.process:kill(signal or 9)
  if not signal or signal == 9 then self.process:wait(60) end
end

function Nodes:stop()
  for _, node in ipairs(self.all) do
    if not node.process:wait(0) then
      node.process:kill("CONT")
      node.process:kill(9)
      node.process:wait(60)
    end
  end
  mtev.cancel_coro(self.accepting)
end

return cluster
