-- debug.sethook and debug.gethook. A wait in a hook, or in a coroutine that a hook resumes, cannot be: LuaJIT cannot yield
-- there, and says so only with SIGSEGV.

describe("a debug hook", function()
  after_each(function() debug.sethook() end)

  it("is called as LuaJIT does, and debug.gethook tells of it", function()
    local lines = {}
    local function hook(event, line)
      assert(event == "line")
      lines[#lines + 1] = line - debug.getinfo(2, "S").linedefined
    end
    local function traced()
      local a = 1
      return a
    end
    debug.sethook(hook, "l")
    traced()
    debug.sethook()
    assert.is_true(#lines >= 2)
    local function nothing() end
    debug.sethook(nothing, "crl", 100)
    local found, mask, count = debug.gethook()
    debug.sethook()
    assert.same({ nothing, "crl", 100 }, { found, mask, count })
    assert.is_nil((debug.gethook()))
  end)

  it("cannot wait, nor what it resumes", function()
    local generator = coroutine.wrap(function()
      while true do
        mtev.sleep(0.01)
        coroutine.yield(1)
      end
    end)
    local direct, resumed, spawned
    debug.sethook(function()
      direct = direct or select(2, pcall(mtev.sleep, 0.01))
      resumed = resumed or select(2, pcall(generator))
      if spawned == nil then
        spawned = false
        mtev.coroutine_spawn(function() -- begins after the hook
          mtev.sleep(0.001)
          spawned = true
        end)
      end
    end, "l")
    local x = 1
    x = x + 1
    debug.sethook()
    assert.matches("attempt to yield across C%-call boundary %(mtev.sleep%)", direct)
    assert.matches("attempt to yield across C%-call boundary %(mtev.sleep%)", resumed)
    local deadline = mtev.time() + 20
    while not spawned and mtev.time() < deadline do mtev.sleep(0.001) end
    assert.is_true(spawned)
  end)

  it("may raise, and waiting works afterwards", function()
    local is_armed = false
    debug.sethook(function() if is_armed then is_armed = false error("enough") end end, "l")
    local ok, err = pcall(function()
      is_armed = true
      is_armed = is_armed
    end)
    debug.sethook()
    assert.is_false(ok)
    assert.matches("enough", err)
    assert.is_true(mtev.sleep(0.001):seconds() > 0)
  end)
end)
