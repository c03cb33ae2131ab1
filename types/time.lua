---@meta
-- Clocks and durations: mtev.time, gettimeofday, mtev.timeval.

-- == Time ===========================================================================================================

---The wall clock. Does not yield.
---@return number seconds since 1970-01-01 00:00 UTC, with microseconds
function mtev.time() end

---The wall clock. Does not yield.
---@return integer sec since 1970-01-01 00:00 UTC
---@return integer usec 0..999999
function mtev.gettimeofday() end

---A point in time or a duration; immutable. `+` and `-` take a timeval or a number of seconds on either side and
---return a timeval; `<` and `<=` compare with both; `==` only with a timeval. tostring returns `S.UUUUUU`. Unknown
---fields are nil.
---
---Difference: type() is "cdata", because only cdata can be ordered against numbers.
---@class mtev.timeval
---@field sec integer may be negative
---@field usec integer 0..999999
local timeval = {}

---@return number seconds
function timeval:seconds() end

---@class mtev.timevallib
mtev.timeval = {}

---@return mtev.timeval now the wall clock
function mtev.timeval.now() end

---@param sec number with usec: whole seconds; without: seconds with fractions
---@param usec? integer any size and sign
---@return mtev.timeval
function mtev.timeval.new(sec, usec) end

---@param tv mtev.timeval
---@return number seconds
function mtev.timeval.seconds(tv) end
