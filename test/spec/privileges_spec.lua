-- -u and -g: becoming another user. Only root can; otherwise the cases say that they were not run.

local process = require("test.support.process")
local files = require("test.support.files")

local ffi = require("ffi")
ffi.cdef "unsigned geteuid(void);"

local is_root = ffi.C.geteuid() == 0
local dir

-- /tmp itself may be closed to others; what must be reached by nobody lies here.
before_each(function() dir = files.directory() os.execute("chmod 755 " .. dir) end)
after_each(function() files.remove(dir) end)

local function as_root(name, run)
  if is_root then it(name, run) else
    print("  not run, this is not root: " .. name)
  end
end

-- Runs a script that everybody may read; ids() in it gives "real effective saved file" user and group ids, and groups.
local function run(script, options)
  files.write(dir .. "/script.lua", [[
    local function field(name) return io.open("/proc/self/status"):read("*a"):match(name .. ":%s*([^\n]*)") end
    ]] .. script)
  return process.sh(("%s %s %s/script.lua"):format(process.lhotse, options, dir))
end

describe("The option -u", function()
  as_root("makes the program that user, with its groups, for good", function()
    local output, status = run([[
      print(field("Uid") .. "\n" .. field("Gid") .. "\n" .. field("Groups"))
      print(os.execute("id -u") == 0)
      require("ffi").cdef "int setuid(unsigned);"
      print(require("ffi").C.setuid(0))]], "-n 2 -u nobody")
    assert.equal(0, status)
    local one = "65534\t65534\t65534\t65534\n65534\t65534\t65534\t65534\n65534 \n"
    local _, count = output:gsub(one, "")
    assert.equal(2, count)
    assert.matches("%-1\n", output)
    assert.not_matches("\n0\n", output)
  end)

  as_root("leaves it the right to bind low ports, and nothing else; its children not even that", function()
    local output, status = run([[
      local e = mtev.socket("inet")
      print(e:bind("127.0.0.1", 907) ~= 13) -- EACCES; in use would do
      print(field("CapEff"), field("CapPrm"), field("CapInh"))
      print(io.popen("grep CapEff /proc/self/status"):read("*a"))
      print(io.open("/etc/shadow"))]], "-u nobody")
    assert.equal(0, status)
    assert.matches("^true\n", output)
    assert.matches("0000000000000400\t0000000000000400\t0000000000000000\n", output)
    assert.matches("CapEff:\t0000000000000000\n", output)
    assert.matches("nil\t/etc/shadow: Permission denied", output)
  end)

  -- A program with the set-user-ID bit, or with capabilities of its file, gains nothing from them.
  as_root("lets no program that it starts gain anything", function()
    local output = run([[
      print(field("NoNewPrivs"), field("CapBnd"))
      print(io.popen("su -c 'echo gained' 2>&1; id -u"):read("*a"))]], "-u nobody")
    assert.matches("^1\t0000000000000400\n", output)
    assert.not_matches("gained", output)
    output = run([[print(field("NoNewPrivs"))]], "-g daemon")
    assert.equal("0\n", output)
  end)

  -- A number without an account has no group: it would be left in root's.
  as_root("takes a number that no account has with a group only", function()
    local output, status = run("print('ran')", "-u 12345")
    assert.matches("^lhotse: user 12345 has no account, and so needs a group\n", output)
    assert.equal(2, status)
    output = run("print(field('Uid')) print(field('Gid')) print(field('Groups'))", "-u 12345 -g 12346")
    assert.equal("12345\t12345\t12345\t12345\n12346\t12346\t12346\t12346\n12346 \n", output)
    files.write(dir .. "/config.xml", '<any><security user="12345"/></any>')
    output, status = run("print('ran')", "-c " .. dir .. "/config.xml")
    assert.equal(("lhotse: %s/config.xml: <security>: user 12345 has no account, and so needs a group\n"):format(dir), output)
    assert.equal(2, status)
  end)

  as_root("-g alone leaves the other groups, too", function()
    assert.equal("1\n", process.sh("setpriv --groups 0,4,27 true && echo 1"))
    files.write(dir .. "/groups.lua", [[print(io.open("/proc/self/status"):read("*a"):match("Groups:%s*([^\n]*)"))]])
    assert.equal("1 \n", process.sh(("setpriv --groups 0,4,27 %s -g 1 %s/groups.lua"):format(process.lhotse, dir)))
  end)

  as_root("takes a number, and -g another group", function()
    local output = run("print(field('Uid')) print(field('Gid'))", "-u 65534 -g 65533")
    assert.equal("65534\t65534\t65534\t65534\n65533\t65533\t65533\t65533\n", output)
    output = run("print(field('Uid')) print(field('Gid'))", "-g daemon")
    assert.equal("0\t0\t0\t0\n1\t1\t1\t1\n", output)
  end)

  as_root("comes after the logs are open, whose files become the user's", function()
    os.execute(("mkdir -m 700 %s/logs"):format(dir))
    files.write(dir .. "/config.xml", ('<any><logs><log name="a" type="file" path="%s/logs/a.log"/></logs>' ..
      '<security user="nobody"/></any>'):format(dir))
    local _, status = run("mtev.log('a', '%s\\n', field('Uid'))", "-c " .. dir .. "/config.xml")
    assert.equal(0, status)
    assert.equal("65534\t65534\t65534\t65534\n", files.read(dir .. "/logs/a.log"))
    assert.equal("nobody\n", (process.sh("stat -c %U " .. dir .. "/logs/a.log")))
  end)

  as_root("under a monitor makes the worker that user, which still dies with its monitor", function()
    files.write(dir .. "/script.lua", "mtev.sleep(1e6)")
    local child = mtev.spawn(process.lhotse, { "lhotse", "-m", "-m", "-u", "nobody", dir .. "/script.lua" })
    local worker
    repeat
      mtev.sleep(0.01)
      local children = process.sh(("cat /proc/%d/task/%d/children"):format(child:pid(), child:pid()))
      worker = tonumber(children:match("%d+"))
      local status = worker and process.sh("cat /proc/" .. worker .. "/status") or ""
    until status:find("Uid:\t65534")
    child:kill(9)
    child:wait(60)
    process.await_death(worker)
  end)

  it("with somebody who is not there ends the program before the script runs", function()
    local output, status = run("print('ran')", "-u no-such-user")
    assert.same({ "lhotse: no such user: no-such-user\n", 2 }, { output, status })
    output, status = run("print('ran')", "-g no-such-group")
    assert.same({ "lhotse: no such group: no-such-group\n", 2 }, { output, status })
  end)

  it("of one who may not ends the program", function()
    local command = ("%s -u root %s/script.lua"):format(process.lhotse, dir)
    files.write(dir .. "/script.lua", "print('ran')")
    if is_root then
      -- Somebody who is not root, and can reach the program.
      process.sh(("cp %s %s/lhotse"):format(process.lhotse, dir))
      command = ("setpriv --reuid 65534 --regid 65534 --clear-groups %s/lhotse -u root %s/script.lua"):format(dir, dir)
    end
    local output, status = process.sh(command)
    assert.equal(2, status)
    assert.matches("cannot .* the user: Operation not permitted", output)
    assert.not_matches("ran", output)
  end)
end)
