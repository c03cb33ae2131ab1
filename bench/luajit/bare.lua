-- Bare LuaJIT, no loop: what a scheduler can at best reach.   luajit bare.lua switch|spawn COUNT
local name, count = arg[1], tonumber(arg[2])
local began = os.clock()
if name == "switch" then
  local all = {}
  for i = 1, 100 do all[i] = coroutine.create(function() while true do coroutine.yield() end end) end
  for _ = 1, count / 100 do
    for i = 1, 100 do coroutine.resume(all[i]) end
  end
else
  local function nothing() end
  for _ = 1, count do coroutine.resume(coroutine.create(nothing)) end
end
print(("RESULT %.6g"):format(count / (os.clock() - began)))
