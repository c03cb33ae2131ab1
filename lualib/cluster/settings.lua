-- What the configuration says of a cluster, and what is wrong with it.

local mtev, core = ...
local parse_endpoint = core.require("cluster/etcd").parse_endpoint

local Settings = {}

local DEFAULTS = { ttl = 5, timeout = 5 } -- seconds
local TTL_LEAST, TTL_MOST = 2, 86400

-- The number of the <cluster> of that name, or nil.
function Settings.find(name)
  local names = mtev.conf_get_string_list("/*/clusters/cluster", "@name")
  for i = 1, names and #names or 0 do
    if names[i] == name then return i end
  end
end

local function seconds(path, name, attribute, least, most)
  local text = mtev.conf_get_string(path .. "/@" .. attribute)
  local value = text and tonumber(text) or DEFAULTS[attribute]
  if text and not tonumber(text) or not (value >= least and value <= most) then -- nor is it NaN
    local expected = ("seconds from %g to %g expected, got '%s'"):format(least, most, tostring(text))
    error(("cluster '%s': %s: %s"):format(name, attribute, expected), 0)
  end
  return value
end

-- Without the attribute the cluster is this process alone; but not for want of a value in it.
local function endpoints_of(name, text)
  if text and not text:find("[^%s,]") then error(("cluster '%s': endpoints: it is empty"):format(name), 0) end
  for endpoint in (text or ""):gmatch("[^,%s]+") do
    if not parse_endpoint(endpoint) then
      error(("cluster '%s': endpoint '%s': http://HOST:PORT or https://HOST:PORT expected"):format(name, endpoint), 0)
    end
  end
  return text
end

function Settings.read(name, number)
  local path = ("/*/clusters/cluster[%d]"):format(number)
  local function attribute(key)
    return mtev.conf_get_string(path .. "/@" .. key)
  end
  if mtev.conf_get_string(path .. "/node") then
    local message = "cluster '%s': lists of <node> are libmtev's; here a cluster has endpoints of etcd, or none"
    error(message:format(name), 0)
  end
  return {
    endpoints = endpoints_of(name, attribute("endpoints")),
    prefix = attribute("prefix") or "/lhotse/" .. name .. "/",
    ttl = math.ceil(seconds(path, name, "ttl", TTL_LEAST, TTL_MOST)),
    timeout = seconds(path, name, "timeout", 0.1, 3600),
    node = attribute("node"),
    user = attribute("user"), password = attribute("password"),
    ca = attribute("ca"), certificate = attribute("certificate"), key = attribute("key"),
  }
end

-- The first thing that is wrong with a cluster's settings, nil = nothing.
function Settings.problem()
  local seen = {}
  for i = 1, tonumber(mtev.conf_get_string("count(/*/clusters/cluster)")) do
    local path = ("/*/clusters/cluster[%d]"):format(i)
    local name = mtev.conf_get_string(path .. "/@name")
    if not name or name == "" then return "a <cluster> needs a name" end
    if seen[name] then return ("cluster '%s': it is there twice"):format(name) end
    seen[name] = true
    -- One in libmtev's form disturbs only the scripts that ask for it.
    local ok, problem = pcall(Settings.read, name, i)
    if not ok and not mtev.conf_get_string(path .. "/node") then return problem end
  end
end

return Settings
