-- debug.sethook and debug.gethook, jit.attach. A wait in a hook or callback, or in a coroutine that one resumes, cannot
-- be: LuaJIT cannot yield there, and says so only with SIGSEGV.

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

  -- LuaJIT runs a message handler for what a hook raised inside the hook still.
  it("may raise, and what a message handler spawns then begins when the error was caught", function()
    local resumed, woke
    local ok, message = xpcall(function()
      debug.sethook(function()
        debug.sethook()
        error("too many instructions", 0)
      end, "", 1)
      local x = 1
      return x + 1
    end, function(e)
      resumed = select(2, coroutine.resume(coroutine.create(function() mtev.sleep(0.001) end)))
      mtev.coroutine_spawn(function()
        local a, b = "a", "b"
        mtev.sleep(0.001)
        woke = a .. b
        mtev.notify("woke")
      end)
      return e
    end)
    assert.same({ false, "too many instructions" }, { ok, message })
    assert.matches("attempt to yield across C%-call boundary", resumed)
    if not woke then mtev.waitfor("woke", 20) end
    assert.equal("ab", woke)
    local began -- and hooks, spawns and waits are as before
    mtev.coroutine_spawn(function() began = true end)
    assert.is_true(began)
    local count = 0
    debug.sethook(function() count = count + 1 end, "l")
    began = nil
    debug.sethook()
    assert.is_true(count > 0)
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
    local function nested()
      return coroutine.wrap(function()
        return coroutine.wrap(function() return mtev.sleep(0.0005) end)()
      end)()
    end
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
        local waits = "coroutine is waiting in mtev.sleep"
        while coroutine.status(inner) ~= "dead" and select(2, coroutine.resume(inner)) == waits do mtev.sleep(0.001) end
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

describe("a callback of jit.attach", function()
  -- Loads functions that are compiled, and leave what was compiled: every event comes.
  local function cause_events()
    for round = 1, 30 do
      local f = assert(loadstring("local x = 0 for i = 1, 1000 do x = x + i % " .. round .. " end return x"))
      f()
    end
  end

  it("is called for its event, with what LuaJIT tells, until it is detached", function()
    local calls, last = 0, nil
    local function callback(prototype)
      calls, last = calls + 1, type(prototype)
    end
    jit.attach(callback, "bc")
    for i = 1, 3 do assert(loadstring("return " .. i)) end
    jit.attach(callback)
    assert(loadstring("return 4"))
    assert.same({ 3, "proto" }, { calls, last })
    assert.error_matches(function() jit.attach(1, "bc") end,
      "bad argument #1 to 'attach' (function expected, got number)", 1, true)
    assert.error_matches(function() jit.attach(callback, {}) end,
      "bad argument #2 to 'attach' (string expected, got table)", 1, true)
  end)

  for _, event in ipairs { "bc", "trace", "record", "texit" } do
    it("cannot wait, nor what it resumes: " .. event, function()
      local generator = coroutine.wrap(function()
        while true do
          mtev.sleep(0.01)
          coroutine.yield(1)
        end
      end)
      local calls, spawned, direct, resumed = 0, 0, nil, nil
      local function callback()
        calls = calls + 1
        direct = direct or select(2, pcall(mtev.sleep, 0.01))
        resumed = resumed or select(2, pcall(generator))
        mtev.coroutine_spawn(function() -- begins after the callback
          mtev.sleep(0)
          spawned = spawned + 1
        end)
      end
      jit.attach(callback, event)
      cause_events()
      jit.attach(callback)
      assert.is_true(calls > 0)
      assert.matches("attempt to yield across C%-call boundary %(mtev.sleep%)", direct)
      assert.matches("attempt to yield across C%-call boundary %(mtev.sleep%)", resumed)
      while spawned < calls do mtev.sleep(0) end
    end)
  end
end)
