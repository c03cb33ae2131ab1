-- Run-away recursion is an error that pcall sees, whatever it goes through: the Lua stack is bounded by LuaJIT; the C stack
-- below it is ours to watch, where coroutines resume one another and where C functions call Lua. Each case is a process,
-- because the failure is SIGSEGV.

local run = require("test.support.process").run

local function recurses(body)
  local output, status = run(body .. [[
    local ok, message = pcall(f)
    print(ok, (tostring(message):match("[%a ]*overflow")))
    print(#("still alive"))]])
  assert.equal(0, status)
  assert.matches("^false\t[%a ]*overflow\n11\n$", output)
end

describe("recursion without end", function()
  it("through coroutine.wrap and coroutine.resume", function()
    recurses("function f() return (coroutine.wrap(f)()) end")
    recurses("function f() return assert(coroutine.resume(coroutine.create(f))) end")
  end)

  -- A message handler is then called by code that has been compiled, which is at no place that LuaJIT could name: what
  -- looks for the name there must not follow it (core.pcall, reports of finalizers and of functions of on_stop).
  it("in compiled code, below a handler that looks at the stack", function()
    local body = [[
      local function walk(n) mtev.log("debug", "x\n") return walk(n) + 1 end
      local function deep() return mtev.time() + deep() end]]
    local output, status = run(body .. [[
      local client = require("mtev.HttpClient"):new { consume = walk }
      local listener = mtev.socket("inet")
      listener:bind("127.0.0.1", 0)
      listener:listen(1)
      local _, port = listener:sock_name()
      mtev.coroutine_spawn(function()
        local e = listener:own():accept()
        e:read("\r\n\r\n")
        e:write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      end)
      client:connect("127.0.0.1", port)
      client:do_request("GET", "/")
      local _, message = pcall(client.get_response, client)
      print((tostring(message):match("stack overflow")))]])
    assert.equal("stack overflow\n", output)
    assert.equal(0, status)
    for _, f in ipairs { "walk", "deep" } do
      local finalizer = ("do local p = newproxy(true) getmetatable(p).__gc = %s end"):format(f)
      local _, failed, report = run(body .. finalizer .. " collectgarbage() collectgarbage() mtev.sleep(0.1)")
      assert.equal(1, failed, report)
    end
  end)

  it("through functions that call Lua from C", function()
    recurses([[function f() return (("x"):gsub("x", f)) end]])
    recurses([[function f() table.sort({ 1, 2, 3 }, function() f() end) end]])
    recurses([[function f() return assert(load(function() f() end)) end]])
    recurses([[function f() mtev.shared_set("k", { serialize = function() f() return {} end }) end]])
    recurses([[function f() mtev.shared_set("k", setmetatable({}, { __index = function() f() end })) end]])
    recurses([[local o = newproxy(true) getmetatable(o).__tostring = function(s) return (tostring(s)) end
      function f() return (tostring(o)) end]])
  end)

  it("through coroutines and those", function()
    recurses([[function f() return coroutine.wrap(function() return (("x"):gsub("x", f)) end)() end]])
    recurses([[function f() table.sort({ 1, 2, 3 }, function() coroutine.wrap(f)() end) end]])
  end)

  it("in a thread with a small stack", function()
    local output = run("function main() print(pcall(function() local function f() coroutine.wrap(f)() end f() end)) end",
      { before = "ulimit -s 1024;", options = "-n 2" })
    assert.matches("overflow", output)
  end)

  it("through coroutine_spawn, which queues those that would lie too deep", function()
    local output, status = run([[
      local count = 0
      local function f()
        count = count + 1
        if count < 50000 then mtev.coroutine_spawn(f) end
      end
      f()
      while count < 50000 do mtev.sleep(0) end
      print(count)]])
    assert.same({ "50000\n", 0 }, { output, status })
  end)
end)

describe("a coroutine that waits near the end of its stack", function()
  -- LuaJIT gives a coroutine some 65,000 slots. What it is answered with is made elsewhere and fits into what the waiting
  -- C function has left.
  local function descend(n, f)
    if n == 0 then return (f()) end
    return (descend(n - 1, f))
  end

  it("gets what it waits for, or raises by itself", function()
    local fits, over = 1, 100000
    while over - fits > 1 do
      local middle, ok = math.floor((fits + over) / 2), nil
      mtev.coroutine_spawn(function() ok = pcall(descend, middle, function() end) end)
      if ok then fits = middle else over = middle end
    end
    local values = {}
    for i = 1, 200 do values[i] = i end
    local waits = {
      function(key) return mtev.waitfor(key, 20) end,
      function(key) return (mtev.shared_waitfor("shared" .. key, 20)) end,
      function() return mtev.sleep(0.001) end,
      function() return mtev.exec("/bin/echo", { "echo", "x" }) end,
    }
    local got, raised = 0, 0
    for depth = fits - 60, fits + 1, 3 do
      for i, wait in ipairs(waits) do
        local key = ("recursion_spec %d %d"):format(depth, i)
        mtev.coroutine_spawn(function()
          local ok, value = pcall(descend, depth, function() return wait(key) end)
          if ok and value ~= nil then got = got + 1 else raised = raised + 1 end
        end)
        mtev.notify(key, unpack(values))
        mtev.shared_notify("shared" .. key, { { { 1 } } })
      end
    end
    local deadline = mtev.time() + 60
    while got + raised < 4 * 21 and mtev.time() < deadline do mtev.sleep(0.01) end
    assert.equal(4 * 21, got + raised)
    assert.is_true(got > 0 and raised > 0)
  end)

  it("sees its cancellation in a pcall below, however deep", function()
    for _, depth in ipairs { 10, 1100, 10000 } do
      local seen
      local co = mtev.coroutine_spawn(function()
        local _, err = pcall(descend, depth, function() mtev.sleep(100) end)
        seen = err
      end)
      mtev.cancel_coro(co)
      local deadline = mtev.time() + 20
      while not seen and mtev.time() < deadline do mtev.sleep(0) end
      assert.equal("coroutine cancelled", seen)
    end
  end)
end)
