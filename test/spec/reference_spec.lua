-- What types/ says and other specs do not ask: a claim, an assertion.

local files = require("test.support.files")
local net = require("test.support.net")
local process = require("test.support.process")

-- What a program prints, and its exit status.
local function run(script, options)
  return process.run(script, options)
end

local function status(script, options)
  return (select(2, run(script, options)))
end

describe("Running a script: the exit status", function()
  it("is what the entry returns, if that is one", function()
    assert.equal(7, status("function main() return 7 end"))
    for _, value in ipairs { "true", "false", "'3'", "-1", "300", "1.5", "{}" } do
      assert.equal(0, status("function main() return " .. value .. " end"), value)
    end
  end)

  it("is 1 after an error and a deadlock, 2 for wrong usage and configurations that cannot be", function()
    assert.equal(1, status("error('x')"))
    assert.equal(1, status("mtev.waitfor('x')"))
    assert.equal(1, (select(2, process.sh(process.quote(process.lhotse) .. " /no/such/file"))))
    assert.equal(2, (select(2, process.sh(process.quote(process.lhotse) .. " --bogus"))))
    local config = process.write_file("<a><logs><log name='x' type='nope'/></logs></a>")
    assert.equal(2, status("", { options = "-c " .. config }))
    os.remove(config)
    assert.equal(5, status("os.exit(5)"))
    assert.equal(143, status("mtev.spawn('/bin/sh', { 'sh', '-c', 'kill -TERM $PPID' }) mtev.sleep(60)"))
  end)

  it("under the name luamtev: a script without a module is told what is missing", function()
    local output, code = run("function main() end", { program = process.luamtev })
    assert.equal(255, code)
    assert.matches('module("NAME", package.seeall)', output, 1, true)
  end)

  it("standard input is the program when there is no file", function()
    assert.equal("5\n", (process.sh("echo 'print(2 + 3)' | " .. process.quote(process.lhotse))))
  end)
end)

describe("Conventions:", function()
  it("methods are named in the error of a place that cannot yield, functions as well", function()
    local e = net.pair()
    local function where(f)
      local ok, message = pcall(table.sort, { 2, 1 }, f)
      assert.is_false(ok)
      return message:match("boundary %((.-)%)")
    end
    assert.equal("eventer:read", where(function() e:read(1) end))
    assert.equal("mtev.sleep", where(function() mtev.sleep(0.01) end))
    assert.is_false((xpcall(error, function() mtev.sleep(0.01) end)))
  end)

  it("a wrong argument is named", function()
    local e = net.pair()
    local function says(message, f) assert.error_matches(f, message, 1, true) end
    says("bad argument #1 to 'read' (number or string expected, got nil)", function() e:read(nil) end)
    says("notify called without key", function() mtev.notify(nil) end)
    says("bad argument #1 to 'notify' (string expected, got table)", function() mtev.notify({}) end)
    says("spawn(path [,{args} [,{env}]])", function() mtev.spawn("x", 5) end)
    says("arguments: string expected at 1, got table", function() mtev.spawn("x", { {} }) end)
  end)

  it("a timeval is a duration wherever one is expected", function()
    local short = mtev.timeval.new(0.001)
    assert.is_true(mtev.sleep(short) >= 0.001)
    assert.equal(0, select("#", mtev.waitfor("nothing", short)))
    assert.is_nil(mtev.shared_waitfor("nothing", short))
    assert.is_false(mtev.semaphore("reference", 0):acquire(short))
    local e, other = net.pair()
    assert.same({ n = 2, nil, "timeout" }, { n = 2, e:read(1, { timeout = short }) })
    assert.equal(-1, (e:recv(1, { timeout = short })))
    local response = mtev.Api:http("127.0.0.1", select(2, net.listen())):get("/", nil, nil, { timeout = short })
    assert.equal(-1, response:rc())
    assert.error_matches(function() mtev.sleep(5LL) end, "number expected, got cdata")
    other:close()
  end)

  it("a timeout of 0 tries once, a negative one is 0", function()
    local e = net.pair()
    for _, timeout in ipairs { 0, -1, "0" } do
      assert.same({ n = 2, nil, "timeout" }, { n = 2, e:read(1, { timeout = timeout }) })
      assert.equal(-1, mtev.Api:http("127.0.0.1", 1):timeout(timeout):get("/"):rc())
      assert.equal(0, select("#", mtev.waitfor("nothing", timeout)))
    end
  end)

  it("fractions are cut off where an integer is wanted", function()
    local e, other = net.pair()
    other:write("abc")
    assert.equal("a", e:read(1.9))
  end)
end)

describe("Coroutines:", function()
  it("151 starts inside one another run at once, the next waits its turn", function()
    local depth, deepest = 0, 0
    local function start()
      depth = depth + 1
      deepest = math.max(deepest, depth)
      if deepest < 200 and depth == deepest then mtev.coroutine_spawn(start) end
      depth = depth - 1
    end
    mtev.coroutine_spawn(start)
    assert.truthy(deepest > 100 and deepest <= 151) -- the runner has started a few itself
  end)

  -- A timer or a descriptor wakes a coroutine in the middle of the loop's turn: what became ready since must come first all the same.
  it("sleep(0) lets descriptors come first, whatever woke the coroutine", function()
    local reader, writer = mtev.socket("inet", "udp"), mtev.socket("inet", "udp")
    assert.equal(0, reader:bind("127.0.0.1", 0))
    assert.equal(0, writer:connect("127.0.0.1", (select(2, reader:sock_name()))))
    local received = 0
    local co = net.give(reader, function(e)
      while e:recv(10) > 0 do received = received + 1 end
    end)
    local wakers = {
      function() mtev.sleep(0.001) end,
      function()
        local a, b = net.pair()
        mtev.coroutine_spawn(function()
          b = b:own()
          mtev.sleep(0.001)
          b:write("x")
          mtev.sleep(0.01)
        end)
        a:read(1)
        a:close()
      end,
      function() mtev.exec("/bin/true") end,
      function() mtev.stat("/") end,
    }
    for i, wake in ipairs(wakers) do
      for _ = 1, 20 do
        wake()
        received = 0
        assert.equal(1, writer:send("x")) -- on the loopback it is there when send returns
        mtev.sleep(0)
        assert.equal(1, received, "waker " .. i)
      end
    end
    mtev.cancel_coro(co)
  end)

  it("thread_stats tells the kernel's number of each thread", function()
    local thread, _, name = mtev.thread_self()
    local stats = mtev.thread_stats()[1]
    assert.same({ thread, name }, { stats.id, stats.name })
  end)

  it("shared_waitfor returns the value only, serialize is found through a metatable", function()
    mtev.shared_notify("reference", setmetatable({}, { __index = { serialize = function() return { 5 } end } }))
    local got = { mtev.shared_waitfor("reference", 0) }
    assert.same({ { 5 } }, got)
    local raising = setmetatable({ 1 }, { __index = function() error("no", 0) end })
    assert.error_matches(function() mtev.shared_set("reference", raising) end, "no")
  end)
end)

describe("Sockets:", function()
  it("read's seconds are a timeout without a function, too; a numeric string is a count", function()
    local e, other = net.pair()
    assert.same({ n = 2, nil, "timeout" }, { n = 2, e:read("\n", nil, 0.001) })
    other:write("abcdefgh")
    assert.equal("abc", e:read("3"))
    assert.same({ n = 2, nil, "limit" }, { n = 2, e:read(5, { limit = 3 }) })
  end)

  it("closing split's writer sends the end of the stream, and the reader goes on", function()
    local a, b = net.pair()
    local reader, writer = a:split()
    writer:close()
    assert.is_nil((b:read(1, { timeout = 60 })))
    b:write("still\n")
    assert.equal("still\n", reader:read("\n", { timeout = 60 }))
    assert.error_matches(function() reader:write("x") end, "mtev.eventer")
  end)

  it("a unix socket without a name has none", function()
    local path = os.tmpname()
    os.remove(path)
    local receiver, sender = mtev.socket("unix", "udp"), mtev.socket("unix", "udp")
    assert.equal(0, receiver:bind(path))
    sender:sendto("x", path)
    local n, data, address, port, is_truncated = receiver:recv(10)
    assert.same({ n = 5, 1, "x" }, { n = 5, n, data, address, port, is_truncated })
    os.remove(path)
  end)

  it("a replaced handle raises, by close and own as well", function()
    local e = net.pair()
    local co = net.give(e, function() mtev.sleep(60) end)
    for _, method in ipairs { "close", "own", "read" } do
      assert.error_matches(function() e[method](e, 1) end, "mtev.eventer is owned by another coroutine")
    end
    mtev.cancel_coro(co)
  end)
end)

describe("Files and processes:", function()
  it("0, 1 and 2 are not closed", function()
    for fd = 0, 2 do assert.equal(-1, (mtev.close(fd))) end
    local fd = mtev.open("/dev/null", O_RDONLY)
    assert.truthy(fd > 2)
    assert.equal(0, mtev.close(fd))
  end)

  it("read takes at most 2^31 - 256 bytes", function()
    local fd = mtev.open("/dev/null", O_RDONLY)
    assert.equal("", mtev.read(fd, 2 ^ 31 - 256))
    assert.error_matches(function() mtev.read(fd, 2 ^ 31 - 255) end, "bad argument #2 to 'read'")
    mtev.close(fd)
  end)

  it("exec says why a program cannot be started, in one line without an end", function()
    assert.equal("exec: /no/such: No such file or directory", (select(3, mtev.exec("/no/such"))))
  end)
end)

describe("Data:", function()
  it("pcre's offsets are there for each capture, also at the end", function()
    local function offsets(expression, subject)
      return table.concat((mtev.pcre(expression)(subject, { offsets = true })), " ")
    end
    assert.equal("1 2 1 2 -1 -1", offsets("(b)(x)?", "abc"))
    assert.equal("1 2 -1 -1 1 2", offsets("(x)?(b)", "abc"))
    assert.equal("0 0 -1 -1 -1 -1", offsets("(x)?(y)?", "abc"))
    local many = ("(x)?"):rep(200)
    assert.equal(402, #(mtev.pcre("a" .. many)("abc", { offsets = true })))
    assert.same({ n = 4, true, "b", "b" }, { n = select("#", mtev.pcre("(b)(x)?")("abc")), mtev.pcre("(b)(x)?")("abc") })
    assert.is_false((mtev.pcre("a")(nil)))
  end)

  it("integers of any length become strings, fractions beyond a double are errors", function()
    assert.equal("1" .. ("0"):rep(400), mtev.parsejson("1" .. ("0"):rep(400)):document())
    assert.is_nil((mtev.parsejson("1.5e400")))
  end)

  it("XML may be 257 elements deep", function()
    local function nested(depth) return ("<a>"):rep(depth) .. ("</a>"):rep(depth) end
    assert.truthy(mtev.parsexml(nested(257)))
    assert.is_nil((mtev.parsexml(nested(258))))
  end)

  it("a node can be removed while one iterates, and read afterwards", function()
    local doc = mtev.parsexml('<a xmlns:p="u"><b/><p:c x="1"><p:d/></p:c>text<!--c--></a>')
    local c, d
    for node in doc:root():children() do
      if node:name() == "c" then
        c = node
        for child in node:children() do d = child end
      end
      node:remove()
      node:remove() -- it is out already
    end
    assert.equal('<a xmlns:p="u"/>', (tostring(doc):match("<a.*/>")))
    assert.equal("1", c:attr("x"))
    d:remove()
    doc, c = nil, nil
    collectgarbage()
    collectgarbage()
    assert.same({ "d", "z" }, { d:name(), d:addchild("z"):name() }) -- its namespace was declared by what is gone
    doc = mtev.parsexml('<a x="1" y="2"/>')
    for attribute in doc:xpath("//@x") do attribute:remove() end
    assert.same({ nil, "2" }, { doc:root():attr("x"), doc:root():attr("y") })
    for node in doc:xpath("/") do assert.error_matches(function() node:remove() end, "cannot be removed") end
    doc:root():remove()
    assert.is_nil(doc:root())
  end)

  it("gunzip says that its limit is passed", function()
    assert.error_matches(function() mtev.gunzip()(mtev.gzip("aaaaaa"), 3) end, "zlib: more than 3 bytes")
  end)

  it("log raises for a bad format only where it is read", function()
    assert.equal(0, mtev.log("debug/reference", "%d", "x"))
    assert.error_matches(function() mtev.log("error", "%d", "x") end, "bad argument")
  end)

  it("times of 2^53 s are too many", function()
    local zone = mtev.timezone("UTC")
    assert.equal("number", type(zone:extract(2 ^ 53 - 1, "second")))
    assert.error_matches(function() zone:extract(2 ^ 53, "second") end, "bad argument")
  end)
end)

describe("HTTP:", function()
  it("a request without time is not made", function()
    local listener, port = net.listen()
    local accepted = false
    local co = net.give(listener, function(l) accepted = l:accept() ~= nil end)
    local api = mtev.Api:http("127.0.0.1", port)
    for _ = 1, 3 do
      for _, method in ipairs { "get", "post", "head" } do
        local response = api[method](api, "/", nil, nil, { timeout = 0 })
        assert.same({ -1, "Operation timed out" }, { response:rc(), response:text() })
      end
    end
    assert.is_false(accepted)
    mtev.cancel_coro(co)
  end)

  it("a redirect from http to https verifies", function()
    -- The server's certificate is nobody's: with verification off the answer would be 200.
    local certificates = require("test.support.certificates")
    local dir = files.directory()
    local self_signed = certificates.self_signed(dir, "localhost")
    local secure, secure_port = net.listen()
    local plain, plain_port = net.listen()
    local coroutines = {
      net.give(secure, function(l)
        while true do
          net.give(l:accept(), function(e)
            if e:ssl_upgrade_socket { server = true, certificate = self_signed.certificate, key = self_signed.key } ~= 0 then return end
            e:read("\r\n\r\n")
            e:write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
          end)
        end
      end),
      net.give(plain, function(l)
        local e = l:accept()
        e:read("\r\n\r\n")
        e:write(("HTTP/1.1 302 Found\r\nLocation: https://localhost:%d/\r\nContent-Length: 0\r\n\r\n"):format(secure_port))
        mtev.sleep(60)
      end),
    }
    local response = mtev.Api:http("127.0.0.1", plain_port):get("/", nil, nil, { redirects = 3, timeout = 60 })
    assert.equal(-1, response:rc())
    assert.matches("certificate", response:text())
    for _, co in ipairs(coroutines) do mtev.cancel_coro(co) end
    files.remove(dir)
  end)
end)
