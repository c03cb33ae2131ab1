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
  package.path = "./?.lua;" .. directory_of(script) .. "/?.lua;" .. package.path
end

local function apply_path_options()
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

-- LuaJIT's, in Lua for the same reason.
function dofile(name)
  if name ~= nil and type(name) ~= "string" and type(name) ~= "number" then
    error("bad argument #1 to 'dofile' (string expected, got " .. type(name) .. ")", 2)
  end
  local chunk, message = loadfile(name)
  if not chunk then error(message, 0) end
  return chunk()
end

-- -- module: as LuaJIT's, except when the script's own chunk calls it -------------------------------------------------

local real_module = module
local entries = {} -- chunk of a script -> {name =, module = what it declared, globals = its own, if it has any}

-- `module(..., package.seeall)` arrives with the script's arguments, or with none, where a module's name should be. In
-- the script's own chunk the name is the file's, and of the arguments the functions count.
function module(...)
  local caller = getinfo(2, "f").func
  local entry = entries[caller]
  if not entry then return real_module(...) end
  local name = entry.name
  local M = { _NAME = name, _PACKAGE = name:match("^(.*%.)[^.]*$") or "" }
  M._M = M
  entry.module = M
  loaded[name] = loaded[name] or M
  if rawget(_G, name) == nil then rawset(_G, name, M) end
  for i = 1, select("#", ...) do
    local option = select(i, ...)
    if type(option) == "function" then option(M) end
  end
  local meta = getmetatable(M)
  if entry.globals and meta and meta.__index == _G then meta.__index = entry.globals end -- package.seeall
  setfenv(caller, M)
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

-- The function that is called when the chunk has run, or nil. `wanted`: its name was given.
local function find_entry(chunk, result, wanted, script, globals)
  local name, declared = wanted or "main", entries[chunk].module
  if options.is_luamtev then
    return declared and rawget(declared, name) or options.fail(("no function %s in the script's module%s"):format(name,
      declared and "" or ': under this name a script begins with module("NAME", package.seeall), or module(...)'))
  end
  local entry = field(result, name) or (declared and rawget(declared, name)) or rawget(globals, name)
  if entry == nil and wanted then options.fail("no function " .. name .. " in " .. script) end
  return entry
end

local function module_name(script)
  if options.is_luamtev then return mtev.realpath and mtev.realpath(script) or script end
  return script == "-" and "stdin" or script:match("([^/]+)$"):gsub("%.lua$", "")
end

local function argument_table(script, arguments)
  local result, first = {}, options.is_luamtev and 1 or 0
  result[first] = script
  for i, value in ipairs(arguments) do result[first + i] = value end
  return result
end

local function run_script()
  local script = options.script
  set_paths(script)
  apply_path_options()
  arg = argument_table(script, options.arguments)
  local chunk = load_script(script)
  entries[chunk] = { name = module_name(script) }
  if options.is_luamtev then
    chunk(entries[chunk].name)
    find_entry(chunk, nil, options.entry, script, _G)()
    return
  end
  local entry = find_entry(chunk, chunk(unpack(options.arguments)), options.entry, script, _G)
  if entry then return entry(unpack(options.arguments)) end
end

-- -- The scripts of a configuration -----------------------------------------------------------------------------------

local get, get_list = mtev.conf_get_string, mtev.conf_get_string_list

local function fail_setting(message)
  options.fail((options.config and options.config .. ": " or "") .. message, 2)
end

-- Which scripts this thread runs: each takes so many threads, one after the other around.
local function is_here(thread, first, count)
  local total = mtev.eventer_loop_concurrency()
  return (thread - first) % total < count
end

local function thread_count(text, name)
  local total = mtev.eventer_loop_concurrency()
  if text == "all" then return total end
  local count = tonumber(text or 1)
  if not count or count < 1 or count > total or count % 1 ~= 0 then
    fail_setting(("%s: threads: a number from 1 to %d, or all, expected, got '%s'"):format(name, total, tostring(text)))
  end
  return count
end

-- A script of its own globals, which sees those of the thread.
local function script_module(path)
  local file = get(path .. "/@file") or fail_setting("<script>: it needs a file")
  local arguments = get_list(path .. "/argument", ".") or {}
  return {
    threads = thread_count(get(path .. "/@threads"), file),
    run = function()
      set_paths(file)
      local chunk = load_script(file)
      local globals = setmetatable({ arg = argument_table(file, arguments) }, { __index = _G })
      globals._G = globals
      entries[chunk] = { name = module_name(file), globals = globals }
      setfenv(chunk, globals)
      local entry = find_entry(chunk, chunk(unpack(arguments)), get(path .. "/@entry"), file, globals)
      if entry then entry(unpack(arguments)) end
    end,
  }
end

-- libmtev's form: a Lua module, found along <directory>, and a function of it.
local function lua_module(path)
  local function setting(name)
    return get(path .. "/config/" .. name)
  end
  local name = setting("lua_module") or fail_setting("<generic>: it needs a lua_module")
  local directory, cpath = setting("directory"), setting("cpath")
  local is_concurrent, err = mtev.conf_get_boolean(path .. "/config/concurrent")
  if err then fail_setting("<generic>: concurrent: " .. err) end
  return {
    threads = is_concurrent and mtev.eventer_loop_concurrency() or 1,
    is_first = true,
    run = function()
      if directory then package.path = directory .. ";" .. package.path end
      if cpath then package.cpath = cpath .. ";" .. package.cpath end
      local loaded_module = require(name)
      local wanted = setting("lua_function")
      local entry = field(loaded_module, wanted or "main")
      if not entry and wanted then options.fail(("no function %s in the module %s"):format(wanted, name)) end
      if entry then entry() end
    end,
  }
end

local kinds = { script = script_module, generic = lua_module }

local function run_modules()
  local _, thread = mtev.thread_self()
  local first = 0
  apply_path_options()
  for i = 1, tonumber(get("count(/*/modules/*)")) do
    local path = ("/*/modules/*[%d]"):format(i)
    local kind = get(("name(%s)"):format(path))
    local make = kinds[kind] or fail_setting(("<%s> in <modules>: script or generic expected"):format(kind))
    local module = make(path)
    if is_here(thread, module.is_first and 0 or first, module.threads) then mtev.coroutine_spawn(module.run) end
    if not module.is_first then first = first + module.threads end
  end
end

local function run_tests()
  package.path = "./?.lua;" .. package.path
  return options.require("test/init")(options.arguments, options.test_timeout)
end

-- What a cluster's settings say is looked at before anything runs, not when a script first asks for the cluster.
local function check_clusters()
  if not get("/*/clusters/cluster") then return end
  local problem = options.require("cluster/settings").problem()
  if problem then fail_setting(problem) end
end

local run = options.is_daemon and run_modules or run_script

local function check_and_run()
  check_clusters()
  return run()
end

return options.is_test and run_tests or check_and_run
