---@meta
-- Time zones: mtev.timezone.

---@class mtev.timezone
---A time zone: cdata; the same name gives the same object while it is held.
local timezone = {}

---A time zone of the system's files (`$TZDIR`, else /usr/share/zoneinfo). Does not yield; the file is read when the
---zone was not in use.
---
---Raises `unknown timezone: NAME` for names that are no zone's, also for those with `..` in them;
---`cannot read timezone NAME: WHY` when the file cannot be read just now.
---@param name string `"Europe/Zurich"`, `"UTC"`
---@return mtev.timezone
function mtev.timezone(name) end

---An instant as the zone's clocks show it. Beyond the changes that the zone's file lists, its rule goes on. Does not
---yield.
---
---Fields: `second` 0-59 (60 in a leap second of the zones `right/…`), `minute`, `hour`, `monthday` 1-31, `month`
---1-12, `weekday` 1-7 (Sunday is 1), `yearday` 1-366, `year`, `dst` (boolean: daylight saving time), `offset`
---(seconds east of UTC), `zonename` (`"CET"`).
---
---Raises for an unknown field, and times of 2^53 s and more.
---@param time number seconds since 1970 UTC, of any sign; fractions are cut downwards
---@param field string
---@param ... string more fields
---@return integer|boolean|string value
---@return integer|boolean|string ... one value for each field
function timezone:extract(time, field, ...) end
