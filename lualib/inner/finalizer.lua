-- Sees to it that LuaJIT gets no finalizer of a script, but a guard of it (src/runtime/finalizer.h): by newproxy,
-- ffi.gc, ffi.metatype, debug.setmetatable, and the metatables of files and of our own objects. LuaJIT's rule goes for
-- what is left: a metatable changed after debug.setmetatable got it, and what a C module sets.
--
-- Guards note what is to be finalized; the next turn of the loop runs it. A script that asks for a collection, or makes
-- many such objects without ever waiting, runs what is due right there.

local _, core = ...
local ffi = require("ffi")
local make_guard, make_metatable_guard, run_due = core.make_guard, core.make_metatable_guard, core.run_finalizers
local rawget, rawset, type, setmetatable, xpcall = rawget, rawset, type, setmetatable, xpcall
local report = core.report_error

local function report_it(err)
  report(err)
end

-- An error that xpcall returns was not reported: LuaJIT calls no handler when there is no memory, and a handler may
-- itself fail when the stack is full.
core.set_finalizer_runner(function(finalizer, object)
  local ok, unreported = xpcall(finalizer, report_it, object)
  if not ok and unreported ~= nil then report(unreported) end
end)

local due = ffi.cast("const int *", core.finalizers_due) -- how many wait to be run
local DUE_MAX = 1000

local guarded = setmetatable({}, { __mode = "kv" }) -- finalizer -> its guard, as long as something has the guard
local is_guard = setmetatable({}, { __mode = "k" })

-- A C function (ffi.C.free) needs no guard. A table may be one that can be called.
local takes_guard = { ["function"] = true, table = true, userdata = true }

local function guard(finalizer)
  if not takes_guard[type(finalizer)] or is_guard[finalizer] then return finalizer end
  local found = guarded[finalizer]
  if not found then
    found = make_guard(finalizer)
    guarded[finalizer], is_guard[found] = found, true
  end
  return found
end

-- -- Metatables -------------------------------------------------------------------------------------------------------

-- The metatable of a newproxy(true), of files, and of our own objects is hidden, and scripts see a table that stands
-- for it: so that whatever they write into it as `__gc`, once or again, is what the guard finds, which is there from
-- the beginning. In
--   getmetatable(newproxy(true)).__gc = f
-- the userdata is garbage before f is set, and a guard made then could come too late.
local REAL, FINALIZER, COLLECTOR = newproxy(), newproxy(), newproxy()

local function new_metatable_guard(collector)
  local new = make_metatable_guard(FINALIZER, collector)
  is_guard[new] = true
  return new
end

local function set_finalizer(real, finalizer)
  if not is_guard[real.__gc] then real.__gc = new_metatable_guard(real[COLLECTOR]) end
  real[FINALIZER] = finalizer
end

local stand_in = {
  __index = function(visible, key)
    local real = rawget(visible, REAL)
    if key == "__gc" then return real[FINALIZER] or real[COLLECTOR] end
    return real[key]
  end,
  __newindex = function(visible, key, value)
    local real = rawget(visible, REAL)
    if key == "__gc" then
      set_finalizer(real, value)
    else
      rawset(real, key, value)
    end
  end,
  __metatable = false,
}

local function hide(real)
  real.__metatable = setmetatable({ [REAL] = real }, stand_in)
end

-- A type of C's: a script's finalizer is called in place of the type's own, which it may call.
local function hide_type(real)
  real[COLLECTOR] = rawget(real, "__gc")
  hide(real)
end

for _, value in pairs(debug.getregistry()) do
  if type(value) == "table" and (rawget(value, "__gc") or rawget(value, "__index")) then hide_type(value) end
end

-- -- newproxy ---------------------------------------------------------------------------------------------------------

local newproxy, getmetatable = newproxy, getmetatable
local proxy_guard = new_metatable_guard(nil)

function _G.newproxy(metatable)
  if metatable ~= true then return newproxy(metatable) end
  if due[0] > DUE_MAX then run_due() end
  local proxy = newproxy(true)
  local real = getmetatable(proxy)
  real.__gc, real[FINALIZER] = proxy_guard, false
  hide(real)
  return proxy
end

-- -- debug ------------------------------------------------------------------------------------------------------------

local debug_getmetatable, debug_setmetatable = debug.getmetatable, debug.setmetatable

function debug.getmetatable(value)
  local metatable = debug_getmetatable(value)
  local visible = type(metatable) == "table" and rawget(metatable, "__metatable")
  return type(visible) == "table" and rawget(visible, REAL) == metatable and visible or metatable
end

-- What a script writes later into a metatable that had no `__gc` when it was set.
local watch = {
  __newindex = function(metatable, key, value)
    rawset(metatable, key, key == "__gc" and guard(value) or value)
  end,
}

function debug.setmetatable(...)
  local value, metatable = ...
  if type(metatable) ~= "table" or type(value) ~= "userdata" then return debug_setmetatable(...) end
  local real = rawget(metatable, REAL)
  if real then return debug_setmetatable(value, real) end
  local finalizer = rawget(metatable, "__gc")
  if finalizer then
    metatable.__gc = guard(finalizer)
  elseif not debug_getmetatable(metatable) then
    setmetatable(metatable, watch)
  end
  return debug_setmetatable(value, metatable)
end

-- -- ffi --------------------------------------------------------------------------------------------------------------

local gc, metatype = ffi.gc, ffi.metatype

function ffi.gc(cdata, finalizer)
  if takes_guard[type(finalizer)] then
    if due[0] > DUE_MAX then run_due() end
    finalizer = guard(finalizer)
  end
  return gc(cdata, finalizer)
end

-- The metatable may not be changed afterwards, so that LuaJIT may have a copy.
function ffi.metatype(ct, metatable)
  if type(metatable) == "table" and takes_guard[type(metatable.__gc)] then
    metatable = core.copy(metatable)
    metatable.__gc = guard(metatable.__gc)
  end
  return metatype(ct, metatable)
end

-- -- collectgarbage ---------------------------------------------------------------------------------------------------

local collectgarbage = collectgarbage
local collects = { collect = true, step = true }
local options = { stop = true, restart = true, count = true, setpause = true, setstepmul = true, isrunning = true }

function _G.collectgarbage(option, argument)
  if option == nil then option = "collect" end
  if not collects[option] then
    if options[option] then return collectgarbage(option, argument) end
    local problem = type(option) == "string" and ("invalid option '%s'"):format(option)
      or "string expected, got " .. type(option)
    error("bad argument #1 to 'collectgarbage' (" .. problem .. ")", 2)
  end
  local result = collectgarbage(option, argument)
  if due[0] > 0 then run_due() end
  return result
end
