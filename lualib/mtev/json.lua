-- What mtev.json needs of LuaJIT: 64-bit integers, for document{int64=true}.

local _, core = ...
local ffi = require("ffi")
local uint64, int64 = ffi.typeof("uint64_t"), ffi.typeof("int64_t")

core.json_set_int64(function(high, low, is_unsigned)
  local value = uint64(high) * 0x100000000ULL + uint64(low)
  return is_unsigned and value or int64(value)
end)
