-- mtev.Api, against a Node server that misbehaves on demand, and nginx with TLS, HTTP/2 and compression.

local certificates = require("test.support.certificates")
local files = require("test.support.files")
local process = require("test.support.process")
local net = require("test.support.net")
local server = require("test.support.server")

local port, proc, api, requests

setup(function()
  port = server.port()
  proc = server.node("http_server.js", port)
  requests = {}
  proc:loglisten(function(line) requests[#requests + 1] = line:gsub("\n", "") end)
  assert(proc:start():ready())
  api = mtev.Api:http("127.0.0.1", port)
end)

teardown(function()
  proc:kill()
  proc:wait(10)
end)

local function fails(response, pattern)
  assert.equal(-1, response:rc())
  assert.matches(pattern, response:text())
end

describe("mtev.Api", function()
  it("gets a page", function()
    local r = api:get("/json")
    assert.equal(200, r:rc())
    assert.equal('{"answer":42}', r:text())
    assert.same({ answer = 42 }, r:json())
    assert.equal(r, r:check())
    assert.same({ 200, '{"answer":42}' }, { r.code, r.output })
    assert.equal("application/json", r.headers["content-type"])
    assert.equal("application/json", r.headers["Content-Type"])
    assert.is_nil(r.headers.missing)
    assert.equal("mtev.ApiResponse: 200", tostring(r))
    assert.equal("mtev.Api: http://127.0.0.1:" .. port, tostring(api))
  end)

  it("sends what the server should see", function()
    local seen = mtev.Api:http("localhost", port, { ["X-All"] = "yes", ["x-change"] = "no" })
      :request("PUT", "/a b?q=ü", "body", { ["X-Change"] = 7, Empty = "", List = { "one", "two" } }):json()
    assert.same({ "PUT", "/a%20b?q=%C3%BC", "body", 4 }, { seen.method, seen.url, seen.text, seen.length })
    local headers = seen.headers
    assert.equal("localhost:" .. port, headers.host) -- the name, not its address
    assert.equal("application/json", headers.accept)
    assert.same({ "yes", "7", "", "one, two" }, { headers["x-all"], headers["x-change"], headers.empty, headers.list })
    assert.is_nil(headers["content-type"])
    assert.is_nil(headers.expect)
    assert.matches("^lhotse/", headers["user-agent"])
    assert.equal("text/html", api:get("/echo", nil, { ACCEPT = "text/html" }):json().headers.accept)
    assert.is_nil(api:get("/echo", nil, { accept = false }):json().headers.accept)
  end)

  it("has every method", function()
    for _, name in ipairs { "get", "post", "put", "patch", "delete" } do
      assert.equal(name:upper(), api[name](api, "/echo"):json().method)
      assert.equal("x", api[name](api, "/echo", "x"):json().text)
    end
    assert.same({ "DELETE", "PATCH" }, { api:delete("/echo"):json().method, api:patch("/echo", "x"):json().method })
    local r = api:head("/json")
    assert.same({ 200, "", "application/json" }, { r:rc(), r:text(), r.headers["content-type"] })
    assert.equal("REPORT", api:request("REPORT", "/echo"):json().method)
    assert.equal("0", api:post("/echo"):json().headers["content-length"])
    assert.equal("/", api:get():json().url)
    assert.equal("/x", api:get("x"):json().url)
  end)

  it("sends a table as JSON, and bytes as they are", function()
    local seen = api:post("/echo", { a = 1 }):json()
    assert.same({ '{"a":1}', "application/json" }, { seen.text, seen.headers["content-type"] })
    assert.equal("text/x", api:post("/echo", { 1 }, { ["content-type"] = "text/x" }):json().headers["content-type"])
    local bytes = ("\0\255\r\n"):rep(300000)
    seen = api:post("/echo", bytes):json()
    assert.same({ #bytes, mtev.sha256_hex(bytes) }, { seen.length, seen.sha256 })
    assert.equal("", api:post("/echo", ""):json().text)
  end)

  -- It needs no lookup. Its zone is nobody else's business (RFC 6874, 4).
  it("takes an address with a zone", function()
    local listener, zone_port = net.listen("inet6")
    local co = net.give(listener, function(own)
      while true do
        local e = own:accept()
        local host = e:read("\r\n\r\n"):match("Host: ([^\r]*)")
        e:write(("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"):format(#host, host))
        e:close()
      end
    end)
    for _, options in ipairs { {}, { redirects = 1 }, { timeout = 60, proxy = "" } } do
      local response = mtev.Api:http("::1%lo", zone_port):get("/", nil, nil, options)
      assert.same({ 200, "[::1]:" .. zone_port }, { response:rc(), response:text() })
    end
    mtev.cancel_coro(co)
  end)

  it("checks and reads the answer", function()
    for code, good in pairs { [200] = true, [204] = true, [299] = true, [301] = false, [404] = false, [500] = false } do
      local r = api:get("/status/" .. code)
      assert.equal(code, r:rc())
      assert.equal(good, (pcall(r.check, r)))
    end
    assert.error_matches(function() api:get("/status/404"):check() end, "http://127.0.0.1:%d+/status/404: HTTP 404: status 404")
    assert.is_nil(api:get("/status/204"):json())
    assert.is_nil(api:get("/status/204"):xml())
    assert.equal("42", api:get("/xml"):xml():root():attr("value"))
    assert.error_matches(function() api:get("/nonsense"):json() end, "not JSON: .* at byte 10")
    assert.error_matches(function() api:get("/nonsense"):xml() end, "not XML: ")
    local r = api:get("/cookies")
    assert.equal("a=1; Path=/, b=2", r.headers["set-cookie"])
    assert.equal("one, two", r.headers["x-two"])
    assert.equal("42", api:get("/trailers").headers["x-sum"])
  end)

  it("unpacks compressed answers, unless told not to", function()
    for _, path in ipairs { "/gzip", "/deflate", "/br" } do
      assert.equal(("packed "):rep(1000), api:get(path):check():text())
    end
    local r = api:request("GET", "/gzip", nil, nil, { decode = false })
    assert.equal("\31\139", r:text():sub(1, 2))
    fails(api:get("/bad-gzip"), "content unencoding")
  end)

  it("uses a connection again", function()
    local before = require("mtev.debug").counts().sockets
    for _ = 1, 100 do api:get("/json"):check() end
    assert.equal(before, require("mtev.debug").counts().sockets) -- libcurl's are not counted; nothing else is left
  end)

  it("tries again when a kept connection was closed under it", function()
    for _ = 1, 5 do
      assert.equal("doomed", api:get("/doom"):text())
      assert.equal(200, api:get("/json"):rc())
    end
  end)

  it("does not make a request twice that is not to be repeated (RFC 9110, 9.2.2)", function()
    local output = process.run(([[
      local api = mtev.Api:http("127.0.0.1", %d) -- one kept connection, which the server closes at its next request
      local function ask(method)
        api:get("/doom"):check()
        local r = api:request(method, "/ask", "x")
        print(method, r:rc(), r:rc() == -1 and r:text() or "")
      end
      ask("PUT") ask("DELETE") ask("POST") ask("PATCH")]]):format(port))
    local refused = "-1\tthe connection was closed before the answer came, and this method is not to be repeated\n"
    assert.equal("PUT\t200\t\nDELETE\t200\t\nPOST\t" .. refused .. "PATCH\t" .. refused, output)
  end)

  it("follows redirects only if asked to", function()
    local r = api:get("/moved")
    assert.same({ 302, "/echo", "elsewhere" }, { r:rc(), r.headers.location, r:text() })
    r = api:request("POST", "/moved", "x", nil, { redirects = 5 })
    assert.same({ "GET", "/echo" }, { r:json().method, r:json().url })
    assert.is_nil(r.headers.location) -- the header is the last answer's
    assert.equal(200, mtev.Api:http("127.0.0.1", port):redirects(1):get("/moved"):rc())
    fails(api:get("/loop", nil, nil, { redirects = 5 }), "[Mm]aximum %(5%) redirects followed")
  end)

  it("lets interim answers pass", function()
    assert.equal("after all", api:get("/interim"):text())
  end)

  it("yields", function()
    local turns, is_over = 0, false
    mtev.coroutine_spawn(function()
      while not is_over do
        mtev.sleep(0.001)
        turns = turns + 1
      end
    end)
    assert.equal("at last", api:get("/wait/100"):text())
    is_over = true
    assert(turns > 5)
  end)

  it("has many requests under way at once", function()
    local left = 200
    for i = 1, left do
      mtev.coroutine_spawn(function()
        assert(api:get("/number/" .. i):json().url == "/number/" .. i)
        left = left - 1
        if left == 0 then mtev.notify("all answered") end
      end)
    end
    assert(mtev.waitfor("all answered", 60))
  end)
end)

describe("mtev.Api, when something goes wrong,", function()
  it("says why there is no answer", function()
    fails(mtev.Api:http("127.0.0.1", server.port()):get("/"), "[Cc]onnect")
    fails(mtev.Api:http("no.such.host.invalid", 80):get("/"), "resolve")
    local text = api:get("/empty"):text() -- kept connections are tried first
    assert(text:find("Empty reply", 1, true) or text:find("Connection died", 1, true), text)
    fails(api:get("/reset"), "[Rr]eset")
    fails(api:get("/reset-body"), "[Rr]eset")
    for _ = 1, 3 do fails(api:get("/not-http"), "^the answer is not HTTP$") end
    fails(api:get("/short"), "^answer ended with 91 of 100 bytes missing$")
    fails(api:get("/cut-chunk"), "^answer ended before the end of its body$")
    fails(api:get("/bad-chunk"), "chunk")
    fails(api:get("/long-chunk"), "chunk")
    assert.equal("until the end", api:get("/to-end"):text())
  end)

  it("ends at its timeouts", function()
    local function late(path, options)
      local began = mtev.time()
      fails(api:get(path, nil, nil, options), options.timeout and "timed out" or "too slow")
      return mtev.time() - began
    end
    for _, path in ipairs { "/silent", "/slow-header", "/drip-header", "/stalled-body", "/drip-body" } do
      assert(late(path, { timeout = 0.2 }) >= 0.199)
    end
    late("/silent", { timeout = 0 })
    assert(late("/stalled-body", { idle_timeout = 1 }) >= 0.9)
    fails(mtev.Api:http("127.0.0.1", port):timeout(0.1):get("/silent"), "timed out")
    assert.equal(200, api:get("/json", nil, nil, { timeout = 60 }):rc())
  end)

  it("limits what it takes", function()
    fails(api:get("/sized/1000000", nil, nil, { limit = 999999 }), "longer than the limit")
    assert.equal(1000000, #api:get("/sized/1000000", nil, nil, { limit = 1000000 }):text())
    fails(mtev.Api:http("127.0.0.1", port):limit(1000):get("/bytes/1001"), "longer than the limit")
    fails(api:get("/bomb", nil, nil, { limit = 1e6 }), "longer than the limit")
    fails(api:get("/endless-header"), "header")
  end)

  it("raises for misuse", function()
    local function raises(message, f, ...)
      local arguments = { n = select("#", ...), ... }
      assert.error_matches(function() f(unpack(arguments, 1, arguments.n)) end, message, 1, true)
    end
    raises("bad argument #1 to 'http' (host name expected)", mtev.Api.http, mtev.Api)
    raises("bad argument #1 to 'http' (host name expected)", mtev.Api.http, mtev.Api, "a/b", 80)
    raises("bad argument #2 to 'https' (port must be", mtev.Api.https, mtev.Api, "a", 0)
    raises("bad argument #3 to 'http' (table expected", mtev.Api.http, mtev.Api, "a", 80, "x")
    raises("bad argument #4 to 'https' (table expected", mtev.Api.https, mtev.Api, "a", 80, {}, "x")
    raises("bad sslconfig: the layer leaves no version", mtev.Api.https, mtev.Api, "a", 443, {}, { layer = "all:!all" })
    raises("bad header 'A B'", mtev.Api.http, mtev.Api, "a", 80, { ["A B"] = "x" })
    raises("bad header 'A'", api.get, api, "/", nil, { A = "x\r\nEvil: yes" })
    raises("bad header '1'", api.get, api, "/", nil, { "x" })
    for _, value in ipairs { true, print, { { "x" } }, 1LL } do
      raises("bad header 'A': a value is a string or a number, got ", api.get, api, "/", nil, { A = value })
      raises("bad header 'A': a value is a string or a number, got ", mtev.Api.http, mtev.Api, "a", 80, { A = value })
    end
    raises("bad header 'Host': host or host:port expected", api.get, api, "/", nil, { Host = "a b/@c" })
    raises("bad argument #1 to 'request' (method expected", api.request, api, "GET /", "/")
    raises("bad argument #3 to 'request' (string, table or function expected, got boolean)", api.post, api, "/", true)
    raises("bad argument #4 to 'request' (table expected, got string)", api.post, api, "/", "x", "y")
    raises("unknown option 'tiemout'", api.get, api, "/", nil, nil, { tiemout = 1 })
    raises("bad option 'timeout' to 'request' (number expected", api.get, api, "/", nil, nil, { timeout = "soon" })
    raises("calling 'get' on bad self (mtev.Api expected, got table)", api.get, {}, "/")
    raises("calling 'rc' on bad self", api:get("/json").rc, {})
  end)

  it("can be cancelled at any time, and leaves nothing", function()
    local function counts() -- but for the server, which is a child
      collectgarbage()
      collectgarbage()
      mtev.sleep(0.1)
      return require("mtev.debug").counts()
    end
    local before = counts()
    for i = 1, 100 do
      local co = mtev.coroutine_spawn(function() api:get(i % 2 == 0 and "/wait/50" or "/sized/1000000") end)
      if i % 3 == 0 then mtev.sleep(0.001 * (i % 7)) end
      mtev.cancel_coro(co)
    end
    assert.equal(200, api:get("/json"):rc())
    assert.same(before, counts())
  end)
end)

describe("Ten thousand requests over a hundred connections", function()
  it("lose no answer while some are cancelled at random", function()
    local total = os.getenv("LHOTSE_SLOW_BUILD") and 2000 or 10000
    local started, answered, cancelled = 0, 0, 0
    local workers, ended = {}, 0
    math.randomseed(7)
    local function work(slot)
      while started < total do
        started = started + 1
        local number = started
        local co, is_done
        co = mtev.coroutine_spawn(function()
          local r = api:get("/number/" .. number)
          assert(r:json().url == "/number/" .. number)
          answered, is_done = answered + 1, true
          mtev.notify("slot " .. slot)
        end)
        if not is_done and math.random(10) == 1 then
          if math.random(2) == 1 then mtev.sleep(math.random() * 0.003) end -- else it is cancelled where it waits first
          if not is_done then
            mtev.cancel_coro(co)
            cancelled, is_done = cancelled + 1, true
          else
            mtev.waitfor("slot " .. slot)
          end
        else
          assert(mtev.waitfor("slot " .. slot, 60))
        end
      end
      ended = ended + 1
      if ended == 100 then mtev.notify("all have ended") end
    end
    for slot = 1, 100 do workers[slot] = mtev.coroutine_spawn(work, slot) end
    assert(mtev.waitfor("all have ended", 110))
    assert.equal(total, answered + cancelled)
    assert(cancelled > total / 100)
    assert.equal(200, api:get("/json"):rc())
  end)
end)

describe("mtev.Api, streaming,", function()
  it("gives the body in pieces to a function, which may block", function()
    local total, hash, pieces = 0, {}, 0
    local r = api:request("GET", "/sized/3000000", nil, nil, { consume = function(piece)
      total, pieces = total + #piece, pieces + 1
      hash[#hash + 1] = piece
      if pieces % 5 == 0 then mtev.sleep(0.001) end
    end })
    assert.same({ 200, "", 3000000 }, { r:rc(), r:text(), total })
    assert.equal(("0123456789abcdef"):rep(187500), table.concat(hash))
    assert(pieces > 3)
  end)

  it("takes the body in pieces from a function, which may block", function()
    local function source(count)
      local i = 0
      return function()
        i = i + 1
        if i % 3 == 0 then mtev.sleep(0.001) end
        if i <= count then return ("%08d"):format(i):rep(1000) end
      end
    end
    local whole = {}
    for i = 1, 50 do whole[i] = ("%08d"):format(i):rep(1000) end
    whole = table.concat(whole)
    for _, method in ipairs { "POST", "PUT" } do
      local seen = api:request(method, "/echo", source(50)):json()
      assert.same({ method, 400000, mtev.sha256_hex(whole), "chunked" }, { seen.method, seen.length, seen.sha256, seen.headers["transfer-encoding"] })
      seen = api:request(method, "/echo", source(50), nil, { body_length = 400000 }):json()
      assert.same({ 400000, "400000" }, { seen.length, seen.headers["content-length"] })
    end
    assert.equal(0, api:post("/echo", function() end):json().length)
  end)

  it("stops when consume says so, and passes errors on", function()
    fails(api:get("/bytes/10000000", nil, nil, { consume = function() return false end }), "consume has stopped it")
    assert.error_matches(function() api:get("/bytes/1000", nil, nil, { consume = function() error("oops") end }) end, "oops")
    assert.error_matches(function() api:post("/echo", function() return 5 end) end, "the body function returned a number")
    assert.error_matches(function() api:post("/echo", function() error("oops") end) end, "oops")
    fails(api:get("/short", nil, nil, { consume = function() end }), "^answer ended with 91 of 100 bytes missing$")
    assert.equal(200, api:get("/json"):rc())
  end)

  it("tells its progress", function()
    local calls, last = 0, nil
    api:get("/sized/3000000", nil, nil, { progress_interval = 0.01, consume = function() mtev.sleep(0.005) end,
      progress = function(down, down_total, up, up_total)
        calls = calls + 1
        last = { down, down_total, up, up_total }
      end })
    assert(calls > 0)
    assert(last[1] > 0 and last[1] <= 3000000)
    assert.same({ 3000000, 0, 0 }, { last[2], last[3], last[4] })
    calls = 0
    api:get("/wait/200", nil, nil, { progress_interval = 0.02, progress = function() calls = calls + 1 end })
    assert(calls > 1)
  end)

  it("passes gigabytes in bounded memory, down and up", function()
    local size = os.getenv("LHOTSE_SLOW_BUILD") and 5e7 or 1e9
    local output = process.run(([[
      local api, size = mtev.Api:http("127.0.0.1", %d), %d
      local function peak() return tonumber(io.open("/proc/self/status"):read("*a"):match("VmHWM:%%s*(%%d+)")) / 1024 end
      local count = 0
      local r = api:get("/sized/" .. size, nil, nil, { consume = function(piece) count = count + #piece end })
      print(r:rc(), count == size)
      local piece, sent = ("x"):rep(100000), 0
      local seen = api:put("/echo", function() if sent < size then sent = sent + #piece return piece end end):check():json()
      print(seen.length == size)
      print("peak MB " .. math.ceil(peak()))]]):format(port, size))
    local mb = tonumber(output:match("peak MB (%d+)"))
    assert.matches("^200\ttrue\ntrue\n", output)
    print(("# 1 GB down and up: %d MB at the peak"):format(mb))
    if not os.getenv("LHOTSE_SLOW_BUILD") then assert(mb < 64, mb) end
  end)
end)

describe("mtev.Api with TLS", function()
  local dir, nginx, tls_port, authority, stranger, https

  setup(function()
    dir = files.directory()
    process.sh("chmod 755 " .. dir)
    authority, stranger = certificates.authority(dir, "authority"), certificates.authority(dir, "stranger")
    local good = authority:issue("good", "/CN=good.test", "subjectAltName=DNS:good.test,DNS:localhost,IP:127.0.0.1")
    local old = authority:issue("old", "/CN=old.test", "subjectAltName=DNS:localhost", "-startdate 20200101000000Z -enddate 20210101000000Z")
    local client = authority:issue("client", "/CN=client")
    https = { good = good, client = client }
    tls_port = server.port()
    local old_port, client_port = server.port(), server.port()
    https.old_port, https.client_port = old_port, client_port
    files.write(dir .. "/1k", ("x"):rep(1024))
    local block = [[server { listen 127.0.0.1:%d ssl http2; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate %s; ssl_certificate_key %s; root %s; gzip on; gzip_types *; gzip_min_length 1;
      %s location /status { default_type text/plain; return 200 "$server_protocol $ssl_protocol $http_host $ssl_server_name $ssl_client_verify"; } }]]
    nginx = server.nginx(dir, tls_port, block:format(tls_port, good.certificate, good.key, dir, "")
      .. block:format(old_port, old.certificate, old.key, dir, "")
      .. block:format(client_port, good.certificate, good.key, dir, "ssl_verify_client on; ssl_client_certificate " .. authority.certificate .. ";"))
    assert(nginx:start():ready())
  end)

  teardown(function()
    nginx:kill()
    nginx:wait(10)
    files.remove(dir)
  end)

  local function status(host, p, sslconfig, options)
    return mtev.Api:https(host, p, nil, sslconfig):get("/status", nil, nil, options)
  end

  it("verifies the server and speaks HTTP/2", function()
    local r = status("localhost", tls_port, { ca_chain = authority.certificate })
    assert.equal(("HTTP/2.0 TLSv1.3 localhost:%d localhost NONE"):format(tls_port), r:check():text())
    r = status("localhost", tls_port, { ca_chain = authority.certificate, layer = "tlsv1.2" }, { http1 = true })
    assert.matches("^HTTP/1.1 TLSv1.2 ", r:check():text())
    r = status("127.0.0.1", tls_port, { ca_chain = authority.certificate, snihost = "good.test" })
    assert.equal(("HTTP/2.0 TLSv1.3 127.0.0.1:%d good.test NONE"):format(tls_port), r:check():text())
    local f = io.open(authority.certificate)
    local pem = f:read("*a")
    f:close()
    assert.equal(200, status("localhost", tls_port, { ca_chain = pem }):rc())
    local page = mtev.Api:https("localhost", tls_port, nil, { ca_chain = authority.certificate }):get("/1k")
    assert.same({ ("x"):rep(1024), "gzip" }, { page:text(), page.headers["content-encoding"] })
  end)

  it("has many requests on one HTTP/2 connection", function()
    local api2, left = mtev.Api:https("localhost", tls_port, nil, { ca_chain = authority.certificate }), 100
    for _ = 1, left do
      mtev.coroutine_spawn(function()
        assert(#api2:get("/1k"):check():text() == 1024)
        left = left - 1
        if left == 0 then mtev.notify("all answered") end
      end)
    end
    assert(mtev.waitfor("all answered", 60))
  end)

  it("says why it does not trust a server", function()
    fails(status("localhost", tls_port), "unable to get local issuer certificate")
    fails(status("localhost", tls_port, { ca_chain = stranger.certificate }), "certificate")
    fails(status("127.0.0.2", tls_port, { ca_chain = authority.certificate }), ".")
    fails(status("127.0.0.1", tls_port, { ca_chain = authority.certificate, snihost = "other.test" }), "other.test")
    fails(status("localhost", https.old_port, { ca_chain = authority.certificate }), "expired")
    fails(mtev.Api:https("127.0.0.1", port):get("/"), "SSL") -- it speaks no TLS
  end)

  it("trusts what it is told to trust", function()
    assert.equal(200, status("127.0.0.1", tls_port, { verify = false }):rc())
    assert.equal(200, status("localhost", tls_port, { optional_no_ca = true }):rc())
    assert.equal(200, status("localhost", https.old_port, { ca_chain = authority.certificate, ignore_dates = true }):rc())
    fails(status("localhost", https.old_port, { optional_no_ca = true }), "expired")
    fails(status("127.0.0.1", tls_port, { snihost = "other.test", optional_no_ca = true }), "other.test")
  end)

  it("shows a client certificate", function()
    local sslconfig = { ca_chain = authority.certificate, certificate_file = https.client.certificate, key_file = https.client.key }
    assert.matches(" SUCCESS$", status("localhost", https.client_port, sslconfig):check():text())
    assert.equal(400, status("localhost", https.client_port, { ca_chain = authority.certificate }):rc())
  end)

  it("goes through the proxy that the environment names", function()
    local output = process.run(([[
      local r = mtev.Api:http("example.invalid", 80):get("/through")
      print(r:rc(), r:json().headers.host, r:json().url)]]), { before = ("http_proxy=http://127.0.0.1:%d"):format(port) })
    assert.equal("200\texample.invalid\thttp://example.invalid/through\n", output:gsub(":80", ""))
  end)

  -- libcurl is loaded by the first request; where it cannot be, that request fails, and the program goes on.
  it("fails where libcurl cannot be loaded, and is tried again", function()
    local output = require("test.support.process").run([[
      local held = {}
      while true do
        local fd = mtev.open("/dev/null", O_RDONLY)
        if fd < 0 then break end
        held[#held + 1] = fd
      end
      local api = mtev.Api:http("127.0.0.1", 1)
      local r = api:get("/")
      print(r:rc(), r:text())
      for _, fd in ipairs(held) do mtev.close(fd) end
      print(api:get("/"):text())]], { before = "ulimit -n 64;" })
    local failed, refused = output:match("^(.-)\n(.*)\n$")
    assert.matches("^%-1\tlibcurl cannot be loaded: ", failed)
    assert.matches("connect", refused:lower())
  end)
end)

describe("mtev.Api, byte by byte,", function()
  -- A server that answers with what answer_of(head, body) gives; the heads that it saw.
  local function serve(answer_of)
    local listener, raw_port = net.listen()
    local heads = {}
    net.give(listener, function(own)
      while true do
        local e = own:accept()
        mtev.coroutine_spawn(function()
          e = e:own()
          for head in function() return e:read("\r\n\r\n") end do
            heads[#heads + 1] = head
            local length = tonumber(head:lower():match("content%-length: (%d+)") or 0)
            e:write(answer_of(head, length > 0 and e:read(length) or ""))
          end
        end)
      end
    end)
    return mtev.Api:http("127.0.0.1", raw_port), heads
  end

  local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  -- In a process of its own, so that its memory is the requests' alone. `answer` and `options` are Lua expressions.
  local function growth(count, answer, options, first)
    local output = process.run(([[
      local listener = mtev.socket("inet")
      assert(listener:bind("127.0.0.1", 0) == 0)
      listener:listen(16)
      local _, port = listener:sock_name()
      local answer = %s
      mtev.coroutine_spawn(function()
        listener = listener:own()
        while true do
          local e = listener:accept()
          mtev.coroutine_spawn(function()
            e = e:own()
            while e:read("\r\n\r\n") do e:write(answer) end
          end)
        end
      end)
      local function peak() return tonumber(io.open("/proc/self/status"):read("*a"):match("VmHWM:%%s*(%%d+)")) / 1024 end
      local api = mtev.Api:http("127.0.0.1", port)
      %s
      local before = peak()
      for _ = 1, %d do api:get("/", nil, nil, %s) end
      print(peak() - before)
      os.exit(0)]]):format(answer, first or "api:get('/', nil, nil, " .. options .. ")", count, options))
    return assert(tonumber(output), output)
  end

  it("keeps nothing of what a server sends in its headers", function()
    if process.is_sanitized then return print("  not run: a sanitizer keeps what is freed") end
    local answer = "('HTTP/1.1 103 Early Hints\\r\\n' .. ('x: y\\r\\n'):rep(900) .. '\\r\\n'):rep(80)"
    local mib = growth(200, answer, "{ limit = 1e6 }")
    assert.is_true(mib < 20, mib)
  end)

  it("unpacks no more than a function takes", function()
    if process.is_sanitized then return print("  not run: a sanitizer keeps what is freed") end
    local debian = tonumber((process.sh("cat /etc/debian_version 2>/dev/null || true"):match("^%d+")))
    if debian ~= 12 then return print("  not run: newer libcurl unpacks all that it has received, which is not bounded yet") end
    local bomb = mtev.gzip(("x"):rep(64 * 1024 * 1024))
    local head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    local file = process.write_file(head:format(#bomb) .. bomb)
    local mib = growth(1, ("io.open(%q):read('*a')"):format(file), "{ consume = function() mtev.sleep(0) end }", "")
    os.remove(file)
    assert.is_true(mib < 20, mib)
  end)

  it("says itself how long the body is, and how it is sent", function()
    local api, heads = serve(function() return OK end)
    for _, name in ipairs { "Content-Length", "content-length" } do
      for _, length in ipairs { "3", 3, "5", "-1", "x", "" } do
        assert.equal(200, api:post("/first", "hello", { [name] = length }):rc())
        assert.equal(200, api:get("/second", nil, { [name] = length }):rc())
      end
    end
    for i, head in ipairs(heads) do
      assert.matches(i % 2 == 1 and "^POST /first HTTP/1%.1\r\n" or "^GET /second HTTP/1%.1\r\n", head)
      assert.equal(i % 2 == 1 and "5" or nil, head:lower():match("content%-length: (%d+)"))
    end
    local with_header = mtev.Api:http("127.0.0.1", 1, { ["Content-Length"] = 9 })
    assert.equal(-1, with_header:get("/"):rc()) -- nobody is there, but it is tried
    for _, coding in ipairs { "identity", "gzip, chunked", "", 1, { "chunked" } } do
      assert.error_matches(function() api:post("/", "x", { ["Transfer-Encoding"] = coding }) end, "bad header 'Transfer-Encoding'", 1, true)
    end
    assert.equal(200, api:post("/first", "hello", { ["transfer-encoding"] = "chunked" }):rc())
    assert.is_nil(heads[#heads]:lower():find("transfer-encoding", 1, true))
  end)

  it("fails at once when a body is not as long as was said", function()
    local api, heads = serve(function() return OK end)
    local function put(length, ...)
      local pieces = { ... }
      return api:put("/", function() return table.remove(pieces, 1) end, { Expect = false }, { body_length = length, timeout = 20 })
    end
    assert.equal(200, put(3, "abc"):rc())
    assert.equal(200, put(3, "a", "bc"):rc())
    assert.same({ -1, "the body is shorter than body_length" }, { put(9, "abc"):rc(), put(9, "abc"):text() })
    assert.equal("the body is shorter than body_length", put(9):text())
    assert.equal("the body is longer than body_length", put(3, "abcd"):text())
    assert.equal("the body is longer than body_length", put(3, "ab", "GET /smuggled HTTP/1.1\r\n\r\n"):text())
    for _, head in ipairs(heads) do assert.matches("^PUT / ", head) end
  end)

  it("has no payload with HEAD", function()
    local api = serve(function() return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" end)
    assert.equal(200, api:head("/"):rc())
    assert.equal(200, api:head("/", ""):rc())
    for _, payload in ipairs { "x", { 1 }, function() end, 5 } do
      assert.error_matches(function() api:head("/", payload) end, "HEAD has no payload", 1, true)
    end
  end)

  it("reads folded fields, cookies and trailers, in time that grows with their length", function()
    local many = ("X-Many: 0123456789012345678901234567890123456789\r\n"):rep(900)
    local api = serve(function(head)
      if head:find(" /long ", 1, true) then return "HTTP/1.1 200 OK\r\n" .. ("x-pad: " .. ("y"):rep(100) .. "\r\n"):rep(700) .. "Content-Length: 0\r\n\r\n" end
      if head:find(" /fields", 1, true) then return "HTTP/1.1 200 OK\r\n" .. ("x-pad: y\r\n"):rep(tonumber(head:match("=(%d+)"))) .. "Content-Length: 0\r\n\r\n" end
      return "HTTP/1.1 200 OK\r\nX-Fold: one\r\n  two\r\nSet-Cookie: a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT\r\n" .. many ..
        "set-cookie: b=2\r\nX-Role: user\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Role: admin\r\nX-Sum: 5\r\n\r\n"
    end)
    local began = os.clock()
    local response = api:get("/")
    local headers = response.headers
    assert.same({ "one two", "user", "5", 900 * 42 - 2 }, { headers["X-Fold"], headers["X-Role"], headers["x-sum"], #headers["x-many"] })
    assert.same({ "a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT", "b=2" }, response.cookies)
    assert.same({ "admin", "5" }, { response.trailers["x-role"], response.trailers["X-Sum"] })
    assert.equal(response.cookies[1] .. ", b=2", headers["set-cookie"])
    assert(os.clock() - began < (os.getenv("LHOTSE_SLOW_BUILD") and 20 or 1), os.clock() - began)
    assert.equal("the answer's header is longer than 64 KiB", api:get("/long"):text())
    assert.equal(200, api:get("/fields?n=999"):rc())
    for _, n in ipairs { 1000, 4999, 5500 } do -- curl 8 stops at 5000
      assert.equal("the answer has more than 1000 header fields", api:get("/fields?n=" .. n):text())
    end
  end)

  -- Each line that began with "HTTP/" was taken for the status line of a further answer: what had come before it was
  -- forgotten.
  it("knows a status line by its place: fields and trailers may begin with HTTP/", function()
    local api = serve(function(head)
      local function is_for(path) return head:find(" " .. path .. " ", 1, true) end
      local ok, found = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 302 Found\r\n"
      local chunked = "Transfer-Encoding: chunked\r\nX-Secure: yes\r\nSet-Cookie: a=1\r\n\r\n2\r\nok\r\n0\r\n"
        .. "HTTP/x: y\r\nX-Secure: no\r\n\r\n"
      if is_for("/field") then
        return ok .. "X-First: 1\r\nHTTP/1.1: 302 Found\r\nHTTP/x: y\r\nContent-Length: 2\r\n\r\nok"
      end
      if is_for("/many") then return ok .. ("HTTP/x: y\r\n"):rep(1000) .. "Content-Length: 0\r\n\r\n" end
      if is_for("/away") then return found .. "Location: /field\r\nHTTP/x: y\r\nContent-Length: 0\r\n\r\n" end
      if is_for("/chunked-away") then return found .. "Location: /trailers\r\n" .. chunked end
      return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" .. ok .. chunked
    end)
    for path, expected in pairs {
      ["/field"] = { 200, "ok", "1" }, ["/trailers"] = { 200, "ok", nil, "yes", "a=1", "no" },
      ["/away"] = { 200, "ok", "1" }, ["/chunked-away"] = { 200, "ok", nil, "yes", "a=1", "no" },
    } do
      local r = api:get(path, nil, nil, { redirects = 1 })
      local h = r.headers
      local got = { r:rc(), r:text(), h["x-first"], h["x-secure"], r.cookies[1], r.trailers["x-secure"] }
      assert.same({ path, expected }, { path, got })
      assert.is_nil(h["x-early"])
    end
    assert.equal("the answer has more than 1000 header fields", api:get("/many"):text())
  end)

  it("has a limit for bodies that are consumed, too", function()
    local body = ("x"):rep(300000)
    local api = serve(function(head)
      local packed = head:find(" /gzip ", 1, true) and mtev.gzip(body)
      return ("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s"):format(packed and "Content-Encoding: gzip\r\n" or "", #(packed or body), packed or body)
    end)
    for _, path in ipairs { "/plain", "/gzip" } do
      local got = 0
      local function consume(piece) got = got + #piece end
      local response = api:get(path, nil, nil, { limit = 1000, consume = consume })
      assert.equal("the answer's body is longer than the limit", response:text())
      assert(got <= 1000)
      got = 0
      assert.equal(200, api:get(path, nil, nil, { limit = #body, consume = consume }):rc())
      assert.equal(#body, got)
    end
  end)

  -- What the first server, asked for /CODE, leads to; `elsewhere`: to another origin. What was asked for there: method, body, head.
  local function lead(method, code, payload, headers, options, elsewhere)
    local seen
    local function record(head, body)
      seen = { head:match("^%S+"), body, head }
      return OK
    end
    local other = serve(record)
    local api = serve(function(head, body)
      if head:find("^%S+ /end") then return record(head, body) end
      return ("HTTP/1.1 %d x\r\nLocation: %s\r\nContent-Length: 5\r\n\r\nmoved"):format(head:match(" /(%d+)"),
        elsewhere and other.base:gsub("127%.0%.0%.1", elsewhere) .. "/end" or "/end")
    end)
    options = options or {}
    options.redirects, options.timeout = options.redirects or 1, 20
    local response = api:request(method, "/" .. code, payload, headers, options)
    return response, seen
  end

  it("makes of a redirected request what RFC 9110, 15.4 says, and nothing harmful", function()
    for _, case in ipairs {
      { "GET", 301, nil, "GET", "" }, { "GET", 308, nil, "GET", "" }, { "POST", 301, "x", "GET", "" }, { "POST", 302, "x", "GET", "" },
      { "POST", 303, "x", "GET", "" }, { "POST", 307, "x", "POST", "x" }, { "POST", 308, "x", "POST", "x" }, { "PUT", 301, "x", "PUT", "x" },
      { "PUT", 302, "x", "PUT", "x" }, { "PUT", 307, "x", "PUT", "x" }, { "PUT", 303, "x", "GET", "" }, { "DELETE", 302, nil, "DELETE", "" },
      { "DELETE", 303, nil, "GET", "" }, { "PATCH", 303, "x", "GET", "" }, { "HEAD", 303, nil, "HEAD", "" }, { "POST", 307, { a = 1 }, "POST", '{"a":1}' },
    } do
      local response, seen = lead(case[1], case[2], case[3])
      assert.same({ case[1], case[2], 200, case[4], case[5] }, { case[1], case[2], response:rc(), seen[1], seen[2] })
      if case[4] == "GET" then assert.is_nil(seen[3]:lower():find("content-type", 1, true)) end
    end
    local response, seen = lead("PUT", 307, function() return nil end)
    assert.same({ -1, nil }, { response:rc(), seen })
    assert.matches("the body cannot be sent again", response:text(), 1, true)
    local got = "" -- of an answer that leads elsewhere nothing is consumed
    response = lead("GET", 302, nil, nil, { consume = function(piece) got = got .. piece end })
    assert.same({ 200, "ok" }, { response:rc(), got })
    assert.equal("Maximum (1) redirects followed", lead("GET", 302, nil, nil, { redirects = 0 }):rc() == 302 and
      serve(function() return "HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n" end):redirects(1):get("/"):text())
  end)

  it("takes no credentials to another origin", function()
    local headers = { Authorization = "secret", Cookie = "secret", ["Proxy-Authorization"] = "secret", Host = "secret", ["X-Own"] = "kept" }
    local response, seen = lead("GET", 302, nil, headers, nil, "localhost")
    assert.equal(200, response:rc())
    assert.is_nil(seen[3]:find("secret", 1, true))
    assert.matches("\r\nX%-Own: kept\r\n", seen[3])
    response, seen = lead("GET", 302, nil, { Authorization = "secret" })
    assert.matches("\r\nAuthorization: secret\r\n", seen[3])
  end)

  it("goes nowhere but to HTTP", function()
    for _, place in ipairs { "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "http://a b/", "http://[::1/" } do
      local api = serve(function() return "HTTP/1.1 302 x\r\nLocation: " .. place .. "\r\nContent-Length: 0\r\n\r\n" end)
      local response = api:get("/", nil, nil, { redirects = 2, timeout = 20 })
      assert.is_true(response:rc() == -1 or response:rc() == 302, place)
    end
  end)

  it("says of a failed request what went wrong, also where its body is asked for", function()
    local response = mtev.Api:http("127.0.0.1", 1):get("/")
    for _, method in ipairs { "json", "xml" } do
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, err = pcall(function() response[method](response) return nil end)
      assert.is_false(ok)
      assert.matches("Api_spec.lua:" .. line .. ": http://127.0.0.1:1/: " .. response:text(), err, 1, true)
    end
  end)
end)