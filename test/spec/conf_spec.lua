-- The configuration: -c, -T, mtev.conf_get_*, mtev.conf_replace_*, mtev.conf_save. One document for a process, so most of this
-- runs in processes of its own.

local files = require("test.support.files")
local process = require("test.support.process")

local dir

setup(function() dir = files.directory() end)
teardown(function() files.remove(dir) end)

local DOCUMENT = [[<?xml version="1.0"?>
<app name="spec">
  <eventer><config><concurrency>1</concurrency></config></eventer>
  <item n="1" big="9007199254740991">first</item>
  <item n="0x10" octal="017">second</item>
  <item n="3">third<!-- comment --> <b>bold</b></item>
  <deep level="outer"><mid><inner level="inner"><leaf/></inner></mid></deep>
  <flags on="on" true="TRUE" one="1" yes="Yes" off="off" no="no" zero="0" false="False" maybe="maybe"/>
  <env whole="ENV:fallback:{SPEC_SET}" missing="ENV:fallback:{SPEC_UNSET}" empty="ENV::{SPEC_UNSET}" set-empty="ENV:x:{SPEC_EMPTY}"
    part="a {{ENV:b:{SPEC_UNSET}}} c {{ENV::{SPEC_SET}}} {{not}} {{ENV:b:{SPEC_SET}" not="ENV:a b:{SPEC_SET}" behind="ENV:x:{SPEC_SET} y"/>
  <float pi="3.141592653589793" word="12abc" exp="1e3" space=" 7 "/>
</app>]]

-- Runs a script with this configuration (default: the one above); output, status, the configuration's path.
local function run(script, document, options)
  local path = dir .. "/spec.conf"
  files.write(path, document or DOCUMENT)
  local output, status = process.run(script, { options = (options or "") .. " -c " .. path, before = "SPEC_SET=set SPEC_EMPTY=" })
  return output, status, path
end

local function shows(expected, script, document)
  local output, status = run(script, document)
  assert.equal(expected, output)
  assert.equal(0, status)
end

describe("mtev.conf_get_string", function()
  it("gives the last match's text", function()
    shows("spec\n3\nthird bold\nfirst\nnil\n", [[
      print(mtev.conf_get_string("/app/@name"))
      print(mtev.conf_get_string("//item/@n"))
      print(mtev.conf_get_string("//item"))
      print(mtev.conf_get_string("//item[1]"))
      print(mtev.conf_get_string("//nothing"))]])
  end)

  it("has the deepest one win in libmtev's idiom for inherited settings", function()
    shows("inner\nouter\n", [[
      print(mtev.conf_get_string("//leaf/ancestor-or-self::node()/@level"))
      print(mtev.conf_get_string("//mid/ancestor-or-self::node()/@level"))]])
  end)

  it("gives other expressions' values as strings", function()
    shows("3\ttrue\tFirst\n", [[print(mtev.conf_get_string("count(//item)"), mtev.conf_get_string("1=1"), mtev.conf_get_string("'First'"))]])
  end)

  it("puts the environment in, or a default that may have colons", function()
    shows("http://localhost:8500|set|a:b|x http://h:1/ y\n", [[
      local t = {}
      for i = 1, 4 do t[i] = mtev.conf_get_string("//v[" .. i .. "]") end
      print(table.concat(t, "|"))]], [[<d><v>ENV:http://localhost:8500:{SPEC_UNSET}</v><v>ENV:a:b:{SPEC_SET}</v>
        <v>ENV:a:b:{SPEC_UNSET}</v><v>x {{ENV:http://h:1/:{SPEC_UNSET}}} y</v></d>]])
  end)

  it("puts the environment in", function()
    shows("set|fallback|||a b c set {{not}} {{ENV:b:{SPEC_SET}|ENV:a b:{SPEC_SET}|ENV:x:{SPEC_SET} y\n", [[
      local values = {}
      for i, name in ipairs { "whole", "missing", "empty", "set-empty", "part", "not", "behind" } do
        values[i] = mtev.conf_get_string("//env/@" .. name)
      end
      print(table.concat(values, "|"))]])
  end)

  it("raises for what is no XPath, and no string", function()
    local output = run([[
      print(pcall(mtev.conf_get_string, "//["))
      print(pcall(mtev.conf_get_string, 5))
      print(pcall(mtev.conf_get_string))
      print(pcall(mtev.conf_get_string, "a\0b"))]])
    assert.matches("false\t[^\n]*bad XPath: [^\n]+\nfalse\t[^\n]*bad argument #1[^\n]*string expected, got number[^\n]*\n" ..
      "false\t[^\n]*string expected[^\n]*\nfalse\t[^\n]*string contains NUL", output)
  end)
end)

describe("mtev.conf_get_integer, _float and _boolean", function()
  it("read numbers", function()
    shows("1\t16\t15\t9007199254740991\t7\n3.1415926535898\ttrue\t1000\t7\t3\n", [[
      print(mtev.conf_get_integer("//item[1]/@n"), mtev.conf_get_integer("//item[2]/@n"), mtev.conf_get_integer("//item/@octal"),
        ("%.0f"):format(mtev.conf_get_integer("//item/@big")), mtev.conf_get_integer("//float/@space"))
      print(mtev.conf_get_float("//float/@pi"), mtev.conf_get_float("//float/@pi") == 3.141592653589793, mtev.conf_get_float("//float/@exp"),
        mtev.conf_get_number("//float/@space"), mtev.conf_number("count(//item)"))]])
  end)

  it("read booleans in many words", function()
    shows("true true true true false false false false\n", [[
      local values = {}
      for i, name in ipairs { "on", "true", "one", "yes", "off", "no", "zero", "false" } do
        values[i] = tostring(mtev.conf_get_boolean("//flags/@" .. name))
      end
      print(table.concat(values, " "))]])
  end)

  it("give nil for what is not there, and say what does not parse", function()
    shows("nil\tnot an integer: '12abc'\nnil\tnot an integer: 'third bold'\nnil\tnot an integer: '3.141592653589793'\n" ..
      "nil\tnot a number: '12abc'\nnil\tnot a boolean: 'maybe'\n1\t1\t1\n", [[
      print(mtev.conf_get_integer("//float/@word"))
      print(mtev.conf_get_integer("//item"))
      print(mtev.conf_get_integer("//float/@pi"))
      print(mtev.conf_get_float("//float/@word"))
      print(mtev.conf_get_boolean("//flags/@maybe"))
      print(select("#", mtev.conf_get_integer("//x")), select("#", mtev.conf_get_float("//x")), select("#", mtev.conf_get_boolean("//x")))]])
  end)
end)

describe("mtev.conf_get_string_list", function()
  it("gives the child of each match", function()
    shows("1,0x10,3\nnil\n", [[
      print(table.concat(mtev.conf_get_string_list("//item", "@n"), ","))
      print(mtev.conf_get_string_list("//nothing", "@n"))]])
  end)

  it("raises when a match has none", function()
    assert.matches("Unable to read option entry: //item @big", (run([[print(pcall(mtev.conf_get_string_list, "//item", "@big"))]])))
    assert.matches("string expected", (run([[print(pcall(mtev.conf_get_string_list, "//item"))]])))
  end)
end)

describe("mtev.conf_replace_value", function()
  it("replaces what is there, and makes what is not", function()
    shows("true\tx\t1\ntrue\tnew\ntrue\ttrue\t5\ntrue\tok\ntrue\tonly\t1\n", [[
      print(mtev.conf_replace_value("/app/item", "x"), mtev.conf_get_string("//item"), mtev.conf_get_string("count(//item)"))
      print(mtev.conf_replace_value("/app/deep/@level", "new"), mtev.conf_get_string("/app/deep/@level"))
      print(mtev.conf_replace_integer("/app/deep/count", 4), mtev.conf_replace_number("/app/deep/count", 5), mtev.conf_get_integer("/app/deep/count"))
      print(mtev.conf_replace_string("/app/deep/@made", "ok"), mtev.conf_get_string("/app/deep/@made"))
      print(mtev.conf_replace_value("//inner", "only"), mtev.conf_get_string("//deep/mid/inner"), mtev.conf_get_string("count(//inner)"))]])
  end)

  it("keeps markup as text", function()
    shows("true\ttrue\ntrue\ttrue\n", [==[
      local text = "<a href='x'>&amp;\"]]></a>\n\tü"
      print(mtev.conf_replace_value("/app/text", text), mtev.conf_get_string("/app/text") == text)
      print(mtev.conf_replace_value("/app/@text", "<&'\">"), mtev.conf_get_string("/app/@text") == "<&'\">")]==])
  end)

  it("is false without a parent, nil without a value", function()
    shows("false\tfalse\tnil\tfalse\n", [[
      print(mtev.conf_replace_value("/app/no/such", "x"), mtev.conf_replace_value("//no", "x"), mtev.conf_replace_value("/app/x"), mtev.conf_replace_value("/app", "x"))]])
  end)

  it("sets booleans by their truth", function()
    shows("true\tfalse\ntrue\ttrue\n", [[
      print(mtev.conf_replace_boolean("/app/flag", nil), mtev.conf_get_boolean("/app/flag"))
      print(mtev.conf_replace_boolean("/app/flag", 0), mtev.conf_get_boolean("/app/flag"))]])
  end)

  it("raises for a path that selects what the value would be put into; nothing is lost", function()
    local output = run([[
      print(pcall(mtev.conf_replace_value, "/app|/app/x", "x"))
      print(pcall(mtev.conf_replace_value, "//item|/app|/app/x", "x"))
      print(mtev.conf_get_string("count(//item)"))]])
    assert.matches("selects what the value would be put into.*selects what the value would be put into.*\n3\n", output)
  end)

  it("raises for paths whose last step is no name, and for text that XML cannot hold", function()
    local output = run([[
      print(pcall(mtev.conf_replace_value, "/app/item[1]", "x"))
      print(pcall(mtev.conf_replace_value, "app", "x"))
      print(pcall(mtev.conf_replace_value, "/app/[", "x"))
      print(pcall(mtev.conf_replace_value, "/app/x", "a\0b"))
      print(pcall(mtev.conf_replace_value, "/app/x", "\255"))
      print(pcall(mtev.conf_replace_value, "/app/x", {}))
      print(mtev.conf_get_string("count(//item)"))]])
    assert.matches("neither a name.*neither a name.*bad XPath.*XML allows.*XML allows.*string expected.*\n3\n", output)
  end)
end)

describe("libmtev's older names and forms", function()
  it("read and set", function()
    shows("first\t1\tfalse\ntrue\tchanged\nfalse\ntrue\tmade\ntrue\t3\n", [[
      print(mtev.conf("//item[1]"), mtev.conf_integer("//item[1]/@n"), mtev.conf_boolean("//flags/@no"))
      print(mtev.conf_get_string("//item[1]", "changed"), mtev.conf_string("//item[1]"))
      print(mtev.conf_get_string("//item", "which of them?"))
      print(mtev.conf_get("/app/made", "made"), mtev.conf_get("/app/made"))
      print(mtev.conf_get_integer("//item[1]/@n", 3), mtev.conf_get_integer("//item[1]/@n"))]])
  end)
end)

describe("A configuration file", function()
  it("is changed only by conf_save, and then whole", function()
    local _, _, path = run([[mtev.conf_replace_value("/app/@name", "changed")]])
    local f = io.open(path)
    assert.equal(DOCUMENT, f:read("*a"))
    f:close()
    local output = process.run([[
      mtev.conf_replace_value("/app/@name", "changed")
      mtev.conf_mark_changed()
      print(mtev.conf_save())]], { options = "-c " .. path })
    assert.equal("true\n", output)
    f = io.open(path)
    local text = f:read("*a")
    f:close()
    assert.matches('<app name="changed">', text, 1, true)
    assert.matches("ENV:fallback:{SPEC_SET}", text, 1, true)
    assert.equal("false\tthere is no configuration file\n", (process.run("print(mtev.conf_save())")))
    assert.same({ ".", "..", "spec.conf" }, (function() local names = mtev.readdir(dir) table.sort(names) return names end)())
  end)

  it("includes others, which saving leaves where they are", function()
    mtev.mkdir(dir .. "/parts")
    files.write(dir .. "/parts/one.xml", "<root><a>1</a><include file='two.xml' snippet='true'/></root>")
    files.write(dir .. "/parts/two.xml", "<b>2</b><b>3</b>")
    local output, _, path = run([[
      print(mtev.conf_get_string("//a"), mtev.conf_get_string("count(//b)"), mtev.conf_get_string("/app/include/a"))
      mtev.conf_replace_value("/app/c", "4")
      print(mtev.conf_save())]], "<app><include file='parts/one.xml'/></app>")
    assert.equal("1\t2\t1\ntrue\n", output)
    local f = io.open(path)
    assert.equal('<?xml version="1.0"?>\n<app><include file="parts/one.xml"/><c>4</c></app>\n', f:read("*a"))
    f:close()
    files.write(dir .. "/parts/loop.xml", "<root><include file='loop.xml'/></root>")
    local status
    output, status = run("", "<app><include file='parts/loop.xml'/></app>")
    assert.matches("files include one another too deeply", output)
    assert.equal(2, status)
    assert.matches("parts/none.xml: No such file or directory", (run("", "<app><include file='parts/none.xml'/></app>")))
    output = run("print(mtev.conf_get_string('count(//include)'))",
      "<app xmlns:x='y'><include x:file='parts/none.xml'/></app>")
    assert.equal("1\n", output) -- no file of ours
  end)

  it("is saved where a symbolic link points", function()
    files.write(dir .. "/real.conf", "<app/>")
    os.execute(("ln -s real.conf %s/link.conf"):format(dir))
    assert.equal("true\n", (process.run("mtev.conf_replace_value('/app/a', '1') print(mtev.conf_save())",
      { options = "-c " .. dir .. "/link.conf" })))
    assert.matches("<a>1</a>", files.read(dir .. "/real.conf"))
    assert.equal("real.conf\n", process.sh(("readlink %s/link.conf"):format(dir)))
  end)

  -- The pool goes on with what a cancelled coroutine has begun: a file that it makes then is to be removed by it, too.
  it("is all that is there after a save, wherever it was cancelled", function()
    files.write(dir .. "/cancelled.conf", "<app/>")
    local output = process.run([[
      local debug_info = require("mtev.debug")
      for i = 1, 300 do
        local co = mtev.coroutine_spawn(function() mtev.conf_save() end)
        for _ = 1, i do mtev.sleep(0) end
        mtev.cancel_coro(co)
      end
      while debug_info.counts().jobs > 0 do mtev.sleep(0.01) end
      mtev.conf_replace_value("/app/a", "1")
      print(mtev.conf_save())]], { options = "-c " .. dir .. "/cancelled.conf" })
    assert.equal("true\n", output)
    assert.matches("<a>1</a>", files.read(dir .. "/cancelled.conf"))
    local strays = mtev.readdir(dir, function(name) return name:find("^cancelled%.conf%.") ~= nil end)
    assert.same({}, strays)
  end)

  it("that cannot be used ends the program with the reason", function()
    for text, reason in pairs {
      ["<app>\n<b>\n</app>"] = "line 3, column 7: Opening and ending tag mismatch: b line 2 and app",
      [""] = "",
      ['<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'] = "line 1",
      ['<!DOCTYPE a [<!ENTITY a "' .. ("x"):rep(1000) .. '"><!ENTITY b "' .. ("&a;"):rep(1000) .. '"><!ENTITY c "' .. ("&b;"):rep(1000) ..
        '">]><a>&c;&c;&c;</a>'] = "line 1",
    } do
      local output, status, path = run("print('it runs')", text)
      assert.equal(2, status)
      assert.equal("lhotse: " .. path .. ": ", output:sub(1, #path + 10))
      assert.matches(reason, output, 1, true)
    end
    local output, status = process.run("", { options = "-c " .. dir .. "/nowhere" })
    assert.same({ "lhotse: " .. dir .. "/nowhere: No such file or directory\n", 2 }, { output, status })
  end)

  it("has settings of the program, and what is none of them is named, with the nearest", function()
    local path = dir .. "/spec.conf"
    local function noted(text, ...)
      local expected = {}
      for i, line in ipairs { ... } do expected[i] = line:gsub("FILE", path) .. "\n" end
      assert.equal(table.concat(expected) .. "ran\n", (run("print('ran')", "<app>" .. text .. "</app>", "2>&1")))
    end
    local unknown = "lhotse: FILE: <%s>: the %s %s is unknown, and ignored"
    noted('<watchdog timout="2" nonsense="x"/>', unknown:format("watchdog", "attribute", "timout") .. "; did you mean timeout?",
      unknown:format("watchdog", "attribute", "nonsense"))
    noted("<eventer><config><concurency>4</concurency></config></eventer>",
      unknown:format("config", "element", "concurency") .. "; did you mean concurrency?")
    noted("<eventer><confg/></eventer>", unknown:format("eventer", "element", "confg") .. "; did you mean config?")
    -- What may have been meant to restrict the program, or to join it to others, is not ignored.
    for text, problem in pairs {
      ['<security usr="x"/>'] = "<security>: the attribute usr is unknown; did you mean user?",
      ["<security><user>x</user></security>"] = "<security>: the element user is unknown",
      ['<securty user="x"/>'] = "<securty> is not used by this program; did you mean <security>?",
      ['<security user="root"/><security user="nobody"/>'] = "<security> stands there more than once",
      ['<clusters><cluster name="a" endpoint="x"/></clusters>'] =
        "<cluster>: the attribute endpoint is unknown; did you mean endpoints?",
    } do
      local output, status = run("print('ran')", "<app>" .. text .. "</app>", "2>&1")
      assert.same({ "lhotse: " .. path .. ": " .. problem .. "\n", 2 }, { output, status })
    end
    noted('<logs timestamp="on"><group><lgo name="x"/></group></logs>',
      unknown:format("logs", "attribute", "timestamp") .. "; did you mean timestamps?",
      unknown:format("group", "element", "lgo") .. "; did you mean log?")
    noted('<wachdog timeout="2"/>', "lhotse: FILE: <wachdog> is not used by this program; did you mean <watchdog>?")
    noted('<mine timout="2"><concurency/></mine><watchdog timeout="2"/><logs><group><log name="x"/></group></logs>')
  end)

  it("refuses values of settings that it cannot use: file, element, value", function()
    local function refused(text, message)
      local output, status = run("print('ran')", "<app>" .. text .. "</app>")
      assert.equal(("lhotse: %s/spec.conf: %s\n"):format(dir, message), output)
      assert.equal(2, status)
    end
    refused("<eventer><config><concurrency>many</concurrency></config></eventer>",
      "<concurrency>: a number from 0 to 256 expected, got 'many'")
    refused('<watchdog timeout="soon"/>', "<watchdog>: timeout: a number above 0 expected, got 'soon'")
    refused('<logs><log name="a" debug="maybe"/></logs>', "<log name=\"a\">: debug: on or off expected, got 'maybe'")
  end)

  it("says how many threads there are, unless the command line does", function()
    local text = "<app><eventer><config><concurrency>3</concurrency></config></eventer></app>"
    assert.equal("3\n3\n3\n", (run("print(mtev.eventer_loop_concurrency())", text)))
    assert.equal("2\n2\n", (run("print(mtev.eventer_loop_concurrency())", text, "-n 2")))
  end)

  it("is shown by -T as it counts", function()
    files.write(dir .. "/included.xml", "<root><inside/></root>")
    files.write(dir .. "/spec.conf", "<app><include file='included.xml'/></app>")
    local output, status = process.sh(("%s -c %s/spec.conf -T"):format(process.lhotse, dir))
    assert.equal('<?xml version="1.0"?>\n<app><include file="included.xml"><inside/></include></app>\n', output)
    assert.equal(0, status)
    output = process.sh(process.lhotse .. " -n 4 -T")
    assert.matches("<cli>.*<concurrency>4</concurrency>.*</cli>", output)
    assert.matches("^4\n", (process.run("print(mtev.conf_get_string('/cli/eventer/config/concurrency'))", { options = "-n 4" })))
  end)

  it("of ten thousand nodes is read quickly, by threads side by side, while others change it", function()
    local parts = {}
    for i = 1, 10000 do parts[i] = ("<node id='%d'>value %d</node>"):format(i, i) end
    local output = run([[
      local _, tid = mtev.thread_self()
      for i = 1, 200 do
        if tid == 0 then
          assert(mtev.conf_replace_value("/app/changing", ("x"):rep(i % 50 + 1)))
        else
          local value = mtev.conf_get_string("/app/changing")
          assert(value == nil or value:find("^x+$"))
          assert(mtev.conf_get_string("/app/node[" .. i * 7 .. "]") == "value " .. i * 7)
        end
      end
      print("done")]], "<app>" .. table.concat(parts) .. "</app>", "-n 4")
    assert.equal(("done\n"):rep(4), output)
  end)
end)
