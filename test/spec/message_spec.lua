-- mtev.notify and mtev.waitfor: messages by key within one thread.

describe("mtev.notify and mtev.waitfor", function()
  it("hand key and values to the waiter", function()
    local got
    mtev.coroutine_spawn(function() got = { mtev.waitfor("m:a") } end)
    mtev.notify("m:a", 1, "two")
    assert.is_nil(got) -- the waiter runs when we block, not inside notify
    mtev.sleep(0)
    assert.same({ "m:a", 1, "two" }, got)
  end)

  it("queue messages that nobody waits for, first in first out", function()
    for i = 1, 100 do mtev.notify("m:queue", i) end
    for i = 1, 100 do assert.same({ "m:queue", i }, { mtev.waitfor("m:queue") }) end
    assert.equal(0, select("#", mtev.waitfor("m:queue", 0)))
  end)

  it("keep nils in the middle and at the end", function()
    mtev.notify("m:nils", nil, 1, nil, nil)
    assert.equal(5, select("#", mtev.waitfor("m:nils")))
    local n
    mtev.coroutine_spawn(function() n = select("#", mtev.waitfor("m:nils")) end)
    mtev.notify("m:nils", nil, nil)
    mtev.sleep(0)
    assert.equal(3, n)
  end)

  it("pass values by reference, of any type, and many of them", function()
    local t, f = {}, function() end
    mtev.notify("m:ref", t, f, coroutine.create(f))
    local _, t2, f2, co = mtev.waitfor("m:ref")
    assert.is_true(t == t2 and f == f2)
    assert.equal("thread", type(co))
    local many = {}
    for i = 1, 200 do many[i] = i end
    mtev.notify("m:many", unpack(many))
    assert.equal(201, select("#", mtev.waitfor("m:many")))
  end)

  it("serve several waiters in the order they came", function()
    local order = {}
    for i = 1, 3 do
      mtev.coroutine_spawn(function()
        local _, value = mtev.waitfor("m:fifo")
        order[#order + 1] = i .. value
      end)
    end
    for _, value in ipairs { "a", "b", "c" } do mtev.notify("m:fifo", value) end
    mtev.sleep(0)
    assert.same({ "1a", "2b", "3c" }, order)
  end)

  it("return nothing at all on timeout; 0 polls", function()
    local start = mtev.time()
    assert.equal(0, select("#", mtev.waitfor("m:none", 0.02)))
    assert.is_true(mtev.time() - start >= 0.019)
    assert.equal(0, select("#", mtev.waitfor("m:none", 0)))
    assert.equal(0, select("#", mtev.waitfor("m:none", -1)))
  end)

  it("lose no message around a timeout", function()
    -- before it
    mtev.notify("m:around", "before")
    assert.same({ "m:around", "before" }, { mtev.waitfor("m:around", 0.01) })
    -- after it
    assert.equal(0, select("#", mtev.waitfor("m:around", 0.001)))
    mtev.notify("m:around", "after")
    assert.same({ "m:around", "after" }, { mtev.waitfor("m:around", 0) })
    -- in the same turn: both timers are due together, whichever fires first
    for _ = 1, 20 do
      local got
      mtev.coroutine_spawn(function() got = { mtev.waitfor("m:around", 0.002) } end)
      mtev.coroutine_spawn(function()
        mtev.sleep(0.002)
        mtev.notify("m:around", "now")
      end)
      local stop = mtev.time() + 0.004
      while mtev.time() < stop do end
      mtev.sleep(0.001)
      local queued = { mtev.waitfor("m:around", 0) }
      assert.is_true((got[2] == "now") ~= (queued[2] == "now"), "the message came once")
    end
  end)

  it("take math.huge and nil as: for ever", function()
    for _, timeout in ipairs { math.huge, false } do
      local got
      mtev.coroutine_spawn(function() got = mtev.waitfor("m:ever", timeout or nil) end)
      mtev.sleep(0.002)
      mtev.notify("m:ever")
      mtev.sleep(0)
      assert.equal("m:ever", got)
    end
  end)

  it("convert number keys, and take any bytes", function()
    mtev.notify(42, "x")
    assert.same({ "42", "x" }, { mtev.waitfor("42") })
    mtev.notify("42", "y")
    assert.same({ "42", "y" }, { mtev.waitfor(42) })
    mtev.notify("a\0b", 1)
    assert.equal(0, select("#", mtev.waitfor("a", 0)))
    assert.same({ "a\0b", 1 }, { mtev.waitfor("a\0b") })
    mtev.notify("", 1)
    assert.same({ "", 1 }, { mtev.waitfor("") })
  end)

  it("raise without a key, and for keys that are no strings", function()
    assert.error_matches(function() mtev.notify(nil) end, "notify called without key")
    assert.error_matches(function() mtev.waitfor() end, "waitfor called without key")
    for _, bad in ipairs { {}, true, print } do
      assert.error_matches(function() mtev.notify(bad) end, "bad argument #1 to 'notify'")
      assert.error_matches(function() mtev.waitfor(bad) end, "bad argument #1 to 'waitfor'")
    end
    for _, bad in ipairs { "x", {}, true, 0 / 0 } do
      assert.error_matches(function() mtev.waitfor("m:bad", bad) end, "bad argument #2 to 'waitfor'")
    end
    assert.equal(0, select("#", mtev.notify())) -- without any argument: nothing happens
  end)

  it("notify from places that cannot yield", function()
    table.sort({ 2, 1 }, function(a, b)
      mtev.notify("m:sort", a, b)
      return a < b
    end)
    assert.is_truthy(mtev.waitfor("m:sort", 0))
    while mtev.waitfor("m:sort", 0) do end
  end)

  it("forget keys that are not used any more", function()
    collectgarbage()
    local before = collectgarbage("count")
    for i = 1, 20000 do
      mtev.notify("m:unique:" .. i, i)
      mtev.waitfor("m:unique:" .. i)
      mtev.waitfor("m:unused:" .. i, 0)
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 1024, "more than 1 MiB is left")
  end)

  -- More than a call can return would be lost on the way out of the queue.
  it("have 7900 values at most", function()
    local function values(n)
      local list = {}
      for i = 1, n do list[i] = i end
      return unpack(list, 1, n)
    end
    for _, n in ipairs { 7901, 7994 } do
      assert.error_matches(function() mtev.notify("m:many", values(n)) end, "at most 7900 values", 1, true)
    end
    mtev.notify("m:many", values(7900))
    assert.equal(7901, select("#", mtev.waitfor("m:many", 0)))
    assert.is_nil((mtev.waitfor("m:many", 0)))
    local count
    mtev.coroutine_spawn(function() count = select("#", mtev.waitfor("m:many")) end)
    mtev.notify("m:many", values(7900))
    while not count do mtev.sleep(0) end
    assert.equal(7901, count)
  end)

  it("do not let 100,000 messages to oneself stop the others", function()
    local ticks, stop = 0, false
    mtev.coroutine_spawn(function()
      while not stop do
        mtev.sleep(0)
        ticks = ticks + 1
      end
    end)
    local function relay(from, to)
      mtev.coroutine_spawn(function()
        while true do
          local _, n = mtev.waitfor(from)
          if n == 0 then
            mtev.notify("m:relay done")
            mtev.notify(to, 0)
            return
          end
          mtev.notify(to, n - 1)
        end
      end)
    end
    relay("m:ping", "m:pong")
    relay("m:pong", "m:ping")
    mtev.notify("m:ping", 100000)
    mtev.waitfor("m:relay done")
    stop = true
    assert.is_true(ticks > 1000)
    mtev.sleep(0)
    mtev.waitfor("m:ping", 0)
    mtev.waitfor("m:pong", 0)
  end)
end)
