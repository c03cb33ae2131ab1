---@meta
-- Logs: mtev.log, print, printto, log_enabled, enable_log, log_lines; <logs> of the configuration.

-- == Logs ===========================================================================================================
-- A stream has a name, is on or off, and sends to a sink or to other streams. `a/b/c` is made on first use and sends
-- to `a/b`. Built in: `stderr`, `stdout`, `error` -> `stderr`, `notice` -> `error`, and `debug` -> `stderr`, which is
-- off (`lhotse -d` turns it on). Streams belong to the process and stay. Records are written whole, by a thread of
-- their own. At most 8 MiB wait for a slow terminal or disk: then debug records are dropped first and the loss is
-- reported, as is one for lack of memory; stdout is never dropped, its writer waits.
--
-- The configuration makes others: each `<log name="..."/>` anywhere below `/*/logs`. Its outlets are the
-- `<outlet name="..."/>` of its own element and of those around it; attributes are inherited likewise, the nearest
-- wins. With neither `type` nor outlets it keeps the outlet it would have without the element. A record reaches a
-- file, ring or descriptor once, whatever ways lead there; once in each form, if they differ in timestamps, facility,
-- debug or format.
--   type        absent (no sink of its own), or `file`, `file_synch` (written when `mtev.log` returns), `memory`,
--               `stdout`, `stderr`
--   path        of the file, whose directory must be there; of `memory`: "LINES,BYTES", default "1000,1048576"
--   timestamps, facility, debug   `on`: each line begins with the local time, the stream's name, the thread and line
--               of the caller
--   format      `plain` (default); `json`: an object a line, with time (RFC 3339, UTC), facility, thread, file, line,
--               message
--   disabled    `on`: until it is enabled
--   rotate_bytes (at least 102400), rotate_seconds (at least 600)   FILE becomes FILE.YYYYMMDDTHHMMSS.UUUUUU (UTC)
--   retain_bytes, retain_seconds   how much of what was rotated stays, and how long
--   require_env `VAR`, `VAR=value`, `VAR~regex`, `!` in front for the contrary: else the element is ignored; also of
--               an outlet
-- What cannot be, ends the program before the script runs: exit 2. SIGHUP opens the files anew. A file on a full
-- disk, or whose directory is gone, is tried again each second; what waits meanwhile is written then.

---Logs `string.format(fmt, ...)`. No newline is added. A disabled stream costs next to nothing: its arguments are not
---touched. Does not yield.
---
---Raises for a bad format, unless the stream is off, and for nil as facility or format.
---@param facility string
---@param fmt string `%s` takes any value
---@param ... any
---@return integer bytes 0 if the stream is off
function mtev.log(facility, fmt, ...) end

---As Lua's print (it is `print`): tostring, tabs between, a newline at the end. No format. Does not yield.
---@param ... any
---@return integer bytes
function mtev.print(...) end

---Chooses the stream that `mtev.print` writes to, for the whole process. It is `stdout` at first. Does not yield.
---@param facility string
function mtev.printto(facility) end

---Does a record for this stream reach a sink? false until the stream has been made or configured. Does not yield.
---@param facility string
---@return boolean
function mtev.log_enabled(facility) end

---Turns a stream on or off, for the whole process; it is made if need be. `debug/x` alone shows nothing while `debug`
---is off. Does not yield.
---@param facility string
---@param on? boolean default true
function mtev.enable_log(facility, on) end

---The records that a log of type `memory` holds, the oldest first, each with its prefix. Does not yield. Raises when
---there is no memory for all of them.
---@param facility string
---@param after? integer the number of a record: only those that came later; default 0, all
---@return string[]? lines nil if the log is not of that type
---@return integer|string last the number of the last record, to be given as `after` next time; or the reason
function mtev.log_lines(facility, after) end
