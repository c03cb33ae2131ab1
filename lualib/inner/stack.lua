-- string.gsub and load, so that run-away recursion through them is an error.
--
-- LuaJIT bounds the Lua stack, which stops most recursion through C functions early enough. These two keep buffers of 8
-- KiB on the C stack for each call, so that the C stack ends first, in SIGSEGV.

local _, core = ...
local has_stack, type, error = core.has_stack, type, error
local gsub, load = string.gsub, load

-- Tail calls: errors have the script's position.
function string.gsub(text, pattern, replacement, count)
  if type(replacement) ~= "string" and not has_stack() then error("C stack overflow", 2) end
  return gsub(text, pattern, replacement, count)
end

function _G.load(chunk, ...)
  if type(chunk) == "function" and not has_stack() then error("C stack overflow", 2) end
  return load(chunk, ...)
end
