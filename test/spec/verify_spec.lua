-- Who a TLS peer is: names, settings that must not be misunderstood, sessions that must not be resumed by others.

local HttpClient = require("mtev.HttpClient")
local certificates = require("test.support.certificates")
local files = require("test.support.files")
local net = require("test.support.net")
local process = require("test.support.process")

local dir, authority, stranger, leaves

setup(function()
  dir = files.directory()
  authority = certificates.authority(dir, "authority")
  stranger = certificates.authority(dir, "stranger")
  local here = "subjectAltName=DNS:localhost,DNS:*.wild.test,IP:127.0.0.1,IP:::1"
  leaves = {
    good = authority:issue("good", "/CN=good", here),
    other = authority:issue("other", "/CN=other", "subjectAltName=DNS:other.test,DNS:127.0.0.1,IP:192.0.2.1"),
    expired = authority:issue("expired", "/CN=expired", here, "-startdate 20200101000000Z -enddate 20210101000000Z"),
    revoked = authority:issue("revoked", "/CN=revoked", here),
    foreign = stranger:issue("foreign", "/CN=foreign", here),
    client = authority:issue("client", "/CN=client", "extendedKeyUsage=clientAuth"),
  }
  authority:revoke(leaves.revoked)
  leaves.crl = authority:revocations()
end)

teardown(function() files.remove(dir) end)

local listeners = {}

after_each(function()
  for i, co in ipairs(listeners) do
    mtev.cancel_coro(co)
    listeners[i] = nil
  end
end)

-- A server on every connection of a port of its own: TLS with the certificate, then "ok" for each HTTP request. The port.
local function serve(leaf, more)
  local listener, port = net.listen()
  listeners[#listeners + 1] = net.give(listener, function(l)
    while true do
      net.give(l:accept(), function(e)
        local settings = { server = true, certificate = leaf.certificate, key = leaf.key }
        for key, value in pairs(more or {}) do settings[key] = value end
        if e:ssl_upgrade_socket(settings) ~= 0 then return end
        while true do
          local head = e:read("\r\n\r\n")
          if not head or head:sub(-4) ~= "\r\n\r\n" then break end
          e:write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        end
      end)
    end
  end)
  return port
end

-- Whether each kind of client accepts the server; its reason, and its ssl_ctx.
local clients = {}

function clients.eventer(port, config)
  local e = net.connect(port)
  local rv, err = e:ssl_upgrade_socket(config)
  if rv == 0 then
    e:write("GET / HTTP/1.1\r\n\r\n")
    assert.truthy(e:read("ok", { timeout = 60 })) -- tickets of TLS 1.3 have come, too
  end
  local ctx = e:ssl_ctx()
  e:close()
  return rv == 0, err, ctx
end

function clients.api(port, config)
  local response = mtev.Api:https("localhost", port, nil, config):get("/", nil, nil, { timeout = 60 })
  return response:rc() == 200, response:text()
end

function clients.http_client(port, config)
  local client = HttpClient:new(nil, config)
  local rv, err = client:connect("127.0.0.1", port, true)
  client:close()
  return rv == 0, err
end

function clients.websocket(port, config)
  local key = "websocket " .. port
  assert.is_true(mtev.websocket_client_connect("localhost", port, "/", nil, {
    cleanup = function(ws) mtev.notify(key, ws.error) end,
  }, config))
  local _, why = mtev.waitfor(key, 60)
  return why == "the server answered 200 OK", why -- it got as far as HTTP
end

local function trusting(more)
  local config = { ca_chain = authority.certificate, snihost = "localhost", timeout = 60 }
  for key, value in pairs(more or {}) do config[key] = value end
  return config
end

describe("The name of a peer", function()
  local function accepts(name, leaf)
    return clients.eventer(serve(leaf or leaves.good), { ca_chain = authority.certificate, snihost = name, timeout = 60 })
  end

  it("may end with the root's dot", function()
    assert.is_true(accepts("localhost."))
    assert.is_true(accepts("a.wild.test."))
    assert.is_true(accepts("LocalHost"))
    assert.is_false((accepts("other.wild.example.")))
    local _, _, ctx = accepts("localhost.")
    assert.equal("localhost", ctx.sni_name) -- RFC 6066, 3
    assert.is_true(clients.api(serve(leaves.good), trusting { snihost = "localhost." }))
  end)

  it("may be an address, which is compared with addresses, not with names", function()
    for _, name in ipairs { "127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "[::1]", "::1%lo" } do assert.is_true(accepts(name)) end
    assert.is_false((accepts("127.0.0.2")))
    assert.is_false((accepts("127.0.0.1", leaves.other))) -- which has it as a DNS name
    assert.is_true(accepts("192.0.2.1", leaves.other))
  end)

  -- libcurl spells an address in its own way, and would connect to the name itself where that is not the one it was
  -- told.
  it("is not where Api connects to, however it is spelled", function()
    local port = serve(leaves.good) -- at 127.0.0.1 only
    for _, name in ipairs { "::1", "0:0:0:0:0:0:0:1", "::0001", "[0::1]", "LOCALHOST" } do
      local response = mtev.Api:https("127.0.0.1", port, nil, trusting { snihost = name }):get("/")
      assert.equal(200, response:rc(), name)
    end
  end)

  it("raises when it is none, before anything is sent", function()
    local port = serve(leaves.good)
    -- A NUL would end the name for OpenSSL; ".x" would stand for everything below x; some take "127.1" for an address.
    for _, name in ipairs { "localhost\0.evil", "\0", "", ".localhost", "a..b", "local host", "*.wild.test", "127.1", "localhost:443",
      ("a"):rep(64) .. ".test", ("a."):rep(200) .. "test", "localhost\n" } do
      local e = net.connect(port)
      local function raises(f, what, to) assert.error_matches(f, ("bad %s to '%s' (host name or address expected"):format(what, to), 1, true) end
      raises(function() e:ssl_upgrade_socket(trusting { snihost = name }) end, "option 'snihost'", "ssl_upgrade_socket")
      raises(function() e:ssl_upgrade_socket(trusting(), name) end, "argument #2", "ssl_upgrade_socket")
      raises(function() e:ssl_upgrade_socket(nil, nil, authority.certificate, nil, name) end, "argument #5", "ssl_upgrade_socket")
      raises(function() mtev.Api:https("localhost", port, nil, { snihost = name }) end, "option 'snihost'", "https")
      if name ~= "" then -- that is none for HttpClient
        local client = HttpClient:new(nil, trusting { snihost = name })
        raises(function() client:connect("localhost", port, true) end, "option 'snihost'", "connect")
        raises(function() client:connect("localhost", port, true, name) end, "argument #4", "connect")
        assert.is_nil(client:ssl_ctx())
      end
      assert.is_nil(e:ssl_ctx())
      e:close()
    end
    assert.error_matches(function() mtev.Api:https(".localhost", port) end, "bad argument #1 to 'https'", 1, true)
    local client = HttpClient:new()
    local function refused(why, ...)
      local ok, message = pcall(client.connect, client, ...)
      assert.is_false(ok)
      assert.matches(why, message, 1, true)
    end
    assert.equal(-1, (client:connect(".localhost", port, true))) -- nobody is there: an answer, as without TLS
    refused("bad argument #4 to 'connect' (string expected, got table)", "localhost", port, true, {})
    refused("bad argument #5 to 'connect' (string expected, got boolean)", "localhost", port, true, nil, true)
    assert.is_false(mtev.websocket_client_connect("localhost", port, "/", nil, {}, { snihost = "a\0b" }))
    assert.is_false(mtev.websocket_client_connect(".localhost", port, "/", nil, {}, { verify = true }))
    assert.error_matches(function()
      mtev.reverse_connect { host = ".localhost", port = port, name = "x", accept = print, sslconfig = {} }
    end, "bad option 'host' to 'reverse_connect'", 1, true)
  end)

  it("is verified by each kind of client", function()
    for kind, accepts_server in pairs(clients) do
      assert.is_true(accepts_server(serve(leaves.good), trusting()), kind)
      for _, leaf in ipairs { "other", "foreign", "expired" } do
        assert.is_false((accepts_server(serve(leaves[leaf]), trusting())), kind .. ": " .. leaf)
      end
    end
  end)

  it("is the address, when HttpClient connects to one and is told nothing else", function()
    local function connect(leaf, config, ssl_host)
      local client = HttpClient:new(nil, config or { ca_chain = authority.certificate })
      return (client:connect("127.0.0.1", serve(leaf), true, ssl_host))
    end
    assert.equal(0, connect(leaves.good))
    assert.equal(-1, connect(leaves.other))
    assert.equal(0, connect(leaves.other, nil, "other.test"))
    assert.equal(0, connect(leaves.other, { ca_chain = authority.certificate, snihost = "other.test" }))
    assert.equal(-1, connect(leaves.good, { ca_chain = authority.certificate, snihost = "other.test" }))
    assert.equal(-1, connect(leaves.other, nil, "")) -- no name is not any name
  end)
end)

describe("An authority", function()
  local function directory(name, certificate)
    local path = dir .. "/" .. name
    assert(mtev.mkdir(path))
    files.write(path .. "/one.pem", files.read(certificate))
    assert.equal(0, select(2, process.sh("openssl rehash " .. path)))
    return path
  end

  it("may be in a directory, for each kind of client", function()
    local trusted, other = directory("trusted", authority.certificate), directory("other", stranger.certificate)
    for kind, accepts in pairs(clients) do
      assert.is_true(accepts(serve(leaves.good), trusting { ca_chain = trusted }), kind)
      assert.is_false((accepts(serve(leaves.good), trusting { ca_chain = other })), kind)
    end
  end)

  -- libcurl has a directory of its own, which must not come in beside what the script says. Here that directory has the
  -- authority, in a namespace of file systems.
  it("is not the system's, too, for Api, where the script names others", function()
    local path = directory("systems", authority.certificate)
    files.write(path .. "/ca-certificates.crt", files.read(stranger.certificate)) -- libcurl's file must be there
    local inside = "unshare -rm sh -c 'mount --bind %s /etc/ssl/certs && exec \"$@\"' sh"
    if select(2, process.sh(inside:format(path) .. " true")) ~= 0 then return pending("no namespaces here") end
    local script = ([[
      for _, ca in ipairs { false, %q, %q } do
        print(mtev.Api:https("localhost", %d, nil, { ca_chain = ca }):get("/"):rc())
      end]]):format(stranger.certificate, directory("strangers", stranger.certificate), serve(leaves.good))
    local file = files.write(dir .. "/systems.lua", script)
    local _, output = mtev.sh(inside:format(path) .. " " .. process.lhotse .. " " .. file .. " 2>&1")
    assert.equal("200\n-1\n-1\n", output)
  end)
end)

describe("A setting that cannot be understood", function()
  it("does not switch verification off", function()
    for kind, accepts in pairs(clients) do
      for _, word in ipairs { "ture", "", " true", "enabled", "2", "off ", "falsch" } do
        assert.is_false((select(2, pcall(accepts, serve(leaves.foreign), trusting { verify = word })) == true), kind .. ": " .. word)
      end
      for _, word in ipairs { "false", "OFF", "no", "0", 0, false } do
        assert.is_true(accepts(serve(leaves.foreign), trusting { verify = word }), kind)
      end
      for _, flag in ipairs { "optional_no_ca", "ignore_dates" } do
        assert.is_false((select(2, pcall(accepts, serve(leaves.expired), trusting { [flag] = "flase" })) == true), kind .. ": " .. flag)
      end
    end
  end)

  -- libcurl knows a lowest and a highest version only.
  it("does not add a version between two, for any kind of client", function()
    local function accepts_layer(accepts, layer, server_layer)
      return (accepts(serve(leaves.good, { layer = server_layer }), trusting { layer = layer }))
    end
    for kind, accepts in pairs(clients) do
      assert.is_false(accepts_layer(accepts, "tlsv1.1,tlsv1.3", "tlsv1.2"), kind)
      assert.is_false(accepts_layer(accepts, "all,!tlsv1.2", "tlsv1.2"), kind)
      assert.is_true(accepts_layer(accepts, "tlsv1.2,tlsv1.3", "tlsv1.2"), kind)
      assert.is_true(accepts_layer(accepts, "tlsv1.1,tlsv1.3", "tlsv1.1"), kind) -- OpenSSL keeps to those below a gap
      assert.is_true(accepts_layer(accepts, "tlsv1.1", "tlsv1.1"), kind) -- who names an old one wants it
    end
  end)

  it("does not let clients in without a certificate", function()
    for _, flag in ipairs { "require_client_cert", "requre_client_cert", "require_client_crt" } do
      for _, word in ipairs { "required", "ture", "true" } do
        if flag ~= "require_client_cert" or word ~= "true" then
          local port = serve(leaves.good, { [flag] = word, ca_accept = authority.certificate })
          assert.is_false((clients.eventer(port, trusting())), flag .. "=" .. word)
        end
      end
    end
    assert.is_true(clients.eventer(serve(leaves.good, { require_client_cert = "no" }), trusting()))
  end)

  -- What was made of a table is kept. A key that came later must be looked at, though it is none that is known.
  it("is noticed in a table that was used before, too", function()
    local config = trusting { snihost = false, timeout = 60 }
    local function reason() return (select(2, clients.eventer(serve(leaves.good), config))) end
    assert.is_nil(reason())
    assert.is_nil(reason())
    config.sni_host = "localhost"
    assert.matches("unknown option 'sni_host'", reason(), 1, true)
    config.sni_host, config.timeout = nil, nil
    config.requires_client_cert = true -- as many keys as before
    config.timeout = 60
    assert.matches("unknown option 'requires_client_cert'", reason(), 1, true)
    config.requires_client_cert = nil
    assert.is_nil(reason())
    config.stranger = 1
    assert.is_nil(reason()) -- only logged
    config.stranger, config.sni_host = nil, "localhost"
    assert.matches("unknown option 'sni_host'", reason(), 1, true)
    config.sni_host = nil
    assert.is_nil(reason())
    setmetatable(config, { __index = { verify = "ture" } })
    assert.matches("verify: not a boolean", reason(), 1, true)
  end)

  -- Other programs' words for what this one does otherwise, or does not do.
  it("is refused when it sounds as if it asked for more", function()
    local function reason(key, value)
      return select(2, clients.eventer(serve(leaves.good), trusting { [key] = value }))
    end
    for key, meant in pairs {
      fail_if_no_peer_cert = "require_client_cert", min_proto = "layer", authorities = "ca_chain", revocation = "crl",
      verify_peer = "verify", serverName = "snihost", minVersion = "layer",
    } do
      local expected = ("unknown option '%s' (did you mean '%s'?)"):format(key, meant)
      assert.matches(expected, reason(key, "x"), 1, true)
    end
    for _, key in ipairs { "strict", "security_level", "tls_hostname", "pinned_key", "ocsp_stapling", "validate",
      "verify_alpn", "reject_insecure_ciphers", "cert_pin", "pinnedpublickey", "expected_name", "min_ver", "no_tlsv12",
      "root_ca", "tlsCA", "requestCert", "rejectUnauthorized", "checkName", "alpn_client_required",
      "tls_min", "tls13_only", "disable_tls12", "signature_algorithms", "thumbprint", "spki_sha256", "cn", "secLevel",
      "extended_key_usage", "root_certs", "two_way_auth", "allowed_names", "forward_secrecy" } do
      for _, value in ipairs { true, 3, "on", "x" } do
        assert.matches(("unknown option '%s'"):format(key), reason(key, value), 1, true)
      end
      for _, value in ipairs { false, "false", "off", "" } do assert.is_nil(reason(key, value)) end
    end
    assert.matches("unknown option 'verify_depth'", reason("verify_depth", 0), 1, true) -- the strictest
    -- Text that is empty says nothing: it must not hide another word for the same.
    assert.is_true(clients.eventer(serve(leaves.good), { ca_chain = "", ca_file = authority.certificate, snihost = "localhost" }))
    for _, key in ipairs { "comment", "insecure", "alpn_protocols", "name", "ping_interval", "mapping", "checked" } do
      assert.is_nil(reason(key, true))
    end
    for _, value in ipairs { "x", 1, true } do
      local why = ("certificates: table expected, got %s"):format(type(value))
      assert.matches(why, reason("certificates", value), 1, true)
    end
    assert.is_nil(reason("certificates", ""))
  end)

  it("says what is wrong with it", function()
    local function reason(more)
      return select(2, clients.eventer(serve(leaves.good), trusting(more)))
    end
    local prefix = "ssl_client context creation failed: "
    assert.equal(prefix .. "verify: not a boolean: 'ture'", reason { verify = "ture" })
    assert.equal(prefix .. "unknown option 'layr' (did you mean 'layer'?)", reason { layr = "tlsv1.3" })
    assert.equal(prefix .. "unknown option 'sni_host' (did you mean 'snihost'?)", reason { sni_host = "x" })
    assert.equal(prefix .. "unknown option 'servername' (did you mean 'snihost'?)", reason { servername = "x" }) -- another program's word
    assert.equal(prefix .. "alpn: string expected, got table", reason { alpn = { "h2" } })
    assert.matches(prefix .. "layer: unknown part '>=tlsv1.4'", reason { layer = ">=tlsv1.4" }, 1, true)
    assert.equal(prefix .. "layer: unknown part 'tslv1.3' (did you mean 'tlsv1.3'?)", reason { layer = "tslv1.3" })
    assert.equal(prefix .. "timeout: not a number: '5s'", reason { timeout = "5s" })
    assert.equal(prefix .. "ca_chain: there is a NUL in it", reason { ca_chain = authority.certificate .. "\0" })
    assert.is_true(clients.eventer(serve(leaves.good), trusting { layer = "tlsv1.2,some_old_word" })) -- only logged
    assert.is_true(clients.eventer(serve(leaves.good), trusting { ignore_datse = true })) -- ignoring it is no less strict
    assert.is_true(clients.eventer(serve(leaves.good), trusting { layr = "" }))
    assert.error_matches(function() mtev.Api:https("localhost", 1, nil, { verify = "ture" }) end,
      "bad sslconfig: verify: not a boolean: 'ture'", 1, true)
    assert.error_matches(function() mtev.reverse_listen { port = 0, sslconfig = { require_client_cert = "required" } } end,
      "bad option 'sslconfig' to 'reverse_listen' (require_client_cert: not a boolean: 'required')", 1, true)
  end)
end)

describe("A session", function()
  -- A resumed session verifies nothing (RFC 8446, 2.2). So what was agreed under one set of conditions must not be resumed, and
  -- a connection not be shared, under another: every set after every other, against every certificate.
  local function conditions()
    return {
      strict = trusting(),
      revocations = trusting { crl = leaves.crl },
      no_verification = trusting { verify = false },
      no_dates = trusting { ignore_dates = true },
      no_issuer = { optional_no_ca = true, snihost = "localhost" },
      no_issuer_no_dates = { optional_no_ca = "on", ignore_dates = "1", snihost = "localhost" },
      other_issuer = trusting { ca_chain = stranger.certificate },
      other_name = trusting { snihost = "other.test" },
      with_certificate = trusting { certificate = leaves.client.certificate, key = leaves.client.key },
    }
  end

  for _, layer in ipairs { "tlsv1.2", "tlsv1.3" } do
    it("is resumed only under the conditions that it was made under: " .. layer, function()
      local resumed = 0
      for _, kind in ipairs { "api", "eventer" } do
        for _, leaf in ipairs { "good", "expired", "revoked", "foreign", "other" } do
          local expected = {}
          for name, config in pairs(conditions()) do
            expected[name] = clients[kind](serve(leaves[leaf], { layer = layer }), config)
          end
          for first, config in pairs(conditions()) do
            local port = serve(leaves[leaf], { layer = layer })
            for name, after in pairs(conditions()) do
              clients[kind](port, config)
              local accepts, _, ctx = clients[kind](port, after)
              if ctx and ctx.resumed then resumed = resumed + 1 end
              assert.equal(expected[name], accepts, ("%s, %s, %s after %s"):format(kind, leaf, name, first))
            end
          end
        end
      end
      assert.truthy(resumed > 0) -- else this tests nothing
    end)
  end

  it("is not shared by way of a kept connection either", function()
    local port = serve(leaves.expired)
    local lax = mtev.Api:https("localhost", port, nil, trusting { ignore_dates = true })
    assert.equal(200, lax:get("/"):rc())
    assert.equal(200, lax:get("/"):rc())
    assert.equal(-1, mtev.Api:https("localhost", port, nil, trusting()):get("/"):rc())
    assert.equal(-1, mtev.Api:https("localhost", port, nil, trusting { optional_no_ca = true }):get("/"):rc())
  end)

  -- libcurl's pool does not compare everything: keys, for one, and the highest version.
  it("is not shared by a kept connection with a request that has another key, or other versions", function()
    local port = serve(leaves.good, { require_client_cert = true, ca_accept = authority.certificate, layer = "tlsv1.3" })
    local function get(more)
      local config = trusting { certificate = leaves.client.certificate, key = leaves.client.key }
      for key, value in pairs(more or {}) do config[key] = value end
      return mtev.Api:https("localhost", port, nil, config):get("/"):rc()
    end
    assert.equal(200, get())
    assert.equal(-1, get { key = leaves.other.key })
    assert.equal(-1, get { key = dir .. "/absent.key" })
    assert.equal(-1, get { layer = "=tlsv1.2" })
    assert.equal(200, get())
  end)

  it("is not resumed by the server when it trusts others meanwhile, under the same file name", function()
    local path = dir .. "/accepted.pem"
    local function install(file)
      files.write(path .. ".new", files.read(file))
      assert(os.rename(path .. ".new", path))
    end
    for _, layer in ipairs { "tlsv1.2", "tlsv1.3" } do
      install(authority.certificate)
      local port = serve(leaves.good, { require_client_cert = true, ca_accept = path, layer = layer })
      local config = trusting { certificate = leaves.client.certificate, key = leaves.client.key, layer = layer }
      assert.is_true(clients.eventer(port, config))
      local _, _, ctx = clients.eventer(port, config)
      assert.is_true(ctx.resumed)
      install(stranger.certificate)
      local accepts = pcall(clients.eventer, port, config) -- the refusal may come with the first bytes (TLS 1.3)
      assert.is_false(accepts and (clients.eventer(port, config)), layer)
    end
  end)

  it("is not resumed when the file of authorities has changed", function()
    local path = dir .. "/trusted.pem"
    for kind, accepts in pairs(clients) do
      for _, file in ipairs { authority.certificate, stranger.certificate, authority.certificate } do
        files.write(path .. ".new", files.read(file))
        assert(os.rename(path .. ".new", path))
        local port = serve(leaves.good)
        assert.equal(file == authority.certificate, (accepts(port, trusting { ca_chain = path })), kind)
      end
    end
  end)

  -- A file that is overwritten where it is leaves its directory as it was.
  it("is not resumed when an authority was overwritten in a directory of them", function()
    local path = dir .. "/authorities"
    assert(mtev.mkdir(path))
    files.write(path .. "/one.pem", files.read(authority.certificate))
    assert.equal(0, select(2, process.sh("openssl rehash " .. path)))
    local port = serve(leaves.good)
    local configs = {}
    for kind, accepts in pairs(clients) do
      configs[kind] = trusting { ca_chain = path }
      assert.is_true(accepts(port, configs[kind]), kind)
    end
    files.write(path .. "/one.pem", files.read(stranger.certificate))
    for kind, accepts in pairs(clients) do
      assert.is_false((accepts(port, configs[kind])), kind)
      assert.is_false((accepts(port, trusting { ca_chain = path })), kind)
    end
  end)

  it("is not resumed when the system's store has changed", function()
    local store = dir .. "/store.pem"
    local script = ([[
      local l = mtev.socket("inet") l:bind("127.0.0.1", 0) l:listen() local _, port = l:sock_name()
      mtev.coroutine_spawn(function()
        local l = l:own()
        while true do
          mtev.coroutine_spawn(function(e)
            e:own():ssl_upgrade_socket { server = true, certificate = %q, key = %q }
          end, l:accept())
        end
      end)
      local config = { snihost = "localhost" }
      local function connect()
        local c = mtev.socket("inet")
        c:connect("127.0.0.1", port)
        print(c:ssl_upgrade_socket(config))
      end
      local function install(path)
        local from, to = io.open(path), io.open(%q, "w")
        to:write(from:read("*a")) to:close() from:close()
      end
      connect() -- there is none yet
      for _, path in ipairs { %q, %q } do install(path) connect() end
      os.exit(0)]]):format(leaves.good.certificate, leaves.good.key, store, authority.certificate, stranger.certificate)
    local before = ("export SSL_CERT_FILE=%s SSL_CERT_DIR=%s/absent:%s/none;"):format(store, dir, dir)
    local output = process.run(script, { before = before })
    local unknown = "-1\tunable to get local issuer certificate\n"
    assert.equal(unknown .. "0\n" .. unknown, output)
  end)

  it("is not resumed when the certificate has expired since", function()
    local short = authority:issue("short", "/CN=short", "subjectAltName=DNS:localhost",
      "-startdate 20200101000000Z -enddate " .. os.date("!%Y%m%d%H%M%SZ", os.time() + 4))
    for _, layer in ipairs { "tlsv1.2", "tlsv1.3" } do
      local port = serve(short, { layer = layer })
      local is_valid = true
      while is_valid do
        is_valid = clients.eventer(port, trusting())
        mtev.sleep(0.2)
      end
      assert.is_false((clients.eventer(port, trusting())))
      assert.is_true(clients.eventer(port, trusting { ignore_dates = true }))
    end
  end)
end)

describe("Post-handshake authentication", function()
  it("gives a server of TLS 1.3 the certificate that it asks for later", function()
    local script = dir .. "/later.py"
    files.write(script, [[
import socket, ssl, sys
server, key, ca = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(server, key)
context.load_verify_locations(ca)
context.post_handshake_auth = True
context.verify_mode = ssl.CERT_REQUIRED
listener = socket.create_server(("127.0.0.1", 0))
sys.stderr.write("ready %d\n" % listener.getsockname()[1])
connection = context.wrap_socket(listener.accept()[0], server_side=True)
connection.recv(100)
connection.verify_client_post_handshake()
connection.sendall(b"who are you?\n")
connection.recv(100)
sys.stderr.write("seen %s\n" % (connection.getpeercert() or {}).get("subject"))
]])
    local proc = mtev.Proc:new { path = "python3", argv = { "python3", script, leaves.good.certificate, leaves.good.key, authority.certificate } }
    local port, seen = mtev.LogWatch and proc:logwatch("^ready"), proc:logwatch("^seen")
    assert(proc:start():ready())
    local e = net.connect(tonumber(port:wait(60):match("%d+")))
    assert.equal(0, e:ssl_upgrade_socket(trusting { certificate = leaves.client.certificate, key = leaves.client.key }))
    e:write("hello\n")
    assert.equal("who are you?\n", e:read("\n", { timeout = 60 }))
    e:write("me\n")
    assert.matches("client", seen:wait(60))
    e:close()
    proc:kill()
  end)
end)

describe("HttpClient's hooks", function()
  it("give the files", function()
    local port = serve(leaves.good, { require_client_cert = true, ca_accept = authority.certificate })
    local client = HttpClient:new {
      certfile = function() return leaves.client.certificate end, keyfile = function() return leaves.client.key end,
      cachain = function() return authority.certificate end,
    }
    assert.equal(0, client:connect("127.0.0.1", port, true))
    assert.truthy(client:do_request("GET", "/"))
    assert.truthy(client:get_response())
    assert.equal(200, client.code)
  end)
end)

describe("Under the name luamtev", function()
  it("nothing is verified unless it is asked for, and a misspelt verify asks", function()
    local port = serve(leaves.foreign)
    local script = dir .. "/luamtev.lua"
    files.write(script, ([[
      module(..., package.seeall)
      function main()
        for _, config in ipairs { {}, { verify = true }, { vreify = true }, { verify = "ture" }, { vreify = false } } do
          local e = mtev.socket("inet")
          e:connect("127.0.0.1", %d)
          io.write((e:ssl_upgrade_socket(config)), " ")
          e:close()
        end
        io.flush()
        os.exit(0)
      end]]):format(port))
    local out = select(2, mtev.exec(process.luamtev, { "luamtev", script }, nil, 60))
    assert.equal("0 -1 -1 -1 0 ", out)
  end)
end)

-- For old versions OpenSSL's security level is lowered; a list of ciphers that names one has the last word.
describe("The security level of a list of ciphers", function()
  local weak

  setup(function()
    weak = { certificate = dir .. "/weak.pem", key = dir .. "/weak.key" }
    process.sh(("openssl req -x509 -newkey rsa:1024 -nodes -days 2 -subj /CN=localhost -keyout %s -out %s " ..
      "-addext subjectAltName=DNS:localhost 2>&1"):format(weak.key, weak.certificate))
  end)

  for name, client in pairs(clients) do
    it("counts beside an old version too: " .. name, function()
      local port = serve(weak, { ciphers = "DEFAULT@SECLEVEL=0" })
      local function accepts(layer, level)
        return (client(port, {
          ca_chain = weak.certificate, snihost = "localhost", timeout = 60, layer = layer,
          ciphers = "DEFAULT@SECLEVEL=" .. level,
        }))
      end
      for _, layer in ipairs { "tlsv1.2", "tlsv1.1,tlsv1.2" } do
        assert.is_true(accepts(layer, 0))
        assert.is_false(accepts(layer, 2))
      end
    end)
  end
end)
