-- mtev.eventer: reading, writing, closing, owning.

local debug_info = require("mtev.debug")
local net = require("test.support.net")

describe("e:read(terminator)", function()
  it("returns up to and including the terminator, then the rest at the end, then nil", function()
    local client, server = net.pair()
    server:write("one\ntwo\npartial")
    server:close()
    assert.equal("one\n", client:read("\n"))
    assert.equal("two\n", client:read("\n"))
    assert.equal("partial", client:read("\n"))
    assert.equal(1, select("#", client:read("\n")))
    assert.is_nil(client:read("\n"))
  end)

  -- The mechanism that went wrong elsewhere: each receive was searched by itself, so a terminator that lay in two was
  -- never seen. Every cut of the terminator, with one and with several packets, and with data behind it.
  it("finds a terminator split at every position over any number of packets", function()
    local client, server = net.pair()
    local terminator = "<end>"
    local message = "body" .. terminator .. "tail"
    for first = 0, #message do
      for second = first, #message do
        local done = "split" .. first .. "," .. second
        local reader = client
        mtev.coroutine_spawn(function()
          mtev.sleep(0)
          mtev.notify(done)
        end)
        server:write(message:sub(1, first))
        if first > 0 then mtev.sleep(0) end
        server:write(message:sub(first + 1, second))
        mtev.waitfor(done)
        server:write(message:sub(second + 1))
        assert.equal("body" .. terminator, reader:read(terminator))
        assert.equal("tail", reader:read(4))
      end
    end
    server:close()
    assert.is_nil(client:read(terminator))
  end)

  it("finds it when the reader is parked between the packets", function()
    local client, server = net.pair()
    for cut = 1, 4 do
      local got
      net.give(client, function(e)
        got = e:read("\r\n\r\n")
        client = e
        mtev.waitfor("hand back")
        mtev.sleep(3600)
      end)
      server:write("head" .. ("\r\n\r\n"):sub(1, cut))
      mtev.sleep(0.001)
      if cut < 4 then server:write(("\r\n\r\n"):sub(cut + 1)) end
      mtev.sleep(0.001)
      assert.equal("head\r\n\r\n", got)
      client = client:own()
    end
  end)

  it("is not confused by beginnings that look like the terminator", function()
    local client, server = net.pair()
    for _, piece in ipairs { "a", "ab", "aab", "aaa", "b", "aabaac" } do
      server:write(piece)
      mtev.sleep(0)
    end
    assert.equal("aabaabaaabaabaac", client:read("aac"))
  end)

  it("handles NUL bytes in data and terminator", function()
    local client, server = net.pair()
    server:write("a\0b\0\0c")
    assert.equal("a\0b\0\0", client:read("\0\0"))
    assert.equal("c", client:read(1))
  end)

  it("handles a terminator longer than anything it keeps inline", function()
    local client, server = net.pair()
    local terminator = ("abcdefghij"):rep(20)
    local got
    net.give(client, function(e) got = e:read(terminator) end)
    collectgarbage()
    server:write("x" .. terminator:sub(1, 99))
    mtev.sleep(0.001)
    collectgarbage()
    server:write(terminator:sub(100))
    mtev.sleep(0.005)
    assert.equal("x" .. terminator, got)
  end)

  it("scans a long stream without a terminator in linear time", function()
    local client, server = net.pair()
    local size = os.getenv("LHOTSE_SLOW_BUILD") and 8 * 1024 * 1024 or 64 * 1024 * 1024
    net.give(server, function(e)
      local chunk = ("x"):rep(1024 * 1024)
      for _ = 1, size / #chunk do e:write(chunk) end
      e:write("\n")
    end)
    local line = client:read("\n", { limit = math.huge }) -- quadratic scanning would take hours, and the test's own limit ends it
    assert.equal(size + 1, #line)
  end)

  it("waits through no more than 16 MiB, unless it is told so", function()
    local client, server = net.pair()
    local most = 16 * 1024 * 1024
    net.give(server, function(e)
      e:write(("x"):rep(most - 1) .. "\n" .. ("y"):rep(most) .. "\n")
    end)
    assert.equal(most, #client:read("\n"))
    assert.same({ nil, "limit" }, { client:read("\n") })
    assert.equal(most + 1, #client:read("\n", { limit = most + 1 })) -- nothing is lost
  end)

  it("raises for an empty terminator and for other types", function()
    local client = net.pair()
    assert.error_matches(function() client:read("") end, "empty terminator")
    for _, bad in ipairs { {}, true, print } do
      assert.error_matches(function() client:read(bad) end, "bad argument #1 to 'read'")
    end
    assert.error_matches(function() client:read(nil) end, "bad argument #1 to 'read'")
  end)
end)

describe("e:read(n)", function()
  it("returns exactly n bytes; fewer only at the end", function()
    local client, server = net.pair()
    server:write("12345")
    assert.equal("123", client:read(3))
    server:write("678")
    assert.equal("4567", client:read(4))
    server:close()
    assert.equal("8", client:read(10))
    assert.is_nil(client:read(10))
  end)

  it("takes numeric strings, cuts fractions, and returns at once for 0", function()
    local client, server = net.pair()
    server:write("abcd")
    assert.equal("ab", client:read("2"))
    assert.equal("c", client:read(1.9))
    assert.equal("", client:read(0))
  end)

  it("raises for negative, NaN, huge", function()
    local client = net.pair()
    for _, bad in ipairs { -1, 0 / 0, math.huge, 2 ^ 60 } do
      assert.error_matches(function() client:read(bad) end, "bad argument #1 to 'read'")
    end
  end)

  it("reads large counts", function()
    local client, server = net.pair()
    local data = ("0123456789abcdef"):rep(65536) -- 1 MiB
    net.give(server, function(e) e:write(data) end)
    assert.is_true(client:read(#data) == data)
  end)
end)

describe("e:read with a timeout", function()
  it("as an option: nil, 'timeout', and what came stays", function()
    local client, server = net.pair()
    server:write("half")
    local data, err = client:read("\n", { timeout = 0.01 })
    assert.is_nil(data)
    assert.equal("timeout", err)
    server:write(" line\n")
    assert.equal("half line\n", client:read("\n", { timeout = 10 }))
    assert.same({ nil, "timeout" }, { client:read(1, { timeout = 0 }) })
  end)

  it("as libmtev's five arguments: the function is called, nil returned, and what came stays", function()
    local client, server = net.pair()
    server:write("half")
    local called = 0
    local n = select("#", client:read("\n", nil, 0.01, function(...)
      called = called + 1
      assert.equal(0, select("#", ...))
    end))
    assert.equal(1, n)
    assert.equal(1, called)
    server:write("!\n")
    assert.equal("half!\n", client:read("\n", nil, 10, error))
    server:close()
    assert.equal(1, select("#", client:read("\n", nil, 10, error))) -- the end is one nil, as in every form
  end)

  it("runs the function in the reading coroutine: it may block, close, raise", function()
    local client, server = net.pair() -- a server that nobody holds would be collected, and closed
    assert.is_nil(client:read("\n", nil, 0.001, function() mtev.sleep(0.001) end))
    assert.error_matches(function()
      client:read("\n", nil, 0.001, function() error("from fn") end)
    end, "from fn")
    assert.is_nil(client:read("\n", nil, 0.001, function() client:close() end))
    assert.error_matches(function() client:read("\n") end, "mtev.eventer is closed")
    server:close()
  end)

  it("is the option of that name without a function", function()
    local client, server = net.pair()
    assert.same({ n = 2, nil, "timeout" }, { n = 2, client:read("\n", nil, 0.001) })
    assert.same({ n = 2, nil, "timeout" }, { n = 2, client:read("\n", { limit = 5 }, "0.001") })
    server:write("late\n")
    assert.equal("late\n", client:read("\n", nil, 60))
  end)

  -- Without one a peer could fill the memory of who waits for a terminator. A count is the script's own number.
  it("has a limit for terminators only, unless one is given", function()
    local client, server = net.pair()
    local most = 16 * 1024 * 1024
    net.give(server, function(e) e:write(("x"):rep(most + 10)) end)
    assert.same({ nil, "limit" }, { client:read("\n") })
    assert.same({ nil, "limit" }, { client:read(most + 1, { limit = most }) })
    assert.equal(most + 1, #client:read(most + 1))
    assert.equal(9, #client:read(9))
    client:close()
  end)

  it("has a limit in bytes: nil, 'limit', and what came stays", function()
    local client, server = net.pair()
    server:write("0123456789\n")
    assert.same({ nil, "limit" }, { client:read("\n", { limit = 5 }) })
    assert.equal("0123456789\n", client:read("\n", { limit = 11 }))
    assert.same({ nil, "limit" }, { client:read(10, { limit = 5 }) })
  end)
end)

describe("e:read when the peer fails", function()
  it("delivers what came before a reset, then nil and why", function()
    local client, server = net.pair()
    server:write("before")
    mtev.sleep(0.001)
    assert.equal("bef", client:read(3))
    net.reset(server)
    assert.equal("ore", client:read("\n"))
    local data, err = client:read("\n")
    assert.is_nil(data)
    assert.equal("Connection reset by peer", err)
    assert.same({ nil, "Connection reset by peer" }, { client:read(1) })
  end)

  it("wakes a parked reader with the reset", function()
    local client, server = net.pair()
    local got
    net.give(client, function(e) got = { e:read("\n") } end)
    net.reset(server)
    mtev.sleep(0.005)
    assert.same({ nil, "Connection reset by peer" }, got)
  end)
end)

describe("mixed reads", function()
  -- Against a model: whatever the forms and however the bytes are cut, they come once, in order.
  it("lose, repeat and reorder nothing", function()
    math.randomseed(4711)
    local client, server = net.pair()
    local pieces = {}
    for i = 1, 3000 do pieces[i] = ("%d"):format(math.random(0, 999999)):rep(math.random(1, 4)) .. "\n" end
    local stream = table.concat(pieces)
    net.give(server, function(e)
      local at = 1
      while at <= #stream do
        local n = math.random(1, 400)
        e:write(stream:sub(at, at + n - 1))
        at = at + n
        if math.random(4) == 1 then mtev.sleep(0) end
      end
    end)
    local at = 1
    while true do
      local how, data = math.random(3), nil
      if how == 1 then
        data = client:read("\n")
        if data then
          local line_end = stream:find("\n", at, true) or #stream
          assert.equal(stream:sub(at, line_end), data)
        end
      elseif how == 2 then
        local n = math.random(0, 50)
        data = client:read(n)
        if data then assert.equal(stream:sub(at, math.min(at + n - 1, #stream)), data) end
      else
        local n, chunk = client:recv(math.random(1, 100))
        assert.equal(n, #chunk)
        data = chunk
        if data == "" then data = nil end
        if data then assert.equal(stream:sub(at, at + #data - 1), data) end
      end
      if not data then break end
      at = at + #data
    end
    assert.equal(#stream + 1, at)
  end)
end)

describe("e:write", function()
  it("returns the length once all is with the kernel", function()
    local client, server = net.pair()
    assert.equal(5, client:write("hello"))
    assert.equal(0, client:write(""))
    assert.equal(2, client:write(42))
    assert.equal("hello42", server:read(7))
  end)

  it("writes an array of strings in one go", function()
    local client, server = net.pair()
    assert.equal(6, client:write { "ab", "", "cd", "ef" })
    assert.equal("abcdef", server:read(6))
    assert.equal(0, client:write {})
    local many, total = {}, 0
    for i = 1, 5000 do
      many[i] = ("%d,"):format(i):rep(10)
      total = total + #many[i]
    end
    net.give(client, function(e) assert.equal(total, e:write(many)) end)
    assert.equal(table.concat(many), server:read(total))
    client, server = net.pair()
    assert.error_matches(function() client:write { "a", {} } end, "array of strings expected")
    assert.error_matches(function() client:write { "a", nil, "b", print } end, "array of strings expected")
  end)

  it("keeps the data alive while it waits: a slow reader, under constant collection", function()
    local client, server = net.pair()
    local size, sum, result = 5000000, 0, nil
    net.give(client, function(e)
      result = e:write(("0123456789"):rep(size / 10))
      e:close()
    end)
    local at = 0
    while true do
      collectgarbage()
      local garbage = ("z"):rep(math.random(100000)) -- what would overwrite freed memory
      local data = server:read(50000)
      if not data then break end
      assert.is_true(data == ("0123456789"):rep(#data / 10), "at " .. at)
      at = at + #data
      sum = sum + #garbage
    end
    assert.equal(size, at)
    assert.equal(size, result)
  end)

  it("times out on request, telling how much went", function()
    local client, server = net.pair()
    local rv, err, written = client:write(("x"):rep(20 * 1024 * 1024), { timeout = 0.02 })
    assert.equal(-1, rv)
    assert.equal("timeout", err)
    assert.is_true(written > 0 and written < 20 * 1024 * 1024)
    server:close()
  end)

  it("reports a reset in mid-write, and a peer that is gone, as results", function()
    local client, server = net.pair()
    local result
    net.give(client, function(e) result = { e:write(("x"):rep(20 * 1024 * 1024)) } end)
    mtev.sleep(0.005)
    net.reset(server)
    mtev.sleep(0.01)
    assert.equal(-1, result[1])
    assert.equal("Connection reset by peer", result[2])
    client, server = net.pair()
    server:close()
    mtev.sleep(0.001)
    local rv, err
    for _ = 1, 10 do
      rv, err = client:write("x")
      if rv == -1 then break end
      mtev.sleep(0.001)
    end
    assert.equal(-1, rv)
    assert.matches("^[BC][ro]", err) -- "Broken pipe" or "Connection reset by peer"
  end)

  it("leaves room for others: a ticker goes on while bytes stream without a pause", function()
    local client, server = net.pair()
    local ticks = 0
    net.give(client, function(e)
      local data = ("x"):rep(10e6)
      repeat e:write(data) until ticks >= 20 -- a starved ticker would make this hang: how late it is, bench/ measures
      e:close()
    end)
    mtev.coroutine_spawn(function()
      repeat
        mtev.sleep(0.001)
        ticks = ticks + 1
      until ticks == 20
    end)
    local got = 0
    for data in function() return server:read(1000000) end do got = got + #data end
    assert.is_true(got > 0 and got % 10e6 == 0)
  end)

  -- A call that need not wait does not: with a peer that sends line after line, and reads the answers, neither the read nor
  -- the write ever has to. So each system call costs some of what a socket may move in a turn.
  it("leaves room for others: an echo of empty lines makes some thousand calls a turn", function()
    local client, server = net.pair()
    local ticks, since, most = 0, 0, 0
    net.give(client, function(e)
      local reader, writer = e:split()
      net.give(reader, function(r) while r:recv(65536) > 0 do end end)
      local lines = ("\n"):rep(65536)
      while ticks < 20 and writer:write(lines) == #lines do end
      writer:close()
    end)
    mtev.coroutine_spawn(function() -- counts turns
      repeat
        mtev.sleep(0)
        ticks, since = ticks + 1, 0
      until ticks >= 20 and most > 0
    end)
    for line in function() return server:read("\n") end do
      if server:write(line) ~= 1 then break end
      since = since + 1
      if ticks < 20 then most = math.max(most, since) end
    end
    assert.is_true(most > 0 and most <= 2200, most) -- a turn may be seen in two parts
  end)

  it("raises for other types", function()
    local client = net.pair()
    for _, bad in ipairs { true, print } do
      assert.error_matches(function() client:write(bad) end, "bad argument #1 to 'write' %(string expected")
    end
    assert.error_matches(function() client:write() end, "bad argument #1 to 'write' %(string expected, got n")
    assert.error_matches(function() client:write("x", { timeout = "soon" }) end, "timeout must be a number")
  end)
end)

describe("e:close", function()
  it("returns 0, also the second time; the peer sees the end", function()
    local client, server = net.pair()
    assert.equal(0, client:close())
    assert.equal(0, client:close())
    assert.is_nil(server:read(1))
  end)

  it("makes every other method raise", function()
    local client = net.pair()
    client:close()
    for _, call in ipairs {
      function() client:read(1) end, function() client:write("x") end, function() client:recv(1) end,
      function() client:send("x") end, function() client:sendto("x", "127.0.0.1", 1) end,
      function() client:accept() end, function() client:connect("127.0.0.1", 1) end,
      function() client:bind("127.0.0.1", 0) end, function() client:listen() end,
      function() client:setsockopt("SO_KEEPALIVE", 1) end, function() client:peer_name() end,
      function() client:sock_name() end, function() client:split() end,
    } do
      assert.error_matches(call, "mtev.eventer is closed")
    end
    assert.equal("mtev.eventer: closed", tostring(client))
  end)

  it("wakes whoever is parked on it, with that call's failure and 'closed'", function()
    local function closed_while(make, block)
      local result
      local e = make()
      local mine
      mtev.coroutine_spawn(function()
        mine = e:own()
        result = { block(mine) }
      end)
      mtev.sleep(0.002)
      mine:close()
      mtev.sleep(0.001)
      return result
    end
    local function connected() return (net.pair()) end
    local keep = {}
    local function held()
      local a, b = net.pair()
      keep[#keep + 1] = b
      return a
    end
    assert.same({ nil, "closed" }, closed_while(held, function(e) return e:read("\n") end))
    assert.same({ nil, "closed" }, closed_while(held, function(e) return e:read(5) end))
    assert.same({ nil, "closed" }, closed_while(net.listen, function(e) return e:accept() end))
    assert.same({ -1, "closed" }, closed_while(held, function(e) return e:recv(5) end))
    local rv, err = unpack(closed_while(held, function(e) return e:write(("x"):rep(20e6)) end))
    assert.same({ -1, "closed" }, { rv, err })
    assert.equal("function", type(connected))
  end)

  it("wakes a pending connect", function()
    local _, port = net.listen("inet", 0)
    local result, mine
    for _ = 1, 8 do
      mtev.coroutine_spawn(function() mtev.socket("inet"):connect("127.0.0.1", port, 0.2) end)
    end
    mtev.coroutine_spawn(function()
      mine = mtev.socket("inet")
      result = { mine:connect("127.0.0.1", port) }
    end)
    mtev.sleep(0.01)
    mine:close()
    mtev.sleep(0.001)
    assert.same({ -1, "closed" }, result)
    mtev.sleep(0.25)
  end)

  it("delivers what the kernel has accepted", function()
    local client, server = net.pair()
    client:write("last words")
    client:close()
    assert.equal("last words", server:read(100))
  end)

  it("happens by itself when an eventer is collected", function()
    local before = debug_info.counts().sockets
    for _ = 1, 20 do mtev.socket("inet") end
    collectgarbage()
    collectgarbage()
    assert.equal(before, debug_info.counts().sockets)
  end)

  it("waits for the call under way when the handle is collected meanwhile", function()
    local before = debug_info.counts().sockets
    local client, server = net.pair()
    local got
    mtev.coroutine_spawn(function()
      -- Nothing keeps the handle but the call itself.
      local function take() return client:own() end
      got = take():read("\n")
    end)
    client = nil
    for _ = 1, 5 do
      collectgarbage()
      mtev.sleep(0.001)
    end
    server:write("still there\n")
    mtev.sleep(0.005)
    assert.equal("still there\n", got)
    server:close()
    collectgarbage()
    collectgarbage()
    assert.equal(before, debug_info.counts().sockets)
  end)
end)

describe("ownership", function()
  it("belongs to the coroutine that made the eventer; others may not read or write", function()
    local client, server = net.pair()
    local text = "cross%-coroutine socket call: use event:own%(%)"
    local errors = {}
    mtev.coroutine_spawn(function()
      for _, call in ipairs {
        function() client:read(1) end, function() client:write("x") end,
        function() client:accept() end, function() client:connect("127.0.0.1", 1) end,
      } do
        errors[#errors + 1] = select(2, pcall(call))
      end
    end)
    assert.equal(4, #errors)
    for _, err in ipairs(errors) do assert.matches(text, err) end
    assert.equal(1, client:write("x"))
    assert.equal("x", server:read(1))
  end)

  it("own() takes it over: a new object, the old one dead; buffered input moves along", function()
    local client, server = net.pair()
    server:write("one\ntwo\n")
    assert.equal("one\n", client:read("\n"))
    local line, new
    mtev.coroutine_spawn(function()
      new = client:own()
      line = new:read("\n")
      mtev.sleep(0.002)
    end)
    assert.equal("two\n", line)
    assert.is_true(new ~= client)
    assert.error_matches(function() client:read(1) end, "mtev.eventer is owned by another coroutine")
    assert.error_matches(function() client:close() end, "mtev.eventer is owned by another coroutine")
    mtev.sleep(0.005)
  end)

  it("own() by the owner returns the same object, twice too", function()
    local client = net.pair()
    assert.is_true(client:own() == client)
    assert.is_true(client:own():own() == client)
  end)

  it("own() of a closed one is nil, of a busy one raises", function()
    local client, server = net.pair()
    client:close()
    assert.is_nil(client:own())
    client, server = net.pair()
    local err
    net.give(server, function(e)
      mtev.coroutine_spawn(function() mtev.sleep(0.001) err = select(2, pcall(e.own, e)) e:close() end)
      e:read("\n")
    end)
    mtev.sleep(0.01)
    assert.matches("busy %(another coroutine is receiving%)", err)
  end)

  it("ends with the coroutine: a handler that just returns closes its connection", function()
    local client, server = net.pair()
    local kept
    mtev.coroutine_spawn(function()
      kept = server:own()
      kept:write("bye\n")
    end)
    assert.equal("bye\n", client:read("\n"))
    assert.is_nil(client:read("\n"))
    assert.error_matches(function() kept:read(1) end, "mtev.eventer is closed %(its coroutine ended%)")
    assert.is_nil(kept:own())
  end)

  it("ends with the coroutine also when that fails", function()
    local client, server = net.pair()
    local co = coroutine.wrap(function() error("x") end)
    mtev.coroutine_spawn(function()
      server:own()
      pcall(co)
    end)
    assert.is_nil(client:read(1))
  end)

  it("survives the giver when the taker owns it first", function()
    local client, server = net.pair()
    local echoed
    mtev.coroutine_spawn(function()
      local mine = server:own()
      net.give(mine, function(e)
        mtev.sleep(0.005)
        e:write(e:read("\n"))
      end)
    end)
    client:write("hand over\n")
    echoed = client:read("\n")
    assert.equal("hand over\n", echoed)
  end)

  it("counts a script's own coroutine as the one that resumed it", function()
    local client, server = net.pair()
    local lines = coroutine.wrap(function()
      while true do coroutine.yield(client:read("\n")) end
    end)
    server:write("a\nb\n")
    assert.equal("a\n", lines())
    assert.equal("b\n", lines())
    local made = coroutine.wrap(function() return (mtev.socket("inet")) end)()
    assert.is_true(made:own() == made)
  end)
end)

-- A call that need not wait does not; so a peer that is always ready kept the thread for itself, for as long as it liked.
describe("a peer that is always ready", function()
  -- Turns of the loop that others get while f() runs.
  local function turns(f)
    local count = 0
    local other = mtev.coroutine_spawn(function()
      while true do
        mtev.sleep(0)
        count = count + 1
      end
    end)
    f()
    mtev.cancel_coro(other)
    return count
  end

  local BYTES = 16 * 1024 * 1024
  local TURN = 256 * 1024 -- bytes that a turn moves over one socket

  local function endless(command)
    local child, _, out = mtev.spawn("/bin/sh", { "sh", "-c", command }, ENV)
    return child, out
  end

  it("leaves turns to others, whatever reads from it", function()
    local child, out = endless("yes hello")
    for _, read in ipairs {
      function() return #out:read("\n") end, function() return #out:read(1000) end, function() return (out:recv(4000)) end,
      function() return #out:read("\n", { timeout = 60, limit = 100 }) end,
    } do
      local count = turns(function()
        local bytes = 0
        while bytes < BYTES do bytes = bytes + read() end
      end)
      assert(count >= BYTES / TURN / 2, count)
    end
    child:kill(9)
    child:wait(10)
  end)

  it("leaves turns to others, whatever writes to it", function()
    local child, into = mtev.spawn("/bin/sh", { "sh", "-c", "exec cat >/dev/null" }, ENV)
    local piece = ("x"):rep(4096)
    for _, write in ipairs {
      function() return into:write(piece) end, function() return into:write { piece, piece } end, function() return into:send(piece) end,
    } do
      local count = turns(function()
        local bytes = 0
        while bytes < BYTES do bytes = bytes + write() end
      end)
      assert(count >= BYTES / TURN / 2, count)
    end
    child:kill(9)
    child:wait(10)
  end)

  it("is no hindrance to calls that do not wait, which hear of what came since the last one", function()
    local child, out = endless("yes hello")
    for _, read in ipairs {
      function() return #(out:read("\n", { timeout = 0 }) or "") end, function() return math.max(0, (out:recv(4000, { timeout = 0 }))) end,
    } do
      local bytes = 0
      while bytes < BYTES do
        local n = read()
        bytes = bytes + n
        if n == 0 then mtev.sleep(0) end
      end
    end
    child:kill(9)
    child:wait(10)
    local client, server = net.pair()
    local piece = ("x"):rep(1024 * 1024)
    net.give(server, function(e) repeat until not e:read(1024 * 1024) end)
    local written = 0
    while written < BYTES do
      local n, _, partial = client:write(piece, { timeout = 0 })
      written = written + (n >= 0 and n or partial)
      mtev.sleep(0)
    end
    client:close()
  end)

  it("leaves turns to others while connections are accepted", function()
    local listener, port = net.listen("inet", 1000)
    local clients = {}
    for i = 1, 300 do clients[i] = net.connect(port) end
    local count = turns(function()
      for _ = 1, 300 do listener:accept():close() end
    end)
    assert(count >= 300 / 64 - 2, count) -- those that are told at once, and sleep(0)'s own turn, are not seen
    for _, client in ipairs(clients) do client:close() end
    listener:close()
  end)
end)

describe("two generators on two sockets", function()
  it("interleave", function()
    local a1, a2 = net.pair()
    local b1, b2 = net.pair()
    local function lines(e)
      return coroutine.wrap(function()
        while true do
          local line = e:read("\n")
          if not line then return end
          coroutine.yield(line)
        end
      end)
    end
    net.give(a2, function(e) for i = 1, 3 do mtev.sleep(0.001) e:write("a" .. i .. "\n") end end)
    net.give(b2, function(e) for i = 1, 3 do mtev.sleep(0.001) e:write("b" .. i .. "\n") end end)
    local as, bs = lines(a1), lines(b1)
    local seen = {}
    for _ = 1, 3 do
      seen[#seen + 1] = as()
      seen[#seen + 1] = bs()
    end
    assert.same({ "a1\n", "b1\n", "a2\n", "b2\n", "a3\n", "b3\n" }, seen)
    assert.is_nil(as())
    assert.is_nil(bs())
  end)
end)

describe("e:split", function()
  it("gives a reader and a writer that two coroutines may use at once", function()
    local client, server = net.pair()
    local reader, writer = client:split()
    local got
    net.give(reader, function(e) got = e:read("\n") end)
    net.give(writer, function(e) e:write("ping\n") end)
    server:write(server:read("\n"):upper())
    mtev.sleep(0.005)
    assert.equal("PING\n", got)
    assert.error_matches(function() client:read(1) end, "owned by another coroutine")
  end)

  it("half-closes: the writer's end is the peer's EOF, the socket lives until both are closed", function()
    local before = debug_info.counts().sockets
    local client, server = net.pair()
    local reader, writer = client:split()
    assert.equal(0, writer:close())
    assert.is_nil(server:read(1))
    server:write("still open this way")
    assert.equal("still", reader:read(5))
    assert.equal(before + 2, debug_info.counts().sockets)
    reader:close()
    server:close()
    assert.equal(before, debug_info.counts().sockets)
  end)

  it("gives each half its own direction only", function()
    local reader, writer = net.pair():split()
    assert.error_matches(function() reader:write("x") end, "cannot write")
    assert.error_matches(function() writer:read(1) end, "cannot read")
    assert.error_matches(function() reader:send("x") end, "cannot write")
    assert.error_matches(function() reader:sendto("x", "127.0.0.1", 1) end, "cannot write")
    assert.error_matches(function() writer:recv(1) end, "cannot read")
    assert.error_matches(function() reader:ssl_upgrade_socket({ snihost = "a" }) end, "cannot write") -- which takes both
    assert.error_matches(function() writer:ssl_upgrade_socket({ snihost = "a" }) end, "cannot read")
    assert.error_matches(function() reader:split() end, "split already")
  end)
end)

describe("e:send and e:recv on a stream", function()
  it("move one chunk", function()
    local client, server = net.pair()
    assert.equal(5, client:send("chunk"))
    local rv, payload, address, port = server:recv(100)
    assert.equal(5, rv)
    assert.equal("chunk", payload)
    assert.equal("127.0.0.1", address)
    assert.equal(select(2, client:sock_name()), port)
    client:close()
    assert.same({ 0, "" }, { server:recv(100) })
  end)

  it("recv drains what read left over first", function()
    local client, server = net.pair()
    client:write("line\nrest")
    assert.equal("line\n", server:read("\n"))
    assert.equal("rest", (select(2, server:recv(100))))
  end)

  it("recv has a timeout option; send waits only while nothing can go", function()
    local client, server = net.pair()
    assert.same({ -1, "timeout" }, { server:recv(1, { timeout = 0.005 }) })
    local sent = client:send(("x"):rep(50 * 1024 * 1024))
    assert.is_true(sent > 0 and sent < 50 * 1024 * 1024)
    local more
    net.give(client, function(e)
      while true do
        local n = e:send(("y"):rep(1024 * 1024))
        if n == -1 then return end
        more = (more or 0) + n
      end
    end)
    local before = more or 0
    for _ = 1, 100 do server:recv(1024 * 1024) end
    mtev.sleep(0.005)
    assert.is_true((more or 0) >= before)
  end)

  it("raise for bad counts and payloads", function()
    local client = net.pair()
    assert.error_matches(function() client:recv(-1) end, "bad argument #1 to 'recv'")
    assert.error_matches(function() client:recv() end, "bad argument #1 to 'recv'")
    assert.error_matches(function() client:send({}) end, "bad argument #1 to 'send'")
  end)
end)

describe("methods", function()
  it("are plain functions that can be cached and called on any eventer", function()
    local a, b = net.pair()
    local read, write = a.read, b.write
    write(b, "abc")
    assert.equal("abc", read(a, 3))
    assert.is_true(a.read == b.read)
    assert.is_nil(a.no_such_field)
  end)

  it("name themselves in errors whichever way they are called", function()
    local e = net.pair()
    local read = e.read
    assert.error_matches(function() e:read({}) end, "bad argument #1 to 'read' %(number or string expected, got table%)")
    assert.error_matches(function() read(e, {}) end, "bad argument #1 to 'read'")
    assert.matches("bad argument #1 to 'read'", select(2, pcall(e.read, e, {})))
    assert.matches("calling 'read' on bad self %(mtev.eventer expected, got string%)", select(2, pcall(e.read, "x", 1)))
    assert.matches("^test/spec/eventer_spec.lua:%d+: ", select(2, pcall(function() e:read({}) end)))
  end)
end)
