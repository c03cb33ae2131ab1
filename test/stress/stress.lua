-- Random operations, many at a time, for as long as asked, with invariants: what was written is what is read; messages and
-- units are neither lost nor doubled; every call ends; at the end nothing is left. Meanwhile coroutines are cancelled and
-- interrupted by finalizers and hooks, sockets are closed under their readers, and the collector is driven.
--
--     lhotse [-n THREADS] test/stress/stress.lua [SECONDS [SEED]]
--
-- The seed is printed first; the same seed gives each actor the same decisions, if not the same timing. With LHOTSE_FAULTS
-- set (test/support/faults.c) calls may fail, but in no other way than by saying so.

local seconds, seed = tonumber((...)) or 60, tonumber((select(2, ...))) or os.time()
local _, thread = mtev.thread_self()
local is_faulty = os.getenv("LHOTSE_FAULTS") ~= nil
local counts = require("mtev.debug").counts
local HttpClient = require("mtev.HttpClient")

local PATIENCE = 120 -- seconds: nothing here takes so long, on whatever machine
local ACTORS = 40

local function fail(format, ...)
  mtev.log("error", "stress: thread %d, seed %d: " .. format .. "\n", thread, seed, ...)
  mtev.log("error", "%s\n", debug.traceback())
  os.exit(1)
end

-- A generator of its own for each actor (xorshift): math.random is one for all.
local function generator(number)
  local state = bit.bxor(seed * 2654435761 % 2 ^ 31, number * 40503, 0x5bd1e995)
  return function(low, high)
    state = bit.bxor(state, bit.lshift(state, 13))
    state = bit.bxor(state, bit.rshift(state, 17))
    state = bit.bxor(state, bit.lshift(state, 5))
    return low + state % (high - low + 1)
  end
end

local is_over = false
local totals = {} -- operation -> how often

-- -- Servers ----------------------------------------------------------------------------------------------------------

-- Bytes that say where they belong: any piece of them can be checked.
local function pattern(start, length)
  local pieces = {}
  for i = start, start + length - 1 do pieces[#pieces + 1] = string.char(i % 251) end
  return table.concat(pieces)
end

local PATTERN = pattern(0, 251 * 300)

local function expected(start, length)
  local from = start % 251
  return PATTERN:sub(from + 1, from + length)
end

local serving = setmetatable({}, { __mode = "k" }) -- coroutines of the servers

local function serve(serve_one)
  local listener = assert(mtev.socket("inet"))
  assert(listener:bind("127.0.0.1", 0) == 0)
  listener:listen(256)
  local _, port = listener:sock_name()
  serving[mtev.coroutine_spawn(function()
    listener = listener:own()
    while true do
      local e = listener:accept()
      if e then
        serving[mtev.coroutine_spawn(function()
          e = e:own()
          if e then serve_one(e) e:close() end
        end)] = true
      else
        mtev.sleep(0.01)
      end
    end
  end)] = true
  return port
end

local function echo_one(e)
  while true do
    local n, data = e:recv(65536)
    if n <= 0 or e:write(data) ~= #data then return end
  end
end

local function http_one(e)
  while true do
    local head = e:read("\r\n\r\n", { timeout = 30, limit = 65536 })
    if not head or head:sub(-4) ~= "\r\n\r\n" then return end
    local size = tonumber(head:match("/(%d+)")) or 0
    local length = tonumber(head:lower():match("content%-length: (%d+)")) or 0
    if length > 0 and not e:read(length) then return end
    local answer = ("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"):format(size)
    if e:write({ answer, expected(0, size) }) == -1 then return end
  end
end

local echo_port, http_port = serve(echo_one), serve(http_one)

-- -- Operations -------------------------------------------------------------------------------------------------------
-- Each gets the actor's generator. It may be cancelled or interrupted anywhere.

local operations = {}

-- A coroutine that is cancelled raises in its wait and in two more; one that goes on then is abandoned, and never ends.
local function unless_cancelled(ok, ...)
  if not ok and tostring((...)):find("cancelled") then error((...), 0) end
  return ok, ...
end

local function try(f, ...)
  return unless_cancelled(pcall(f, ...))
end

local function connect(port)
  local e = mtev.socket("inet")
  if not e then return nil end
  if e:connect("127.0.0.1", port, 30) ~= 0 then
    e:close()
    return nil
  end
  return e
end

local function check_echo(e, random, offset)
  local length = random(1, 3) == 1 and random(1, 70000) or random(1, 300)
  local data = expected(offset, length)
  if e:write(data) ~= length then return nil end
  local back, err = e:read(length, { timeout = 60 })
  if back and back ~= data and not (#back < length and data:sub(1, #back) == back) then
    fail("echo: %d bytes sent, %d other ones came back (%s)", length, #back, tostring(err))
  end
  return back and #back == length and offset + length
end

function operations.echo(random)
  local e = connect(echo_port)
  if not e then return end
  local offset = 0
  for _ = 1, random(1, 6) do
    offset = check_echo(e, random, offset)
    if not offset then break end
    if random(1, 4) == 1 then mtev.sleep(0) end
  end
  e:close()
end

function operations.echo_by_two(random)
  local e = connect(echo_port)
  if not e then return end
  local reader, writer = e:split()
  local length = random(1, 60000)
  local data = expected(0, length)
  mtev.coroutine_spawn(function()
    local mine = writer:own()
    if mine then mine:write(data) end
    if mine then mine:close() end
  end)
  local back = reader:read(length, { timeout = 60 })
  if back and data:sub(1, #back) ~= back then fail("split: wrong bytes") end
  reader:close()
end

function operations.closed_under_its_reader(random)
  local e = connect(echo_port)
  if not e then return end
  local how = random(1, 3)
  mtev.coroutine_spawn(function()
    mtev.sleep(random(0, 3) / 1000)
    if how == 1 then pcall(e.close, e) end
    if how == 2 then pcall(function() e:own() end) end
  end)
  local ok, data, err = try(e.read, e, "\n", { timeout = 0.005 })
  if ok and data then fail("read gave %q, %s from a silent server", data, tostring(err)) end
  pcall(e.close, e)
end

function operations.pipes(random)
  local process, stdin, stdout = mtev.spawn("/bin/cat", { "cat" })
  if not stdout then return end
  local length = random(1, 30000)
  local data = expected(7, length)
  mtev.coroutine_spawn(function()
    local mine = stdin:own()
    if not mine then return end
    mine:write(data)
    mine:close()
  end)
  local back = stdout:read(length, { timeout = 60 })
  if back and data:sub(1, #back) ~= back then fail("cat: wrong bytes") end
  if random(1, 2) == 1 then process:kill(random(1, 2) == 1 and "KILL" or "TERM") end
  stdout:close()
  process:wait(30)
end

function operations.exec(random)
  local text = ("x"):rep(random(1, 20000))
  local status, out = mtev.exec("/bin/echo", { "echo", text }, nil, 60)
  if status == 0 and out ~= text .. "\n" and not is_faulty then fail("echo(1) gave %d of %d bytes", #out, #text + 1) end
end

function operations.sleep(random)
  local wanted, before = random(0, 2000) / 1e6, mtev.time()
  local slept = mtev.sleep(wanted)
  if slept:seconds() + 1e-5 < wanted then fail("slept %g of %g s (%g)", slept:seconds(), wanted, mtev.time() - before) end
end

local sent, received = 0, 0 -- messages on keys that nobody is cancelled on

function operations.messages(random)
  local key = "stress " .. random(1, 5)
  for _ = 1, random(1, 10) do
    mtev.notify(key, random(1, 1000), { "table" }, ("x"):rep(random(0, 100)))
    sent = sent + 1
  end
  for _ = 1, random(1, 10) do
    local found, number, values, text = mtev.waitfor(key, random(0, 2) / 1000)
    if not found then break end
    received = received + 1
    if type(number) ~= "number" or values[1] ~= "table" or type(text) ~= "string" then fail("message with wrong values") end
  end
end

function operations.many_values(random)
  local values = {}
  for i = 1, random(1, 60) do values[i] = i end
  local key = "many " .. random(1, 1e9)
  local co = mtev.coroutine_spawn(function()
    local got = { mtev.waitfor(key, 30) }
    if got[1] and #got ~= #values + 1 then fail("%d of %d values", #got - 1, #values) end
  end)
  if random(1, 3) == 1 then mtev.cancel_coro(co) end
  mtev.notify(key, unpack(values))
  mtev.sleep(0)
  while mtev.waitfor(key, 0) do end
end

function operations.shared_messages(random)
  local key = "stress shared " .. random(1, 3)
  for _ = 1, random(1, 5) do
    mtev.shared_notify(key, { 1, { "two", random(1, 1e9) } })
    mtev.shared_seq("stress shared sent")
  end
  for _ = 1, random(1, 5) do
    local value = mtev.shared_waitfor(key, random(0, 2) / 1000)
    if value == nil then break end
    if value[1] ~= 1 or value[2][1] ~= "two" then fail("shared message with wrong values") end
    mtev.shared_seq("stress shared received")
  end
end

local UNITS = 3
local inside = 0

function operations.semaphore(random)
  local semaphore = mtev.semaphore("stress " .. thread, UNITS)
  if not semaphore:acquire(random(0, 20) / 1000) then return end
  inside = inside + 1
  if inside > UNITS then fail("%d inside a semaphore of %d", inside, UNITS) end
  local ok, err = pcall(mtev.sleep, random(0, 1000) / 1e6)
  inside = inside - 1
  semaphore:release()
  if not ok then error(err, 0) end
end

function operations.api(random)
  local size = random(0, 30000)
  local api = mtev.Api:http("127.0.0.1", http_port):timeout(60)
  local response = random(1, 3) == 1 and api:post("/" .. size, ("y"):rep(random(0, 5000))) or api:get("/" .. size)
  if response:rc() == 200 and response:text() ~= expected(0, size) then fail("Api: wrong bytes") end
end

function operations.http_client(random)
  local client = HttpClient:new({})
  local ok, err = pcall(function()
    local rv = client:connect("127.0.0.1", http_port)
    if rv ~= 0 then return end
    for _ = 1, random(1, 3) do
      local size, body = random(0, 30000), {}
      client.hooks.consume = function(data) body[#body + 1] = data end
      client:do_request("GET", "/" .. size, {})
      client:get_response(1e6)
      if client.code == 200 and not is_faulty and table.concat(body) ~= expected(0, size) then fail("HttpClient: wrong bytes") end
    end
  end)
  client:close()
  unless_cancelled(ok, err)
end

local left_open = {} -- descriptor -> its coroutine: they are numbers, and nobody closes those of one that was cancelled

local function close(fd)
  left_open[fd] = nil
  mtev.close(fd)
end

local function close_left_open()
  for fd, co in pairs(left_open) do
    if coroutine.status(co) == "dead" then return close(fd) end
  end
end

function operations.files(random)
  close_left_open()
  local name = os.tmpname()
  local data = expected(3, random(1, 50000))
  local fd = mtev.open(name, bit.bor(O_RDWR, O_CREAT, O_TRUNC), 384)
  if fd < 0 then return os.remove(name) end
  left_open[fd] = coroutine.running()
  local again = mtev.open(name, O_RDONLY)
  if again >= 0 then left_open[again] = coroutine.running() end
  os.remove(name)
  local written = mtev.write(fd, data)
  close(fd)
  if again < 0 then return end
  local back = mtev.read(again, #data)
  close(again)
  if written == #data and type(back) == "string" and data:sub(1, #back) ~= back then fail("a file has other bytes") end
end

function operations.names(random)
  local names = { "localhost", "127.0.0.1", "no-such-name.invalid" }
  if random(1, 20) == 1 then mtev.getaddrinfo(names[random(1, 3)]) end
end

function operations.formats(random)
  local list = {}
  for i = 1, random(1, 100) do list[i] = { name = "n" .. i, value = i } end
  local text = mtev.tojson(list):tostring()
  local back = mtev.parsejson(text):document()
  if #back ~= #list or back[#back].name ~= "n" .. #list then fail("JSON: other values") end
  local data = expected(5, random(1, 20000))
  if mtev.base64_decode(mtev.base64_encode(data)) ~= data then fail("base64: other bytes") end
  if mtev.gunzip()(mtev.gzip(data)) ~= data then fail("gzip: other bytes") end
  local document = mtev.parsexml("<a><b c='1'>x</b></a>")
  for node in document:xpath("//b") do node:attr("c", "2") end
  if not document:tostring():find('c="2"', 1, true) then fail("XML: other values") end
end

function operations.generators(random)
  local steps = random(1, 5)
  local generate = coroutine.wrap(function()
    for i = 1, steps do
      mtev.sleep(random(0, 300) / 1e6)
      coroutine.yield(i)
    end
  end)
  for i = 1, steps do
    if generate() ~= i then fail("a generator skipped a step") end
  end
end

-- -- What disturbs ----------------------------------------------------------------------------------------------------

local finalizers_run = 0
local held = {} -- sockets for finalizers to close

local disturbances = {
  function() end,
  function() pcall(error, "caught") end,
  function(random) mtev.notify("finalizer", random(1, 10)) end,
  function(random) mtev.coroutine_spawn(function() mtev.sleep(random(0, 100) / 1e6) end) end,
  function(random)
    local e = table.remove(held, random(1, math.max(1, #held)))
    if e then pcall(e.close, e) end
  end,
  function(random) mtev.tojson({ ("x"):rep(random(0, 1000)) }):tostring() end,
  function(random) mtev.sleep(random(0, 500) / 1e6) end,
  function() mtev.waitfor("finalizer", 0) end,
  function() collectgarbage("step") end,
}

local function disturb(random)
  finalizers_run = finalizers_run + 1
  disturbances[random(1, #disturbances)](random)
end

ffi.cdef "typedef struct { int number; } stress_object"
local stress_object

function operations.litter(random)
  local function finalizer() disturb(random) end
  for _ = 1, random(1, 30) do
    local kind = random(1, 4)
    if kind == 1 then
      getmetatable(newproxy(true)).__gc = finalizer
    elseif kind == 2 then
      ffi.gc(ffi.new("int[4]"), finalizer)
    elseif kind == 3 then
      debug.setmetatable(newproxy(), { __gc = finalizer })
    else
      stress_object(random(1, 10))
    end
  end
end

function operations.hold(random)
  local e = connect(echo_port)
  if not e then return end
  held[#held + 1] = e
  try(e.read, e, "\n", { timeout = random(0, 5) / 1000 })
  pcall(e.close, e)
end

function operations.collect(random)
  if random(1, 3) == 1 then
    collectgarbage()
  else
    collectgarbage("step", random(1, 200))
  end
  collectgarbage("setpause", random(100, 200))
end

function operations.hook(random)
  if random(1, 10) > 1 then return end
  debug.sethook(function()
    pcall(mtev.sleep, 0.001)
    mtev.notify("hook", 1)
  end, "", random(100, 10000))
  for _ = 1, 1000 do local _ = {} end
  debug.sethook()
  while mtev.waitfor("hook", 0) do end
end

-- -- Actors -----------------------------------------------------------------------------------------------------------

local names = {}
for name in pairs(operations) do names[#names + 1] = name end
table.sort(names)

local only = os.getenv("STRESS_ONLY")
if only then names = { only } end

local living, begun_at, doing = 0, {}, {}

-- Whatever an operation raises in the middle of a cancel is fine; nothing else is.
local function act(number, random)
  while not is_over do
    local name = names[random(1, #names)]
    begun_at[number], doing[number] = mtev.time(), name
    local ok, err = pcall(operations[name], random)
    if not ok and not (is_faulty or tostring(err):find("cancelled") or tostring(err):find("memory")) then
      fail("%s raised %s", name, tostring(err))
    end
    if not ok and tostring(err):find("cancelled") then return end
    totals[name] = (totals[name] or 0) + 1
    if random(1, 3) == 1 then mtev.sleep(0) end
  end
end

local actors = {}

local function start_actor(number)
  living = living + 1
  actors[number] = mtev.coroutine_spawn(function()
    local random = generator(number)
    pcall(act, number, random)
    living = living - 1
    actors[number], begun_at[number] = nil, nil
  end)
end

local function cancel_some(random)
  for _ = 1, random(0, 2) do
    local number = random(1, ACTORS)
    local co = actors[number]
    if co then mtev.cancel_coro(co) end
  end
end

local function look_for_hangs()
  local now = mtev.time()
  for number, begun in pairs(begun_at) do
    if now - begun > PATIENCE then
      fail("%s does not end:\n%s", doing[number], require("mtev.debug").traceback(actors[number]) or "")
    end
  end
end

local function report()
  local parts = {}
  for name, count in pairs(totals) do parts[#parts + 1] = name .. " " .. count end
  table.sort(parts)
  printf("thread %d: %s; %d finalizers", thread, table.concat(parts, ", "), finalizers_run)
end

local function wait_for(what, f)
  local deadline = mtev.time() + PATIENCE
  while not f() do
    if mtev.time() > deadline then fail("%s", what()) end
    collectgarbage()
    mtev.sleep(0.02)
  end
end

local function show(t)
  local parts = {}
  for key, value in pairs(t) do parts[#parts + 1] = key .. " " .. value end
  table.sort(parts)
  return table.concat(parts, ", ")
end

function main()
  if thread == 0 then printf("seed %d, %g seconds%s", seed, seconds, is_faulty and ", with faults" or "") end
  local random = generator(1000 + thread)
  stress_object = ffi.metatype("stress_object", { __gc = function() disturb(random) end })
  local deadline = mtev.time() + seconds
  for number = 1, ACTORS do start_actor(number) end
  while mtev.time() < deadline do
    mtev.sleep(0.01)
    cancel_some(random)
    look_for_hangs()
    for number = 1, ACTORS do
      if not actors[number] then start_actor(number) end
    end
  end
  is_over = true
  wait_for(function() return ("%d actors do not end"):format(living) end, function()
    look_for_hangs()
    return living == 0
  end)
  for fd in pairs(left_open) do close(fd) end
  for key = 1, 5 do
    while mtev.waitfor("stress " .. key, 0) do received = received + 1 end
  end
  if sent ~= received then fail("%d messages sent, %d received", sent, received) end
  while mtev.waitfor("finalizer", 0) do end
  for co in pairs(serving) do mtev.cancel_coro(co) end
  held = {}
  mtev.sleep(0.1)
  if is_faulty then
    report()
    return
  end
  wait_for(function() return "left: " .. show(counts()) end, function()
    local now = counts()
    return now.coroutines == 1 and now.children == 0 and now.sockets == 0 and now.timers <= 1 and now.jobs == 0
  end)
  report()
end
