-- mtev.log and its relatives. Whether a stream is enabled is a byte that C keeps up to date: a disabled stream costs
-- one table look-up and one load, and its arguments are never touched.

local mtev, core = ...
local ffi = require("ffi")
local C = ffi.C
local get, write, get_flag = core.log_get, core.log_write, core.log_flag
local format, tostring, type, select, concat = string.format, tostring, type, select, table.concat
local pcall, error, tonumber = pcall, error, tonumber

ffi.cdef "size_t lh_ffi_log_write(void *stream, const char *bytes, size_t length);"

local REACHES = 1  -- LH_LOG_REACHES alone: nobody wants to know the caller, so that compiled code may write

local streams = {} -- facility -> stream (a light userdata)
local handles = {} -- facility -> the same as cdata, which compiled code can pass
local flags = {}   -- facility -> pointer to its byte

local function check_name(value, name, index)
  if type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  error(("bad argument #%d to '%s' (string expected, got %s)"):format(index, name, type(value)), 3)
end

local function open(facility)
  local stream = get(facility)
  streams[facility] = stream
  handles[facility] = ffi.cast("void *", stream)
  local flag = ffi.cast("const volatile uint8_t *", get_flag(stream))
  flags[facility] = flag
  return flag
end

-- string.format's complaints name 'format' and count its arguments: here it is `name`, with `before` arguments more.
local function format_failed(message, name, before)
  message = tostring(message):gsub("^.-:%d+: ", "", 1)
  message = message:gsub("bad argument #(%d+) to '[^']*'", function(n)
    return ("bad argument #%d to '%s'"):format(tonumber(n) + before, name)
  end):gsub("to 'format'", "to '" .. name .. "'")
  error(message, 3)
end

local function finish(ok, text)
  if not ok then return nil, text end
  return text
end

function mtev.log(facility, fmt, ...)
  local flag = flags[facility] or open(check_name(facility, "log", 1))
  if flag[0] == 0 then
    if fmt == nil then check_name(fmt, "log", 2) end
    return 0
  end
  local text, message = finish(pcall(format, check_name(fmt, "log", 2), ...))
  if not text then format_failed(message, "log", 1) end
  if flag[0] ~= REACHES then return write(streams[facility] or streams[tostring(facility)], text) end
  C.lh_ffi_log_write(handles[facility] or handles[tostring(facility)], text, #text)
  return #text
end

local print_to = core.print_target

function mtev.print(...)
  local n = select("#", ...)
  local text
  if n == 1 then
    text = tostring((...)) .. "\n"
  else
    local parts = { ... }
    for i = 1, n do parts[i] = tostring(parts[i]) end
    text = concat(parts, "\t", 1, n) .. "\n"
  end
  return write(print_to(), text)
end

print = mtev.print

function printf(...)
  local text, message = finish(pcall(format, ...))
  if not text then format_failed(message, "printf", 0) end
  return mtev.print(text)
end

function errorf(...)
  local text, message = finish(pcall(format, ...))
  if not text then format_failed(message, "errorf", 0) end
  error(text, 2)
end
