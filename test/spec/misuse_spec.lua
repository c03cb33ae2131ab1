-- Every function, called with everything it does not expect: a clear error or a result as the reference says, never a crash,
-- a hang or a leak. What a value means to each function is in its own spec; here it only matters that the program survives,
-- that errors read well, and that nothing stays behind.

local alive = require("test.support.process").settle

local values = {
  { "nothing" }, { "nil", nil, n = 1 }, { "true", true }, { "false", false }, { "0", 0 }, { "-1", -1 }, { "1.5", 1.5 },
  { "NaN", 0 / 0 }, { "inf", math.huge }, { "-inf", -math.huge }, { "2^31", 2 ^ 31 }, { "2^53", 2 ^ 53 }, { "1e300", 1e300 },
  { "empty string", "" }, { "NUL", "\0" }, { "string with NUL", "a\0b" }, { "digits", "12" }, { "word", "word" },
  { "percent", "%s%d%n" }, { "huge string", ("x"):rep(1e6) }, { "table", {} }, { "nested table", { { {} } } },
  { "function", function() end }, { "thread", coroutine.create(function() end) }, { "userdata", newproxy() },
  { "light cdata", ffi.new("int64_t", 7) },
}

local function is_sane(message)
  return type(message) == "string" and #message < 300 and not message:find("attempt to index", 1, true)
      and not message:find("attempt to call", 1, true) and not message:find("internal", 1, true)
end

-- Calls f with every value in every position of up to three, beside harmless ones, in a coroutine that is cancelled if it
-- waits.
local function abuse(name, make)
  local complaints = {}
  local function try(label, ...)
    local arguments, n = { ... }, select("#", ...)
    local ok, message = true, nil
    local f = make()
    local co = mtev.coroutine_spawn(function() ok, message = pcall(f, unpack(arguments, 1, n)) end)
    mtev.cancel_coro(co)
    mtev.sleep(0)
    if not ok and message ~= "coroutine cancelled" and not is_sane(message) then
      complaints[#complaints + 1] = ("%s(%s): %s"):format(name, label, tostring(message):sub(1, 200))
    end
  end
  for _, value in ipairs(values) do
    local label, has = value[1], #value > 1 or value.n
    if has then
      try(label, value[2])
      try(label .. ", 1", value[2], 1)
      try("'x', " .. label, "x", value[2])
      try("'127.0.0.1', " .. label, "127.0.0.1", value[2])
      try("'127.0.0.1', 1, " .. label, "127.0.0.1", 1, value[2])
    else
      try(label)
    end
  end
  assert.same({}, complaints)
end

-- Nearly anything is a good name for a file: in a directory where that does no harm.
ffi.cdef "int chdir(const char *path);"
local files = require("test.support.files")
local here, scratch = mtev.getcwd(), nil

local function enter_scratch()
  scratch = files.directory()
  ffi.C.chdir(scratch)
end

local function leave_scratch()
  ffi.C.chdir(here)
  files.remove(scratch)
end

local function expect_nothing_left(before)
  assert.same(before, (alive()))
end

-- These would print, end the program, or change it for the other tests: their own specs abuse them.
local skipped = { print = true, log = true, printto = true, enable_log = true }

describe("every function of mtev, given anything,", function()
  setup(enter_scratch)
  teardown(leave_scratch)

  for name, f in pairs(mtev) do
    if type(f) == "function" and not skipped[name] then
      it("survives: mtev." .. name, function()
        local before = alive()
        abuse("mtev." .. name, function() return f end)
        expect_nothing_left(before)
      end)
    end
  end
  for name, f in pairs(mtev.timeval) do
    it("survives: mtev.timeval." .. name, function()
      abuse("mtev.timeval." .. name, function() return f end)
    end)
  end
end)

describe("every method of an eventer, given anything,", function()
  setup(enter_scratch) -- a Unix socket can be bound to nearly any name
  teardown(leave_scratch)

  local kinds = {
    tcp = function() return mtev.socket("inet") end,
    udp = function() return mtev.socket("inet6", "udp") end,
    unix = function() return mtev.socket("unix") end,
    closed = function()
      local e = mtev.socket("inet")
      e:close()
      return e
    end,
  }
  for name, method in pairs(getmetatable(mtev.socket("inet")).__index) do
    for kind, make in pairs(kinds) do
      it(("survives: %s of a %s one"):format(name, kind), function()
        local before = alive()
        abuse(name, function()
          return function(...) return method(make(), ...) end
        end)
        expect_nothing_left(before)
      end)
    end
    it("names the type it wants: " .. name, function()
      for _, value in ipairs(values) do
        local ok, message = pcall(method, value[2])
        assert.is_false(ok)
        assert.is_true(is_sane(message), message)
        assert.matches("mtev.eventer", message, 1, true)
      end
    end)
  end
end)

describe("every method of a semaphore, given anything,", function()
  local semaphore = mtev.semaphore("misuse", 0)
  for name, method in pairs(getmetatable(semaphore).__index) do
    it("survives: " .. name, function()
      local before = alive()
      abuse(name, function()
        return function(...) return method(semaphore, ...) end
      end)
      assert.error_matches(function() method({}) end, "mtev.semaphore expected, got table", 1, true)
      expect_nothing_left(before)
    end)
  end
end)

describe("every method of a process, given anything,", function()
  for name, method in pairs(getmetatable(mtev.spawn("true")).__index) do
    for kind, make in pairs {
      running = function() return (mtev.spawn("sleep", { "sleep", "60" })) end,
      ["never started"] = function() return (mtev.spawn("/no/such/program")) end,
    } do
      it(("survives: %s of a %s one"):format(name, kind), function()
        local before = alive()
        abuse(name, function()
          local proc = make()
          return function(...) return method(proc, ...) end
        end)
        assert.error_matches(function() method({}) end, "mtev.process expected, got table", 1, true)
        expect_nothing_left(before)
      end)
    end
  end
end)

describe("every method of a Proc and a LogWatch, given anything,", function()
  setup(enter_scratch)
  teardown(leave_scratch)

  local p = mtev.Proc:new { path = "/bin/true" }
  local watch = p:logwatch("x")
  for name, method in pairs(mtev.Proc) do
    if type(method) == "function" then
      it("survives: Proc:" .. name, function()
        local before = alive()
        abuse(name, function()
          local self = name == "new" and mtev.Proc or mtev.Proc:new { path = "/bin/cat" }
          return function(...) return method(self, ...) end
        end)
        expect_nothing_left(before)
      end)
    end
  end
  for name, method in pairs(mtev.LogWatch) do
    if type(method) == "function" then
      it("survives: LogWatch:" .. name, function()
        local before = alive()
        abuse(name, function()
          return function(...) return method(watch, ...) end
        end)
        expect_nothing_left(before)
      end)
    end
  end

  it("survives: the options of Proc:new", function()
    for _, value in ipairs(values) do
      for _, key in ipairs { "path", "argv", "dir", "env", "boot_match", "boot_timeout", "stdout" } do
        local opts = { path = "/bin/true" }
        opts[key] = value[2]
        local ok, message = pcall(function() mtev.Proc:new(opts):start():ready() end)
        assert.is_true(ok or is_sane(message), message)
      end
    end
    alive()
  end)
end)

describe("a matcher, given anything,", function()
  it("survives", function()
    local match = mtev.pcre("(a)|b*")
    abuse("match", function() return match end)
  end)
end)

describe("every method of a json, given anything,", function()
  local j = mtev.parsejson('{"a":[1,null,"x"]}')
  for name, method in pairs(getmetatable(j).__index) do
    it("survives: " .. name, function()
      abuse(name, function()
        return function(...) return method(j, ...) end
      end)
      assert.error_matches(function() method({}) end, "mtev.json expected, got table", 1, true)
    end)
  end
end)

describe("every method of XML, given anything,", function()
  local doc = mtev.parsexml("<a b='1'>x<c/><!--d--></a>")
  local function each(class, class_name, make)
    for name, method in pairs(getmetatable(class).__index) do
      it("survives: " .. class_name .. ":" .. name, function()
        abuse(name, function()
          local self = make()
          return function(...) return method(self, ...) end
        end)
        assert.error_matches(function() method({}) end, "mtev." .. class_name .. " expected, got table", 1, true)
        assert.error_matches(function() method(newproxy(true)) end, "mtev." .. class_name .. " expected, got userdata", 1, true)
      end)
    end
  end
  each(doc, "xmldoc", function() return mtev.parsexml("<a b='1'>x<c/><!--d--></a>") end)
  each(doc:root(), "xmlnode", function() return mtev.parsexml("<a b='1'>x<c/></a>"):root() end)
end)

describe("every method of a dns, given anything,", function()
  local d = mtev.dns("127.0.0.1:" .. require("test.support.server").port()) -- where nobody answers
  for name, method in pairs(getmetatable(d).__index) do
    it("survives: " .. name, function()
      local before = alive()
      abuse(name, function()
        return function(...) return method(d, ...) end
      end)
      expect_nothing_left(before)
    end)
  end
  it("names the type it wants", function()
    assert.error_matches(function() d.lookup({}, "x") end, "mtev.dns expected, got table", 1, true)
    assert.error_matches(function() d.lookup(newproxy(true), "x") end, "mtev.dns expected, got userdata", 1, true)
  end)
end)

describe("every method of the HTTP and WebSocket clients, given anything,", function()
  local HttpClient = require("mtev.HttpClient")
  local api = mtev.Api:http("127.0.0.1", require("test.support.server").port()) -- where nobody answers
  local websocket
  mtev.websocket_client_connect("127.0.0.1", api.port, "/", "", { cleanup = function(ws) websocket = ws end })
  local objects = { Api = { mtev.Api, api }, ApiResponse = { mtev.ApiResponse, api:get("/") }, HttpClient = { HttpClient, HttpClient:new() } }

  local function each(class_name, class, make)
    for name, method in pairs(class) do
      if type(method) == "function" and not name:find("^__") then
        it("survives: " .. class_name .. ":" .. name, function()
          local before = alive()
          abuse(name, function()
            local self = make()
            return function(...) return method(self, ...) end
          end)
          expect_nothing_left(before)
        end)
      end
    end
  end
  for class_name, pair in pairs(objects) do each(class_name, pair[1], function() return pair[2] end) end
  it("survives: websocket_client:send and :close", function()
    for _, name in ipairs { "send", "close" } do
      abuse(name, function()
        return function(...) return websocket[name](websocket, ...) end
      end)
    end
  end)
  it("survives: the options of a request", function()
    for _, value in ipairs(values) do
      for _, key in ipairs { "timeout", "connect_timeout", "idle_timeout", "limit", "redirects", "consume", "body_length", "progress",
        "progress_interval", "decode", "http1", "proxy" } do
        local ok, message = pcall(api.get, api, "/", nil, nil, { [key] = value[2] })
        assert.is_true(ok or is_sane(message), message)
      end
    end
  end)
end)

describe("gunzip's function and a timezone, given anything,", function()
  it("survive", function()
    abuse("gunzip()", mtev.gunzip)
    local zone = mtev.timezone("Europe/Zurich")
    abuse("extract", function()
      return function(...) return zone:extract(...) end
    end)
  end)
end)

-- What getmetatable shows a script can call, with anything and before its time: an object that is collected so is
-- closed.
describe("every metamethod of an object, given anything,", function()
  local net = require("test.support.net")
  local makers = {
    eventer = net.pair,
    process = function() return (mtev.spawn("/bin/true")) end,
    semaphore = function() return mtev.semaphore("misuse_spec") end,
    json = function() return mtev.parsejson("[1]") end,
    dns = mtev.dns,
    xmldoc = function() return mtev.parsexml("<a>x</a>") end,
    xmlnode = function() return mtev.parsexml("<a>x</a>"):root() end,
  }

  -- What stands for the metatable (finalizer.lua) has no fields of its own to walk over.
  local names = {
    "__gc", "__index", "__newindex", "__tostring", "__call", "__eq", "__len", "__lt", "__le", "__concat", "__unm",
  }

  for class, make in pairs(makers) do
    it("survives: " .. class, function()
      local object = make()
      for _, name in ipairs(names) do
        local f = getmetatable(object)[name]
        if type(f) == "function" then
          abuse(class .. "." .. name, function() return f end)
          for other, make_other in pairs(makers) do
            if other ~= class then assert.is_false(pcall(f, (make_other()))) end
          end
        end
      end
      local collect = getmetatable(object).__gc
      if not collect then return end
      assert.error_matches(function() collect(nil) end, "not of this type", 1, true)
      assert.error_matches(function() collect(newproxy(true)) end, "not of this type", 1, true)
      for _ = 1, 2 do collect(object) end
      for _, method in pairs(getmetatable(object).__index) do pcall(method, object) end
      assert.is_true(is_sane(select(2, pcall(tostring, object))))
    end)
  end

  it("leaves an object alone on which a coroutine waits", function()
    local cat, stdin = mtev.spawn("/bin/cat", { "cat" })
    local status
    mtev.coroutine_spawn(function() status = cat:wait(60) end)
    getmetatable(cat).__gc(cat)
    stdin:close()
    while not status do mtev.sleep(0.001) end
    assert.equal(0, status)
  end)
end)
