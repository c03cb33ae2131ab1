-- Objects of the API print what they are, and errors say what they got.

describe("an object of the API", function()
  local function objects()
    local process = mtev.spawn("true", { "true" })
    process:wait()
    return {
      ["mtev.process"] = process,
      ["mtev.semaphore"] = mtev.semaphore("type_spec", 1),
      ["mtev.eventer"] = mtev.socket("inet"),
      ["mtev.json"] = mtev.parsejson("{}"),
      ["mtev.dns"] = mtev.dns(),
      ["mtev.xmldoc"] = mtev.parsexml("<a/>"),
      ["mtev.xmlnode"] = mtev.parsexml("<a/>"):root(),
      ["mtev.Proc"] = mtev.Proc:new { path = "true" },
      ["mtev.Api"] = mtev.Api:http("127.0.0.1", 1),
    }
  end

  it("is named in errors", function()
    for name, object in pairs(objects()) do
      assert.error_matches(function() mtev.sleep(object) end, "bad argument #1 to 'sleep' (number expected, got " .. name .. ")", 1, true)
      assert.error_matches(function() mtev.stat(object) end, "got " .. name, 1, true)
    end
    assert.error_matches(function() mtev.sleep(newproxy()) end, "got userdata", 1, true)
    assert.error_matches(function() mtev.sleep(newproxy(true)) end, "got userdata", 1, true)
    assert.error_matches(function() mtev.sleep(setmetatable({}, { __name = 7 })) end, "got table", 1, true)
    assert.error_matches(function() mtev.sleep(setmetatable({}, { __name = "a stranger's" })) end, "got a stranger's", 1, true)
  end)

  it("prints its type, and what there is to say", function()
    for name, object in pairs(objects()) do
      if name ~= "mtev.json" and not name:find("xml") then -- these print their text
        assert.equal(name, tostring(object):match("^[%w.]+"))
      end
    end
  end)
end)
