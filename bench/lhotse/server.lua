-- lhotse: a server of lines, or of one fixed response to each request.   PORT=7000 lhotse server.lua echo|http
local is_http = (...) == "http"
local response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"

local function echo(connection)
  local e = connection:own()
  while true do
    local line = e:read("\n")
    if not line then return end
    e:write(line)
  end
end

local function http(connection)
  local e = connection:own()
  while e:read("\r\n\r\n") do e:write(response) end
end

local listener = mtev.socket("inet")
listener:setsockopt("SO_REUSEADDR", 1)
assert(listener:bind("127.0.0.1", ENV.PORT) == 0)
listener:listen(1024)
while true do
  local connection, err = listener:accept()
  if connection then
    mtev.coroutine_spawn(is_http and http or echo, connection)
  else
    mtev.log("error", "accept: %s\n", err)
  end
end
