-- mtev.exec and mtev.sh. Runs a second time on a kernel without pidfd (test/support/no_pidfd.c).

local process = require("test.support.process")
local settle, expect_left = process.settle, process.expect_left

local is_slow = os.getenv("LHOTSE_SLOW_BUILD")

local function sh(command, timeout, options)
  return mtev.exec("/bin/sh", { "sh", "-c", command }, nil, timeout, options)
end

describe("mtev.exec", function()
  it("gives status, stdout, stderr", function()
    assert.same({ 768, "out\n", "err\n" }, { sh("echo out; echo err >&2; exit 3") })
    assert.same({ 0, "", "" }, { mtev.exec("true") })
    assert.same({ 9, "", "" }, { sh("kill -9 $$") })
  end)

  it("gives bytes as they are, and the child nothing to read", function()
    assert.same({ 0, "a\0b\255", "" }, { mtev.exec("printf", { "printf", "a\\000b\\377" }) })
    assert.same({ 0, "", "" }, { mtev.exec("cat") })
  end)

  it("takes our environment, or another, as array or table", function()
    assert.equal(ENV.PATH .. "\n", (select(2, sh("echo $PATH"))))
    assert.equal("1 2\n", (select(2, mtev.exec("sh", { "sh", "-c", "echo $A $B" }, { "A=1", B = 2 }))))
    assert.same({ 0, "", "" }, { mtev.exec("/usr/bin/env", { "env" }, {}) })
  end)

  it("says like a shell that a program cannot be started", function()
    assert.same({ 32512, "", "exec: /no/such: No such file or directory" }, { mtev.exec("/no/such") })
    assert.same({ 32256, "", "exec: /tmp: Permission denied" }, { mtev.exec("/tmp") })
  end)

  it("comes back complete from 200 MB on both streams at once", function()
    local size = is_slow and 20e6 or 200e6
    local before, descriptors = settle()
    local started, cpu = mtev.time(), process.cpu()
    local status, out, err = sh(("head -c %d /dev/zero & head -c %d /dev/zero | tr '\\0' x >&2; wait"):format(size, size), 110, { limit = math.huge })
    local took, used = mtev.time() - started, process.cpu() - cpu
    assert.equal(0, status)
    assert.equal(size, #out)
    assert.equal(size, #err)
    assert.is_true(out:find("[^%z]") == nil and err:find("[^x]") == nil)
    print(("  exec: %d MB on each stream in %.1f s, %.1f s of our CPU"):format(size / 1e6, took, used))
    out, err = nil, nil
    expect_left(before, descriptors)
  end)

  it("leaves others their time meanwhile", function()
    local ticks, done = 0, false
    mtev.coroutine_spawn(function()
      while not done do
        mtev.sleep(0.001)
        ticks = ticks + 1
      end
    end)
    assert.equal(0, (sh("sleep 0.2; head -c 20000000 /dev/zero; sleep 0.2", nil, { limit = 20000000 })))
    done = true
    assert.is_true(ticks > 20)
  end)

  -- A program that prints without end would take all memory before its time is up.
  it("keeps no more of an output than the limit, and ends the program then", function()
    local before, descriptors = settle()
    assert.same({ nil, "12345", "", "limit" }, { sh("printf 123456; sleep 60", 60, { limit = 5 }) })
    assert.same({ nil, "", "12345", "limit" }, { sh("printf 123456 >&2; sleep 60", 60, { limit = 5 }) })
    assert.same({ 0, "12345", "12345" }, { sh("printf 12345; printf 12345 >&2", 60, { limit = 5 }) })
    assert.same({ 0, "", "" }, { sh("exit 0", 60, { limit = 0 }) })
    local status, out, err, why = mtev.sh("yes", 60, "/bin/sh")
    assert.same({ nil, 16 * 1024 * 1024, "", "limit" }, { status, #out, err, why })
    assert.equal("limit", (select(4, mtev.sh("yes", 60, "/bin/sh", { limit = 10 }))))
    for _, case in ipairs { { 5, "table expected, got number" }, { { limit = "x" }, "bad option 'limit'" }, { { limit = -1 }, "bad option 'limit'" },
      { { limit = 0 / 0 }, "bad option 'limit'" }, { { most = 1 }, "unknown option 'most' to 'exec'" },
      { { limt = 1 }, "unknown option 'limt' to 'exec' (did you mean 'limit'?)" } } do
      assert.error_matches(function() mtev.exec("true", nil, nil, nil, case[1]) end, case[2], 1, true)
    end
    out = nil
    expect_left(before, descriptors)
  end)

  describe("whose time is up", function()
    it("ends the command and gives what it has said so far", function()
      local before, descriptors = settle()
      local started = mtev.time()
      assert.same({ nil, "so far\n", "and here\n" }, { sh("echo so far; echo and here >&2; sleep 10; echo never", 0.3) })
      assert.is_true(mtev.time() - started >= 0.3)
      assert.is_true(mtev.time() - started < 8) -- far below the ten seconds it would have taken
      expect_left(before, descriptors)
    end)

    it("kills a command that ignores SIGTERM, three seconds later", function()
      local before, descriptors = settle()
      local started = mtev.time()
      local status, out, err = sh("trap '' TERM; echo so far; while :; do sleep 0.1; done", 0.3)
      assert.same({ nil, "so far\n", "" }, { status, out, err })
      assert.is_true(mtev.time() - started >= 3.3)
      expect_left(before, descriptors)
    end)

    it("gives the last words of a command that ends on SIGTERM", function()
      local status, out = sh("trap 'echo farewell; exit 0' TERM; echo hello; while :; do sleep 0.01; done", 0.3)
      assert.same({ nil, "hello\nfarewell\n" }, { status, out })
    end)

    it("does not wait for a grandchild that keeps the pipe open, nor end it", function()
      local started = mtev.time()
      local status, out, err = sh("echo out; sleep 30 & echo $! >&2; exit 4", 0.5)
      assert.same({ 4 * 256, "out\n" }, { status, out })
      assert.is_true(mtev.time() - started < 20)
      assert.equal(0, os.execute("kill -0 " .. err:match("%d+"))) -- it is not ours to end
      os.execute("kill " .. err:match("%d+"))
    end)

    it("ends what the command has started", function()
      local _, out = sh("sleep 61 & echo $!; wait", 0.2)
      local pid = out:match("%d+")
      while os.execute(("grep -qs 'State:.[^Z]' /proc/%s/status"):format(pid)) == 0 do mtev.sleep(0.001) end
    end)

    it("is up at once with 0", function()
      local status = sh("exec sleep 60", 0)
      assert.is_nil(status)
    end)

    it("is up after five seconds if nothing else is said", function()
      local status, out = sh("echo x; exec sleep 60")
      assert.same({ nil, "x\n" }, { status, out })
    end)
  end)

  it("ends with its coroutine, in every phase", function()
    local before, descriptors = settle()
    for _, wait in ipairs { 0, 0.05, 0.3 } do
      local co = mtev.coroutine_spawn(function()
        sh("trap '' TERM; echo x; sleep 60 & wait; wait", 0.1)
      end)
      mtev.sleep(wait)
      mtev.cancel_coro(co)
    end
    expect_left(before, descriptors)
  end)

  it("can be asked many times at once", function()
    local before, descriptors = settle()
    local count = is_slow and 50 or 200
    local right, left = 0, count
    for i = 1, count do
      mtev.coroutine_spawn(function()
        local status, out = mtev.exec("/bin/sh", { "sh", "-c", "echo " .. i .. "; exit " .. i % 256 }, {}, 100)
        if status == i % 256 * 256 and out == i .. "\n" then right = right + 1 end
        left = left - 1
      end)
    end
    while left > 0 do mtev.sleep(0.01) end
    assert.equal(count, right)
    expect_left(before, descriptors)
  end)

  it("raises for misuse", function()
    assert.error_matches(function() mtev.exec(nil) end, "bad argument #1 to 'exec' (string expected, got nil)", 1, true)
    assert.error_matches(function() mtev.exec("true", 1) end, "exec(path [,{args} [,{env} [,timeout]]])", 1, true)
    assert.error_matches(function() mtev.exec("true", {}, {}, "soon") end, "bad argument #4 to 'exec' (number expected, got string)", 1, true)
    local ok, message = pcall(table.sort, { 1, 2, 3 }, function() mtev.exec("true") end)
    assert.is_false(ok)
    assert.matches("attempt to yield across C-call boundary (mtev.exec)", message, 1, true)
  end)
end)

describe("a child that does not read", function()
  it("blocks only who writes to it", function()
    local before, descriptors = settle()
    local proc, in_e, out_e, err_e = mtev.spawn("sleep", { "sleep", "60" })
    local result
    mtev.coroutine_spawn(function()
      local e = in_e:own()
      result = { e:write(("x"):rep(10e6)) }
    end)
    for _ = 1, 20 do assert.equal(0, (mtev.exec("true"))) end
    assert.is_nil(result)
    proc:kill("KILL")
    assert.equal(9, proc:wait(60))
    while not result do mtev.sleep(0.001) end
    assert.equal(-1, result[1])
    assert.equal("Broken pipe", result[2])
    out_e:close()
    err_e:close()
    proc = nil
    expect_left(before, descriptors)
  end)
end)

describe("mtev.sh", function()
  it("runs a command in a shell, as long as it takes, with the environment of ENV", function()
    assert.same({ 7 * 256, "", "" }, { mtev.sh("exit 7") })
    assert.same({ 0, "1\n", "" }, { mtev.sh("seq 3 | head -n 1", nil, "/bin/sh") })
    ENV.SPECIAL = "x"
    assert.equal("x\n", (select(2, mtev.sh("echo $SPECIAL"))))
    ENV.SPECIAL = nil
    assert.is_nil((mtev.sh("exec sleep 60", 0.1)))
  end)

  it("takes the shell of ENV.SHELL", function()
    local saved = ENV.SHELL
    ENV.SHELL = "/no/shell"
    assert.same({ 32512, "", "exec: /no/shell: No such file or directory" }, { mtev.sh("true") })
    ENV.SHELL = nil
    assert.equal("/bin/sh\n", (select(2, mtev.sh("readlink -f /bin/sh >/dev/null; echo $0")):gsub("^sh", "/bin/sh")))
    ENV.SHELL = saved
  end)

  it("raises for misuse", function()
    assert.error_matches(function() mtev.sh() end, "bad argument #1 to 'sh' (string expected, got nil)", 1, true)
    assert.error_matches(function() mtev.sh("true", {}) end, "bad argument #2 to 'sh' (number expected, got table)", 1, true)
    assert.error_matches(function() mtev.sh("true", 1, {}) end, "bad argument #3 to 'sh' (string expected, got table)", 1, true)
    assert.error_matches(function() mtev.sh("a\0b") end, "string contains NUL", 1, true)
  end)
end)
