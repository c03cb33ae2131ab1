-- Floors: main -> mtev -> runtime -> net -> loop -> host -> data -> base. A file includes its own floor and lower ones;
-- files of mtev/ do not include one another (init.h is their common table of contents), but for the header of their topic:
-- json_decode.c has json.h. lua.h is for runtime and mtev, epoll for loop/poll.c. Read from the #includes, which make no
-- circle. Of lualib, inner/ requires nothing but itself, cluster/ itself and inner/. No file has more than 700 lines.

local floors = { base = 1, data = 2, host = 3, loop = 4, net = 5, runtime = 6, mtev = 7 }
local LINES_MAX = 700
local problems, files = {}, 0
local includes = {} -- file -> list of ours that it includes

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
  local lines = 0
  includes[file] = {}
  for line in io.lines(file) do
    lines = lines + 1
    local header = line:match('^%s*#%s*include%s*[<"]([^>"]+)[>"]')
    if header then
      check_include(file, floor, name, header)
      table.insert(includes[file], "src/" .. header)
    end
  end
  if lines > LINES_MAX then complain(file, ("has %d lines"):format(lines)) end
end

-- A file that includes itself, by whatever way.
local states = {} -- "open" | "done"
local function check_circle(file, way)
  if states[file] == "done" or not includes[file] then return end
  if states[file] == "open" then return complain(file, "is in a circle: " .. way) end
  states[file] = "open"
  for _, other in ipairs(includes[file]) do check_circle(other, way .. " -> " .. other) end
  states[file] = "done"
end

local lua_floors = { inner = 1, cluster = 2, mtev = 3, test = 3 }

local function check_lua(file)
  files = files + 1
  local floor, lines = file:match("^lualib/(%l+)/"), 0
  for line in io.lines(file) do
    lines = lines + 1
    local other = line:match('core%.require%(?%s*"(%l+)/')
    if other and (lua_floors[other] or 9) > lua_floors[floor] then complain(file, "requires " .. other .. "/") end
  end
  if lines > LINES_MAX then complain(file, ("has %d lines"):format(lines)) end
end

local list = io.popen("find src -name '*.[ch]' -o -name '*.cpp' | sort")
for file in list:lines() do check_file(file) end
list:close()

for file in pairs(includes) do check_circle(file, file) end

list = io.popen("find lualib -name '*.lua' | sort")
for file in list:lines() do check_lua(file) end
list:close()

for _, problem in ipairs(problems) do io.write(problem, "\n") end
io.write(("%d files read, %d problems\n"):format(files, #problems))
os.exit(files > 30 and #problems == 0)
