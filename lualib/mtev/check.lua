-- How functions of the built-in Lua library check arguments: misuse raises at the script's line, in Lua's own words. Each is
-- to be called directly from the API function: errors name its caller.

local _, core = ...

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
  return value == nil and "nil" or type(value)
end

local function raise(index, name, expected, value)
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(index, name, expected, got(value)), LEVEL + 1)
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

-- A number or a numeric string, not NaN.
function check.opt_number(value, index, name)
  if value == nil then return nil end
  local number = (type(value) == "number" or type(value) == "string") and tonumber(value)
  if not number or number ~= number then raise(index, name, "number", number or value) end
  return number
end

-- `self` is an object of the class.
function check.self(self, class, class_name, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (%s expected, got %s)"):format(name, class_name, got(self)), LEVEL)
  end
end
