-- Floors: main -> mtev -> runtime -> net -> loop -> host -> data -> base. A file includes its own floor and lower ones; files of
-- mtev/ do not include one another (init.h is their common table of contents), but for the header of their topic:
-- json_decode.c has json.h. lua.h is for runtime and mtev, epoll for loop/poll.c. Read from the #includes.

local floors = { base = 1, data = 2, host = 3, loop = 4, net = 5, runtime = 6, mtev = 7 }
local problems, files = {}, 0

local function complain(file, text)
  problems[#problems + 1] = file .. ": " .. text
end

local function check_include(file, floor, name, header)
  local other = header:match("^(%l+)/")
  if other and floors[other] and floors[other] > (floors[floor] or 9) then
    complain(file, "includes " .. header .. " from a higher floor")
  end
  if floor == "mtev" and other == "mtev" and header ~= "mtev/init.h" and header ~= "mtev/" .. name:match("^%l+") .. ".h" then
    complain(file, "includes its neighbour " .. header)
  end
  if header:match("^lua") or header == "lauxlib.h" then
    if (floors[floor] or 9) < floors.runtime then complain(file, "includes " .. header .. " below runtime/") end
  end
  if header == "sys/epoll.h" and file ~= "src/loop/poll.c" then complain(file, "includes sys/epoll.h") end
end

local function check_file(file)
  files = files + 1
  local floor, name = file:match("^src/(%l+)/([%w_]+)%.[ch]p?p?$")
  for line in io.lines(file) do
    local header = line:match('^%s*#%s*include%s*[<"]([^>"]+)[>"]')
    if header then check_include(file, floor, name, header) end
  end
end

local list = io.popen("find src -name '*.[ch]' -o -name '*.cpp' | sort")
for file in list:lines() do check_file(file) end
list:close()

for _, problem in ipairs(problems) do io.write(problem, "\n") end
io.write(("%d files read, %d problems\n"):format(files, #problems))
os.exit(files > 30 and #problems == 0)
