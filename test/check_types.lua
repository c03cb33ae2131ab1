-- Every function that scripts can reach has an entry in types/ and a spec that calls it; every entry exists at run time, and
-- stands in one file only.

local problems = {}

local function complain(...)
  problems[#problems + 1] = string.format(...)
end

local function read(file)
  local handle = assert(io.open(file))
  local text = handle:read("*a")
  handle:close()
  return text
end

local function files(pattern)
  local names = {}
  local list = io.popen("ls " .. pattern)
  for file in list:lines() do names[#names + 1] = file end
  list:close()
  return names
end

local specs = {}
for _, file in ipairs(files("test/spec/*_spec.lua")) do specs[#specs + 1] = read(file) end
specs = table.concat(specs)

local documented, found_in = {}, {}
for _, file in ipairs(files("types/*.lua")) do
  for name in read(file):gmatch("\nfunction ([%w_.:]+)%(") do
    if documented[name] then complain("%s has an entry in %s and one in %s", name, found_in[name], file) end
    documented[name], found_in[name] = true, file
  end
end

local function check(object, prefix, separator, calls)
  for name, value in pairs(object) do
    local full = prefix .. separator .. name
    if type(value) == "function" and not name:find("^__") then
      if not documented[full] then complain("%s has no entry in types/", full) end
      documented[full] = nil
      if not specs:find(calls .. "%f[%w_]" .. name .. "%f[^%w_]") then complain("%s is called by no spec", full) end
    end
  end
end

local function methods_of(object)
  return getmetatable(object).__index
end

check(mtev, "mtev", ".", "mtev%.")
check(mtev.timeval, "mtev.timeval", ".", "")
check(methods_of(mtev.socket("inet")), "eventer", ":", "[:.]")
check(methods_of(mtev.semaphore("check", 0)), "semaphore", ":", "[:.]")
check(methods_of(mtev.spawn("/bin/true")), "process", ":", "[:.]")
check(methods_of(mtev.tojson(1)), "json", ":", "[:.]")
check(methods_of(mtev.parsexml("<a/>")), "xmldoc", ":", "[:.]")
check(methods_of(mtev.parsexml("<a/>"):root()), "xmlnode", ":", "[:.]")
check(methods_of(mtev.dns("127.0.0.1")), "dns", ":", "[:.]")
local listener = mtev.reverse_listen { address = "127.0.0.1", port = 0, insecure = true }
check(methods_of(listener), "reverse_listener", ":", "[:.]")
check(methods_of(mtev.reverse_connect { host = "127.0.0.1", port = 1, name = "check", accept = print }), "reverse_dialler", ":", "[:.]")
check({ extract = mtev.timezone("UTC").extract }, "timezone", ":", "[:.]")
check(mtev.Api, "mtev.Api", ":", "[:.]")
check(mtev.ApiResponse, "mtev.ApiResponse", ":", "[:.]")
check(require("mtev.HttpClient"), "HttpClient", ":", "[:.]")
mtev.websocket_client_connect("127.0.0.1", 1, "/", "", { cleanup = function(ws)
  check(methods_of(ws), "websocket_client", ":", "[:.]")
  mtev.notify("checked")
end })
mtev.waitfor("checked")
mtev.conf_replace_value("/*/clusters", "")
mtev.conf_replace_value("/*/clusters/cluster", "")
mtev.conf_replace_value("/*/clusters/cluster/@name", "check")
local cluster = mtev.cluster("check")
check(methods_of(cluster), "cluster", ":", "[:.]")
check(methods_of(cluster:semaphore("check")), "cluster_semaphore", ":", "[:.]")
check(mtev.Proc, "Proc", ":", "[:.]")
check(mtev.LogWatch, "LogWatch", ":", "[:.]")
check(require("mtev.debug"), "debug", ".", "")
for _, name in ipairs { "printf", "errorf" } do
  if not documented[name] then complain("%s has no entry in types/", name) end
  documented[name] = nil
end
documented["timeval:seconds"] = nil
for name in pairs(documented) do complain("%s documents %s, which does not exist", found_in[name], name) end

table.sort(problems)
for _, problem in ipairs(problems) do io.write(problem, "\n") end
io.write(#problems, " problems\n")
os.exit(#problems == 0)
