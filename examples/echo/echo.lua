-- A line server, three clients and a ticker in one script, talking over real sockets.
--   lhotse examples/echo/echo.lua          does it all and ends by itself
--   lhotse examples/echo/echo.lua 7000     only serves, on port 7000, for `nc 127.0.0.1 7000`; ctrl-C ends it

local port = tonumber((...))

local function serve(connection)
  local client = connection:own() -- this coroutine's now: it is closed when the coroutine ends
  local count = 0
  while true do
    local line = client:read("\n")
    if not line then return count end
    client:write(line:upper())
    count = count + 1
  end
end

local function listen(at)
  local listener = assert(mtev.socket("inet"))
  assert(listener:setsockopt("SO_REUSEADDR", 1) == 0)
  local rv, err = listener:bind("127.0.0.1", at)
  if rv ~= 0 then errorf("cannot listen on port %d: %s", at, err) end
  assert(listener:listen(128) == 0)
  return listener
end

local function accept_for_ever(listener)
  while true do
    local connection = listener:accept()
    if not connection then break end
    mtev.coroutine_spawn(serve, connection)
  end
end

if port then
  local listener = listen(port)
  printf("serving lines on 127.0.0.1:%d", port)
  accept_for_ever(listener)
  return
end

local listener = listen(0)
local _, chosen = listener:sock_name()
printf("server: listening on 127.0.0.1:%d", chosen)

local server = mtev.coroutine_spawn(function()
  accept_for_ever(listener:own())
end)

local ticks = 0
local ticker = mtev.coroutine_spawn(function()
  while true do
    mtev.sleep(0.01)
    ticks = ticks + 1
  end
end)

local function client(name)
  local e = assert(mtev.socket("inet"))
  assert(e:connect("127.0.0.1", chosen) == 0)
  for _, word in ipairs { "one", "two", "three" } do
    e:write(name .. " says " .. word .. "\n")
    printf("%s: got %s", name, (e:read("\n"):gsub("\n", "")))
    mtev.sleep(0.05)
  end
  mtev.notify("finished", name)
end

for _, name in ipairs { "anna", "ben", "cleo" } do
  mtev.coroutine_spawn(client, name)
end
for _ = 1, 3 do
  local _, name = mtev.waitfor("finished", 10)
  printf("%s has finished", name)
end

mtev.cancel_coro(ticker)
mtev.cancel_coro(server)
printf("the ticker ticked %d times meanwhile", ticks)
