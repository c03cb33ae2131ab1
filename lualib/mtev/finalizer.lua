-- Finalizers of scripts (`__gc` of newproxy's userdata, ffi.gc, ffi.metatype) that raise.
--
-- LuaJIT lets the error out of whatever was about to allocate, be it compiled code, the scheduler or C that holds a lock,
-- and does not always survive that. Here it is an uncaught error, reported where it happened. Only finalizers that are
-- set by other means (debug.setmetatable, C modules) go by LuaJIT's rule.

local _, core = ...
local ffi = require("ffi")
local report, xpcall, rawset, type, setmetatable = core.report_error, xpcall, rawset, type, setmetatable

local guarded = setmetatable({}, { __mode = "kv" }) -- finalizer -> its guard, as long as something has the guard
local guards = setmetatable({}, { __mode = "k" })

local function guard(finalizer)
  if type(finalizer) ~= "function" or guards[finalizer] then return finalizer end
  local found = guarded[finalizer]
  if found then return found end
  local function call(object)
    xpcall(finalizer, report, object)
  end
  guarded[finalizer], guards[call] = call, true
  return call
end

-- What a script writes into the metatable of a newproxy(true).
local watch = {
  __newindex = function(metatable, key, value)
    rawset(metatable, key, key == "__gc" and guard(value) or value)
  end,
}

local newproxy, getmetatable = newproxy, getmetatable

function _G.newproxy(metatable)
  if metatable ~= true then return newproxy(metatable) end
  local proxy = newproxy(true)
  setmetatable(getmetatable(proxy), watch)
  return proxy
end

local gc, metatype = ffi.gc, ffi.metatype

function ffi.gc(cdata, finalizer)
  if type(finalizer) == "function" then finalizer = guard(finalizer) end
  return gc(cdata, finalizer)
end

function ffi.metatype(ct, metatable)
  if type(metatable) == "table" and type(metatable.__gc) == "function" then metatable.__gc = guard(metatable.__gc) end
  return metatype(ct, metatable)
end
