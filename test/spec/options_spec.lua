-- Tables of options: a name or a word that is misspelt is never taken for something else.

local files = require("test.support.files")
local net = require("test.support.net")
local process = require("test.support.process")

-- Runs a script; gives what it prints.
local function run(script, program)
  local path = files.directory() .. "/script.lua"
  files.write(path, script)
  local output = process.sh(("timeout 60 %s %s"):format(process.quote(program or process.lhotse), process.quote(path)))
  files.remove(path:match("^(.*)/"))
  return output
end

describe("An unknown option", function()
  -- Each was ignored by some functions once: { timeuot = 1 } waited for ever.
  it("raises, with the name that was probably meant", function()
    local client, server = net.pair()
    local api = mtev.Api:http("127.0.0.1", 1)
    local calls = {
      { "timeuot", "timeout", function(o) client:read("\n", o) end },
      { "limits", "limit", function(o) client:read("\n", o) end },
      { "timeuot", "timeout", function(o) client:write("x", o) end },
      { "Timeout", "timeout", function(o) client:recv(1, o) end },
      { "stdot", "stdout", function(o) mtev.spawn("/bin/true", nil, nil, o) end },
      { "offset", "offsets", function(o) mtev.pcre("a")("a", o) end },
      { "int46", "int64", function(o) mtev.parsejson("1"):document(o) end },
      { "conect_timeout", "connect_timeout", function(o) api:get("/", nil, nil, o) end },
      { "redirect", "redirects", function(o) api:request("GET", "/", nil, nil, o) end },
      { "prot", "port", function(o) mtev.reverse_listen(o) end },
      { "retrymin", "retry_min", function(o) mtev.reverse_connect(o) end },
    }
    for _, case in ipairs(calls) do
      local ok, message = pcall(case[3], { [case[1]] = 1 })
      assert.is_false(ok)
      assert.matches("options_spec.lua:%d+: ", message)
      assert.matches("unknown option '" .. case[1] .. "'", message, 1, true)
      assert.matches("(did you mean '" .. case[2] .. "'?)", message, 1, true)
    end
    client:close()
    server:close()
  end)

  it("raises without a guess when nothing is like it, whatever it is", function()
    local client = net.pair()
    for _, key in ipairs { "colour", 1, true, ("x"):rep(10000), "", "time\0out" } do
      local ok, message = pcall(client.read, client, "\n", { [key] = 1 })
      assert.is_false(ok)
      assert.matches("unknown option", message)
      assert.is_nil(message:find("did you mean", 1, true))
    end
    assert.error_matches(function() client:read("\n", true) end, "bad argument #2 to 'read' (table expected, got boolean)", 1, true)
  end)

  it("of a table that scripts for libmtev make is reported, once", function()
    local output = run [[
      local HttpClient = require "mtev.HttpClient"
      for _ = 1, 3 do
        HttpClient:new({ conected = print })
        mtev.Proc:new { path = "x", boot_macth = "y" }
        mtev.websocket_client_connect("127.0.0.1", 1, "/", nil, { mesage = print, cleanup = function() end })
        mtev.Api:https("localhost", 1, nil, { ignore_datse = true, stranger = 5 })
      end]]
    for _, text in ipairs { "'conected' to 'new' (did you mean 'connected'?)", "'boot_macth' to 'new' (did you mean 'boot_match'?)",
      "'mesage' to 'websocket_client_connect' (did you mean 'message'?)", "'ignore_datse' (did you mean 'ignore_dates'?)",
      "'stranger'" } do
      local at = output:find("unknown option " .. text, 1, true)
      assert.truthy(at)
      assert.is_nil(output:find("unknown option " .. text, at + 1, true))
    end
    assert.matches("script.lua:%d+: unknown option 'stranger'", output)
  end)
end)

describe("The value of an option", function()
  it("may be a numeric string where a number is expected", function()
    local client, server = net.pair()
    assert.same({ n = 2, nil, "timeout" }, { n = 2, client:read("\n", { timeout = "0.01" }) })
    server:write("abcdef")
    assert.same({ n = 2, nil, "limit" }, { n = 2, client:read("\n", { limit = "3", timeout = "10" }) })
    assert.equal(3, select(2, mtev.pcre("a+")("baaa", { limit = "100000" })):len())
    local api = mtev.Api:http("127.0.0.1", 1)
    for _, option in ipairs { "timeout", "connect_timeout", "idle_timeout", "limit", "redirects", "progress_interval" } do
      assert.equal(-1, api:get("/", nil, nil, { [option] = "5" }):rc())
    end
  end)

  it("must be what it can be", function()
    local client = net.pair()
    local api = mtev.Api:http("127.0.0.1", 1)
    local calls = {
      ["bad argument #2 to 'read' (timeout must be a number)"] = function() client:read("\n", { timeout = "soon" }) end,
      ["limit must be a number of bytes"] = function() client:read("\n", { limit = -1 }) end,
      ["bad argument #2 to 'recv' (timeout must be a number)"] = function() client:recv(1, { timeout = 0 / 0 }) end,
      ["offsets must be a boolean"] = function() mtev.pcre("a")("a", { offsets = "ture" }) end,
      ["int64 must be a boolean"] = function() mtev.parsejson("1"):document { int64 = 2 } end,
      ["stdin must be 'pipe', 'null' or 'inherit'"] = function() mtev.spawn("x", nil, nil, { stdin = "nul" }) end,
      ["dir must be a path"] = function() mtev.spawn("x", nil, nil, { dir = "a\0b" }) end,
      ["bad option 'http1' to 'request' (boolean expected, got 'maybe')"] = function() api:get("/", nil, nil, { http1 = "maybe" }) end,
      ["bad option 'limit' to 'request' (number from 0 expected, got '-1')"] = function() api:get("/", nil, nil, { limit = -1 }) end,
      ["bad option 'timeout' to 'request' (number expected, got NaN)"] = function() api:get("/", nil, nil, { timeout = 0 / 0 }) end,
      ["bad option 'insecure' to 'reverse_listen' (boolean expected, got 'yess')"] = function()
        mtev.reverse_listen { port = 0, insecure = "yess" }
      end,
    }
    for message, f in pairs(calls) do assert.error_matches(f, message, 1, true) end
  end)

  it("may be a word where a boolean is expected", function()
    assert.equal("table", type((mtev.pcre("a")("a", { offsets = "yes" }))))
    assert.is_true((mtev.pcre("a")("a", { offsets = "off" })))
    assert.equal(1, mtev.parsejson("1"):document { int64 = "no" })
    mtev.reverse_listen({ address = "127.0.0.1", port = "0", insecure = "on" }):close()
    assert.error_matches(function() mtev.reverse_listen { address = "127.0.0.1", port = 0, insecure = "off" } end, "anybody could offer")
  end)
end)
