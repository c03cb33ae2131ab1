-- mtev.timezone, in FFI: a compiled loop asks C for a local time and reads its fields. A zone is cdata, one for
-- each name.

local mtev, core = ...
local ffi = require("ffi")
local C, to_string = ffi.C, ffi.string
local check, select, type, tonumber, error, floor = core.check, select, type, tonumber, error, math.floor

ffi.cdef [[
typedef struct lh_local_time {
  int64_t year;
  int32_t month, monthday, hour, minute, second, weekday, yearday, offset, is_dst;
  const char *name;
} lh_local_time;
typedef struct lh_timezone lh_timezone;
typedef struct lh_zone { lh_timezone *zone; } lh_zone;
lh_timezone *lh_ffi_timezone_open(const char *name);
void lh_ffi_timezone_close(lh_timezone *zone);
void lh_ffi_timezone_at(lh_timezone *zone, int64_t time, lh_local_time *local);
]]

local fields = {
  second = function(t) return t.second end,
  minute = function(t) return t.minute end,
  hour = function(t) return t.hour end,
  monthday = function(t) return t.monthday end,
  month = function(t) return t.month end,
  weekday = function(t) return t.weekday end,
  yearday = function(t) return t.yearday end,
  year = function(t) return tonumber(t.year) end,
  dst = function(t) return t.is_dst ~= 0 end,
  offset = function(t) return t.offset end,
  zonename = function(t) return to_string(t.name) end,
}

local zone -- the constructor of the cdata
local local_time = ffi.typeof("lh_local_time")

local function get(now, field, index)
  local f = fields[field]
  if not f then
    error(("bad argument #%d to 'extract' (unknown field '%s')"):format(index, tostring(field)), 3)
  end
  return f(now)
end

-- So many fields at once are rare: what is here is not compiled.
local function get_many(now, ...)
  local values, n = { ... }, select("#", ...)
  for i = 1, n do values[i] = get(now, values[i], i + 1) end
  return unpack(values, 1, n)
end

local function check_time(time)
  local t = (type(time) == "number" or type(time) == "string") and tonumber(time)
  if not t or t ~= t then
    error(("bad argument #1 to 'extract' (number expected, got %s)"):format(t and "NaN" or type(time)), 3)
  end
  if t >= 2 ^ 53 or t <= -2 ^ 53 then error("bad argument #1 to 'extract' (out of range)", 3) end
  return floor(t)
end

local methods = {}

function methods:extract(time, ...)
  if not ffi.istype(zone, self) then
    error("calling 'extract' on bad self (mtev.timezone expected, got " .. type(self) .. ")", 2)
  end
  local now = local_time()
  C.lh_ffi_timezone_at(self.zone, check_time(time), now)
  local n = select("#", ...)
  local a, b, c, d, e = ...
  if n <= 1 then return get(now, a, 2) end
  if n == 2 then return get(now, a, 2), get(now, b, 3) end
  if n == 3 then return get(now, a, 2), get(now, b, 3), get(now, c, 4) end
  if n == 4 then return get(now, a, 2), get(now, b, 3), get(now, c, 4), get(now, d, 5) end
  if n == 5 then return get(now, a, 2), get(now, b, 3), get(now, c, 4), get(now, d, 5), get(now, e, 6) end
  return get_many(now, ...)
end

zone = ffi.metatype("lh_zone", {
  __index = function(_, key) return methods[key] end, -- a function: unknown fields are nil, not errors
  __gc = function(self) C.lh_ffi_timezone_close(self.zone) end,
  __tostring = function() return "mtev.timezone" end,
})

-- A file that is there may not be readable just now: that says nothing of the name.
local NO_SUCH_FILE = { -- errno: none, ENOENT, ENOTDIR, EISDIR, ENAMETOOLONG, ELOOP
  [0] = true, [2] = true, [20] = true, [21] = true, [36] = true, [40] = true,
}

local function raise_unknown(name, errno)
  if NO_SUCH_FILE[errno] then error("unknown timezone: " .. name:sub(1, 100), 3) end
  error(("cannot read timezone %s: %s"):format(name:sub(1, 100), core.strerror(errno)), 3)
end

local opened = {} -- name -> zone: few, and small, and they do not change

function mtev.timezone(name)
  name = check.string(name, 1, "timezone")
  local found = opened[name]
  if found then return found end
  ffi.errno(0)
  local opaque = not name:find("%z") and C.lh_ffi_timezone_open(name)
  if not opaque or opaque == nil then raise_unknown(name, ffi.errno()) end
  found = zone(opaque)
  opened[name] = found
  return found
end
