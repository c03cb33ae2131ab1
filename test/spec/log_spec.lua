-- mtev.log, mtev.print and the streams.

local process = require("test.support.process")

local function expect(output, script, options)
  local got, status = process.run(script, options)
  assert.equal(output, got)
  assert.equal(0, status)
end

describe("mtev.log", function()
  it("formats, writes, and returns the bytes of the message", function()
    expect("n 7 x\n6\n", "print(mtev.log('error', 'n %d %s\\n', 7, 'x'))", { options = "" })
  end)

  it("takes any value for %s and %q by tostring", function()
    expect("nil true 1.5\n", "mtev.log('error', '%s %s %s\\n', nil, true, 1.5)")
  end)

  it("adds no newline, and keeps NUL bytes", function()
    expect("ab\0c\n", "mtev.log('error', 'a') mtev.log('error', 'b\\0c\\n')")
  end)

  it("passes along the hierarchy: error/x/y goes to error", function()
    expect("deep\nnotice\n", "mtev.log('error/x/y', 'deep\\n') mtev.log('notice', 'notice\\n')")
  end)

  it("passes along names of any depth that a name may have", function()
    expect("deep\n5\n0\nfalse\ndeep\n5\n", [[
      local name = "error" .. ("/x"):rep(497)
      print(mtev.log(name, "deep\n"))
      mtev.enable_log("error/x", false)
      print(mtev.log(name, "deep\n"))
      print(mtev.log_enabled(name .. "/"))
      mtev.enable_log("error/x")
      print(mtev.log(name, "deep\n"))]])
    assert.is_true(mtev.log_enabled("error" .. ("/"):rep(995)))
  end)

  it("to an unknown top-level stream vanishes", function()
    expect("0\n", "print(mtev.log('nowhere', 'x\\n'))")
  end)

  it("to a disabled stream returns 0 and does not touch format or arguments", function()
    assert.equal(0, mtev.log("debug", "%d", setmetatable({}, { __tostring = function() error("called") end })))
    assert.equal(0, mtev.log("debug", "%d %"))
  end)

  it("raises for a bad format, naming log and its own arguments", function()
    assert.error_matches(function() mtev.log("error", "%d", "x") end, "bad argument #3 to 'log' %(number expected, got string%)")
    assert.error_matches(function() mtev.log("error", "%d") end, "bad argument #3 to 'log'")
    assert.matches("^test/spec/log_spec.lua:%d+: invalid option '%%y' to 'log'",
      select(2, pcall(function() mtev.log("error", "%y") end)))
    assert.error_matches(function() mtev.log("error", nil) end, "bad argument #2 to 'log'")
    assert.error_matches(function() mtev.log("debug") end, "bad argument #2 to 'log'")
    assert.error_matches(function() mtev.log() end, "bad argument #1 to 'log'")
    assert.error_matches(function() mtev.log({}, "x") end, "bad argument #1 to 'log'")
  end)

  it("can be turned on and off; log_enabled says whether a sink is reached", function()
    expect("", [[
      assert(mtev.log_enabled("error") and mtev.log_enabled("error/new/one"))
      assert(not mtev.log_enabled("debug") and not mtev.log_enabled("debug/x"))
      assert(not mtev.log_enabled("unknown") and not mtev.log_enabled("unknown/x"))
      mtev.enable_log("debug/x")
      assert(not mtev.log_enabled("debug/x"))
      mtev.enable_log("debug")
      assert(mtev.log_enabled("debug/x") and mtev.log_enabled("debug/y"))
      mtev.enable_log("debug/x", false)
      assert(not mtev.log_enabled("debug/x") and mtev.log_enabled("debug/y"))
      mtev.enable_log("stderr", false)
      assert(not mtev.log_enabled("error") and mtev.log("error", "unseen\n") == 0)
      mtev.enable_log("stderr", true)
      assert(mtev.log_enabled("error"))
      assert(select("#", mtev.enable_log("x")) == 0)]])
    assert.error_matches(function() mtev.log_enabled() end, "bad argument #1 to 'log_enabled'")
    assert.error_matches(function() mtev.enable_log({}) end, "bad argument #1 to 'enable_log'")
  end)

  it("enabled in one thread is enabled in all", function()
    expect("seen\n", [[
      local _, i = mtev.thread_self()
      if i == 0 then
        mtev.shared_waitfor("enabled")
        mtev.log("debug", "seen\n")
      else
        assert(mtev.log("debug", "unseen\n") == 0)
        mtev.enable_log("debug")
        mtev.shared_notify("enabled", true)
      end]], { options = "-n 2" })
  end)

  it("writes whole records: 1 MB lines of two threads do not mix", function()
    local output, status = process.run([[
      local _, i = mtev.thread_self()
      local line = tostring(i):rep(1000000) .. "\n"
      for _ = 1, 3 do mtev.log("error", "%s", line) mtev.sleep(0) end]], { options = "-n 2" })
    assert.equal(0, status)
    local count = 0
    for line in output:gmatch("[^\n]+") do
      count = count + 1
      assert.equal(1000000, #line)
      assert.is_truthy(line:match("^0+$") or line:match("^1+$"))
    end
    assert.equal(6, count)
  end)

  it("keeps order with what is printed by io.write", function()
    local output = process.run([[
      io.write("1 ") mtev.log("stdout", "2 ") print("3") io.stdout:write("4 ") print("5") io.write("6\n")
      mtev.sleep(0.001)
      io.write("7\n")]])
    assert.equal("1 2 3\n4 5\n6\n7\n", output)
  end)

  -- stdout and stderr are one here, and nobody reads. What is printed waits for room; what is logged must not, or a
  -- slow reader stops the loop.
  it("does not wait where its queue is full of what was printed; the loss is said", function()
    local name = os.tmpname()
    os.remove(name)
    local output = process.run(([[
      local text = ("x"):rep(1024 * 1024 - 1)
      for _ = 1, 8 do print(text) end
      for i = 1, 20 do mtev.log("error", "%%s\n", text) end
      io.open("%s", "w"):close()]]):format(name),
      { after = "2>&1 | { i=0; until [ -e " .. name .. " ] || [ $((i += 1)) = 3000 ]; do sleep 0.01; done; grep -o 'lhotse: .*'; }" })
    os.remove(name)
    local lost = 0 -- said whenever the writer comes to it, so perhaps in two parts
    for line in output:gmatch("[^\n]+") do
      lost = lost + assert(line:match("^lhotse: (%d+) log records were lost %(queue full%)$"), line)
    end
    assert.is_true(lost >= 1 and lost <= 20, lost)
  end)

  it("survives a full disk and a closed pipe", function()
    local _, status = process.run("for i = 1, 1000 do print(i) mtev.log('error', 'x\\n') end os.exit(9)",
      { after = ">/dev/full 2>/dev/full" })
    assert.equal(9, status)
    local output = process.sh(("{ echo 'for i = 1, 100000 do print(i) end os.exit(9)' | %s -; echo status $? >&2; } | head -n 1")
      :format(process.lhotse))
    assert.matches("\n1\n", "\n" .. output) -- head may close its input before it writes
    assert.matches("status 9", output)
  end)

  it("loses nothing that a script prints to a slow reader", function()
    local output = process.sh(("echo 'local s = (\"x\"):rep(1023) for i = 1, 20000 do print(s) end' | %s - | { sleep 0.3; wc -c; }")
      :format(process.lhotse))
    assert.equal(20000 * 1024, tonumber(output))
  end)
end)

describe("mtev.print", function()
  it("prints like Lua's print: tostring, tabs, newline", function()
    expect("1\tnil\ttrue\tx\n\n%d\t1\n", "print(1, nil, true, 'x') print() print('%d', 1)")
  end)

  it("returns the bytes written, takes any number and length", function()
    expect("7\n", "mtev.printto('nowhere') local n = print('a') mtev.printto('stdout') assert(n == 0) print(print and 7)")
    local output = process.run([[
      local many = {} for i = 1, 1000 do many[i] = i end
      print(unpack(many))
      print(("x"):rep(1000000))
      assert(print("12345") == 6)]])
    assert.equal(1000001 + 3893 + 6, #output)
  end)

  it("goes to the stream that printto names", function()
    local output = process.sh(("echo 'mtev.printto(\"error\") print(\"to stderr\")' | %s - 2>/dev/null"):format(process.lhotse))
    assert.equal("", output)
    assert.error_matches(function() mtev.printto() end, "bad argument #1 to 'printto'")
  end)

  it("uses __tostring, and passes its errors on", function()
    expect("shown\n", "print(setmetatable({}, { __tostring = function() return 'shown' end }))")
    assert.is_false(pcall(mtev.print, setmetatable({}, { __tostring = function() error("x") end })))
  end)
end)

describe("a program's output", function()
  -- The shell tells how the first program of a pipe ended.
  local function status_before(reader, script, options)
    local name = process.write_file(script)
    local command = ("{ %s %s %s; echo $? >&3; } 3>&2 | %s"):format(options or "", process.lhotse, name, reader)
    local _, output, err = mtev.exec("sh", { "sh", "-c", command }, nil, math.huge)
    os.remove(name)
    return output .. err
  end

  it("that nobody reads any more ends the program by SIGPIPE, as any filter", function()
    local endless = "for i = 1, 1e9 do print(i) mtev.sleep(0) end"
    assert.equal("1\n141\n", status_before("head -n 1", endless))
    assert.equal("1\n141\n", status_before("head -n 1", "for i = 1, 1e9 do io.write(i, '\\n') end"))
  end)

  it("makes the status 1, and is said once, if SIGPIPE was ignored from the start", function()
    local output = status_before("true", "for i = 1, 1000 do print(i) mtev.sleep(0) end", "trap '' PIPE;")
    assert.equal("lhotse: standard output: Broken pipe\n1\n", output)
  end)

  it("that does not fit on a disk is said once, and makes the status 1", function()
    local script = "for i = 1, 1000 do print(i) mtev.sleep(0) end "
    for _, last in ipairs { "", "os.exit(0)", "os.exit(true)" } do
      local output, status = process.run(script .. last, { after = ">/dev/full" })
      assert.equal("lhotse: standard output: No space left on device\n", output)
      assert.equal(1, status)
    end
    local _, status = process.run(script .. "os.exit(7)", { after = ">/dev/full" })
    assert.equal(7, status)
    _, status = process.run(script, { after = "2>/dev/full" })
    assert.equal(0, status)
  end)
end)
