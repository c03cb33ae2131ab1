---@meta
-- Time zones: mtev.timezone.

---@class mtev.timezone
---A time zone: cdata; the same name returns the same object while it is held.
local timezone = {}

---Returns a time zone from the system's files (`$TZDIR`, by default /usr/share/zoneinfo). Does not yield; the file is
---read unless the zone is in use already.
---
---Raises `unknown timezone: NAME` for unknown names and for those that contain `..`; `cannot read timezone NAME: WHY`
---if the file cannot be read.
---@param name string `"Europe/Zurich"`, `"UTC"`
---@return mtev.timezone
function mtev.timezone(name) end

---An instant as shown by the zone's clocks. Beyond the changes listed in the zone's file, its rule applies. Does not
---yield.
---
---Fields: `second` 0-59 (60 in a leap second of the zones `right/…`), `minute`, `hour`, `monthday` 1-31, `month`
---1-12, `weekday` 1-7 (Sunday is 1), `yearday` 1-366, `year`, `dst` (boolean: daylight saving time), `offset`
---(seconds east of UTC), `zonename` (`"CET"`).
---
---Raises for an unknown field, and for times of 2^53 s and more.
---@param time number seconds since 1970 UTC, of any sign; fractions are rounded down
---@param field string
---@param ... string more fields
---@return integer|boolean|string value
---@return integer|boolean|string ... one value for each field
function timezone:extract(time, field, ...) end
