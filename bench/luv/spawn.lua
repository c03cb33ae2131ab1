-- luv: as lhotse/spawn.lua.   luajit spawn.lua COUNT PARALLEL MEGABYTES
local uv, ffi = require("luv"), require("ffi")
local count, parallel, megabytes = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3])

ffi.cdef "void *malloc(size_t); void *memset(void *, int, size_t);"
local bytes = megabytes * 1024 * 1024
ffi.C.memset(ffi.C.malloc(bytes + 1), 1, bytes)

local started = 0

local function one()
  if started == count then return end
  started = started + 1
  local pipes = { uv.new_pipe(false), uv.new_pipe(false), uv.new_pipe(false) }
  local handle
  handle = uv.spawn("/bin/true", { stdio = pipes }, function(code)
    assert(code == 0)
    handle:close()
    one()
  end)
  for i = 1, 3 do pipes[i]:close() end
end

local began = uv.hrtime()
for _ = 1, parallel do one() end
uv.run()
print(("RESULT %.1f"):format(count / ((uv.hrtime() - began) / 1e9)))
