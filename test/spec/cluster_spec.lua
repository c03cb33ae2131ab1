-- Clusters: on one node without any engine, and on a real etcd of three members with nodes that are processes. `etcd` is started
-- once; each case has nodes of its own, under a prefix of its own.

local process = require("test.support.process")
local files = require("test.support.files")
local cluster = require("test.support.cluster")
local certificates = require("test.support.certificates")

local wait_for = process.wait_for
local TTL = 2
local LONG_TTL = 20 -- where an election of etcd's, on a busy machine, is to cost nobody the membership

local function in_process(script, attributes, options)
  local config = process.write_file(("<any><clusters><cluster name='spec' %s/></clusters></any>"):format(attributes or ""))
  options = options or {}
  options.options = "-c " .. config .. " " .. (options.options or "")
  local output, status = process.run("local c = mtev.cluster('spec')\n" .. script, options)
  os.remove(config)
  return output, status
end

local function expect(output, script, options)
  local got, status = in_process(script .. "\nif c:size() == 1 then c:leave() end", "", options)
  assert.equal(output, got)
  assert.equal(0, status)
end

describe("mtev.cluster", function()
  it("is nil for a cluster that is not configured", function()
    assert.is_nil(mtev.cluster("nowhere"))
    expect("nil\n", "print(mtev.cluster('other'))")
    assert.error_matches(function() mtev.cluster() end, "bad argument #1 to 'cluster' %(string expected, got nil%)")
    assert.error_matches(function() mtev.cluster(7) end, "bad argument #1 to 'cluster' %(string expected, got number%)")
  end)

  it("shows its name; what does not belong there raises", function()
    expect("mtev.cluster: spec\nmtev.cluster.semaphore: s, 2 of cluster spec\n", "print(c) print(c:semaphore('s', 2))")
    local output = in_process([[
      for _, try in ipairs {
        function() c:size(1) end, function() c:am_i_oldest_visible_node(nil) end, function() c.size({}) end, function() c:get() end,
        function() c:get("") end, function() c:set("k", {}) end, function() c:set("k", "v", { lease = true }) end,
        function() c:cas("k", true, "v") end, function() c:semaphore("s", 0) end, function() c:semaphore("s", 1.5) end,
        function() c:on_change(1) end, function() c:waitfor("k", "x") end, function() c:notify("k", print) end, function() c:owner(nil) end,
        function() c:get("k", 1) end, function() c:set("k", "v", {}, nil) end, function() c:semaphore("s"):release(1) end,
      } do print(select(2, pcall(try))) end
      c:leave()]])
    for _, message in ipairs {
      "bad argument #1 to 'size' (no argument expected)", "bad argument #1 to 'am_i_oldest_visible_node' (no argument expected)",
      "calling 'size' on bad self (mtev.cluster expected, got table)", "bad argument #1 to 'get' (key expected, got nil)",
      "bad argument #1 to 'get' (key expected, got '')", "bad argument #2 to 'set' (string expected, got table)",
      "unknown option 'lease' to 'set'", "bad argument #2 to 'cas' (string expected, got boolean)",
      "bad argument #2 to 'semaphore' (a whole number from 1 expected)", "bad argument #1 to 'on_change' (function expected, got number)",
      "bad argument #2 to 'waitfor' (number expected, got string)", "bad argument #1 to 'owner' (key expected, got nil)",
      "bad argument #2 to 'get' (no more arguments expected)", "bad argument #4 to 'set' (no more arguments expected)",
      "bad argument #1 to 'release' (no argument expected)",
    } do assert.matches(message, output, 1, true) end
  end)

  it("that is gone from the configuration raises", function()
    local output, status = in_process([[
      local d = mtev.cluster("spec")
      mtev.conf_replace_value("/*/clusters/cluster/@name", "other")
      local ok, message = pcall(d.size, d)
      print(ok, (message:gsub("^.*: ", "")))]]) -- it ends: what is not there any more cannot be left
    assert.same({ "false\tno such cluster\n", 0 }, { output, status })
  end)

  it("refuses settings that cannot be", function()
    for attributes, message in pairs {
      ["ttl='1'"] = "ttl: seconds from 2 to 86400 expected, got '1'",
      ["ttl='nan'"] = "ttl: seconds from 2 to 86400 expected, got 'nan'",
      ["endpoints='http://h:99999'"] = "endpoint 'http://h:99999': http://HOST:PORT or https://HOST:PORT expected",
      ["ttl='soon'"] = "ttl: seconds from 2 to 86400 expected, got 'soon'",
      ["endpoints='localhost:2379'"] = "endpoint 'localhost:2379': http://HOST:PORT or https://HOST:PORT expected",
      ["endpoints=' '"] = "endpoints: it is empty",
    } do
      local output, status = in_process("print('ran')", attributes)
      assert.equal(2, status) -- before anything runs
      assert.matches(message, output, 1, true)
      assert.not_matches("ran", output)
    end
    local config = process.write_file("<any><clusters><cluster name='spec'><node id='x'/></cluster></clusters></any>")
    local output = process.run("mtev.cluster('spec')", { options = "-c " .. config })
    assert.matches("lists of <node> are libmtev's", output)
    -- A script that does not ask is not disturbed.
    assert.equal("ran\n", (process.run("print('ran')", { options = "-c " .. config })))
    os.remove(config)
  end)
end)

describe("A cluster without an engine", function()
  it("is this process alone, the oldest", function()
    expect("1\ttrue\ttrue\ttrue\n1\ttrue\ttrue\n", [[
      print(c:size(), c:am_i_oldest_visible_node(), c:owner("x").is_self, c:join())
      local nodes = c:nodes()
      print(#nodes, nodes[1].is_self, nodes[1].id == c:id())
      c:on_change(print)() c:on_lost(print)()]])
  end)

  it("keeps values for all threads, which compare and set without tearing", function()
    expect("2000\n", [[
      local _, i = mtev.thread_self()
      for _ = 1, 1000 do
        repeat
          local value = c:get("count")
          mtev.sleep(0)
          local ok = c:cas("count", value, tostring((tonumber(value) or 0) + 1))
        until ok
      end
      c:notify("done", i)
      if i == 0 then
        c:waitfor("done") c:waitfor("done")
        print(c:get("count"))
      else
        while c:size() == 1 do mtev.sleep(0.01) end -- the other thread leaves for both
      end]], { options = "-n 2" })
  end)

  it("has all that one on etcd has", function()
    expect("true\tnil\nfalse\tv\ntrue\tx\ntrue\tnil\n1\t2\t1\nk\t1\tnil\t\0\255\n\ntrue\tfalse\t1\ntrue\t0\nnil\tit is not held\ntrue\t0\nnil\tcluster 'spec': it has been left\n", [[
      print(c:set("k", "v"), c:get("none"))
      print(c:cas("k", "no", "x"))
      print(c:cas("k", "v", "x"), c:get("k"))
      print(c:set("k", nil, { ephemeral = true }), c:get("k"))
      print(c:seq("a"), c:seq("a"), c:seq("b"))
      c:notify("k", 1, nil, "\0\255")
      print(c:waitfor("k"))
      print(c:waitfor("k", 0.01))
      local s = c:semaphore("s")
      print(s:acquire(), s:try_acquire(), s:held())
      print(s:release(), s:held())
      print(s:release())
      print(c:leave(), c:size())
      print(c:set("k", "v"))]])
  end)

  it("keeps the program alive until it is left, and what was held in it is lost then", function()
    expect("true\nnil\tcluster 'spec': it has been left\nnil\tkept\ntrue\n", [[
      c:on_change(print)
      local s = c:semaphore("s")
      s:acquire()
      c:set("gone", "v", { ephemeral = true })
      c:set("kept", "v", { ephemeral = true })
      c:set("kept", "kept")
      mtev.coroutine_spawn(function()
        print(c:waitfor("never"))
        mtev.notify("told")
      end)
      print(c:leave())
      mtev.waitfor("told")
      local again = mtev.cluster("spec")
      print(again:get("gone"), again:get("kept"))
      print(again:semaphore("s"):try_acquire())
      again:leave()]])
    local output, status = in_process("c:on_lost(print)", "", { before = "timeout 1" })
    assert.same({ "", 124 }, { output, status })
  end)
end)

local dir, etcd

-- Nodes under a prefix of their own, stopped at the end of the case.
local nodes, cases = nil, 0

local function new_nodes(attributes, ttl, endpoints)
  cases = cases + 1
  nodes = cluster.nodes(dir, ("<cluster name='spec' endpoints='%s' ttl='%d' prefix='/case%d/' %s/>"):format(
    endpoints or etcd:endpoints(), ttl or TTL, cases, attributes or ""))
  return nodes
end

describe("A cluster on etcd", function()
  setup(function()
    dir = files.directory()
    etcd = cluster.etcd(dir, 3)
  end)

  teardown(function()
    etcd:stop()
    files.remove(dir)
  end)

  after_each(function()
    if nodes then nodes:stop() end
    nodes = nil
  end)

  it("has its members by age: five come and go, and all are told", function()
    local all = new_nodes():start_members(5)
    for _, node in ipairs(all) do
      wait_for(function() return node:ask("return c:size()") == 5 end)
      node:ask("changes = 0 c:on_change(function(nodes) changes = changes + 1 last = #nodes end)")
    end
    local ages = all[1]:ask("local t = {} for i, n in ipairs(c:nodes()) do t[i] = n.id end return t")
    local seen = {}
    for i = 1, 5 do seen[all[i].id] = i end
    for i = 1, 5 do assert.is_number(seen[ages[i]]) end
    for _, node in ipairs(all) do
      assert.same(ages, node:ask("local t = {} for i, n in ipairs(c:nodes()) do t[i] = n.id end return t"))
      assert.equal(node.id == ages[1], node:ask("return c:am_i_oldest_visible_node()"))
    end
    -- The oldest leaves: the next is told at once, not when a lease ends.
    assert.is_true(all[seen[ages[1]]]:ask("return c:leave()"))
    wait_for(function() return all[seen[ages[2]]]:ask("return c:am_i_oldest_visible_node()") end)
    for i = 2, 5 do
      wait_for(function() return all[seen[ages[i]]]:ask("return last") == 4 end)
    end
    assert.same({ 0, false }, { all[seen[ages[1]]]:ask("return c:size(), c:am_i_oldest_visible_node()") })
    assert.is_true(all[seen[ages[1]]]:ask("c = mtev.cluster('spec') return c:join(60)")) -- and comes back, the youngest
    wait_for(function() return all[seen[ages[2]]]:ask("return last") == 5 end)
    assert.is_false(all[seen[ages[1]]]:ask("return c:am_i_oldest_visible_node()"))
  end)

  it("is left by a program that is told to end, at once", function()
    local a, b = unpack(new_nodes():start_members(2))
    local first = a:ask("return c:am_i_oldest_visible_node()") and a or b
    local second = first == a and b or a
    second:ask("c:on_change(function(nodes) if #nodes == 1 then alone = mtev.time() end end)")
    local before = mtev.time()
    first:kill(15)
    assert.equal(143, mtev.WEXITSTATUS((first.process:wait(60))))
    local alone = wait_for(function() return second:ask("return alone") end)
    assert.is_true(second:ask("return c:am_i_oldest_visible_node()"))
    print(("  the next was told %.3f s after SIGTERM"):format(alone - before))
    assert.is_true(alone - before < TTL) -- a lease would have taken longer
  end)

  it("gives every key one owner, the same everywhere, and moves only what it must", function()
    local all = new_nodes():start_members(4)
    for _, node in ipairs(all) do wait_for(function() return node:ask("return c:size()") == 4 end) end
    local owners = "local t = {} for i = 1, 400 do t[i] = c:owner('key' .. i).id end return t"
    local before = all[1]:ask(owners)
    assert.same(before, all[2]:ask(owners))
    local counts = {}
    for _, id in ipairs(before) do counts[id] = (counts[id] or 0) + 1 end
    for _, node in ipairs(all) do assert.is_true(counts[node.id] > 50) end
    all[4]:ask("return c:leave()")
    wait_for(function() return all[1]:ask("return c:size()") == 3 end)
    local after = all[1]:ask(owners)
    for i = 1, 400 do
      if before[i] ~= all[4].id then assert.equal(before[i], after[i]) end
    end
  end)

  it("keeps values, compares, and counts", function()
    local a, b = unpack(new_nodes():start_members(2))
    assert.is_true(a:ask("return c:set('k', 'v\\0\\255')"))
    assert.is_true(b:ask("return c:get('k') == 'v\\0\\255'"))
    assert.same({ false, "v" }, { b:ask("c:set('k', 'v') return c:cas('k', 'w', 'x')") })
    assert.is_true(b:ask("return c:cas('k', 'v', 'x')"))
    assert.equal("x", a:ask("return c:get('k')"))
    assert.is_true(a:ask("return c:cas('k', 'x', nil)"))
    assert.is_nil((b:ask("return c:get('k')")))
    assert.is_true(b:ask("return c:cas('k', nil, 'new')"))
    assert.is_false((a:ask("return c:cas('k', nil, 'newer')")))
    assert.same({ 1, 2, 3 }, { a:ask("return c:seq('s')"), b:ask("return c:seq('s')"), a:ask("return c:seq('s')") })
    -- What is ephemeral goes with its node.
    a:ask("c:set('mine', 'a', { ephemeral = true })")
    assert.equal("a", b:ask("return c:get('mine')"))
    a:ask("return c:leave()")
    assert.is_nil((b:ask("return c:get('mine')")))
  end)

  it("numbers 20,000 times from four nodes, each number once", function()
    local each = os.getenv("LHOTSE_SLOW_BUILD") and 1000 or 5000
    local all = new_nodes(nil, LONG_TTL):start_members(4)
    local names = {}
    local started = mtev.time()
    for i, node in ipairs(all) do
      names[i] = node:send("local left = " .. each .. [[
        local numbers, running = {}, 50
        for _ = 1, 50 do
          mtev.coroutine_spawn(function()
            while left > 0 do
              left = left - 1
              local number = assert(c:seq("many"))
              numbers[#numbers + 1] = number
            end
            running = running - 1
          end)
        end
        while running > 0 do mtev.sleep(0.05) end
        return numbers]])
    end
    local seen, count = {}, 0
    for i, node in ipairs(all) do
      for _, number in ipairs(node:answer(names[i])) do
        assert.is_nil(seen[number])
        seen[number] = true
        count = count + 1
      end
    end
    assert.equal(4 * each, count)
    print(("  %d numbers from 4 nodes: %.1f s"):format(count, mtev.time() - started))
  end)

  it("takes messages from one node to one of the others, in order, whatever is in them", function()
    local a, b = unpack(new_nodes():start_members(2))
    local waiting = b:send("local r = { c:waitfor('k', 60) } return r[1], r[2], r[3], r[4] == 'x\\0\\255', r[5].a[2], r[5][7], r[6] ~= r[6], r[7]")
    mtev.sleep(0.2)
    assert.is_true(a:ask("return c:notify('k', 1, nil, 'x\\0\\255', { a = { 1, 2 }, [7] = 'seven' }, 0 / 0, 'é')"))
    assert.same({ "k", 1, n = 8, [4] = true, [5] = 2, [6] = "seven", [7] = true, [8] = "é" }, (function(...) return { n = select("#", ...), ... } end)(b:answer(waiting)) and
      (function(k, one, two, three, four, five, six, seven) return { k, one, two, three, four, five, six, seven, n = 8 } end)("k", 1, nil, true, 2, "seven", true, "é"))
    for i = 1, 20 do a:ask("c:notify('k/x', %d)", i) end
    for i = 1, 20 do assert.equal(i, (select(2, b:ask("return c:waitfor('k/x', 60)")))) end
    assert.is_nil((b:ask("return c:waitfor('k', 0.1)")))
    -- Each message to one only.
    local names = {}
    for i = 1, 10 do names[i] = { i % 2 == 0 and a or b } names[i][2] = names[i][1]:send("return select(2, c:waitfor('one each', 60))") end
    for i = 1, 10 do a:ask("c:notify('one each', %d)", i) end
    local got = {}
    for i = 1, 10 do got[i] = names[i][1]:answer(names[i][2]) end
    table.sort(got)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, got)
  end)

  it("has semaphores: units go to whoever has waited longest, on any node", function()
    local a, b = unpack(new_nodes():start_members(2))
    a:ask("s = c:semaphore('s', 2)")
    b:ask("s = c:semaphore('s', 2)")
    assert.is_true(a:ask("return s:acquire() and s:acquire(60)"))
    assert.same({ false, false }, { b:ask("return s:try_acquire(), s:acquire(0.2)") })
    local first = b:send("return s:acquire(60)")
    mtev.sleep(0.3)
    local second = a:send("return s:acquire(60)")
    mtev.sleep(0.3)
    assert.is_true(a:ask("return s:release()"))
    assert.is_true(b:answer(first))
    assert.same({ 1, 1 }, { a:ask("return s:held()"), b:ask("return s:held()") })
    assert.is_true(b:ask("return s:release()"))
    assert.is_true(a:answer(second))
    -- Who is cancelled while it waits leaves no ticket.
    b:ask("local co = mtev.coroutine_spawn(function() s:acquire() end) s:acquire(0.1) mtev.cancel_coro(co)")
    assert.is_true(a:ask("return s:release()"))
    assert.is_true(b:ask("return s:acquire(60)"))
    assert.same({ true, "it is not held" }, { b:ask("s:release() local ok, message = s:release() return ok == nil, message") })
  end)

  it("hands the lead to the next within the lease and two seconds when the oldest is killed; never are there two", function()
    local all = new_nodes():start_members(3)
    local log = dir .. "/lead"
    -- Whoever leads takes a number and notes it, with the time before and after, as often as it can.
    local lead = ([[
      mtev.coroutine_spawn(function()
        local file = io.open(%q, "a")
        while true do
          if c:am_i_oldest_visible_node() then
            local from = mtev.time()
            local number = c:seq("fence")
            if number then file:write(("%%s %%d %%.6f %%.6f\n"):format(c:id(), number, from, mtev.time())) file:flush() end
          end
          mtev.sleep(0.01)
        end
      end)]]):format(log)
    for _, node in ipairs(all) do node:ask(lead) end
    for _ = 1, 2 do
      local oldest
      wait_for(function()
        for _, node in ipairs(all) do
          if not node.process:wait(0) and node:ask("return c:am_i_oldest_visible_node()") then oldest = node end
        end
        return oldest
      end)
      wait_for(function() local f = io.open(log) return f and f:read("*a"):find(oldest.id, 1, true) end)
      oldest:kill(9)
      local killed = mtev.time()
      wait_for(function()
        for _, node in ipairs(all) do
          if not node.process:wait(0) and node:ask("return c:am_i_oldest_visible_node()") then return true end
        end
      end)
      print(("  the next leads %.1f s after the oldest was killed (lease of %d s)"):format(mtev.time() - killed, TTL))
      assert.is_true(mtev.time() - killed < TTL + 2)
    end
    local last_id, last_number, terms = nil, 0, {}
    for id, number in io.open(log):read("*a"):gmatch("(%S+) (%d+) %S+ %S+\n") do
      assert.is_true(tonumber(number) > last_number)
      last_number = tonumber(number)
      if id ~= last_id then
        assert.is_nil(terms[id]) -- who was followed by another does not come back
        terms[id], last_id = true, id
      end
    end
  end)

  it("lets a node that was stopped longer than its lease know what it lost before it can act on it", function()
    local a, b = unpack(new_nodes():start_members(2))
    local first = a:ask("return c:am_i_oldest_visible_node()") and a or b
    local second = first == a and b or a
    first:ask([[
      s = c:semaphore("s", 1)
      assert(s:acquire(60))
      lost = {}
      c:on_lost(function(why) lost[#lost + 1] = why end)
      c:set("owner", "first")
      -- A coroutine that believes to lead, and acts at once when it wakes.
      result = {}
      mtev.coroutine_spawn(function()
        while true do
          local led = c:am_i_oldest_visible_node()
          for _ = 1, 50 do mtev.sleep(0.002) end -- it is most likely stopped here
          if led then
            local ok, message = c:set("owner", "first")
            if not ok then result[#result + 1] = message break end
          end
        end
      end)]])
    first:kill("STOP")
    wait_for(function() return second:ask("return c:am_i_oldest_visible_node()") end)
    assert.is_true(second:ask("return c:semaphore('s', 1):acquire(60)"))
    second:ask("c:set('owner', 'second')")
    local answer = first:send("return c:am_i_oldest_visible_node(), s:held()")
    first:kill("CONT")
    assert.same({ false, 0 }, { first:answer(answer) })
    wait_for(function() return first:ask("return #result") == 1 end)
    assert.matches("lost its membership", first:ask("return result[1]"))
    assert.equal("second", first:ask("return c:get('owner')"))
    assert.is_true(first:ask("return #lost") >= 1)
    assert.same({ true, "it was lost with the membership" }, { first:ask("local ok, why = s:release() return ok == nil, why") })
    -- It is a member again by itself, the younger one now.
    assert.is_true(first:ask("return c:join(60)"))
    wait_for(function() return second:ask("return c:size()") == 2 end)
    assert.same({ false, true }, { first:ask("return c:am_i_oldest_visible_node()"), second:ask("return c:am_i_oldest_visible_node()") })
  end)

  it("tells a node that waits for a semaphore when it lost its place, and gives it none", function()
    local a, b = unpack(new_nodes():start_members(2))
    a:ask("s = c:semaphore('s', 1) assert(s:acquire(60))")
    local waiting = b:send("s = c:semaphore('s', 1) local ok, message = s:acquire() return ok == nil, message, s:held()")
    mtev.sleep(0.3) -- it waits, or soon will
    b:kill("STOP")
    wait_for(function() return a:ask("return c:size()") == 1 end)
    assert.is_true(a:ask("return s:release()"))
    assert.is_true(a:ask("return s:acquire(60)"))
    b:kill("CONT")
    local is_lost, message, held = b:answer(waiting)
    assert.same({ true, 0 }, { is_lost, held })
    assert.matches("^cluster 'spec': ", message)
    assert.is_true(b:ask("return c:join(60)"))
    assert.is_false(b:ask("return s:try_acquire()"))
    assert.is_true(a:ask("return s:release()"))
    assert.is_true(b:ask("return s:acquire(60)"))
  end)

  it("never lets more than three hold a semaphore of three, with twenty that want it and some killed", function()
    new_nodes()
    local log = dir .. "/holders"
    local want = ([[
      local s = c:semaphore("three", 3)
      mtev.coroutine_spawn(function()
        local file = io.open(%q, "a")
        local function note(what) file:write(("%%s %%s %%.6f\n"):format(what, c:id(), mtev.time())) file:flush() end
        while true do
          local ok, message = s:acquire(60)
          if ok then
            note("in")
            mtev.sleep(0.01 + math.random() * 0.05)
            note("out")
            s:release()
          else
            mtev.sleep(0.1)
          end
        end
      end)]]):format(log)
    local all = {}
    for i, node in ipairs(nodes:start_members(20)) do
      all[i] = node
      node:ask(want)
    end
    local killed = {}
    for _ = 1, 6 do
      mtev.sleep(0.7)
      local victim = table.remove(all, math.random(#all))
      killed[victim.id] = mtev.time()
      victim:kill(9)
    end
    mtev.sleep(TTL + 1)
    nodes:stop()
    -- In order of time: who is in, when; a killed one is in until it was killed.
    local events = {}
    for what, id, time in io.open(log):read("*a"):gmatch("(%S+) (%S+) (%S+)\n") do
      events[#events + 1] = { time = tonumber(time), id = id, step = what == "in" and 1 or -1 }
    end
    local inside = {}
    table.sort(events, function(x, y) return x.time < y.time end)
    for id, time in pairs(killed) do
      local open = 0
      for _, event in ipairs(events) do if event.id == id then open = open + event.step end end
      if open > 0 then events[#events + 1] = { time = time, id = id, step = -1 } end
    end
    table.sort(events, function(x, y) return x.time < y.time end)
    local most, now_inside, entries = 0, 0, 0
    for _, event in ipairs(events) do
      now_inside = now_inside + event.step
      most = math.max(most, now_inside)
      if event.step == 1 then
        entries = entries + 1
        inside[event.id] = true
      end
    end
    local count = 0
    for _ in pairs(inside) do count = count + 1 end
    print(("  the semaphore was taken %d times by %d nodes; at most %d held it"):format(entries, count, most))
    assert.is_true(entries > 100)
    assert.is_true(count > 10)
    assert.equal(3, most)
  end)

  it("says so within its timeout when etcd has no quorum, and goes on when it has one again", function()
    local a = unpack(new_nodes("timeout='2'"):start_members(1))
    a:ask("c:set('k', 'before')")
    local leader = etcd:await_leader()
    etcd:kill(leader)
    -- Two of three are left: another leader, and it goes on.
    wait_for(function() return a:ask("return c:set('k', 'with two')") == true end)
    assert.equal("with two", a:ask("return c:get('k')"))
    local other = leader % 3 + 1
    etcd:kill(other)
    for _, call in ipairs { "c:get('k')", "c:set('k', 'x')", "c:seq('k')", "c:cas('k', 'a', 'b')", "c:semaphore('q', 1):acquire()", "c:waitfor('k')", "c:notify('k')" } do
      local started = mtev.time()
      local ok, message = a:ask("local ok, message = " .. call .. " return ok == nil, message")
      assert.is_true(ok)
      assert.matches("^cluster 'spec': ", message)
      assert.is_true(mtev.time() - started < 2 + 2 + 1) -- the wait for membership, then for etcd
    end
    wait_for(function() return not a:ask("return c:am_i_oldest_visible_node()") end) -- its lease has ended
    assert.equal(0, a:ask("return c:size()"))
    etcd:start(leader)
    etcd:start(other)
    wait_for(function() return a:ask("return c:join(60)") end)
    wait_for(function() return a:ask("return c:set('k', 'again')") == true end)
    assert.equal("again", a:ask("return c:get('k')"))
    assert.is_true(a:ask("return c:am_i_oldest_visible_node()"))
  end)

  it("does not depend on the member of etcd it talks to: one that is stopped is left for another", function()
    local a, b = unpack(new_nodes("timeout='3'", LONG_TTL):start_members(2))
    for _, node in ipairs { a, b } do node:ask("lost = 0 c:on_lost(function() lost = lost + 1 end)") end
    local leader = etcd:await_leader()
    local follower = leader % 3 + 1
    etcd:signal(follower, "STOP")
    etcd:signal(leader, "STOP") -- no quorum at all, for less than a lease
    mtev.sleep(0.3)
    etcd:signal(leader, "CONT")
    for i = 1, 20 do
      wait_for(function() return a:ask("return c:set('k', '%d')", i) == true end)
      mtev.sleep(0.1)
    end
    assert.equal("20", b:ask("return c:get('k')"))
    -- What happens is noticed, whomever the watch was with.
    b:kill(9)
    wait_for(function() return a:ask("return c:size()") == 1 end)
    etcd:signal(follower, "CONT")
  end)

  it("does nothing late: what lies in a member of etcd that was stopped is void when it goes on", function()
    local a, b = unpack(new_nodes("timeout='3'", LONG_TTL):start_members(2))
    for i = 1, 3 do -- one of them is the one that node a asks
      a:ask("c:set('k', 'start')")
      etcd:signal(i, "STOP")
      wait_for(function() return a:ask("return c:set('k', 'one')") == true end) -- asked of that one first, then of another
      wait_for(function() return a:ask("return c:notify('late', 'once')") == true end)
      wait_for(function() return b:ask("return c:set('k', 'two')") == true end)
      assert.equal("once", (select(2, b:ask("return c:waitfor('late', 60)"))))
      etcd:signal(i, "CONT") -- and now it does what it was asked
      wait_for(function() return etcd:ask(i, "/v3/kv/range", { key = "AA==" }) end)
      mtev.sleep(1)
      assert.equal("two", a:ask("return c:get('k')"))
      assert.is_nil((b:ask("return c:waitfor('late', 0.2)")))
    end
  end)

  it("voids what it has given up on before it writes anything else", function()
    local proxy = cluster.proxy(etcd.members[1].client)
    local a = new_nodes("timeout='2'", LONG_TTL, "http://127.0.0.1:" .. proxy.port):start_members(1)[1]
    a:ask("c:set('k', 'start')")
    for _, give_up in ipairs { "return c:set('k', 'late')", -- its time is up; or the coroutine is cancelled
      "local co = mtev.coroutine_spawn(function() c:set('k', 'late') end) mtev.sleep(0.5) mtev.cancel_coro(co)" } do
      proxy.is_holding = true
      local ok, message = a:ask(give_up)
      wait_for(function() return proxy.held > 0 end)
      assert(ok == "nil" or ok == nil, message)
      proxy.is_holding = false
      wait_for(function() return a:ask("return c:set('k', 'two')") == true end)
      proxy:release()
      assert.equal("two", a:ask("return c:get('k')"))
    end
    proxy:close()
  end)

  it("is one node in a process of several threads", function()
    new_nodes()
    local node = nodes:start()
    wait_for(function() return node.is_connected end)
    assert.is_true(node:ask("return c:join(60)"))
    local script = files.write(dir .. "/threads.lua", [[
      local c = mtev.cluster("spec")
      assert(c:join(60))
      local _, i = mtev.thread_self()
      while c:size() ~= 2 do mtev.sleep(0.01) end
      local changes = 0
      local stop = c:on_change(function() changes = changes + 1 end)
      mtev.shared_notify("id", c:id())
      if i == 0 then
        local ids = {}
        for n = 1, 3 do ids[n] = mtev.shared_waitfor("id") end
        assert(ids[1] == ids[2] and ids[2] == ids[3])
        assert(c:set("k", "v"))
        assert(c:semaphore("s", 2):acquire(10) and c:semaphore("s", 2):acquire(10))
        mtev.shared_set("ready", true)
      end
      while not mtev.shared_get("ready") do mtev.sleep(0.01) end
      assert(c:get("k") == "v")
      assert(c:semaphore("s", 2):acquire(0.1) == false)
      c:notify("threads", i)
      while changes == 0 do mtev.sleep(0.01) end -- the other node leaves
      stop()
      assert(c:size() == 1 and c:am_i_oldest_visible_node())
      print("thread", i)
      mtev.shared_notify("over", true)
      if i == 0 then
        for _ = 1, 3 do mtev.shared_waitfor("over") end
        assert(c:leave())
        assert(c:size() == 0)
        mtev.sleep(0.1)
        os.exit(0)
      end]])
    local child, _, out, err = mtev.spawn(process.lhotse, { "lhotse", "-n", "3", "-c", nodes.config, script })
    for _ = 1, 3 do assert.equal("threads", (node:ask("return c:waitfor('threads', 60)"))) end
    wait_for(function() return node:ask("return c:size()") == 2 end)
    node:ask("return c:leave()")
    local said = err:read(65536) or ""
    assert.equal(0, mtev.WEXITSTATUS((child:wait(60))), said)
    local _, count = (out:read(1000) or ""):gsub("thread", "")
    assert.equal(3, count)
  end)

  it("stays out while etcd cannot be reached, says why, and joins when it can", function()
    local port = require("test.support.server").port()
    local output, status = in_process([[
      print(c:size(), c:am_i_oldest_visible_node(), #c:nodes(), c:owner("x"))
      print(c:set("k", "v"))
      print(c:join(0.1))
      os.exit(0)]], ("endpoints='http://127.0.0.1:%d' timeout='0.5'"):format(port))
    assert.equal(0, status)
    assert.matches("0\tfalse\t0\tnil\n", output)
    assert.matches("nil\tcluster 'spec': this node is not a member: .*[Cc]onnect", output)
    assert.matches("cannot join: etcd does not answer within 0.5 s", output)
  end)

  it("speaks TLS with etcd, and gives its name and password", function()
    local place = files.directory()
    local authority = certificates.authority(place, "authority")
    local served = authority:issue("etcd", "/CN=etcd", "subjectAltName=IP:127.0.0.1")
    local client = authority:issue("client", "/O=node") -- with a CN etcd's gateway wants no passwords
    local secure = cluster.etcd(place, 1, { "--cert-file", served.certificate, "--key-file", served.key, "--client-cert-auth",
      "--trusted-ca-file", authority.certificate }, "https")
    local api = mtev.Api:https("127.0.0.1", secure.members[1].client, { ["Content-Type"] = "application/json" },
      { ca_chain = authority.certificate, certificate = client.certificate, key = client.key }):timeout(10)
    local function admin(path, body) return api:post("/v3/auth/" .. path, body) end
    wait_for(function() return api:post("/v3/kv/range", { key = "AA==" }):rc() == 200 end)
    admin("user/add", { name = "root", password = "secret" }):check()
    admin("user/grant", { user = "root", role = "root" }):check()
    admin("enable", "{}"):check()
    local tls = ("ca='%s' certificate='%s' key='%s'"):format(authority.certificate, client.certificate, client.key)
    local script = [[
      local ok, message = c:join(20)
      print(ok, message)
      if ok then print(c:set("k", "v"), c:get("k"), c:seq("s"), c:leave()) end
      os.exit(0)]]
    local function try(attributes, patience)
      return (in_process(script:gsub("20", patience or "20"), ("endpoints='%s' ttl='2' timeout='1' %s"):format(secure:endpoints(), attributes)))
    end
    assert.equal("true\tnil\ntrue\tv\t1\ttrue\n", try(tls .. " user='root' password='secret'"))
    assert.matches("nil\t.*authentication failed", try(tls .. " user='root' password='wrong'", "2"))
    assert.matches("nil\t.*certificate", try("user='root' password='secret'", "2")) -- it trusts nobody
    secure:stop()
    files.remove(place)
  end)
end)
