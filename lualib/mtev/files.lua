-- The file functions. Each calls the C function of its name, which waits for the thread pool; an interrupted call
-- returns a first value, INTERRUPTED, message there and raises the message here.

local mtev, core = ...
local check_interrupted, check = core.check_interrupted, core.check
local files = core.files

local function finish(...)
  local _, mark, message = ...
  check_interrupted(mark, message)
  return ...
end

for name, f in pairs(files) do
  mtev[name] = function(...)
    return finish(f(...))
  end
end

local readdir = files.readdir

function mtev.readdir(path, filter)
  check.opt_type(filter, "function", 2, "readdir")
  local names, errno, err = readdir(path)
  check_interrupted(errno, err)
  if not names then return nil, errno, err end
  if not filter then return names end
  local kept = {}
  for _, name in ipairs(names) do
    if filter(name) then kept[#kept + 1] = name end
  end
  return kept
end
