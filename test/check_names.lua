-- Names of files in documents and comments: the files are there. Links of documents, too. Lines of documents, types and
-- C sources have at most 120 columns.

local COLUMNS_MAX = 120
local problems, names = {}, 0

local function complain(file, line, text)
  problems[#problems + 1] = ("%s:%d: %s"):format(file, line, text)
end

local function is_there(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- Of examples for the reader to fill in: test/spec/X_spec.lua.
local function is_pattern(path) return path:find("%f[%w]X_") or path:find("TOPIC") end

local TOPS = { src = true, lualib = true, test = true, types = true, docs = true, bench = true, examples = true, cmake = true }
local FLOORS = { base = true, data = true, host = true, loop = true, runtime = true } -- "net" and "mtev" may be others'

local function check_path(file, number, path)
  local top = path:match("^([%w_]+)/")
  local real = TOPS[top] and path or FLOORS[top] and path:find("%.[ch]$") and "src/" .. path
  if not real or is_pattern(path) then return end
  names = names + 1
  if not is_there(real) then complain(file, number, "there is no " .. path) end
end

local function check_link(file, number, target)
  if target:find("^%a+://") or target:find("^#") then return end
  names = names + 1
  local folder = file:match("^(.*/)") or ""
  if not is_there(folder .. target:gsub("#.*", "")) then complain(file, number, "a link to nowhere: " .. target) end
end

local function check_file(file)
  local number = 0
  local may_be_old = file:find("renamed.md", 1, true) or file == "CHANGELOG.md" -- these speak of what was
  local is_table = file:find("RESULTS.md", 1, true) -- made by bench/run
  for line in io.lines(file) do
    number = number + 1
    local columns = select(2, line:gsub("[^\128-\191]", ""))
    if columns > COLUMNS_MAX and not is_table then complain(file, number, ("%d columns"):format(columns)) end
    if not may_be_old then
      for path in line:gmatch("[%w_][%w_./-]*%.%l+") do
        if path:find("%.[ch]$") or path:find("%.lua$") or path:find("%.md$") or path:find("%.cpp$") then
          check_path(file, number, path)
        end
      end
    end
    if file:find("%.md$") then
      for target in line:gmatch("%]%(([^)]+)%)") do check_link(file, number, target) end
    end
  end
end

local list = io.popen("find src types docs README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md bench/RESULTS.md"
  .. " -name '*.[ch]' -o -name '*.cpp' -o -name '*.lua' -o -name '*.md' | sort")
for file in list:lines() do check_file(file) end
list:close()

for _, problem in ipairs(problems) do io.write(problem, "\n") end
io.write(("%d names, %d problems\n"):format(names, #problems))
os.exit(names > 100 and #problems == 0)
