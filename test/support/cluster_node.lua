-- A node of a cluster, as a program: connects to the spec's port and runs what it is sent. `c` is the cluster "spec".
-- A request is a line "ID LUA", where line breaks in LUA are \1; the answer is "ID JSON" of an array: true and the results, or
-- false and the error.

local e = mtev.socket("inet")
assert(e:connect("127.0.0.1", tonumber(arg[1]), 60) == 0)
local reader, writer = e:split()
c = mtev.cluster("spec")

mtev.coroutine_spawn(function()
  local out = writer:own()
  while true do
    local _, line = mtev.waitfor("out")
    out:write(line)
  end
end)

local function answer(id, ...)
  local values = { ... }
  for i = 1, select("#", ...) do
    if values[i] == nil then values[i] = "nil" end
  end
  mtev.notify("out", ("%s %s\n"):format(id, mtev.tojson(values):tostring()))
end

mtev.notify("out", ("hello %s %s\n"):format(arg[2], c:id()))
reader = reader:own()
while true do
  local line = reader:read("\n")
  if not line then os.exit(0) end
  local id, code = line:match("^(%S+) (.*)\n$")
  mtev.coroutine_spawn(function()
    local chunk, message = loadstring((code:gsub("\1", "\n")), "=request")
    if not chunk then return answer(id, false, message) end
    answer(id, pcall(chunk))
  end)
end
