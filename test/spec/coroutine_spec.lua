-- mtev.coroutine_spawn, mtev.sleep, mtev.cancel_coro, and blocking inside a script's own coroutines.

local debug_info = require("mtev.debug")

local function spawn(f, ...)
  return mtev.coroutine_spawn(f, ...)
end

describe("mtev.coroutine_spawn", function()
  it("runs the function at once, until it first blocks", function()
    local steps = {}
    spawn(function()
      steps[#steps + 1] = "started"
      mtev.sleep(0)
      steps[#steps + 1] = "went on"
    end)
    steps[#steps + 1] = "spawn returned"
    mtev.sleep(0.001)
    assert.same({ "started", "spawn returned", "went on" }, steps)
  end)

  it("passes arguments, inner and trailing nils included", function()
    local n, a, b, c
    spawn(function(...)
      n = select("#", ...)
      a, b, c = ...
    end, 1, nil, 3, nil)
    assert.equal(4, n)
    assert.same({ 1, nil, 3 }, { a, b, c })
  end)

  it("returns the thread", function()
    local co = spawn(function() mtev.sleep(0.001) end)
    assert.equal("thread", type(co))
    assert.equal("suspended", coroutine.status(co))
    mtev.sleep(0.01)
    assert.equal("dead", coroutine.status(co))
  end)

  it("raises for anything but a function", function()
    assert.error_matches(function() spawn(nil) end, "mtev.coroutine_spawn%(func, ...%): bad arguments")
    assert.error_matches(function() spawn("x") end, "bad arguments")
    assert.error_matches(function() mtev.coroutine_spawn() end, "bad arguments")
  end)

  it("nests deeper than the C stack by queueing", function()
    local deepest = 0
    local function nest(depth)
      deepest = math.max(deepest, depth)
      if depth < 1000 then spawn(nest, depth + 1) end
    end
    nest(1)
    while deepest < 1000 do mtev.sleep(0) end
    assert.equal(1000, deepest)
  end)

  it("works in places that cannot yield", function()
    local ran = {}
    table.sort({ 2, 1 }, function(a, b)
      spawn(function()
        mtev.sleep(0)
        ran[#ran + 1] = true
      end)
      return a < b
    end)
    mtev.sleep(0.001)
    assert.is_true(#ran >= 1)
  end)

  it("gives back what it used: 100,000 coroutines", function()
    collectgarbage()
    local before, memory = debug_info.counts().coroutines, collectgarbage("count")
    for _ = 1, 100 do
      for _ = 1, 1000 do spawn(function() mtev.sleep(0) end) end
      mtev.sleep(0)
      mtev.sleep(0)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, debug_info.counts().coroutines)
    assert.is_true(collectgarbage("count") - memory < 4096, "more than 4 MiB are left")
  end)
end)

describe("mtev.sleep", function()
  it("sleeps, however long it is asked to", function()
    local co = spawn(mtev.sleep, 1e10) -- 317 years
    assert.matches("waiting in mtev.sleep", select(2, coroutine.resume(co)))
    -- Nobody else would wake it: without a timer that is a deadlock.
    assert.is_true(require("mtev.debug").counts().timers > 0)
    mtev.cancel_coro(co)
  end)

  it("sleeps at least as long as asked, and says how long", function()
    local start = mtev.time()
    local slept = mtev.sleep(0.05)
    assert.is_true(mtev.time() - start >= 0.049)
    assert.is_true(slept:seconds() >= 0.05)
    assert.equal("cdata", type(slept)) -- an mtev.timeval
    for i = 1, 50 do -- what is told is rounded up: durations have finer fractions than microseconds
      local duration = 0.0001 + i / 7e6
      assert.is_true(mtev.sleep(duration):seconds() >= duration)
    end
  end)

  it("never wakes early, at any duration", function()
    for us = 1, 3000, 97 do
      assert.is_true(mtev.sleep(us / 1e6):seconds() >= math.floor(us) / 1e6)
    end
  end)

  it("takes 0, negative and nil as: let the others run once", function()
    for _, duration in ipairs { 0, -1, -5 } do
      assert.is_truthy(mtev.sleep(duration):seconds() < 30)
    end
    assert.is_truthy(mtev.sleep():seconds() < 30)
    assert.is_truthy(mtev.sleep(nil):seconds() < 30)
  end)

  it("takes a numeric string", function()
    assert.is_true(mtev.sleep("0.001"):seconds() >= 0.001)
  end)

  it("raises for NaN, infinity and other types", function()
    for _, bad in ipairs { 0 / 0, math.huge, "x", {}, print, true } do
      local ok, err = pcall(mtev.sleep, bad)
      assert.is_false(ok)
      assert.matches("bad argument #1 to 'sleep'", err)
    end
  end)

  it("wakes sleepers in the order of their deadlines", function()
    local order = {}
    for _, ms in ipairs { 30, 10, 20 } do
      spawn(function()
        mtev.sleep(ms / 1000)
        order[#order + 1] = ms
      end)
    end
    mtev.sleep(0.05)
    assert.same({ 10, 20, 30 }, order)
  end)

  it("at 0 is fair: coroutines take turns, and timers and sockets are served between", function()
    local counts, stop = { 0, 0 }, false
    for i = 1, 2 do
      spawn(function()
        while not stop do
          counts[i] = counts[i] + 1
          mtev.sleep(0)
        end
      end)
    end
    mtev.sleep(0.02) -- a timer fires although two coroutines are always ready
    stop = true
    mtev.sleep(0)
    assert.is_true(math.abs(counts[1] - counts[2]) <= 1)
    assert.is_true(counts[1] > 10)
  end)

  it("of a million coroutines costs at most 1.2 kB each", function()
    if os.getenv("LHOTSE_SLOW_BUILD") then
      print("skipped: a million coroutines under a sanitizer need more memory than the test machine is promised")
      return
    end
    local function resident()
      for line in io.lines("/proc/self/status") do
        local kb = line:match("^VmRSS:%s+(%d+)")
        if kb then return tonumber(kb) * 1024 end
      end
    end
    collectgarbage()
    local before, count = resident(), 1000000
    local function nap() mtev.sleep(3600) end
    local sleepers = {}
    for i = 1, count do sleepers[i] = spawn(nap) end
    local each = (resident() - before) / count
    for i = 1, count do mtev.cancel_coro(sleepers[i]) end
    sleepers = nil
    collectgarbage()
    assert.is_true(each <= 1200, ("%.0f bytes each"):format(each))
  end)
end)

describe("blocking in a script's own coroutines", function()
  it("works in a generator", function()
    local function lines(count)
      return coroutine.wrap(function()
        for i = 1, count do
          mtev.sleep(0.001)
          coroutine.yield(i)
        end
      end)
    end
    local seen = {}
    for i in lines(3) do seen[#seen + 1] = i end
    assert.same({ 1, 2, 3 }, seen)
  end)

  it("keeps two generators apart", function()
    local function generator(name, pause)
      return coroutine.wrap(function()
        for i = 1, 3 do
          mtev.sleep(pause)
          coroutine.yield(name .. i)
        end
      end)
    end
    local a, b = generator("a", 0.002), generator("b", 0.001)
    assert.same({ "a1", "b1", "b2", "a2", "a3", "b3" }, { a(), b(), b(), a(), a(), b() })
  end)

  it("works at any depth, with coroutine.resume and wrap mixed", function()
    local function nest(depth)
      if depth == 0 then
        mtev.sleep(0.001)
        return "bottom"
      end
      if depth % 2 == 0 then return coroutine.wrap(nest)(depth - 1) end
      local co = coroutine.create(nest)
      local ok, result = coroutine.resume(co, depth - 1)
      assert(ok, result)
      return result
    end
    assert.equal("bottom", nest(40))
  end)

  it("passes values through both kinds of yield", function()
    local co = coroutine.create(function(a)
      local b = coroutine.yield(a + 1)
      local slept = mtev.sleep(0.001)
      local c, d = coroutine.yield(b * 2, slept:seconds() > 0)
      return c, d, nil
    end)
    assert.same({ true, 2 }, { coroutine.resume(co, 1) })
    assert.same({ true, 20, true }, { coroutine.resume(co, 10) })
    assert.equal(4, select("#", coroutine.resume(co, 3, nil)))
    assert.equal("dead", coroutine.status(co))
    assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
  end)

  it("returns exactly what plain Lua returns, also nothing", function()
    local co = coroutine.create(function() coroutine.yield() end)
    assert.equal(1, select("#", coroutine.resume(co)))
    assert.equal(1, select("#", coroutine.resume(co)))
    assert.equal(0, select("#", coroutine.wrap(function() coroutine.yield() end)()))
  end)

  it("is legal in pcall, xpcall, metamethods, iterators", function()
    assert.is_true(pcall(mtev.sleep, 0.001))
    assert.is_true(xpcall(function() mtev.sleep(0.001) end, print))
    local slow = setmetatable({}, {
      __index = function(_, key)
        mtev.sleep(0.001)
        return key .. "!"
      end,
      __add = function()
        mtev.sleep(0.001)
        return 42
      end,
      __eq = function()
        mtev.sleep(0.001)
        return true
      end,
    })
    assert.equal("x!", slow.x)
    assert.equal(42, slow + 1)
    local function iterator(_, i)
      mtev.sleep(0.001)
      if i < 3 then return i + 1 end
    end
    local last
    for i in iterator, nil, 0 do last = i end
    assert.equal(3, last)
  end)

  it("raises where LuaJIT cannot yield, naming the call, and harms nothing", function()
    local ok, err = pcall(table.sort, { 3, 1, 2 }, function(a, b)
      mtev.sleep(0.001)
      return a < b
    end)
    assert.is_false(ok)
    assert.matches("attempt to yield across C%-call boundary %(mtev%.sleep%)", err)
    ok, err = pcall(string.gsub, "abc", "%w", function() mtev.waitfor("nobody") end)
    assert.is_false(ok)
    assert.matches("attempt to yield across C%-call boundary %(mtev%.waitfor%)", err)
    assert.is_true(mtev.sleep(0.001):seconds() > 0)
  end)

  it("raises inside a coroutine that is resumed where nobody can yield", function()
    local before = debug_info.counts()
    local seen
    table.sort({ 2, 1 }, function(a, b)
      local co = coroutine.create(function() mtev.sleep(5) end)
      seen = { coroutine.resume(co) }
      seen.status = coroutine.status(co)
      return a < b
    end)
    assert.is_false(seen[1])
    assert.matches("attempt to yield across C%-call boundary %(mtev%.sleep%)", seen[2])
    assert.equal("dead", seen.status)
    assert.equal(before.timers, debug_info.counts().timers) -- nothing stays armed
    table.sort({ 2, 1 }, function(a, b)
      seen = { coroutine.resume(coroutine.create(function() mtev.sleep(0) end)) }
      return a < b
    end)
    assert.is_false(seen[1])
    mtev.sleep(0.001)
  end)

  it("lets calls that need not wait succeed there", function()
    mtev.notify("ready now", 1)
    local sem = mtev.semaphore("coroutine_spec:free", 1)
    local got, taken
    table.sort({ 2, 1 }, function(a, b)
      got = got or { mtev.waitfor("ready now") }
      if not taken then taken = sem:acquire() end
      return a < b
    end)
    assert.same({ "ready now", 1 }, got)
    assert.is_true(taken)
  end)

  it("refuses to resume a coroutine that waits, and leaves the wait alone", function()
    local woke = false
    local co = spawn(function()
      mtev.sleep(0.01)
      woke = true
    end)
    assert.same({ false, "coroutine is waiting in mtev.sleep" }, { coroutine.resume(co) })
    local inner = coroutine.create(function() mtev.waitfor("resume by hand") end)
    spawn(function() coroutine.resume(inner) end)
    assert.same({ false, "coroutine is waiting in mtev.waitfor" }, { coroutine.resume(inner) })
    mtev.notify("resume by hand")
    mtev.sleep(0.02)
    assert.is_true(woke)
    assert.equal("dead", coroutine.status(inner))
  end)

  it("passes errors on as plain Lua does", function()
    local co = coroutine.create(function()
      mtev.sleep(0.001)
      error({ code = 7 })
    end)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal(7, err.code)
    ok, err = pcall(coroutine.wrap(function()
      mtev.sleep(0.001)
      error("boom")
    end))
    assert.is_false(ok)
    assert.matches("boom", err)
  end)
end)

describe("mtev.cancel_coro", function()
  -- Each entry blocks for ever, in its own way.
  local net = require("test.support.net")
  local ways = {
    sleep = function() mtev.sleep(3600) end,
    waitfor = function() mtev.waitfor("cancel:nobody") end,
    ["waitfor with timeout"] = function() mtev.waitfor("cancel:nobody", 3600) end,
    acquire = function() mtev.semaphore("cancel:none", 0):acquire() end,
    ["acquire with timeout"] = function() mtev.semaphore("cancel:none", 0):acquire(3600) end,
    shared_waitfor = function() mtev.shared_waitfor("cancel:nobody", 3600) end,
    accept = function() net.listen():accept() end,
    ["read to a terminator"] = function()
      local a, b = net.pair()
      a:read("\n")
      b:close()
    end,
    ["read with timeout"] = function()
      local a, b = net.pair()
      a:read(10, { timeout = 3600 })
      b:close()
    end,
    ["read to a long terminator"] = function()
      local a, b = net.pair()
      a:read(("x"):rep(100))
      b:close()
    end,
    recv = function()
      local e = mtev.socket("inet", "udp")
      assert(e:bind("127.0.0.1", 0) == 0)
      e:recv(10)
    end,
    write = function()
      local a, b = net.pair()
      a:write(("x"):rep(20 * 1024 * 1024))
      b:close()
    end,
    send = function()
      local a, b = net.pair()
      while b do a:send(("x"):rep(1024 * 1024)) end
    end,
    connect = function()
      -- A listener with a full queue: further connects stay pending.
      local _, port = net.listen("inet", 0)
      for _ = 1, 8 do
        spawn(function() mtev.socket("inet"):connect("127.0.0.1", port, 0.05) end)
      end
      mtev.socket("inet"):connect("127.0.0.1", port)
      mtev.sleep(3600)
    end,
    ["a generator"] = function()
      for _ in coroutine.wrap(function() mtev.sleep(3600) end) do end
    end,
  }

  for name, block in pairs(ways) do
    it("releases what a coroutine holds that is blocked in " .. name, function()
      local before = debug_info.counts()
      local returned = false
      local co = spawn(function()
        block()
        returned = true
      end)
      mtev.sleep(0.005)
      mtev.cancel_coro(co)
      mtev.sleep(0.1) -- the original timers and descriptors get their chance
      assert.same(before, debug_info.counts())
      assert.is_false(returned)
    end)

    it("lets clean-up code run that is blocked in " .. name, function()
      local before = debug_info.counts()
      local seen, blocked_again
      local co = spawn(function()
        local ok, err = pcall(block)
        seen = { ok, err }
        blocked_again = select(2, pcall(mtev.sleep, 1))
      end)
      mtev.sleep(0.005)
      mtev.cancel_coro(co)
      mtev.sleep(0.1)
      assert.is_false(seen[1])
      assert.equal("coroutine cancelled", seen[2])
      assert.equal("coroutine cancelled", blocked_again)
      assert.same(before, debug_info.counts())
    end)
  end

  it("takes the address of a coroutine, as %p shows it", function()
    for _, format in ipairs { "%p", "%d" } do
      local woke = false
      local co = spawn(function()
        mtev.sleep(0.02)
        woke = true
      end)
      local address = ("%p"):format(co)
      if format == "%d" then address = ("%.0f"):format(tonumber(address)) end
      mtev.cancel_coro(address)
      mtev.sleep(0.03)
      assert.is_false(woke)
    end
  end)

  it("does nothing to the dead and the unknown", function()
    local co = spawn(function() end)
    mtev.cancel_coro(co)
    mtev.cancel_coro("0xdeadbeef")
    mtev.cancel_coro("12345")
    assert.equal(0, select("#", mtev.cancel_coro(co)))
  end)

  it("ends what nobody may go on with, a script neither", function()
    for _, wait in ipairs {
      function() mtev.sleep(10) end, function() mtev.sleep(0) end, function() mtev.waitfor("nobody") end,
    } do
      local went_on = false
      local co = spawn(function()
        wait()
        went_on = true
      end)
      mtev.cancel_coro(co)
      assert.same({ false, "coroutine cancelled" }, { coroutine.resume(co) })
      mtev.sleep(0)
      assert.same({ false, "coroutine cancelled" }, { coroutine.resume(co) })
      assert.is_false(went_on)
    end
  end)

  it("ends a coroutine of the script that cancels itself, at its next wait", function()
    local reached = false
    local co = coroutine.create(function()
      mtev.cancel_coro(coroutine.running())
      mtev.sleep(0)
      reached = true
    end)
    assert.same({ false, "coroutine cancelled" }, { coroutine.resume(co) })
    assert.is_false(reached)

    local caught = 0
    co = coroutine.create(function()
      mtev.cancel_coro(coroutine.running())
      while true do
        if not pcall(mtev.sleep, 0) then caught = caught + 1 end
      end
    end)
    assert.same({ false, "coroutine cancelled" }, { coroutine.resume(co) })
    assert.equal(3, caught) -- it was told often enough
    assert.same({ false, "coroutine cancelled" }, { coroutine.resume(co) })
  end)

  it("gives nothing on that a coroutine was interrupted with: one inside a task, then the task, in one turn", function()
    local semaphore = mtev.semaphore("coroutine_spec interrupted", 0)
    for _, wait in ipairs {
      function() mtev.waitfor("coroutine_spec interrupted") end,
      function() semaphore:acquire() end,
      function() mtev.shared_waitfor("coroutine_spec interrupted") end,
    } do
      local inner = coroutine.create(wait)
      local task = spawn(function() coroutine.resume(inner) end)
      mtev.cancel_coro(inner)
      mtev.cancel_coro(task)
      mtev.sleep(0.01)
    end
    assert.is_nil((mtev.waitfor("coroutine_spec interrupted", 0)))
    assert.is_nil((mtev.shared_waitfor("coroutine_spec interrupted", 0)))
    assert.is_false(semaphore:try_acquire())
  end)

  it("raises for what names no coroutine", function()
    for _, bad in ipairs { "nonsense", "", "0x", true, {}, 1.5 } do
      assert.error_matches(function() mtev.cancel_coro(bad) end, "bad argument to mtev.cancel_coro")
    end
    assert.error_matches(function() mtev.cancel_coro() end, "bad argument to mtev.cancel_coro")
  end)

  it("of oneself takes effect at the next call that would block", function()
    local steps = {}
    spawn(function()
      mtev.cancel_coro(coroutine.running())
      steps[#steps + 1] = "still here"
      mtev.sleep(0)
      steps[#steps + 1] = "never"
    end)
    mtev.sleep(0.001)
    assert.same({ "still here" }, steps)
  end)

  it("abandons a coroutine that keeps catching it", function()
    local tries = 0
    local co = spawn(function()
      while true do
        pcall(mtev.sleep, 3600)
        tries = tries + 1
        if tries > 100 then error("it was never abandoned") end
      end
    end)
    mtev.cancel_coro(co)
    mtev.sleep(0.001)
    assert.is_true(tries >= 1 and tries <= 3)
  end)

  it("keeps children that the coroutine spawned", function()
    local child_ended = false
    local co = spawn(function()
      spawn(function()
        mtev.sleep(0.005)
        child_ended = true
      end)
      mtev.sleep(3600)
    end)
    mtev.cancel_coro(co)
    mtev.sleep(0.02)
    assert.is_true(child_ended)
  end)

  it("passes a message on that the cancelled one had not taken yet", function()
    local got
    local first = spawn(function() mtev.waitfor("cancel:handed") end)
    mtev.notify("cancel:handed", "precious") -- makes it ready ...
    mtev.cancel_coro(first)                  -- ... but it never runs
    got = { mtev.waitfor("cancel:handed", 0) }
    assert.same({ "cancel:handed", "precious" }, got)
  end)

  it("passes a semaphore's unit on that the cancelled one had not taken yet", function()
    local sem = mtev.semaphore("cancel:unit", 0)
    local first = spawn(function() sem:acquire() end)
    sem:release()
    mtev.cancel_coro(first)
    assert.is_true(sem:try_acquire())
  end)

  it("makes a script's own coroutine unresumable", function()
    local co = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(co)
    mtev.cancel_coro(co)
    assert.same({ false, "coroutine cancelled" }, { coroutine.resume(co) })
    local inner = coroutine.create(function() mtev.sleep(3600) end)
    local seen
    spawn(function() seen = { coroutine.resume(inner) } end)
    mtev.cancel_coro(inner)
    mtev.sleep(0.001)
    assert.same({ false, "coroutine cancelled" }, seen)
  end)
end)

describe("mtev.debug.traceback", function()
  it("shows the nested coroutines and where the coroutine was spawned", function()
    local function deep() mtev.waitfor("traceback") end
    local co = spawn(function()
      coroutine.wrap(deep)()
    end)
    local text = debug_info.traceback(co)
    mtev.cancel_coro(co)
    assert.matches("mtev%.waitfor", text)
    assert.matches("in function 'deep'", (text:gsub("in function <[^>]*>", "in function 'deep'", 1)))
    assert.matches("coroutine resumed by", text)
    assert.matches("spawned at .*coroutine_spec%.lua:%d+", text)
  end)
end)
