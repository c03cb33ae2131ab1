-- How the program runs a script: arguments, entry function, modules, errors, end, exit status. Each case is a process.

local process = require("test.support.process")
local run, sh, quote = process.run, process.sh, process.quote

local function expect(output, status, script, options)
  local got, code = run(script, options)
  assert.equal(output, got)
  assert.equal(status, code)
end

-- The output of a script that fails; its name is replaced by FILE.
local function failing(script, options)
  local output, status, name = run(script, options)
  return output:gsub(name:gsub("%W", "%%%0"), "FILE"), status
end

describe("arguments", function()
  it("arrive as ... and arg, in the chunk and in main", function()
    expect("a\tb c\nx\ta\tb c\nmain\ta\tb c\n", 0, [[
      print(...)
      assert(arg[0]:match("x$"))
      print("x", arg[1], arg[2])
      function main(...) print("main", ...) end]], { name = "x", arguments = "a 'b c'" })
  end)

  it("after the script's name belong to the script", function()
    expect("-d\t--keep-going\n", 0, "print(...)", { arguments = "-d --keep-going" })
  end)
end)

describe("globals", function()
  it("are those of the contract", function()
    expect("ok\n", 0, [[
      assert(type(mtev) == "table" and type(ENV) == "table" and type(arg) == "table")
      assert(ENV.PATH == os.getenv("PATH") and ENV.LONG == ("x"):rep(5000))
      ENV.NEW = "1" assert(os.getenv("NEW") == nil)
      assert(print == mtev.print)
      assert(O_RDONLY == 0 and O_WRONLY == 1 and O_CREAT + O_EXCL + O_TRUNC > 0 and S_IFREG == 0x8000)
      assert(MTEV_HOOK_CONTINUE == 0 and MTEV_HOOK_DONE == 1 and MTEV_HOOK_ABORT == 2)
      assert(ffi == require("ffi") and bit and jit and module and setfenv and loadstring and unpack)
      local ok, err = pcall(function() errorf("no %d", 7) end)
      assert(err:match(":%d+: no 7$"))
      assert(select(2, pcall(printf, "%d", "x")) == "bad argument #2 to 'printf' (number expected, got string)")
      assert(select(2, pcall(errorf)) == "bad argument #1 to 'errorf' (string expected, got no value)")
      printf("%s", "ok")]], { before = "LONG=$(printf '%5000s' | tr ' ' x)" })
  end)
end)

describe("the entry function", function()
  it("is main of the table that the chunk returned, of its module, or the global one", function()
    expect("returned\n", 0, "function main() print('global') end return { main = function() print('returned') end }")
    expect("module\n", 0, "module(..., package.seeall) function main() print('module') end")
    expect("global\n", 0, "function main() print('global') end")
    expect("", 0, "local x = 1")
  end)

  it("has another name with -e, which must exist then", function()
    expect("other\n", 0, "function other() print('other') end function main() print('main') end", { options = "-e other" })
    local output, status = run("function main() end", { options = "-e other" })
    assert.matches("^lhotse: no function other in ", output)
    assert.equal(1, status)
  end)

  it("gives the exit status by an integer from 0 to 255", function()
    expect("", 7, "function main() return 7 end")
    expect("", 7, "function main() mtev.sleep(0.01) return 7 end")
    expect("", 0, "function main() return 'x' end")
    expect("", 0, "function main() return 1.5 end")
    expect("", 0, "function main() return 256 end")
  end)

  it("may block, as the file's top level may", function()
    expect("1\n2\n", 0, "mtev.sleep(0.001) print(1) function main() mtev.sleep(0.001) print(2) end")
  end)
end)

describe("module(...)", function()
  local script = [[
    module(..., package.seeall)
    assert(_NAME == "thing" and _M._M == _M)
    function main(...) print(_NAME, ...) end]]

  it("in the script's chunk takes the file's name, whatever the arguments are", function()
    expect("thing\n", 0, script, { name = "thing.lua" })
    expect("thing\ta\tb\n", 0, script, { name = "thing.lua", arguments = "a b" })
    expect("thing\tstring\n", 0, script, { name = "thing.lua", arguments = "string" })
  end)

  it("does not write into a standard library of the same name", function()
    expect("3\n", 0, "module(..., package.seeall) function len() return 'spoilt' end function main() print(('abc'):len()) end",
      { name = "string.lua" })
  end)

  it("elsewhere is LuaJIT's", function()
    local dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. dir)
    local file = io.open(dir .. "/other.lua", "w")
    file:write("module('other', package.seeall) function f() return _NAME end")
    file:close()
    expect("other\n", 0, "print(require('other').f())", { options = "-L " .. quote(dir .. "/?.lua") })
    expect("other\n", 0, "print(require('other').f())", { options = "-L +" .. quote(dir .. "/?.lua") })
    os.execute("rm -r " .. dir)
  end)
end)

describe("require", function()
  it("runs module bodies that block, once", function()
    local file = process.write_file("mtev.sleep(0.001) count = (count or 0) + 1 return { n = count }")
    expect("1\t1\n", 0, ("local a, b = require(%q), require(%q) print(a.n, b.n)"):format(file, file))
    os.remove(file)
  end)

  it("finds modules beside the script", function()
    local output = sh(("d=$(mktemp -d); echo 'return 5' >$d/five.lua; echo 'print(require(\"five\"))' >$d/s.lua; " ..
      "%s $d/s.lua; rm -r $d"):format(process.lhotse))
    assert.equal("5\n", output)
  end)

  it("says where it looked, and notices loops", function()
    local output, status = failing("require('no.such.module')")
    assert.matches("module 'no.such.module' not found:", output)
    assert.matches("no file '.*no/such/module.lua'", output)
    assert.equal(1, status)
    expect("ok\n", 0, [[
      package.preload.a = function() return require("b") end
      package.preload.b = function() return require("a") end
      local ok, err = pcall(require, "a")
      assert(err:match("loop or previous error loading module 'a'"))
      assert(not pcall(require, {}))
      print("ok")]])
  end)
end)

describe("errors", function()
  it("are shown whole, also behind a NUL", function()
    local output, status = failing("error('first\\0second')")
    assert.equal(1, status)
    assert.equal("lhotse: FILE:1: first\0second\n", output:match("^[^\n]*\n"))
    output = failing("error(setmetatable({}, { __tostring = function() return 'a\\0b' end }))")
    assert.equal("lhotse: a\0b\n", output:match("^[^\n]*\n"))
    output = run("mtev.coroutine_spawn(function() mtev.sleep(0) error('c\\0d', 0) end) mtev.sleep(0.1)", { options = "--keep-going" })
    assert.equal("lhotse: c\0d\n", output:match("^[^\n]*\n"))
  end)

  it("in the file: one line, exit 1", function()
    local output, status = failing("x = = 1")
    assert.equal("lhotse: FILE:1: unexpected symbol near '='\n", output)
    assert.equal(1, status)
    output, status = sh(process.lhotse .. " /no/such/file.lua")
    assert.equal("lhotse: cannot open /no/such/file.lua\n", (output:gsub(": No such.*\n", "\n")))
    assert.equal(1, status)
  end)

  it("uncaught in main: message, traceback, exit 1; nothing runs afterwards", function()
    local output, status = failing([[
      mtev.coroutine_spawn(function() mtev.sleep(0) print("must not run") end)
      local function inner() error("boom") end
      function main() inner() end]])
    assert.matches("^lhotse: FILE:2: boom\nstack traceback:\n", output)
    assert.matches("FILE:2: in function 'inner'", output)
    assert.is_nil(output:find("must not run"))
    assert.equal(1, status)
  end)

  it("uncaught in a spawned coroutine: where it was spawned, too", function()
    local output, status = failing("\nmtev.coroutine_spawn(function() mtev.sleep(0.001) error('late') end)\nmtev.sleep(5)")
    assert.matches("^lhotse: FILE:2: late\n", output)
    assert.matches("spawned at FILE:2", output)
    assert.equal(1, status)
  end)

  it("before the first block do not reach the spawner", function()
    local output, status = failing("pcall(mtev.coroutine_spawn, function() error('x') end) print('not here')",
      { options = "--keep-going" })
    assert.matches("^lhotse: FILE:1: x\n.*not here\n$", output)
    assert.equal(0, status)
  end)

  -- What closes a connection before it passes an error on has lost the stack where it happened by then.
  it("show where in a function of the script's, which the library called", function()
    local server = [[
      local listener = mtev.socket("inet")
      listener:bind("127.0.0.1", 0)
      listener:listen(5)
      local _, port = listener:sock_name()
      mtev.coroutine_spawn(function()
        local e = listener:own():accept()
        e:read("\r\n\r\n")
        e:write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        mtev.waitfor("never")
      end)
      local function deep() local nothing = nil; return nothing.field end
      local function consume() local piece = deep() return piece end
      ]]
    for _, client in ipairs {
      [[local c = require("mtev.HttpClient"):new { consume = consume }
        c:connect("127.0.0.1", port)
        c:do_request("GET", "/")
        c:get_response()]],
      [[mtev.Api:http("127.0.0.1", port):get("/", nil, nil, { consume = consume })]],
      [[local c = require("mtev.HttpClient"):new { consume = function() coroutine.wrap(consume)() end }
        c:connect("127.0.0.1", port)
        c:do_request("GET", "/")
        c:get_response()]],
    } do
      local output, status = failing(server .. client)
      assert.matches("^lhotse: [^\n]*FILE:11: attempt to index", output)
      assert.matches(": in function 'deep'.*FILE:12: .*: in main chunk", output)
      assert.equal(1, status)
    end
  end)

  it("show nested coroutines", function()
    local output = failing([[
      local function deep() error("at the bottom") end
      local function middle() coroutine.wrap(deep)() end
      coroutine.wrap(middle)()]])
    assert.matches("at the bottom", output)
    assert.matches("FILE:1: in function <FILE:1>.*coroutine resumed by.*FILE:2: in function <FILE:2>", output)
    assert.matches("FILE:3: in main chunk", output)
  end)

  it("with values that are no strings are shown by tostring", function()
    assert.matches("^lhotse: my error\n",
      (failing("error(setmetatable({}, { __tostring = function() return 'my error' end }))")))
    assert.matches("^lhotse: table: 0x", (failing("error({})")))
    assert.matches("^lhotse: nil\n", (failing("error(nil)")))
    assert.matches("^lhotse: %(error object cannot be shown%)\n",
      (failing("error(setmetatable({}, { __tostring = function() error('again') end }))")))
  end)

  it("with --keep-going end only their coroutine, and close what it owned", function()
    local output, status = failing([[
      local e
      mtev.coroutine_spawn(function() e = mtev.socket("inet") mtev.sleep(0.001) error("one") end)
      mtev.coroutine_spawn(function() mtev.sleep(0.005) print("two", e) end)]], { options = "--keep-going" })
    assert.matches("FILE:2: one", output)
    assert.matches("two\tmtev.eventer: closed\n$", output)
    assert.equal(0, status)
  end)

  it("uncaught in a finalizer: reported there, whatever was running", function()
    local output, status = failing([[
      getmetatable(newproxy(true)).__gc = function() error("in __gc") end
      while true do mtev.sleep(0.00001) end]])
    assert.matches("^lhotse: FILE:1: in __gc\nstack traceback:\n", output)
    assert.equal(1, status)
    output, status = failing([[
      ffi.cdef "typedef struct { int number; } finalized"
      ffi.metatype("finalized", { __gc = function(object) error("metatype " .. object.number) end })({ 5 })
      ffi.gc(ffi.new("int[1]", 7), function(object) error("gc " .. object[0]) end)
      local proxy = newproxy(true)
      getmetatable(proxy).__index, getmetatable(proxy).__gc = { number = 6 }, function(p)
        mtev.sleep(0.001 * p.number)
        print("waited")
      end
      proxy = nil
      collectgarbage()
      print("goes on")]], { options = "--keep-going" })
    assert.matches("FILE:2: metatype 5\n", output, 1, true)
    assert.matches("FILE:3: gc 7\n", output, 1, true)
    assert.matches("goes on\n", output, 1, true)
    assert.matches("waited\n", output, 1, true) -- a finalizer is a coroutine: it may wait
    assert.equal(0, status)
  end)

  it("name the functions of the API in tracebacks", function()
    local output = failing("mtev.coroutine_spawn(function() mtev.sleep({}) end)")
    assert.matches("bad argument #1 to 'sleep' %(number expected, got table%)", output)
    assert.matches("%[built%-in%]: in function 'mtev.sleep'", output)
    assert.is_nil(output:find("mtev/coroutine.lua", 1, true))
  end)

  it("by the script's own yield outside its own coroutines", function()
    local output, status = failing("coroutine.yield()")
    assert.matches("attempt to yield from outside a coroutine", output)
    assert.equal(1, status)
  end)
end)

describe("the end", function()
  -- A supervisor may start programs with 0, 1 and 2 closed: the script's first file must not become its standard error.
  it("leaves the files of a program alone that was started without standard descriptors", function()
    for _, closed in ipairs { "<&- >&- 2>&-", "2>&-", "<&-", ">&- 2>&-" } do
      local name = os.tmpname()
      run([[
        local f = io.open(arg[1], "w")
        f:write("precious\n")
        f:flush()
        mtev.log("error", "a line\n")
        io.stderr:write("a line\n")
        print("a line")
        local fd = mtev.open("/dev/null", O_RDONLY)
        f:write(tostring(fd > 2), "\n")
        mtev.exec("true")]], { arguments = name, after = closed })
      local file = io.open(name)
      assert.equal("precious\ntrue\n", file:read("*a"))
      file:close()
      os.remove(name)
    end
  end)

  it("comes by itself when nothing can wake any more", function()
    expect("bye\n", 0, [[
      mtev.notify("queued", 1)
      local e = mtev.socket("inet")
      mtev.coroutine_spawn(function() mtev.sleep(0.01) print("bye") end)]])
  end)

  it("does not come while somebody listens", function()
    local output, status = run([[
      local e = mtev.socket("inet") e:bind("127.0.0.1", 0) e:listen()
      mtev.coroutine_spawn(function() local l = e:own() l:accept() end)]], { before = "timeout -s KILL 0.3" })
    assert.equal(137, status, output)
  end)

  it("with coroutines that wait for nobody is a deadlock, with their tracebacks", function()
    local output, status = failing([[
      mtev.coroutine_spawn(function() mtev.waitfor("a") mtev.notify("b") end)
      mtev.coroutine_spawn(function() mtev.semaphore("s", 0):acquire() end)
      mtev.waitfor("b")]])
    assert.matches("^lhotse: deadlock: every coroutine is waiting and nothing can wake one\n", output)
    assert.matches("is waiting in mtev.waitfor\nstack traceback:\n.*FILE:1", output)
    assert.matches("is waiting in semaphore:acquire\nstack traceback:\n.*FILE:2", output)
    assert.equal(1, status)
  end)

  it("is noticed across threads, also the deadlock", function()
    expect("", 0, "mtev.sleep(0.005)", { options = "-n 4" })
    local output, status = run("mtev.shared_waitfor('nobody')", { options = "-n 3" })
    assert.equal(1, status)
    assert.equal(3, select(2, output:gsub("is waiting in mtev.shared_waitfor", "")))
  end)

  it("by os.exit is immediate, from anywhere, with what was printed", function()
    expect("before\n", 3, [[
      mtev.coroutine_spawn(function() mtev.sleep(3600) end)
      io.write("before\n")
      coroutine.wrap(function() os.exit(3) end)()]])
    expect("", 0, "os.exit()")
    expect("", 0, "os.exit(true)")
    expect("", 1, "os.exit(false)")
    expect("", 4, "mtev.coroutine_spawn(function() mtev.sleep(0.001) os.exit(4) end)")
    expect("", 5, "local _, i = mtev.thread_self() if i == 1 then os.exit(5) end mtev.sleep(3600)", { options = "-n 2" })
    assert.matches("bad argument #1 to 'exit'", (failing("os.exit({})")))
  end)

  it("runs finalizers", function()
    expect("finalized\n", 0, "p = newproxy(true) getmetatable(p).__gc = function() print('finalized') end")
  end)
end)

describe("signals", function()
  local function signalled(signal, script, options)
    -- In the foreground, or timeout signals the process and then its group: a second signal, which ends at once.
    local before = ("timeout --foreground -s %s --preserve-status -k 5 0.3 env"):format(signal)
    return run(script, { before = before, options = options })
  end

  it("TERM, INT, QUIT stop in order: logs are flushed, exit 128 + n", function()
    for signal, number in pairs { TERM = 15, INT = 2, QUIT = 3 } do
      local output, status = signalled(signal, "print('started') mtev.sleep(3600)")
      assert.equal("started\n", output)
      assert.equal(128 + number, status)
    end
    local _, status = signalled("TERM", "mtev.sleep(3600)", "-n 3")
    assert.equal(143, status)
  end)

  it("HUP and PIPE do not stop", function()
    expect("alive\n", 0, [[
      local ffi = require("ffi")
      ffi.cdef "int kill(int, int); int getpid(void);"
      ffi.C.kill(ffi.C.getpid(), 1)
      ffi.C.kill(ffi.C.getpid(), 13)
      mtev.sleep(0.01)
      print("alive")]])
  end)

  it("a second one ends at once, even in a busy loop", function()
    local output, status = run([[
      local ffi = require("ffi")
      ffi.cdef "int kill(int, int); int getpid(void);"
      ffi.C.kill(ffi.C.getpid(), 15)
      ffi.C.kill(ffi.C.getpid(), 2)
      while true do end]])
    assert.equal("", output)
    assert.equal(130, status)
  end)

  -- Only a turn of the loop takes a signal. After a second without one, what runs is stopped: in compiled code by LuaJIT's
  -- profiler, since it calls no hooks there.
  describe("end a program whose loop does not turn", function()
    local function stopped(script, options) -- `stop` sends the signal
      local output, status = run([[
        local ffi = require("ffi")
        ffi.cdef "int kill(int, int); int getpid(void);"
        local function stop() ffi.C.kill(ffi.C.getpid(), 15) end ]] .. script, { options = options })
      assert.equal(143, status)
      return output
    end

    it("in a loop, compiled or not, and say where it was", function()
      for _, off in ipairs { "", "jit.off()" } do
        local output = stopped(off .. [[
          local function busy() local x = 0 while true do x = x + 1 end end
          stop()
          busy()]])
        assert.matches("ended by SIGTERM while this was running:\ncoroutine 0x%x+ is running\n", output)
        assert.matches("in function 'busy'", output)
      end
    end)

    it("in a coroutine of the script's, in any thread", function()
      assert.matches("while this was running", stopped([[
        local _, thread = mtev.thread_self()
        if thread == 1 then coroutine.wrap(function() stop() while true do end end)() end
        mtev.sleep(3600)]], "-n 2"))
    end)

    it("in a C function, in a function of mtev.on_stop", function()
      assert.matches("while a loop was stuck", stopped([[stop() string.find(("a"):rep(40), ("a*"):rep(40) .. "b")]]))
      assert.matches("while a loop was stuck", stopped("mtev.on_stop(function() while true do end end) stop() mtev.sleep(3600)"))
    end)

    it("while the script profiles", function()
      assert.matches("while this was running", stopped([[
        require("jit.profile").start("fi10", function() end)
        stop()
        while true do end]]))
    end)
  end)
end)

describe("jit.profile", function()
  it("says which argument of start is wrong", function()
    local profile = require("jit.profile")
    assert.error_matches(function() profile.start({}, print) end,
      "^bad argument #1 to 'start' %(string expected, got table%)")
    assert.error_matches(function() profile.start("f", 5) end,
      "^bad argument #2 to 'start' %(function expected, got number%)")
    profile.start("f", function() end) -- nothing was begun
    profile.stop()
  end)

  it("samples the CPU time of its own thread", function()
    local script = [[
      local profile = require("jit.profile")
      local _, thread = mtev.thread_self()
      local samples, is_busy = 0, thread == BUSY
      local function count(_, n) samples = samples + n end
      if thread == 0 then profile.start("fi5", count) end
      if is_busy then
        local t = os.clock()
        while samples < 5 and os.clock() - t < (thread == 0 and 30 or 0.3) do for _ = 1, 1000 do end end
      else
        mtev.sleep(0.3)
      end
      if thread == 0 then
        profile.stop()
        print(samples >= 5)
      end]]
    expect("true\n", 0, (script:gsub("BUSY", "0")))
    expect("false\n", 0, (script:gsub("BUSY", "1")), { options = "-n 2" })
  end)
end)

describe("dofile", function()
  it("runs a file that may wait, and gives what it returns", function()
    local name = process.write_file("mtev.sleep(0.001) return 7, ...")
    expect("7\n", 0, ("print(dofile(%q))"):format(name))
    os.remove(name)
    expect("false\tcannot open\n", 0, [[local ok, e = pcall(dofile, "/nowhere/x") print(ok, e:match("^cannot open"))]])
  end)
end)

describe("the command line", function()
  it("shows usage and version", function()
    local output, status = sh(process.lhotse .. " -h")
    assert.matches("^usage: lhotse", output)
    assert.equal(0, status)
    output, status = sh(process.lhotse .. " -v")
    assert.matches("^lhotse %d+%.%d+%.%d+\n$", output)
    assert.equal(0, status)
  end)

  it("refuses wrong options with usage and exit 2", function()
    for options, message in pairs {
      ["--bogus"] = "unknown option %-%-bogus", ["-n"] = "option %-n needs a value", ["-n x f"] = "a number from 0 to",
      ["-n -1 f"] = "a number from 0 to", ["test"] = "test: no path given", ["test --timeout 0 x"] = "seconds expected",
    } do
      local output, status = sh(process.lhotse .. " " .. options .. " </dev/null")
      assert.matches("^lhotse: .*" .. message, output)
      assert.matches("\nusage: ", output)
      assert.equal(2, status)
    end
  end)

  it("refuses what is not built yet in words", function()
    for _, option in ipairs { "-i" } do
      local output, status = sh(process.lhotse .. " " .. option .. " x.lua")
      assert.matches("is not built yet", output)
      assert.equal(2, status)
    end
  end)

  it("reads a script from standard input", function()
    assert.equal("hi\n", (sh("echo 'print(\"hi\")' | " .. process.lhotse)))
    assert.equal("a\n", (sh("echo 'print(...)' | " .. process.lhotse .. " - a")))
  end)

  it("skips a first line that starts with #", function()
    expect("ok\n", 0, "#!/usr/bin/env lhotse\nprint('ok')")
  end)

  it("enables logs with -l and -d", function()
    local script = "mtev.log('debug/x', 'debug x\\n') mtev.log('quiet/x', 'never\\n')"
    expect("", 0, script)
    expect("debug x\n", 0, script, { options = "-d" })
    expect("debug x\n", 0, script, { options = "-l debug" })
  end)

  it("runs as many threads as -n says, one per core for 0", function()
    expect("x\nx\nx\n", 0, "print('x')", { options = "-n 3" })
    local cores = tonumber((sh("nproc")))
    expect(cores .. "\n", 0, "local _, i = mtev.thread_self() if i == 0 then print(mtev.eventer_loop_concurrency()) end",
      { options = "--threads 0" })
  end)
end)

describe("as luamtev", function()
  local function luamtev(script, options)
    options = options or {}
    options.program = process.luamtev
    options.before = options.before or "timeout -s TERM --preserve-status 0.5 env"
    return run(script, options)
  end

  it("follows libmtev: arg[1] is the script, the chunk gets its module name, main gets nothing", function()
    local output, status = luamtev([[
      module(..., package.seeall)
      function main(...)
        print(select("#", ...), arg[0], arg[1]:match("[^/]*$"), arg[2], _NAME:match("[^/]*$"))
        os.exit(0)
      end]], { name = "script.lua", arguments = "x" })
    assert.equal("0\tnil\tscript.lua\tx\tscript.lua\n", output)
    assert.equal(0, status)
  end)

  it("keeps running after main returned, until a signal", function()
    local _, status = luamtev("module(..., package.seeall) function main() end")
    assert.equal(143, status)
  end)

  it("exits 255 for an uncaught error, a missing entry, a file that does not load", function()
    local output, status = luamtev("module(..., package.seeall) function main() error('x') end")
    assert.matches("^luamtev: .*x\n", output)
    assert.equal(255, status)
    output, status = luamtev("function main() end")
    assert.matches("no function main in the script's module", output)
    assert.equal(255, status)
    assert.equal(255, select(2, luamtev("= 1")))
  end)
end)

describe("a crash", function()
  it("in C writes what was logged, and where all coroutines are, before the signal does its work", function()
    if process.is_sanitized then return print("  not run: under a sanitizer a crash is the sanitizer's") end
    local output, status = process.run([[
      mtev.coroutine_spawn(function() mtev.sleep(1000) end)
      local function poke() require("ffi").cast("int *", 8)[0] = 1 end
      print("printed") mtev.log("error", "logged\n")
      poke()]], { name = "crash.lua" })
    assert.equal(139, status) -- the shell's 128 + SIGSEGV
    assert.matches("^printed\nlogged\n.*crash, signal 11, thread default/0.*crash.lua:2:.*is waiting in mtev.sleep.*C stack:", output)
  end)
end)

describe("a script that makes more and more", function()
  for what, make in pairs {
    ["coroutines"] = "keep[n] = mtev.coroutine_spawn(function() mtev.sleep(1000) end)",
    ["file operations"] = "mtev.coroutine_spawn(pcall, mtev.stat, '/')",
    ["messages that wait"] = "mtev.notify('k' .. n, n)",
    ["messages to other threads"] = "mtev.shared_notify('k' .. n, n)",
    ["semaphores"] = "mtev.semaphore('k' .. n)",
    ["expressions"] = "keep[n] = mtev.pcre('a' .. n)",
  } do
    it("gets the error when there is no memory for " .. what .. ", and goes on without them", function()
      if process.is_sanitized then return print("  not run: a sanitizer needs all the address space there is") end
      local output, status = process.run([[
        local keep, n, spare = {}, 0, ("x"):rep(2 ^ 20) -- messages and such stay: only this gives room again
        local ok, message = pcall(function()
          while true do
            n = n + 1
            ]] .. make .. [[

          end
        end)
        keep, spare = nil, nil
        local left = 1000
        repeat -- what was begun ends, and holds memory until then
          left = left - 1
          local is_well = pcall(collectgarbage) and pcall(mtev.sleep, 0.01) and pcall(print, ok, message:match("not enough memory"))
        until is_well or left == 0
        os.exit(0)]], { before = "ulimit -v 150000;" })
      assert.same({ "false\tnot enough memory\n", 0 }, { output, status })
    end)
  end
end)

-- Describing an error takes memory, and there may be none. A failure to describe it must not unwind into the code that
-- spawned the coroutine.
describe("an uncaught error when memory is full", function()
  for where, call in pairs { ["in a first run"] = "spawn(fail)", ["after a wait"] = "spawn(function() mtev.sleep(0.001) fail() end)" } do
    it("is reported, and never reaches the spawner: " .. where, function()
      if process.is_sanitized then return print("  not run: a sanitizer needs all the address space there is") end
      local output, status = process.run([[
        local l, c, s
        local spawn, create, proxy, fill = mtev.coroutine_spawn, coroutine.create, newproxy
        local fills = {
          function() while true do c = { c, create(fill) } end end,
          function() while true do l = { l } end end,
          function() local i = 0 while true do i = i + 1 s = { s, i .. "x" } end end,
          function() while true do local k = c c = function() return k end end end,
        }
        local function fail()
          for i = 1, #fills do pcall(fills[i]) end
          pcall(fills[4])
          error("some error", 0)
        end
        local ok, reached = pcall(function() ]] .. call .. [[ end)
        mtev.log("error", "the spawner got %s %s\n", ok, reached)
        mtev.sleep(10)]], { before = "ulimit -v 200000;" })
      assert.matches("lhotse: some error\n", output)
      assert.equal(1, status)
      assert.is_nil(output:match("the spawner got false"))
    end)
  end
end)

describe("mtev.on_stop", function()
  local function start(script, options)
    local argv = { "lhotse" }
    for word in (options or ""):gmatch("%S+") do argv[#argv + 1] = word end
    argv[#argv + 1] = process.write_file(script)
    local child, _, out = mtev.spawn(process.lhotse, argv, nil, { stderr = "inherit" })
    assert.equal("ready\n", out:read("\n"))
    return child, out, argv[#argv]
  end

  it("runs functions before a signal ends the program, each in a coroutine that may block", function()
    local child, out, name = start([[
      for i = 1, 3 do mtev.on_stop(function() mtev.sleep(0.05 * i) print("done " .. i) end) end
      mtev.on_stop(function() print("never") end)()
      print("ready") io.flush()
      mtev.sleep(1e6)]])
    child:kill(15)
    assert.equal("done 1\n", out:read("\n"))
    assert.equal("done 2\n", out:read("\n"))
    assert.equal("done 3\n", out:read("\n"))
    assert.equal(143, mtev.WEXITSTATUS((child:wait(60))))
    assert.is_nil((out:read("\n")))
    os.remove(name)
  end)

  it("does so in every thread", function()
    local child, out, name = start([[
      local _, i = mtev.thread_self()
      mtev.on_stop(function() mtev.sleep(0.01 * i) print("thread " .. i) end)
      mtev.shared_notify("here", i)
      if i == 0 then for _ = 1, 3 do mtev.shared_waitfor("here") end print("ready") end
      mtev.sleep(1e6)]], "-n 3")
    child:kill(2)
    local lines = {}
    for i = 1, 3 do lines[i] = out:read("\n") end
    table.sort(lines)
    assert.same({ "thread 0\n", "thread 1\n", "thread 2\n" }, lines)
    assert.equal(130, mtev.WEXITSTATUS((child:wait(60))))
    os.remove(name)
  end)

  it("waits for them no more than four seconds, and not at all after a second signal", function()
    local child, _, name = start('mtev.on_stop(function() mtev.sleep(1e6) end) print("ready") mtev.sleep(1e6)')
    local started = mtev.time()
    child:kill(15)
    assert.equal(143, mtev.WEXITSTATUS((child:wait(60))))
    assert.is_true(mtev.time() - started >= 3.9)
    os.remove(name)
    child, _, name = start('mtev.on_stop(function() print("asked") mtev.sleep(1e6) end) print("ready") mtev.sleep(1e6)')
    child:kill(15)
    mtev.sleep(0.1)
    child:kill(15)
    assert.equal(143, mtev.WEXITSTATUS((child:wait(60))))
    os.remove(name)
  end)

  it("is what coroutines may wait for", function()
    local child, out, name = start([[
      mtev.on_stop(function() mtev.notify("stop") mtev.waitfor("stopped") end)
      print("ready") io.flush()
      mtev.waitfor("stop") print("stopping") mtev.notify("stopped")]])
    child:kill(15)
    assert.equal("stopping\n", out:read("\n"))
    assert.equal(143, mtev.WEXITSTATUS((child:wait(60))))
    os.remove(name)
  end)

  it("that waits for what cannot come is no deadlock", function()
    local child, out, name = start('mtev.on_stop(function() print("asked") mtev.waitfor("nobody") end) print("ready") mtev.waitfor("nobody either")')
    child:kill(15)
    assert.equal("asked\n", out:read("\n"))
    assert.equal(143, mtev.WEXITSTATUS((child:wait(60))))
    os.remove(name)
  end)

  it("takes functions only", function()
    assert.error_matches(function() mtev.on_stop("x") end, "bad argument #1 to 'on_stop' %(function expected, got string%)")
  end)
end)
