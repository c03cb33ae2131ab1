-- MB of JSON text per second of CPU.   lhotse json.lua decode|encode FILE
-- The same file runs under luajit with lua-cjson. `lhotse json.lua make DIRECTORY` writes the documents of json_documents.lua.
local what, file = ...

if what == "make" then
  for name, make in pairs(dofile("bench/json_documents.lua")) do
    local f = assert(io.open(file .. "/" .. name .. ".json", "w"))
    f:write(make())
    f:close()
  end
  return
end

local decode, encode
if mtev then
  function decode(text) return mtev.parsejson(text):document() end
  function encode(value) return mtev.tojson(value):tostring() end
else
  local cjson = require("cjson")
  decode, encode = cjson.decode, cjson.encode
end

local f = assert(io.open(file, "rb"))
local text = f:read("*a")
f:close()
local value = decode(text)
local run = what == "decode" and function() decode(text) end or function() encode(value) end
run()
local began, rounds = os.clock(), 0
repeat
  run()
  rounds = rounds + 1
until os.clock() - began > 1
print(("RESULT %.2f"):format(#text * rounds / (os.clock() - began) / 1e6))
