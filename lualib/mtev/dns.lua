-- mtev.dns's methods, mtev.getaddrinfo.

local mtev, core = ...
local lookup, getaddrinfo, ip_family = core.dns_lookup, core.getaddrinfo, core.ip_family
local check_interrupted = core.check_interrupted
local methods, type, unpack = core.dns_methods, type, unpack

local function finish(...)
  local _, err, message = ...
  check_interrupted(err, message)
  return ...
end

function methods.lookup(self, name, rtype, ctype)
  local records, err, message = lookup(self, name, rtype, ctype)
  if records then return unpack(records) end
  check_interrupted(err, message)
  return nil, err
end

-- d:is_valid_ip(text) or d.is_valid_ip(text)
function methods.is_valid_ip(self, text)
  if type(self) ~= "userdata" then text = self end
  local family = type(text) == "string" and ip_family(text)
  if family then return true, family end
  return false, nil
end

function mtev.getaddrinfo(...)
  if select("#", ...) ~= 1 then error("bad argument #2 to 'getaddrinfo' (exactly one name expected)", 2) end
  return finish(getaddrinfo((...)))
end
