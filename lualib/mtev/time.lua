-- mtev.time, mtev.gettimeofday and mtev.timeval, in FFI: a compiled loop calls the clock like any C program. A timeval
-- is a cdata because only those can be ordered against numbers.

local mtev, core = ...
local ffi = require("ffi")
local C, tonumber, type, floor = ffi.C, tonumber, type, math.floor

ffi.cdef [[
double lh_ffi_time(void);
int64_t lh_ffi_time_us(void);
double lh_ffi_monotonic(void);
double lh_ffi_boot_time(void);
typedef struct { const double sec; const int32_t usec; } lh_timeval;
]]

function mtev.time()
  return C.lh_ffi_time()
end

function mtev.gettimeofday()
  local us = tonumber(C.lh_ffi_time_us())
  local sec = floor(us / 1000000)
  return sec, us - sec * 1000000
end

-- For deadlines in the built-in library.
-- Goes on while the machine sleeps.
function core.boot_time()
  return C.lh_ffi_boot_time()
end

function core.monotonic()
  return C.lh_ffi_monotonic()
end

-- -- timeval ----------------------------------------------------------------------------------------------------------

local timeval -- the constructor of the cdata
local is_timeval = function(value) return ffi.istype(timeval, value) end

-- Normalised so that 0 <= usec < 10^6, also below zero.
local function make(sec, usec)
  local carry = floor(usec / 1000000)
  return timeval(sec + carry, usec - carry * 1000000)
end

core.make_timeval = make

local function check_number(value, index, name, level)
  local number = tonumber(value)
  local problem
  if type(value) ~= "number" and type(value) ~= "string" or not number then
    problem = "number expected, got " .. type(value)
  elseif number ~= number or number >= 2 ^ 53 or number <= -2 ^ 53 then
    problem = "number out of range"
  end
  if problem then error(("bad argument #%d to '%s' (%s)"):format(index, name, problem), level + 1) end
  return number
end

local function from_seconds(seconds)
  local sec = floor(seconds)
  return make(sec, floor((seconds - sec) * 1e6 + 0.5))
end

-- A timeval or a number as seconds and microseconds.
local function parts(value, level)
  if is_timeval(value) then return value.sec, value.usec end
  if type(value) ~= "number" or value ~= value or value >= 2 ^ 53 or value <= -2 ^ 53 then
    error(("mtev.timeval or number expected, got %s"):format(type(value)), level + 1)
  end
  local tv = from_seconds(value)
  return tv.sec, tv.usec
end

local function seconds(tv)
  if not is_timeval(tv) then error("mtev.timeval expected, got " .. type(tv), 2) end
  return tv.sec + tv.usec / 1e6
end

local function less(a, b, or_equal)
  local a_sec, a_usec = parts(a, 3)
  local b_sec, b_usec = parts(b, 3)
  if a_sec ~= b_sec then return a_sec < b_sec end
  return a_usec < b_usec or (or_equal and a_usec == b_usec)
end

local methods = { seconds = seconds }

timeval = ffi.metatype("lh_timeval", {
  __index = function(_, key) return methods[key] end, -- a function: unknown fields are nil, not errors
  __add = function(a, b)
    local a_sec, a_usec = parts(a, 2)
    local b_sec, b_usec = parts(b, 2)
    return make(a_sec + b_sec, a_usec + b_usec)
  end,
  __sub = function(a, b)
    local a_sec, a_usec = parts(a, 2)
    local b_sec, b_usec = parts(b, 2)
    return make(a_sec - b_sec, a_usec - b_usec)
  end,
  __eq = function(a, b)
    return is_timeval(a) and is_timeval(b) and a.sec == b.sec and a.usec == b.usec
  end,
  __lt = function(a, b) return less(a, b, false) end,
  __le = function(a, b) return less(a, b, true) end,
  __tostring = function(tv)
    local sec, usec, sign = tv.sec, tv.usec, ""
    if sec < 0 then -- -0.25 is kept as -1 s + 750000 us
      sign, sec, usec = "-", -sec, -usec
      if usec < 0 then sec, usec = sec - 1, usec + 1000000 end
    end
    return ("%s%.0f.%06d"):format(sign, sec, usec)
  end,
})

-- Where a duration is expected a timeval is taken as well.
function core.seconds_of(value)
  return is_timeval(value) and value.sec + value.usec / 1e6 or nil
end
core.set_seconds(core.seconds_of)

mtev.timeval = { seconds = seconds }

function mtev.timeval.now()
  return timeval(mtev.gettimeofday())
end

function mtev.timeval.new(sec, usec)
  sec = check_number(sec, 1, "new", 2)
  if usec == nil then return from_seconds(sec) end
  return make(floor(sec), floor(check_number(usec, 2, "new", 2)))
end
