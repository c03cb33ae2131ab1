-- Membership of a cluster on etcd: the engine's foundation (etcd_engine.lua).
--
-- A process is one node, with all its threads. The thread that came first keeps the membership: a lease, a key below
-- PREFIX/members/ that lives as long as the lease, and a watch on all such keys. It publishes what it knows
-- (core.shared_*), and the others read that. The age of a node is the revision at which its key was made.
--
-- A membership is an epoch. It is good until `valid_until`, counted from before the last renewal was sent, on the clock
-- that goes on while the machine sleeps: it ends here before it ends in etcd. What a node writes is written only if its
-- key is still the one of its epoch, in one transaction; so a node that was cut off, or stopped, cannot act on what it
-- had. A coroutine that learned something in an epoch gets one error when it acts in a later one.

local mtev, core = ...
local ffi = require("ffi")
local bit = require("bit")
local Etcd = core.require("cluster/etcd")
local boot_time = core.boot_time
local now, running = core.monotonic, coroutine.running

local Engine = {}
Engine.__index = Engine

local LEASE_SHARE = 0.95                   -- of a lease that counts here: clocks may run at rates that differ by the rest
local JOIN_PAUSE, JOIN_PAUSE_MOST = 0.2, 2 -- seconds between attempts, doubling
local RETRY_PAUSE = 0.2                    -- seconds after a renewal that failed
local LOOK_PAUSE = 0.02                    -- seconds between looks at what another coroutine or thread does, at most
local CALLBACK_PAUSE = 0.05                -- the same, for callbacks in a thread that does not keep the membership
local WATCH_TIME = 20                      -- seconds after which the watch of the members is made anew: a connection may be dead

-- -- What threads share -----------------------------------------------------------------------------------------------

-- view: {state = "joining" | "member" | "lost" | "left", epoch, id, lease, revision, valid_until, version, problem,
-- nodes}

local function publish(self)
  local view = self.view
  mtev.shared_set(self.shared_key, {
    state = view.state, epoch = view.epoch, id = view.id, lease = view.lease, revision = view.revision,
    valid_until = view.valid_until, version = view.version, problem = view.problem,
  })
end

local function publish_nodes(self)
  self.view.version = self.view.version + 1
  if mtev.eventer_loop_concurrency() > 1 then mtev.shared_set(self.shared_key .. ":nodes", self.view.nodes) end
  publish(self)
end

local function current_view(self)
  if self.is_keeper then return self.view end
  local before, view = self.view, mtev.shared_get(self.shared_key)
  if not view then return before end
  if view.version ~= before.version then
    view.nodes = mtev.shared_get(self.shared_key .. ":nodes") or {}
  else
    view.nodes = before.nodes
  end
  self.view = view
  return view
end

local function is_valid(view)
  return view.state == "member" and boot_time() < view.valid_until
end

local function complaint(self, view)
  local why = view.problem or (view.state == "joining" and "it is joining") or "its lease has ended"
  if view.state == "left" then why = "it has been left" end
  return ("cluster '%s': this node is not a member: %s"):format(self.name, why)
end

-- The view, once this node is a member; or nil, why not, when `timeout` is over.
local function await_member(self, timeout)
  local deadline, seconds = now() + timeout, 0.001
  while true do
    local view = current_view(self)
    if is_valid(view) then return view end
    if view.state == "left" or now() >= deadline then return nil, complaint(self, view) end
    mtev.sleep(seconds)
    seconds = math.min(2 * seconds, LOOK_PAUSE)
  end
end

-- What a coroutine knows is of an epoch: of the next one, if it was told that there is no membership now.
local function hear(self, co, view)
  if co then self.heard[co] = is_valid(view) and view.epoch or view.epoch + 1 end
end

-- For calls that tell something about the cluster: they wait for the first join only.
local function look(self)
  local view, co = current_view(self), running()
  if view.state == "joining" and view.epoch == 0 and not view.problem and co then
    await_member(self, self.settings.timeout)
    view = current_view(self)
  end
  hear(self, co, view)
  return view
end

-- A call goes on with the membership that it began with: what it needs of the view, which changes.
local function snapshot(view)
  return { id = view.id, epoch = view.epoch, lease = view.lease, revision = view.revision }
end

-- Is the membership of the snapshot still the one that this node has?
local function is_current(self, membership)
  local view = current_view(self)
  return is_valid(view) and view.epoch == membership.epoch
end

-- For calls that act: the membership, and until when etcd may take; or nil and the error. A coroutine whose membership
-- is another than the one it has heard of last is told, once.
local function act(self)
  local co, deadline = running(), now() + self.settings.timeout
  local view, heard = current_view(self), self.heard[co]
  local has_lost = heard and (view.epoch > heard or (view.epoch == heard and not is_valid(view)))
  if has_lost then
    hear(self, co, view)
    local message = "cluster '%s': this node lost its membership, or has a new one; what it held is lost"
    return nil, message:format(self.name)
  end
  local problem
  view, problem = await_member(self, self.settings.timeout)
  hear(self, co, current_view(self))
  if not view then return nil, problem end
  return snapshot(view), deadline
end

-- -- Writing, as a member ---------------------------------------------------------------------------------------------

-- The fence: the revision at which the node's key was last written. Every transaction of ours compares it, so writing
-- the key again voids whatever of ours is still on its way, in a stalled member of etcd perhaps: what was not done
-- until then never will be.

local function fence_of(self, view)
  if self.fence_epoch ~= view.epoch then self.fence_epoch, self.fence = view.epoch, view.revision end
  return self.fence
end

local function member_value(self)
  return mtev.tojson({ name = self.node_name }):tostring()
end

local function no_member_any_more(self)
  return nil, ("cluster '%s': this node is no longer a member; what it held is lost"):format(self.name)
end

-- etcd has said so; the one who keeps the membership may not know yet.
local function is_told_so(self, membership)
  if is_current(self, membership) then mtev.shared_notify(self.command_key, "check") end
  return no_member_any_more(self)
end

-- true, or nil, why not, whether that is because the membership is lost.
local function raise_fence(self, view, timeout)
  local member_key = self.members_prefix .. view.id
  local result, message = self.etcd:transact({ Etcd.created(member_key, view.revision) },
    { Etcd.put(member_key, member_value(self), view.lease) }, nil, timeout)
  if not result then return nil, message end
  if not result.ok then
    local _, problem = is_told_so(self, view)
    return nil, problem, true
  end
  self.fence_epoch, self.fence = view.epoch, result.revision
  return true
end

-- A request that nobody will hear of any more, because it failed or its coroutine was cancelled, may be carried out
-- late: nothing is written before the fence has been raised.

local function note_doubt(self, view)
  self.doubt, self.doubt_epoch = (self.doubt or 0) + 1, view.epoch
end

local function is_in_doubt(self, view) return self.doubt_epoch == view.epoch end

-- As raise_fence.
local function remove_doubt(self, view, deadline)
  local doubt = self.doubt
  local raised, problem, is_lost = raise_fence(self, view, math.max(0.001, deadline - now()))
  if raised and self.doubt == doubt then self.doubt_epoch = nil end -- of a later one the fence may know nothing
  return raised, problem, is_lost
end

-- As Etcd:transact, once.
local function try_transaction(self, view, compare, success, failure, timeout)
  local ok, result, message, is_undone = pcall(self.etcd.transact, self.etcd, compare, success, failure, timeout, true)
  if not ok or (not result and not is_undone) then note_doubt(self, view) end
  if not ok then error(result, 0) end -- cancelled
  return result, message, is_undone
end

-- A transaction that is carried out only while the view's membership lasts. The result, or nil, message, whether it may
-- have been done after all. `otherwise`: read when a comparison fails. `is_once`: what may have been done is not tried
-- again.
local function mutate(self, view, deadline, compare, success, is_once, otherwise)
  local member_key, is_sent, message = self.members_prefix .. view.id, false, nil
  local function fail(problem)
    return nil, ("cluster '%s': %s%s"):format(self.name, problem, is_sent and "; it may have been done" or ""), is_sent
  end
  while true do
    if not is_current(self, view) then return no_member_any_more(self) end
    if is_in_doubt(self, view) then
      local raised, problem, is_lost = remove_doubt(self, view, deadline)
      if is_lost then return nil, problem end
      if not raised then return fail(message or problem) end
    end
    if is_sent and (is_once or now() >= deadline) then return fail(message) end
    local fence = fence_of(self, view)
    local compares = { Etcd.created(member_key, view.revision), Etcd.modified(member_key, fence), unpack(compare) }
    local result, is_undone
    result, message, is_undone = try_transaction(self, view, compares, success, { Etcd.get(member_key), otherwise },
      math.max(0.001, deadline - now()))
    if result and result.ok then return result end
    if result then
      local mine = Etcd.clean_all(result[1].kvs)[1]
      if not mine or mine.created ~= view.revision then return is_told_so(self, view) end
      if mine.modified == fence then return result end
      self.fence = mine.modified -- another coroutine has raised it: nothing was done
    elseif is_undone then
      return fail(message)
    else
      is_sent = true
    end
  end
end

-- -- Keeping the membership -------------------------------------------------------------------------------------------

local function list_of(members)
  local nodes = {}
  for _, node in pairs(members) do nodes[#nodes + 1] = node end
  table.sort(nodes, function(a, b) return a.revision < b.revision end)
  return nodes
end

local function node_of(self, kv)
  local json = mtev.parsejson(kv.value)
  local value = json and json:document()
  local id = kv.key:sub(#self.members_prefix + 1)
  return { id = id, name = type(value) == "table" and value.name or id, revision = kv.created }
end

local function call_all(callbacks, ...)
  for f in pairs(callbacks) do mtev.coroutine_spawn(f, ...) end
end

local function tell_change(self)
  if next(self.on_change_callbacks) then call_all(self.on_change_callbacks, self:nodes()) end
end

-- Reads who is there; the members by id, and the revision.
local function read_members(self)
  local result, message = self.etcd:transact({}, { Etcd.list(self.members_prefix) }, nil, self.settings.timeout)
  if not result then return nil, message end
  local members = {}
  for _, kv in ipairs(Etcd.clean_all(result[1].kvs)) do
    local node = node_of(self, kv)
    members[node.id] = node
  end
  return members, result.revision
end

local function show_members(self, members)
  self.view.nodes = list_of(members)
  publish_nodes(self)
  tell_change(self)
end

-- Follows the members from `revision` on, for ever; reads anew when a watch ends. A coroutine of its own.
local function follow(self, members, revision)
  while true do
    local started = now()
    local _, problem = self.etcd:watch(self.members_prefix, revision + 1, WATCH_TIME, function(events)
      for _, event in ipairs(events) do
        revision = math.max(revision, event.modified)
        local node = node_of(self, event)
        members[node.id] = not event.is_gone and node or nil
      end
      show_members(self, members)
    end)
    if now() - started < WATCH_TIME then
      mtev.log("debug/cluster", "lhotse: cluster '%s': the watch has ended: %s\n", self.name, tostring(problem))
      local read, at
      repeat
        mtev.sleep(LOOK_PAUSE * 5)
        read, at = read_members(self)
      until read
      members, revision = read, at
      show_members(self, members)
    end
  end
end

-- The lease, and the key. Returns true, or nil and why not.
local function enter(self)
  local etcd, settings, view = self.etcd, self.settings, self.view
  local sent = boot_time()
  local lease, ttl = etcd:grant(settings.ttl, settings.timeout)
  if not lease then return nil, ttl end
  local value, member_key = member_value(self), self.members_prefix .. view.id
  local result, message
  for _ = 1, 2 do -- a key of an earlier epoch is deleted first, so that the new one has its own age
    result, message = etcd:transact({ Etcd.created(member_key, 0) }, { Etcd.put(member_key, value, lease) },
      { Etcd.delete(member_key) }, settings.timeout)
    if not result or result.ok then break end
  end
  local members, revision
  if result and result.ok then members, revision = read_members(self) end
  if not members then
    mtev.coroutine_spawn(etcd.revoke, etcd, lease, settings.timeout)
    return nil, message or revision or "its key is taken"
  end
  view.lease, view.revision, view.valid_until = lease, result.revision, sent + LEASE_SHARE * ttl
  view.state, view.epoch, view.problem, view.nodes = "member", view.epoch + 1, nil, list_of(members)
  publish_nodes(self)
  tell_change(self)
  return true, members, revision
end

-- Renews the lease until it is lost; returns why, or "leave".
local function stay(self, members, revision)
  local etcd, view, interval = self.etcd, self.view, self.settings.ttl / 3
  local watched = etcd.current
  local watcher = mtev.coroutine_spawn(follow, self, members, revision)
  local wait, why = math.min(interval, math.max(0, view.valid_until - boot_time()) / 2), nil
  while not why do
    local command = mtev.shared_waitfor(self.command_key, wait)
    local sent = boot_time()
    local left = view.valid_until - sent
    if command == "leave" or not self.is_configured() then
      why = "leave"
    elseif left <= 0 then
      why = view.problem or "its lease has ended"
    else
      local ttl, message = etcd:keep_alive(view.lease, math.min(left, interval))
      if ttl == 0 then
        why = "etcd has ended its lease"
      elseif ttl then
        view.valid_until, view.problem, wait = sent + LEASE_SHARE * ttl, nil, interval
        publish(self)
      else
        view.problem, wait = message, RETRY_PAUSE
      end
      if etcd.current ~= watched or command == "check" then -- the watch may be of a member that hears nothing any more
        watched = etcd.current
        mtev.cancel_coro(watcher)
        local read, at = read_members(self)
        if read then
          show_members(self, read)
          members, revision = read, at
        end
        watcher = mtev.coroutine_spawn(follow, self, members, revision)
      end
      local mine = false
      for _, node in ipairs(view.nodes) do mine = mine or (node.id == view.id and node.revision == view.revision) end
      if not mine then why = why or "its key was deleted" end
    end
  end
  mtev.cancel_coro(watcher)
  return why
end

local function lose(self, why)
  local view = self.view
  view.state, view.problem, view.nodes = "lost", why, {}
  publish_nodes(self)
  mtev.log("error/cluster", "lhotse: cluster '%s': this node is no longer a member: %s\n", self.name, why)
  mtev.coroutine_spawn(self.etcd.revoke, self.etcd, view.lease, self.settings.timeout) -- if it is still there
  call_all(self.on_lost_callbacks, why)
  tell_change(self)
end

local function quit(self)
  local view = self.view
  view.state, view.nodes = "left", {}
  publish_nodes(self)
  tell_change(self)
  if view.lease then self.etcd:revoke(view.lease, self.settings.timeout) end
  mtev.shared_set(self.shared_key .. ":gone", view.epoch)
  self.keeper_semaphore:release()
end

-- Between attempts to join; true: it is to leave instead.
local function pause(self, seconds)
  return mtev.shared_waitfor(self.command_key, seconds) == "leave" or not self.is_configured()
end

local function keep(self)
  local seconds = JOIN_PAUSE
  local forget = mtev.on_stop(function() self:leave() end)
  while mtev.shared_waitfor(self.command_key, 0) do end -- of a membership before this one
  while true do
    local ok, members, revision = enter(self)
    if ok then
      seconds = JOIN_PAUSE
      local why = stay(self, members, revision)
      if why == "leave" then break end
      lose(self, why)
    else
      local problem = members
      if self.view.problem ~= problem then
        mtev.log("error/cluster", "lhotse: cluster '%s': cannot join: %s\n", self.name, tostring(problem))
      end
      self.view.problem = problem
      publish(self)
      if pause(self, seconds) then break end
      seconds = math.min(seconds * 2, JOIN_PAUSE_MOST)
    end
  end
  forget()
  quit(self)
end

-- -- Opening ----------------------------------------------------------------------------------------------------------

local function host_name()
  local file = io.open("/proc/sys/kernel/hostname")
  local name = file and file:read("*l") or "?"
  if file then file:close() end
  return name
end

function Engine.new(name, settings, is_configured)
  local self = setmetatable({
    name = name, settings = settings, is_configured = is_configured, etcd = Etcd.new(settings),
    shared_key = "lhotse.cluster:" .. name, command_key = "lhotse.cluster:" .. name .. ":command",
    keeper_semaphore = mtev.semaphore("lhotse.cluster:" .. name .. ":keeper", 1),
    on_change_callbacks = {}, on_lost_callbacks = {}, heard = setmetatable({}, { __mode = "k" }),
    members_prefix = settings.prefix .. "members/",
    node_name = settings.node or ("%s:%d"):format(host_name(), core.process_id()),
  }, Engine)
  self.is_keeper = self.keeper_semaphore:try_acquire()
  local before = mtev.shared_get(self.shared_key)
  local id = before and before.id or mtev.uuid()
  self.view = { state = "joining", epoch = before and before.epoch or 0, id = id, version = before and before.version or 0, nodes = {} }
  if self.is_keeper then
    publish(self)
    mtev.coroutine_spawn(keep, self)
  else
    self.view.version = -1 -- nothing is known yet
  end
  return self
end

function Engine:is_left()
  return current_view(self).state == "left"
end

function Engine:join(timeout)
  local view, problem = await_member(self, timeout or math.huge)
  if not view then return nil, problem end
  local co = running()
  if co then self.heard[co] = view.epoch end
  return true
end

function Engine:leave()
  local view = current_view(self)
  if view.state == "left" then return true end
  mtev.shared_notify(self.command_key, "leave")
  local deadline, seconds = now() + 2 * self.settings.timeout, 0.001
  local function is_gone()
    return current_view(self).state == "left" and mtev.shared_get(self.shared_key .. ":gone") == self.view.epoch
  end
  while not is_gone() do
    if now() >= deadline then return nil, ("cluster '%s': etcd has not answered yet"):format(self.name) end
    mtev.sleep(seconds)
    seconds = math.min(2 * seconds, LOOK_PAUSE)
  end
  return true
end

-- -- Who is there -----------------------------------------------------------------------------------------------------

function Engine:id()
  return current_view(self).id
end

function Engine:size()
  local view = look(self)
  return is_valid(view) and #view.nodes or 0
end

function Engine:am_i_oldest_visible_node()
  local view = look(self)
  local oldest = view.nodes[1]
  return is_valid(view) and oldest ~= nil and oldest.id == view.id and oldest.revision == view.revision
end

function Engine:nodes()
  local view = look(self)
  local nodes = {}
  if not is_valid(view) then return nodes end
  for i, node in ipairs(view.nodes) do
    nodes[i] = { id = node.id, name = node.name, revision = node.revision, is_self = node.id == view.id }
  end
  return nodes
end

-- Rendezvous hashing (Thaler, Ravishankar 1998): the node whose hash with the key is highest. FNV-1a, mixed as by
-- murmur3.
local FNV_BASIS, FNV_PRIME = 0xcbf29ce484222325ULL, 0x100000001b3ULL

local function fnv(text)
  local hash = FNV_BASIS
  for i = 1, #text do hash = bit.bxor(hash, text:byte(i)) * FNV_PRIME end
  return hash
end

local function mix(hash)
  hash = bit.bxor(hash, bit.rshift(hash, 33)) * 0xff51afd7ed558ccdULL
  hash = bit.bxor(hash, bit.rshift(hash, 33)) * 0xc4ceb9fe1a85ec53ULL
  return bit.bxor(hash, bit.rshift(hash, 33))
end

local hashes = setmetatable({}, { __mode = "v" }) -- id -> boxed hash
local box = ffi.typeof("struct { uint64_t value; }")

local function hash_of(id)
  local known = hashes[id]
  if not known then
    known = box(fnv(id))
    hashes[id] = known
  end
  return known.value
end

function Engine:owner(key)
  local view = look(self)
  if not is_valid(view) then return nil end
  local hash, best, best_score = fnv(key), nil, nil
  for _, node in ipairs(view.nodes) do
    local score = mix(bit.bxor(hash, hash_of(node.id)))
    if not best or score > best_score then best, best_score = node, score end
  end
  return best and { id = best.id, name = best.name, revision = best.revision, is_self = best.id == view.id }
end

-- In a thread that does not keep the membership somebody has to look.
local function look_for_callbacks(self)
  local version, epoch, state = self.view.version, self.view.epoch, self.view.state
  while next(self.on_change_callbacks) or next(self.on_lost_callbacks) do
    mtev.sleep(CALLBACK_PAUSE)
    local view = current_view(self)
    if (view.state == "lost" and state == "member") or (view.epoch > epoch and state == "member") then
      call_all(self.on_lost_callbacks, view.problem or "its lease has ended")
    end
    if view.version ~= version then tell_change(self) end
    version, epoch, state = view.version, view.epoch, view.state
    if state == "left" then break end
  end
  self.is_looking = false
end

local function register(self, callbacks, f)
  local function call(...) return f(...) end -- the same function twice is two
  callbacks[call] = true
  if not self.is_keeper and not self.is_looking then
    self.is_looking = true
    current_view(self)
    mtev.coroutine_spawn(look_for_callbacks, self)
  end
  return function() callbacks[call] = nil end
end

function Engine:on_change(f) return register(self, self.on_change_callbacks, f) end
function Engine:on_lost(f) return register(self, self.on_lost_callbacks, f) end

-- For etcd_engine.lua.
Engine.current_view, Engine.is_valid, Engine.is_current, Engine.complaint = current_view, is_valid, is_current, complaint
Engine.act, Engine.mutate, Engine.raise_fence = act, mutate, raise_fence

return Engine
