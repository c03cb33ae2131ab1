-- mtev.time and mtev.gettimeofday through FFI: a compiled loop calls the clock like any C program.

local mtev = ...
local ffi = require("ffi")
local C, tonumber, floor = ffi.C, tonumber, math.floor

ffi.cdef [[
double lh_ffi_time(void);
int64_t lh_ffi_time_us(void);
]]

function mtev.time()
  return C.lh_ffi_time()
end

function mtev.gettimeofday()
  local us = tonumber(C.lh_ffi_time_us())
  local sec = floor(us / 1000000)
  return sec, us - sec * 1000000
end
