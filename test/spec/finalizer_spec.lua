-- A finalizer (`__gc` of a newproxy's userdata, a file, or an object of ours, ffi.gc, ffi.metatype, debug.setmetatable)
-- is a coroutine of its own: it runs at the next turn of the loop after the collector has found its object, or when the
-- script asks for a collection. It may do whatever other coroutines may: wait, close what others use, raise. It never
-- runs inside a call of ours.
--
-- LuaJIT alone calls finalizers wherever something is allocated: in the middle of a C function, on the stack of a coroutine
-- that waits.

local run_script = require("test.support.process").run

-- Makes garbage with a finalizer.
local function litter(finalizer)
  getmetatable(newproxy(true)).__gc = finalizer
end

-- Calls f until so many finalizers have run; each piece of garbage is found soon.
local function among_finalizers(count, finalizer, f)
  local pause, stepmul = collectgarbage("setpause", 100), collectgarbage("setstepmul", 400)
  local ran = 0
  local function counted(object)
    ran = ran + 1
    return finalizer(object)
  end
  local i = 0
  while ran < count do
    i = i + 1
    litter(counted)
    f(i)
  end
  collectgarbage("setpause", pause)
  collectgarbage("setstepmul", stepmul)
end

describe("a finalizer", function()
  it("runs when the script asks for a collection", function()
    local ran = false
    litter(function() ran = true end)
    collectgarbage()
    assert.is_true(ran)
  end)

  it("runs at the next turn of the loop, when the collector went on by itself", function()
    local ran, kept = false, {}
    litter(function() ran = true end)
    local deadline = mtev.time() + 20
    while not ran and mtev.time() < deadline do
      for i = 1, 1000 do kept[i % 10] = { {}, {} } end -- kept for a while: what nobody sees LuaJIT does not allocate
      mtev.sleep(0)
    end
    assert.is_true(ran)
  end)

  it("may be set in every way, and more than once", function()
    local ran = {}
    local function note(name)
      return function() ran[name] = (ran[name] or 0) + 1 end
    end
    ffi.cdef "typedef struct { int number; } finalizer_spec_metatype"
    do
      local twice = getmetatable(newproxy(true))
      twice.__gc = note("replaced")
      twice.__gc = note("set twice")
      local set = newproxy()
      debug.setmetatable(set, { __gc = note("debug.setmetatable") })
      local later, metatable = newproxy(), {}
      debug.setmetatable(later, metatable)
      metatable.__gc = note("set later")
      debug.setmetatable(later, metatable) -- LuaJIT looks for a finalizer when it is set
      ffi.gc(ffi.new("int[1]"), note("ffi.gc"))
      ffi.metatype("finalizer_spec_metatype", { __gc = note("ffi.metatype") })()
    end
    collectgarbage()
    collectgarbage()
    assert.same({
      ["set twice"] = 1, ["debug.setmetatable"] = 1, ["set later"] = 1, ["ffi.gc"] = 1, ["ffi.metatype"] = 1,
    }, ran)
  end)

  it("may be a table that can be called", function()
    local ran = {}
    local function note(name)
      return setmetatable({}, { __call = function() ran[name] = (ran[name] or 0) + 1 end })
    end
    ffi.cdef "typedef struct { int number; } finalizer_spec_callable"
    do
      getmetatable(newproxy(true)).__gc = note("newproxy")
      debug.setmetatable(newproxy(), { __gc = note("debug.setmetatable") })
      ffi.gc(ffi.new("int[1]"), note("ffi.gc"))
      ffi.metatype("finalizer_spec_callable", { __gc = note("ffi.metatype") })()
    end
    collectgarbage()
    collectgarbage()
    assert.same({ newproxy = 1, ["debug.setmetatable"] = 1, ["ffi.gc"] = 1, ["ffi.metatype"] = 1 }, ran)
  end)

  -- Their metatables are hidden, and what stands for them takes a script's finalizer in place of the type's own.
  it("may be set for files and for objects of ours, and may call the type's own", function()
    local output, status = run_script([[
      local makers = {
        file = function() return io.open("/dev/null") end,
        socket = function() return mtev.socket("inet", "udp") end,
        xml = function() return mtev.parsexml("<a/>") end,
      }
      local function count_descriptors()
        local n = 0
        for _ in pairs(mtev.readdir("/proc/self/fd")) do n = n + 1 end
        return n
      end
      for _, name in ipairs { "file", "socket", "xml" } do
        local metatable = getmetatable(makers[name]())
        local own, ran = metatable.__gc, 0
        assert(type(own) == "function" and type(metatable.__index) == "table")
        assert(metatable == debug.getmetatable(makers[name]()))
        collectgarbage()
        local before = count_descriptors()
        local function finalizer(object)
          mtev.sleep(0) -- may wait
          own(object)
          ran = ran + 1
        end
        metatable.__gc = finalizer
        assert(metatable.__gc == finalizer)
        for _ = 1, 10 do makers[name]() end
        collectgarbage()
        while ran < 9 do -- a register may hold the last one
          mtev.sleep(0)
          collectgarbage()
        end
        metatable.__gc = nil
        assert(metatable.__gc == own)
        for _ = 1, 10 do makers[name]() end
        collectgarbage()
        assert(count_descriptors() <= before + 1, name)
      end
      local metatable, ran = getmetatable(mtev.semaphore("finalizer_spec")), 0 -- has none of its own
      assert(metatable.__gc == nil)
      metatable.__gc = function() ran = ran + 1 end
      for _ = 1, 10 do mtev.semaphore("finalizer_spec") end
      while ran < 9 do
        mtev.sleep(0)
        collectgarbage()
      end
      print("ok")]])
    assert.equal("ok\n", output)
    assert.equal(0, status)
  end)

  it("is what a script reads back, and other metamethods work as ever", function()
    local proxy = newproxy(true)
    local metatable = getmetatable(proxy)
    local function finalizer() end
    metatable.__gc = finalizer
    metatable.__index = { name = "indexed" }
    metatable.__call = function(_, a) return a + 1 end
    assert.equal(finalizer, metatable.__gc)
    assert.equal(metatable, getmetatable(proxy))
    assert.equal(metatable, debug.getmetatable(proxy))
    assert.equal("indexed", proxy.name)
    assert.equal(3, proxy(2))
    assert.equal(metatable, getmetatable(newproxy(proxy)))
  end)

  it("is called for each object, also one that is garbage while its finalizer is set", function()
    local ran = 0
    for i = 1, 20000 do
      getmetatable(newproxy(true)).__gc = function() ran = ran + math.min(i, 1) end
    end
    collectgarbage()
    assert.equal(20000, ran)
  end)

  it("gets its object once, whole", function()
    local seen = {}
    do
      local cdata = ffi.gc(ffi.new("int[1]", 42), function(object) seen[#seen + 1] = object[0] end)
      assert.equal(42, cdata[0])
    end
    for _ = 1, 4 do collectgarbage() end
    assert.same({ 42 }, seen)
  end)

  it("never runs inside a call", function()
    local is_inside, was_inside = false, false
    local calls = {
      function() mtev.parsejson('{"a":[1,2,3,"four"]}'):document() end,
      function(i) mtev.tojson({ ("x"):rep(i % 500) }):tostring() end,
      function(i) mtev.base64_encode(("x"):rep(i % 5000)) end,
      function() mtev.sha256_hex("abc") end,
      function(i) mtev.shared_set("finalizer_spec", { i, { "text" .. i } }) mtev.shared_get("finalizer_spec") end,
      function(i) mtev.notify("finalizer_spec", i, "text" .. i) mtev.waitfor("finalizer_spec", 0) end,
      function() mtev.parsexml("<a><b c='d'/></a>"):tostring() end,
      function() mtev.gunzip()(mtev.gzip("text")) end,
    }
    among_finalizers(3000, function() was_inside = was_inside or is_inside end, function(i)
      is_inside = true
      calls[i % #calls + 1](i)
      is_inside = false
      if i % 100 == 0 then mtev.sleep(0) end
    end)
    assert.is_false(was_inside)
  end)

  it("may wait, spawn, raise, and go on", function()
    local waited, spawned = 0, 0
    local function make() -- in a function of its own: a register of this one may hold the last object for long
      for _ = 1, 100 do
        litter(function()
          mtev.coroutine_spawn(function()
            mtev.sleep(0)
            spawned = spawned + 1
          end)
          mtev.sleep(0.001)
          pcall(error, "caught")
          waited = waited + 1
        end)
      end
    end
    mtev.coroutine_spawn(make)
    local deadline = mtev.time() + 20
    while (waited < 100 or spawned < 100) and mtev.time() < deadline do
      collectgarbage()
      mtev.sleep(0.001)
    end
    assert.same({ 100, 100 }, { waited, spawned })
  end)

  it("may close what another coroutine reads from, and read from others", function()
    local closed = 0
    for _ = 1, 5 do
      local process, _, stdout = mtev.spawn("cat", { "cat", "/dev/zero" })
      local _, _, other = mtev.spawn("yes", { "yes" })
      local is_over = false
      mtev.coroutine_spawn(function()
        local mine = stdout:own()
        for _ = 1, 2000 do
          litter(function()
            pcall(other.recv, other, 10, { timeout = 0 })
            mine:close()
          end)
        end
        while true do
          local ok, data, err = pcall(mine.read, mine, 150000)
          if not ok or not data then
            assert(err == "closed" or tostring(data):find("closed"), tostring(data) .. tostring(err))
            break
          end
          assert(#data == 150000)
          local garbage = {} -- the data is one string again and again
          for n = 1, 1000 do garbage[n] = {} end
        end
        closed = closed + 1
        is_over = true
      end)
      local deadline = mtev.time() + 20
      while not is_over and mtev.time() < deadline do mtev.sleep(0.001) end
      process:pgkill("KILL")
    end
    assert.equal(5, closed)
  end)

  -- Such a finalizer is LuaJIT's to call, wherever something is allocated. What yields there, LuaJIT cannot resume, and
  -- says so only with SIGSEGV: so nothing can wait in it, and what it spawns begins later.
  it("that no guard knows of, because the metatable was changed later, cannot wait, but may spawn", function()
    local output, status = run_script([[
      local spawned, refused, inside
      local function finalizer()
        mtev.coroutine_spawn(function()
          mtev.sleep(0)
          spawned = spawned + 1
        end)
        refused = refused or select(2, pcall(inside))
      end
      local kinds = {
        function(proxy)
          local metatable = { __gc = function() end }
          debug.setmetatable(proxy, metatable)
          metatable.__gc = finalizer
        end,
        function(proxy)
          local metatable = {}
          debug.setmetatable(proxy, metatable)
          rawset(metatable, "__gc", finalizer)
        end,
        function(proxy)
          local metatable = setmetatable({}, {})
          debug.setmetatable(proxy, metatable)
          metatable.__gc = finalizer
        end,
      }
      for _, set in ipairs(kinds) do
        for stopped = 0, 1 do
          spawned, refused = 0, nil
          inside = coroutine.wrap(function() while true do mtev.sleep(0) coroutine.yield() end end)
          for _ = 1, 2000 do
            set(newproxy())
            mtev.tojson({ ("x"):rep(50) }):tostring()
          end
          if stopped == 1 then collectgarbage("stop") end -- it looks as if a finalizer ran
          mtev.sleep(0.001)
          local done = false
          mtev.coroutine_spawn(function() done = true end)
          assert(done)
          coroutine.wrap(function() mtev.sleep(0) end)()
          collectgarbage("restart")
          collectgarbage()
          while spawned < 1000 do mtev.sleep(0) end
          assert(refused:find("attempt to yield across C-call boundary (mtev.sleep)", 1, true), refused)
        end
      end
      print("ok")]])
    assert.equal("ok\n", output)
    assert.equal(0, status)
  end)

  it("does not wait for the loop when a script that never waits makes many", function()
    local ran, most = 0, 0
    for i = 1, 50000 do
      litter(function() ran = ran + 1 end)
      most = math.max(most, i - ran)
    end
    assert.is_true(ran > 10000, "ran " .. ran)
  end)
end)

describe("at the end of the program", function()
  it("finalizers run, those that are due and the others", function()
    local output, status = run_script([[
      held = newproxy(true)
      getmetatable(held).__gc = function() print("held") end
      getmetatable(newproxy(true)).__gc = function() print("garbage") end]])
    assert.matches("held", output)
    assert.matches("garbage", output)
    assert.equal(0, status)
  end)
end)
