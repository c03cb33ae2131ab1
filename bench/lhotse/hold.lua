-- Leaks: 10,000 connections held, 1,000 a second opening and closing meanwhile, for 30 s.
--   lhotse hold.lua serve FILE            serves lines; writes port and pid to FILE
--   lhotse hold.lua drive FILE [SECONDS [HELD [PER_SECOND]]]
-- Every five seconds the driver prints the server's descriptors and both sides' resident bytes: they must not grow.
local kind, file, seconds, held, rate = ...
seconds, held, rate = tonumber(seconds) or 30, tonumber(held) or 10000, tonumber(rate) or 1000

local function serve()
  local listener = mtev.socket("inet")
  assert(listener:bind("127.0.0.1", 0) == 0)
  listener:listen(4096)
  local _, port = listener:sock_name()
  local out = assert(io.open(file, "w"))
  out:write(port, " ", io.open("/proc/self/stat"):read("*n"), "\n")
  out:close()
  while true do
    local connection, err = listener:accept()
    if not connection then errorf("accept: %s", err) end
    mtev.coroutine_spawn(function()
      local e = connection:own()
      for line in function() return e:read("\n") end do e:write(line) end
    end)
  end
end

local function resident(pid)
  local f = io.open(("/proc/%s/statm"):format(pid))
  local _, pages = f:read("*n", "*n")
  f:close()
  return pages * 4096 / 1e6
end

local function descriptors(pid)
  local list = io.popen(("ls /proc/%s/fd | wc -l"):format(pid))
  local n = list:read("*n")
  list:close()
  return n
end

local function drive()
  while not io.open(file) do mtev.sleep(0.05) end
  local port, pid = io.open(file):read("*n", "*n")

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
  local began, opened, shown, first = mtev.time(), 0, 0, nil
  repeat
    local elapsed = mtev.time() - began
    while opened < elapsed * rate do
      exchange():close()
      opened = opened + 1
    end
    if elapsed >= shown then
      mtev.sleep(0.1) -- the server sees the ends
      local n = descriptors(pid)
      first = first or n
      printf("%3.0f s: %5d opened and closed; server: %d descriptors, %.1f MB; driver: %d sockets, %.1f MB", elapsed, opened,
        n, resident(pid), require("mtev.debug").counts().sockets, resident("self"))
      if n ~= first then error("descriptors leaked") end
      shown = shown + 5
    end
    mtev.sleep(0.001)
  until elapsed > seconds
end

if kind == "serve" then serve() else drive() end
