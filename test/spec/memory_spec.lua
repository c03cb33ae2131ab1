-- Without memory a call raises "not enough memory", or gives its failure; nothing is lost, leaked or left hanging, and the
-- next call works. Here the first, the second, the third ... allocation of each operation fails, until it succeeds because
-- there were no more. Only builds of the presets debug and asan can do that.

local debug_info = require("mtev.debug")
local files = require("test.support.files")
local net = require("test.support.net")
local process = require("test.support.process")
local count_descriptors = process.descriptors

local function can_fail()
  local can = debug_info.fail_allocation(0)
  if not can then print("# skipped: this build cannot make allocations fail (preset debug or asan can)") end
  return can
end

local QUIET = 30 -- so many successes in a row: there was nothing left to fail

-- Runs `operation` with its n-th allocation failing; true, or nil and what it failed with. Its own coroutines fail alone.
local function attempt(n, operation)
  local is_over, ok, result, err
  mtev.coroutine_spawn(function()
    debug_info.fail_allocation(n)
    ok, result, err = pcall(operation)
    debug_info.fail_allocation(0)
    is_over = true
  end)
  local deadline = mtev.time() + 30
  while not is_over and mtev.time() < deadline do pcall(mtev.sleep, 0) end
  debug_info.fail_allocation(0)
  assert(is_over, "it hangs")
  if ok and result then return true end
  return nil, ok and err or result
end

local function settled_counts()
  for _ = 1, 3 do
    collectgarbage()
    mtev.sleep(0.01)
  end
  return debug_info.counts()
end

-- `expected`: what may be said instead of "not enough memory".
local function survives(operation, expected)
  assert(operation())
  local before, quiet, n = settled_counts(), 0, 0
  while quiet < QUIET and n < 3000 do
    n = n + 1
    local ok, err = attempt(n, operation)
    quiet = ok and quiet + 1 or 0
    if not ok and not tostring(err):find("not enough memory", 1, true) then
      assert(expected and tostring(err):find(expected), tostring(err))
    end
  end
  assert.equal(QUIET, quiet)
  local deadline, after = mtev.time() + 30, nil
  repeat after = settled_counts() until after.timers <= before.timers and after.children <= before.children
    and after.sockets <= before.sockets and after.coroutines <= before.coroutines or mtev.time() > deadline
  assert.same(before, after)
  assert(operation())
end

describe("without memory", function()
  if not can_fail() then return end

  it("messages in one thread", function()
    survives(function()
      mtev.notify("memory_spec", 1, {}, "text")
      return mtev.waitfor("memory_spec", 0)
    end)
    while mtev.waitfor("memory_spec", 0) do end
  end)

  it("messages that somebody waits for, few values and many", function()
    local many = {}
    for i = 1, 100 do many[i] = i end
    for _, values in ipairs { { 1, "two" }, many } do
      local count
      mtev.coroutine_spawn(function()
        while count ~= "stop" do count = select("#", mtev.waitfor("memory_spec waited")) end
      end)
      survives(function()
        mtev.notify("memory_spec waited", unpack(values))
        return true
      end)
      mtev.sleep(0)
      assert.equal(#values + 1, count)
      count = "stop"
      mtev.notify("memory_spec waited")
      mtev.sleep(0)
    end
  end)

  -- It ended the coroutine that serves a tunnel, or that accepts: the tunnel stayed, was never served again, and nobody
  -- dialled.
  it("reverse connections: a channel or a tunnel is lost, and comes again", function()
    local pcall = pcall -- a global of busted's is found by a function that allocates
    local function echo(e) e:write(e:read(1)) end
    local is_hung
    mtev.enable_log("error/reverse", false)
    local listener = assert(mtev.reverse_listen { address = "127.0.0.1", port = 0, insecure = true })
    local dialler = mtev.reverse_connect { host = "127.0.0.1", port = select(2, listener:sock_name()), name = "memory_spec",
      retry_min = 0.001, retry_max = 0.001, accept = function(e) pcall(echo, e) end }
    survives(function()
      is_hung = is_hung or not dialler:ready(30)
      local e = assert(mtev.socket("inet"))
      local rv, err = e:connect("reverse:memory_spec", nil, 30)
      local answer = nil
      if rv == 0 and e:write("x") == 1 then answer, err = e:read(1, { timeout = 30 }) end
      e:close()
      is_hung = is_hung or err == "timeout"
      return answer == "x", err
    end, ".")
    assert.is_false(is_hung)
    dialler:close()
    listener:close()
    mtev.enable_log("error/reverse")
  end)

  it("shared values", function()
    survives(function()
      mtev.shared_set("memory_spec", { 1, { "two", a = { true } } })
      return mtev.shared_get("memory_spec")[2].a[1]
    end)
    survives(function() -- looking for `serialize` runs the script's code, which allocates
      local proxy = setmetatable({}, { __index = function() return function() return { ("x"):rep(500) } end end })
      mtev.shared_set("memory_spec", { ("y"):rep(5000), proxy, setmetatable({}, { __index = {} }) })
      return mtev.shared_get("memory_spec")[2]
    end)
  end)

  -- Nothing else is logged afterwards: the loss wakes the writer by itself. At the end it is said, though no record
  -- waits.
  it("a log record is lost, which is said at once, or at the end", function()
    local dir = files.directory()
    for _, format in ipairs { "plain", "json" } do
      local config = files.write(dir .. "/config.xml",
        ('<x><logs><log name="a" type="file" path="%s/a.log" format="%s"/></logs></x>'):format(dir, format))
      for _, ending in ipairs { "wait", "end" } do
        local output, status = process.run(([[
          local fail_allocation, path = require("mtev.debug").fail_allocation, "%s/a.log"
          local function is_said() return io.open(path):read("*a"):find("1 log records were lost (no memory)", 1, true) end
          mtev.log("a", "kept\n")
          while io.open(path):read("*a") == "" do mtev.sleep(0.001) end
          fail_allocation(1)
          mtev.log("a", "lost\n")
          fail_allocation(0)
          while "%s" == "wait" and not is_said() do mtev.sleep(0.001) end]]):format(dir, ending),
          { options = "-c " .. config })
        assert.same({ "", 0 }, { output, status })
        local text = files.read(dir .. "/a.log")
        assert.matches("kept.*lhotse: 1 log records were lost %(no memory%)", text)
        assert.not_matches("lost\n", text)
        os.remove(dir .. "/a.log")
      end
    end
    files.remove(dir)
  end)

  -- Whoever reads a ring in turns gives the number of the last record next time: one left out would never be seen.
  it("records of a ring: all of them or none", function()
    local dir = files.directory()
    local config = files.write(dir .. "/config.xml",
      '<x><logs><log name="ring" type="memory" path="1000,1000000"/></logs></x>')
    local output, status = process.run([[
      local fail_allocation = require("mtev.debug").fail_allocation
      for i = 1, 100 do mtev.log("ring", ("line " .. i .. " "):rep(20)) end
      local failures = 0
      for n = 1, 200 do
        fail_allocation(n)
        local ok, lines, last = pcall(mtev.log_lines, "ring")
        fail_allocation(0)
        if ok then assert(#lines == 100 and last == 100) else assert(lines:find("not enough memory")) end
        if not ok then failures = failures + 1 end
      end
      print(failures > 10)]], { options = "-c " .. config })
    files.remove(dir)
    assert.same({ "true\n", 0 }, { output, status }) -- under asan also: nothing leaked
  end)

  -- A message that cannot be made into values is the next one's who asks.
  it("messages between threads", function()
    local sent, got = 0, 0
    survives(function()
      mtev.shared_notify("memory_spec", { "text", sent + 1 })
      sent = sent + 1
      local message = mtev.shared_waitfor("memory_spec", 0)
      assert(message[2] == got + 1, "a message is lost")
      got = got + 1
      return true
    end)
    while mtev.shared_waitfor("memory_spec", 0) do got = got + 1 end
    assert.equal(sent, got)
  end)

  it("messages between threads that somebody waits for", function()
    for n = 1, QUIET do
      local ok, message
      mtev.coroutine_spawn(function() ok, message = pcall(mtev.shared_waitfor, "memory_spec waited", 60) end)
      mtev.shared_notify("memory_spec waited", { "text", n })
      debug_info.fail_allocation(n)
      pcall(mtev.sleep, 0)
      debug_info.fail_allocation(0)
      while ok == nil do mtev.sleep(0) end
      if not ok then
        assert.matches("not enough memory", message)
        message = mtev.shared_waitfor("memory_spec waited", 0)
      end
      assert.same({ "text", n }, message)
    end
  end)

  it("configuration", function()
    mtev.conf_replace_value("/cli/memory_spec", ("v"):rep(5000))
    survives(function() return mtev.conf_get_string("/cli/memory_spec") end)
    survives(function() return mtev.conf_get_string_list("/cli", "memory_spec") end)
  end)

  it("coroutines of its own, waiting, cancelled", function()
    survives(function()
      local generator = coroutine.wrap(function()
        mtev.sleep(0.0001)
        coroutine.yield(1)
      end)
      return generator()
    end)
    survives(function()
      mtev.cancel_coro(mtev.coroutine_spawn(pcall, mtev.sleep, 100))
      mtev.sleep(0)
      return true
    end)
  end)

  it("sockets", function()
    survives(function()
      local listener, port = net.listen()
      local client = mtev.socket("inet")
      local rv, err = client:connect("127.0.0.1", port)
      if rv ~= 0 then return nil, err end
      local server, refusal = listener:accept()
      if not server then return nil, refusal end
      local written, failure = client:write(("x"):rep(1000) .. "\n")
      if written ~= 1001 then return nil, failure end
      return server:read("\n")
    end)
  end)

  it("processes", function()
    survives(function()
      local child, stdin, stdout = mtev.spawn("/bin/cat", { "cat" })
      if not stdout then return nil, stdin end
      stdin:write("text\n")
      local line, err = stdout:read("\n")
      stdin:close()
      stdout:close()
      child:kill("KILL")
      child:wait(math.huge)
      return line, err
    end)
    survives(function() return (select(2, mtev.exec("/bin/echo", { "echo", "text" }))) == "text\n" end, "^false$")
  end)

  it("files and names", function()
    survives(function() return mtev.stat("/etc/passwd") end)
    survives(function() return mtev.readdir("/etc") end)
    survives(function() return mtev.getaddrinfo("localhost") end)
    survives(function() return mtev.getcwd() end)
  end)

  -- What an operation has done belongs to nobody while its results are made.
  it("files where nothing can yield", function()
    local function at_once(f)
      return function()
        local ok, result, _, err
        table.sort({ 1, 2 }, function()
          if ok == nil then ok, result, _, err = pcall(f) end
          return false
        end)
        if not ok then error(result, 0) end
        return result, err
      end
    end
    local files = require("test.support.files")
    local dir = files.directory()
    survives(at_once(function() return mtev.stat("/etc/passwd") end))
    survives(at_once(function() return mtev.readdir("/etc") end), "^Cannot allocate memory$")
    survives(at_once(function() return mtev.realpath("/etc") end), "^Cannot allocate memory$")
    local descriptors = count_descriptors()
    survives(at_once(function()
      local handle, errno, err = mtev.lockfile_acquire(dir .. "/lock")
      if handle < 0 then return nil, errno, err end
      return mtev.lockfile_release(handle) == 0
    end))
    local fd = mtev.open("/etc/passwd", O_RDONLY)
    survives(at_once(function() return mtev.read(fd, 500, 0) end), "^Cannot allocate memory$")
    mtev.close(fd)
    assert.equal(descriptors, count_descriptors())
    files.remove(dir)
  end)

  it("formats", function()
    survives(function() return mtev.tojson(mtev.parsejson('{"a":[1,2,{"b":"c"}]}'):document()):tostring() end)
    survives(function()
      local document, err = mtev.parsexml("<a><b c='1'>x</b></a>")
      if not document then return nil, err end
      for node in document:xpath("//b") do
        node:attr("d", "2")
        if node:contents() ~= "x" or not node:children()() then return nil, "?" end
      end
      return document:tostring()
    end)
    survives(function() return mtev.pcre("(a)(b)?")("xxab") end)
    survives(function() return mtev.gunzip()(mtev.gzip(("x"):rep(100000))) end)
    survives(function() return mtev.base64_decode(mtev.base64_encode(("x"):rep(50000))) end)
  end)

  it("finalizers", function()
    local ran = 0
    survives(function()
      getmetatable(newproxy(true)).__gc = function() ran = ran + 1 end
      collectgarbage()
      return true
    end)
    assert.is_true(ran > 0)
  end)
end)
