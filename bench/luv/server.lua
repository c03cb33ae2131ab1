-- luv: as lhotse/server.lua.   PORT=7000 luajit server.lua echo|http [coroutines]
local uv = require("luv")
local is_http, has_coroutines = arg[1] == "http", arg[2] == "coroutines"
local response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"
local stop = is_http and "\r\n\r\n" or "\n"

-- In callbacks: what a program would write that has no coroutines.
local function serve(client)
  local kept = ""
  client:read_start(function(err, data)
    if err or not data then return client:close() end
    if kept ~= "" then data = kept .. data end
    local from = 1
    while true do
      local _, last = data:find(stop, from, true)
      if not last then break end
      client:write(is_http and response or data:sub(from, last))
      from = last + 1
    end
    kept = data:sub(from)
  end)
end

-- In coroutines: reading waits for a line, writing for its end.
local function serve_in_coroutine(client)
  local co
  local kept, ended, is_waiting = "", false, false
  client:read_start(function(err, data)
    if err or not data then ended = true else kept = kept .. data end
    if is_waiting then
      is_waiting = false
      assert(coroutine.resume(co))
    end
  end)
  local function on_written() assert(coroutine.resume(co)) end
  local function read_line()
    while true do
      local _, last = kept:find(stop, 1, true)
      if last then
        local line = kept:sub(1, last)
        kept = kept:sub(last + 1)
        return line
      end
      if ended then return nil end
      is_waiting = true
      coroutine.yield()
    end
  end
  local function write(data)
    if client:try_write(data) == #data then return end
    client:write(data, on_written)
    coroutine.yield()
  end
  co = coroutine.create(function()
    for line in read_line do write(is_http and response or line) end
    client:close()
  end)
  assert(coroutine.resume(co))
end

local server = uv.new_tcp()
assert(server:bind("127.0.0.1", tonumber(os.getenv("PORT"))))
server:listen(1024, function()
  local client = uv.new_tcp()
  server:accept(client)
  client:nodelay(true)
  local start = has_coroutines and serve_in_coroutine or serve
  start(client)
end)
uv.run()
