-- mtev.spawn, mtev.process, the W* functions. Runs a second time on a kernel without pidfd (test/support/no_pidfd.c).

local files = require("test.support.files")
local process = require("test.support.process")
local counts = require("mtev.debug").counts
local settle, expect_left, state_of, await_death = process.settle, process.expect_left, process.state, process.await_death

local ENOENT, ESRCH, EACCES, ETIMEDOUT = 2, 3, 13, 110
local is_slow = os.getenv("LHOTSE_SLOW_BUILD")
local TERM, KILL, STOP, CONT = 15, 9, 19, 18

-- Runs a shell command; its process object, with what it prints, once it has closed its output.
local function shell(command, env, options)
  local proc, in_e, out_e, err_e = mtev.spawn("/bin/sh", { "sh", "-c", command }, env, options)
  local out = {}
  while true do
    local data = out_e:read(65536)
    if not data then break end
    out[#out + 1] = data
  end
  in_e:close()
  out_e:close()
  err_e:close()
  return table.concat(out), proc
end

local function is_alive(pid)
  return os.execute(("kill -0 %d 2>/dev/null"):format(pid)) == 0
end

local function zombies()
  local list = process.sh(("cat /proc/[0-9]*/stat 2>/dev/null | awk '$3 == \"Z\" && $4 == %d' | wc -l"):format(process.pid))
  return tonumber(list)
end

describe("the kernel", function()
  it("reports exits through a pidfd, or SIGCHLD where there is none", function()
    local proc = mtev.spawn("sleep", { "sleep", "60" })
    local names = process.sh(("ls -l /proc/%d/fd"):format(process.pid))
    if os.getenv("NO_PIDFD") then
      assert.is_nil(names:find("pidfd", 1, true))
    else
      assert.truthy(names:find("pidfd", 1, true))
    end
    assert.is_true(proc:kill(KILL))
    assert.equal(KILL, proc:wait(60))
  end)
end)

describe("mtev.spawn", function()
  it("gives the process and its three streams", function()
    local proc, in_e, out_e, err_e = mtev.spawn("/bin/cat", { "cat" })
    assert.equal("mtev.process: " .. proc:pid() .. " running", tostring(proc))
    assert.equal(6, in_e:write("hello\n"))
    assert.equal("hello\n", out_e:read("\n"))
    assert.equal(0, in_e:close())
    assert.is_nil(out_e:read("\n"))
    assert.is_nil(err_e:read("\n"))
    assert.equal(0, proc:wait(60))
    assert.equal("mtev.process: " .. proc:pid() .. " exited with 0", tostring(proc))
  end)

  it("searches PATH, and passes arguments as they are", function()
    local _, in_e, out_e = mtev.spawn("printf", { "a name", "<%s>", "two words", "", "ü", 7 })
    assert.equal("<two words><><ü><7>", out_e:read(100))
    in_e:close()
  end)

  it("passes {path} when there are no arguments, and our environment when there is none", function()
    local _, _, out_e = mtev.spawn("env")
    assert.equal(ENV.PATH, ("\n" .. out_e:read(1e6)):match("\nPATH=(%C*)"))
  end)

  it("takes an environment of entries, of keys, of both", function()
    local function env_of(env)
      local _, _, out_e = mtev.spawn("/usr/bin/env", { "env" }, env)
      local lines = {}
      for line in (out_e:read(1e6) or ""):gmatch("%C+") do lines[#lines + 1] = line end
      table.sort(lines)
      return lines
    end
    assert.same({}, env_of({}))
    assert.same({ "A=1", "B=x=y" }, env_of({ "A=1", "B=x=y" }))
    assert.same({ "A=1", "B=two words" }, env_of({ A = 1, B = "two words" }))
    assert.same({ "A=1", "B=2" }, env_of({ "A=1", B = 2 }))
  end)

  it("reads what is written, without loss, in both directions at once", function()
    local proc, in_e, out_e = mtev.spawn("cat")
    local data = ("\0\n\255x"):rep(500000)
    mtev.coroutine_spawn(function()
      local e = in_e:own()
      e:write(data)
    end) -- its end closes the child's stdin
    local got = out_e:read(3e6)
    assert.is_true(got == data)
    assert.equal(0, proc:wait(60))
  end)

  it("says EPIPE to who writes to a child that has gone", function()
    local proc, in_e = mtev.spawn("true")
    assert.equal(0, proc:wait(60))
    assert.same({ -1, "Broken pipe", 0 }, { in_e:write("x") })
  end)

  it("gives eventers that are no sockets", function()
    local proc, in_e, out_e, err_e = mtev.spawn("cat")
    assert.equal("mtev.eventer: pipe", tostring(in_e))
    assert.equal(5, in_e:send("hello"))
    assert.same({ 5, "hello" }, { out_e:recv(100) })
    assert.equal(-1, (out_e:bind("127.0.0.1", 0)))
    assert.equal(-1, (out_e:connect("127.0.0.1", 1)))
    assert.equal(-1, (out_e:listen(1)))
    assert.is_nil((out_e:sock_name()))
    assert.same({ nil, "timeout" }, { err_e:read("\n", { timeout = 0.01 }) })
    proc:kill()
  end)

  it("starts in a directory, with /dev/null or our streams, if told so", function()
    local dir = files.directory()
    assert.equal(dir .. "\n", (shell("pwd", nil, { dir = dir })))
    files.remove(dir)
    local proc, in_e, out_e, err_e = mtev.spawn("cat", { "cat" }, nil, { stdin = "null", stdout = "null", stderr = "inherit" })
    assert.same({ nil, nil, nil }, { in_e, out_e, err_e })
    assert.equal(0, proc:wait(60))
    assert.error_matches(function() mtev.spawn("x", {}, {}, { cwd = "/" }) end, "bad argument #4 to 'spawn' (unknown option 'cwd')", 1, true)
    assert.error_matches(function() mtev.spawn("x", {}, {}, { stdin = "x" }) end, "stdin must be 'pipe', 'null' or 'inherit'", 1, true)
  end)

  describe("of a program that cannot be started", function()
    local dir
    setup(function() dir = files.directory() end)
    teardown(function() files.remove(dir) end)

    local function expect(path, errno, code)
      local proc, second, third = mtev.spawn(path)
      assert.equal(errno, second)
      assert.is_nil(third)
      assert.equal(-1, proc:pid())
      assert.same({ code * 256 }, { proc:wait() })
      assert.equal(code, mtev.WEXITSTATUS((proc:wait(1))))
      assert.same({ false, ESRCH }, { proc:kill() })
      assert.same({ false, ESRCH }, { proc:pgkill() })
      assert.equal("mtev.process: not started", tostring(proc))
      -- A shell agrees.
      local status = os.execute(("exec 2>/dev/null; '%s'"):format(path))
      assert.equal(code, math.floor(status / 256))
    end

    it("gives 127: there is none", function()
      expect("/no/such/program", ENOENT, 127)
      expect("no-such-program-anywhere", ENOENT, 127)
      expect(files.write(dir .. "/x", "") .. "/y", 20, 127)
    end)

    it("gives 126: it is not executable, or a directory", function()
      expect(files.write(dir .. "/plain", "#!/bin/sh\n"), EACCES, 126)
      expect(dir, EACCES, 126)
    end)

    it("gives 127 for a bad interpreter, and 126 for what is no program at all", function()
      local bad = files.write(dir .. "/bad", "#!/no/such/interpreter\n")
      os.execute("chmod 755 " .. bad)
      expect(bad, ENOENT, 127)
      local garbage = files.write(dir .. "/garbage", "\127\69\0\0")
      os.execute("chmod 755 " .. garbage)
      local proc, errno = mtev.spawn(garbage)
      assert.equal(8, errno) -- ENOEXEC
      assert.equal(126 * 256, proc:wait())
    end)

    it("gives 126 for arguments that are too long, and leaves nothing open", function()
      local before, descriptors = settle()
      local proc, errno = mtev.spawn("true", { "true", ("x"):rep(10e6) })
      assert.equal(7, errno) -- E2BIG
      assert.equal(126 * 256, proc:wait())
      mtev.spawn("/no/such/program")
      expect_left(before, descriptors)
    end)

    it("raises for an environment that no program can be given", function()
      local function refused(env, message)
        for _, f in ipairs { mtev.spawn, mtev.exec } do
          assert.error_matches(function() f("true", nil, env) end, message, 1, true)
        end
      end
      refused({ [""] = "x" }, "environment: empty name")
      refused({ ["A=B"] = "c" }, "environment: '=' in the name 'A=B'")
      refused({ ["A\0B"] = "c" }, "string contains NUL")
      refused({ A = "b\0c" }, "string contains NUL")
      refused({ "A=1", "B" }, "environment: NAME=value expected at 2")
      refused({ "=1" }, "environment: NAME=value expected at 1")
      refused({ "A=1", [3] = "B=1" }, "environment: entries have the keys 1 to 1, not 3")
      refused({ [true] = "B=1" }, "environment: a name is a boolean")
      assert.equal("A=b=c\n", (select(2, mtev.exec("env", nil, { A = "b=c" }))))
      assert.equal("A=\n", (select(2, mtev.exec("env", nil, { "A=" }))))
    end)

    it("gives EMFILE without descriptors, leaves no child, and recovers", function()
      local output = process.run([[
        local held = {}
        while true do
          local fd = mtev.open("/dev/null", O_RDONLY)
          if fd < 0 then break end
          held[#held + 1] = fd
        end
        -- No pipes are needed here, only a pidfd: a child that could not be watched is killed at once.
        local null = { stdin = "null", stdout = "null", stderr = "null" }
        local proc, errno = mtev.spawn("sleep", { "sleep", "60" }, nil, null)
        assert(errno == (not ENV.NO_PIDFD and 24 or nil))
        for free = 0, 8 do
          local proc, errno = mtev.spawn("true")
          print(free, errno == 24 and proc:pid() == -1 and proc:wait() == 127 * 256 or proc:wait(60))
          proc, errno = nil, nil
          collectgarbage()
          mtev.close(table.remove(held))
        end]], { before = "ulimit -n 100;" })
      local expected = {} -- six ends of pipes; when the child's three are closed, the pidfd takes the place of one
      for free = 0, 8 do expected[#expected + 1] = free .. "\t" .. (free >= 6 and "0" or "true") end
      assert.equal(table.concat(expected, "\n") .. "\n", output)
    end)
  end)

  it("leaks nothing of ours into the child", function()
    local socket, file = mtev.socket("inet"), io.open("/dev/null")
    local fd = mtev.open("/dev/null", O_RDONLY)
    local other = mtev.spawn("sleep", { "sleep", "60" })
    assert.equal("0\n1\n2\n3\n", (shell("ls /proc/self/fd"))) -- 3 is ls's own
    local status = shell("cat /proc/self/status")
    assert.equal("0000000000000000", status:match("SigBlk:%s*(%x+)"))
    assert.equal("0000000000000000", status:match("SigIgn:%s*(%x+)")) -- we ignore SIGPIPE
    assert.equal(("0"):rep(16), (shell("grep SigBlk /proc/self/status"):match("(%x+)\n")))
    local pid, group = shell("exec ps -o pid=,pgid= -p $$"):match("(%d+)%s+(%d+)")
    assert.equal(pid, group)
    mtev.close(fd)
    file:close()
    socket:close()
    other:kill()
  end)

  it("raises for misuse", function()
    local function raises(text, ...)
      local arguments = { n = select("#", ...), ... }
      assert.error_matches(function() mtev.spawn(unpack(arguments, 1, arguments.n)) end, text, 1, true)
    end
    raises("bad argument #1 to 'spawn' (string expected, got nil)", nil)
    raises("bad argument #1 to 'spawn' (string contains NUL)", "a\0b")
    raises("spawn(path [,{args} [,{env}]])", "true", "x")
    raises("spawn(path [,{args} [,{env}]])", "true", {}, 7)
    raises("bad argument #2 to 'spawn' (arguments: string expected at 2, got table)", "true", { "true", {} })
    raises("bad argument #2 to 'spawn' (string contains NUL)", "true", { "tr\0ue" })
    raises("bad argument #3 to 'spawn' (environment: string expected at 1, got boolean)", "true", {}, { true })
    raises("bad argument #3 to 'spawn' (environment: string expected for 'A', got boolean)", "true", {}, { A = true })
    raises("bad argument #3 to 'spawn' (string contains NUL)", "true", {}, { A = "\0" })
  end)
end)

describe("process:wait", function()
  it("gives every exit status", function()
    local procs = {}
    for code = 0, 255 do procs[code] = mtev.spawn("/bin/sh", { "sh", "-c", "exit " .. code }, {}) end
    for code = 0, 255 do
      local status = procs[code]:wait(60)
      assert.is_true(mtev.WIFEXITED(status))
      assert.equal(code, mtev.WEXITSTATUS(status))
    end
  end)

  it("gives the signal that ended it, and whether there is a core", function()
    for _, signal in ipairs { 1, 2, 9, 10, 12, 13, 14, 15 } do
      local proc = mtev.spawn("sleep", { "sleep", "60" })
      assert.is_true(proc:kill(signal))
      local status = proc:wait(60)
      assert.is_true(mtev.WIFSIGNALED(status) and not mtev.WIFEXITED(status) and not mtev.WCOREDUMP(status))
      assert.equal(signal, mtev.WTERMSIG(status))
    end
    local dir = files.directory()
    local _, proc = shell("ulimit -c unlimited && kill -ABRT $$", nil, { dir = dir })
    local status = proc:wait(60)
    assert.equal(6, mtev.WTERMSIG(status))
    -- Whether a core is left is the system's choice: waitpid has told us the same as it told the shell, which prints it.
    local told = process.sh(("cd %s; ulimit -c unlimited; sh -c 'kill -ABRT $$'; true"):format(dir))
    assert.equal(told:find("core dumped", 1, true) ~= nil, mtev.WCOREDUMP(status))
    assert.equal("mtev.process: " .. proc:pid() .. " ended by signal 6 (SIGABRT)", tostring(proc))
    files.remove(dir)
  end)

  it("reports neither stops nor continues", function()
    local proc = mtev.spawn("sleep", { "sleep", "60" })
    assert.is_true(proc:kill(STOP))
    while state_of(proc:pid()) ~= "T" do mtev.sleep(0.001) end
    assert.same({ nil, ETIMEDOUT }, { proc:wait(0.02) })
    assert.is_true(proc:kill(CONT))
    while state_of(proc:pid()) == "T" do mtev.sleep(0.001) end
    assert.same({ nil, ETIMEDOUT }, { proc:wait() })
    assert.is_true(proc:kill(KILL))
    assert.equal(9, proc:wait(60))
  end)

  it("only looks without a timeout", function()
    local proc, in_e = mtev.spawn("cat")
    assert.same({ nil, ETIMEDOUT }, { proc:wait() })
    assert.same({ nil, ETIMEDOUT }, { proc:wait(0) })
    assert.same({ nil, ETIMEDOUT }, { proc:wait(-1) })
    assert.same({ nil, ETIMEDOUT }, { proc:wait(0.01) })
    in_e:close()
    local status
    repeat status = proc:wait() until status -- looking is enough, without going through the loop
    assert.equal(0, status)
    assert.equal(0, proc:wait(math.huge))
  end)

  it("serves several coroutines, and again", function()
    local proc, in_e = mtev.spawn("cat")
    local got = {}
    for i = 1, 3 do
      mtev.coroutine_spawn(function() got[i] = proc:wait(60) end)
    end
    mtev.sleep(0)
    in_e:close()
    assert.equal(0, proc:wait(math.huge))
    mtev.sleep(0)
    assert.same({ 0, 0, 0 }, got)
    assert.equal(0, proc:wait())
    assert.same({ false, ESRCH }, { proc:kill() })
    assert.same({ false, ESRCH }, { proc:kill(0) })
  end)

  it("wakes others when one of them looks", function()
    local proc, in_e = mtev.spawn("cat")
    local got
    mtev.coroutine_spawn(function() got = proc:wait(60) end)
    in_e:close()
    while not proc:wait() do end
    assert.is_nil(got)
    mtev.sleep(0)
    assert.equal(0, got)
  end)

  it("can be cancelled", function()
    local proc, in_e = mtev.spawn("cat")
    local co = mtev.coroutine_spawn(function() proc:wait(60) end)
    local timers = counts().timers
    mtev.cancel_coro(co)
    assert.equal(timers - 1, counts().timers)
    in_e:close()
    assert.equal(0, proc:wait(60))
  end)

  it("raises for misuse", function()
    local proc = mtev.spawn("true")
    assert.error_matches(function() proc.wait() end, "mtev.process expected", 1, true)
    assert.error_matches(function() proc:wait({}) end, "bad argument #1 to 'wait' (number expected, got table)", 1, true)
    assert.error_matches(function() proc:wait(0 / 0) end, "bad argument #1 to 'wait' (number is NaN)", 1, true)
    assert.error_matches(function() proc.kill({}) end, "calling 'kill' on bad self (mtev.process expected, got table)", 1, true)
    assert.is_nil(proc.other)
  end)
end)

describe("process:kill", function()
  it("sends TERM, or what it is told, by number or name", function()
    for _, case in ipairs { { nil, TERM }, { 9, 9 }, { "9", 9 }, { "INT", 2 }, { "SIGUSR1", 10 } } do
      local proc = mtev.spawn("sleep", { "sleep", "60" })
      assert.same({ true, nil, n = 2 }, { n = select("#", proc:kill(0)), proc:kill(case[1]) })
      assert.equal(case[2], mtev.WTERMSIG((proc:wait(60))))
    end
    local proc = mtev.spawn("sleep", { "sleep", "60" })
    assert.error_matches(function() proc:kill("NOSUCH") end, "bad argument #1 to 'kill' (unknown signal)", 1, true)
    assert.error_matches(function() proc:kill(-1) end, "bad argument #1 to 'kill'", 1, true)
    assert.error_matches(function() proc:kill({}) end, "bad argument #1 to 'kill'", 1, true)
    proc:kill(KILL)
  end)

  it("reaches the whole group, also after its leader has gone", function()
    local proc, _, out_e = mtev.spawn("sh", { "sh", "-c", "sleep 60 & echo $!; exit 0" })
    local pid = tonumber(out_e:read("\n"))
    assert.equal(0, proc:wait(60))
    assert.same({ false, ESRCH }, { proc:kill() })
    assert.is_true(is_alive(pid))
    assert.same({ true }, { proc:pgkill(TERM) })
    await_death(pid)
    while proc:pgkill(0) do mtev.sleep(0.001) end -- until its new parent has collected it
    assert.same({ false, ESRCH }, { proc:pgkill(TERM) })
  end)
end)

describe("a process that nobody holds", function()
  it("is killed with its group, and collected, without waiting for it", function()
    local before, descriptors = settle()
    local pids = {}
    for _ = 1, 20 do
      local proc, _, out_e = mtev.spawn("sh", { "sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait" })
      pids[#pids + 1] = proc:pid()
      pids[#pids + 1] = tonumber(out_e:read("\n"))
      out_e:close()
    end
    expect_left(before, descriptors)
    for _, pid in ipairs(pids) do
      await_death(pid)
    end
    assert.equal(0, zombies())
  end)

  it("is left to itself once it was waited for", function()
    local proc, _, out_e = mtev.spawn("sh", { "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!" })
    local pid = tonumber(out_e:read("\n"))
    assert.equal(0, proc:wait(60))
    proc = nil
    collectgarbage()
    collectgarbage()
    assert.is_true(is_alive(pid))
    os.execute("kill " .. pid)
  end)

  for how, ending in pairs {
    ["its end"] = "", ["os.exit"] = "os.exit(0)", ["an error"] = "error('x')",
    ["a running exec"] = "mtev.coroutine_spawn(function() mtev.exec('sleep', {'sleep', '61'}, nil, 90) end) os.exit(0)",
  } do
    it("ends with the program: by " .. how, function()
      local output = process.run([[
        proc = mtev.spawn("sleep", { "sleep", "60" })
        io.write(proc:pid(), "\n") io.flush()
        ]] .. ending)
      local pid = tonumber(output:match("^(%d+)"))
      await_death(pid)
    end)
  end

  it("is left alone when a signal ends the program", function()
    local output, status = process.run([[
      proc = mtev.spawn("sleep", { "sleep", "60" })
      io.write(proc:pid(), "\n") io.flush()
      ffi.cdef "int kill(int, int); int getpid(void);"
      ffi.C.kill(ffi.C.getpid(), 15)
      mtev.sleep(60)]])
    assert.equal(143, status)
    local pid = tonumber(output:match("^(%d+)"))
    assert.is_not_nil(state_of(pid))
    assert.not_equal("Z", state_of(pid))
    os.execute("kill " .. pid)
  end)
end)

describe("many children", function()
  it("one after another leave nothing behind", function()
    local before, descriptors = settle()
    local count = is_slow and 500 or 5000
    for _ = 1, count do
      local proc, in_e, out_e, err_e = mtev.spawn("/bin/true")
      in_e:close()
      out_e:close()
      err_e:close()
      assert.equal(0, proc:wait(60))
    end
    assert.equal(0, zombies())
    expect_left(before, descriptors)
  end)

  it("at once, each with its own status", function()
    local before, descriptors = settle()
    local right = 0
    local count = is_slow and 100 or 1000
    local left = count
    for i = 1, count do
      mtev.coroutine_spawn(function()
        local code = i % 256
        local proc, in_e, out_e, err_e = mtev.spawn("/bin/sh", { "sh", "-c", "read x; exit " .. code }, {})
        mtev.sleep(0) -- they all live at the same time
        in_e:write("go\n")
        in_e:close()
        if mtev.WEXITSTATUS((proc:wait(120))) == code and proc:wait() == code * 256 then right = right + 1 end
        out_e:close()
        err_e:close()
        left = left - 1
      end)
    end
    while left > 0 do mtev.sleep(0.01) end
    assert.equal(count, right)
    assert.equal(0, zombies())
    expect_left(before, descriptors)
  end)

  it("are collected without being waited for", function()
    settle()
    local procs = {}
    for i = 1, 50 do procs[i] = mtev.spawn("true") end
    while counts().children > 0 do mtev.sleep(0.001) end
    assert.equal(0, zombies())
    for i = 1, 50 do assert.equal(0, procs[i]:wait()) end
  end)

  it("belong to the thread that started them", function()
    local output = process.run([[
      local _, index = mtev.thread_self()
      for round = 1, 50 do
        local procs = {}
        for i = 1, 4 do procs[i] = mtev.spawn("sh", { "sh", "-c", "exit " .. (index * 10 + i) }, {}) end
        for i = 1, 4 do assert(mtev.WEXITSTATUS((procs[i]:wait(60))) == index * 10 + i) end
      end
      print("right")]], { options = "-n 4" })
    assert.equal(("right\n"):rep(4), output)
  end)
end)

describe("the W functions", function()
  it("are those of wait(2)", function()
    local function all(status)
      return {
        mtev.WIFEXITED(status), mtev.WEXITSTATUS(status), mtev.WIFSIGNALED(status), mtev.WTERMSIG(status),
        mtev.WCOREDUMP(status), mtev.WIFSTOPPED(status), mtev.WSTOPSIG(status), mtev.WIFCONTINUED(status),
      }
    end
    assert.same({ true, 0, false, 0, false, false, 0, false }, all(0))
    assert.same({ true, 1, false, 0, false, false, 1, false }, all(256))
    assert.same({ true, 127, false, 0, false, false, 127, false }, all(32512))
    assert.same({ true, 255, false, 0, false, false, 255, false }, all(255 * 256))
    assert.same({ false, 0, true, 9, false, false, 0, false }, all(9))
    assert.same({ false, 0, true, 6, true, false, 0, false }, all(0x86))
    assert.same({ false, 19, false, 0x7f, false, true, 19, false }, all(0x137f))
    assert.is_true(mtev.WIFCONTINUED(0xffff))
    assert.is_false(mtev.WIFSIGNALED(0xffff))
    assert.equal(3, mtev.WEXITSTATUS("768"))
  end)

  it("raise for what is no status", function()
    for _, name in ipairs { "WIFEXITED", "WEXITSTATUS", "WIFSIGNALED", "WTERMSIG", "WCOREDUMP", "WIFSTOPPED", "WSTOPSIG", "WIFCONTINUED" } do
      for _, bad in ipairs { "x", 1.5, {}, 0 / 0, math.huge, false } do
        assert.error_matches(function() mtev[name](bad) end, "bad argument #1 to '" .. name .. "'", 1, true)
      end
      assert.error_matches(function() mtev[name](nil) end, "bad argument #1 to '" .. name .. "' (integer status expected, got nil)", 1, true)
    end
  end)
end)
