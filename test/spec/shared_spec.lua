-- What threads share: semaphores, values, sequences, messages. Specs with several threads run the program itself.

local process = require("test.support.process")

-- Runs `script` on `threads` event loops; it must print exactly `expected`.
local function expect_output(expected, threads, script)
  local output, status = process.run(script, { options = "-n " .. threads })
  assert.equal(expected, output)
  assert.equal(0, status)
end

describe("mtev.semaphore", function()
  it("counts: acquire, try_acquire, release", function()
    local sem = mtev.semaphore("s:count", 2)
    assert.is_true(sem:acquire())
    assert.is_true(sem:try_acquire())
    assert.is_false(sem:try_acquire())
    assert.is_false(sem:acquire(0))
    assert.is_false(sem:acquire(0.001))
    assert.equal(0, select("#", sem:release()))
    assert.is_true(sem:acquire(0.001))
  end)

  it("is one per name; the first value counts", function()
    local a, b = mtev.semaphore("s:name", 1), mtev.semaphore("s:name", 100)
    assert.is_true(a:acquire())
    assert.is_false(b:try_acquire())
    assert.is_false(mtev.semaphore("s:name"):try_acquire())
    assert.is_true(mtev.semaphore("s:na\0me", 1):try_acquire())
    assert.is_true(mtev.semaphore("s:na", 1):try_acquire())
  end)

  it("hands a unit to the longest waiter; try_acquire does not overtake", function()
    local sem, order = mtev.semaphore("s:fifo", 0), {}
    for i = 1, 3 do
      mtev.coroutine_spawn(function()
        sem:acquire()
        order[#order + 1] = i
      end)
    end
    sem:release()
    assert.is_false(sem:try_acquire())
    sem:release()
    sem:release()
    mtev.sleep(0)
    assert.same({ 1, 2, 3 }, order)
  end)

  it("may start below zero: waiters are served once releases bring it above", function()
    local sem, taken = mtev.semaphore("s:negative", -2), false
    mtev.coroutine_spawn(function() taken = sem:acquire() end)
    for _ = 1, 2 do
      sem:release()
      mtev.sleep(0)
      assert.is_false(taken)
    end
    sem:release()
    mtev.sleep(0)
    assert.is_true(taken)
  end)

  it("gives the unit of a waiter that timed out to the next one", function()
    local sem, second = mtev.semaphore("s:timeout", 0), nil
    mtev.coroutine_spawn(function() sem:acquire(0.002) end)
    mtev.coroutine_spawn(function() second = sem:acquire(5) end)
    mtev.sleep(0.01)
    sem:release()
    mtev.sleep(0)
    assert.is_true(second)
  end)

  it("raises for misuse", function()
    local sem = mtev.semaphore("s:misuse", 0)
    assert.error_matches(function() mtev.semaphore() end, "bad argument #1 to 'semaphore'")
    assert.error_matches(function() mtev.semaphore({}, 1) end, "bad argument #1 to 'semaphore'")
    assert.error_matches(function() mtev.semaphore("x", {}) end, "bad argument #2 to 'semaphore'")
    assert.error_matches(function() mtev.semaphore("x", 0 / 0) end, "bad argument #2 to 'semaphore'")
    assert.error_matches(function() sem:acquire("x") end, "bad argument #1 to 'acquire'")
    assert.error_matches(function() sem.acquire("x") end, "bad self")
    assert.error_matches(function() sem.release() end, "bad self")
    assert.is_nil(sem.no_such_field)
  end)

  it("never lets more in than its value, over threads, with cancels and timeouts meanwhile", function()
    expect_output("exact\n", 4, [[
      local sem = mtev.semaphore("inside", 3)
      local inside, finished = "inside count", mtev.semaphore("finished", 0)
      local _, index = mtev.thread_self()
      local gate = mtev.semaphore("gate", 1)
      local function change(by)
        gate:acquire()
        local n = (mtev.shared_get(inside) or 0) + by
        mtev.shared_set(inside, n)
        gate:release()
        assert(n >= 0 and n <= 3, n)
      end
      local function contend(i)
        for _ = 1, 20 do
          if i % 5 == 4 then
            if sem:acquire(0.0005) then change(1) mtev.sleep(0) change(-1) sem:release() end
          else
            assert(sem:acquire() == true)
            change(1)
            mtev.sleep(0.0002)
            change(-1)
            sem:release()
          end
        end
        finished:release()
      end
      local function pester() -- waiters that are cancelled, perhaps with a unit in flight
        while true do
          local co = mtev.coroutine_spawn(function() if sem:acquire() then sem:release() end end)
          mtev.sleep(0.0003)
          mtev.cancel_coro(co)
        end
      end
      local pests = {}
      for i = 1, 3 do pests[i] = mtev.coroutine_spawn(pester) end
      for i = 1, 50 do mtev.coroutine_spawn(contend, i) end
      if index == 0 then
        for _ = 1, 200 do finished:acquire() end
        mtev.shared_set("over", true)
        for _ = 1, 3 do mtev.shared_notify("stop pests", true) end
      else
        mtev.shared_waitfor("stop pests")
      end
      for i = 1, 3 do mtev.cancel_coro(pests[i]) end
      if index == 0 then
        mtev.sleep(0.05)
        local count = 0
        while sem:try_acquire() do count = count + 1 end
        print(count == 3 and "exact" or count)
      end]])
  end)
end)

describe("mtev.shared_set and shared_get", function()
  it("copy values deeply, both ways", function()
    local value = { 1, 2, { x = "y", z = { true, false } }, [10] = "ten", [1.5] = -0.25 }
    mtev.shared_set("v:deep", value)
    local copy = mtev.shared_get("v:deep")
    assert.same(value, copy)
    assert.is_true(copy ~= value and copy[3] ~= value[3])
    copy[1] = "changed"
    assert.equal(1, mtev.shared_get("v:deep")[1])
  end)

  it("keep NUL bytes, 2^53, negative zero, NaN, infinity", function()
    mtev.shared_set("v:odd\0key", { "a\0b", 2 ^ 53, -0.0, 0 / 0, math.huge, -math.huge, "" })
    local v = mtev.shared_get("v:odd\0key")
    assert.equal("a\0b", v[1])
    assert.equal(2 ^ 53, v[2])
    assert.equal(-math.huge, 1 / v[3])
    assert.is_true(v[4] ~= v[4])
    assert.equal(math.huge, v[5])
    assert.equal("", v[7])
    assert.is_nil(mtev.shared_get("v:odd"))
  end)

  it("delete by nil", function()
    mtev.shared_set("v:gone", false)
    assert.is_false(mtev.shared_get("v:gone"))
    mtev.shared_set("v:gone", nil)
    assert.is_nil(mtev.shared_get("v:gone"))
    assert.equal(1, select("#", mtev.shared_get("v:gone")))
  end)

  it("call `serialize` of a table that has one", function()
    local inner = { secret = print, serialize = function(self) return { was = type(self.secret) } end }
    mtev.shared_set("v:serialize", { inner = inner })
    assert.same({ inner = { was = "function" } }, mtev.shared_get("v:serialize"))
    assert.error_matches(function() mtev.shared_set("v:x", { serialize = function() return 1 end }) end,
      "serialize did not return a table")
    assert.error_matches(function() mtev.shared_set("v:x", { serialize = function() error("inside") end }) end, "inside")
    assert.is_nil(mtev.shared_get("v:x"))
  end)

  it("raise for what cannot be shared, naming the path; the old value stays", function()
    mtev.shared_set("v:old", "old")
    local cycle = { a = {} }
    cycle.a.b = cycle
    local deep = {}
    for _ = 1, 1000 do deep = { deep } end
    for expected, bad in pairs {
      ["value%.a%.b: function"] = { a = { b = print } },
      ["value%[1%]: thread"] = { coroutine.create(print) },
      ["value%.x: cdata"] = { x = mtev.timeval.now() },
      ["value%.a%.b: cycle"] = cycle,
      ["value: function"] = print,
      ["nested too deeply"] = deep,
      ["neither string nor number"] = { [true] = 1 },
    } do
      assert.error_matches(function() mtev.shared_set("v:old", bad) end, expected)
    end
    assert.equal("old", mtev.shared_get("v:old"))
  end)

  -- What looks for `serialize` is the script's code: it may empty the table that is walked, or raise. The sanitizers'
  -- builds also see that what was packed until then is given back.
  it("raise when the value changes while it is packed", function()
    local function changing()
      local value = { a = {} }
      for i = 1, 20 do value.a["k" .. i] = ("x"):rep(1000) end
      value.a.z = setmetatable({}, { __index = function()
        for key in pairs(value.a) do value.a[key] = nil end
        for i = 1, 200 do value.a["n" .. i] = 1 end
      end })
      return value
    end
    for _ = 1, 20 do
      assert.error_matches(function() mtev.shared_set("v:x", changing()) end,
        "^cannot share value%.a: it changes while it is packed")
    end
    local value = { "first", setmetatable({}, { __index = function() error("no such field") end }) }
    assert.error_matches(function() mtev.shared_set("v:x", value) end, "no such field")
    assert.is_nil(mtev.shared_get("v:x"))
  end)

  it("raise unless given exactly a key and a value", function()
    assert.error_matches(function() mtev.shared_set("k") end, "two arguments expected")
    assert.error_matches(function() mtev.shared_set("k", 1, 2) end, "two arguments expected")
    assert.error_matches(function() mtev.shared_set({}, 1) end, "bad argument #1 to 'shared_set'")
    assert.error_matches(function() mtev.shared_get() end, "bad argument #1 to 'shared_get'")
  end)

  it("never show a torn value to another thread", function()
    expect_output("whole\n", 8, [[
      local _, index = mtev.thread_self()
      local done = mtev.semaphore("done", 0)
      local function value(n)
        local t = {}
        for i = 1, 20 do t[i] = { n = n, text = ("x"):rep(n % 50) .. "\0" .. n } end
        return t
      end
      mtev.shared_set("torn", value(0))
      for round = 1, 300 do
        if index % 2 == 0 then
          mtev.shared_set("torn", value(index * 1000 + round))
        else
          local t = mtev.shared_get("torn")
          for i = 1, 20 do
            assert(t[i].n == t[1].n)
            assert(t[i].text == ("x"):rep(t[1].n % 50) .. "\0" .. t[1].n)
          end
        end
        if round % 50 == 0 then mtev.sleep(0) end
      end
      done:release()
      if index == 0 then
        for _ = 1, 8 do done:acquire() end
        print("whole")
      end]])
  end)
end)

describe("mtev.shared_seq", function()
  it("counts from 0 for each key", function()
    assert.equal(0, mtev.shared_seq("q:a"))
    assert.equal(1, mtev.shared_seq("q:a"))
    assert.equal(0, mtev.shared_seq("q:b"))
    assert.error_matches(function() mtev.shared_seq() end, "bad argument #1 to 'shared_seq'")
  end)

  it("is unique and without gaps over threads", function()
    expect_output("40000 unique\n", 4, [[
      local _, index = mtev.thread_self()
      local done, mine = mtev.semaphore("done", 0), {}
      local last = -1
      for i = 1, 10000 do
        mine[i] = mtev.shared_seq("seq")
        assert(mine[i] > last)
        last = mine[i]
      end
      mtev.shared_set("mine" .. index, mine)
      done:release()
      if index == 0 then
        for _ = 1, 4 do done:acquire() end
        local seen, count = {}, 0
        for i = 0, 3 do
          for _, n in ipairs(mtev.shared_get("mine" .. i)) do
            assert(not seen[n] and n < 40000)
            seen[n] = true
            count = count + 1
          end
        end
        print(count .. " unique")
      end]])
  end)
end)

describe("mtev.shared_notify and shared_waitfor", function()
  it("queue messages, nil and false included", function()
    mtev.shared_notify("n:a", 1)
    mtev.shared_notify("n:a", { x = "y" })
    mtev.shared_notify("n:a", nil)
    mtev.shared_notify("n:a", false)
    assert.equal(1, mtev.shared_waitfor("n:a"))
    assert.same({ x = "y" }, mtev.shared_waitfor("n:a"))
    assert.equal(1, select("#", mtev.shared_waitfor("n:a")))
    assert.is_false(mtev.shared_waitfor("n:a", 0))
    assert.equal(0, select("#", mtev.shared_waitfor("n:a", 0)))
  end)

  it("wake a waiter; nil on timeout", function()
    local got
    mtev.coroutine_spawn(function() got = mtev.shared_waitfor("n:b", 5) end)
    mtev.shared_notify("n:b", "hello")
    mtev.sleep(0)
    assert.equal("hello", got)
    assert.equal(1, select("#", mtev.shared_waitfor("n:b", 0.001)))
    assert.is_nil(mtev.shared_waitfor("n:b", 0.001))
  end)

  it("bring each message to exactly one waiter of any thread, in order per sender", function()
    expect_output("3000 once\n", 4, [[
      local _, index = mtev.thread_self()
      if index == 0 then
        for i = 1, 3000 do
          mtev.shared_notify("work", i)
          if i % 100 == 0 then mtev.sleep(0) end
        end
        for _ = 1, 3 do mtev.shared_notify("work", "end") end
        local seen, count = {}, 0
        for _ = 1, 3 do
          local last = 0
          for _, n in ipairs(mtev.shared_waitfor("results")) do
            assert(not seen[n] and n > last)
            seen[n], last, count = true, n, count + 1
          end
        end
        print(count .. " once")
      else
        local mine = {}
        while true do
          local n = mtev.shared_waitfor("work")
          if n == "end" then break end
          mine[#mine + 1] = n
        end
        mtev.shared_notify("results", mine)
      end]])
  end)

  it("lose nothing when waiters are cancelled or time out", function()
    expect_output("2000 arrived\n", 2, [[
      local _, index = mtev.thread_self()
      if index == 1 then
        for i = 1, 2000 do
          mtev.shared_notify("flaky", i)
          if i % 20 == 0 then mtev.sleep(0.0005) end
        end
        return
      end
      local count, seen = 0, {}
      local function take(n)
        if n then
          assert(not seen[n])
          seen[n] = true
          count = count + 1
        end
      end
      while count < 2000 do
        local co = mtev.coroutine_spawn(function() take(mtev.shared_waitfor("flaky")) end)
        take(mtev.shared_waitfor("flaky", 0.0001))
        mtev.cancel_coro(co)
      end
      print(count .. " arrived")]])
  end)
end)

describe("mtev.cancel_coro across threads", function()
  it("reaches a coroutine of another thread by its address", function()
    expect_output("cancelled\n", 2, [[
      local _, index = mtev.thread_self()
      if index == 1 then
        local ended
        local co = mtev.coroutine_spawn(function()
          ended = select(2, pcall(mtev.sleep, 3600))
          mtev.notify("ended", ended)
        end)
        mtev.shared_notify("address", ("%p"):format(co))
        local _, why = mtev.waitfor("ended", 10)
        print(why == "coroutine cancelled" and "cancelled" or tostring(why))
      else
        mtev.cancel_coro(mtev.shared_waitfor("address"))
      end]])
  end)
end)

describe("mtev.thread_self", function()
  it("tells kernel id, loop index and name; eventer_loop_concurrency their number", function()
    local thread, index, name = mtev.thread_self()
    assert.is_true(thread > 0)
    assert.equal(0, index)
    assert.equal("default/0", name)
    assert.equal(1, mtev.eventer_loop_concurrency())
    expect_output("0,1,2 of 3\n", 3, [[
      local thread, index = mtev.thread_self()
      mtev.shared_set("thread" .. index, thread)
      local done = mtev.semaphore("done", 0)
      done:release()
      if index == 0 then
        for _ = 1, 3 do done:acquire() end
        local a, b, c = mtev.shared_get("thread0"), mtev.shared_get("thread1"), mtev.shared_get("thread2")
        assert(a ~= b and b ~= c and a ~= c)
        print("0,1,2 of " .. mtev.eventer_loop_concurrency())
      end]])
  end)
end)

describe("mtev.thread_stats", function()
  it("tells what each thread does", function()
    local output, status = process.run([[
      local _, i = mtev.thread_self()
      if i == 1 then
        local x = 0
        while #mtev.thread_stats() < 2 do mtev.sleep(0.001) end -- the other one may begin later
        while mtev.thread_stats()[2].cpu < 0.05 do for j = 1, 1e6 do x = x + j end end -- CPU time, not the clock's
        for _ = 1, 5 do mtev.coroutine_spawn(mtev.sleep, 1000) end
        for _ = 1, 100 do mtev.sleep(0) end
        mtev.shared_notify("ready", true)
        mtev.sleep(1000)
      else
        local e = mtev.socket("inet")
        mtev.shared_waitfor("ready")
        local one, two = unpack(mtev.thread_stats())
        while two.timers < 6 do mtev.sleep(0.001) one, two = unpack(mtev.thread_stats()) end
        print(#mtev.thread_stats(), one.name, two.name, one.id == mtev.thread_self(), two.coroutines, two.timers, one.sockets)
        print(two.cpu >= 0.05, two.turns >= 100, one.turns > 0)
        os.exit(0)
      end]], { options = "-n 2" })
    assert.equal("2\tdefault/0\tdefault/1\ttrue\t6\t6\t1\ntrue\ttrue\ttrue\n", output)
    assert.equal(0, status)
  end)
end)
