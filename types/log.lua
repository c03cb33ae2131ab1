---@meta
-- Logs: mtev.log, print, printto, log_enabled, enable_log, log_lines; <logs> of the configuration.

-- == Logs ===========================================================================================================
-- A stream has a name, is on or off, and sends to a sink or to other streams. `a/b/c` is made on first use and sends
-- to `a/b`. Built in: `stderr`, `stdout`, `error` -> `stderr`, `notice` -> `error`, and `debug` -> `stderr`, which is
-- off (`lhotse -d` turns it on). Streams belong to the process and are never removed. Records are written whole, by a
-- separate thread. At most 8 MiB wait for a slow terminal or disk: beyond that debug records are dropped first and
-- the loss is reported, as is a loss for lack of memory. Output to stdout is never dropped: the printing thread
-- waits.
--
-- The configuration defines others: each `<log name="..."/>` anywhere below `/*/logs`. Its outlets are the
-- `<outlet name="..."/>` of its own element and of those around it; attributes are inherited likewise; the nearest
-- wins. With neither `type` nor outlets it keeps the outlet it would have without the element. A record reaches a
-- file, ring or descriptor once, by however many ways; or once in each form, if the ways differ in timestamps,
-- facility, debug or format.
--   type        absent (no sink of its own), `file`, `file_synch` (written when `mtev.log` returns), `memory`,
--               `stdout`, `stderr`
--   path        of the file, whose directory must exist; for `memory`: "LINES,BYTES", default "1000,1048576"
--   timestamps, facility, debug   `on`: puts the local time, the stream's name, or the caller's thread and line in
--               front of each line
--   format      `plain` (default); `json`: one object per line, with time (RFC 3339, UTC), facility, thread, file,
--               line, message
--   disabled    `on`: off until enabled
--   rotate_bytes (at least 102400), rotate_seconds (at least 600)   FILE becomes FILE.YYYYMMDDTHHMMSS.UUUUUU (UTC)
--   retain_bytes, retain_seconds   how much of the rotated files is kept, and how long
--   require_env `VAR`, `VAR=value`, `VAR~regex`, `!` in front to negate: otherwise the element is ignored; also for
--               an outlet
-- A log that cannot be set up ends the program with status 2 before the script runs. SIGHUP reopens the files. A file
-- on a full disk, or whose directory is missing, is retried each second; records that wait meanwhile are written
-- then.

---Logs `string.format(fmt, ...)`. No newline is added. A disabled stream costs next to nothing: the arguments are not
---touched. Does not yield.
---
---Raises for a bad format, unless the stream is off, and for nil as facility or format.
---@param facility string
---@param fmt string `%s` accepts any value
---@param ... any
---@return integer bytes 0 if the stream is off
function mtev.log(facility, fmt, ...) end

---Like Lua's print (which it replaces): tostring, tabs between, a newline at the end. No format. Does not yield.
---@param ... any
---@return integer bytes
function mtev.print(...) end

---Chooses the stream that `mtev.print` writes to, for the whole process. It is `stdout` at first. Does not yield.
---@param facility string
function mtev.printto(facility) end

---Whether a record for this stream reaches a sink; false until the stream has been used or configured. Does not
---yield.
---@param facility string
---@return boolean
function mtev.log_enabled(facility) end

---Turns a stream on or off, for the whole process; creates it if needed. Enabling `debug/x` shows nothing while
---`debug` is off. Does not yield.
---@param facility string
---@param on? boolean default true
function mtev.enable_log(facility, on) end

---The records in a log of type `memory`, oldest first, each with its prefix. Does not yield. Raises if there is not
---enough memory for them.
---@param facility string
---@param after? integer the number of a record: returns only later ones; default 0, all
---@return string[]? lines nil if the log is not of that type
---@return integer|string last the number of the last record, to be passed as `after` next time; or the reason
function mtev.log_lines(facility, after) end
