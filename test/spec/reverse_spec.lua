-- Reverse connections: mtev.reverse_listen on the hub, mtev.reverse_connect on the dialling side, e:connect("reverse:NAME").

local certificates = require("test.support.certificates")
local files = require("test.support.files")
local memory = require("test.support.memory")
local net = require("test.support.net")
local process = require("test.support.process")
local settle = process.settle

local WAIT = 60 -- seconds; nothing here takes so long

-- Repeats each line with a mark.
local function echo(e)
  for line in function() return e:read("\n") end do e:write("> " .. line) end
end

local function hub(options)
  options = options or {}
  options.address, options.port = options.address or "127.0.0.1", options.port or 0
  if not options.authorize and not options.sslconfig then options.insecure = true end
  local listener = assert(mtev.reverse_listen(options))
  return listener, select(2, listener:sock_name())
end

local function dial(port, options)
  options = options or {}
  options.host, options.port, options.name = "127.0.0.1", port, options.name or "box"
  if not options.target then options.accept = options.accept or echo end
  options.retry_min = options.retry_min or 0.01
  return mtev.reverse_connect(options)
end

local function reach(name, timeout)
  local e = mtev.socket("reverse:" .. name)
  local rv, err = e:connect("reverse:" .. name, nil, timeout or WAIT)
  return rv == 0 and e or nil, err
end

-- Waits until condition() is true.
local function wait_until(condition)
  for _ = 1, WAIT * 100 do
    if condition() then return true end
    mtev.sleep(0.01)
  end
end

-- A hub with one dialler, for f(name, dialler, listener, port); all are closed then, and nothing may be left.
local function with(options, f, hub_options)
  local before = settle()
  local listener, port = hub(hub_options)
  local dialler = dial(port, options)
  assert.is_true(dialler:ready(WAIT))
  f(options and options.name or "box", dialler, listener, port)
  dialler:close()
  listener:close()
  collectgarbage()
  collectgarbage()
  assert.same(before, (settle()))
end

local function assert_talks(e)
  e:write("hello\n")
  assert.equal("> hello\n", e:read("\n"))
end

describe("A reverse connection", function()
  it("is reached by its name as if it were a socket", function()
    with({ name = "box 1/2" }, function(_, dialler, listener, port)
      local e = mtev.socket("reverse:box 1/2")
      assert.same({ 0 }, { e:connect("reverse:box 1/2") })
      assert_talks(e)
      assert.equal("mtev.reverse_dialler: 'box 1/2' to 127.0.0.1:" .. port .. ", connected", tostring(dialler))
      assert.equal("mtev.reverse_listener: 127.0.0.1:" .. port, tostring(listener))
      local entry = listener:names()["box 1/2"]
      assert.same({ "127.0.0.1", 1 }, { entry.address, entry.channels })
      assert.same({ -1, "Transport endpoint is already connected" }, { e:connect("reverse:box 1/2") })
      e:close()
    end)
  end)

  it("is not there when nobody offers the name", function()
    with(nil, function()
      assert.same({ nil, "Reverse connection unavailable" }, { reach("nobody") })
      assert.same({ nil, "Reverse connection unavailable" }, { reach("") })
      assert.same({ nil, "Reverse connection unavailable" }, { reach(("x"):rep(1000)) })
      assert.same({ -1, "timeout" }, { mtev.socket("inet"):connect("reverse:box", nil, 0) })
      assert.same({ -1, "Operation not supported" }, { mtev.socket("inet", "udp"):connect("reverse:box") })
    end)
  end)

  it("passes half-closes on, and bytes of every size, both ways at once", function()
    local function sink(e) -- answers with the digest of all that came
      local all = e:read(1e9) or ""
      e:write(("%d %s"):format(#all, mtev.sha256_hex(all)))
    end
    with({ accept = sink }, function()
      for _, size in ipairs { 0, 1, 16384, 300000, 5000000 } do
        local reader, writer = assert(reach("box")):split()
        local data = ("0123456789abcde\n"):rep(math.ceil(size / 16)):sub(1, size)
        assert.equal(size, writer:write(data))
        writer:close()
        assert.equal(("%d %s"):format(size, mtev.sha256_hex(data)), reader:read(1000))
        reader:close()
      end
    end)
  end)

  it("leads to a target", function()
    local listener, port = net.listen()
    local server = mtev.coroutine_spawn(function()
      local own = listener:own()
      while true do net.give(own:accept(), echo) end
    end)
    with({ target = { "127.0.0.1", port } }, function()
      local e = reach("box")
      assert_talks(e)
      e:close()
    end)
    mtev.cancel_coro(server)
    with({ target = { address = "127.0.0.1", port = port } }, function()
      assert.same({ nil, "Connection refused" }, { reach("box") })
    end)
  end)

  it("fails with the reason where its target cannot be connected, whatever a script makes of its table later", function()
    local target = { "no-such-name.invalid", 80 }
    with({ target = target }, function(_, dialler)
      target[1] = "a\0b"
      for _ = 1, 2 do assert.same({ nil, "Cannot translate 'no-such-name.invalid' to IP" }, { reach("box") }) end
      assert.is_true(dialler:is_connected())
    end)
    with({ target = { "::1%nowhere", 80 } }, function()
      assert.matches("^Cannot translate", (select(2, reach("box"))))
    end)
    with({ target = { "/nowhere/at/all" } }, function()
      assert.same({ nil, "No such file or directory" }, { reach("box") })
    end)
  end)

  it("tells a reset from an end", function()
    with({ accept = function(e) e:write("half\n") e:read("\n") end }, function()
      local e = reach("box")
      assert.equal("half\n", e:read("\n"))
      e:write("go\n")
      assert.is_nil((e:read("\n")))
      assert.equal(1, select("#", e:read("\n"))) -- the coroutine there has ended: an end of file
    end)
    local listener, port = net.listen()
    with({ target = { "127.0.0.1", port } }, function()
      local e = reach("box")
      e:write("go\n")
      local peer = listener:accept()
      assert.equal("go\n", peer:read("\n"))
      net.reset(peer)
      assert.same({ nil, "Connection reset by peer" }, { e:read("\n") })
      e:close()
    end)
  end)

  it("carries TLS", function()
    local dir = files.directory()
    local authority = certificates.authority(dir, "authority")
    local good = authority:issue("good", "/CN=good.test", "subjectAltName=DNS:good.test")
    with({ accept = function(e)
      if e:ssl_upgrade_socket { server = true, certificate = good.certificate, key = good.key } == 0 then echo(e) end
    end }, function()
      local e = reach("box")
      assert.same({ 0 }, { e:ssl_upgrade_socket({ ca_chain = authority.certificate }, "good.test") })
      assert_talks(e)
    end)
    files.remove(dir)
  end)

  it("has a thousand channels, of which one that nobody reads from stalls no other", function()
    local count = os.getenv("LHOTSE_SLOW_BUILD") and 200 or 1000
    local stuck = 0
    local function accept(e)
      local kind = e:read("\n")
      if kind == "stuck\n" then return mtev.waitfor("go on") end
      if kind == "flood\n" then
        while true do
          local n = e:write(("x"):rep(100000))
          if n < 0 then return end
          stuck = stuck + n
        end
      end
      echo(e)
    end
    with({ accept = accept }, function(_, _, listener)
      -- One on which the far side reads nothing, and one on which we read nothing: both fill up to their window.
      local deaf, flood = reach("box"), reach("box")
      deaf:write("stuck\n")
      flood:write("flood\n")
      local blocked = mtev.coroutine_spawn(function()
        local e = deaf:own()
        while e:write(("x"):rep(100000)) > 0 do end
      end)
      local channels = {}
      for i = 1, count do
        channels[i] = assert(reach("box"))
        channels[i]:write("talk\n")
      end
      for round = 1, 3 do
        for i = 1, count do channels[i]:write(("%d of %d\n"):format(i, round)) end
        for i = 1, count do assert.equal(("> %d of %d\n"):format(i, round), channels[i]:read("\n")) end
      end
      assert.equal(count + 2, listener:names().box.channels)
      assert(stuck < 4e6, stuck) -- the window, and what sockets hold
      mtev.notify("go on")
      mtev.cancel_coro(blocked)
      for i = 1, count do channels[i]:close() end
      flood:close()
      assert(wait_until(function() return listener:names().box.channels == 0 end))
    end)
  end)

  it("works from every thread of the hub", function()
    local output = process.run([[
      local _, tid = mtev.thread_self()
      local listener
      if tid == 0 then
        listener = assert(mtev.reverse_listen { address = "127.0.0.1", port = 0, insecure = true })
        local dialler = mtev.reverse_connect { host = "127.0.0.1", port = select(2, listener:sock_name()), name = "box",
          accept = function(e) e:write(e:read("\n"):upper()) end }
        assert(dialler:ready(60))
        mtev.shared_notify("ready", true)
        mtev.shared_notify("ready", true)
        mtev.shared_waitfor("done", 60)
        mtev.shared_waitfor("done", 60)
        dialler:close()
        listener:close()
        return
      end
      mtev.shared_waitfor("ready", 60)
      for i = 1, 50 do
        local e = mtev.socket("reverse:box")
        assert(e:connect("reverse:box", nil, 60) == 0)
        e:write("hello " .. i .. "\n")
        assert(e:read("\n") == "HELLO " .. i .. "\n")
      end
      local e = mtev.socket("inet")
      assert(select(2, e:connect("reverse:nobody")) == "Reverse connection unavailable")
      print("thread", tid)
      mtev.shared_notify("done", true)]], { options = "-n 3" })
    assert.matches("^thread\t%d\nthread\t%d\n$", output)
  end)
end)

describe("mtev.reverse_listen", function()
  local dir, authority, stranger, hub_identity

  setup(function()
    dir = files.directory()
    authority, stranger = certificates.authority(dir, "authority"), certificates.authority(dir, "stranger")
    hub_identity = authority:issue("hub", "/CN=hub.test", "subjectAltName=IP:127.0.0.1")
  end)

  teardown(function() files.remove(dir) end)

  local function server_settings(more)
    local settings = { certificate = hub_identity.certificate, key = hub_identity.key, ca_accept = authority.certificate }
    for key, value in pairs(more or {}) do settings[key] = value end
    return settings
  end

  -- The dialler's error once it has been refused.
  local function refusal(port, options)
    local dialler = dial(port, options)
    assert(wait_until(function() return dialler.error end))
    local err = dialler.error
    assert.is_false(dialler:is_connected())
    assert.is_false(dialler:ready(0))
    dialler:close()
    return err
  end

  it("refuses to start where anybody could offer any name", function()
    local message = "reverse_listen: anybody could offer any name"
    assert.error_matches(function() mtev.reverse_listen { port = 0 } end, message)
    assert.error_matches(function() mtev.reverse_listen { port = 0, sslconfig = server_settings() } end, message)
    assert.error_matches(function() mtev.reverse_listen { port = 0, insecure = false } end, message)
  end)

  it("asks authorize(name, ssl_ctx)", function()
    local asked = {}
    local listener, port = hub { authorize = function(name, ctx)
      asked[#asked + 1] = name
      assert(ctx == nil)
      if name == "slow" then mtev.sleep(0.02) end
      if name == "broken" then error("oops") end
      return name ~= "evil", "not you"
    end }
    local one = dial(port, { name = "slow" })
    assert.is_true(one:ready(WAIT))
    assert_talks(reach("slow"))
    assert.equal("403 not you", refusal(port, { name = "evil" }))
    assert.same({ nil, "Reverse connection unavailable" }, { reach("evil") })
    assert.equal("403 refused", refusal(port, { name = "broken" }))
    assert.same({ "slow", "evil", "broken" }, { asked[1], asked[2], asked[#asked] })
    one:close()
    listener:close()
  end)

  it("lets in for true alone: a reason that comes first is one, and nothing else is a yes", function()
    local says
    local listener, port = hub { authorize = function() return unpack(says, 1, 2) end }
    for _, case in ipairs {
      { { "not you" }, "not you" }, { { "false" }, "false" }, { { "no", true }, "no" }, { { 0 }, "refused" }, { { 1, "why" }, "why" },
      { { {} }, "refused" }, { { nil, "why" }, "why" }, { { false, 5 }, "refused" }, { {}, "refused" },
    } do
      says = case[1]
      assert.equal("403 " .. case[2], refusal(port))
    end
    assert.same({}, listener:names())
    says = { true, "is not looked at" }
    local one = dial(port)
    assert.is_true(one:ready(WAIT))
    one:close()
    listener:close()
  end)

  it("takes client certificates, each for the names in it", function()
    local box = authority:issue("box", "/CN=box", "subjectAltName=DNS:alias.box")
    local forged = stranger:issue("box", "/CN=box")
    local listener, port = hub { sslconfig = server_settings { require_client_cert = true } }
    local function client(identity)
      local settings = { ca_chain = authority.certificate }
      if identity then settings.certificate, settings.key = identity.certificate, identity.key end
      return settings
    end
    local one = dial(port, { name = "box", sslconfig = client(box) })
    assert.is_true(one:ready(WAIT))
    assert_talks(reach("box"))
    local two = dial(port, { name = "alias.box", sslconfig = client(box) })
    assert.is_true(two:ready(WAIT))
    assert.equal("403 the certificate is not this name's", refusal(port, { name = "other", sslconfig = client(box) }))
    -- A name is what the certificate says, not what its subject looks like when it is written in one line.
    local nameless = authority:issue("nameless", "/O=only", "subjectAltName=IP:127.0.0.9")
    local lookalike = authority:issue("lookalike", "/O=x\\/CN=box/CN=evil")
    for _, identity in ipairs { nameless, lookalike } do
      assert.equal("403 the certificate is not this name's", refusal(port, { name = "box", sslconfig = client(identity) }))
    end
    assert.equal("403 the certificate is not this name's", refusal(port, { name = ".box", sslconfig = client(box) }))
    assert.is_string(refusal(port, { name = "box", sslconfig = client(forged) }))
    assert.is_string(refusal(port, { name = "box", sslconfig = client() }))
    assert.is_string(refusal(port, { name = "box" })) -- no TLS at all
    assert_talks(reach("box")) -- none of them has taken the name over
    -- The dialler verifies the hub, too.
    local settings = client(box)
    settings.ca_chain = stranger.certificate
    assert.matches("unable to get local issuer certificate", refusal(port, { name = "box", sslconfig = settings }), 1, true)
    one:close()
    two:close()
    listener:close()
  end)

  it("gives a name to the authorised one that came last", function()
    local listener, port = hub()
    local old = dial(port, { accept = function(e) e:write("old\n") end })
    assert.is_true(old:ready(WAIT))
    local new = dial(port, { accept = function(e) e:write("new\n") end })
    assert.is_true(new:ready(WAIT))
    assert.equal("new\n", reach("box"):read("\n"))
    new:close()
    assert(wait_until(function()
      local e = reach("box")
      return e and e:read("\n") == "old\n" -- it is still there
    end))
    old:close()
    listener:close()
  end)

  it("sends away what speaks something else, and does not wait for ever", function()
    local before = settle()
    local listener, port = hub { timeout = 0.2 }
    local function said(bytes)
      local e = net.connect(port)
      e:write(bytes)
      local text = e:read(10000)
      e:close()
      return text
    end
    assert.matches("^HTTP/1.1 400 ", said("GET / HTTP/1.1\r\n\r\n"))
    assert.matches("^HTTP/1.1 400 ", said("POST /box HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"))
    assert.matches("^HTTP/1.1 400 ", said("POST /" .. ("x"):rep(300) .. " HTTP/1.1\r\nUpgrade: PTTH/2.0\r\n\r\n"))
    assert.matches("^HTTP/1.1 400 ", said("POST /a%00b HTTP/1.1\r\nUpgrade: PTTH/2.0\r\n\r\n"))
    assert.is_nil((said("\1\2\3")))            -- waits for the rest, and gives up
    assert.is_nil((said(("x"):rep(10000))))    -- too long a head
    assert.matches("^HTTP/1.1 101 ", said("POST /box HTTP/1.1\r\nUpgrade: PTTH/2.0\r\n\r\nthis is no HTTP/2 at all, but it is long enough for a frame"))
    listener:close()
    assert.same(before, (settle()))
  end)

  it("says why it cannot listen, and checks its options", function()
    local _, port = net.listen()
    assert.same({ nil, "Address already in use" }, { mtev.reverse_listen { address = "127.0.0.1", port = port, insecure = true } })
    assert.same({ nil, "Cannot translate 'nowhere' to IP" }, { mtev.reverse_listen { address = "nowhere", port = 0, insecure = true } })
    for _, case in ipairs {
      { nil, "table expected, got nil" }, { {}, "option 'port' to 'reverse_listen' is missing" },
      { { port = 0, prot = 1 }, "unknown option 'prot'" }, { { port = 70000 }, "bad option 'port'" },
      { { port = 0, authorize = true }, "bad option 'authorize' to 'reverse_listen' (function expected, got boolean)" },
      { { port = 0, keepalive = 0 }, "bad option 'keepalive' to 'reverse_listen' (out of range)" },
      { { port = 0, backlog = 1e300 }, "bad option 'backlog' to 'reverse_listen' (out of range)" },
      { { port = 0, backlog = -1 }, "bad option 'backlog' to 'reverse_listen' (out of range)" },
      -- Each connection to it would fail.
      { { port = 0, sslconfig = { require_client_cert = true } }, "bad option 'sslconfig' to 'reverse_listen' (certificate and key expected" },
      { { port = 0, insecure = true, sslconfig = { certificates = {} } }, "bad option 'sslconfig' to 'reverse_listen' (certificate and key expected" },
    } do
      assert.error_matches(function() mtev.reverse_listen(case[1]) end, case[2], 1, true)
    end
    local settings = server_settings { key = dir .. "/nowhere" }
    local none, err = mtev.reverse_listen { port = 0, insecure = true, sslconfig = settings }
    assert.is_nil(none)
    assert.matches("^sslconfig: .*nowhere", err)
    local listener = hub { backlog = "5" }
    assert.error_matches(function() listener.names({}) end, "bad self (mtev.reverse_listener expected, got table)", 1, true)
    listener:close()
    listener:close()
  end)
end)

describe("mtev.reverse_connect", function()
  it("comes back when the hub was restarted, and when it was restarted itself", function()
    local listener, port = hub()
    local dialler = dial(port)
    assert.is_true(dialler:ready(WAIT))
    local e = reach("box")
    listener:close()
    assert.same({ nil, "Connection reset by peer" }, { e:read("\n") })
    assert(wait_until(function() return not dialler:is_connected() end))
    mtev.sleep(0.05) -- some attempts fail
    listener = hub { port = port }
    assert.is_true(dialler:ready(WAIT))
    assert(wait_until(function() return reach("box") end))
    assert_talks(reach("box"))
    dialler:close()
    assert.is_false(dialler:is_connected())
    assert(wait_until(function() return not listener:names().box end))
    dialler = dial(port)
    assert.is_true(dialler:ready(WAIT))
    assert_talks(reach("box"))
    dialler:close()
    dialler:close()
    assert.is_false(dialler:ready(WAIT))
    listener:close()
  end)

  it("waits longer and longer for a hub that is not there", function()
    local listener, port = net.listen()
    local times = {}
    local server = mtev.coroutine_spawn(function()
      local own = listener:own()
      while true do
        own:accept():close()
        times[#times + 1] = mtev.time()
      end
    end)
    local dialler = dial(port, { retry_min = 0.02, retry_max = 0.08 })
    assert(wait_until(function() return #times >= 5 end))
    dialler:close()
    mtev.cancel_coro(server)
    -- 20, 40, 80, 80 ms, each three quarters to five quarters
    assert(times[2] - times[1] >= 0.014 and times[3] - times[2] >= 0.029 and times[5] - times[4] >= 0.059)
    assert.equal("the hub closed the connection", dialler.error)
  end)

  it("notices a cable that was cut, as does the hub, and waiting connects end in time", function()
    local before = settle()
    local listener, port = hub { keepalive = 0.3 }
    local is_cut = false
    local proxy, proxy_port = net.listen()
    local function carry(from, to)
      while true do
        local n, data = from:recv(65536)
        if is_cut then mtev.waitfor("never", WAIT) end -- keeps both open, in silence
        if n <= 0 or to:write(data) < 0 then break end
      end
    end
    local wires = {}
    local proxying = mtev.coroutine_spawn(function()
      local own = proxy:own()
      while true do
        local a = own:accept()
        wires[#wires + 1] = mtev.coroutine_spawn(function()
          local b = net.connect(port)
          local ra, wa = a:own():split()
          local rb, wb = b:split()
          wires[#wires + 1] = mtev.coroutine_spawn(function() carry(rb:own(), wa:own()) end)
          carry(ra, wb)
        end)
      end
    end)
    local dialler = dial(proxy_port, { keepalive = 0.3 })
    assert.is_true(dialler:ready(WAIT))
    local e = reach("box")
    assert_talks(e)
    is_cut = true
    assert.same({ nil, "timeout" }, { reach("box", 0.05) })    -- its own timeout
    assert.same({ nil, "timeout" }, { reach("box") })          -- the tunnel's end
    assert.same({ nil, "Connection reset by peer" }, { e:read("\n") })
    e:close()
    assert(wait_until(function() return not dialler:is_connected() end))
    assert.same({ nil, "Reverse connection unavailable" }, { reach("box") })
    is_cut = false -- a new cable
    assert.is_true(dialler:ready(WAIT))
    assert(wait_until(function() return reach("box") end))
    assert_talks(reach("box"))
    dialler:close()
    listener:close()
    mtev.cancel_coro(proxying)
    for _, co in ipairs(wires) do mtev.cancel_coro(co) end
    collectgarbage()
    collectgarbage()
    assert.same(before, (settle()))
  end)

  it("survives a hub that speaks nonsense", function()
    local listener, port = net.listen()
    local answers = {
      "nonsense", "HTTP/1.1 101 Switching Protocols\r\n\r\nnonsense, and enough of it to be taken for a frame of HTTP/2",
      "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 403 Forbidden\r\nContent-Length: 999999999\r\n\r\n", ("x"):rep(20000), "",
    }
    local count = 0
    local server = mtev.coroutine_spawn(function()
      local own = listener:own()
      while true do
        local e = own:accept()
        e:write(answers[count % #answers + 1])
        e:close()
        count = count + 1
      end
    end)
    local dialler = dial(port, { retry_min = 0.001, retry_max = 0.001 })
    assert(wait_until(function() return count >= 2 * #answers end))
    dialler:close()
    mtev.cancel_coro(server)
  end)

  it("leaves nothing behind when connects are cancelled and closed in all states", function()
    with({ accept = function(e) mtev.sleep(0) e:read("\n") end }, function()
      for i = 1, 100 do
        local e
        local co = mtev.coroutine_spawn(function()
          e = mtev.socket("inet")
          e:connect("reverse:box")
          e:read("\n")
        end)
        for _ = 1, i % 5 do mtev.sleep(0) end
        if i % 2 == 0 then e:close() end
        mtev.cancel_coro(co)
      end
    end)
  end)

  it("checks its options", function()
    local good = { host = "127.0.0.1", port = 1, name = "box", accept = function() end }
    local function with_option(key, value)
      local options = {}
      for k, v in pairs(good) do options[k] = v end
      options[key] = value
      return function() mtev.reverse_connect(options) end
    end
    assert.error_matches(function() mtev.reverse_connect() end, "bad argument #1 to 'reverse_connect' (table expected, got nil)", 1, true)
    assert.error_matches(with_option("port", 0), "bad option 'port' to 'reverse_connect' (port from 1 to 65535 expected, got '0')", 1, true)
    assert.error_matches(with_option("name", ""), "bad option 'name'")
    assert.error_matches(with_option("name", "a\0b"), "bad option 'name'")
    assert.error_matches(with_option("name", 1), "bad option 'name'")
    assert.error_matches(with_option("target", { "127.0.0.1", 1 }), "either `accept` or `target`")
    assert.error_matches(with_option("retries", 1), "unknown option 'retries'")
    assert.error_matches(with_option("insecure", true), "unknown option 'insecure'")
    -- What connect would raise for, or never take, when the hub opens a channel is told here.
    for _, case in ipairs {
      { { 5 }, "{address, port} expected" }, { {}, "{address, port} expected" }, { { "a\0b", 80 }, "there is a NUL in its address" },
      { { "/tmp/a\0b" }, "there is a NUL in its address" }, { { "/" .. ("x"):rep(107) }, "its path is too long" },
      { { "a" }, "with a port from 1 to 65535" }, { { "a", 0 }, "with a port from 1 to 65535" }, { { "a", 65536 }, "with a port from 1 to 65535" },
      { { "a", 1.5 }, "with a port from 1 to 65535" }, { { "a", "http" }, "with a port from 1 to 65535" }, { { "a", 80LL }, "with a port from 1 to 65535" },
      { { "", 80 }, "name or address expected" }, { { "a b", 80 }, "name or address expected" }, { { "*", 80 }, "name or address expected" },
      { { "1.2.3", 80 }, "name or address expected" }, { { ("x"):rep(256), 80 }, "name or address expected" },
      { { adress = "a", port = 80 }, "unknown option 'adress'" },
    } do
      assert.error_matches(function() mtev.reverse_connect { host = "h", port = 1, name = "n", target = case[1] } end, case[2], 1, true)
    end
    for _, target in ipairs { { "127.0.0.1", "1" }, { "::1%lo", 1 }, { "/" .. ("x"):rep(106) }, { "a.1x", 1 }, { "reverse:a b", 1 } } do
      mtev.reverse_connect { host = "127.0.0.1", port = 1, name = "n", target = target }:close()
    end
  end)
end)

-- -- Peers that mean harm ---------------------------------------------------------------------------------------------

-- HTTP/2 by hand (RFC 9113, 4.1).
local function h2(kind, flags, stream, payload)
  payload = payload or ""
  return string.char(math.floor(#payload / 65536), math.floor(#payload / 256) % 256, #payload % 256, kind, flags,
    math.floor(stream / 2 ^ 24), math.floor(stream / 65536) % 256, math.floor(stream / 256) % 256, stream % 256) .. payload
end

local function field(name, value)
  return "\0" .. string.char(#name) .. name .. string.char(#value) .. value
end

local DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
local ACK, END_HEADERS, END_HEADERS_AND_STREAM = 1, 4, 5
local CONNECT = field(":method", "CONNECT") .. field(":authority", "reverse:0")
local GET = "\130\132\134" .. field(":authority", "x")

-- A hub that turns each connection round and then says what next_piece() gives, until it gives nothing or nobody reads any more. It
-- reads what the dialler says if `reads`. Its port, and a function that ends it.
local function hostile_hub(reads, make_next_piece)
  local listener, port = net.listen()
  local acceptor = net.give(listener, function(own)
    while true do
      local e = own:accept()
      if not e then return end
      mtev.coroutine_spawn(function()
        e = e:own()
        e:read("\r\n\r\n")
        e:write("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: PTTH/2.0\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" .. h2(SETTINGS, 0, 0))
        local reader, writer = e:split()
        if reads then
          writer:write(h2(SETTINGS, ACK, 0))
          net.give(reader, function(r) repeat until r:recv(65536) <= 0 end)
        end
        for piece in make_next_piece() do
          if writer:write(piece, { timeout = 1 }) ~= #piece then break end
        end
        mtev.sleep(0.2)
      end)
    end
  end)
  return port, function() mtev.cancel_coro(acceptor) end
end

-- Pieces f(number of the first stream), each of which opens `count` streams, `times` times.
local function streams(count, times, f)
  return function()
    local round = -1
    return function()
      round = round + 1
      return round < times and f(1 + 2 * count * round) or nil
    end
  end
end

local function each_stream(first, count, f)
  local frames = {}
  for i = 1, count do frames[i] = f(first + 2 * (i - 1)) end
  return table.concat(frames)
end

describe("A dialler whose hub means harm", function()
  -- nghttp2 answered, and kept the answers: for requests beyond the channels allowed, and until our SETTINGS were acknowledged for any.
  it("keeps little, whatever comes and whether the hub reads or not", function()
    local ping, settings = h2(PING, 0, 0, "12345678"):rep(2000), h2(SETTINGS, 0, 0):rep(4000)
    for what, next_piece in pairs {
      requests = streams(500, 2000, function(first) return each_stream(first, 500, function(i) return h2(HEADERS, END_HEADERS_AND_STREAM, i, GET) end) end),
      channels = streams(500, 200, function(first) return each_stream(first, 500, function(i) return h2(HEADERS, END_HEADERS, i, CONNECT) end) end),
      ["channels that are reset"] = streams(250, 400, function(first)
        return each_stream(first, 250, function(i) return h2(HEADERS, END_HEADERS, i, CONNECT) .. h2(RST_STREAM, 0, i, "\0\0\0\8") end)
      end),
      data = streams(10, 500, function(first)
        return each_stream(first, 10, function(i) return h2(HEADERS, END_HEADERS, i, CONNECT) .. h2(DATA, 0, i, ("x"):rep(16000)):rep(4) end)
      end),
      pings = function() return function() return ping end end,
      settings = function() return function() return settings end end,
    } do
      for _, reads in ipairs { false, true } do
        local port, stop = hostile_hub(reads, next_piece)
        local growth = memory.growth(function()
          local dialler = dial(port, { channels = 200, window = 65536, accept = function() mtev.sleep(5) end })
          mtev.sleep(1)
          dialler:close()
        end)
        stop()
        collectgarbage()
        collectgarbage()
        if memory.is_exact then assert(growth < 30, ("%s, reads = %s: %.0f MiB"):format(what, tostring(reads), growth)) end
      end
    end
  end)

  it("loses no more than half of its descriptors, also to channels that the script still holds", function()
    local script = files.write(files.directory() .. "/few.lua", [[
      local port = tonumber((...))
      mtev.reverse_connect { host = "127.0.0.1", port = port, name = "x", retry_min = 0.01, channels = 10000, accept = function() mtev.sleep(60) end }
      local most, rounds = 0, 0
      while rounds < 30 do
        mtev.sleep(0.01)
        if most > 60 then rounds = rounds + 1 end
        local list, count = io.popen("ls /proc/$PPID/fd"), 0
        for _ in list:lines() do count = count + 1 end
        list:close()
        most = math.max(most, count)
      end
      print(most <= 110 and "bounded" or most)
      os.exit(0)
    ]])
    -- With each connection that ends its channels do, but what the script was given of them stays open.
    local port, stop = hostile_hub(true, streams(50, 1, function(first)
      return each_stream(first, 50, function(i) return h2(HEADERS, END_HEADERS, i, CONNECT) end)
    end))
    local _, out, err = mtev.exec("/bin/sh", { "sh", "-c", 'ulimit -n 160; exec "$0" "$@"', process.lhotse, script, tostring(port) }, nil, WAIT)
    assert.same({ "bounded\n", "" }, { out, err })
    stop()
  end)

  it("says what is wrong with the hub's answer", function()
    for answer, expected in pairs {
      ["SSH-2.0-x"] = "malformed", ["HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"] = "404 none",
      ["HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n"] = "the hub speaks another protocol", ["HTTP/1.1 101 x\r\nX\r\n\r\n"] = "malformed",
      ["HTTP/1.1 103 x\r\n\r\nHTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno"] = "403 no",
      ["HTTP/1.1 101 x\r\n" .. ("x"):rep(10000)] = "limit", [""] = "the hub closed the connection",
    } do
      local listener, port = net.listen()
      net.give(listener, function(own)
        while true do
          local e = own:accept()
          e:read("\r\n\r\n")
          e:write(answer)
          e:close()
        end
      end)
      local dialler = dial(port)
      assert(wait_until(function() return dialler.error == expected end), dialler.error)
      dialler:close()
    end
  end)

  it("asks for what it was told, and no more", function()
    for _, host in ipairs { "a\r\nX: y", "a b", "a/b", "a@b", "", "a\0b", "::1\r\n" } do
      assert.error_matches(function() mtev.reverse_connect { host = host, port = 1, name = "x", accept = echo } end, "bad option 'host'", 1, true)
    end
  end)
end)

-- A dialler by hand, which offers "x" and answers PINGs. After `on_request(stream)` its answer to a CONNECT, nil =
-- none, is sent. Its eventer for writing, and how many frames of each kind have come.
local function hostile_dialler(listener, port, on_request)
  local e, seen = net.connect(port), setmetatable({}, { __index = function() return 0 end })
  e:write("POST /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: PTTH/2.0\r\nContent-Length: 0\r\n\r\n")
  assert.matches("^HTTP/1.1 101 ", e:read("\r\n\r\n"))
  local reader, writer = e:split()
  writer:write(h2(SETTINGS, 0, 0, "\0\3\0\1\134\160") .. h2(SETTINGS, ACK, 0)) -- 100000 channels
  net.give(reader, function(r)
    r:read(24) -- the preface
    for head in function() return r:read(9) end do
      local a, b, c, kind, flags, s1, s2, s3, s4 = head:byte(1, 9)
      local length, stream = (a * 256 + b) * 256 + c, ((s1 * 256 + s2) * 256 + s3) * 256 + s4
      local payload = length > 0 and r:read(length) or ""
      seen[kind] = seen[kind] + 1
      local answer = kind == PING and flags == 0 and h2(PING, ACK, 0, payload) or kind == HEADERS and on_request(stream)
      if answer then writer:send(answer) end -- which needs not be this coroutine's
    end
  end)
  assert(wait_until(function() return listener:names().x end))
  return writer, seen
end

describe("A hub whose dialler never answers", function()
  -- The tunnel did not look at its end of a pair before the channel was open: each dial that was given up left a
  -- channel and a descriptor.
  it("keeps nothing of dials that time out, are cancelled or closed", function()
    local listener, port = hub()
    local writer, seen = hostile_dialler(listener, port, function() end)
    local before = settle().sockets
    for i = 1, 20 do
      assert.same({ nil, "timeout" }, { reach("x", 0.001) })
      local e
      local co = mtev.coroutine_spawn(function()
        e = mtev.socket("inet")
        e:connect("reverse:x")
      end)
      assert(wait_until(function() return listener:names().x.channels > 0 and seen[HEADERS] >= 2 * i - 1 end))
      if i % 2 == 0 then e:close() end
      mtev.cancel_coro(co)
    end
    collectgarbage()
    collectgarbage()
    assert(wait_until(function() return listener:names().x.channels == 0 end))
    assert(wait_until(function() return seen[RST_STREAM] == seen[HEADERS] end)) -- the other side may forget them, too
    assert(settle().sockets <= before) -- what an earlier case left may have gone meanwhile
    writer:close()
    listener:close()
  end)

  -- The channel stays half open, as its other side may still be reading; but nobody reads here, which takes no
  -- descriptor.
  it("keeps no descriptor of channels that it has closed and the other side does not", function()
    local listener, port = hub()
    local last
    local writer, seen = hostile_dialler(listener, port, function(stream)
      last = stream
      return h2(HEADERS, END_HEADERS, stream, "\136") -- 200
    end)
    local before = settle().sockets
    for i = 1, 20 do
      local e = assert(reach("x"))
      e:write("hello")
      if i % 2 == 0 then
        local r, w = e:split()
        w:close() -- half of it first
        assert(wait_until(function() return seen[DATA] >= 2 * i end))
        r:close()
      else
        e:close()
      end
    end
    assert(wait_until(function() return settle().sockets <= before end))
    assert.equal(20, listener:names().x.channels)
    writer:write(h2(DATA, 0, last, "who reads this?"))
    assert(wait_until(function() return seen[RST_STREAM] == 1 and listener:names().x.channels == 19 end))
    writer:close()
    listener:close()
  end)
end)

describe("A hub, before it knows who is there,", function()
  it("keeps so many connections, and lets go of the oldest that is silent", function()
    local listener, port = hub { pending = 3, timeout = WAIT }
    local silent = {}
    for i = 1, 5 do
      silent[i] = net.connect(port)
      mtev.sleep(0.02)
    end
    assert.same({ 0, "" }, { silent[1]:recv(1) })
    assert.same({ 0, "" }, { silent[2]:recv(1) })
    assert.same({ -1, "timeout" }, { silent[3]:recv(1, { timeout = 0.02 }) })
    local dialler = dial(port)
    assert.is_true(dialler:ready(WAIT))
    assert.same({ 0, "" }, { silent[3]:recv(1) })
    assert.same({ -1, "timeout" }, { silent[5]:recv(1, { timeout = 0.02 }) })
    dialler:close()
    listener:close()
  end)

  it("does not let go of whom its script is asked about", function()
    local listener, port = hub { pending = 2, authorize = function(name) mtev.waitfor("asked " .. name) return true end }
    local slow = { dial(port, { name = "one" }), dial(port, { name = "two" }) }
    mtev.sleep(0.1)
    local third = net.connect(port)
    assert.same({ 0, "" }, { third:recv(1) })
    mtev.notify("asked one")
    assert.is_true(slow[1]:ready(WAIT))
    mtev.notify("asked two")
    assert.is_true(slow[2]:ready(WAIT))
    for _, dialler in ipairs(slow) do dialler:close() end
    listener:close()
  end)

  it("waits for a request for `timeout` in all, however slowly it comes", function()
    local listener, port = hub { timeout = 0.2 }
    local e = net.connect(port)
    local began = mtev.time()
    for i = 1, 1000 do
      if e:write(("POST /x HTTP/1.1\r\n" .. ("X: y\r\n"):rep(300)):sub(i, i)) ~= 1 then break end
      mtev.sleep(0.01)
    end
    assert(mtev.time() - began < 5)
    listener:close()
  end)

  it("refuses requests that two readers may understand differently", function()
    local listener, port = hub { timeout = 5 }
    for _, request in ipairs {
      "POST /x HTTP/1.1\r\nHost: h\r\nUpgrade : PTTH/2.0\r\n\r\n", "POST /x HTTP/1.1\r\nHost: h\r\nUpgrade: PTTH/2.0\r\nContent-Length: 5\r\n\r\nhello",
      "POST /x HTTP/1.1\r\nHost: h\r\nUpgrade: PTTH/2.0\r\nTransfer-Encoding: chunked\r\n\r\n", "POST /x HTTP/1.1\nHost: h\nUpgrade: PTTH/2.0\n\n",
      "POST  /x HTTP/1.1\r\nHost: h\r\nUpgrade: PTTH/2.0\r\n\r\n", "POST /x HTTP/1.1\r\nHost: h\r\nX: PTTH/2.0\r\n Upgrade: PTTH/2.0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nUpgrade: PTTH/2.0\r\n\r\n", "POST /x HTTP/1.1\r\nHost: h\r\nHost: i\r\nUpgrade: PTTH/2.0\r\n\r\n",
    } do
      local e = net.connect(port)
      e:write(request)
      assert.matches("^HTTP/1.1 400 ", e:read(10000))
    end
    assert.same({}, listener:names())
    listener:close()
  end)
end)
