---@meta
-- The configuration: mtev.conf_get_*, conf_replace_*, conf_save.

-- == Configuration ==================================================================================================
--
-- One XML document for the process: the file of `-c`, or one made from the command line (root `<cli>`, see `-T`).
-- Paths are XPath 1.0; relative ones begin at the document. Of several nodes the last one in document order is used,
-- so `ancestor-or-self::node()/@x` returns the deepest. An invalid path raises `bad XPath: ...`. Only conf_save
-- yields.
--
-- When a value is read, a whole value `ENV:default:{KEY}`, and each `{{ENV:default:{KEY}}}` within one, is replaced
-- by the environment variable KEY, or by the default, which has no white space and no braces.
-- `<include file="..." [snippet="true"]/>` contains the children of that file's root (for a snippet: its content).
-- Nothing is fetched; external entities are refused.
--
-- The program itself reads `/*/eventer/config/concurrency` (the number of threads, without `-n`), `<logs>`,
-- `<watchdog>`, `<modules>`, `<security>` and `<clusters>`: see log.lua, watchdog.lua, mtev.lua and cluster.lua.
-- Unknown names there are reported at the start, with the nearest known one, and ignored; in `<security>` and
-- `<clusters>` they end the program with status 2, as does an unusable value.
--
-- Changes stay in memory until `conf_save`; every thread sees each one immediately. Difference: libmtev rewrites the
-- file for every one.

---@param xpath string
---`value`: libmtev's older form of setting: changes the one node that matches, or creates it; returns true, or false
---if there is no parent or several match
---@param value? string
---`value`: nil if nothing matches; an expression that is not a node set returns its value: `count(//x)` is `"3"`
---@return string|boolean|nil value
function mtev.conf_get_string(xpath, value) end

---Decimal, `0x...`, or octal with a leading 0; at most 2^53.
---@param xpath string
---@param value? number sets, as for conf_get_string
---@return integer|boolean|nil value nil if nothing matches
---@return string? err `not an integer: 'abc'`
function mtev.conf_get_integer(xpath, value) end

---@param xpath string
---@param value? number sets, as for conf_get_string
---@return number|boolean|nil value nil if nothing matches
---@return string? err `not a number: 'abc'`
function mtev.conf_get_float(xpath, value) end

---true, on, yes, 1 and false, off, no, 0, in any case. Difference: in libmtev everything else is false.
---@param xpath string
---@param value? any sets, as for conf_get_string
---@return boolean? value nil if nothing matches
---@return string? err `not a boolean: 'abc'`
function mtev.conf_get_boolean(xpath, value) end

---Raises `Unable to read option entry: BASE CHILD` for a match without the child.
---@param base string
---@param child string relative to each match
---@return string[]? values one for each match of base; nil if there is none
function mtev.conf_get_string_list(base, child) end

---Removes the matches, and sets the path's last step, `name` (an element) or `@name` (an attribute), at its parent:
---the first of several; for `//name` where the first match was. Raises if the last step is neither, and for text that
---XML cannot hold.
---@param path string
---@param value string|number|boolean
---@return boolean? ok false: there is no parent; nil without a value
function mtev.conf_replace_value(path, value) end

---@param path string
---@param value any set as true or false, by its truth
---@return boolean? ok
function mtev.conf_replace_boolean(path, value) end

---Writes the configuration to its file, which is replaced as a whole; included parts stay in their files. If the
---coroutine is cancelled meanwhile, the file is either the old one or the new one. Yields. Extension.
---@return boolean ok
---@return string? err
function mtev.conf_save() end

---Does nothing: for scripts written for libmtev. Extension.
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
