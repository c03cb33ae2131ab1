-- mtev.Proc and mtev.LogWatch, with small shell programs and with real servers.

local files = require("test.support.files")
local server = require("test.support.server")
local counts = require("mtev.debug").counts
local process = require("test.support.process")
local state_of, await_death = process.state, process.await_death

local ETIMEDOUT, ESRCH = 110, 3

local dir
before_each(function() dir = files.directory() end)
after_each(function() files.remove(dir) end)

-- A program given as shell text. It writes to stderr with `say`.
local function program(text, options)
  options = options or {}
  options.path = "/bin/sh"
  options.argv = { "sh", "-c", "say() { echo \"$@\" >&2; }; " .. text }
  return mtev.Proc:new(options)
end

describe("a life of redis-server", function()
  it("starts, becomes ready, answers, is watched, paused, resumed, and ends", function()
    local port = server.port()
    local p = server.redis(dir, port)
    local lines, watch = {}, p:logwatch("(accept|exit|bye)")
    assert.equal(p, p:loglisten(function(line) lines[#lines + 1] = line end))
    assert.equal(p, p:logwrite("redis.log"))
    assert.equal(-1, p:pid())
    assert.equal(p, p:start())
    assert.is_true(p:pid() > 0)
    assert.is_true(p:ready())
    assert.is_true(p:ready())
    assert.equal("+PONG", server.ask(port, "PING\r\n", "^(.-)\r\n"))
    assert.equal("R", state_of(p:pid()):gsub("S", "R"))

    assert.is_true(p:pause())
    while state_of(p:pid()) ~= "T" do mtev.sleep(0.001) end
    local answered = false
    mtev.coroutine_spawn(function() answered = server.ask(port, "PING\r\n", "^(.-)\r\n") end)
    mtev.sleep(0.05)
    assert.is_false(answered)
    assert.is_true(p:resume())
    while not answered do mtev.sleep(0.001) end
    assert.equal("+PONG", answered)

    assert.same({ false, nil, ETIMEDOUT }, { p:wait() })
    assert.same({ true, 0 }, { p:kill(60) }) -- redis ends in good order on SIGTERM
    assert.same({ true, 0 }, { p:wait() })
    assert.matches("Ready to accept connections", (watch:wait(60)))
    local last
    for line in function() return watch:wait(60) end do last = line end -- up to the end of its stderr
    assert.matches("bye bye", last)
    assert.equal(files.read(dir .. "/redis.log"), table.concat(lines))
    assert.same({ false, ESRCH }, { p:pause() })
  end)
end)

describe("a life of nginx", function()
  it("with its workers, ends in good order", function()
    local port = server.port()
    local p = server.nginx(dir, port):start()
    assert.is_true(p:ready())
    assert.equal("hello\n", server.ask(port, "GET / HTTP/1.0\r\n\r\n", "\r\n\r\n(.*)$"))
    assert.same({ true, 0 }, { p:kill(60) })
  end)

  it("leaves no worker behind when nobody holds it any more", function()
    local workers, is_ready, is_done = {}, false, false
    mtev.coroutine_spawn(function() -- on a stack of its own: no forgotten register of ours keeps the Proc
      local p = server.nginx(dir, server.port())
      p:loglisten(function(line)
        local pid = line:match("start worker process (%d+)")
        if pid then workers[#workers + 1] = tonumber(pid) end
      end)
      is_ready = p:start():ready()
      while #workers < 2 do mtev.sleep(0.001) end
      is_done = true -- ready() may return after the listener has heard all
    end)
    while not is_done do mtev.sleep(0.001) end
    assert.is_true(is_ready)
    process.settle()
    for _, pid in ipairs(workers) do await_death(pid) end
  end)
end)

describe("Proc:new", function()
  it("has the documented defaults", function()
    local p = mtev.Proc:new { path = "/bin/true" }
    assert.equal(mtev.getcwd(), p.dir)
    assert.equal("ready", p.boot_match)
    assert.equal(5, p.boot_timeout)
    assert.same({ "/bin/true" }, p.argv)
    assert.is_nil(p.proc)
    assert.equal(0, select("#", p:kill()))
    assert.same({ nil }, { p:wait() })
    assert.equal(0, select("#", p:pause()))
    assert.equal(0, select("#", p:resume()))
    assert.is_false(p:ready())
  end)

  it("takes an environment and a directory", function()
    local p = program("say ready $A; pwd >&2", { env = { A = "1", PATH = ENV.PATH }, dir = dir })
    local watch = p:logwatch(".")
    assert.is_true(p:start():ready())
    assert.equal("ready 1\n", watch:wait(60))
    assert.equal(dir .. "\n", watch:wait(60))
  end)

  it("finds a relative path where the script is, not where the program will be", function()
    assert(os.execute("ln -s /bin/sh " .. dir .. "/shell") == 0)
    local output = process.run([[
      local p = mtev.Proc:new { path = "./shell", argv = { "sh", "-c", "pwd >&2; echo ready >&2" }, dir = "/" }
      local w = p:logwatch(".")
      p:start()
      print(p:ready(), w:wait(60))]], { before = "cd " .. dir .. ";" })
    assert.equal("true\t/\n\n", output)
  end)

  it("raises for misuse", function()
    local function raises(text, f, ...)
      local arguments = { n = select("#", ...), ... }
      assert.error_matches(function() f(unpack(arguments, 1, arguments.n)) end, text, 1, true)
    end
    local new = mtev.Proc.new
    raises("path not set", new, mtev.Proc, {})
    raises("bad argument #1 to 'new' (table expected, got nil)", new, mtev.Proc)
    raises("bad option 'argv' to 'new' (table expected, got string)", new, mtev.Proc, { path = "x", argv = "y" })
    raises("bad option 'boot_timeout' to 'new' (number expected, got string)", new, mtev.Proc, { path = "x", boot_timeout = "y" })
    raises("bad option 'stdout'", new, mtev.Proc, { path = "x", stdout = "file:x" })
    -- A pattern is read only as far as it matches.
    local argv = { "sh", "-c", "echo ready >&2; exec sleep 60" }
    local late = mtev.Proc:new { path = "/bin/sh", argv = argv, boot_match = "read%" }
    late:start()
    assert.is_false(late:ready())
    late:kill(9)
    raises("malformed pattern boot_match '%'", new, mtev.Proc, { path = "x", boot_match = "%" })
    local p = new(mtev.Proc, { path = "/bin/true" })
    raises("calling 'start' on bad self (mtev.Proc expected, got table)", p.start, {})
    raises("bad argument #1 to 'loglisten' (function expected, got nil)", p.loglisten, p)
    raises("bad argument #1 to 'loglog' (string expected, got nil)", p.loglog, p)
    raises("bad argument #1 to 'logwrite' (string expected, got nil)", p.logwrite, p)
    raises("bad argument #1 to 'logwatch' (string or function expected, got nil)", p.logwatch, p)
    raises("bad argument #2 to 'logwatch' (number expected, got table)", p.logwatch, p, "x", {})
    raises("missing closing parenthesis", p.logwatch, p, "(")
    raises("bad argument #1 to 'kill' (number expected, got table)", p.kill, p, {})
  end)
end)

describe("Proc:start", function()
  it("works once", function()
    local p = program("exit 3"):start()
    assert.error_matches(function() p:start() end, "can't start already started proc", 1, true)
    assert.same({ true, 3 }, { p:wait(60) })
  end)

  it("raises when the program cannot be started, and says why", function()
    local p = mtev.Proc:new { path = "/no/such/server" }
    assert.error_matches(function() p:start() end, "Could not start process: /no/such/server: No such file or directory", 1, true)
    assert.error_matches(function() mtev.Proc:new({ path = "/tmp" }):start() end, "Could not start process: /tmp: Permission denied", 1, true)
    assert.equal(-1, p:pid())
  end)

  -- Changing the directory and executing the program give one errno: it is the directory that must be named.
  it("names the directory that it cannot work in", function()
    local function fails(dir, why)
      local message = ("Could not start process: %s: %s"):format(dir, why)
      assert.error_matches(function() mtev.Proc:new({ path = "/bin/true", dir = dir }):start() end, message, 1, true)
    end
    fails("/does/not/exist", "No such file or directory")
    fails("/dev/null", "Not a directory")
    local message = "Could not start process: /no/such/server: No such file or directory"
    local p = mtev.Proc:new { path = "/no/such/server", dir = "/tmp" }
    assert.error_matches(function() p:start() end, message, 1, true)
    assert.same({ 2, "/does/not/exist: No such file or directory" },
      { select(2, mtev.spawn("true", nil, nil, { dir = "/does/not/exist" })) })
  end)

  it("gives stdout to a log stream or a function, if told so", function()
    local lines = {}
    local p = program("echo one; echo two; printf three", { stdout = function(line) lines[#lines + 1] = line end }):start()
    assert.same({ true, 0 }, { p:wait(60) })
    while #lines < 3 do mtev.sleep(0.001) end
    assert.same({ "one\n", "two\n", "three" }, lines)
    local output = process.run([[
      local p = mtev.Proc:new { path = "echo", argv = { "echo", "said" }, stdout = "log:error" }
      p:start():wait(60)]])
    assert.equal("said\n", output)
  end)
end)

describe("Proc:ready", function()
  it("finds a boot line that comes in pieces", function()
    local p = program("printf 'now re' >&2; sleep 0.05; printf 'ady' >&2; sleep 0.05; say ' to serve'; exec sleep 60",
      { boot_match = "^now ready to serve\n$" }):start()
    assert.is_true(p:ready())
    assert.same({ true, 15 }, { p:kill() })
  end)

  it("remembers a boot line that came before it was asked", function()
    local p = program("say ready; say more; exec sleep 60"):start()
    local watch = p:logwatch("more")
    assert.equal("more\n", watch:wait(60))
    assert.is_true(p:ready())
    p:kill()
  end)

  it("says false for a process that dies before it is ready", function()
    local p = program("say starting; exit 1"):start()
    assert.is_false(p:ready())
    assert.is_false(p:ready())
    assert.equal(-1, p:pid())
    assert.is_nil((p:wait()))
  end)

  it("kills a process that does not become ready in time", function()
    local p = program("say starting; exec sleep 60", { boot_timeout = 0.1 }):start()
    local pid = p:pid()
    assert.is_false(p:ready())
    await_death(pid)
    assert.equal(-1, p:pid())
  end)

  it("serves several coroutines", function()
    local p = program("sleep 0.05; say ready; exec sleep 60"):start()
    local got = {}
    for i = 1, 3 do mtev.coroutine_spawn(function() got[i] = p:ready() end) end
    assert.is_true(p:ready())
    mtev.sleep(0)
    assert.same({ true, true, true }, got)
    p:kill()
  end)

  it("can be cancelled", function()
    local p = program("read x; exec sleep 60"):start()
    local before = counts()
    local co = mtev.coroutine_spawn(function() p:ready() end)
    mtev.cancel_coro(co)
    assert.same(before, counts())
    p:kill()
  end)
end)

describe("Proc:kill", function()
  it("is patient with SIGTERM, and then not", function()
    local p = program("trap '' TERM; say ready; while :; do sleep 0.05; done"):start()
    assert.is_true(p:ready())
    assert.same({ true, 9 }, { p:kill(0.2) })
    assert.same({ false, 9 }, { p:wait() })
    assert.same({ true, 9 }, { p:kill() }) -- it has exited already
  end)

  it("gives the exit code of one that ends by itself on SIGTERM", function()
    local p = program("trap 'exit 7' TERM; say ready; while :; do sleep 0.01; done"):start()
    assert.is_true(p:ready())
    assert.same({ true, 7 }, { p:kill(60) })
  end)
end)

describe("Proc:pause", function()
  it("really stops a counter, and resume lets it go on", function()
    local p = program("say ready; i=0; while :; do i=$((i+1)); say $i; sleep 0.005; done"):start()
    local last = 0
    p:loglisten(function(line) last = tonumber(line) or last end)
    assert.is_true(p:ready())
    while last < 5 do mtev.sleep(0.001) end
    assert.is_true(p:pause())
    -- T, or D: the shell waits for a child that was stopped between vfork and exec.
    while not ("TD"):find(state_of(p:pid()), 1, true) do mtev.sleep(0.001) end
    mtev.sleep(0.05) -- what was in the pipe
    local stopped = last
    mtev.sleep(0.1)
    assert.equal(stopped, last)
    assert.is_true(p:resume())
    while last <= stopped do mtev.sleep(0.001) end
    p:kill()
  end)
end)

describe("listeners", function()
  it("get each line, in the order in which they came, from before or after the start", function()
    local p = program("say one; sleep 0.05; say two; printf three >&2")
    local order = {}
    p:loglisten(function(line) order[#order + 1] = "a:" .. line end)
    p:start()
    os.execute("sleep 0.02") -- the first line is there; nobody has had time to read it
    p:loglisten(function(line)
      mtev.sleep(0.01) -- a listener may block: lines wait
      order[#order + 1] = "b:" .. line
    end)
    while #order < 6 do mtev.sleep(0.001) end
    assert.same({ "a:one\n", "b:one\n", "a:two\n", "b:two\n", "a:three", "b:three" }, order)
  end)

  it("that fail are reported once and dropped; the others go on", function()
    local output = process.run([[
      local p = mtev.Proc:new { path = "/bin/sh", argv = { "sh", "-c", "echo 1 >&2; echo 2 >&2" } }
      p:loglisten(function() error("oh") end)
      p:loglisten(function(line) io.write("got ", line) end)
      p:start():wait(60)]], { after = "2>&1" })
    assert.matches("^mtev.Proc: a listener to the standard error of /bin/sh failed and is not called again: [^\n]*:2: oh\ngot 1\ngot 2\n$", output)
  end)

  it("take lines of any length, in pieces of a megabyte", function()
    local p = program("head -c 2500000 /dev/zero | tr '\\0' x >&2; say; say end")
    local sizes = {}
    p:loglisten(function(line) sizes[#sizes + 1] = #line end)
    p:start()
    while sizes[#sizes] ~= 4 do mtev.sleep(0.001) end
    local total = 0
    for i = 1, #sizes - 1 do
      assert.is_true(sizes[i] <= 1048576)
      total = total + sizes[i]
    end
    assert.equal(2500001, total)
  end)

  it("may be log streams, with a prefix that is no format", function()
    local output = process.run([[
      local p = mtev.Proc:new { path = "/bin/sh", argv = { "sh", "-c", "echo '100%s' >&2" } }
      assert(p:loglog("error", "%d> ") == p and p:loglog("error") == p)
      p:start():wait(60)]], { after = "2>&1" })
    assert.equal("%d> 100%s\n100%s\n", output)
  end)

  it("may be files, relative to dir", function()
    local p = program("say one; say two", { dir = dir })
    assert.equal(p, p:logwrite("out.log"):logwrite(dir .. "/absolute.log"))
    assert.equal("", files.read(dir .. "/out.log")) -- there at once
    local descriptors = process.descriptors()
    local watch = p:logwatch("two")
    p:start()
    assert.equal("two\n", watch:wait(60))
    assert.is_nil(watch:wait(60)) -- its stderr has ended
    assert.equal("one\ntwo\n", files.read(dir .. "/out.log"))
    assert.equal("one\ntwo\n", files.read(dir .. "/absolute.log"))
    assert.same({ true, 0 }, { p:wait(60) })
    assert.equal(descriptors - 2, process.descriptors())
  end)

  it("on a full disk or in a missing directory say so, and the process goes on", function()
    local p = program("say ready; read x; say more; exec sleep 60", { dir = dir })
    assert.error_matches(function() p:logwrite("no/such.log") end, "Could not open: " .. dir .. "/no/such.log: No such file or directory", 1, true)
    local output = process.run([[
      local p = mtev.Proc:new { path = "/bin/sh", argv = { "sh", "-c", "echo ready >&2; echo more >&2; exec sleep 60" } }
      p:logwrite("/dev/full")
      local watch = p:logwatch("more")
      p:start()
      print(p:ready(), watch:wait(60))
      print(p:kill())]], { after = "2>&1" })
    assert.equal("mtev.Proc: a listener to the standard error of /bin/sh failed and is not called again: " ..
      "cannot write /dev/full: No space left on device\ntrue\tmore\n\ntrue\t15\n", output)
  end)
end)

describe("mtev.LogWatch", function()
  it("queues matching lines: expressions, functions, limits", function()
    local p = program("for i in 1 2 3 4 5 6; do say line $i; done; say end")
    local first = p:logwatch("line (\\d)", 2)
    local even = p:logwatch(function(line)
      local n = tonumber(line:match("%d"))
      return n and n % 2 == 0
    end)
    local all, the_end = p:logwatch("^line"), p:logwatch("end")
    p:start()
    assert.equal("end\n", the_end:wait(60))
    local function drain(watch)
      local digits = ""
      for line in function() return watch:wait() end do digits = digits .. line:match("%d") end
      return digits
    end
    assert.equal("12", drain(first))
    assert.equal("246", drain(even))
    assert.equal("123456", drain(all))
    assert.is_nil(all:wait())
    assert.is_nil(all:wait(60)) -- nothing will come: no reason to wait
  end)

  it("waits as long as it is told, for every waiter one line", function()
    local p = program("read x <&0; sleep 0.05; say a; say b; exec sleep 60")
    local watch = p:logwatch(".")
    assert.is_nil(watch:wait(0.01))
    assert.is_nil(watch:wait(0))
    p:start()
    local got = {}
    for i = 1, 2 do mtev.coroutine_spawn(function() got[i] = watch:wait(60) end) end
    while #got < 2 do mtev.sleep(0.001) end
    assert.same({ "a\n", "b\n" }, got)
    p:kill()
    assert.is_nil(watch:wait())
  end)

  it("loses no line to a waiter that is cancelled", function()
    local p = program("say a; exec sleep 60")
    local watch = p:logwatch("a")
    local other
    local co = mtev.coroutine_spawn(function() watch:wait() end)
    mtev.coroutine_spawn(function() other = watch:wait(60) end)
    p:start()
    mtev.cancel_coro(co)
    while not other do mtev.sleep(0.001) end
    assert.equal("a\n", other)
    p:kill()
  end)

  it("stops, for good", function()
    local p = program("say a; say b; say end; exec sleep 60")
    local watch, the_end = p:logwatch("[ab]"), p:logwatch("end")
    p:start()
    assert.equal("end\n", the_end:wait(60))
    assert.equal(0, select("#", watch:stop()))
    watch:stop()
    assert.is_nil(watch:wait(0))
    p:kill()
    assert.error_matches(function() watch.wait({}) end, "calling 'wait' on bad self (mtev.LogWatch expected, got table)", 1, true)
    assert.error_matches(function() watch.stop() end, "calling 'stop' on bad self", 1, true)
    assert.error_matches(function() watch:wait("soon") end, "bad argument #1 to 'wait' (number expected, got string)", 1, true)
  end)
end)

describe("a Proc that nobody holds", function()
  it("ends its process, however many listeners it had", function()
    local before, descriptors = process.settle()
    local pid
    mtev.coroutine_spawn(function() -- on a stack of its own: no forgotten register of ours keeps the Proc
      local p = program("say ready; exec sleep 60", { dir = dir, stdout = function() end })
      p:loglog("debug"):logwrite("x.log"):loglisten(function() end)
      p:logwatch("x")
      assert.is_true(p:start():ready())
      pid = p:pid()
    end)
    while not pid do mtev.sleep(0.001) end
    process.expect_left(before, descriptors)
    await_death(pid)
  end)
end)
