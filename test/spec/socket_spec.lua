-- mtev.socket, bind, listen, accept, connect, names, datagrams, unix sockets, socket options.

local debug_info = require("mtev.debug")
local net = require("test.support.net")
local process = require("test.support.process")

describe("mtev.socket", function()
  it("opens by family word or by literal", function()
    for _, address in ipairs { "inet", "127.0.0.1", "reverse:x" } do
      assert.matches("^mtev.eventer: tcp 0%.0%.0%.0:0", tostring(mtev.socket(address)))
    end
    for _, address in ipairs { "inet6", "::1", "fe80::1" } do
      assert.matches("^mtev.eventer: tcp %[::%]:0", tostring(mtev.socket(address)))
    end
    assert.matches("^mtev.eventer: unix", tostring(mtev.socket("unix")))
    assert.matches("^mtev.eventer: unix", tostring(mtev.socket("/some/path")))
    assert.matches("^mtev.eventer: udp", tostring(mtev.socket("inet", "udp")))
    assert.matches("^mtev.eventer: tcp", tostring(mtev.socket()))
  end)

  it("raises for unknown words and types", function()
    assert.error_matches(function() mtev.socket("bogus") end, "mtev.socket family for bogus unknown")
    assert.error_matches(function() mtev.socket("inet", "sctp") end, "mtev.socket called with invalid arguments")
    assert.error_matches(function() mtev.socket({}) end, "bad argument #1 to 'socket'")
    assert.error_matches(function() mtev.socket("inet\0") end, "contains NUL")
  end)

  it("sets TCP_NODELAY, on accepted sockets too", function()
    local client, server = net.pair()
    assert.equal(1, client:getsockopt("TCP_NODELAY"))
    assert.equal(1, server:getsockopt("TCP_NODELAY"))
  end)

  it("returns nil, errno, err when descriptors run out", function()
    local output, status = process.run([[
      local all = {}
      while true do
        local e, errno, err = mtev.socket("inet")
        if not e then print(errno, err) break end
        all[#all + 1] = e
      end]], { before = "ulimit -n 64;" })
    assert.equal("24\tToo many open files\n", output)
    assert.equal(0, status)
  end)
end)

describe("bind", function()
  it("binds the address given, and only that", function()
    local e = mtev.socket("inet")
    assert.equal(0, (e:bind("127.0.0.2", 0)))
    local address, port = e:sock_name()
    assert.equal("127.0.0.2", address)
    assert.is_true(port > 0)
    assert.equal(0, e:listen())
    local other = mtev.socket("inet")
    assert.same({ -1, "Connection refused" }, { other:connect("127.0.0.1", port) })
  end)

  it("takes * for any, ports as numeric strings, 0 for one of the kernel's choice", function()
    local e = mtev.socket("inet")
    assert.equal(0, (e:bind("*", "0")))
    assert.equal("0.0.0.0", (e:sock_name()))
    e = mtev.socket("inet6")
    assert.equal(0, (e:bind("*", 0)))
    assert.equal("::", (e:sock_name()))
  end)

  it("returns -1, err for what cannot be bound", function()
    local _, port = net.listen()
    local e = mtev.socket("inet")
    assert.same({ -1, "Address already in use" }, { e:bind("127.0.0.1", port) })
    assert.same({ -1, "Cannot translate 'localhost' to IP" }, { e:bind("localhost", 0) })
    assert.same({ -1, "Cannot translate '1.2.3' to IP" }, { e:bind("1.2.3", 0) })
    assert.same({ -1, "Address family not supported by protocol" }, { e:bind("::1", 0) })
    assert.same({ -1, "Cannot assign requested address" }, { e:bind("192.0.2.1", 0) })
  end)

  it("raises for ports out of range and other misuse", function()
    local e = mtev.socket("inet")
    for _, port in ipairs { -1, 65536, 1.5, 0 / 0, 1e99, "x", {}, true } do
      assert.error_matches(function() e:bind("127.0.0.1", port) end, "bad argument #2 to 'bind'")
    end
    assert.error_matches(function() e:bind("127.0.0.1") end, "bad argument #2 to 'bind'")
    assert.error_matches(function() e:bind() end, "bad argument #1 to 'bind'")
  end)
end)

describe("listen and accept", function()
  it("return -1, errno, err where it cannot be done", function()
    local udp = mtev.socket("inet", "udp")
    assert.same({ -1, 95, "Operation not supported" }, { udp:listen(1) })
    assert.same({ nil, "Invalid argument" }, { mtev.socket("inet"):accept() })
  end)

  it("serve pending connections without going back to the loop", function()
    local listener, port = net.listen()
    local clients = {}
    for i = 1, 5 do clients[i] = net.connect(port) end
    local turns, counting = 0, true
    mtev.coroutine_spawn(function()
      while counting do
        mtev.sleep(0)
        turns = turns + 1
      end
    end)
    local before = turns
    for _ = 1, 5 do assert.is_truthy(listener:accept()) end
    assert.equal(before, turns)
    counting = false
  end)

  it("accept over IPv6 and tell the names of both ends", function()
    local client, server = net.pair("inet6")
    local address, port = client:peer_name()
    assert.equal("::1", address)
    assert.same({ "::1", port }, { server:sock_name() })
    assert.same({ client:sock_name() }, { server:peer_name() })
    assert.matches("^mtev.eventer: tcp %[::1%]:%d+ %-> %[::1%]:%d+$", tostring(client))
  end)

  it("at EMFILE: nil, err; no busy loop; the listener recovers when a descriptor is free", function()
    local output, status = process.run([[
      local listener = mtev.socket("inet")
      listener:bind("127.0.0.1", 0) listener:listen(64)
      local _, port = listener:sock_name()
      local clients = {}
      for i = 1, 10 do clients[i] = mtev.socket("inet") assert(clients[i]:connect("127.0.0.1", port) == 0) end
      local fill = {}
      while true do local e = mtev.socket("inet") if not e then break end fill[#fill + 1] = e end
      local errors, accepted, cpu, start = 0, 0, os.clock(), mtev.time()
      mtev.coroutine_spawn(function()
        mtev.sleep(1)
        for i = 1, 10 do fill[i]:close() end
      end)
      local busy
      while accepted < 10 do
        local e, err = listener:accept()
        if e then
          if accepted == 0 then busy = (os.clock() - cpu) / (mtev.time() - start) end
          accepted = accepted + 1
          fill[#fill + 1] = e
        else
          assert(err == "Too many open files", err)
          errors = errors + 1
        end
      end
      print(errors >= 1 and errors < 50, accepted, busy < 0.05 or busy)]], { before = "ulimit -n 64;" })
    assert.equal("true\t10\ttrue\n", output)
    assert.equal(0, status)
  end)

  it("share a port between threads with SO_REUSEPORT", function()
    local output, status = process.run([[
      local _, index = mtev.thread_self()
      local listener = mtev.socket("inet")
      assert(listener:setsockopt("SO_REUSEPORT", 1) == 0)
      if index == 0 then
        assert(listener:bind("127.0.0.1", 0) == 0)
        local _, port = listener:sock_name()
        mtev.shared_notify("port", port)
        listener:listen(16)
        mtev.shared_waitfor("bound")
        print("both")
      else
        local port = mtev.shared_waitfor("port")
        print(listener:bind("127.0.0.1", port))
        listener:listen(16)
        mtev.shared_notify("bound", true)
      end]], { options = "-n 2" })
    assert.equal("0\nboth\n", output)
    assert.equal(0, status)
  end)
end)

describe("connect", function()
  it("returns 0, and -1 with the reason when nobody listens", function()
    local listener, port = net.listen()
    local e = mtev.socket("inet")
    assert.equal(1, select("#", e:connect("127.0.0.1", port)))
    listener:close()
    e = mtev.socket("inet")
    assert.same({ -1, "Connection refused" }, { e:connect("127.0.0.1", port) })
    -- Afterwards it can only be closed: every call reports the same.
    assert.same({ -1, "Connection refused" }, { e:connect("127.0.0.1", port) })
    assert.same({ nil, "Connection refused" }, { e:read(1) })
    assert.same({ -1, "Connection refused" }, { (e:write("x")), (select(2, e:write("x"))) })
    assert.equal(0, e:close())
  end)

  it("times out, and takes the timeout as third argument also when the port means nothing", function()
    local _, port = net.listen("inet", 0)
    for _ = 1, 4 do
      mtev.coroutine_spawn(function() mtev.socket("inet"):connect("127.0.0.1", port, 0.5) end)
    end
    mtev.sleep(0.01)
    local e = mtev.socket("inet")
    local start = mtev.time()
    assert.same({ -1, "timeout" }, { e:connect("127.0.0.1", port, 0.05) })
    assert.is_true(mtev.time() - start >= 0.049)
    assert.same({ -1, "timeout" }, { mtev.socket("inet"):connect("127.0.0.1", port, 0) })
    assert.same({ -1, "Connection timed out" }, { e:connect("127.0.0.1", port) })
    assert.same({ -1, "Reverse connection unavailable" }, { mtev.socket("reverse:x"):connect("reverse:x", nil, 2) })
    mtev.sleep(0.5)
  end)

  it("looks a host name up", function()
    local _, port = net.listen()
    local e = mtev.socket("inet")
    assert(e:setsockopt("TCP_KEEPCNT", 7) == 0)
    assert.same({ 0 }, { e:connect("localhost", port) })
    assert.same({ "127.0.0.1", port }, { e:peer_name() })
    assert.equal(7, e:getsockopt("TCP_KEEPCNT")) -- what was set before holds
    assert.same({ -1, "Transport endpoint is already connected" }, { e:connect("localhost", port) })
    assert.same({ -1, "timeout" }, { mtev.socket("inet"):connect("localhost", port, 0) })
  end)

  -- Which addresses "localhost" has is the machine's affair.
  local _, _, addresses = mtev.getaddrinfo("localhost")
  if addresses and addresses[2] == "::1" then
    it("goes on to the name's other family when the socket's own refuses", function()
      local listener, port = net.listen("inet6")
      local e = mtev.socket("inet")
      assert.same({ 0 }, { e:connect("localhost", port) })
      assert.same({ "::1", port }, { e:peer_name() })
      e:write("over IPv6\n")
      assert.equal("over IPv6\n", listener:accept():read("\n"))
    end)
  else
    print("# not tried: localhost has no IPv6 address here")
  end

  it("says so when all addresses of a name refuse, or there is no such name", function()
    local listener, port = net.listen()
    listener:close()
    local e = mtev.socket("inet")
    assert.same({ -1, "Connection refused" }, { e:connect("localhost", port) })
    assert.same({ nil, "Connection refused" }, { e:read(1) })
    assert.same({ -1, "Cannot translate 'no.such.host.invalid' to IP" }, { mtev.socket("inet"):connect("no.such.host.invalid", 1) })
    for _, word in ipairs { "", "1.2.3", "127.1", "2130706433" } do
      assert.same({ -1, ("Cannot translate '%s' to IP"):format(word) }, { mtev.socket("inet"):connect(word, 1) })
    end
    assert.same({ -1, "Cannot translate '...' to IP" }, { mtev.socket("inet"):connect(("x"):rep(300), 1) })
  end)

  it("keeps to the address that a socket was bound to, and to the one family of a datagram socket", function()
    local listener, port = net.listen()
    local e = mtev.socket("inet")
    assert(e:bind("127.0.0.2", 0) == 0)
    assert.same({ 0 }, { e:connect("localhost", port) })
    assert.same("127.0.0.2", (listener:accept():peer_name()))
    local server, client = mtev.socket("inet", "udp"), mtev.socket("inet", "udp")
    server:bind("127.0.0.1", 0)
    assert.same({ 0 }, { client:connect("localhost", select(2, server:sock_name())) })
    client:send("hello")
    assert.equal("hello", select(2, server:recv(10)))
  end)

  it("can be cancelled and closed while a name is looked up and its addresses race", function()
    local _, full = net.listen("inet", 0)
    net.connect(full)
    local settle = require("test.support.process").settle
    local before = settle()
    for _, pause in ipairs { 0, 0.02 } do
      local e
      local co = mtev.coroutine_spawn(function()
        e = mtev.socket("inet")
        mtev.notify("connected", e:connect("localhost", full))
      end)
      mtev.sleep(pause)
      mtev.cancel_coro(co)
      mtev.coroutine_spawn(function()
        e = mtev.socket("inet")
        mtev.notify("connected", e:connect("localhost", full))
      end)
      mtev.sleep(pause)
      e:close()
      assert.same({ "connected", -1, "closed" }, { mtev.waitfor("connected", 10) })
      assert.same({ -1, "timeout" }, { mtev.socket("inet"):connect("localhost", full, 0.05) })
    end
    assert.is_nil(mtev.waitfor("connected", 0))
    collectgarbage()
    collectgarbage()
    assert.same(before, (settle()))
  end)

  it("reports what is unreachable or no address", function()
    assert.same({ -1, "Cannot translate 'no such host' to IP" }, { mtev.socket("inet"):connect("no such host", 80) })
    assert.same({ -1, "Address family not supported by protocol" }, { mtev.socket("inet"):connect("::1", 80) })
    assert.same({ -1, "Address family not supported by protocol" }, { mtev.socket("inet6"):connect("127.0.0.1", 80) })
    local rv, err = mtev.socket("inet"):connect("255.255.255.255", 80)
    assert.equal(-1, rv)
    assert.matches("unreachable", (err:gsub("Permission denied", "unreachable")))
  end)

  it("raises for misuse", function()
    local e = mtev.socket("inet")
    assert.error_matches(function() e:connect("127.0.0.1", 65536) end, "bad argument #2 to 'connect'")
    assert.error_matches(function() e:connect("127.0.0.1", 80, "soon") end, "bad argument #3 to 'connect'")
    assert.error_matches(function() e:connect("127.0.0.1", 80, 0 / 0) end, "bad argument #3 to 'connect'")
    assert.error_matches(function() e:connect() end, "bad argument #1 to 'connect'")
  end)
end)

describe("names", function()
  it("are absent before there is a peer", function()
    local e = mtev.socket("inet")
    assert.equal(0, select("#", e:peer_name()))
    assert.same({ "0.0.0.0", 0 }, { e:sock_name() })
  end)
end)

describe("unix sockets", function()
  local path

  before_each(function()
    path = os.tmpname()
    os.remove(path)
  end)
  after_each(function() os.remove(path) end)

  it("connect by path", function()
    local listener = mtev.socket("unix")
    assert.equal(0, (listener:bind(path)))
    assert.equal(0, listener:listen())
    local client = mtev.socket(path)
    assert.equal(0, (client:connect(path)))
    local server = listener:accept()
    client:write("over a path\n")
    assert.equal("over a path\n", server:read("\n"))
    assert.same({ path }, { client:peer_name() })
    assert.same({ "" }, { client:sock_name() })
    assert.matches("^mtev.eventer: unix .*" .. path:gsub("%W", "%%%0"), tostring(client))
  end)

  it("report a missing path, and one that is too long", function()
    assert.same({ -1, "No such file or directory" }, { mtev.socket("unix"):connect("/no/such/socket") })
    assert.same({ -1, "File name too long" }, { mtev.socket("unix"):connect("/" .. ("x"):rep(200)) })
  end)

  it("send datagrams", function()
    local a, b = mtev.socket("unix", "udp"), mtev.socket("unix", "udp")
    assert.equal(0, (a:bind(path)))
    assert.equal(0, (b:connect(path)))
    assert.equal(4, b:send("data"))
    local rv, payload = a:recv(100)
    assert.same({ 4, "data" }, { rv, payload })
    local large = ("x"):rep(100000)
    assert.equal(#large, b:send(large))
    assert.equal(large, (select(2, a:recv(200000))))
  end)
end)

describe("UDP", function()
  local function pair(family)
    local address = family == "inet6" and "::1" or "127.0.0.1"
    local a, b = mtev.socket(family or "inet", "udp"), mtev.socket(family or "inet", "udp")
    assert(a:bind(address, 0) == 0 and b:bind(address, 0) == 0)
    return a, b, address, select(2, a:sock_name()), select(2, b:sock_name())
  end

  it("sends to and receives from", function()
    for _, family in ipairs { "inet", "inet6" } do
      local a, b, address, a_port, b_port = pair(family)
      assert.equal(5, b:sendto("hello", address, a_port))
      assert.same({ 5, "hello", address, b_port }, { a:recv(100) })
      assert.equal(0, b:sendto("", address, a_port))
      assert.same({ 0, "", address, b_port }, { a:recv(100) })
    end
  end)

  it("tells when a datagram was cut off; 0 bytes discards one", function()
    local a, b, address, port = pair()
    b:sendto("0123456789", address, port)
    b:sendto("next", address, port)
    b:sendto("last", address, port)
    local rv, payload, _, _, is_truncated = a:recv(4)
    assert.same({ 4, "0123", true }, { rv, payload, is_truncated })
    assert.equal(0, (a:recv(0)))
    assert.equal("last", (select(2, a:recv(100))))
  end)

  it("connects to a default peer, and reports a refusal once", function()
    local a, b, address, a_port = pair()
    assert.equal(0, (b:connect(address, a_port)))
    assert.equal(2, b:send("hi"))
    assert.equal("hi", (select(2, a:recv(10))))
    a:close()
    b:send("gone?")
    mtev.sleep(0.001)
    assert.same({ -1, "Connection refused" }, { b:recv(10) })
    assert.same({ -1, "timeout" }, { b:recv(10, { timeout = 0.001 }) })
  end)

  it("lets one coroutine receive while another sends", function()
    local a, b, address, a_port, b_port = pair()
    local got
    mtev.coroutine_spawn(function() got = { a:recv(100) } end)
    assert.error_matches(function() a:recv(1) end, "mtev.eventer: busy %(another coroutine is receiving%)")
    assert.equal(3, a:sendto("out", address, b_port))
    assert.equal("out", (select(2, b:recv(10))))
    b:sendto("in", address, a_port)
    mtev.sleep(0.001)
    assert.equal("in", got[2])
  end)

  it("wakes a receiver that is parked", function()
    local a, b, address, a_port = pair()
    local got
    mtev.coroutine_spawn(function() got = { a:recv(100) } end)
    mtev.sleep(0.001)
    b:sendto("late", address, a_port)
    mtev.sleep(0.002)
    assert.equal("late", got[2])
  end)

  it("reports unparsable addresses and datagrams that are too large", function()
    local a = pair()
    assert.same({ -1, "Cannot translate 'nowhere' to IP" }, { a:sendto("x", "nowhere", 1) })
    assert.same({ -1, "Message too long" }, { a:sendto(("x"):rep(70000), "127.0.0.1", 9) })
    assert.same({ -1, "Destination address required" }, { a:send("x") })
    assert.error_matches(function() a:sendto("x", "127.0.0.1", 70000) end, "bad argument #3 to 'sendto'")
    assert.error_matches(function() a:sendto({}, "127.0.0.1", 7) end, "bad argument #1 to 'sendto'")
  end)

  it("joins a multicast group and receives from it", function()
    local receiver, sender = mtev.socket("inet", "udp"), mtev.socket("inet", "udp")
    assert.equal(0, receiver:setsockopt("SO_REUSEADDR", 1))
    assert.equal(0, (receiver:bind("239.255.77.7", 0)))
    local port = select(2, receiver:sock_name())
    assert.equal(0, (receiver:setsockopt("IP_ADD_MEMBERSHIP", { "239.255.77.7", "127.0.0.1" })))
    assert.equal(0, (sender:setsockopt("IP_MULTICAST_IF", "127.0.0.1")))
    assert.equal(0, (sender:setsockopt("IP_MULTICAST_LOOP", true)))
    local rv, err = sender:sendto("to the group", "239.255.77.7", port)
    assert.equal(12, rv, err)
    assert.equal("to the group", (select(2, receiver:recv(100, { timeout = 5 }))))
    assert.equal(0, (receiver:setsockopt("IP_DROP_MEMBERSHIP", { "239.255.77.7", "127.0.0.1" })))
  end)
end)

describe("setsockopt", function()
  local integers = {
    tcp = {
      SO_REUSEADDR = 1, SO_REUSEPORT = 1, SO_KEEPALIVE = 1, SO_OOBINLINE = 1, SO_DONTROUTE = 0, SO_RCVLOWAT = 1,
      SO_PRIORITY = 1, TCP_NODELAY = 0, TCP_KEEPIDLE = 30, TCP_KEEPINTVL = 5, TCP_KEEPCNT = 3, TCP_USER_TIMEOUT = 1000,
      TCP_CORK = 0, TCP_QUICKACK = 1, TCP_DEFER_ACCEPT = 1, TCP_SYNCNT = 3, TCP_LINGER2 = 5, TCP_NOTSENT_LOWAT = 16384,
    },
    udp = { SO_BROADCAST = 1, SO_REUSEADDR = 1, SO_REUSEPORT = 1 },
    inet = {
      IP_TOS = 16, IP_TTL = 9, IP_FREEBIND = 1, IP_PKTINFO = 1, IP_MTU_DISCOVER = 0, IP_RECVTTL = 1, IP_RECVTOS = 1,
      IP_TRANSPARENT = 1,
    },
    inet6 = {
      IPV6_UNICAST_HOPS = 9, IPV6_V6ONLY = 1, IPV6_TCLASS = 16, IPV6_MTU_DISCOVER = 0, IPV6_RECVPKTINFO = 1,
    },
    -- The kernel knows these on datagram sockets only.
    inet_multicast = { IP_MULTICAST_TTL = 3, IP_MULTICAST_LOOP = 0 },
    inet6_multicast = { IPV6_MULTICAST_HOPS = 3, IPV6_MULTICAST_LOOP = 0, IPV6_MULTICAST_IF = 0 },
  }

  local function check(e, names)
    for name, value in pairs(names) do
      local rv, err = e:setsockopt(name, value)
      assert.equal(0, rv, name .. ": " .. tostring(err))
      local got = e:getsockopt(name)
      -- the kernel stores some as flags, or rounds TCP_DEFER_ACCEPT
      assert.is_true(got == value or (value > 0 and got > 0), ("%s: set %s, got %s"):format(name, value, tostring(got)))
    end
  end

  it("sets every integer option by name, on TCP, UDP, IPv4, IPv6", function()
    for _, family in ipairs { "inet", "inet6" } do
      check(mtev.socket(family), integers.tcp)
      check(mtev.socket(family), integers[family])
      check(mtev.socket(family, "udp"), integers.udp)
      check(mtev.socket(family, "udp"), integers[family])
      check(mtev.socket(family, "udp"), integers[family .. "_multicast"])
    end
    local e = mtev.socket("inet")
    assert.equal(0, (e:setsockopt("SO_RCVBUF", 65536)))
    assert.equal(131072, e:getsockopt("SO_RCVBUF")) -- socket(7): the kernel doubles it
    assert.equal(0, (e:setsockopt("SO_SNDBUF", 65536)))
    assert.equal(0, (e:setsockopt("TCP_MAXSEG", 1000)))
    assert.equal(0, (e:setsockopt("TCP_FASTOPEN", 5)))
    assert.equal(1, e:getsockopt("SO_TYPE"))
    assert.equal(0, e:getsockopt("SO_ERROR"))
  end)

  it("takes the structures in Lua's terms", function()
    local e = mtev.socket("inet")
    assert.equal(0, (e:setsockopt("SO_LINGER", 3)))
    assert.equal(3, e:getsockopt("SO_LINGER"))
    assert.equal(0, (e:setsockopt("SO_LINGER", false)))
    assert.is_false(e:getsockopt("SO_LINGER"))
    assert.equal(0, (e:setsockopt("SO_RCVTIMEO", 1.5)))
    assert.equal(1.5, e:getsockopt("SO_RCVTIMEO"))
    assert.equal(0, (e:setsockopt("SO_SNDTIMEO", 2)))
    assert.equal(0, (e:setsockopt("TCP_CONGESTION", "reno")))
    assert.equal("reno", e:getsockopt("TCP_CONGESTION"))
    assert.equal(0, (e:setsockopt("SO_BINDTODEVICE", "lo")))
    assert.equal("lo", e:getsockopt("SO_BINDTODEVICE"))
    assert.equal(0, (e:setsockopt("SO_KEEPALIVE", true)))
    assert.equal(1, e:getsockopt("SO_KEEPALIVE"))
  end)

  it("joins IPv6 groups, under both names", function()
    local e = mtev.socket("inet6", "udp")
    for _, names in ipairs {
      { "IPV6_JOIN_GROUP", "IPV6_LEAVE_GROUP" }, { "IPV6_ADD_MEMBERSHIP", "IPV6_DROP_MEMBERSHIP" },
    } do
      for _, name in ipairs(names) do
        local rv, err = e:setsockopt(name, { "ff02::1234", "lo" })
        assert.equal(0, rv, name .. ": " .. tostring(err))
      end
    end
  end)

  it("returns -1, err for what does not exist or does not fit", function()
    local e = mtev.socket("inet")
    assert.same({ -1, "Socket operation 'SO_BOGUS' not supported" }, { e:setsockopt("SO_BOGUS", 1) })
    assert.same({ -1, "setsockopt(type, value) wrong arguments" }, { e:setsockopt("SO_KEEPALIVE") })
    assert.same({ -1, "setsockopt(type, value) wrong arguments" }, { e:setsockopt() })
    assert.same({ -1, "Protocol not available" }, { e:setsockopt("IPV6_V6ONLY", 1) })
    assert.same({ -1, "Cannot assign requested address" }, { e:setsockopt("IP_ADD_MEMBERSHIP", "not a group") })
    for _, bad in ipairs { { true }, {}, { {} }, { "239.0.0.1", true } } do
      assert.error_matches(function() e:setsockopt("IP_ADD_MEMBERSHIP", bad) end,
        "a group, or {group, interface}, expected")
    end
    assert.same({ -1, "No such file or directory" }, { e:setsockopt("TCP_CONGESTION", "no-such-algorithm") })
    assert.same({ nil, "Socket operation 'SO_BOGUS' not supported" }, { e:getsockopt("SO_BOGUS") })
    local udp = mtev.socket("inet", "udp")
    assert.same({ nil, "Operation not supported" }, { udp:getsockopt("TCP_NODELAY") })
    assert.same({ -1, "Socket operation 'nodelay' not supported (did you mean TCP_NODELAY?)" }, { e:setsockopt("nodelay", 1) })
    assert.same({ nil, "Socket operation 'SO_KEPALIVE' not supported (did you mean SO_KEEPALIVE?)" }, { e:getsockopt("SO_KEPALIVE") })
  end)

  it("knows the names of the system's headers", function()
    local e = mtev.socket("inet")
    for name in ("SO_ZEROCOPY SO_MAX_PACING_RATE SO_COOKIE SO_PEEK_OFF SO_TXREHASH TCP_FASTOPEN_CONNECT TCP_INQ TCP_THIN_DUPACK " ..
      "IP_RECVERR IP_BIND_ADDRESS_NO_PORT IP_MINTTL"):gmatch("%S+") do
      assert.equal("number", type(e:getsockopt(name)), name)
    end
    assert.equal("number", type(mtev.socket("inet6"):getsockopt("IPV6_DONTFRAG")))
    assert.equal("number", type(mtev.socket("inet", "udp"):getsockopt("UDP_GRO")))
    assert.equal(0, e:setsockopt("SO_MAX_PACING_RATE", 1000000))
    assert.equal(1000000, e:getsockopt("SO_MAX_PACING_RATE"))
  end)

  it("raises for values of the wrong type", function()
    local e = mtev.socket("inet")
    for _, bad in ipairs { {}, "x", print, 0 / 0, 1e10 } do
      assert.error_matches(function() e:setsockopt("SO_KEEPALIVE", bad) end, "bad argument #2 to 'setsockopt'")
    end
    assert.error_matches(function() e:setsockopt("SO_LINGER", -1) end, "bad argument #2 to 'setsockopt'")
    assert.error_matches(function() e:setsockopt({}, 1) end, "bad argument #1 to 'setsockopt'")
  end)
end)

describe("close", function()
  -- close(2) alone answers input that nobody has read with a reset, and drops what was not acknowledged yet.
  local function arrived(client_does, greeting)
    local listener, port = net.listen()
    local count, why = 0, nil
    net.give(listener, function(l)
      local e = l:accept()
      e:setsockopt("SO_RCVBUF", 65536)
      e:write(greeting, { timeout = 0.1 })
      mtev.waitfor("written", 60)
      while true do
        local n, data = e:recv(65536, { timeout = 60 })
        if n <= 0 then
          why = n == 0 and "end" or data
          mtev.notify("over")
          return
        end
        count = count + n
      end
    end)
    client_does(port, function() mtev.notify("written") end)
    mtev.waitfor("over", 60)
    return count, why
  end

  it("loses nothing of what was written, also with input that nobody has read", function()
    for _, greeting in ipairs { "", "220 hello\r\n", ("x"):rep(1000000) } do
      local before = debug_info.counts()
      assert.same({ 600000, "end" }, { arrived(function(port, written)
        local e = net.connect(port)
        e:setsockopt("SO_SNDBUF", 2000000)
        while greeting ~= "" and e:recv(1) ~= 1 do end -- it has come
        assert.equal(600000, e:write(("z"):rep(600000), { timeout = 60 }))
        e:close()
        assert.equal(before.timers, debug_info.counts().timers - 1) -- that of waitfor above; none of the socket's
        written()
      end, greeting) })
    end
  end)

  it("resets where the script has said so", function()
    local _, why = arrived(function(port, written)
      local e = net.connect(port)
      e:recv(1)
      e:write("x")
      net.reset(e)
      written()
    end, "hello")
    assert.equal("Connection reset by peer", why)
  end)

  it("and the end of the program lose nothing either", function()
    local count, why = arrived(function(port, written)
      local proc = mtev.spawn(process.lhotse, { "lhotse", process.write_file(([[
        local e = mtev.socket("inet")
        assert(e:connect("127.0.0.1", %d) == 0)
        e:setsockopt("SO_SNDBUF", 2000000)
        assert(e:recv(1) == 1)
        assert(e:write(("z"):rep(600000)) == 600000)
        io.stderr:write("ready\\n")
      ]]):format(port)) }, nil, { stdin = "null", stdout = "null", stderr = "null" })
      mtev.sleep(0.3)
      written()
      assert.equal(0, proc:wait(60))
    end, "hello\n")
    assert.same({ 600000, "end" }, { count, why })
  end)
end)

describe("a failure that nobody has looked at", function()
  it("of bind is a failure of whatever needs the address", function()
    local taken, port = net.listen()
    local e = mtev.socket("inet")
    local in_use = "Address already in use"
    assert.same({ -1, in_use }, { e:bind("127.0.0.1", port) })
    local rv, _, err = e:listen()
    assert.same({ -1, in_use }, { rv, err })
    assert.same({ -1, in_use }, { e:connect("127.0.0.1", port) })
    assert.same({ -1, in_use }, { e:connect("localhost", port) })
    assert.equal(0, e:bind("127.0.0.1", 0)) -- another try may do
    assert.equal(0, e:listen())
    taken:close()
    e = mtev.socket("inet")
    assert.same({ -1, "Cannot translate 'nowhere' to IP" }, { e:bind("nowhere", 0) })
    assert.equal(-1, (e:listen()))
    local udp, other = mtev.socket("inet", "udp"), mtev.socket("inet", "udp")
    assert.equal(0, udp:bind("127.0.0.1", 0))
    local _, udp_port = udp:sock_name()
    assert.equal(-1, (other:bind("127.0.0.1", udp_port)))
    assert.same({ -1, in_use }, { other:recv(1, { timeout = 60 }) })
    assert.same({ -1, in_use }, { other:sendto("x", "127.0.0.1", udp_port) })
  end)
end)

describe("connect", function()
  -- Simultaneous open: a socket whose own port is the one it connects to is connected with itself.
  it("is refused where only the socket itself would answer, and the port is free again", function()
    for family, address in pairs { inet = "127.0.0.1", inet6 = "::1" } do
      local e = mtev.socket(family)
      assert.equal(0, e:bind(address, 0))
      local _, port = e:sock_name()
      assert.same({ -1, "Connection refused" }, { e:connect(address, port, 60) })
      e:close()
      local server = mtev.socket(family)
      assert.equal(0, server:bind(address, port))
      server:close()
    end
  end)

  it("waits for room in the queue of a unix listener", function()
    local path = os.tmpname()
    os.remove(path)
    local listener = mtev.socket("unix")
    assert.equal(0, listener:bind(path))
    assert.equal(0, listener:listen(1))
    local results = {}
    for i = 1, 6 do
      mtev.coroutine_spawn(function()
        local e = mtev.socket("unix")
        results[i] = { e:connect(path, nil, 60) }
        mtev.notify("connected")
        mtev.waitfor("over")
      end)
    end
    local late = mtev.socket("unix")
    assert.same({ -1, "timeout" }, { late:connect(path, nil, 0) })
    assert.same({ -1, "timeout" }, { late:connect(path, nil, 0.05) })
    local co = mtev.coroutine_spawn(function() mtev.socket("unix"):connect(path) end)
    mtev.cancel_coro(co) -- leaves nothing behind
    net.give(listener, function(l)
      for _ = 1, 6 do l:accept() end
    end)
    for _ = 1, 6 do assert.equal("connected", mtev.waitfor("connected", 60)) end
    for i = 1, 6 do assert.same({ 0 }, results[i]) end
    os.remove(path)
  end)

  it("and sendto wait for room in the queue of a unix datagram socket", function()
    local path = os.tmpname()
    os.remove(path)
    local receiver, sender = mtev.socket("unix", "udp"), mtev.socket("unix", "udp")
    assert.equal(0, receiver:bind(path))
    local sent = 0
    net.give(sender, function(s)
      for i = 1, 2000 do
        assert(s:sendto(tostring(i), path) > 0)
        sent = i
      end
    end)
    while sent < 5 do mtev.sleep(0.001) end
    for i = 1, 2000 do assert.equal(tostring(i), select(2, receiver:recv(10, { timeout = 60 }))) end
    os.remove(path)
  end)
end)

describe("many connections", function()
  it("open and close without leaving a descriptor or a byte", function()
    local held_count = os.getenv("LHOTSE_SLOW_BUILD") and 100 or 1000
    local listener, port = net.listen("inet", 1024)
    mtev.coroutine_spawn(function()
      local mine = listener:own()
      while true do
        local e = mine:accept()
        if not e then return end
        net.give(e, function(connection)
          while true do
            local line = connection:read("\n")
            if not line then return end
            connection:write(line)
          end
        end)
      end
    end)
    local function exchange(e, text)
      e:write(text .. "\n")
      assert.equal(text .. "\n", e:read("\n"))
    end
    local held = {}
    for i = 1, held_count do
      held[i] = net.connect(port)
      exchange(held[i], "first")
    end
    collectgarbage()
    collectgarbage()
    local counts, descriptors, memory = debug_info.counts(), process.descriptors(), collectgarbage("count")
    for _ = 1, held_count do
      local e = net.connect(port)
      exchange(e, "short-lived")
      e:close()
    end
    mtev.sleep(0.05)
    collectgarbage()
    collectgarbage()
    assert.same(counts, debug_info.counts())
    assert.equal(descriptors, process.descriptors())
    assert.is_true(collectgarbage("count") - memory < 512, "more than 512 KiB are left")
    for i = 1, held_count do exchange(held[i], "still here") end
  end)
end)
