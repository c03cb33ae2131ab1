-- lhotse spawn.lua COUNT PARALLEL MEGABYTES: as bench/c/spawn.c, with the three pipes that mtev.spawn makes.
local count, parallel, megabytes = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3])

ffi.cdef "void *malloc(size_t); void *memset(void *, int, size_t);"
local bytes = megabytes * 1024 * 1024
ffi.C.memset(ffi.C.malloc(bytes + 1), 1, bytes)

local argv = { "true" }

local function one()
  local proc, in_e, out_e, err_e = mtev.spawn("/bin/true", argv)
  in_e:close()
  out_e:close()
  err_e:close()
  assert(proc:wait(60) == 0)
end

local began = mtev.time()
local left = parallel
for _ = 1, parallel do
  mtev.coroutine_spawn(function()
    for _ = 1, count / parallel do one() end
    left = left - 1
    if left == 0 then mtev.notify("done") end
  end)
end
mtev.waitfor("done")
print(("RESULT %.1f"):format(math.floor(count / parallel) * parallel / (mtev.time() - began)))
