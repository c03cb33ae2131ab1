-- require "mtev.HttpClient": libmtev's HTTP client, against a Node server that misbehaves on demand.

local HttpClient = require("mtev.HttpClient")
local certificates = require("test.support.certificates")
local files = require("test.support.files")
local net = require("test.support.net")
local server = require("test.support.server")

local port, proc

setup(function()
  port = server.port()
  proc = server.node("http_server.js", port)
  assert(proc:start():ready())
end)

teardown(function()
  proc:kill()
  proc:wait(10)
end)

-- A connected client whose body gathers in client.body.
local function connect(hooks)
  local client
  hooks = hooks or {}
  hooks.consume = hooks.consume or function(piece) client.body = client.body .. piece end
  client = HttpClient:new(hooks)
  assert.same({ 0 }, { client:connect("127.0.0.1", port) })
  client.body = ""
  return client
end

-- A server that says exactly what it is told: answers[i] to the i-th request. Its port, and the heads that it saw.
local function serve_raw(answers)
  local listener, raw_port = net.listen()
  local heads = {}
  net.give(listener, function(own)
    local e = own:accept()
    own:close()
    for _, answer in ipairs(answers) do
      heads[#heads + 1] = e:read("\r\n\r\n")
      e:write(answer)
    end
  end)
  return raw_port, heads
end

-- What a client makes of an answer: the client, and what get_response returned.
local function hear(answer, method)
  local client = HttpClient:new({})
  client.hooks.consume = function(piece) client.body = client.body .. piece end
  client.body = ""
  assert.equal(0, (client:connect("127.0.0.1", (serve_raw { answer }))))
  assert(client:do_request(method or "GET", "/"))
  return client, client:get_response()
end

-- One request on a new connection: the client, and what get_response returned.
local function get(path, limit, headers)
  local client = connect()
  assert.is_true(client:do_request("GET", path, headers or { Host = "x" }))
  return client, client:get_response(limit)
end

describe("mtev.HttpClient", function()
  it("connects, asks, and hands out header and body", function()
    local heard = {}
    local client = connect {
      connected = function() heard[#heard + 1] = "connected" end,
      headers = function(headers, cookies) heard[#heard + 1] = headers["content-type"] .. " " .. #cookies end,
      consume = function(piece) heard[#heard + 1] = piece end,
    }
    assert.is_true(client:do_request("GET", "/json", { Host = "here", Accept = "*/*" }))
    assert.is_true(client:get_response())
    assert.same({ "connected", "application/json 0", '{"answer":42}' }, heard)
    assert.same({ 200, "1.1", "application/json" }, { client.code, client.protocol, client.headers["content-type"] })
    assert.same({ 13, 13 }, { client.raw_bytes, client.content_bytes })
    assert.is_nil(client:ssl_ctx())
    assert.matches("^mtev.HttpClient: mtev.eventer: tcp ", tostring(client))
    client:close()
    client:close()
    assert.equal("mtev.HttpClient: closed", tostring(client))
    assert.same({ nil, "not connected" }, { client:do_request("GET", "/") })
    assert.same({ nil, "not connected" }, { client:get_response() })
  end)

  it("sends what the server should see", function()
    local client = connect()
    local payload = ("\0\255"):rep(100000)
    assert(client:do_request("PUT", "/path?q=1", { ["X-Own"] = 5, ["Content-Length"] = 1 }, payload))
    assert(client:get_response())
    local seen = mtev.parsejson(client.body):document()
    assert.same({ "PUT", "/path?q=1", 200000, mtev.sha256_hex(payload) }, { seen.method, seen.url, seen.length, seen.sha256 })
    assert.same({ "5", "200000", "127.0.0.1:" .. port }, { seen.headers["x-own"], seen.headers["content-length"], seen.headers.host })
    client.body = ""
    assert(client:do_request("POST", "/echo"))
    assert(client:get_response())
    assert.equal("0", mtev.parsejson(client.body):document().headers["content-length"])
  end)

  it("makes one request after another on a connection", function()
    local client = connect()
    for i = 1, 100 do
      client.body = ""
      assert(client:do_request("GET", "/number/" .. i, {}))
      assert(client:get_response())
      assert.equal("/number/" .. i, mtev.parsejson(client.body):document().url)
    end
    assert(client:do_request("HEAD", "/json"))
    assert(client:get_response())
    assert.same({ 200, 0 }, { client.code, client.raw_bytes })
    for _, code in ipairs { 204, 304, 404 } do
      assert(client:do_request("GET", "/status/" .. code))
      assert(client:get_response())
      assert.equal(code, client.code)
    end
    assert(client:do_request("GET", "/json", { Connection = "close" }))
    assert(client:get_response())
    assert.same({ nil, "not connected" }, { client:do_request("GET", "/json") })
    assert.equal(0, (client:connect("127.0.0.1", port)))
    assert(client:do_request("GET", "/json"))
    assert(client:get_response())
  end)

  it("understands every way in which a body comes", function()
    local client = get("/bytes/300000") -- chunked
    assert.same({ 300000, 300000 }, { client.raw_bytes, #client.body })
    client = get("/sized/300000")
    assert.equal(("0123456789abcdef"):rep(18750), client.body)
    client = get("/to-end")
    assert.equal("until the end", client.body)
    for _, path in ipairs { "/gzip", "/deflate" } do
      client = get(path)
      assert.equal(("packed "):rep(1000), client.body)
      assert(client.raw_bytes < 200 and client.content_bytes == 7000)
    end
    client = get("/trailers")
    assert.same({ "body", "42" }, { client.body, client.headers["x-sum"] })
    client = get("/interim")
    assert.same({ 200, "after all" }, { client.code, client.body })
    client = get("/cookies")
    assert.same({ { "a=1; Path=/", "b=2" }, "one, two" }, { client.cookies, client.headers["x-two"] })
    local old = connect()
    assert(old:do_request("GET", "/bytes/1000", {}, nil, "1.0"))
    assert(old:get_response())
    assert.equal(1000, #old.body)
  end)

  it("takes no more than the limit", function()
    local client, ok, err = get("/sized/100000", 99999)
    assert.same({ nil, "limit", 99999, 99999 }, { ok, err, #client.body, client.content_bytes })
    client, ok = get("/sized/100000", 100000)
    assert.same({ true, 100000 }, { ok, #client.body })
    client, ok, err = get("/bytes/100000", 10)
    assert.same({ nil, "limit", 10 }, { ok, err, #client.body })
    client, ok, err = get("/to-end", 5)
    assert.same({ nil, "limit", "until" }, { ok, err, client.body })
    client, ok, err = get("/bomb", 1000000) -- 100 MB of zeros in 100 KB
    assert.same({ nil, "limit" }, { ok, err })
    -- Of a packed one nothing of the piece that is too long was given.
    assert.same({ 1000000, 1000000 }, { #client.body, client.content_bytes })
    client, ok = get("/gzip", 7000)
    assert.same({ true, 7000 }, { ok, #client.body })
    for _, limit in ipairs { 1, 6999, 6999.5 } do
      client, ok, err = get("/gzip", limit)
      assert.same({ limit, nil, "limit", ("packed "):rep(1000):sub(1, limit) }, { limit, ok, err, client.body })
    end
  end)

  it("says what is wrong with an answer", function()
    for path, message in pairs {
      ["/short"] = "the answer ends within its body", ["/cut-chunk"] = "the answer ends within its body",
      ["/bad-chunk"] = "a chunk begins with nonsense", ["/long-chunk"] = "a chunk is longer than it said",
      ["/not-http"] = "this is not HTTP", ["/empty"] = "the server closed the connection", ["/reset"] = "Connection reset by peer",
      ["/reset-body"] = "Connection reset by peer", ["/two-lengths"] = "the answer's header makes no sense",
      ["/endless-header"] = "the answer's header is too long", ["/bad-gzip"] = "zlib: data error",
    } do
      local client, ok, err = get(path)
      assert.same({ path, nil, message }, { path, ok, err })
      assert.same({ nil, "not connected" }, { client:do_request("GET", "/") }) -- nothing can follow
    end
  end)

  it("gives up in time", function()
    for _, path in ipairs { "/silent", "/slow-header", "/drip-header", "/stalled-body" } do
      local client = connect()
      client:set_timeout(0.1)
      assert(client:do_request("GET", path))
      local began = mtev.time()
      assert.same({ path, nil, "timeout" }, { path, client:get_response() })
      assert(mtev.time() - began >= 0.099)
    end
  end)

  it("says why it cannot connect", function()
    local client = HttpClient:new()
    assert.same({ -1, "Connection refused" }, { client:connect("127.0.0.1", server.port()) })
    assert.same({ -1, "Cannot translate 'no.such.host.invalid' to IP" }, { client:connect("no.such.host.invalid", 80) })
    local full = mtev.socket("inet")
    full:bind("127.0.0.1", 0)
    full:listen(0)
    local _, full_port = full:sock_name()
    local first = mtev.socket("inet")
    first:connect("127.0.0.1", full_port)
    client:set_connect_timeout(0.05)
    assert.same({ -1, "timeout" }, { client:connect("127.0.0.1", full_port) })
  end)

  it("speaks TLS and tells of the certificate", function()
    local dir = files.directory()
    local authority = certificates.authority(dir, "authority")
    local good = authority:issue("good", "/CN=good.test", "subjectAltName=DNS:good.test")
    local tls_port = server.port()
    local tls_proc = server.node("http_server.js", tls_port, good.certificate, good.key)
    assert(tls_proc:start():ready())
    local body = ""
    local client = HttpClient:new({ consume = function(piece) body = body .. piece end }, { ca_chain = authority.certificate })
    assert.same({ 0 }, { client:connect("127.0.0.1", tls_port, true, "good.test") })
    assert(client:do_request("GET", "/json", { Host = "good.test" }))
    assert(client:get_response())
    assert.same({ '{"answer":42}', "/CN=good.test" }, { body, client:ssl_ctx().subject })
    assert.same({ -1, "hostname mismatch" }, { client:connect("127.0.0.1", tls_port, true, "other.test") })
    assert.equal("hostname mismatch", client:ssl_ctx().error)
    client:close()
    tls_proc:kill()
    tls_proc:wait(10)
    files.remove(dir)
  end)

  it("answers a Digest challenge", function()
    local client = get("/digest")
    assert.equal(401, client.code)
    for _ = 1, 2 do -- the second with the next count
      local header = client:auth_digest("GET", "/digest", "user", "secret", client.headers["www-authenticate"] or 'Digest realm="here", nonce="abc", qop="auth"')
      client.body = ""
      assert(client:do_request("GET", "/digest", { Authorization = header }))
      assert(client:get_response())
      assert.same({ 200, "welcome" }, { client.code, client.body })
    end
    assert.same({ 401 }, { get("/digest", nil, { Authorization = client:auth_digest("GET", "/digest", "user", "wrong", 'realm="here", nonce="abc", qop="auth"') }).code })
    -- RFC 2069's form, without qop; RFC 2617, 3.5 with its own numbers needs a fixed cnonce, so only the fields are looked at.
    local header = client:auth_digest("GET", "/x", "u", "p", 'Digest realm="r", nonce="n"')
    local expected = mtev.md5_hex(mtev.md5_hex("u:r:p") .. ":n:" .. mtev.md5_hex("GET:/x"))
    assert.equal(('Digest username="u", realm="r", nonce="n", uri="/x", response="%s"'):format(expected), header)
    assert.matches("algorithm=SHA%-256", client:auth_digest("GET", "/", "u", "p", 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth,auth-int"'))
    assert.same({ nil, "unknown algorithm: SHA-512" }, { client:auth_digest("GET", "/", "u", "p", 'realm="r", nonce="n", algorithm=SHA-512') })
    assert.same({ nil, "unknown qop: auth-int" }, { client:auth_digest("GET", "/", "u", "p", 'realm="r", nonce="n", qop="auth-int"') })
    assert.same({ nil, "the challenge has no realm or no nonce" }, { client:auth_digest("GET", "/", "u", "p", "Basic") })
  end)

  it("raises for misuse", function()
    local client = connect()
    assert.error_matches(function() client:do_request("GET /", "/") end, "bad argument #1 to 'do_request' (method expected", 1, true)
    assert.error_matches(function() client:do_request("GET", "/a b") end, "bad argument #2 to 'do_request' (URI without spaces", 1, true)
    assert.error_matches(function() client:do_request("GET", "/", { A = "x\r\ny" }) end, "bad header 'A'", 1, true)
    assert.error_matches(function() client:do_request("GET", "/", { ["a:b"] = "x" }) end, "bad header 'a:b'", 1, true)
    for what, message in pairs {
      [{ A = "\0" }] = "bad header 'A'", [{ A = "x\1y" }] = "bad header 'A'", [{ [""] = "x" }] = "bad header ''", [{ ["a b"] = "x" }] = "bad header 'a b'",
      [{ ["ä"] = "x" }] = "bad header 'ä'", [{ "x" }] = "bad header '1'", [{ ["Transfer-Encoding"] = "chunked" }] = "bad header 'Transfer-Encoding'",
      [{ ["transfer-encoding"] = "identity" }] = "bad header 'transfer-encoding'", [{ Host = "a", host = "b" }] = "it is there twice",
    } do
      assert.error_matches(function() client:do_request("GET", "/", what) end, message, 1, true)
    end
    local unwilling = setmetatable({}, { __tostring = function() return nil end })
    for _, value in ipairs { { "x", "y" }, true, false, print, unwilling, 1LL } do
      assert.error_matches(function() client:do_request("GET", "/", { A = value }) end,
        "bad header 'A': a value is a string or a number, got " .. type(value), 1, true)
    end
    for _, host in ipairs { "a b", "user@a", "a b/@c", "a?b", "a#b", "a\\b" } do
      assert.error_matches(function() client:do_request("GET", "/", { Host = host }) end,
        "bad header 'Host': host or host:port expected", 1, true)
    end
    for _, version in ipairs { "1.1\r\nX: y", "2", "", "1.1 ", 1.2, {}, true } do
      assert.error_matches(function() client:do_request("GET", "/", {}, nil, version) end, "bad argument #5 to 'do_request'", 1, true)
    end
    for _, method in ipairs { "", "GET\r\n", "G\0T", "GÄT", "G:T" } do
      assert.error_matches(function() client:do_request(method, "/") end, "bad argument #1 to 'do_request' (method expected", 1, true)
    end
    for _, uri in ipairs { "", "/\r\nX: y", "/\0", "/\t" } do
      assert.error_matches(function() client:do_request("GET", uri) end, "bad argument #2 to 'do_request' (URI without spaces", 1, true)
    end
    local line = debug.getinfo(1, "l").currentline + 1
    local _, err = pcall(function() client:do_request("GET", "/", { A = "\n" }) return nil end)
    assert.matches("HttpClient_spec.lua:" .. line .. ": bad header 'A'", err, 1, true)
    assert.error_matches(function() client:do_request("GET", "/", "x") end, "bad argument #3 to 'do_request' (table expected", 1, true)
    assert.error_matches(function() HttpClient:new(5) end, "bad argument #1 to 'new' (table expected, got number)", 1, true)
    assert.error_matches(function() client.get_response({}) end, "bad self (mtev.HttpClient expected, got table)", 1, true)
    assert.error_matches(function() client:set_timeout({}) end, "bad argument #1 to 'set_timeout' (number expected, got table)", 1, true)
  end)
end)

describe("mtev.HttpClient, reading an answer,", function()
  it("takes what a client may take (RFC 9112, 2.2, 5.2)", function()
    local client, ok = hear("HTTP/1.1 200 OK\nContent-Length: 2\nX-Fold: one\n  two\n\nok")
    assert.same({ true, "ok", "one two" }, { ok, client.body, client.headers["x-fold"] })
    client, ok = hear("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2;a=b\nok\n0\n\n")
    assert.same({ true, "ok", false }, { ok, client.body, client.is_open }) -- after such an answer nothing is believed
    client, ok = hear("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2, 2\r\n\r\nok")
    assert.same({ true, "ok", true }, { ok, client.body, client.is_open })
  end)

  it("refuses what others may understand differently", function()
    for text, message in pairs {
      ["HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"] = "the answer's header makes no sense",
      ["HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"] = "the answer's header makes no sense",
      ["HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok"] = "the answer's header makes no sense",
      ["HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n\r\nok"] = "the answer's header makes no sense",
      ["HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\nok"] = "the answer's header makes no sense",
      ["HTTP/1.1 200 OK\r\nno field\r\n\r\nok"] = "the answer's header makes no sense",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"] = "the answer has a transfer encoding that is not known",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"] = "the answer has a transfer encoding that is not known",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \rx\r\nok\r\n0\r\n\r\n"] = "a chunk begins with nonsense",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n"] = "a chunk begins with nonsense",
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n"] = "the answer ends within its body",
      ["HTTP/1.1 200 OK\r\n" .. ("a:\r\n"):rep(1001) .. "\r\n"] = "the answer's header is too long",
      ["SSH-2.0-OpenSSH"] = "this is not HTTP", ["HTTP/1.1 200 OK\r\nX: "] = "the answer ends within its header",
    } do
      local client, ok, err = hear(text)
      assert.same({ nil, message, false }, { ok, err, client.is_open })
    end
  end)

  it("takes time in proportion to the header's length", function()
    local began = os.clock()
    local client, ok = hear("HTTP/1.1 200 OK\r\nX-Pad: a" .. (" "):rep(60000) .. "x\r\nContent-Length: 0\r\n\r\n")
    assert.same({ true, 60002 }, { ok, #client.headers["x-pad"] })
    client = hear("HTTP/1.1 200 OK\r\n" .. ("x-many: 0123456789012345678901234567890123456789\r\n"):rep(990) .. "Content-Length: 0\r\n\r\n")
    assert.equal(990 * 42 - 2, #client.headers["x-many"])
    client:auth_digest("GET", "/", "u", "p", ("a"):rep(60000))
    client:auth_digest("GET", "/", "u", "p", "Digest " .. (" "):rep(60000) .. "x")
    assert(os.clock() - began < (os.getenv("LHOTSE_SLOW_BUILD") and 20 or 1), os.clock() - began)
  end)

  it("does not let trailers change what the header said (RFC 9110, 6.5.1)", function()
    local client, ok = hear("HTTP/1.1 200 OK\r\nX-Role: user\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" ..
      "0\r\nX-Role: admin\r\nX-Sum: 5\r\n\r\n")
    assert.same({ true, "user", "5", { ["x-role"] = "admin", ["x-sum"] = "5" } },
      { ok, client.headers["x-role"], client.headers["x-sum"], client.trailers })
  end)

  it("knows that a 2xx to CONNECT begins a tunnel", function()
    local client, ok = hear("HTTP/1.1 200 Connection established\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "CONNECT")
    assert.same({ true, 200, true, "hello" }, { ok, client.code, client.is_open, client.e:read(5) })
    client, ok = hear("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "CONNECT")
    assert.same({ true, 403, "no" }, { ok, client.code, client.body })
  end)

  it("takes nothing for an answer that came before the request", function()
    local ok_answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    local raw_port, heads = serve_raw { ok_answer .. "1" .. ok_answer .. "P", ok_answer .. "2" }
    local client = HttpClient:new {}
    assert.equal(0, (client:connect("127.0.0.1", raw_port)))
    assert(client:do_request("GET", "/1") and client:get_response())
    assert.same({ nil, "the server sent something that was not asked for" }, { client:do_request("GET", "/2") })
    assert.same({ false, 1 }, { client.is_open, #heads })
  end)

  -- The client stayed open in the middle of a message, where the rest of a body, which may be anybody's upload, passed
  -- for the next answer.
  it("is closed when an error leaves a request or an answer half-way", function()
    local forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    local body = ("x"):rep(65536) .. forged
    local answer = ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(#body) .. body
    local function raise() error("bad data", 0) end
    for _, hooks in ipairs { { headers = raise }, { consume = raise } } do
      local client = HttpClient:new(hooks)
      assert.equal(0, (client:connect("127.0.0.1", (serve_raw { answer }))))
      assert(client:do_request("GET", "/"))
      assert.same({ false, "bad data" }, { pcall(client.get_response, client) })
      assert.is_false(client.is_open)
      assert.same({ nil, "not connected" }, { client:do_request("GET", "/") })
      assert.same({ nil, "not connected" }, { client:get_response() })
    end
    local function interrupt(call, ...) -- where it waits
      local client, rest = HttpClient:new(), { ... }
      local seen = tostring(client)
      local co = mtev.coroutine_spawn(function()
        local raw_port = (serve_raw { answer:sub(1, 1000) })
        assert(client:connect("127.0.0.1", raw_port) == 0)
        mtev.notify(seen, "connected")
        local result = { pcall(call, client, unpack(rest)) }
        mtev.notify(seen, result[1], result[2], client.is_open)
      end)
      assert.equal("connected", select(2, mtev.waitfor(seen, 60)))
      mtev.cancel_coro(co)
      assert.same({ seen, false, "coroutine cancelled", false }, { mtev.waitfor(seen, 60) })
    end
    interrupt(function(client)
      assert(client:do_request("GET", "/"))
      client:get_response()
    end)
    interrupt(function(client) client:do_request("POST", "/", {}, ("x"):rep(64 * 1024 * 1024)) end)
  end)

  -- The client read on, which raised "mtev.eventer is closed"; with what the hook had connected, it took that for the
  -- rest.
  it("may be closed, and connected again, by its hooks", function()
    local chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"
    local sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    local to_end, empty = "HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n"
    for _, case in ipairs {
      { "headers", chunked, nil, "closed" }, { "headers", sized, nil, "closed" },
      { "headers", to_end, nil, "closed" }, { "headers", empty, true },
      { "consume", chunked, nil, "closed" }, { "consume", to_end, nil, "closed" },
      { "consume", sized, true }, -- that was all
    } do
      local hook, answer, ok, err = unpack(case, 1, 4)
      for _, again in ipairs { false, true } do
        local client
        local other_port = again and serve_raw { sized }
        client = HttpClient:new {
          [hook] = function()
            client:close()
            if again then assert.equal(0, (client:connect("127.0.0.1", other_port))) end
          end,
        }
        assert.equal(0, (client:connect("127.0.0.1", (serve_raw { answer }))))
        assert(client:do_request("GET", "/"))
        assert.same({ hook, answer, ok, err }, { hook, answer, client:get_response() })
        assert.equal(again, client.is_open)
        if again then
          client.hooks[hook] = nil
          assert(client:do_request("GET", "/"))
          assert.is_true(client:get_response())
          assert.equal(5, client.content_bytes)
        end
      end
    end
  end)

  it("stays open when a coroutine uses it that may not", function()
    local client = HttpClient:new()
    assert.equal(0, (client:connect("127.0.0.1", (serve_raw { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" }))))
    local name = tostring(client) .. " other"
    mtev.coroutine_spawn(function() mtev.notify(name, pcall(client.do_request, client, "GET", "/")) end)
    local _, ok, err = mtev.waitfor(name, 60)
    assert.is_false(ok)
    assert.matches("cross%-coroutine socket call", err)
    assert(client:do_request("GET", "/"))
    assert.is_true(client:get_response())
  end)

  it("takes a packed body for whole only when its end has come", function()
    local packed = mtev.gzip(("packed "):rep(1000))
    local function answer(body) return ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"):format(#body, body) end
    local client, ok, err = hear(answer(packed:sub(1, -5)))
    assert.same({ nil, "the answer ends within its packed body" }, { ok, err })
    client, ok = hear(answer(packed .. packed))
    assert.same({ true, 14000 }, { ok, #client.body })
    client, ok = hear(answer(""))
    assert.same({ true, "" }, { ok, client.body })
  end)

  it("finds the Digest challenge among others", function()
    local client = HttpClient:new {}
    for _, challenge in ipairs {
      'Digest realm="r", nonce="n"', 'digest nonce=n,realm=r', 'Basic realm="other", Digest realm="r", nonce="n"',
      'Negotiate abc/d==, Digest realm="r", nonce="n", Basic realm="other"', 'realm="r", nonce="n"', 'Digest realm="\\r", nonce="n"',
    } do
      assert.matches('realm="r", nonce="n"', client:auth_digest("GET", "/", "u", "p", challenge), 1, true)
    end
    -- What the server says comes back in a header: one that cannot be sent is the server's fault, not the script's.
    for _, text in ipairs { "a\1b", "a\r\nX: y", "a\nb", "a\0b", "\127" } do
      for _, challenge in ipairs {
        ('realm="%s", nonce="n"'):format(text), ('realm="r", nonce="%s"'):format(text),
        ('realm="r", nonce="n", opaque="%s"'):format(text),
        ('realm="r", nonce="n", qop="auth", opaque=%s'):format(text),
        ('realm="r", nonce="n", algorithm="%s"'):format(text),
      } do
        local header, why = client:auth_digest("GET", "/", "u", "p", challenge)
        assert.is_true(header == nil and type(why) == "string" or not header:find("%c"), challenge)
      end
      assert.same({ nil, "the challenge has control characters in it" }, { client:auth_digest("GET", "/", "u", "p",
        ('Digest realm="%s", nonce="n"'):format(text:gsub("\r\n", "\1"))) })
      assert.error_matches(function() client:auth_digest("GET", "/", text, "p", 'realm="r", nonce="n"') end,
        "bad argument #3 to 'auth_digest' (there are control characters", 1, true)
    end
    for _, challenge in ipairs { 'Basic realm="r", nonce="n"', 'Digest realm="r, nonce="n"', 'Digest realm="r"', "" } do
      assert.same({ nil, "the challenge has no realm or no nonce" }, { client:auth_digest("GET", "/", "u", "p", challenge) })
    end
  end)
end)
