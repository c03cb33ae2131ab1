-- TLS: e:ssl_upgrade_socket on both sides, e:ssl_ctx, and real peers: openssl(1), nginx, curl.

local certificates = require("test.support.certificates")
local files = require("test.support.files")
local net = require("test.support.net")
local process = require("test.support.process")
local server = require("test.support.server")

local dir, authority, stranger, good, hosts

setup(function()
  dir = files.directory()
  authority = certificates.authority(dir, "authority")
  stranger = certificates.authority(dir, "stranger")
  good = authority:issue("good", "/C=CH/O=Acme/CN=good.test", "subjectAltName=DNS:good.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1")
  hosts = {}
  for _, name in ipairs { "one", "two" } do
    hosts[name] = authority:issue(name, "/CN=" .. name .. ".test", "subjectAltName=DNS:" .. name .. ".test")
  end
end)

teardown(function() files.remove(dir) end)

-- Settings of a server that has the certificate `identity`, with `more`.
local function server_settings(identity, more)
  local settings = { server = true, certificate = identity.certificate, key = identity.key }
  for key, value in pairs(more or {}) do settings[key] = value end
  return settings
end

-- Settings of a client that trusts the authority, with `more`.
local function client_settings(more)
  local settings = { ca_chain = authority.certificate, snihost = "good.test" }
  for key, value in pairs(more or {}) do settings[key] = value end
  return settings
end

-- Serves one connection: f(e, rv, err) runs after the handshake. Returns a client's plain socket.
local function serve(settings, f)
  local client, accepted = net.pair()
  net.give(accepted, function(e)
    local rv, err = e:ssl_upgrade_socket(settings)
    if f then f(e, rv, err) end
  end)
  return client
end

-- Upper-cases lines until the end.
local function shout(e)
  for line in function() return e:read("\n") end do e:write(line:upper()) end
end

-- A client's TLS socket with a shouting server behind it, or the client's failure.
local function connect(more, server_more)
  local e = serve(server_settings(good, server_more), shout)
  local rv, err = e:ssl_upgrade_socket(client_settings(more))
  return e, rv, err
end

local function assert_talks(e)
  assert.equal(6, e:write("hello\n"))
  assert.equal("HELLO\n", e:read("\n"))
end

-- What getmetatable shows a script can call, with anything and before its time.
describe("the metamethods of ssl_ctx, its certificate and its session", function()
  it("raise for anything else, and leave an object that has no fields", function()
    local ctx = connect():ssl_ctx()
    for _, object in ipairs { ctx.peer_certificate, ctx.ssl_session, ctx } do
      local metatable = getmetatable(object)
      for _, name in ipairs { "__gc", "__index" } do
        for _, wrong in ipairs { false, 1, "x", {}, newproxy(true), mtev.socket() } do
          assert.is_false(pcall(metatable[name], wrong, "subject"))
        end
      end
      for _ = 1, 2 do metatable.__gc(object) end
      assert.is_nil(object.subject)
    end
  end)
end)

describe("ssl_upgrade_socket", function()
  it("makes a TLS connection of a connected socket", function()
    local e, rv = connect()
    assert.equal(0, rv)
    assert_talks(e)
    e:close()
  end)

  it("takes files by position", function()
    local e = serve(server_settings(good), shout)
    assert.equal(0, e:ssl_upgrade_socket(nil, nil, authority.certificate, nil, "good.test"))
    assert_talks(e)
    e = serve(server_settings(good), shout)
    assert.equal(0, e:ssl_upgrade_socket(nil, nil, authority.certificate, "ECDHE-ECDSA-AES128-GCM-SHA256", "good.test", "tlsv1.2"))
    assert.equal("ECDHE-ECDSA-AES128-GCM-SHA256", e:ssl_ctx().current_cipher)
  end)

  it("takes name and layer behind a table, and they win over the table's", function()
    local e = serve(server_settings(good), shout)
    assert.equal(0, e:ssl_upgrade_socket(client_settings { snihost = "wrong.test", layer = "tlsv1.3" }, "x.wild.test", "tlsv1.2"))
    assert.equal("TLSv1.2", e:ssl_ctx().protocol)
  end)

  it("takes PEM text instead of a file, and one file for certificate and key", function()
    local both = files.write(dir .. "/both.pem", files.read(good.certificate) .. files.read(good.key))
    local e = serve({ server = "true", certificate_file = both }, shout)
    assert.equal(0, e:ssl_upgrade_socket { ca_file = files.read(authority.certificate), snihost = "good.test" })
    assert_talks(e)
    e = serve(server_settings { certificate = files.read(good.certificate), key = files.read(good.key) }, shout)
    assert.equal(0, e:ssl_upgrade_socket(client_settings()))
    assert_talks(e)
  end)

  it("takes a directory of authorities", function()
    local path = dir .. "/authorities"
    assert(mtev.mkdir(path))
    files.write(path .. "/one.pem", files.read(authority.certificate))
    assert.equal(0, select(2, process.sh("openssl rehash " .. path)))
    local e, rv = connect { ca_chain = path }
    assert.equal(0, rv)
    assert_talks(e)
  end)

  it("keeps to the versions of `layer`", function()
    local function protocol(layer, server_layer)
      local e, rv, err = connect({ layer = layer }, { layer = server_layer })
      if rv ~= 0 then return err end
      local name = e:ssl_ctx().protocol
      e:close() -- what nothing refers to any more may be collected, and so closed, before it is asked
      return name
    end
    assert.equal("TLSv1.3", protocol(nil))
    assert.equal("TLSv1.2", protocol("tlsv1.2"))
    assert.equal("TLSv1.3", protocol("TLSv1.3"))
    assert.equal("TLSv1.2", protocol("tlsv1.2,tlsv1.3", "tlsv1:all,!tlsv1.3"))
    assert.equal("TLSv1.2", protocol("tlsv1:all,<=tlsv1.2,!sslv2,!sslv3"))
    assert.equal("TLSv1.3", protocol("tlsv1.2:all,>=tlsv1.2,cipher_server_preference"))
    assert.equal("TLSv1.1", protocol("=tlsv1.1", "tlsv1:all"))
    assert.matches("protocol version", protocol("tlsv1.1"))
    assert.matches("layer leaves no version", protocol("!all"))
    local e = connect { layer_openssl_11 = "tlsv1.2", layer = "tlsv1.3" }
    assert.equal("TLSv1.2", e:ssl_ctx().protocol)
  end)

  it("offers the protocols of `alpn`, and a server chooses by its own order", function()
    local e = connect({ alpn = "h2,http/1.1" }, { alpn = "http/1.1,h2" })
    assert.equal("http/1.1", e:ssl_ctx().alpn)
    e = connect({ npn = "h2" }, {})
    assert.is_nil(e:ssl_ctx().alpn)
    e = connect({ alpn = "none" }, { alpn = "h2" })
    assert.is_nil(e:ssl_ctx().alpn)
    local _, rv, err = connect({ alpn = "h2" }, { alpn = "http/1.1" })
    assert.equal(-1, rv)
    assert.matches("no application protocol", err)
  end)

  it("reads and writes in every form", function()
    local e, rv = connect()
    assert.equal(0, rv)
    e:write { "several\n", "", "lines" }
    assert.equal(1, e:send("\n"))
    assert.equal("SEVERAL\n", e:read("\n"))
    assert.equal("LI", e:read(2))
    assert.same({ 4, "NES\n", e:peer_name() }, { e:recv(100) })
    assert.same({ -1, "Operation not supported" }, { e:sendto("x", "127.0.0.1", 1) })
    local data, err = e:read("\n", { timeout = 0.01 })
    assert.same({ nil, "timeout" }, { data, err })
    assert_talks(e)
  end)

  it("moves megabytes both ways at once", function()
    local piece = {}
    for i = 1, 50000 do piece[i] = ("%08d"):format(i * 7919) end
    piece = table.concat(piece):rep(20)
    local digest = mtev.sha256_hex(piece)
    local got_there
    local e = serve(server_settings(good), function(peer)
      local reader, writer = peer:split()
      net.give(writer, function(w) w:write(piece) end)
      got_there = mtev.sha256_hex(reader:read(#piece))
      mtev.notify("there")
    end)
    assert.equal(0, e:ssl_upgrade_socket(client_settings()))
    local reader, writer = e:split()
    net.give(writer, function(w) w:write(piece) mtev.notify("written") mtev.waitfor("over") end)
    assert.equal(digest, mtev.sha256_hex(reader:read(#piece)))
    mtev.waitfor("there", 60)
    assert.equal(digest, got_there)
    mtev.notify("over")
  end)

  it("gives pieces of any size back in order", function()
    local e = serve(server_settings(good), function(peer)
      for i = 1, 2000 do peer:write(("x"):rep(i % 37) .. i .. ";") end
      peer:write(("y"):rep(200000) .. "!")
    end)
    assert.equal(0, e:ssl_upgrade_socket(client_settings()))
    for i = 1, 2000 do
      assert.equal(("x"):rep(i % 37), e:read(i % 37))
      assert.equal(i .. ";", e:read(";"))
    end
    assert.equal(200001, #e:read("!"))
    assert.is_nil(e:read("!"))
  end)

  it("waits for room when the peer does not read", function()
    local length = 20 * 1024 * 1024
    local e = serve(server_settings(good), function(peer)
      mtev.waitfor("read now", 60)
      local left = length
      while left > 0 do left = left - #peer:read(math.min(left, 100000)) end
      peer:write("all there\n")
    end)
    assert.equal(0, e:ssl_upgrade_socket(client_settings()))
    local rv, err, written = e:write(("z"):rep(length), { timeout = 0.05 })
    assert.same({ -1, "timeout" }, { rv, err })
    assert(written > 0 and written < length)
    mtev.notify("read now")
    assert.equal(length - written, e:write(("z"):rep(length - written)))
    assert.equal("all there\n", e:read("\n"))
  end)

  it("ends with close_notify: a clean end is nil, one half at a time", function()
    local e = serve(server_settings(good), function(peer)
      local reader, writer = peer:split()
      writer:write("last words")
      writer:close()
      mtev.notify("heard", reader:read(100))
    end)
    assert.equal(0, e:ssl_upgrade_socket(client_settings()))
    assert.equal("last words", e:read("\n"))
    assert.same({ n = 1 }, { n = select("#", e:read("\n")), e:read("\n") })
    e:write("answer")
    e:close()
    assert.equal("answer", select(2, mtev.waitfor("heard", 60)))
  end)

  it("reports an end without close_notify, after the bytes before it", function()
    local e, accepted = net.pair()
    local behind = serve(server_settings(good), function(peer) peer:write("part one\n") mtev.waitfor("never", 5) end)
    local link = net.link(accepted, behind)
    assert.equal(0, e:ssl_upgrade_socket(client_settings()))
    assert.equal("part one\n", e:read("\n"))
    link.cut()
    assert.same({ nil, "the peer closed the connection without ending TLS" }, { e:read("\n") })
    assert.same({ nil, "the peer closed the connection without ending TLS" }, { e:read("\n") })
  end)

  it("begins where the plain text ended (STARTTLS)", function()
    local client, accepted = net.pair()
    net.give(accepted, function(e)
      assert.equal("STARTTLS\n", e:read("\n"))
      e:write("go on\n")
      if e:ssl_upgrade_socket(server_settings(good)) == 0 then shout(e) end
    end)
    client:write("STARTTLS\n")
    assert.equal("go on\n", client:read("\n"))
    assert.equal(0, client:ssl_upgrade_socket(client_settings()))
    assert_talks(client)
  end)

  it("takes what the peer sent too early for part of the handshake, never for the peer's first words", function()
    local client, accepted = net.pair()
    net.give(accepted, function(e)
      e:write("220 ready\n250 injected\n")
      e:ssl_upgrade_socket(server_settings(good))
    end)
    assert.equal("220 ready\n", client:read("\n"))
    local rv, err = client:ssl_upgrade_socket(client_settings())
    assert.same({ -1, "wrong version number" }, { rv, err })
  end)
end)

describe("ssl_upgrade_socket that fails", function()
  it("says so of a peer that does not speak TLS, and the socket is of no use any more", function()
    local client, accepted = net.pair()
    net.give(accepted, function(e) e:write("SSH-2.0-OpenSSH\r\n") e:read("\n") end)
    assert.same({ -1, "wrong version number" }, { client:ssl_upgrade_socket(client_settings()) })
    assert.same({ -1, "wrong version number", 0 }, { client:write("secret") })
    assert.same({ nil, "wrong version number" }, { client:read("\n") })
    assert.equal("wrong version number", client:ssl_ctx().error)
    client:close()
  end)

  it("says so of a peer that closes, or resets", function()
    local client, accepted = net.pair()
    accepted:close()
    assert.same({ -1, "the peer closed the connection during the TLS handshake" }, { client:ssl_upgrade_socket(client_settings()) })
    client, accepted = net.pair()
    net.reset(accepted)
    assert.same({ -1, "Connection reset by peer" }, { client:ssl_upgrade_socket(client_settings()) })
  end)

  it("says so of a socket that cannot", function()
    assert.same({ -1, "Transport endpoint is not connected" }, { mtev.socket("inet"):ssl_upgrade_socket(client_settings()) })
    assert.same({ -1, "Operation not supported" }, { mtev.socket("inet", "udp"):ssl_upgrade_socket(client_settings()) })
    assert.same({ -1, "Operation not supported" }, { net.listen():ssl_upgrade_socket(client_settings()) })
    local e = connect()
    assert.same({ -1, "this socket speaks TLS already" }, { e:ssl_upgrade_socket(client_settings()) })
    assert_talks(e)
  end)

  it("ends at its timeout", function()
    local client, accepted = net.pair()
    assert.same({ -1, "timeout" }, { client:ssl_upgrade_socket(client_settings { timeout = 0.02 }) })
    assert.same({ -1, "Connection timed out", 0 }, { client:write("x") })
    accepted:close()
  end)

  it("ends when another coroutine closes the socket", function()
    local client = net.pair()
    mtev.coroutine_spawn(function() mtev.sleep(0.01) client:close() end)
    assert.same({ -1, "closed" }, { client:ssl_upgrade_socket(client_settings()) })
  end)

  it("lets the coroutine be cancelled", function()
    local client, accepted = net.pair()
    local co = net.give(client, function(e) e:ssl_upgrade_socket(client_settings()) mtev.notify("came back") end)
    mtev.sleep(0.01)
    mtev.cancel_coro(co)
    assert.equal(0x16, accepted:read(1):byte()) -- a record of the handshake was sent ...
    while accepted:read(100) do end             -- ... and then the end
    assert.is_nil(mtev.waitfor("came back", 0))
  end)

  it("names the file that cannot be used", function()
    local function failure(more, identity)
      local client = net.pair()
      local settings = client_settings(more)
      if identity then settings.certificate, settings.key = identity.certificate, identity.key end
      local rv, err = client:ssl_upgrade_socket(settings)
      assert.equal(-1, rv)
      assert.same({ -1, "Protocol error", 0 }, { client:write("in plain text?") })
      return err:gsub(dir, "DIR")
    end
    local prefix = "ssl_client context creation failed: "
    assert.equal(prefix .. "DIR/none.pem: No such file or directory", failure { ca_chain = dir .. "/none.pem" })
    assert.equal(prefix .. "/dev/null: not a PEM file", failure { ca_chain = "/dev/null" })
    assert.equal(prefix .. "DIR/authority/index.txt: no certificate in it", failure { ca_chain = dir .. "/authority/index.txt" })
    assert.equal(prefix .. "DIR/authority/ca.pem: no revocation list in it", failure { crl = authority.certificate })
    assert.equal(prefix .. "DIR/authority/good.key: no certificate in it", failure({}, { certificate = good.key, key = good.key }))
    assert.equal(prefix .. "DIR/authority/good.pem: no private key in it (or one that needs a password)",
      failure({}, { certificate = good.certificate }))
    assert.matches(prefix .. "DIR/authority/ca.key: key values mismatch",
      failure({}, { certificate = good.certificate, key = authority.key }), 1, true)
    assert.equal(prefix .. "DIR/authority/good.key: a key without a certificate", failure({}, { key = good.key }))
    assert.equal(prefix .. "ciphers: none known in ROT13", failure { ciphers = "ROT13" })
    assert.equal(prefix .. "PEM text: no certificate in it", failure { ca_chain = "no\ncertificate" })
    local locked = dir .. "/locked.key"
    process.sh(("openssl ec -aes128 -passout pass:secret -in '%s' -out '%s'"):format(good.key, locked))
    assert.matches("needs a password", (failure({}, { certificate = good.certificate, key = locked })))
    local client = net.pair()
    assert.same({ -1, "ssl_server context creation failed: a server needs a certificate" }, { client:ssl_upgrade_socket { server = true } })
  end)

  it("raises for what is no setting at all", function()
    local client = net.pair()
    assert.error_matches(function() client:ssl_upgrade_socket(true) end, "bad argument #1 to 'ssl_upgrade_socket'", 1, true)
    assert.error_matches(function() client:ssl_upgrade_socket({}, {}) end, "bad argument #2 to 'ssl_upgrade_socket'", 1, true)
    assert.error_matches(function() client:ssl_upgrade_socket(nil, nil, nil, nil, nil, print) end, "bad argument #6", 1, true)
    mtev.coroutine_spawn(function()
      assert.error_matches(function() client:ssl_upgrade_socket {} end, "cross-coroutine socket call", 1, true)
    end)
  end)
end)

describe("a certificate", function()
  -- What a client says of a server with the certificate `identity`; and whether the server got a byte.
  local function verdict(identity, more)
    local got_byte = false
    local e = serve(server_settings(identity), function(peer, rv)
      if rv == 0 and peer:read(1) then got_byte = true end
      mtev.notify("seen")
    end)
    local rv, err = e:ssl_upgrade_socket(client_settings(more))
    local reason = e:ssl_ctx() and e:ssl_ctx().error
    e:write("secret")
    e:close()
    mtev.waitfor("seen", 60)
    assert.equal(rv == 0, got_byte)
    return rv == 0 and "good" or err, reason
  end

  local function refused(expected, identity, more)
    local err, reason = verdict(identity, more)
    assert.equal(expected, err)
    assert.equal(expected, reason)
    local lenient = { verify = false }
    for key, value in pairs(more or {}) do lenient[key] = value end
    err, reason = verdict(identity, lenient)
    assert.equal("good", err)
    assert.equal(expected, reason) -- `error` tells what monitoring scripts want to know
  end

  it("that is good is accepted", function()
    assert.same({ "good" }, { verdict(good) })
  end)

  it("of an unknown authority is refused", function()
    local foreign = stranger:issue("foreign", "/CN=good.test", "subjectAltName=DNS:good.test")
    refused("unable to get local issuer certificate", foreign)
    assert.equal("good", (verdict(foreign, { optional_no_ca = "true" })))
    assert.equal("hostname mismatch", (verdict(foreign, { optional_no_ca = true, snihost = "other.test" })))
  end)

  it("that signed itself is refused", function()
    local own = certificates.self_signed(dir, "good.test")
    refused("self-signed certificate", own)
    assert.equal("good", (verdict(own, { ca_chain = own.certificate })))
  end)

  it("that has expired, or is not valid yet, is refused", function()
    local old = authority:issue("old", "/CN=good.test", "subjectAltName=DNS:good.test",
      "-startdate 20200101000000Z -enddate 20200201000000Z")
    refused("certificate has expired", old)
    assert.equal("good", (verdict(old, { ignore_dates = true })))
    assert.equal("certificate has expired", (verdict(old, { optional_no_ca = true })))
    local young = authority:issue("young", "/CN=good.test", "subjectAltName=DNS:good.test",
      "-startdate 20480101000000Z -enddate 20480201000000Z")
    refused("certificate is not yet valid", young)
  end)

  it("for another name is refused (RFC 6125)", function()
    refused("hostname mismatch", good, { snihost = "evil.test" })
    refused("hostname mismatch", good, { snihost = "wild.test" })
    refused("hostname mismatch", good, { snihost = "a.b.wild.test" })
    refused("hostname mismatch", good, { snihost = "good.test.evil" })
    assert.equal("good", (verdict(good, { snihost = "any.wild.test" })))
    assert.equal("good", (verdict(good, { snihost = "GOOD.test" })))
  end)

  it("for another address is refused", function()
    assert.equal("good", (verdict(good, { snihost = "127.0.0.1" })))
    assert.equal("good", (verdict(good, { snihost = "::1" })))
    refused("IP address mismatch", good, { snihost = "127.0.0.2" })
  end)

  it("that was revoked is refused", function()
    local bad = authority:issue("bad", "/CN=good.test", "subjectAltName=DNS:good.test")
    authority:revoke(bad)
    local crl = authority:revocations()
    refused("certificate revoked", bad, { crl = crl })
    assert.equal("good", (verdict(good, { crl = crl })))
    assert.equal("good", (verdict(bad))) -- nobody asked
  end)

  it("needs the certificates between it and the authority", function()
    local middle = authority:intermediate("middle")
    local leaf = middle:issue("leaf", "/CN=good.test", "subjectAltName=DNS:good.test")
    refused("unable to get local issuer certificate", leaf)
    local chain = files.write(dir .. "/chain.pem", files.read(leaf.certificate) .. files.read(middle.certificate))
    assert.equal("good", (verdict { certificate = chain, key = leaf.key }))
    assert.equal("good", (verdict(leaf, { ca_chain = middle.certificate })))
  end)

  it("of a server that serves only is refused as an authority", function()
    local leaf = authority:issue("not-an-authority", "/CN=x.test", "basicConstraints=CA:false\nsubjectAltName=DNS:x.test")
    local forger = certificates.authority(dir, "forger")
    forger.key, forger.certificate = leaf.key, leaf.certificate
    local forged = forger:issue("forged", "/CN=good.test", "subjectAltName=DNS:good.test")
    local chain = files.write(dir .. "/forged.pem", files.read(forged.certificate) .. files.read(leaf.certificate))
    refused("invalid CA certificate", { certificate = chain, key = forged.key })
  end)

  it("whose signature was broken is refused", function()
    local der = dir .. "/broken.der"
    process.sh(("openssl x509 -in '%s' -outform DER -out '%s'"):format(good.certificate, der))
    local bytes = files.read(der)
    files.write(der, bytes:sub(1, -2) .. string.char((bytes:byte(-1) + 1) % 256))
    process.sh(("openssl x509 -inform DER -in '%s' -out '%s'"):format(der, dir .. "/broken.pem"))
    refused("certificate signature failure", { certificate = dir .. "/broken.pem", key = good.key })
  end)

  it("is verified against the system's store when no authority is given", function()
    local err = verdict(good, { ca_chain = false })
    assert.equal("unable to get local issuer certificate", err)
  end)

  it("without a name to compare is accepted, with a warning", function()
    local script = ([[
      local l = mtev.socket("inet") l:bind("127.0.0.1", 0) l:listen(1) local _, port = l:sock_name()
      mtev.coroutine_spawn(function()
        local c = mtev.socket("inet")
        c:connect("127.0.0.1", port)
        print("client", c:ssl_upgrade_socket { ca_chain = %q })
      end)
      l:accept():ssl_upgrade_socket { server = true, certificate = %q, key = %q }]]):format(
      authority.certificate, good.certificate, good.key)
    local output, status = process.run(script)
    assert.equal(0, status)
    assert.matches("without snihost: the name in the peer's certificate is not checked", output, 1, true)
    assert.matches("client\t0\n", output, 1, true)
  end)

  it("is not enforced under the name luamtev, as in libmtev, but its error is told", function()
    local script = ([[
      module(..., package.seeall)
      function main()
        local l = mtev.socket("inet") l:bind("127.0.0.1", 0) l:listen(1) local _, port = l:sock_name()
        mtev.coroutine_spawn(function()
          l:own():accept():ssl_upgrade_socket { server = true, certificate = %q, key = %q }
        end)
        l = nil
        for _, verify in ipairs { false, true } do
          local c = mtev.socket("inet")
          c:connect("127.0.0.1", port)
          local rv, err = c:ssl_upgrade_socket { ca_chain = %q, snihost = "good.test", verify = verify or nil }
          print(rv, err, c:ssl_ctx().error)
          if verify == false then os.exit(0) end
        end
      end]]):format(good.certificate, good.key, stranger.certificate)
    local output = process.run(script, { program = process.luamtev, options = "-e main" })
    assert.matches("0\tnil\tunable to get local issuer certificate\n", output, 1, true)
  end)
end)

describe("ssl_ctx", function()
  it("is nil for plain sockets, and always the same object for a TLS one", function()
    local plain = net.pair()
    assert.is_nil(plain:ssl_ctx())
    local e = connect()
    assert.equal(e:ssl_ctx(), e:ssl_ctx())
  end)

  it("tells about the peer and the connection", function()
    local e = connect { alpn = "h2" }
    local x = e:ssl_ctx()
    assert.is_nil(x.error)
    assert.is_true(x.verified)
    assert.equal("/C=CH/O=Acme/CN=good.test", x.subject)
    assert.equal("/O=Spec/CN=authority", x.issuer)
    assert.equal("good.test, *.wild.test", x.san_list)
    assert.equal("127.0.0.1, ::1", x.san_ips)
    assert.equal(30 * 86400, x.end_time - x.start_time)
    assert(math.abs(x.start_time - mtev.time()) < 7200)
    assert.equal("good.test", x.sni_name)
    assert.equal("TLSv1.3", x.protocol)
    assert.matches("^TLS_", x.current_cipher)
    assert.equal(771, x.method)
    assert(#x.ciphers > 3)
    assert.equal(1, #x.peer_chain)
    assert.equal(files.read(good.certificate), x.peer_chain[1])
    assert.is_nil(x.no_such_field)
  end)

  it("has the peer's certificate and the session", function()
    local e = connect()
    local certificate, session = e:ssl_ctx().peer_certificate, e:ssl_ctx().ssl_session
    assert.equal("number", type(certificate.serial))
    assert.equal(256, certificate.bits)
    assert.equal("ec", certificate.type)
    assert.equal("ecdsa-with-SHA256", certificate.signature_algorithm)
    assert.equal(1, certificate.purpose.sslserver)
    assert.equal(certificate.purpose["SSL server"], certificate.purpose.sslserver)
    assert.is_nil(certificate.ocsp)
    assert.equal("TLSv1.3", session.ssl_version)
    assert.equal(e:ssl_ctx().current_cipher, session.cipher)
    assert.equal(8 * #session.master_key, session.master_key_bits)
    session:release()
    assert.is_nil(session.cipher)
  end)

  it("gives serial numbers above 2^53 as decimal text, and the URL of OCSP", function()
    files.write(authority.dir .. "/serial", "0102030405060708090A\n")
    local issued = authority:issue("serial", "/CN=good.test", "subjectAltName=DNS:good.test\nauthorityInfoAccess=OCSP;URI:http://ocsp.test/")
    local e = serve(server_settings(issued), shout)
    assert.equal(0, e:ssl_upgrade_socket(client_settings()))
    local certificate = e:ssl_ctx().peer_certificate
    assert.equal("4759477275222530853130", certificate.serial) -- 0x0102030405060708090A
    assert.equal("http://ocsp.test/", certificate.ocsp)
  end)

  it("stays readable after close, and after a failure", function()
    local e = connect()
    local x = e:ssl_ctx()
    local certificate = x.peer_certificate
    e:close()
    x, e = x, nil
    collectgarbage()
    collectgarbage()
    assert.equal("/C=CH/O=Acme/CN=good.test", x.subject)
    assert.equal("ec", certificate.type)
    local bad, rv = connect { snihost = "evil.test" }
    assert.equal(-1, rv)
    assert.equal("hostname mismatch", bad:ssl_ctx().error)
    assert.equal("/C=CH/O=Acme/CN=good.test", bad:ssl_ctx().subject)
    assert.is_false(bad:ssl_ctx().verified)
  end)
end)

describe("a TLS server", function()
  it("chooses its certificate by the name that the client asks for", function()
    local map = {
      ["one.test"] = hosts.one,
      ["*.two.test"] = { hosts.two.certificate, hosts.two.key },
    }
    local function subject_for(name, settings)
      local e = serve(settings, shout)
      local rv, err = e:ssl_upgrade_socket(client_settings { snihost = name, verify = false })
      return rv == 0 and e:ssl_ctx().subject or err
    end
    local settings = server_settings(good, { certificates = map })
    assert.equal("/CN=one.test", subject_for("one.test", settings))
    assert.equal("/CN=two.test", subject_for("www.two.test", settings))
    assert.equal("/C=CH/O=Acme/CN=good.test", subject_for("a.b.two.test", settings))
    assert.equal("/C=CH/O=Acme/CN=good.test", subject_for(nil, settings))
    settings.certificate, settings.key = nil, nil
    assert.equal("/CN=one.test", subject_for("ONE.test", settings))
    assert.matches("unrecognized name", subject_for("three.test", settings))
  end)

  it("takes a certificate and its key for each name, and no rules that it would not follow", function()
    local function refusal(map)
      local e = serve(server_settings(good, { certificates = map }), function(_, rv, err) mtev.notify("refusal", rv, err) end)
      assert.equal(-1, e:ssl_upgrade_socket(client_settings()))
      local _, rv, err = mtev.waitfor("refusal", 60)
      assert.equal(-1, rv)
      return err
    end
    local own = hosts.one
    for key, value in pairs { require_client_cert = true, ca_accept = own.certificate, layer = "tlsv1.3", crl = "", [3] = "x" } do
      local map = { ["one.test"] = { certificate = own.certificate, key = own.key, [key] = value } }
      assert.matches(("certificates['one.test']: unknown option '%s'"):format(key), refusal(map), 1, true)
    end
    assert.matches("NUL", refusal { ["one.test\0.internal"] = own })
    assert.matches("NUL", refusal { ["one.test"] = { own.certificate .. "\0", own.key } })
    assert.matches("string expected, got boolean", refusal { ["one.test"] = { true, own.key } })
  end)

  it("knows the name that the client asked for", function()
    local e = serve(server_settings(good), function(peer)
      mtev.notify("name", peer:ssl_ctx().sni_name)
    end)
    assert.equal(0, e:ssl_upgrade_socket(client_settings()))
    assert.equal("good.test", select(2, mtev.waitfor("name", 60)))
  end)

  it("asks for a client's certificate if told to", function()
    local client = stranger:issue("client", "/CN=client", "extendedKeyUsage=clientAuth")
    local foreign = authority:issue("foreign-client", "/CN=foreign", "extendedKeyUsage=clientAuth")
    local function server_sees(how, identity)
      local settings = server_settings(good, { ca_accept = stranger.certificate, certificates = { ["one.test"] = hosts.one } })
      settings[how] = true
      local outcome = {}
      for _, name in ipairs { "good.test", "one.test" } do -- the same rules hold for each name
        local e = serve(settings, function(peer, rv, err)
          mtev.notify("seen", rv == 0 and (peer:ssl_ctx().subject or "nobody") or err)
        end)
        local own = identity or {}
        e:ssl_upgrade_socket(client_settings { certificate = own.certificate, key = own.key, snihost = name })
        outcome[#outcome + 1] = select(2, mtev.waitfor("seen", 60))
      end
      assert.equal(outcome[1], outcome[2])
      return outcome[1]
    end
    assert.equal("/CN=client", server_sees("require_client_cert", client))
    assert.equal("/CN=client", server_sees("request_client_cert", client))
    assert.equal("nobody", server_sees("request_client_cert"))
    assert.equal("peer did not return a certificate", server_sees("require_client_cert"))
    assert.equal("unable to get local issuer certificate", server_sees("request_client_cert", foreign))
    assert.equal("unable to get local issuer certificate", server_sees("require_client_cert", foreign))
  end)

  it("gives tickets, and clients come back with them", function()
    for _, layer in ipairs { "tlsv1.2", "tlsv1.3" } do
      local settings = server_settings(good, { layer = layer })
      local resumed = {}
      local listener, port = net.listen()
      local co = net.give(listener, function(l)
        while true do
          net.give(l:accept(), function(e)
            if e:ssl_upgrade_socket(settings) == 0 then shout(e) end
          end)
        end
      end)
      for i = 1, 3 do
        local e = net.connect(port)
        assert.equal(0, e:ssl_upgrade_socket(client_settings { layer = layer }))
        assert_talks(e) -- the tickets of TLS 1.3 come with the first answer
        resumed[i] = e:ssl_ctx().resumed
        assert.equal("/C=CH/O=Acme/CN=good.test", e:ssl_ctx().subject)
        e:close()
      end
      mtev.cancel_coro(co)
      assert.same({ false, true, true }, resumed)
    end
  end)

  it("does not take tickets that another configuration gave, which may trust others", function()
    local listener, port = net.listen()
    local client = stranger:issue("ticket-client", "/CN=client", "extendedKeyUsage=clientAuth")
    local strict = server_settings(good, { require_client_cert = true, ca_accept = authority.certificate })
    local lax = server_settings(good, { request_client_cert = true, ca_accept = stranger.certificate })
    local seen = {}
    for i, settings in ipairs { lax, strict } do
      local e = net.connect(port)
      net.give(listener:accept(), function(a)
        local rv = a:ssl_upgrade_socket(settings)
        seen[i] = rv
        if rv == 0 then shout(a) end
      end)
      local rv = e:ssl_upgrade_socket(client_settings { certificate = client.certificate, key = client.key })
      if rv == 0 then
        e:write("hello\n")
        e:read("\n")
      end
      e:close()
    end
    assert.same({ 0, -1 }, seen)
  end)

  it("sees a new certificate in the file it had read before", function()
    local path = dir .. "/changing"
    local function install(identity)
      files.write(path .. ".new", files.read(identity.certificate) .. files.read(identity.key))
      assert(os.rename(path .. ".new", path .. ".pem"))
    end
    local function subject()
      local e = serve({ server = true, certificate = path .. ".pem" }, shout)
      assert.equal(0, e:ssl_upgrade_socket(client_settings { verify = false }))
      return e:ssl_ctx().subject
    end
    install(hosts.one)
    assert.equal("/CN=one.test", subject())
    assert.equal("/CN=one.test", subject())
    install(hosts.two)
    assert.equal("/CN=two.test", subject())
    os.remove(path .. ".pem")
    local e = net.pair()
    local _, err = e:ssl_upgrade_socket { server = true, certificate = path .. ".pem" }
    assert.matches("No such file", err)
  end)

  it("serves a hundred clients at once", function()
    local listener, port = net.listen("inet", 200)
    local settings, done = server_settings(good), 0
    local co = net.give(listener, function(l)
      while true do
        net.give(l:accept(), function(e)
          if e:ssl_upgrade_socket(settings) == 0 then shout(e) end
        end)
      end
    end)
    for i = 1, 100 do
      mtev.coroutine_spawn(function()
        local e = net.connect(port)
        assert(e:ssl_upgrade_socket(client_settings()) == 0)
        for n = 1, 10 do
          e:write(("%d of %d\n"):format(n, i))
          assert(e:read("\n") == ("%d OF %d\n"):format(n, i))
        end
        done = done + 1
        if done == 100 then mtev.notify("all done") end
      end)
    end
    assert.equal("all done", mtev.waitfor("all done", 100))
    mtev.cancel_coro(co)
  end)
end)

describe("openssl(1)", function()
  -- Starts a server that sends lines back reversed.
  local function s_server(arguments)
    local port = server.port()
    local proc = mtev.Proc:new {
      path = "/bin/sh",
      argv = { "sh", "-c", ("exec openssl s_server -accept 127.0.0.1:%d -cert '%s' -key '%s' -rev %s >&2"):format(
        port, good.certificate, good.key, arguments or "") },
      boot_match = "ACCEPT",
      boot_timeout = 60,
    }
    assert(proc:start():ready())
    return proc, port
  end

  local function upgrade(port, more)
    local e = net.connect(port)
    local rv, err = e:ssl_upgrade_socket(client_settings(more))
    return e, rv, err
  end

  it("serves us, in each version", function()
    for version, option in pairs { ["TLSv1.2"] = "-tls1_2", ["TLSv1.3"] = "-tls1_3" } do
      local proc, port = s_server(option)
      local e, rv, err = upgrade(port)
      assert.same({ 0 }, { rv, err })
      e:write("abc\n")
      assert.equal("cba\n", e:read("\n"))
      assert.equal(version, e:ssl_ctx().protocol)
      e:close()
      proc:kill()
      proc:wait()
    end
  end)

  it("sees our client's certificate", function()
    local client = stranger:issue("s_client", "/CN=client", "extendedKeyUsage=clientAuth")
    local proc, port = s_server(("-Verify 1 -verify_return_error -CAfile '%s' -no_ticket"):format(stranger.certificate))
    local e, rv = upgrade(port, { certificate = client.certificate, key = client.key })
    assert.equal(0, rv)
    e:write("abc\n")
    assert.equal("cba\n", e:read("\n"))
    e:close()
    -- In TLS 1.3 a client learns only from its first read that its certificate was not welcome.
    e = upgrade(port, { layer = "tlsv1.3" })
    assert.matches("alert certificate required", (select(2, e:read("\n"))))
    proc:kill()
    proc:wait()
  end)

  -- What s_client prints; its exit status.
  local function s_client(port, arguments, input)
    local status, out, err = mtev.exec("/bin/sh", { "sh", "-c", ("printf '%s' | openssl s_client -connect 127.0.0.1:%d %s 2>&1"):format(
      input or "hello\\n", port, arguments) }, nil, 60)
    return out .. err, mtev.WEXITSTATUS(status)
  end

  it("is served by us, in each version, and verifies us", function()
    local listener, port = net.listen()
    local co = net.give(listener, function(l)
      while true do
        net.give(l:accept(), function(e)
          if e:ssl_upgrade_socket(server_settings(good)) == 0 then e:write(e:read("\n"):upper()) end
        end)
      end
    end)
    for _, option in ipairs { "-tls1_2", "-tls1_3" } do
      local output = s_client(port, ("%s -CAfile '%s' -verify_return_error -servername good.test -verify_hostname good.test -ign_eof"):format(
        option, authority.certificate))
      assert.matches("Verify return code: 0 (ok)", output, 1, true)
      assert.matches("HELLO\n", output, 1, true)
    end
    local output, status = s_client(port, ("-CAfile '%s' -verify_return_error"):format(stranger.certificate))
    assert.equal(1, status)
    assert.matches("unable to get local issuer certificate", output, 1, true)
    mtev.cancel_coro(co)
  end)

  it("may not renegotiate", function()
    local listener, port = net.listen()
    net.give(listener, function(l)
      local e = l:accept()
      e:ssl_upgrade_socket(server_settings(good))
      e:write("ready\n")
      mtev.notify("after R", e:read("\n"))
    end)
    local output = s_client(port, "-tls1_2 -ign_eof", "R\\nhello\\n")
    assert.is_nil(output:find("HELLO"))
    mtev.waitfor("after R", 60)
  end)
end)

describe("other programs", function()
  it("nginx serves us", function()
    local port = server.port()
    local root = files.directory()
    local proc = server.nginx(root, port, ([[
      server { listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s; location / { return 200 "hello over TLS\n"; } }
    ]]):format(port, good.certificate, good.key))
    assert(proc:start():ready())
    local e = net.connect(port)
    assert.equal(0, e:ssl_upgrade_socket(client_settings { alpn = "http/1.1" }))
    e:write("GET / HTTP/1.0\r\n\r\n")
    local text = ""
    for line in function() return e:read("\n") end do text = text .. line end
    assert.matches("200 OK.*hello over TLS\n$", text)
    assert.equal("http/1.1", e:ssl_ctx().alpn)
    proc:kill()
    proc:wait()
    files.remove(root)
  end)

  it("curl is served by us", function()
    local listener, port = net.listen()
    local co = net.give(listener, function(l)
      while true do
        net.give(l:accept(), function(e)
          if e:ssl_upgrade_socket(server_settings(good)) ~= 0 then return end
          e:read("\r\n\r\n")
          e:write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
        end)
      end
    end)
    local function curl(arguments)
      local status, out, err = mtev.exec("/usr/bin/curl", { "curl", "-sS", "--resolve", "good.test:" .. port .. ":127.0.0.1",
        "--max-time", "60", "--noproxy", "*", "https://good.test:" .. port .. "/", unpack(arguments) }, nil, 100)
      return mtev.WEXITSTATUS(status), out, err
    end
    assert.same({ 0, "yes", "" }, { curl { "--cacert", authority.certificate } })
    assert.same({ 0, "yes", "" }, { curl { "--cacert", authority.certificate, "--tls-max", "1.2" } })
    assert.equal(60, (curl { "--cacert", stranger.certificate }))
    mtev.cancel_coro(co)
  end)
end)

describe("TLS is safe", function()
  it("from bytes that are no TLS after the handshake", function()
    local client, accepted = net.pair()
    local behind = serve(server_settings(good), function(peer)
      peer:write("true\n")
      mtev.waitfor("over", 60)
    end)
    local link = net.link(accepted, behind)
    assert.equal(0, client:ssl_upgrade_socket(client_settings()))
    assert.equal("true\n", client:read("\n"))
    link.inject(("\x17\x03\x03\x00\x20" .. ("\x99"):rep(32)):rep(3))
    local data, err = client:read("\n")
    assert.is_nil(data)
    assert.matches("bad record mac", err)
    mtev.notify("over")
  end)

  -- Records of which a reader gets nothing cost all the more: they are read a few at a time, and others go on
  -- meanwhile.
  for what, flood in pairs {
    ["requests to change keys"] = "for _ = 1, 5000 do C.SSL_key_update(ssl, 1) C.SSL_do_handshake(ssl) end",
    ["records of a byte"] = "for _ = 1, 20000 do C.SSL_write(ssl, 'y', 1) end",
  } do
    it("from a flood of " .. what .. ", in which others have their turns", function()
      local listener, port = net.listen()
      local turns, last, is_over = 0, nil, false
      local accepting = net.give(listener, function(l)
        local e = l:accept()
        assert(e:ssl_upgrade_socket(server_settings(good, { layer = "tlsv1.3" })) == 0)
        mtev.waitfor("flooded", 60)
        mtev.coroutine_spawn(function()
          while not is_over do
            mtev.sleep(0)
            turns = turns + 1
          end
        end)
        last = e:read("x")
        is_over = true
      end)
      local script = process.write_file([[
        local ffi = require("ffi")
        ffi.cdef "int socket(int, int, int); int connect(int, const char *, unsigned); void *TLS_client_method(void);"
        ffi.cdef "int setsockopt(int, int, int, const int *, unsigned);"
        ffi.cdef "void *SSL_CTX_new(void *); void *SSL_new(void *); int SSL_set_fd(void *, int); int SSL_connect(void *);"
        ffi.cdef "int SSL_key_update(void *, int); int SSL_do_handshake(void *); int SSL_write(void *, const char *, int);"
        local C, port = ffi.C, ]] .. port .. [[

        local fd = C.socket(2, 1, 0)
        local address = "\2\0" .. string.char(math.floor(port / 256), port % 256) .. "\127\0\0\1" .. ("\0"):rep(8)
        assert(C.connect(fd, address, 16) == 0)
        local ssl = C.SSL_new(C.SSL_CTX_new(C.TLS_client_method()))
        C.SSL_set_fd(ssl, fd)
        assert(C.SSL_connect(ssl) == 1)
        C.setsockopt(fd, 6, 3, ffi.new("int[1]", 1), 4) -- TCP_CORK: in full segments, of which the kernel takes more
        ]] .. flood .. [[

        assert(C.SSL_write(ssl, "x", 1) == 1)
        C.setsockopt(fd, 6, 3, ffi.new("int[1]", 0), 4)
        print("flooded")
        mtev.sleep(1000)]])
      local flooder, _, out = mtev.spawn(process.lhotse, { "lhotse", script })
      assert.equal("flooded\n", out:own():read("\n"))
      mtev.notify("flooded")
      process.wait_for(function() return is_over end)
      assert.equal("x", last:sub(-1))
      assert.is_true(turns >= 4, turns .. " turns")
      flooder:kill(9)
      os.remove(script)
      mtev.cancel_coro(accepting)
    end)
  end

  it("from random bytes in place of the handshake", function()
    math.randomseed(5)
    for length = 1, 200, 7 do
      local bytes = {}
      for i = 1, length do bytes[i] = string.char(math.random(0, 255)) end
      bytes = table.concat(bytes)
      local client, accepted = net.pair()
      net.give(client, function(c) c:write(bytes) end)
      local rv, err = accepted:ssl_upgrade_socket(server_settings(good))
      assert.equal(-1, rv)
      assert.equal("string", type(err))
      accepted:close()
    end
  end)

  it("from leaks: nothing is open afterwards", function()
    local before = process.descriptors()
    for _ = 1, 50 do
      local e = connect()
      assert_talks(e)
      e:close()
      local client, accepted = net.pair()
      client:ssl_upgrade_socket(client_settings { timeout = 0 })
      client:close()
      accepted:close()
    end
    mtev.sleep(0.05)
    assert(process.descriptors() <= before)
  end)
end)
