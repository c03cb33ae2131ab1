-- The table of `make coverage`: how much of src/ the tests have run, by folder, of gcov's counts.
--
--     lhotse test/coverage.lua BUILD FLOORS
--
-- BUILD is the folder of the coverage build, FLOORS a file of lines "folder lines branches", in percent: less fails. A branch
-- counts when it was taken; both ways out of a condition are branches. What is in headers counts nowhere: it is compiled
-- into many files.

local build, floors_path = ...
local columns = "%-14s %7s %7s %9s %7s %s"

local function run(program, ...)
  local status, output, problem = mtev.exec(program, { program, ... }, nil, 600)
  if status ~= 0 then error(("%s: %s"):format(program, problem or status)) end
  return output
end

local function root()
  return (run("pwd"):gsub("\n", ""))
end

local function data_files()
  local found = {}
  for path in run("find", build, "-name", "*.gcda"):gmatch("[^\n]+") do
    if path:find("/src/", 1, true) then found[#found + 1] = path end
  end
  return found
end

local folders = {}

local function count(folder, text)
  local lines_percent, lines = text:match("Lines executed:([%d.]+)%% of (%d+)")
  local branches_percent, branches = text:match("Taken at least once:([%d.]+)%% of (%d+)")
  local f = folders[folder] or { lines = 0, lines_run = 0, branches = 0, branches_taken = 0 }
  folders[folder] = f
  f.lines = f.lines + (lines or 0)
  f.lines_run = f.lines_run + (lines or 0) * (lines_percent or 0) / 100
  f.branches = f.branches + (branches or 0)
  f.branches_taken = f.branches_taken + (branches or 0) * (branches_percent or 0) / 100
end

-- gcov says of each file that contributed: "File 'path'", and lines about it, up to an empty one.
local function read_counts(output, prefix)
  for path, text in output:gmatch("File '([^']+)'\n(.-)\n\n") do
    if path:sub(1, #prefix) == prefix then path = path:sub(#prefix + 1) end
    local folder, extension = path:match("^(src/.-)[^/]+%.(%a+)$")
    if extension == "c" or extension == "cpp" then count(folder, text) end
  end
end

local function read_floors()
  local floors = {}
  for line in io.lines(floors_path) do
    local folder, lines, branches = line:match("^(src%S*)%s+([%d.]+)%s+([%d.]+)")
    if folder then floors[folder] = { lines = tonumber(lines), branches = tonumber(branches) } end
  end
  return floors
end

local function percent(part, whole)
  return whole == 0 and 100 or math.floor(1000 * part / whole + 0.5) / 10
end

local files = data_files()
if #files == 0 then error("no counts in " .. build .. ": run the tests of that build first") end
local prefix = root() .. "/"
for _, path in ipairs(files) do read_counts(run("gcov", "--branch-probabilities", "--no-output", path) .. "\n", prefix) end

local names, floors, failed = {}, read_floors(), 0
for folder in pairs(folders) do names[#names + 1] = folder end
table.sort(names)
print(columns:format("folder", "lines", "run %", "branches", "taken %", ""))
for _, folder in ipairs(names) do
  local f, floor = folders[folder], floors[folder] or { lines = 0, branches = 0 }
  local lines, branches = percent(f.lines_run, f.lines), percent(f.branches_taken, f.branches)
  local verdict = ""
  if not floors[folder] then verdict = "no floor in " .. floors_path end
  if lines < floor.lines or branches < floor.branches then
    verdict = ("below the floor: %g %g"):format(floor.lines, floor.branches)
  end
  if verdict ~= "" then failed = failed + 1 end
  print(columns:format(folder, f.lines, lines, f.branches, branches, verdict))
end
for folder in pairs(floors) do
  if not folders[folder] then
    print(folder .. ": a floor, and no counts")
    failed = failed + 1
  end
end
os.exit(failed == 0 and 0 or 1)
