-- mtev.websocket_client_connect, against the npm package `ws`, and a server that sends whatever it is told.

local certificates = require("test.support.certificates")
local files = require("test.support.files")
local memory = require("test.support.memory")
local net = require("test.support.net")
local process = require("test.support.process")
local server = require("test.support.server")
local ws_raw = require("test.support.ws_raw")
local frame = ws_raw.frame

local slow = os.getenv("LHOTSE_SLOW_BUILD") and 20 or 1
local WAIT = 60 -- seconds; nothing here takes so long

local port, proc, closes

setup(function()
  port, closes = server.port(), {}
  proc = server.node("ws_server.js", port)
  proc:loglisten(function(line) closes[#closes + 1] = line:match("^closed (.*)\n") end)
  assert(proc:start():ready())
end)

teardown(function()
  proc:kill()
  proc:wait(10)
end)

-- Runs a client to its end: what it heard, as strings, and the client. The callbacks may be extended or replaced.
local function run(where, callbacks, service, sslconfig)
  local heard, client, cleanups = {}, nil, 0
  callbacks = callbacks or {}
  local name = tostring(heard)
  local all = {
    compress = callbacks.compress,
    limit = callbacks.limit,
    ready = function(ws)
      heard[#heard + 1] = "ready"
      client = ws
      if callbacks.ready then return callbacks.ready(ws) end
    end,
    message = function(ws, opcode, payload)
      heard[#heard + 1] = opcode .. " " .. (#payload <= 60 and payload or #payload .. " bytes")
      if callbacks.message then return callbacks.message(ws, opcode, payload) end
    end,
    cleanup = function(ws)
      client, cleanups = ws, cleanups + 1
      mtev.notify(name)
    end,
  }
  assert.is_true(mtev.websocket_client_connect("127.0.0.1", where.port or port, where[1], service or "", all, sslconfig))
  assert(mtev.waitfor(name, WAIT))
  assert.is_nil(mtev.waitfor(name, 0.01))
  assert.equal(1, cleanups)
  return heard, client
end

-- What a client makes of a server that sends these bytes after the handshake, and what the client sent.
local function hear(bytes, callbacks)
  local said, is_over = {}, false
  local raw_port = ws_raw.serve(ws_raw.accept, function(e)
    e:write(bytes)
    for opcode, payload in function() return ws_raw.read_frame(e) end do
      said[#said + 1] = { opcode, payload }
      if opcode == 8 then break end
    end
    is_over = true
  end)
  local heard, client = run({ "/", port = raw_port }, callbacks)
  local deadline = mtev.time() + WAIT -- the server reads on when it has written, which the client has stopped to listen to
  while not is_over and mtev.time() < deadline do mtev.sleep(0.001) end
  return heard, client, said
end

-- The answer to a handshake that agrees to compression.
local function accept_deflate(request)
  return ws_raw.accept(request, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
end

-- Raw DEFLATE data as a message has it: a final block, and what makes a flush of it (RFC 7692, 7.2.3.4).
local function pack(text)
  return mtev.gzip(text):sub(11, -9) .. "\0"
end

local function code_of(payload)
  return payload:byte(1) * 256 + payload:byte(2)
end

describe("A WebSocket client", function()
  it("sends and receives messages of every size", function()
    local sizes, i = { 0, 1, 125, 126, 127, 65535, 65536, 1000000 }, 0
    local heard, client = run({ "/" }, {
      ready = function(ws) ws:send(ws.TEXT, "héllo") end,
      message = function(ws, opcode, payload)
        if i > 0 then
          assert(opcode == ws.BINARY and payload == ("\255"):rep(sizes[i]))
        end
        i = i + 1
        if i > #sizes then return false end
        assert(ws:send(ws.BINARY, ("\255"):rep(sizes[i])))
      end,
    })
    assert.same({ "ready", "1 héllo", "2 ", "2 \255" }, { heard[1], heard[2], heard[3], heard[4] })
    assert.equal("2 1000000 bytes", heard[10])
    assert.same({ 1000 }, { client.close_code, client.error })
    assert.same({ 0, 1, 2, 8, 9, 10 }, { client.CONTINUATION, client.TEXT, client.BINARY, client.CONNECTION_CLOSE, client.PING, client.PONG })
    assert.equal(("mtev.websocket_client: ws://127.0.0.1:%d/, closed"):format(port), tostring(client))
    assert.is_false(client:send(client.TEXT, "too late"))
  end)

  it("goes on when callbacks return nothing, and closes when they return false", function()
    local heard = run({ "/" }, { ready = function(ws) ws:send(1, "a") ws:send(1, "b") end, message = function(_, _, text) if text == "b" then return false end end })
    assert.same({ "ready", "1 a", "1 b" }, heard)
    assert.same({ "ready" }, (run({ "/flood" }, { ready = function() return false end })))
    assert.same({ "ready", "1 10000 bytes" }, (run({ "/flood" }, { message = function() return false end })))
  end)

  it("closes with a code and a reason, and hears the server's", function()
    local before = #closes
    run({ "/" }, { ready = function(ws) ws:close(4321, "enough of this") end })
    for _ = 1, WAIT * 100 do
      if #closes > before then break end
      mtev.sleep(0.01)
    end
    assert.equal("4321 enough of this", closes[#closes])
    local heard, client = run({ "/close" })
    assert.same({ { "ready" }, 4001 }, { heard, client.close_code, client.error })
    run({ "/" }, { ready = function(ws) assert(ws:send(ws.CONNECTION_CLOSE, "")) end })
  end)

  it("says so when the server vanishes, and does not wait for ever for its close", function()
    local _, client = run({ "/vanish" })
    assert.same({ 1006, true }, { client.close_code, client.error ~= nil })
    local began = mtev.time()
    _, client = run({ "/deaf" }, { ready = function(ws) mtev.sleep(0.05) ws:close() end })
    assert.equal("the server did not answer the close frame in time", client.error)
    assert(mtev.time() - began >= 5)
  end)

  it("answers pings, and puts fragments together that control frames come between", function()
    local heard = run({ "/ping" }, { message = function() return false end })
    assert.same({ "ready", "1 pong was are you there" }, heard)
    local count = 0
    heard = run({ "/fragments" }, { message = function()
      count = count + 1
      if count == 2 then return false end
    end })
    assert.same({ "ready", "1 Grüße aus Köln", "2 \0\1\2\255" }, heard)
    heard = run({ "/" }, { ready = function(ws)
      assert(ws:send(ws.PING, "x"))
      assert(ws:send(ws.PONG))
      ws:send(ws.TEXT, "after")
    end, message = function() return false end })
    assert.same({ "ready", "1 after" }, heard)
  end)

  it("runs its callbacks in a coroutine of their own, which may block, while messages wait", function()
    local received, bytes = 0, 0
    run({ "/flood" }, { message = function(_, _, payload)
      received, bytes = received + 1, bytes + #payload
      if received % 100 == 0 then mtev.sleep(0.005) end
      if received == 1000 then return false end
    end })
    assert.same({ 1000, 10000000 }, { received, bytes })
  end)

  it("cuts the reason of a close at a character", function()
    local function reason_sent(reason)
      local _, _, said = hear("", { ready = function(ws) ws:close(1000, reason) end })
      return said[1][2]:sub(3)
    end
    assert.equal(("x"):rep(123), reason_sent(("x"):rep(200)))
    assert.equal(("é"):rep(61), reason_sent(("é"):rep(100)))
    assert.equal(("€"):rep(41), reason_sent(("€"):rep(50)))
    assert.equal(("🙂"):rep(30), reason_sent(("🙂"):rep(40)))
  end)

  it("skips interim answers to the handshake, and looks at each byte once", function()
    local function is_open(answer_of)
      local heard = run({ "/", port = ws_raw.serve(answer_of) }, { ready = function() return false end })
      return heard[1] == "ready"
    end
    assert.is_true(is_open(function(request)
      return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" .. ws_raw.accept(request)
    end))
    -- A pattern such as "(.-)[ \t]*$" takes a square of time for this.
    local began = os.clock()
    assert.is_true(is_open(function(request) return ws_raw.accept(request, "X-Pad: a" .. (" "):rep(60000) .. "x\r\n") end))
    assert.is_true(is_open(function(request) return ws_raw.accept(request, ("X: a\r\n"):rep(900)) end))
    assert(os.clock() - began < 2 * slow, os.clock() - began)
  end)

  it("compresses nothing where the server asks for a window that zlib does not have", function()
    local said
    local raw_port = ws_raw.serve(function(request)
      return ws_raw.accept(request, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=8\r\n")
    end, function(e)
      local opcode, payload = ws_raw.read_frame(e)
      said = { opcode, payload }
      e:write(frame(1, mtev.gzip("packed"):sub(11, -9), { rsv = 4 }))
      ws_raw.read_frame(e)
    end)
    local heard = run({ "/", port = raw_port }, { ready = function(ws) ws:send(1, ("x"):rep(1000)) end, message = function() return false end })
    assert.same({ { 1, ("x"):rep(1000) }, { "ready", "1 packed" } }, { said, heard })
  end)

  -- Each of these grew by hundreds of megabytes: the queue of pongs for somebody who does not read, and messages without bytes,
  -- which did not count, and small compressed ones, which kept the 16 KiB they were unpacked into. Until the client
  -- stops reading, 300 MB go through.
  it("keeps little for a server that does not read, or whose messages nobody takes", function()
    for what, piece in pairs {
      pings = frame(9, ("p"):rep(125)):rep(500), ["empty pings"] = frame(9, ""):rep(30000), ["empty messages"] = frame(2, ""):rep(30000),
      fragments = frame(2, "", { fin = false }) .. frame(0, "", { fin = false }):rep(30000) .. frame(0, ""),
      ["fragments of one byte"] = frame(2, "x", { fin = false }) .. frame(0, "x", { fin = false }):rep(30000) .. frame(0, "x"),
      ["compressed messages"] = frame(2, pack("x"), { rsv = 4 }):rep(30000),
    } do
      local growth = memory.growth(function()
        local over
        local raw_port = ws_raw.serve(what == "compressed messages" and accept_deflate or ws_raw.accept, function(e)
          for _ = 1, 3e8 / #piece do
            if e:write(piece, { timeout = 0.3 }) ~= #piece then break end -- it is not read any more: right
          end
          net.reset(e)
        end)
        mtev.websocket_client_connect("127.0.0.1", raw_port, "/", nil, {
          message = function() mtev.waitfor("never", 0.5) return false end,
          cleanup = function() over = true end,
        })
        while not over do mtev.sleep(0.01) end
      end)
      if memory.is_exact then assert(growth < 20, ("%s: %.0f MiB"):format(what, growth)) end
    end
  end)

  it("waits in send while the server does not read", function()
    local sent, is_over = 0, false
    local raw_port = ws_raw.serve(ws_raw.accept, function(e)
      mtev.waitfor("read now", WAIT)
      while ws_raw.read_frame(e) == 2 do end
    end)
    local _, client = run({ "/", port = raw_port }, { ready = function(ws)
      mtev.coroutine_spawn(function()
        for _ = 1, 300 do
          if not ws:send(ws.BINARY, ("x"):rep(100000)) then break end
          sent = sent + 1
        end
        is_over = true
        ws:close()
      end)
      mtev.sleep(0.2)
      assert(sent < 300 and not is_over, sent) -- it is held back
      mtev.notify("read now")
    end })
    assert.equal(300, sent)
    assert.is_true(client.is_over)
  end)

  it("offers a subprotocol and accepts only what it has offered", function()
    local heard, client = run({ "/" }, { ready = function() return false end }, "first, second")
    assert.same({ { "ready" }, "second" }, { heard, client.protocol })
    local raw_port = ws_raw.serve(function(request)
      assert(request:find("\r\nSec-WebSocket-Protocol: mine\r\n", 1, true))
      return ws_raw.accept(request, "Sec-WebSocket-Protocol: yours\r\n")
    end)
    heard, client = run({ "/", port = raw_port }, nil, "mine")
    assert.same({ {}, "the server chose the protocol 'yours', which was not offered" }, { heard, client.error })
  end)

  it("compresses messages if the server agrees (RFC 7692)", function()
    for _, agreed in ipairs {
      '{"threshold":0}', '{"threshold":0,"serverNoContextTakeover":true,"clientNoContextTakeover":true}',
      '{"threshold":0,"serverMaxWindowBits":9,"clientMaxWindowBits":9}',
    } do
      local deflate_port = server.port()
      local deflate_proc = server.node("ws_server.js", deflate_port)
      local env = {}
      for key, value in pairs(ENV) do env[key] = value end
      env.DEFLATE = agreed
      deflate_proc = mtev.Proc:new { path = "/bin/sh", argv = deflate_proc.argv, env = env, boot_match = "ready", boot_timeout = WAIT }
      assert(deflate_proc:start():ready())
      local texts, i = { "", "short", ("all the same "):rep(10000), ("Grüße aus Köln "):rep(100), ("all the same "):rep(10000) }, 0
      local heard, client = run({ "/", port = deflate_port }, {
        ready = function(ws) ws:send(1, "go") end,
        message = function(ws, _, payload)
          if i > 0 then assert.equal(texts[i], payload) end
          i = i + 1
          if i > #texts then return false end
          ws:send(1, texts[i])
        end,
      })
      assert.same({ 7, true, 1000 }, { #heard, client.is_compressed, client.close_code, client.error })
      local plain = select(2, run({ "/", port = deflate_port }, { compress = false, ready = function() return false end }))
      assert.is_false(plain.is_compressed)
      deflate_proc:kill()
      deflate_proc:wait(10)
    end
  end)

  it("speaks TLS, and says why it does not trust a server", function()
    local dir = files.directory()
    local authority = certificates.authority(dir, "authority")
    local good = authority:issue("good", "/CN=good.test", "subjectAltName=DNS:good.test,IP:127.0.0.1")
    local tls_port = server.port()
    local tls_proc = server.node("ws_server.js", tls_port, good.certificate, good.key)
    assert(tls_proc:start():ready())
    local heard, client = run({ "/", port = tls_port }, { ready = function(ws) ws:send(1, "secret") end, message = function() return false end },
      nil, { ca_chain = authority.certificate })
    assert.same({ "ready", "1 secret" }, heard)
    assert.matches("^mtev.websocket_client: wss://", tostring(client))
    heard, client = run({ "/", port = tls_port }, nil, nil, { ca_chain = authority.certificate, snihost = "other.test" })
    assert.same({ {}, "hostname mismatch" }, { heard, client.error })
    heard, client = run({ "/", port = tls_port }, nil, nil, { verify = true })
    assert.same({ {}, "unable to get local issuer certificate" }, { heard, client.error })
    tls_proc:kill()
    tls_proc:wait(10)
    files.remove(dir)
  end)

  it("ends in words when there is no WebSocket server", function()
    for answer, message in pairs {
      ["HTTP/1.1 404 Not Found\r\n\r\n"] = "the server answered 404 Not Found",
      ["HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"] = "the server's Sec-WebSocket-Accept is wrong",
      ["HTTP/1.1 101 Fine\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"] = "the server did not upgrade to websocket",
      ["HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n"] = "the server's Connection is not Upgrade",
      ["SSH-2.0\r\n\r\n"] = "this is not HTTP/1.1",
      [""] = "the server closed the connection",
      [("x"):rep(100000)] = "this is not HTTP/1.1",
      ["HTTP/1.1 101 x\r\nX: " .. ("x"):rep(100000)] = "the server's answer is too long",
      ["HTTP/1.1 101 x\r\n" .. ("a:\r\n"):rep(1001) .. "\r\n"] = "the server's answer is too long", -- a thousand fields
      ["HTTP/1.1 101 x\r\nUpgrade : websocket\r\n\r\n"] = "the server's answer makes no sense: a field whose name is none",
      ["HTTP/1.1 101 x\r\nUpgrade: web\r\n socket\r\n\r\n"] = "the server's answer makes no sense: a folded line",
      ["HTTP/1.1 101 x\nUpgrade: websocket\n\n"] = "the server's answer makes no sense: a line that does not end with CR LF",
      ["HTTP/1.0 101 x\r\n\r\n"] = "this is not HTTP/1.1",
      [("HTTP/1.1 100 Continue\r\n\r\n"):rep(17)] = "too many interim answers",
    } do
      local heard, client = run { "/", port = ws_raw.serve(function() return answer end) }
      assert.same({ message, {}, }, { client.error, heard })
    end
    local raw_port = ws_raw.serve(function(request) return ws_raw.accept(request, "Sec-WebSocket-Extensions: x-own\r\n") end)
    assert.equal("the server uses an extension that was not offered", select(2, run { "/", port = raw_port }).error)
    assert.equal("Connection refused", select(2, run { "/", port = server.port() }).error)
    assert.equal("the server answered 401 Unauthorized", select(2, run { "/refused" }).error)
  end)

  it("returns false for what cannot be tried", function()
    for _, case in ipairs { { nil, 80 }, { "", 80 }, { "a b", 80 }, { "x", 0 }, { "x", 70000 }, { "x", "y" }, { "x", 80, "a b" }, { "x", 80, "/", 5 } } do
      assert.is_false(mtev.websocket_client_connect(case[1], case[2], case[3] or "/", case[4] or "", {}))
    end
    assert.error_matches(function() mtev.websocket_client_connect("x", 80, "/", "", 5) end, "bad argument #5 to 'websocket_client_connect' (table expected", 1, true)
  end)

  it("tells cleanup that a callback raised, and the report where", function()
    local raw_port = ws_raw.serve(ws_raw.accept, function(e)
      e:write(frame(1, "hello"))
      ws_raw.read_frame(e)
    end)
    local script = process.write_file(([[
      local function refuse() error("it is of no use", 0) end
      mtev.websocket_client_connect("127.0.0.1", %d, "/", nil, {
        message = function() refuse() end,
        cleanup = function(ws) mtev.log("error", "%%s %%s\n", ws.error, ws.close_code) end,
      })
      mtev.sleep(60)]]):format(raw_port))
    local status, _, report = mtev.exec(process.lhotse, { "lhotse", script }, nil, WAIT)
    os.remove(script)
    assert.equal(1, mtev.WEXITSTATUS(status))
    assert.matches("^it is of no use 1006\nlhotse: it is of no use\n.-in function 'refuse'", report)
  end)

  it("raises for misuse", function()
    local problems = {}
    run({ "/" }, { ready = function(ws)
      for i, f in ipairs {
        function() ws:send(3, "x") end, function() ws:send(1, "\255") end, function() ws:send(9, ("x"):rep(126)) end,
        function() ws:send("x", "y") end, function() ws:send(1, {}) end, function() ws.send({}, 1, "x") end, function() ws:close(1) end,
        function() ws:close(1000, "\255") end, function() ws:close(1005) end, function() ws:close(1006) end, function() ws:close(1015) end,
        function() ws:close(1004) end, function() ws:close(2999) end, function() ws:close(1000.5) end,
      } do problems[i] = select(2, pcall(f)):gsub("^.-:%d+: ", "") end
      return false
    end })
    assert.same({
      "bad argument #1 to 'send' (TEXT, BINARY, PING, PONG or CONNECTION_CLOSE expected)", "bad argument #2 to 'send' (text must be UTF-8)",
      "bad argument #2 to 'send' (at most 125 bytes in a ping or pong)", "bad argument #1 to 'send' (number expected, got string)",
      "bad argument #2 to 'send' (string expected, got table)", "calling 'send' on bad self (mtev.websocket_client expected, got table)",
      "bad argument #1 to 'close' (a code from 1000 to 4999 expected)", "bad argument #2 to 'close' (text must be UTF-8)",
      "bad argument #1 to 'close' (the code 1005 may not be sent)", "bad argument #1 to 'close' (the code 1006 may not be sent)",
      "bad argument #1 to 'close' (the code 1015 may not be sent)", "bad argument #1 to 'close' (the code 1004 may not be sent)",
      "bad argument #1 to 'close' (the code 2999 may not be sent)", "bad argument #1 to 'close' (the code 1000.5 may not be sent)",
    }, problems)
  end)

  it("leaves nothing behind, also when it is closed on its way", function()
    local function counts()
      collectgarbage()
      collectgarbage()
      mtev.sleep(0.1)
      return require("mtev.debug").counts()
    end
    local before = counts()
    for _ = 1, 20 do run({ "/" }, { ready = function(ws) ws:send(1, "x") end, message = function() return false end }) end
    assert.same(before, counts())
  end)
end)

describe("A WebSocket client, hearing what breaks RFC 6455,", function()
  -- The close code that it sends, and its own word for it.
  local function verdict(bytes)
    local heard, client, said = hear(bytes)
    local last = said[#said] or {}
    return { last[1] == 8 and code_of(last[2]) or last[1], client.error, #heard }
  end

  local PROTOCOL = { 1002, "the server broke the rules of the protocol", 1 }

  it("refuses masked frames, reserved bits and opcodes", function()
    assert.same(PROTOCOL, verdict(frame(1, "x", { mask = true })))
    for _, rsv in ipairs { 1, 2, 4 } do assert.same(PROTOCOL, verdict(frame(1, "x", { rsv = rsv }))) end
    for _, opcode in ipairs { 3, 7, 11, 15 } do assert.same(PROTOCOL, verdict(frame(opcode, "x"))) end
  end)

  it("refuses control frames that are long or in fragments, and fragments out of place", function()
    assert.same(PROTOCOL, verdict(frame(9, ("x"):rep(126))))
    assert.same(PROTOCOL, verdict(frame(9, "x", { fin = false })))
    assert.same(PROTOCOL, verdict(frame(0, "x")))
    assert.same(PROTOCOL, verdict(frame(1, "x", { fin = false }) .. frame(1, "y")))
  end)

  it("refuses text that is not UTF-8, also across fragments", function()
    local verdict_of = { 1007, "the server sent text that is not UTF-8, or data that cannot be unpacked", 1 }
    assert.same(verdict_of, verdict(frame(1, "\255")))
    assert.same(verdict_of, verdict(frame(1, "\195")))
    assert.same(verdict_of, verdict(frame(1, "\195", { fin = false }) .. frame(0, "x")))
    assert.same({ "ready", "1 ü" }, (hear(frame(1, "\195", { fin = false }) .. frame(0, "\188"), { message = function() return false end })))
    assert.same({ "ready", "2 \255" }, (hear(frame(2, "\255"), { message = function() return false end })))
  end)

  it("takes messages up to the script's limit", function()
    local over = { 1009, "the server sent a message that is too long" }
    for _, case in ipairs {
      { frame(1, "12345") .. frame(8, "\3\232"), 5, "1 12345" }, { frame(1, "123456"), 5 },
      { frame(1, "123", { fin = false }) .. frame(0, "45") .. frame(8, "\3\232"), 5, "1 12345" },
      { frame(1, "123", { fin = false }) .. frame(0, "456"), 5 },
      { frame(2, ("x"):rep(16 * 1024 * 1024)) .. frame(8, "\3\232"), nil, "2 16777216 bytes" },
      { frame(2, ("x"):rep(17 * 1024 * 1024)), nil }, { frame(2, ("x"):rep(17 * 1024 * 1024)) .. frame(8, "\3\232"), math.huge, "2 17825792 bytes" },
    } do
      local heard, client, said = hear(case[1], { limit = case[2] })
      assert.same({ case[3] }, { heard[2] })
      if not case[3] then assert.same(over, { code_of(said[1][2]), client.error }) end
    end
    for _, limit in ipairs { 0, -1, 0 / 0, "x" } do
      assert.error_matches(function() mtev.websocket_client_connect("x", 80, "/", "", { limit = limit }) end, "bad %a+ 'limit'")
    end
  end)

  it("refuses messages that are too long, in one frame or in many", function()
    local verdict_of = { 1009, "the server sent a message that is too long", 1 }
    assert.same(verdict_of, verdict(frame(2, "x", { length = 2 ^ 40 })))
    assert.same(verdict_of, verdict(frame(2, ("x"):rep(10), { fin = false }) .. frame(0, "x", { length = 64 * 1024 * 1024 })))
    local _, client = hear(frame(2, "x", { length = 2 ^ 63 }))
    assert.is_string(client.error)
  end)

  -- What the client says of these bytes, and the code of its close frame.
  local function verdict_on(bytes, options)
    local said
    local raw_port = ws_raw.serve(accept_deflate, function(e)
      e:write(bytes)
      local opcode, payload = ws_raw.read_frame(e)
      said = opcode == 8 and code_of(payload)
    end)
    local heard, client = run({ "/", port = raw_port }, options)
    return { said, client.error, #heard }
  end

  it("refuses compressed data that is wrong, is no text, or becomes too much", function()
    local bad = "the server sent text that is not UTF-8, or data that cannot be unpacked"
    assert.same({ 1007, bad, 1 }, verdict_on(frame(2, "\7\7\7", { rsv = 4 })))
    assert.same({ 1007, bad, 1 }, verdict_on(frame(1, "\250\15\0", { rsv = 4 }))) -- "\255", packed
    assert.same(PROTOCOL, verdict_on(frame(9, "x", { rsv = 4 })))
    assert.same(PROTOCOL, verdict_on(frame(1, "x", { rsv = 2 })))
    assert.same(PROTOCOL, verdict_on(frame(1, "x", { fin = false }) .. frame(0, "y", { rsv = 4 })))
    local bomb = mtev.gzip(("\0"):rep(66 * 1024 * 1024)):sub(11, -9) -- raw DEFLATE, with a final block
    assert.same({ 1009, "the server sent a message that is too long", 1 }, verdict_on(frame(2, bomb, { rsv = 4 })))
    for _, answer in ipairs { "permessage-deflate; server_max_window_bits=7", "permessage-deflate; client_max_window_bits=7",
      "permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=010", "permessage-deflate, permessage-deflate",
      "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
      "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", "permessage-deflate; what=5", "x-webkit-deflate-frame", '"' } do
      local raw_port = ws_raw.serve(function(request) return ws_raw.accept(request, "Sec-WebSocket-Extensions: " .. answer .. "\r\n") end)
      assert.equal("the server uses an extension that was not offered", select(2, run { "/", port = raw_port }).error)
    end
  end)

  -- They were unpacked in one go at their end, which took a loop more than a second of nothing else where 16 MiB were
  -- empty blocks. The server ends none of its messages here before it has heard what the client makes of their
  -- beginnings.
  it("unpacks messages as they come", function()
    local bad = { 1007, "the server sent text that is not UTF-8, or data that cannot be unpacked", 1 }
    local long = { 1009, "the server sent a message that is too long", 1 }
    local zeros = mtev.gzip(("\0"):rep(2000)):sub(11, -9)
    for _, fin in ipairs { false, nil } do
      assert.same(bad, verdict_on(frame(2, "\7\7\7", { rsv = 4, fin = fin, length = 100 })))
      assert.same(long, verdict_on(frame(2, zeros, { rsv = 4, fin = fin, length = 100 }), { limit = 1999 }))
    end
    local in_two = frame(2, ("\3\0"):rep(60), { rsv = 4, fin = false }) .. frame(0, "\3\0", { length = 100 })
    assert.same(long, verdict_on(in_two, { limit = 99 }))
  end)

  -- Random bytes become longer when they are packed: the limit is of what they are.
  it("takes compressed messages up to the limit, of which there is more on the way", function()
    for _, n in ipairs { 10, 1000, 65535 } do
      local low, high = n % 256, math.floor(n / 256)
      local stored = "\0" .. string.char(low, high, 255 - low, 255 - high) .. ("x"):rep(n) .. "\0" -- RFC 1951, 3.2.4
      assert.equal(1000, verdict_on(frame(2, stored, { rsv = 4 }) .. frame(8, "\3\232"), { limit = n })[1])
      assert.same({ 1009, "the server sent a message that is too long", 1 },
        verdict_on(frame(2, stored, { rsv = 4 }), { limit = n - 1 }))
    end
  end)

  it("takes final blocks anywhere in a compressed message, and fragments of any length", function()
    local packed, fragments = ("\3\0"):rep(5000) .. mtev.gzip("héllo"):sub(11, -9) .. "\3\0" .. pack(" again"), {}
    for i = 1, #packed do
      fragments[i] = frame(i == 1 and 1 or 0, packed:sub(i, i), { fin = i == #packed, rsv = i == 1 and 4 or 0 })
    end
    local empty = frame(2, "", { fin = false, rsv = 4 }) .. frame(0, "\0")
    local raw_port = ws_raw.serve(accept_deflate, function(e)
      e:write(table.concat(fragments) .. frame(2, "plain") .. empty .. frame(1, packed, { rsv = 4 })
        .. frame(8, "\3\232"))
      while ws_raw.read_frame(e) do end
    end)
    local heard, client = run { "/", port = raw_port }
    assert.same({ "ready", "1 héllo again", "2 plain", "2 ", "1 héllo again" }, heard)
    assert.same({ 1000 }, { client.close_code, client.error })
  end)

  it("answers closes, and ends at what is left unfinished", function()
    local _, client, said = hear(frame(8, "\3\232bye"))
    assert.same({ 1000, 8 }, { client.close_code, said[1][1] })
    _, client = hear(frame(8, ""))
    assert.same({ 1005 }, { client.close_code, client.error })
    _, client, said = hear(frame(8, "\3")) -- a code is two bytes
    assert.same(PROTOCOL[2], client.error)
    assert.same({ 8, "\3\234" }, said[1])
    for _, code in ipairs { 1012, 1013, 1014, 3000, 4999 } do -- IANA has added to what RFC 6455 lists
      local bytes = string.char(math.floor(code / 256), code % 256)
      _, client, said = hear(frame(8, bytes .. "why"))
      assert.same({ code, nil, { 8, bytes .. "why" } }, { client.close_code, client.error, said[1] })
    end
    for _, code in ipairs { 0, 999, 1004, 1005, 1006, 1015, 2999, 5000 } do
      _, client, said = hear(frame(8, string.char(math.floor(code / 256), code % 256)))
      assert.same({ PROTOCOL[2], { 8, "\3\234" } }, { client.error, said[1] })
    end
    local raw_port = ws_raw.serve(ws_raw.accept, function(e) e:write(frame(1, "half", { length = 10 })) end)
    local heard
    heard, client = run { "/", port = raw_port }
    assert.same({ { "ready" }, "the server closed the connection without a close frame", 1006 }, { heard, client.error, client.close_code })
  end)

  it("takes frames byte by byte, and what comes together with the handshake's answer", function()
    local bytes = frame(1, "slowly") .. frame(9, "p") .. frame(2, ("x"):rep(300)) .. frame(8, "\3\232")
    local raw_port = ws_raw.serve(function(request) return ws_raw.accept(request) .. bytes:sub(1, 5) end, function(e)
      for i = 6, #bytes do
        e:write(bytes:sub(i, i))
        mtev.sleep(0)
      end
      while ws_raw.read_frame(e) do end
    end)
    local heard, client = run { "/", port = raw_port }
    assert.same({ { "ready", "1 slowly", "2 300 bytes" }, 1000 }, { heard, client.close_code, client.error })
  end)
end)
