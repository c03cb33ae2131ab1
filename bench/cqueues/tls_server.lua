-- cqueues: as lhotse/tls_server.lua.   PORT=7000 luajit tls_server.lua CERTIFICATE KEY
local cqueues, socket = require("cqueues"), require("cqueues.socket")
local context = require("openssl.ssl.context")
local x509, pkey = require("openssl.x509"), require("openssl.pkey")

local function read_file(name)
  local f = assert(io.open(name))
  local text = f:read("*a")
  f:close()
  return text
end

local ctx = context.new("TLS", true)
ctx:setCertificate(x509.new(read_file(arg[1])))
ctx:setPrivateKey(pkey.new(read_file(arg[2])))

local function serve(client)
  client:onerror(function(_, _, why) return why end)
  if client:starttls(ctx) then
    while true do
      local bytes = client:read(65536)
      if not bytes then break end
      if not client:write(bytes) then break end
    end
  end
  client:close()
end

local loop = cqueues.new()
local server = socket.listen { host = "127.0.0.1", port = tonumber(os.getenv("PORT")), reuseaddr = true }
loop:wrap(function()
  for client in server:clients() do
    client:setmode("b", "bn")
    client:setvbuf("no")
    loop:wrap(serve, client)
  end
end)
assert(loop:loop())
