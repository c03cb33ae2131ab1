-- As bench/lhotse/log.lua, with a file of stdio's that is written where the line is made.   luajit log.lua COUNT FILE
local count, name = tonumber(arg[1]), arg[2] or "/dev/shm/luajit-bench.log"
local file = io.open(name, "w")
local began = os.clock()
for i = 1, count do file:write(("a line of the usual length, number %d of %s\n"):format(i, "many")) end
file:close()
print(("RESULT %.6g"):format(count / (os.clock() - began)))
os.remove(name)
