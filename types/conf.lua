---@meta
-- The configuration: mtev.conf_get_*, conf_replace_*, conf_save.

-- == Configuration ==================================================================================================
--
-- One XML document for the process: the file of `-c`, or what the command line amounts to (root `<cli>`, see `-T`).
-- Paths are XPath 1.0, relative ones begin at the document. Of several nodes the last one in document order counts,
-- so that `ancestor-or-self::node()/@x` gives the deepest. A path that is none raises `bad XPath: ...`. None of these
-- functions but conf_save yields.
--
-- As they are read, a whole value `ENV:default:{KEY}`, and each `{{ENV:default:{KEY}}}` within one, become the
-- environment variable KEY, or the default, which has no white space and no braces.
-- `<include file="..." [snippet="true"]/>` has the children of that file's root below it (of a snippet: its content).
-- Nothing is fetched, external entities are refused.
--
-- The program itself looks at `/*/eventer/config/concurrency`: the number of threads, unless `-n` says; at `<logs>`,
-- `<watchdog>`, `<modules>`, `<security>` and `<clusters>`, as the sections on these say. What it does not know there
-- is reported at the start, with the name that is nearest, and ignored; a value that it cannot use ends it with
-- status 2.
--
-- Changes stay in memory until `conf_save`; every thread sees each of them at once. Difference: libmtev rewrites the
-- file at every one.

---@param xpath string
---`value`: in libmtev's older form sets: changes the one node that matches, or makes it; then the result is true, or
---false when there is no parent or several match
---@param value? string
---@return string|boolean|nil value nil when nothing matches; what is no node set gives its value: `count(//x)` is `"3"`
function mtev.conf_get_string(xpath, value) end

---Decimal, `0x...`, or octal with a leading 0; at most 2^53.
---@param xpath string
---@param value? number sets, as for conf_get_string
---@return integer|boolean|nil value nil when nothing matches
---@return string? err `not an integer: 'abc'`
function mtev.conf_get_integer(xpath, value) end

---@param xpath string
---@param value? number sets, as for conf_get_string
---@return number|boolean|nil value nil when nothing matches
---@return string? err `not a number: 'abc'`
function mtev.conf_get_float(xpath, value) end

---true, on, yes, 1 and false, off, no, 0, in any case. Difference: in libmtev all else is false.
---@param xpath string
---@param value? any sets, as for conf_get_string
---@return boolean? value nil when nothing matches
---@return string? err `not a boolean: 'abc'`
function mtev.conf_get_boolean(xpath, value) end

---Raises `Unable to read option entry: BASE CHILD` for a match without the child.
---@param base string
---@param child string relative to each match
---@return string[]? values one for each match of base; nil when there is none
function mtev.conf_get_string_list(base, child) end

---Removes what matches, and sets the path's last step, `name` (an element) or `@name` (an attribute), at its parent:
---the first of several; for `//name` where the first match was. Raises when the last step is neither, and for text
---that XML cannot hold.
---@param path string
---@param value string|number|boolean
---@return boolean? ok false: there is no parent; nil without a value
function mtev.conf_replace_value(path, value) end

---@param path string
---@param value any true or false by its truth
---@return boolean? ok
function mtev.conf_replace_boolean(path, value) end

---Writes the configuration to its file, which is replaced as a whole; what was included stays in its files. A
---coroutine that is cancelled meanwhile leaves the old file or the new one, and no other. Yields. Extension.
---@return boolean ok
---@return string? err
function mtev.conf_save() end

---Nothing: for scripts that tell libmtev so. Extension.
function mtev.conf_mark_changed() end

---libmtev's name for conf_get_string.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf(xpath, value) end

---libmtev's name for conf_get_string.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_get(xpath, value) end

---libmtev's name for conf_get_string.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_string(xpath, value) end

---libmtev's name for conf_get_integer.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_integer(xpath, value) end

---libmtev's name for conf_get_float.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_number(xpath, value) end

---libmtev's name for conf_get_float.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_get_number(xpath, value) end

---libmtev's name for conf_get_boolean.
---@param xpath string
---@param value? any
---@return any value
---@return string? err
function mtev.conf_boolean(xpath, value) end

---libmtev's name for conf_replace_value.
---@param path string
---@param value string|number|boolean
---@return boolean? ok
function mtev.conf_replace_string(path, value) end

---libmtev's name for conf_replace_value.
---@param path string
---@param value string|number|boolean
---@return boolean? ok
function mtev.conf_replace_integer(path, value) end

---libmtev's name for conf_replace_value.
---@param path string
---@param value string|number|boolean
---@return boolean? ok
function mtev.conf_replace_number(path, value) end
