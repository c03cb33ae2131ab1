-- The <logs> of a configuration: files and their rotation, rings in memory, prefixes, JSON, outlets, and what is refused.

local process = require("test.support.process")
local files = require("test.support.files")

local dir

before_each(function() dir = files.directory() end)
after_each(function() files.remove(dir) end)

-- Runs a script under `<logs>`; DIR in both is the test's directory. Returns output and status.
local function run(logs, script, options)
  local config = files.write(dir .. "/config.xml", "<any><logs>" .. logs:gsub("DIR", dir) .. "</logs></any>")
  options = options or {}
  options.options = ("-c %s %s"):format(config, options.options or "")
  return process.run((script:gsub("DIR", dir)), options)
end

local function expect(output, logs, script, options)
  local got, status = run(logs, script, options)
  assert.equal(output, got)
  assert.equal(0, status)
end

local function refuse(pattern, logs, options)
  local output, status = run(logs, "print('ran')", options)
  assert.matches(pattern, output)
  assert.equal(2, status)
  assert.not_matches("\nran", output)
end

-- What a glob of the shell finds, in its order.
local function glob(pattern)
  local found = {}
  for name in process.sh("ls -1 " .. pattern .. " 2>/dev/null"):gmatch("[^\n]+") do found[#found + 1] = name end
  return found
end

-- Runs a program that goes on, as a child of ours; returns it and a function that waits until its file holds a text.
local function start(logs, script, options)
  local config = files.write(dir .. "/config.xml", "<any><logs>" .. logs:gsub("DIR", dir) .. "</logs></any>")
  local argv = { "lhotse", "-c", config }
  for _, option in ipairs(options or {}) do argv[#argv + 1] = option end
  argv[#argv + 1] = files.write(dir .. "/script.lua", (script:gsub("DIR", dir)))
  return (mtev.spawn(process.lhotse, argv))
end

local wait_for = process.wait_for

-- The next line of a thread, `number`, is the one after its last. (luassert would take most of a test's time: there are
-- hundreds of thousands.)
local function count_line(next_line, thread, number)
  thread, number = tonumber(thread), tonumber(number)
  assert(number and next_line[thread] == number)
  next_line[thread] = number + 1
end

local function holds(path, text)
  local file = io.open(path)
  if not file then return false end
  local found = file:read("*a"):find(text, 1, true)
  file:close()
  return found ~= nil
end

describe("a log of type", function()
  it("file takes whole records at its end", function()
    files.write(dir .. "/a.log", "before\n")
    expect("", '<log name="a" type="file" path="DIR/a.log"/>', "mtev.log('a', 'one %d\\n', 1) mtev.log('a/b', 'two\\n')")
    assert.equal("before\none 1\ntwo\n", files.read(dir .. "/a.log"))
  end)

  it("file_synch has written when log returns", function()
    expect("now\n", '<log name="a" type="file_synch" path="DIR/a.log"/>',
      "mtev.log('a', 'now\\n') io.write(io.open('DIR/a.log'):read('*a'))")
  end)

  it("memory keeps the last lines for mtev.log_lines", function()
    expect("l3|l4|l5 5\nl5 5\n5\n", '<log name="ring" type="memory" path="3,1000"/>', [[
      for i = 1, 5 do mtev.log("ring", "l%d", i) end
      local lines, last = mtev.log_lines("ring")
      print(table.concat(lines, "|") .. " " .. last)
      print(mtev.log_lines("ring", 4)[1] .. " 5")
      lines, last = mtev.log_lines("ring", last)
      assert(#lines == 0)
      print(last)]])
  end)

  it("memory keeps no more bytes than it may", function()
    expect("2\t8\n1\t10\n", '<log name="ring" type="memory" path="100,10"/>', [[
      for i = 1, 5 do mtev.log("ring", "%s", "1234") end
      print(#mtev.log_lines("ring"), #table.concat((mtev.log_lines("ring"))))
      mtev.log("ring", "%s", ("x"):rep(50))
      print(#mtev.log_lines("ring"), #mtev.log_lines("ring")[1])]])
  end)

  it("stdout and stderr are those of the process", function()
    local output = run('<log name="a" type="stdout"/><log name="b" type="stderr"/>',
      "mtev.log('a', 'out\\n') mtev.log('b', 'err\\n')", { after = "2>/dev/null" })
    assert.equal("out\n", output)
  end)

  it("jlog is refused, and any other", function()
    refuse('<log name="a">: type jlog: journals are not supported', '<log name="a" type="jlog" path="DIR/j"/>')
    refuse("type 'files' is none of", '<log name="a" type="files" path="DIR/j"/>')
  end)
end)

describe("mtev.log_lines", function()
  it("says when a log is no ring", function()
    local lines, message = mtev.log_lines("error")
    assert.is_nil(lines)
    assert.equal("the log 'error' is not of type memory", message)
    assert.is_nil((mtev.log_lines("never heard of")))
    assert.error_matches(function() mtev.log_lines() end, "bad argument #1 to 'log_lines'")
    assert.error_matches(function() mtev.log_lines("error", "x") end, "bad argument #2 to 'log_lines'")
  end)
end)

describe("a log's line", function()
  it("has the prefixes that the streams on its way ask for", function()
    run([[<log name="a" type="file" path="DIR/a.log" timestamps="on">
            <log name="b" facility="true" type="file" path="DIR/b.log" debug="on"/></log>]],
      "mtev.log('a', 'x\\n')\nmtev.log('b/c', 'y\\n')", { name = "who.lua" })
    local time = "^%[%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d%.%d%d%d%d%d%d%] "
    assert.matches(time .. "x\n$", files.read(dir .. "/a.log"))
    assert.matches(time .. "%[b/c%] %[lhotse,[^%]]*who.lua:2%] y\n$", files.read(dir .. "/b.log"))
  end)

  it("names the line that called mtev.log or print, also from a loop that was compiled", function()
    run('<log name="stdout" type="file" path="DIR/a.log" debug="on"/>', "for i = 1, 500 do\n  print(i)\nend", { name = "who.lua" })
    local count = 0
    for line in files.read(dir .. "/a.log"):gmatch("[^\n]+") do
      count = count + 1
      assert.matches("who.lua:2%] " .. count .. "$", line)
    end
    assert.equal(500, count)
  end)

  it("is an object with format json, whatever the message", function()
    run('<log name="a" type="file" path="DIR/a.log" format="json"/>',
      [[mtev.log("a", "%s", "line \"1\"\nline 2\0\255 \\ \195\169\n") mtev.log("a/b", "")]])
    local lines = {}
    for line in files.read(dir .. "/a.log"):gmatch("[^\n]+") do lines[#lines + 1] = mtev.parsejson(line):document() end
    assert.equal(2, #lines)
    assert.equal("line \"1\"\nline 2\0\239\191\189 \\ \195\169", lines[1].message)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%dZ$", lines[1].time)
    assert.same({ "a", "lhotse", 1 }, { lines[1].facility, lines[1].thread, lines[1].line })
    assert.same({ "a/b", "" }, { lines[2].facility, lines[2].message })
  end)
end)

describe("an outlet", function()
  it("passes records on, its own element's and those of the elements around it", function()
    expect("to stderr\n", [[
      <log name="all" type="file" path="DIR/all.log"/>
      <group><outlet name="all"/>
        <log name="a"><outlet name="stderr"/></log>
        <log name="b"/>
        <log name="c"><outlet name="all"/></log>
      </group>]], "mtev.log('a', 'to stderr\\n') mtev.log('b', 'not there\\n') mtev.log('c', 'once\\n')")
    assert.equal("to stderr\nnot there\nonce\n", files.read(dir .. "/all.log"))
  end)

  it("may name a log that comes later, but none that is nowhere, and not lead in a circle", function()
    expect("", '<log name="a"><outlet name="b"/></log><log name="b" type="file" path="DIR/b"/>', "mtev.log('a', 'x')")
    assert.equal("x", files.read(dir .. "/b"))
    refuse('<log name="a">: <outlet name="nowhere">: there is no such log', '<log name="a"><outlet name="nowhere"/></log>')
    refuse("leads back", '<log name="a"><outlet name="b"/></log><log name="b"><outlet name="a"/></log>')
  end)

  -- Two ways from each layer to the next are 2^40 from the first to the last. Whether a record reaches a sink, and
  -- whether outlets lead in a circle, must not be asked on each of them; nor must a record go on each.
  it("may be one of many that lead to the same log, on many ways", function()
    local logs = {}
    for i = 1, 40 do
      for _, side in ipairs { "l", "r" } do
        logs[#logs + 1] = ('<log name="%s%d"><outlet name="l%d"/><outlet name="r%d"/></log>'):format(side, i, i + 1, i + 1)
      end
    end
    logs[#logs + 1] = '<log name="l41" disabled="on"><outlet name="end"/></log><log name="r41" disabled="on"><outlet name="end"/></log>'
    logs[#logs + 1] = '<log name="end" type="file" path="DIR/a.log"/>'
    expect("0\nfalse\ntrue\n2\n", table.concat(logs), [[
      print(mtev.log("l1", "x\n"))
      print(mtev.log_enabled("l1/new"))
      mtev.enable_log("l41")
      print(mtev.log_enabled("l1/new"))
      mtev.enable_log("r41")
      print(mtev.log("l1/new", "x\n"))]])
    assert.equal("x\n", files.read(dir .. "/a.log"))
  end)

  it("passes a record on once, also by names, and to a file that several logs have", function()
    expect("", [[
      <log name="all" type="file" path="DIR/all.log"/>
      <log name="top" type="file" path="DIR/all.log">
        <outlet name="all/a"/><outlet name="all/b"/><outlet name="all"/></log>
      <log name="all/a"/><log name="all/b"/>]], "mtev.log('top', 'one\\n') mtev.log('all/a', 'two\\n')")
    assert.equal("one\ntwo\n", files.read(dir .. "/all.log"))
  end)

  -- What a way asks for is what its lines have, and a way that is closed is none.
  it("passes a record on once in each form that the ways give it, as far as they are open", function()
    expect("", [[
      <log name="all" type="file" path="DIR/all.log"/>
      <log name="plain"><outlet name="all"/></log><log name="plain2"><outlet name="all"/></log>
      <log name="named" facility="on"><outlet name="all"/></log>
      <log name="top"><outlet name="plain"/><outlet name="named"/><outlet name="plain2"/></log>]], [[
      mtev.log('top', '1\n')
      mtev.enable_log('plain', false)
      mtev.log('top', '2\n')
      mtev.enable_log('plain2', false)
      mtev.log('top', '3\n')]])
    assert.equal("1\n[top] 1\n[top] 2\n2\n[top] 3\n", files.read(dir .. "/all.log"))
  end)

  it("replaces the built-in ones of error; without any they stay", function()
    expect("", '<log name="error"><outlet name="f"/></log><log name="f" type="file" path="DIR/f"/>', "mtev.log('error', 'x\\n')")
    assert.equal("x\n", files.read(dir .. "/f"))
    local output = run('<log name="error" timestamps="on"/>', "mtev.log('notice', 'x\\n')")
    assert.matches("^%[.*%] x\n$", output)
  end)
end)

describe("a log", function()
  it("that is disabled can be enabled by -l and by the script", function()
    local logs = '<log name="a" disabled="true" type="stdout"/>'
    expect("0\n", logs, "print(mtev.log('a', 'x\\n'))")
    expect("x\n2\n", logs, "print(mtev.log('a', 'x\\n'))", { options = "-l a" })
    expect("x\n", logs, "mtev.enable_log('a') mtev.log('a', 'x\\n')")
  end)

  it("has conditions that can be understood, and outlets with a name", function()
    refuse("require_env: '%[': missing terminating %]", '<log name="a" require_env="NOT_SET~["/>')
    refuse("require_env: the name of a variable expected, got ''", '<g require_env=""><log name="a"/></g>')
    refuse("an <outlet> needs a name", '<log name="a"><outlet nam="b"/></log>')
  end)

  it("is there only if require_env holds, for itself and around it", function()
    local function count(condition, environment)
      os.remove(dir .. "/a")
      run(('<g require_env="%s"><log name="a" type="file" path="DIR/a"/></g>'):format(condition), "mtev.log('a', 'x')",
        { before = environment })
      local file = io.open(dir .. "/a")
      if file then file:close() end
      return file and 1 or 0
    end
    assert.equal(0, count("LH_SPEC", ""))
    assert.equal(1, count("LH_SPEC", "LH_SPEC="))
    assert.equal(1, count("!LH_SPEC", ""))
    assert.equal(1, count("LH_SPEC=on", "LH_SPEC=on"))
    assert.equal(0, count("LH_SPEC=on", "LH_SPEC=one"))
    assert.equal(1, count("LH_SPEC~^o[ni]", "LH_SPEC=one"))
    assert.equal(0, count("!LH_SPEC~^o[ni]", "LH_SPEC=one"))
  end)

  it("takes its values from the environment", function()
    expect("", '<log name="a" type="file" path="{{ENV:nowhere:{LH_SPEC_PLACE}}}/env.log"/>', "mtev.log('a', 'x')",
      { before = "LH_SPEC_PLACE=" .. dir })
    assert.equal("x", files.read(dir .. "/env.log"))
  end)

  it("that cannot be is refused, naming it and why, before the script runs", function()
    refuse('<log name="a">: .*/no/where/a.log: No such file or directory', '<log name="a" type="file" path="DIR/no/where/a.log"/>')
    refuse('<log name="a">: .*: Is a directory', '<log name="a" type="file" path="DIR"/>')
    refuse('<log name="a">: type file needs a path', '<log name="a" type="file"/>')
    refuse('<log name="">: a log needs a name', '<log type="stdout"/>')
    refuse('it is there twice', '<log name="a"/><log name="a"/>')
    refuse('rotate_bytes: at least 102400 expected, got 1000', '<log name="a" type="file" path="DIR/a" rotate_bytes="1000"/>')
    refuse('rotate_seconds: at least 600 expected', '<log name="a" type="file" path="DIR/a" rotate_seconds="599"/>')
    refuse("retain_bytes: a number expected, got '1k'", '<log name="a" type="file" path="DIR/a" retain_bytes="1k"/>')
    refuse("LINES,BYTES", '<log name="a" type="memory" path="many"/>')
    refuse("timestamps: on or off expected", '<log name="a" timestamps="maybe"/>')
    refuse("format: plain or json expected", '<log name="a" format="xml"/>')
    refuse("another log has this file", '<log name="a" type="file" path="DIR/a"/><log name="b" type="file_synch" path="DIR/a"/>')
  end)

  it("with an attribute that nobody knows says so", function()
    local output = run('<log name="a" timestamp="on"/>', "")
    assert.matches('^lhotse: .-config.xml: <log name="a">: the attribute timestamp is unknown, and ignored; did you mean timestamps%?\n$',
      output)
    output = run('<log nme="a"/>', "")
    assert.matches("the attribute nme is unknown, and ignored; did you mean name%?\n.-a log needs a name\n$", output)
  end)
end)

describe("a log's file", function()
  -- The number of an open log file is the program's: a script that closed it by mistake would give it to the next
  -- socket, whose peer would receive the log.
  it("cannot be closed or written by scripts, nor can it after it was reopened", function()
    expect("-1 9\n-1 9\n-1 9\n", '<log name="a" type="file_synch" path="DIR/a.log"/>', [[
      local function descriptor()
        for fd = 3, 100 do
          if mtev.realpath("/proc/self/fd/" .. fd) == mtev.realpath("DIR/a.log") then return fd end
        end
      end
      mtev.log("a", "1\n")
      print(("%d %d"):format(mtev.close(descriptor())))
      print(("%d %d"):format(mtev.write(descriptor(), "x")))
      os.remove("DIR/a.log")
      mtev.log("a", "2\n")
      print(("%d %d"):format(mtev.close(descriptor())))]])
    assert.equal("2\n", files.read(dir .. "/a.log"))
  end)

  -- C code can close any number. Then the file is reopened, and whatever has its number now is left alone.
  it("that foreign code closed is opened again; nothing gets into what has its number now", function()
    expect("true\n", '<log name="a" type="file_synch" path="DIR/a.log"/>', [[
      local ffi = require("ffi")
      ffi.cdef "int close(int); int pipe(int *);"
      mtev.log("a", "1\n")
      for fd = 3, 100 do
        if mtev.realpath("/proc/self/fd/" .. fd) == mtev.realpath("DIR/a.log") then ffi.C.close(fd) end
      end
      local pipe = ffi.new("int[2]") -- one of its ends has the number
      assert(ffi.C.pipe(pipe) == 0)
      mtev.log("a", "2\n")
      print(ffi.C.close(pipe[0]) == 0 and ffi.C.close(pipe[1]) == 0)]])
    assert.equal("1\n2\n", files.read(dir .. "/a.log"))
  end)

  -- The next file that is opened has the number: the log's own, which must not be closed in the belief that it is the
  -- old one.
  it("that foreign code closed is opened again with the same number", function()
    expect("", '<log name="a" type="file_synch" path="DIR/a.log"/>', [[
      local ffi = require("ffi")
      ffi.cdef "int close(int);"
      for i = 1, 3 do
        mtev.log("a", "%d\n", i)
        for fd = 3, 100 do
          if mtev.realpath("/proc/self/fd/" .. fd) == mtev.realpath("DIR/a.log") then ffi.C.close(fd) end
        end
      end]])
    assert.equal("1\n2\n3\n", files.read(dir .. "/a.log"))
  end)

  -- Nothing was logged in between: it is the reopening that finds another's descriptor in the place of the log's.
  it("that foreign code closed is opened again at SIGHUP, which closes nothing of others", function()
    expect("true\n", '<log name="a" type="file" path="DIR/a.log"/>', [[
      local ffi = require("ffi")
      ffi.cdef "int close(int); int pipe(int *); int getpid(void); int kill(int, int);"
      for fd = 3, 100 do
        if mtev.realpath("/proc/self/fd/" .. fd) == mtev.realpath("DIR/a.log") then ffi.C.close(fd) end
      end
      local pipe = ffi.new("int[2]") -- one of its ends has the number
      assert(ffi.C.pipe(pipe) == 0)
      os.remove("DIR/a.log")
      ffi.C.kill(ffi.C.getpid(), 1)
      while not mtev.stat("DIR/a.log") do mtev.sleep(0.001) end
      mtev.log("a", "1\n")
      while mtev.stat("DIR/a.log").size == 0 do mtev.sleep(0.001) end
      print(ffi.C.close(pipe[0]) == 0 and ffi.C.close(pipe[1]) == 0)]])
    assert.equal("1\n", files.read(dir .. "/a.log"))
  end)

  -- A number that was the log's is the script's, once the log has found that out; but not when a socket of ours has it.
  it("that foreign code closed no longer keeps scripts from its number, whose next owner may", function()
    for _, case in ipairs { { "mtev.open('DIR/other', O_RDWR + O_CREAT, tonumber('644', 8))", "0" },
        { "mtev.socket('inet', 'tcp')", "-1 9" } } do
      expect(case[2] .. "\n", '<log name="a" type="file_synch" path="DIR/a.log"/>', ([[
        local ffi = require("ffi")
        ffi.cdef "int close(int);"
        local number
        for fd = 3, 100 do
          if mtev.realpath("/proc/self/fd/" .. fd) == mtev.realpath("DIR/a.log") then number = fd end
        end
        ffi.C.close(number)
        KEPT = %s -- it has the number
        mtev.log("a", "1\n")
        print((table.concat({ mtev.close(number) }, " ")))]]):format(case[1]))
    end
  end)

  it("keeps lines whole at a million a second from two threads", function()
    local count = process.is_sanitized and 50000 or 500000
    local output, status = run('<log name="a" type="file" path="DIR/a.log"/>', ([[
      local _, id = mtev.thread_self()
      local start = mtev.time()
      for i = 1, COUNT do mtev.log("a", "thread %d line %d of some length\n", id, i) end
      print(mtev.time() - start)]]):gsub("COUNT", count), { options = "-n 2" })
    assert.equal(0, status)
    local slowest = 0
    for seconds in output:gmatch("[^\n]+") do slowest = math.max(slowest, tonumber(seconds)) end
    print(("  %d lines from two threads: %.2f s, %.1f M/s"):format(2 * count, slowest, 2e-6 * count / slowest))
    local next_line = { [0] = 1, [1] = 1 }
    for line in io.lines(dir .. "/a.log") do
      count_line(next_line, line:match("^thread (%d) line (%d+) of some length$"))
    end
    assert.same({ [0] = count + 1, [1] = count + 1 }, next_line)
  end)

  it("rotates by size under load and loses nothing", function()
    local _, status = run('<log name="a" type="file" path="DIR/a.log" rotate_bytes="200000"/>', [[
      local _, id = mtev.thread_self()
      for i = 1, 100000 do mtev.log("a", "%d %d\n", id, i) end]], { options = "-n 2" })
    assert.equal(0, status)
    local next_line = { [0] = 1, [1] = 1 }
    local names = glob(dir .. "/a.log.*")
    assert.is_true(#names > 5)
    names[#names + 1] = dir .. "/a.log"
    for _, name in ipairs(names) do
      local text = files.read(name)
      assert.is_true(#text <= 200000)
      for id, i in text:gmatch("(%d) (%d+)\n") do count_line(next_line, id, i) end
    end
    assert.same({ [0] = 100001, [1] = 100001 }, next_line)
  end)

  it("keeps as much of what was rotated as it may", function()
    files.write(dir .. "/a.log.not-ours", "x")
    run('<log name="a" type="file" path="DIR/a.log" rotate_bytes="102400" retain_bytes="250000"/>',
      "for i = 1, 10000 do mtev.log('a', '%s\\n', ('x'):rep(99)) if i % 100 == 0 then mtev.sleep(0.001) end end")
    local total, names = 0, glob(dir .. "/a.log.2*")
    for _, name in ipairs(names) do total = total + #files.read(name) end
    assert.is_true(total <= 250000 and total > 100000)
    assert.equal("x", files.read(dir .. "/a.log.not-ours"))
  end)

  it("rotates by time: a line of another period begins a new file, and what is too old goes", function()
    files.write(dir .. "/a.log", "old\n")
    os.execute("touch -d '2 hours ago' " .. dir .. "/a.log")
    files.write(dir .. "/a.log.20200101T000000.000000", "ancient\n")
    os.execute("touch -d '2020-01-01' " .. dir .. "/a.log.2020*")
    run('<log name="a" type="file" path="DIR/a.log" rotate_seconds="3600" retain_seconds="86400"/>',
      "mtev.log('a', 'new\\n') mtev.log('a', 'new too\\n')")
    assert.equal("new\nnew too\n", files.read(dir .. "/a.log"))
    local names = glob(dir .. "/a.log.*")
    assert.equal(1, #names)
    assert.matches("a%.log%.%d%d%d%d%d%d%d%dT%d%d%d%d%d%d%.%d%d%d%d%d%d$", names[1])
    assert.equal("old\n", files.read(names[1]))
  end)

  -- The clock may have been set back since. What was rotated an hour from now is not older than anything.
  it("keeps what was rotated in the future", function()
    files.write(dir .. "/a.log", "old\n")
    os.execute("touch -d '2 hours ago' " .. dir .. "/a.log")
    files.write(dir .. "/a.log.20200101T000000.000000", "from the future\n")
    os.execute("touch -d '+1 hour' " .. dir .. "/a.log.2020*")
    run('<log name="a" type="file" path="DIR/a.log" rotate_seconds="3600" retain_seconds="86400"/>',
      "mtev.log('a', 'new\\n')")
    assert.equal(2, #glob(dir .. "/a.log.*"))
    assert.equal("from the future\n", files.read(dir .. "/a.log.20200101T000000.000000"))
  end)

  it("that cannot be rotated says so once, and grows", function()
    local ffi = require("ffi")
    ffi.cdef "unsigned geteuid(void);"
    if ffi.C.geteuid() ~= 0 then return print("  not run, this is not root: nothing else to take rights from") end
    os.execute(("mkdir -m 755 %s/logs; chmod 755 %s"):format(dir, dir)) -- whose owner is root
    local config = files.write(dir .. "/config.xml",
      ("<any><logs><log name='a' type='file' path='%s/logs/a.log' rotate_bytes='102400'/></logs></any>"):format(dir))
    local script = files.write(dir .. "/script.lua",
      "for i = 1, 5000 do mtev.log('a', '%s\\n', ('x'):rep(99)) if i % 100 == 0 then mtev.sleep(0.001) end end")
    local output, status = process.sh(("%s -c %s -u nobody %s"):format(process.lhotse, config, script))
    assert.same({ ("lhotse: log file %s/logs/a.log: cannot be rotated, and grows until it is reopened (SIGHUP): Permission denied\n"):format(dir), 0 },
      { output, status })
    assert.equal(500000, #files.read(dir .. "/logs/a.log"))
  end)

  it("is opened anew at SIGHUP, as logrotate wants it", function()
    local child = start('<log name="a" type="file" path="DIR/a.log"/>',
      "for i = 1, 1e9 do mtev.log('a', 'line %d\\n', i) mtev.sleep(0.001) end")
    wait_for(function() return holds(dir .. "/a.log", "line 5\n") end)
    os.rename(dir .. "/a.log", dir .. "/a.log.1")
    child:kill(1)
    wait_for(function() return holds(dir .. "/a.log", "line ") end)
    child:kill(15)
    child:wait(60)
    local expected = 1
    for i in (files.read(dir .. "/a.log.1") .. files.read(dir .. "/a.log")):gmatch("line (%d+)\n") do
      assert.equal(expected, tonumber(i))
      expected = expected + 1
    end
  end)

  -- A synchronous log is written by all threads. One of them got in while the first reopened the file, and wrote to a
  -- descriptor that had just been closed.
  it("of type file_synch loses nothing at SIGHUP while other threads write", function()
    local child = start('<log name="a" type="file_synch" path="DIR/a.log"/>', [[
      local _, id = mtev.thread_self()
      if id == 0 then
        for _ = 1, 2 do mtev.shared_waitfor("done") end
        mtev.log("a", "end\n")
        mtev.sleep(1e6)
      end
      local i = 0
      repeat
        for _ = 1, 50 do
          i = i + 1
          mtev.log("a", "%d %d\n", id, i)
        end
        mtev.sleep(0)
      until mtev.stat("DIR/stop")
      mtev.shared_notify("done", true)
      mtev.sleep(1e6)]], { "-n", "3" })
    for id = 1, 2 do wait_for(function() return holds(dir .. "/a.log", id .. " 50\n") end) end
    for _ = 1, 2000 do
      child:kill(1)
      mtev.sleep(0.0003)
    end
    files.write(dir .. "/stop", "")
    wait_for(function() return holds(dir .. "/a.log", "end\n") end)
    child:kill(15)
    child:wait(60)
    local next_line = { 1, 1 }
    for id, i in files.read(dir .. "/a.log"):gmatch("(%d) (%d+)\n") do count_line(next_line, id, i) end
  end)

  it("that was deleted with its directory is made again when the directory is there again; nothing waits for it", function()
    os.execute("mkdir " .. dir .. "/logs")
    local child = start('<log name="a" type="file" path="DIR/logs/a.log"/><log name="b" type="file" path="DIR/b.log"/>',
      "for i = 1, 1e9 do mtev.log('a', 'line %d\\n', i) mtev.log('b', 'line %d\\n', i) mtev.sleep(0.001) end")
    wait_for(function() return holds(dir .. "/logs/a.log", "line 5\n") end)
    os.execute("rm -r " .. dir .. "/logs")
    local size = #files.read(dir .. "/b.log")
    wait_for(function() return #files.read(dir .. "/b.log") > size + 1000 end) -- the loop goes on
    os.execute("mkdir " .. dir .. "/logs")
    wait_for(function() return holds(dir .. "/logs/a.log", "line ") end)
    child:kill(15)
    child:wait(60)
    local first = tonumber(files.read(dir .. "/logs/a.log"):match("line (%d+)"))
    for i in files.read(dir .. "/logs/a.log"):gmatch("line (%d+)\n") do
      assert.equal(first, tonumber(i)) -- what came meanwhile waited
      first = first + 1
    end
  end)

  it("is reopened when its directory is there again, though SIGHUP came before", function()
    os.execute("mkdir " .. dir .. "/logs")
    local child = start('<log name="a" type="file" path="DIR/logs/a.log"/>',
      "for i = 1, 1e9 do mtev.log('a', 'line %d\\n', i) mtev.sleep(0.001) end")
    wait_for(function() return holds(dir .. "/logs/a.log", "line 5\n") end)
    os.execute("mv " .. dir .. "/logs " .. dir .. "/old")
    child:kill(1)
    local size = #files.read(dir .. "/old/a.log")
    wait_for(function() return #files.read(dir .. "/old/a.log") > size + 1000 end)
    os.execute("mkdir " .. dir .. "/logs")
    wait_for(function() return holds(dir .. "/logs/a.log", "line ") end)
    child:kill(15)
    child:wait(60)
    local last = tonumber(files.read(dir .. "/old/a.log"):match("line (%d+)\n$"))
    assert.equal(last + 1, tonumber(files.read(dir .. "/logs/a.log"):match("^line (%d+)\n")))
  end)

  -- A record that found room for a part of itself only has its line ended by the next one that is written, whatever
  -- could not be written at all in between.
  it("of type file_synch on a full disk ends the line of a record that was cut, once there is room", function()
    local output = run('<log name="a" type="file_synch" path="DIR/a.log"/>', [[
      local ffi = require("ffi")
      ffi.cdef "int setrlimit(int, const unsigned long *); void *signal(int, void *);"
      local RLIMIT_FSIZE = 1
      local function limit(bytes)
        assert(ffi.C.setrlimit(RLIMIT_FSIZE, ffi.new("unsigned long[2]", bytes, 2^40)) == 0)
      end
      ffi.C.signal(25, ffi.cast("void *", 1)) -- SIGXFSZ is ignored
      mtev.log("a", "record one\n")
      limit(15)
      mtev.log("a", "record two\n")
      mtev.log("a", "record three\n")
      limit(16)
      mtev.log("a", "record four\n") -- there is room for the end of the line
      mtev.log("a", "record five\n")
      limit(2^40)
      mtev.log("a", "record six\n")]])
    assert.equal("record one\nreco\nrecord six\n", files.read(dir .. "/a.log"))
    assert.equal(("lhotse: log file %s/a.log: File too large\n"):format(dir), output)
  end)

  -- What is wrong with a log is said on stderr, which may be a pipe that nobody empties.
  it("on a full disk holds nothing up when stderr is full too", function()
    for _, kind in ipairs { "file", "file_synch" } do
      local name = process.write_file(('for i = 1, 20 do mtev.log("a", "x\\n") mtev.sleep(0.05) end io.open("%s/%s", "w"):close()')
        :format(dir, kind))
      local config = files.write(dir .. "/config.xml", ('<x><logs><log name="a" type="%s" path="/dev/full"/></logs></x>'):format(kind))
      assert(os.execute("mkfifo " .. dir .. "/stderr") == 0)
      local keep = mtev.open(dir .. "/stderr", O_RDWR + O_NONBLOCK)
      local fill = mtev.coroutine_spawn(function() mtev.write(keep, ("x"):rep(1e6)) end) -- until it is full
      mtev.sleep(0.1)
      local child = mtev.spawn("sh", { "sh", "-c", 'exec "$0" -c "$1" "$2" 2>"$3"', process.lhotse, config, name, dir .. "/stderr" })
      wait_for(function() return io.open(dir .. "/" .. kind) end)
      child:kill(9)
      child:wait(60)
      mtev.cancel_coro(fill)
      mtev.close(keep)
      os.remove(dir .. "/stderr")
      os.remove(name)
    end
  end)

  it("on a full disk waits, while the program goes on, and is written when there is room", function()
    os.execute("ln -s /dev/full " .. dir .. "/a.log")
    local child = start('<log name="a" type="file" path="DIR/a.log"/><log name="b" type="file" path="DIR/b.log"/>',
      "for i = 1, 1e9 do mtev.log('a', 'line %d\\n', i) mtev.log('b', 'line %d\\n', i) mtev.sleep(0.001) end")
    wait_for(function() return holds(dir .. "/b.log", "line 500\n") end)
    os.execute("ln -sfn real.log " .. dir .. "/a.log")
    child:kill(1)
    wait_for(function() return holds(dir .. "/real.log", "line 500\n") end)
    child:kill(15)
    child:wait(60)
    assert.matches("^line 1\nline 2\n", files.read(dir .. "/real.log"))
  end)

  it("on a disk that stays full costs no more than 8 MiB, and does not hold the program up at its end", function()
    os.execute("ln -s /dev/full " .. dir .. "/a.log")
    local output, status = run('<log name="a" type="file" path="DIR/a.log"/>', [[
      for i = 1, 400000 do mtev.log("a", "%s\n", ("x"):rep(99)) end
      local kib = io.open("/proc/self/status"):read("*a"):match("VmRSS:%s*(%d+)")
      print(kib)]])
    assert.equal(0, status)
    assert.matches("a.log: No space left on device; up to 8 MiB of records wait for it", output)
    print("  resident after 40 MB for a full disk: " .. output:match("(%d+)\n$") .. " KiB")
  end)
end)
