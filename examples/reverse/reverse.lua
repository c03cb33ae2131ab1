-- A box that nobody can connect to, and a hub that reaches it.
--
--     lhotse examples/reverse/reverse.lua            both in one program
--     lhotse examples/reverse/reverse.lua hub 7000   the hub alone ...
--     lhotse examples/reverse/reverse.lua box HOST 7000   ... and the box, anywhere
--
-- The box serves a greeting on a port of its own, which it shows to nobody but the hub. On real networks give both an
-- `sslconfig`, so that nobody listens in and the box knows its hub.

local SECRET = "box-1.4711" -- who may offer which name is the hub's to say; here the name carries a password

local function start_hub(port)
  return assert(mtev.reverse_listen {
    address = "127.0.0.1",
    port = port,
    authorize = function(name) return name == SECRET, "unknown box" end,
  })
end

-- Asks the box whenever it is there.
local function ask(count)
  for i = 1, count do
    local e = mtev.socket("reverse:" .. SECRET)
    local rv, err = e:connect("reverse:" .. SECRET, nil, 5)
    if rv == 0 then
      e:write(("question %d\n"):format(i))
      printf("the box says: %s", (e:read("\n"):gsub("\n", "")))
    else
      printf("the box is not there: %s", err)
    end
    e:close()
    mtev.sleep(0.1)
  end
end

local function start_box(host, port)
  local listener = mtev.socket("inet")
  assert(listener:bind("127.0.0.1", 0) == 0)
  listener:listen()
  local _, own_port = listener:sock_name()
  mtev.coroutine_spawn(function()
    local server = listener:own()
    while true do
      local e = server:accept()
      mtev.coroutine_spawn(function()
        e = e:own()
        local question = e:read("\n")
        if question then e:write("hello, I have heard " .. question) end
      end)
    end
  end)
  return mtev.reverse_connect { host = host, port = port, name = SECRET, target = { "127.0.0.1", own_port } }
end

local what, a, b = ...
if what == "hub" then
  start_hub(tonumber(a) or 7000)
  ask(1e9)
elseif what == "box" then
  start_box(a or "127.0.0.1", tonumber(b) or 7000)
else
  local hub = start_hub(0)
  local box = start_box("127.0.0.1", select(2, hub:sock_name()))
  box:ready(10)
  ask(3)
  os.exit(0)
end
