-- How functions of the built-in Lua library check arguments: misuse raises at the script's line, in Lua's own words.
-- Each is to be called directly from the API function: errors name its caller.

local mtev, core = ...

local check = {}
core.check = check

-- A table's fields in a new one: what a script handed over may change later.
function core.copy(t)
  local copy = {}
  for key, value in pairs(t) do copy[key] = value end
  return copy
end

local LEVEL = 3 -- the caller of the function that checks

local function got(value)
  if value ~= value then return "NaN" end
  return core.type_name(value)
end

local function raise(index, name, expected, value)
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(index, name, expected, got(value)), LEVEL + 1)
end

-- What may be asked for, and may stand in a header Host: a name, or an address, with its zone if it has one.
function check.is_host(host)
  return type(host) == "string" and (host:find("^[%w._~!$&'()*+,;=:-]+$") or host:find("^[%x:.]+%%[%w._~-]+$")) ~= nil
end

-- Not what a header Host is to be (RFC 9110, 7.2), but what may go there: scripts send addresses without brackets and
-- paths, too. What two readers could take for different hosts may not.
function check.is_host_field(value)
  return not value:match("^[ \t]*(.-)[ \t]*$"):find("[%s@?#\\]")
end

-- It as in a URL: an IPv6 address in brackets, without its zone (fe80::1%eth0), which is nobody else's business.
function check.bracketed(host)
  return host:find(":", 1, true) and "[" .. host:match("^[^%%]*") .. "]" or host
end

-- nil stays nil in the opt_ functions.

function check.type(value, expected, index, name)
  if type(value) ~= expected then raise(index, name, expected, value) end
  return value
end

function check.opt_type(value, expected, index, name)
  if value ~= nil and type(value) ~= expected then raise(index, name, expected, value) end
  return value
end

-- `expected`: what the error says, when it is not only strings.
function check.string(value, index, name, expected)
  if type(value) == "number" then return tostring(value) end
  if type(value) ~= "string" then raise(index, name, expected or "string", value) end
  return value
end

function check.opt_string(value, index, name)
  if value == nil then return nil end
  if type(value) == "number" then return tostring(value) end
  if type(value) ~= "string" then raise(index, name, "string", value) end
  return value
end

-- A number or a numeric string, not NaN; or a timeval's seconds.
function check.opt_number(value, index, name)
  if value == nil then return nil end
  local number = (type(value) == "number" or type(value) == "string") and tonumber(value)
    or type(value) == "cdata" and core.seconds_of(value)
  if not number or number ~= number then raise(index, name, "number", number or value) end
  return number
end

-- The name of a server, as its certificate is to have it. `what`: "argument #1", "option 'snihost'".
function check.server_name(text, what, name)
  local read, why = core.tls_name(text)
  if read then return read end
  local shown = text:sub(1, 100):gsub("%c", function(c) return ("\\%d"):format(c:byte()) end)
  core.raise(("bad %s to '%s' (host name or address expected, got '%s': %s)"):format(what, name, shown, why))
end

-- `self` is an object of the class.
function check.self(self, class, class_name, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (%s expected, got %s)"):format(name, class_name, got(self)), LEVEL)
  end
end

-- -- Tables of options ------------------------------------------------------------------------------------------------
--
-- `known`: option -> the kind of its value. A misspelt option raises, because to ignore it would silently mean
-- something else. src/runtime/option_table.h does the same for functions written in C.

local boolean, word_distance, raise_here, is_first = core.boolean, core.word_distance, core.raise, core.is_first

-- The value as the option's kind has it; nil: it is none.
local convert = {
  number = function(value)
    local number = (type(value) == "number" or type(value) == "string") and tonumber(value)
    if number == number then return number or nil end
  end,
  boolean = function(value)
    if type(value) == "boolean" then return value end
    if type(value) == "string" or type(value) == "number" then return boolean(tostring(value)) end
  end,
  port = function(value)
    local number = (type(value) == "number" or type(value) == "string") and tonumber(value)
    if number and number >= 0 and number <= 65535 and number % 1 == 0 then return number end
  end,
  ["function"] = function(value)
    if type(value) == "function" then return value end
    local meta = type(value) == "table" and getmetatable(value)
    if type(meta) == "table" and meta.__call then return value end
  end,
}
for _, kind in ipairs { "string", "table" } do
  convert[kind] = function(value)
    if type(value) == kind then return value end
  end
end
-- Of a length of time, less than nothing is nothing.
function convert.seconds(value)
  local number = type(value) == "cdata" and core.seconds_of(value) or convert.number(value)
  return number and math.max(number, 0)
end
function convert.any(value) return value end
function convert.count(value)
  local number = convert.number(value)
  if number and number >= 0 then return number end
end

local EXPECTED = { seconds = "number", count = "number from 0", port = "port from 0 to 65535" }
local SHOWS_VALUE = { count = true, port = true, boolean = true } -- where its type says too little

-- The key of `known` that `word` was probably meant to be.
function check.nearest(word, known)
  local nearest, least
  if type(word) ~= "string" then return nil end
  for name in pairs(known) do
    local distance = word_distance(word, name)
    if distance and (not least or distance < least or (distance == least and name < nearest)) then
      nearest, least = name, distance
    end
  end
  return nearest
end

function check.unknown_option(key, known, name)
  local nearest = check.nearest(key, known)
  local to, hint = name and (" to '%s'"):format(name) or "", nearest and (" (did you mean '%s'?)"):format(nearest) or ""
  return ("unknown option '%s'%s%s"):format(tostring(key), to, hint), nearest
end

local function raise_option(key, name, kind, value)
  local is_shown = SHOWS_VALUE[kind] and (type(value) == "number" or type(value) == "string")
  local shown = is_shown and ("'%s'"):format(tostring(value):sub(1, 100)) or got(value)
  raise_here(("bad option '%s' to '%s' (%s expected, got %s)"):format(key, name, EXPECTED[kind] or kind, shown))
end

local function raise_unknown(key, known, name)
  raise_here((check.unknown_option(key, known, name)))
end

local function warn_of_unknown(key, known, name)
  local message = check.unknown_option(key, known, name)
  if is_first(message) then mtev.log("error", "lhotse: %s%s\n", core.position(), message) end
end

local function convert_all(options, known, name, on_unknown)
  local converted = options
  for key, value in pairs(options) do
    local kind = known[key]
    if not kind then
      on_unknown(key, known, name)
    else
      local new = convert[kind](value)
      if new == nil then raise_option(key, name, kind, value) end
      if new ~= value then
        if converted == options then converted = core.copy(options) end
        converted[key] = new
      end
    end
  end
  return converted
end

-- The options with their values converted: the same table when nothing had to be. `name`: the function's.
function check.options(options, known, name)
  return convert_all(options, known, name, raise_unknown)
end

-- The same for tables that scripts written for libmtev hand over: they may hold strangers. A warning for each, once.
function check.foreign_options(options, known, name)
  return convert_all(options, known, name, warn_of_unknown)
end

check.warn_of_unknown = warn_of_unknown
