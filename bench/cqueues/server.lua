-- cqueues: as lhotse/server.lua.   PORT=7000 luajit server.lua echo|http
local cqueues, socket = require("cqueues"), require("cqueues.socket")
local is_http = arg[1] == "http"
local response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"

local function echo(client)
  for line in client:lines("*L") do client:write(line) end
  client:close()
end

local function http(client)
  while true do
    local line = client:read("*L")
    if not line then break end
    if line == "\r\n" then client:write(response) end
  end
  client:close()
end

local loop = cqueues.new()
local server = socket.listen { host = "127.0.0.1", port = tonumber(os.getenv("PORT")), reuseaddr = true }
loop:wrap(function()
  for client in server:clients() do
    client:setmode("b", "bn") -- binary, unbuffered output
    client:setvbuf("no")
    loop:wrap(is_http and http or echo, client)
  end
end)
assert(loop:loop())
