-- Three JSON documents, always the same: wide records, deep nesting, long strings. Text, made without any JSON library.
local documents = {}

function documents.wide()
  local records = {}
  for i = 1, 10000 do
    records[i] = ('{"id":%d,"name":"user number %d","email":"user%d@example.com","active":%s,"score":%.6f,"balance":%d,'
      .. '"tags":["alpha","beta","gamma"],"address":{"street":"%d Main Street","city":"Springfield","zip":"%05d"},'
      .. '"created":"2024-01-%02dT10:00:00Z","note":null}')
      :format(i, i, i, i % 3 == 0 and "true" or "false", i * 0.731, i * 1000003, i, i, i % 28 + 1)
  end
  return "[" .. table.concat(records, ",") .. "]"
end

function documents.deep()
  local trees = {}
  for i = 1, 400 do
    trees[i] = ('{"left":[%d,{"right":'):format(i):rep(40) .. i .. ("}]}"):rep(40)
  end
  return "[" .. table.concat(trees, ",") .. "]"
end

function documents.strings()
  local strings = {}
  for i = 1, 400 do
    local plain = ("The quick brown fox jumps over the lazy dog, number %d. "):format(i):rep(60)
    local escaped = ('a \\"quoted\\" line\\nwith a tab\\t and a path C:\\\\dir\\\\%d '):format(i):rep(20)
    local wide = ("Grüße aus Köln, 東京から、 привет %d "):format(i):rep(30)
    strings[i] = ('{"plain":"%s","escaped":"%s","wide":"%s"}'):format(plain, escaped, wide)
  end
  return "[" .. table.concat(strings, ",") .. "]"
end

return documents
