-- lhotse: a TLS server that reads 64 KiB and writes them back.   PORT=7000 lhotse tls_server.lua CERTIFICATE KEY
local certificate, key = ...
local settings = { server = true, certificate = certificate, key = key }

local function serve(connection)
  local e = connection:own()
  if e:ssl_upgrade_socket(settings) ~= 0 then return end
  while true do
    local bytes = e:read(65536)
    if not bytes then return end
    e:write(bytes)
  end
end

local listener = mtev.socket("inet")
listener:setsockopt("SO_REUSEADDR", 1)
assert(listener:bind("127.0.0.1", ENV.PORT) == 0)
listener:listen(1024)
while true do
  local connection = listener:accept()
  if connection then mtev.coroutine_spawn(serve, connection) end
end
