-- How a script is found, loaded and run: paths, `require`, `module`, the entry function.
--
-- Called once per state with the command line's options; returns the function that is the main task. Everything from
-- there on runs in that coroutine, so a script's top level, the modules it requires and its entry may block.

local options = ...
local getinfo, loaders, loaded = debug.getinfo, package.loaders, package.loaded

os.exit = options.exit

-- -- Paths ------------------------------------------------------------------------------------------------------------

local function directory_of(file)
  return file:match("^(.*)/[^/]*$") or "."
end

-- In templates %s is the current directory and {package.path} the previous value.
local function expand(template, name, current)
  local text = template:gsub("%%s", (mtev.getcwd and mtev.getcwd() or os.getenv("PWD") or "."):gsub("%%", "%%%%"))
  return (text:gsub("{package%." .. name .. "}", (current:gsub("%%", "%%%%"))))
end

local function apply_path(name, option)
  if not option then return end
  local current = package[name]
  if option:sub(1, 1) == "+" then
    package[name] = current .. ";" .. expand(option:sub(2), name, current)
  else
    package[name] = expand(option, name, current)
  end
end

local function set_paths(script)
  local here = directory_of(script)
  package.path = "./?.lua;" .. here .. "/?.lua;" .. package.path
  apply_path("path", options.path)
  apply_path("cpath", options.cpath)
end

-- -- require: LuaJIT's, in Lua, so that a module's body may block -----------------------------------------------------

local LOADING = newproxy() -- what package.loaded holds while a module's body runs

local function file_loader(name)
  if not name:find("/", 1, true) then return nil end
  local file = io.open(name)
  if not file then return "\n\tno file '" .. name .. "'" end
  file:close()
  return assert(loadfile(name))
end

local function find_loader(name)
  local tried = {}
  for i = 1, #loaders do
    local loader = loaders[i](name)
    if type(loader) == "function" then return loader end
    tried[#tried + 1] = type(loader) == "string" and loader or nil
  end
  error("module '" .. name .. "' not found:" .. table.concat(tried), 3)
end

function require(name)
  if type(name) ~= "string" then
    error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
  end
  local module = loaded[name]
  if module == LOADING then error("loop or previous error loading module '" .. name .. "'", 2) end
  if module then return module end
  local loader = find_loader(name)
  loaded[name] = LOADING
  local result = loader(name)
  if result ~= nil then loaded[name] = result end
  if loaded[name] == LOADING then loaded[name] = true end
  return loaded[name]
end

table.insert(loaders, 2, file_loader)

-- -- module: as LuaJIT's, except when the script's own chunk calls it -------------------------------------------------

local real_module = module
local entry_chunk, entry_name, entry_module

-- `module(..., package.seeall)` arrives with the script's arguments, or with none, where a module's name should be. In the
-- script's own chunk the name is the file's, and of the arguments the functions count.
function module(...)
  local caller = getinfo(2, "f").func
  if caller ~= entry_chunk then return real_module(...) end
  local M = { _NAME = entry_name, _PACKAGE = entry_name:match("^(.*%.)[^.]*$") or "" }
  M._M = M
  entry_module = M
  loaded[entry_name] = loaded[entry_name] or M
  if rawget(_G, entry_name) == nil then rawset(_G, entry_name, M) end
  for i = 1, select("#", ...) do
    local option = select(i, ...)
    if type(option) == "function" then option(M) end
  end
  setfenv(entry_chunk, M)
end

-- -- Running ----------------------------------------------------------------------------------------------------------

local function load_script(script)
  local chunk, message
  if script == "-" then
    chunk, message = loadstring(io.read("*a"), "=stdin")
  else
    chunk, message = loadfile(script)
  end
  return chunk or options.fail(message)
end

local function field(value, name)
  if type(value) == "table" then return value[name] end
end

local function find_entry(result)
  local name = options.entry or "main"
  if options.is_luamtev then
    return entry_module and rawget(entry_module, name) or options.fail("no function " .. name .. " in the script's module")
  end
  local entry = field(result, name) or (entry_module and rawget(entry_module, name)) or rawget(_G, name)
  if entry == nil and options.entry then options.fail("no function " .. name .. " in " .. options.script) end
  return entry
end

local function module_name(script)
  if options.is_luamtev then return mtev.realpath and mtev.realpath(script) or script end
  return script == "-" and "stdin" or script:match("([^/]+)$"):gsub("%.lua$", "")
end

local function set_arguments(script)
  arg = {}
  local first = options.is_luamtev and 1 or 0
  arg[first] = script
  for i, value in ipairs(options.arguments) do arg[first + i] = value end
end

local function run_script()
  local script = options.script
  set_paths(script)
  set_arguments(script)
  entry_name = module_name(script)
  entry_chunk = load_script(script)
  if options.is_luamtev then
    entry_chunk(entry_name)
    find_entry()()
    return
  end
  local entry = find_entry(entry_chunk(unpack(options.arguments)))
  if entry then return entry(unpack(options.arguments)) end
end

local function run_tests()
  package.path = "./?.lua;" .. package.path
  return require("mtev.test")(options.arguments, options.test_timeout)
end

return options.is_test and run_tests or run_script
