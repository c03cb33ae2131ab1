-- Leaks: 8,000 connections held, 1,000 a second opening and closing meanwhile, for 30 s, between two threads of this
-- program. Prints descriptors, coroutines and resident bytes after every five seconds: they must not grow.
--   lhotse hold.lua [SECONDS [HELD [PER_SECOND]]]      (descriptors: twice HELD)
local seconds, held, rate = tonumber((...)) or 30, tonumber((select(2, ...))) or 8000, tonumber((select(3, ...))) or 1000
local counts = require("mtev.debug").counts

local function resident()
  local f = io.open("/proc/self/statm")
  local _, pages = f:read("*n", "*n")
  f:close()
  return pages * 4096
end

local listener = mtev.socket("inet")
assert(listener:bind("127.0.0.1", 0) == 0)
listener:listen(4096)
local _, port = listener:sock_name()

local acceptor = mtev.coroutine_spawn(function()
  local mine = listener:own()
  while true do
    local connection, err = mine:accept()
    if not connection then errorf("accept: %s", err) end
    mtev.coroutine_spawn(function()
      local e = connection:own()
      while true do
        local line = e:read("\n")
        if not line then return end
        e:write(line)
      end
    end)
  end
end)

local function exchange()
  local e = mtev.socket("inet")
  local rv, err = e:connect("127.0.0.1", port)
  if rv ~= 0 then errorf("connect: %s", err) end
  e:write("hello\n")
  if e:read("\n") ~= "hello\n" then error("wrong answer") end
  return e
end

local keep = {}
for i = 1, held do keep[i] = exchange() end

local opened = 0
local began = mtev.time()
local shown = 0
local first, last
while true do
  local elapsed = mtev.time() - began
  while opened < elapsed * rate do
    exchange():close()
    opened = opened + 1
  end
  if elapsed >= shown then
    mtev.sleep(0.05) -- the servers see the ends
    local alive = counts()
    printf("%4.0f s: %d opened and closed; %d sockets, %d coroutines, %d timers, %.1f MB resident",
      elapsed, opened, alive.sockets, alive.coroutines, alive.timers, resident() / 1e6)
    first, last = first or alive, alive
    shown = shown + 5
  end
  if elapsed >= seconds then break end
  mtev.sleep(0.001)
end
if last.sockets ~= first.sockets or last.coroutines ~= first.coroutines then error("something leaked") end
mtev.cancel_coro(acceptor)
os.exit(0)
