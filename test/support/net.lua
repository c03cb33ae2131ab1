-- Sockets for specs: every port is chosen by the kernel on 127.0.0.1, so specs may run beside one another.

local net = {}

-- A listener and its port.
function net.listen(family, backlog)
  local e = assert(mtev.socket(family or "inet"))
  assert(e:setsockopt("SO_REUSEADDR", 1) == 0)
  local rv, err = e:bind(family == "inet6" and "::1" or "127.0.0.1", 0)
  assert(rv == 0, err)
  assert(e:listen(backlog) == 0)
  return e, select(2, e:sock_name())
end

function net.connect(port, family)
  local e = assert(mtev.socket(family or "inet"))
  local rv, err = e:connect(family == "inet6" and "::1" or "127.0.0.1", port, 10)
  assert(rv == 0, err)
  return e
end

-- Two ends of one connection, both owned by the caller.
function net.pair(family)
  local listener, port = net.listen(family)
  local client = net.connect(port, family)
  local server = assert(listener:accept())
  listener:close()
  return client, server
end

-- Runs f(e) in a new coroutine that owns `e`; returns it.
function net.give(e, f)
  return mtev.coroutine_spawn(function()
    f(e:own())
  end)
end

-- The peer vanishes with a reset instead of an orderly end.
function net.reset(e)
  assert(e:setsockopt("SO_LINGER", 0) == 0)
  e:close()
end

-- Copies what comes from one to the other, which is closed at the end.
local function pump(from, to)
  while true do
    local n, data = from:recv(65536)
    if n <= 0 or to:write(data) ~= #data then break end
  end
  to:close()
end

net.pump = pump

-- Copies bytes between two connections, both ways. `cut()` ends it at once; `inject(bytes)` adds bytes on the way to `a`.
function net.link(a, b)
  local link, back, to_a = {}, nil, nil
  local forth = mtev.coroutine_spawn(function()
    local reader_a, writer_a = a:own():split()
    local reader_b, writer_b = b:own():split()
    back = mtev.coroutine_spawn(function()
      to_a = writer_a:own()
      pump(reader_b:own(), to_a)
    end)
    pump(reader_a, writer_b)
  end)
  function link.cut()
    mtev.cancel_coro(forth)
    mtev.cancel_coro(back)
  end
  function link.inject(bytes)
    return to_a:send(bytes)
  end
  return link
end

return net
