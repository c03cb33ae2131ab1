-- lua-http, or a bare loop on a cqueues socket: as lhotse/http_client.lua.   luajit http_client.lua lua-http|bare PORT PARALLEL COUNT wall|cpu
local cqueues = require("cqueues")
local what, port, parallel, count, clock = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]), arg[5]
local now = clock == "cpu" and os.clock or cqueues.monotime

local clients = {}

clients["lua-http"] = function()
  local connection = assert(require("http.client").connect({ host = "127.0.0.1", port = tonumber(port), version = 1.1 }))
  local headers = require("http.headers").new()
  headers:append(":method", "GET")
  headers:append(":path", "/1k")
  headers:append(":scheme", "http")
  headers:append(":authority", "127.0.0.1:" .. port)
  return function()
    local stream = assert(connection:new_stream())
    assert(stream:write_headers(headers, true))
    assert(stream:get_headers():get(":status") == "200")
    assert(#stream:get_body_as_string() == 1024)
  end
end

function clients.bare()
  local socket = require("cqueues.socket").connect("127.0.0.1", tonumber(port))
  socket:setmode("bn", "bn")
  local request = ("GET /1k HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n"):format(port)
  return function()
    socket:write(request)
    local length
    repeat
      local line = socket:read("*L")
      length = length or tonumber(line:match("^[Cc]ontent%-[Ll]ength: (%d+)"))
    until line == "\r\n"
    assert(#socket:read(length) == 1024)
  end
end

local loop = cqueues.new()
local began = now()
for _ = 1, parallel do
  loop:wrap(function()
    local get = clients[what]()
    for _ = 1, count / parallel do get() end
  end)
end
assert(loop:loop())
print(("RESULT %.1f"):format(count / (now() - began)))
os.exit(0)
