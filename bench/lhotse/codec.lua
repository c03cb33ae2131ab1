-- Digests, codecs and regular expressions, per second of CPU.   lhotse codec.lua sha256|uuid|encode|decode|match|md5_1m|sha1_1m|sha256_1m
local what = ...

-- Different texts of 1 MiB, so that no result is a string that Lua has already.
local function texts(count)
  local list = {}
  for i = 1, count do
    local parts = {}
    for j = 1, 2 ^ 20 / 32 do parts[j] = mtev.sha256(i .. ":" .. j) end
    list[i] = table.concat(parts)
  end
  return list
end

-- Calls step(i) for a second; returns how many per second of CPU.
local function rate(batch, step)
  local began, count = os.clock(), 0
  repeat
    for i = 1, batch do step(count + i) end
    count = count + batch
  until os.clock() - began > 1
  return count / (os.clock() - began)
end

local function large(f, per_call, list)
  local n = #list
  return rate(32, function(i) return f(list[i % n + 1]) end) * per_call
end

local result
if what == "sha256" then
  local f, tail = mtev.sha256_hex, ("x"):rep(16)
  local inputs = {}
  for i = 1, 4096 do inputs[i] = (i .. tail):sub(1, 16) end
  result = rate(4096, function(i) return f(inputs[i % 4096 + 1]) end) / 1e6
elseif what == "uuid" then
  result = rate(4096, mtev.uuid) / 1e6
elseif what == "encode" then
  result = large(mtev.base64_encode, 2 ^ 20, texts(32)) / 1e9
elseif what == "decode" then
  local list = texts(32)
  for i, text in ipairs(list) do list[i] = mtev.base64_encode(text) end
  result = large(mtev.base64_decode, 2 ^ 20, list) / 1e9
elseif what == "match" then
  local match, lines = mtev.pcre([[(\w+)=(\d+)]]), {}
  for i = 1, 1000 do lines[i] = ("key%d=%d; "):format(i, i * i) end
  local subject = table.concat(lines)
  result = rate(10, function()
    match()
    while match(subject) do end
  end) * 1000 / 1e6
else
  result = large(mtev[what:match("^(%w+)_1m$")], 2 ^ 20, texts(1)) / 1e9 -- as openssl speed: one text
end
print(("RESULT %.3f"):format(result))
