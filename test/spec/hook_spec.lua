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

  -- The library's own Lua, which hands a wait and its answer through coroutines within coroutines, has no hooks.
  it("may cancel, wait in vain or raise anywhere, and answers go where they belong", function()
    local function nested() return coroutine.wrap(function() return coroutine.wrap(function() return mtev.sleep(0.0005) end)() end)() end
    local refused
    debug.sethook(function() refused = select(2, pcall(mtev.sleep, 0)) end, "l")
    local slept = nested()
    debug.sethook()
    assert.equal("cdata", type(slept))
    assert.matches("attempt to yield across C-call boundary", refused, 1, true)

    for round = 1, 60 do
      local forged = 0
      local outer = mtev.coroutine_spawn(function()
        local steps, me, is_over, inner = 0, coroutine.running(), false, nil
        inner = coroutine.create(function()
          local usec = mtev.sleep(0.0005)
          if type(usec) ~= "cdata" then forged = forged + 1 end
        end)
        pcall(function()
          debug.sethook(function()
            local now = coroutine.running()
            if is_over or (now ~= me and now ~= inner) then return end
            steps = steps + 1
            if steps == round then error("step limit", 0) end
          end, "lcr")
          coroutine.resume(inner)
          is_over = true
        end)
        is_over = true
        debug.sethook()
        for _ = 1, 3 do
          local _, message = coroutine.resume(inner, "forged", 2, 3)
          if tostring(message):find("mtev/", 1, true) then forged = forged + 1 end
        end
        while coroutine.status(inner) ~= "dead" and select(2, coroutine.resume(inner)) == "coroutine is waiting in mtev.sleep" do mtev.sleep(0.001) end
      end)
      local steps = 0
      local victim = mtev.coroutine_spawn(function()
        local co = coroutine.running()
        debug.sethook(function()
          steps = steps + 1
          if steps == round then mtev.cancel_coro(co) end
        end, "l")
        pcall(nested)
        debug.sethook()
      end)
      while coroutine.status(outer) ~= "dead" or coroutine.status(victim) ~= "dead" do mtev.sleep(0.001) end
      debug.sethook()
      assert.equal(0, forged)
    end
  end)
end)
