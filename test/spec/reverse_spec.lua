-- Reverse connections: mtev.reverse_listen on the hub, mtev.reverse_connect on the dialling side, e:connect("reverse:NAME").

local certificates = require("test.support.certificates")
local files = require("test.support.files")
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
    } do
      assert.error_matches(function() mtev.reverse_listen(case[1]) end, case[2], 1, true)
    end
    local listener = hub()
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
    assert.error_matches(with_option("name", ""), "bad option 'name'")
    assert.error_matches(with_option("name", "a\0b"), "bad option 'name'")
    assert.error_matches(with_option("name", 1), "bad option 'name'")
    assert.error_matches(with_option("target", { "127.0.0.1", 1 }), "either `accept` or `target`")
    assert.error_matches(with_option("retries", 1), "unknown option 'retries'")
    assert.error_matches(with_option("insecure", true), "unknown option 'insecure'")
    assert.error_matches(function() mtev.reverse_connect { host = "h", port = 1, name = "n", target = { 5 } } end, "bad option 'target'")
  end)
end)
