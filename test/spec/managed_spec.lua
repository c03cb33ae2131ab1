-- Managed mode with real processes: a monitor (-m -m) and its worker. `dir` holds the script, its log and its traces.

local process = require("test.support.process")
local files = require("test.support.files")

local dir

before_each(function() dir = files.directory() end)
after_each(function() files.remove(dir) end)

-- In each script: note(text) adds a line to DIR/notes, pid is its own.
local PRELUDE = [[
local function note(text) local f = io.open("DIR/notes", "a") f:write(text, "\n") f:close() end
local pid = io.open("/proc/self/stat"):read("*n")
note("start " .. pid)
]]

local function write(script, watchdog)
  files.write(dir .. "/script.lua", ((PRELUDE .. script):gsub("DIR", dir)))
  files.write(dir .. "/config.xml", ("<any><watchdog tracedir='%s' %s/></any>"):format(dir, watchdog or ""))
end

local function notes()
  local file = io.open(dir .. "/notes")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

-- The pids of the workers so far.
local function workers()
  local pids = {}
  for pid in notes():gmatch("start (%d+)") do pids[#pids + 1] = tonumber(pid) end
  return pids
end

local wait_for = process.wait_for

-- A monitor in the foreground; what it and its workers say on stderr is collected in `said`.
local Monitor = {}
Monitor.__index = Monitor

local function start(script, watchdog, options, environment)
  write(script, watchdog)
  local env = {}
  for key, value in pairs(ENV) do env[key] = value end
  for key, value in pairs(environment or {}) do env[key] = value end
  local argv = { "lhotse", "-m", "-m", "-c", dir .. "/config.xml" }
  for _, option in ipairs(options or {}) do argv[#argv + 1] = option end
  argv[#argv + 1] = dir .. "/script.lua"
  local child, _, _, err = mtev.spawn(process.lhotse, argv, env)
  local self = setmetatable({ child = child, said = "" }, Monitor)
  mtev.coroutine_spawn(function()
    err = err:own()
    while true do
      local line = err:read("\n")
      if not line then break end
      self.said = self.said .. line
    end
    self.is_over = true
  end)
  return self
end

function Monitor:ended()
  local status = self.child:wait(60)
  wait_for(function() return self.is_over end)
  return mtev.WEXITSTATUS(status)
end

function Monitor:says(pattern)
  return wait_for(function() return self.said:match(pattern) end)
end

local function trace_of(monitor)
  return files.read(monitor:says("trace of worker %d+: (%S+)"))
end

-- The thread sanitizer holds signals back until the thread makes a call that it knows: a loop never does.
local function with_signals(name, run)
  if process.is_tsan then print("  not run, the thread sanitizer holds signals back: " .. name) else it(name, run) end
end

describe("A managed program", function()
  it("runs in a process of its own group, and its end with 0 is the monitor's", function()
    local monitor = start("note(io.open('/proc/self/stat'):read('*l'):match('%) %a (%d+ %d+)'))")
    assert.equal(0, monitor:ended(), monitor.said)
    assert.equal("", monitor.said)
    local worker = workers()[1]
    assert.matches(("\n%d %d\n"):format(monitor.child:pid(), worker), notes())
  end)

  -- The file for traces has a number in the worker. A script that closed it by mistake would give it to a socket, and
  -- the trace of a hang to whoever is at its other end.
  it("cannot close the file that its traces go to", function()
    local monitor = start([[
      for fd = 3, 20 do
        local name = io.popen("readlink /proc/" .. pid .. "/fd/" .. fd):read("*a")
        if name:find("memfd:trace") then note(("closed %d %d"):format(mtev.close(fd))) end
      end]])
    assert.equal(0, monitor:ended(), monitor.said)
    assert.matches("closed %-1 9\n", notes())
  end)

  it("is started again when it is killed", function()
    local monitor = start("mtev.sleep(1e6)")
    local first = wait_for(function() return workers()[1] end)
    os.execute("kill -9 " .. first)
    local second = wait_for(function() return workers()[2] end)
    monitor:says("worker " .. first .. " was ended by signal 9")
    monitor:says("worker " .. second .. " started")
    monitor.child:kill(15)
    assert.equal(143, monitor:ended())
    process.await_death(second)
  end)

  it("is given up with 1 when it fails at once, after the retries", function()
    local monitor = start("error('no good')", "retries='3'")
    assert.equal(1, monitor:ended())
    assert.equal(4, #workers())
    assert.matches("no good", monitor.said)
    assert.matches("worker %d+ ended with status 1", monitor.said)
    assert.matches("giving up: the worker ended 4 times within 60 s", monitor.said)
  end)

  it("is tried for ever when it fails more seldom than the span says", function()
    local monitor = start("mtev.sleep(0.1) os.exit(1)", "retries='1' span='0.05'")
    wait_for(function() return #workers() >= 4 end)
    monitor.child:kill(15)
    assert.equal(143, monitor:ended())
  end)

  it("has five retries in a minute, and five seconds, if nobody says otherwise", function()
    local monitor = start("note('timeout ' .. mtev.watchdog_timeout()) os.exit(1)")
    assert.equal(1, monitor:ended())
    assert.equal(6, #workers())
    assert.matches("timeout 5\n", notes())
  end)

  it("that computes without end is traced and started again", function()
    local monitor = start([[
      mtev.coroutine_spawn(function() mtev.waitfor("nobody") end)
      local function busy() while true do for _ in ("a"):gmatch("a") do end end end -- not compiled
      if #io.open("DIR/notes"):read("*a") < 20 then busy() end
      note("second") mtev.sleep(1e6)]], "timeout='1'")
    local trace = trace_of(monitor)
    wait_for(function() return notes():find("second") end)
    monitor:says("loop default/0 has not turned for more than 1.0 s")
    assert.matches("is running", trace)
    assert.matches("script.lua:5: in function 'busy'", trace)
    assert.matches("script.lua:6: in main chunk", trace)
    assert.matches("is waiting in mtev.waitfor\n", trace)
    assert.matches("C stack:\n.*lh_program_run", trace)
    monitor.child:kill(15)
    monitor:ended()
  end)

  with_signals("that hangs in a compiled loop is traced as far as can be", function()
    local monitor = start("local function busy() while true do end end\nif #io.open('DIR/notes'):read('*a') < 20 then busy() end", "timeout='1'")
    local trace = trace_of(monitor)
    assert.matches("compiled loop", trace)
    assert.matches("script.lua:4:", trace)
    assert.equal(0, monitor:ended(), monitor.said)
  end)

  with_signals("that blocks in C is traced, and what it waits for ends with it", function()
    local monitor = start([[
      if #io.open("DIR/notes"):read("*a") < 20 then
        os.execute("echo $$ >DIR/shell; sleep 1000")
      end]], "timeout='1'")
    local trace = trace_of(monitor)
    assert.matches("hang, in a C function", trace)
    assert.matches("script.lua:5:", trace)
    assert.matches("wait", trace:match("C stack:(.*)"))
    assert.equal(0, monitor:ended(), monitor.said)
    process.await_death(tonumber(files.read(dir .. "/shell")))
  end)

  with_signals("of which one loop hangs is started again: the traced one is that", function()
    local monitor = start([[
      local _, i = mtev.thread_self()
      if i == 1 and #io.open("DIR/notes"):read("*a") < 40 then local t while true do t = tostring(t) end end
      mtev.sleep(i == 0 and 6 or 0)]], "timeout='1' retries='1'", { "-n", "2" })
    local trace = trace_of(monitor)
    assert.matches("^%-%- hang[^\n]*, thread default/1 ", trace)
    assert.matches("%-%- meanwhile, thread default/0 %-%-\ncoroutine %S+ is waiting in mtev.sleep\n", trace) -- the other, whole
    monitor:says("loop default/1 has not turned")
    monitor.child:kill(15)
    monitor:ended()
  end)

  it("that computes for long and beats by itself is left alone", function()
    local monitor = start([[
      local start = mtev.time()
      while mtev.time() - start < 3 do assert(mtev.watchdog_child_heartbeat() == 0) end
      note("through")]], "timeout='1'")
    assert.equal(0, monitor:ended(), monitor.said)
    assert.equal(1, #workers())
    assert.matches("through", notes())
  end)

  with_signals("with an interrupt_time stops what computes for too long, and goes on", function()
    local monitor = start([[
      local function busy() while true do for _ in ("a"):gmatch("a") do end end end -- not compiled
      for i = 1, 2 do
        local ok, message = pcall(busy)
        note(tostring(ok) .. " " .. message)
        mtev.sleep(0)
      end]], "timeout='20' interrupt_time='0.5'")
    assert.equal(0, monitor:ended(), monitor.said)
    assert.equal(1, #workers())
    local _, count = notes():gsub("false [^\n]*script.lua:4: interrupted!\n", "")
    assert.equal(2, count)
  end)

  it("that only waits is left alone, with and without a timer", function()
    local monitor = start([[
      local e = mtev.socket("inet") e:bind("127.0.0.1", 0) e:listen(1)
      mtev.coroutine_spawn(function() e = e:own() e:accept() end)
      mtev.sleep(3) note("slept") os.exit(0)]], "timeout='1'")
    assert.equal(0, monitor:ended(), monitor.said)
    assert.equal(1, #workers())
  end)

  it("that crashes leaves a trace, and what it logged", function()
    local monitor = start([[
      mtev.log("error", "before\n")
      local function poke() require("ffi").cast("int *", 8)[0] = 1 end
      if #io.open("DIR/notes"):read("*a") < 20 then poke() end]])
    local trace = trace_of(monitor)
    assert.matches("crash, signal 11", trace)
    assert.matches("script.lua:5:", trace)
    assert.equal(0, monitor:ended(), monitor.said)
    assert.matches("before\n.*was ended by signal 11", monitor.said)
  end)

  it("has its timeout from MTEV_WATCHDOG_TIMEOUT before all, fractions too", function()
    local monitor = start("note('timeout ' .. mtev.watchdog_timeout())", "timeout='7'", nil, { MTEV_WATCHDOG_TIMEOUT = "2.25" })
    assert.equal(0, monitor:ended(), monitor.said)
    assert.matches("timeout 2.25\n", notes())
  end)

  it("tells the glider what happened while it is still there", function()
    files.write(dir .. "/glider", ("#!/bin/sh\ntest -d /proc/$1 && there=yes\necho \"glider $1 $2 $there\" >>%s/notes\n"):format(dir))
    os.execute("chmod +x " .. dir .. "/glider")
    local monitor = start([[
      local n = select(2, io.open("DIR/notes"):read("*a"):gsub("start", ""))
      if n == 1 then while true do end elseif n == 2 then os.exit(3) elseif n == 3 then require("ffi").cast("int *", 8)[0] = 1 end]],
      ("timeout='1' glider='%s/glider'"):format(dir))
    assert.equal(0, monitor:ended(), monitor.said)
    local pids = workers()
    assert.matches("glider " .. pids[1] .. " watchdog yes\n", notes())
    assert.matches("glider " .. pids[2] .. " unknown", notes())
    assert.matches("glider " .. pids[3] .. " crash", notes())
  end)
end)

describe("A monitor", function()
  it("that is killed takes its worker with it", function()
    local monitor = start("mtev.sleep(1e6)")
    local worker = wait_for(function() return workers()[1] end)
    wait_for(function() return process.state(worker) == "S" end)
    monitor.child:kill(9)
    process.await_death(worker)
    monitor.child:wait(60)
  end)

  it("that is told to end ends its worker first, in order", function()
    local monitor = start([[mtev.log("error", "%s\n", ("x"):rep(1000)) note("ready") mtev.sleep(1e6)]])
    wait_for(function() return notes():find("ready") end)
    monitor.child:kill(2)
    assert.equal(130, monitor:ended())
    assert.matches("x\n", monitor.said)
    assert.is_nil(process.state(workers()[1]))
  end)

  it("kills a worker that does not end when told, at once when it is told twice", function()
    local monitor = start("note('ready') while true do mtev.watchdog_child_heartbeat() end")
    wait_for(function() return notes():find("ready") end)
    monitor.child:kill(15)
    mtev.sleep(0.2)
    monitor.child:kill(15)
    assert.equal(143, monitor:ended())
    assert.is_nil(process.state(workers()[1]))
  end)

  it("in the background leaves its terminal and its parent; the command has ended", function()
    write("note('ready') mtev.sleep(1e6)")
    files.write(dir .. "/config.xml", ([[<any><logs><log name="error"><outlet name="f"/></log>
      <log name="f" type="file" path="%s/log"/></logs><watchdog tracedir="%s"/></any>]]):format(dir, dir))
    local output, status = process.sh(("%s -m -c %s/config.xml %s/script.lua"):format(process.lhotse, dir, dir))
    assert.same({ "", 0 }, { output, status })
    local worker = wait_for(function() return notes():find("ready") and workers()[1] end)
    local monitor = tonumber(io.open(("/proc/%d/stat"):format(worker)):read("*a"):match("%) %a (%d+)"))
    assert.equal("/dev/null", process.link(("/proc/%d/fd/2"):format(monitor)))
    os.execute("kill -9 " .. worker)
    wait_for(function() return workers()[2] end)
    assert.matches("worker " .. worker .. " was ended by signal 9", files.read(dir .. "/log"))
    os.execute("kill " .. monitor)
    process.await_death(monitor)
    process.await_death(workers()[2])
  end)

  it("passes SIGHUP on, so that both open their logs anew", function()
    write("")
    local monitor = start("note('ready') for i = 1, 1e9 do mtev.log('a', 'line %d\\n', i) mtev.sleep(0.01) end")
    wait_for(function() return notes():find("ready") end)
    monitor.child:kill(15)
    monitor:ended()
    files.write(dir .. "/config.xml", ('<any><logs><log name="a" type="file" path="%s/a.log"/></logs></any>'):format(dir))
    local child = mtev.spawn(process.lhotse, { "lhotse", "-m", "-m", "-c", dir .. "/config.xml", dir .. "/script.lua" })
    wait_for(function() local f = io.open(dir .. "/a.log") return f and f:read("*a"):find("line 3") end)
    os.rename(dir .. "/a.log", dir .. "/a.log.1")
    child:kill(1)
    wait_for(function() local f = io.open(dir .. "/a.log") return f and f:read("*a"):find("line") end)
    child:kill(15)
    assert.equal(143, mtev.WEXITSTATUS(child:wait(60)))
  end)

  it("refuses settings that cannot be, and a program from stdin", function()
    for watchdog, message in pairs {
      ["timeout='0'"] = "<watchdog>: timeout: a number above 0 expected, got '0'",
      ["retries='many'"] = "<watchdog>: retries: a number above 0 expected, got 'many'",
      ["retries='0.5'"] = "<watchdog>: retries: a whole number expected, got '0.5'",
      ["span='-1'"] = "<watchdog>: span: a number above 0 expected, got '-1'",
    } do
      write("", watchdog)
      local output, status = process.sh(("%s -m -m -c %s/config.xml %s/script.lua"):format(process.lhotse, dir, dir))
      assert.equal(2, status)
      assert.matches(message, output, 1, true)
    end
    local output, status = process.sh(process.lhotse .. " -m -m - </dev/null")
    assert.equal(2, status)
    assert.matches("a program from standard input cannot be started again", output)
  end)
end)

describe("Under systemd", function()
  -- What is sent to a socket of systemd's kind, into a file.
  local function listen()
    local path = dir .. "/notify"
    local child = mtev.spawn("/usr/bin/socat", { "socat", "-u", "UNIX-RECV:" .. path, "OPEN:" .. dir .. "/notified,creat,append" })
    wait_for(function() return process.sh("test -S " .. path .. " && echo there"):find("there") end)
    return child, path
  end

  local function notified(text)
    wait_for(function()
      local file = io.open(dir .. "/notified")
      local found = file and file:read("*a"):find(text, 1, true)
      if file then file:close() end
      return found
    end)
  end

  it("a monitor says when its worker is ready, that it lives, and when it stops", function()
    local listener, path = listen()
    local monitor = start("mtev.sleep(1e6)", "", nil, { NOTIFY_SOCKET = path, WATCHDOG_USEC = "300000" })
    notified("READY=1")
    notified("WATCHDOG=1")
    monitor.child:kill(15)
    monitor:ended()
    notified("STOPPING=1")
    listener:kill(9)
    listener:wait(60)
  end)

  it("a program without a monitor does so itself, and falls silent when a loop hangs", function()
    local listener, path = listen()
    write("assert(mtev.watchdog_timeout() == 0.3) mtev.sleep(0.5) note('hangs') while true do end")
    local env = { NOTIFY_SOCKET = path, WATCHDOG_USEC = "300000", PATH = ENV.PATH }
    local child = mtev.spawn(process.lhotse, { "lhotse", dir .. "/script.lua" }, env)
    notified("READY=1")
    notified("WATCHDOG=1")
    wait_for(function() return notes():find("hangs") end)
    local size, same = -1, 0
    while same < 10 do -- no more for a second
      mtev.sleep(0.1)
      local now = #files.read(dir .. "/notified")
      same = now == size and same + 1 or 0
      size = now
    end
    child:kill(9)
    child:wait(60)
    listener:kill(9)
    listener:wait(60)
  end)
end)

describe("mtev.watchdog_child_heartbeat and mtev.watchdog_timeout", function()
  it("answer also when nobody looks: 0 and nil", function()
    assert.equal(0, mtev.watchdog_child_heartbeat())
    assert.is_nil(mtev.watchdog_timeout())
  end)
end)
