-- A configuration that says what runs: `lhotse -c FILE` without a script.

local process = require("test.support.process")
local files = require("test.support.files")

local dir

before_each(function() dir = files.directory() end)
after_each(function() files.remove(dir) end)

local function run(config, options)
  files.write(dir .. "/config.xml", (config:gsub("DIR", dir)))
  return process.sh(("%s %s -c %s/config.xml </dev/null"):format(process.lhotse, options or "", dir))
end

local function lines(text)
  local result = {}
  for line in text:gmatch("[^\n]+") do result[#result + 1] = line end
  table.sort(result)
  return result
end

describe("<modules>", function()
  it("names the scripts, their threads, their arguments; prints go to the log error", function()
    files.write(dir .. "/a.lua", "print('a', select(2, mtev.thread_self()), arg[0] == '" .. dir .. "/a.lua', arg[1], ...)")
    files.write(dir .. "/b.lua", "function main() mtev.sleep(0.01) print('b', (select(2, mtev.thread_self()))) end")
    local output, status = run([[<app>
      <eventer><config><concurrency>3</concurrency></config></eventer>
      <logs><log name="error"><outlet name="f"/></log><log name="f" type="file" path="DIR/out"/></logs>
      <modules>
        <script file="DIR/a.lua" threads="all"><argument>x</argument><argument>y z</argument></script>
        <script file="DIR/b.lua" threads="2"/>
      </modules></app>]])
    assert.same({ "", 0 }, { output, status })
    assert.same({ "a\t0\ttrue\tx\tx\ty z", "a\t1\ttrue\tx\tx\ty z", "a\t2\ttrue\tx\tx\ty z", "b\t0", "b\t1" }, lines(files.read(dir .. "/out")))
  end)

  it("spreads scripts of one thread over the threads", function()
    files.write(dir .. "/a.lua", "print(..., (select(2, mtev.thread_self())))")
    local script = '<script file="DIR/a.lua"><argument>%s</argument></script>'
    local output = run("<app><modules>" .. script:format("one") .. script:format("two") .. script:format("three") .. "</modules></app>", "-n 2")
    assert.same({ "one\t0", "three\t0", "two\t1" }, lines(output))
  end)

  it("keeps the globals of the scripts of a thread apart", function()
    files.write(dir .. "/a.lua", "function main() mtev.sleep(0.01) print(name) end name = ...")
    local script = '<script file="DIR/a.lua"><argument>%s</argument></script>'
    local output = run("<app><modules>" .. script:format("one") .. script:format("two") .. "</modules></app>")
    assert.same({ "one", "two" }, lines(output))
  end)

  it("takes scripts that are modules, with what is theirs", function()
    files.write(dir .. "/a.lua", "module(..., package.seeall)\nfunction main(x) mtev.sleep(0.01) print(_NAME, arg[1], x) end")
    local output, status = run('<app><modules><script file="DIR/a.lua"><argument>one</argument></script></modules></app>')
    assert.same({ "a\tone\tone\n", 0 }, { output, status })
  end)

  it("takes another entry, and modules in libmtev's form", function()
    os.execute("mkdir " .. dir .. "/lib")
    files.write(dir .. "/a.lua", "local M = {} function M.start() print('started') end return M")
    files.write(dir .. "/lib/spec_thing.lua", "module(..., package.seeall)\nfunction serve() print('serving', (select(2, mtev.thread_self()))) end")
    local output, status = run([[<app><modules>
      <script file="DIR/a.lua" entry="start"/>
      <generic image="lua_mtev" name="lua_general"><config>
        <directory>DIR/lib/?.lua</directory><lua_module>spec_thing</lua_module><lua_function>serve</lua_function>
      </config></generic>
      <generic image="lua_mtev" name="lua_general"><config>
        <lua_module>spec_thing</lua_module><lua_function>serve</lua_function><concurrent>true</concurrent>
      </config></generic></modules></app>]], "-n 2 -L +" .. dir .. "/lib/?.lua")
    assert.equal(0, status, output)
    assert.same({ "serving\t0", "serving\t0", "serving\t1", "started" }, lines(output))
  end)

  it("that cannot be run end the program", function()
    for config, expected in pairs {
      ["<app/>"] = { "no file given, and the configuration has no <modules>", 2 },
      ["<app><modules/></app>"] = { "no file given, and the configuration has no <modules>", 2 },
      ["<app><modules><script/></modules></app>"] = { "<script>: it needs a file", 2 },
      ["<app><modules><thing/></modules></app>"] = { "<thing> in <modules>: script or generic expected", 2 },
      ["<app><modules><generic/></modules></app>"] = { "<generic>: it needs a lua_module", 2 },
      ["<app><modules><script file='DIR/no.lua'/></modules></app>"] = { "no.lua: No such file", 1 },
      ["<app><modules><script file='/dev/null' threads='2'/></modules></app>"] =
        { "threads: a number from 1 to 1, or all, expected, got '2'", 2 },
      ["<app><modules><script file='/dev/null' entry='go'/></modules></app>"] = { "no function go in /dev/null", 1 },
    } do
      local output, status = run(config)
      assert.matches(expected[1], output, 1, true)
      assert.equal(expected[2], status)
    end
  end)

  it("are not needed for a script from a pipe", function()
    files.write(dir .. "/config.xml", "<app><answer>42</answer></app>")
    local output = process.sh(("echo 'print(mtev.conf_get_integer(\"//answer\"))' | %s -c %s/config.xml"):format(process.lhotse, dir))
    assert.equal("42\n", output)
  end)

  it("runs managed, as a user, with its logs: a daemon by one file", function()
    files.write(dir .. "/a.lua", "print('pid', io.open('/proc/self/stat'):read('*n')) mtev.sleep(1e6)")
    files.write(dir .. "/config.xml", ([[<app><watchdog tracedir="DIR"/>
      <logs><log name="error" timestamps="on" type="file" path="DIR/log"/></logs>
      <modules><script file="DIR/a.lua"/></modules></app>]]):gsub("DIR", dir))
    local child = mtev.spawn(process.lhotse, { "lhotse", "-m", "-m", "-c", dir .. "/config.xml" })
    local function pids()
      local result, file = {}, io.open(dir .. "/log")
      for pid in (file and file:read("*a") or ""):gmatch("%] pid\t(%d+)") do result[#result + 1] = pid end
      if file then file:close() end
      return result
    end
    while #pids() < 1 do mtev.sleep(0.01) end
    os.execute("kill -9 " .. pids()[1])
    while #pids() < 2 do mtev.sleep(0.01) end
    child:kill(15)
    assert.equal(143, mtev.WEXITSTATUS((child:wait(60))))
    assert.matches("%] lhotse: worker %d+ was ended by signal 9", files.read(dir .. "/log"))
  end)
end)
