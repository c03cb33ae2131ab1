-- Fairness: 100 MB to a slow reader, which takes 64 KiB each millisecond, while a 10 ms ticker runs. Prints how late the
-- ticker was.
local listener = mtev.socket("inet")
assert(listener:bind("127.0.0.1", 0) == 0)
listener:listen(1)
local _, port = listener:sock_name()
local size = 100e6
local data = ("x"):rep(size)

mtev.coroutine_spawn(function()
  local e = mtev.socket("inet")
  assert(e:connect("127.0.0.1", port) == 0)
  assert(e:write(data) == size)
end)

local late, is_done = {}, false
mtev.coroutine_spawn(function()
  while not is_done do late[#late + 1] = mtev.sleep(0.01):seconds() - 0.01 end
end)

local connection = listener:accept()
local got = 0
for piece in function() return connection:read(65536) end do
  got = got + #piece
  mtev.sleep(0.001)
end
is_done = true
assert(got == size)
table.sort(late)
printf("100 MB to a slow reader: %d ticks of 10 ms, late by: median %.3f ms, p99 %.3f ms, most %.3f ms",
  #late, late[math.ceil(#late / 2)] * 1e3, late[math.ceil(#late * 0.99)] * 1e3, late[#late] * 1e3)
