-- mtev.parsejson, mtev.tojson, mtev.json.

local function decode(text, options)
  local j, message, offset = mtev.parsejson(text)
  assert(j, ("%s at %s in %s"):format(tostring(message), tostring(offset), text))
  return j:document(options)
end

local function encode(value, depth)
  return mtev.tojson(value, depth):tostring()
end

describe("mtev.parsejson", function()
  it("gives an object whose document is a Lua value", function()
    local j = mtev.parsejson('{"name": "x", "list": [1, 2.5, -3e2, true, false], "inner": {"a": {}}}')
    assert.same({ name = "x", list = { 1, 2.5, -300, true, false }, inner = { a = {} } }, j:document())
    assert.equal("userdata", type(j))
    assert.same(j:document(), j:document()) -- as often as one likes
  end)

  it("takes any scalar as document", function()
    assert.equal(1, decode("1"))
    assert.equal("x", decode(' "x" '))
    assert.is_true(decode("true"))
    assert.is_nil(decode("null"))
  end)

  it("leaves out null in objects, and a hole in arrays, or puts what it is told", function()
    assert.same({ b = 1 }, decode('{"a": null, "b": 1}'))
    assert.same({ 1, nil, 3 }, decode("[1, null, 3]"))
    local null = {}
    assert.equal(null, decode('{"a": null}', { null = null }).a)
    assert.same({ 1, false, 3 }, decode("[1, null, 3]", { null = false }))
    assert.equal("N", decode("null", { null = "N" }))
  end)

  it("takes the last of equal keys", function()
    assert.same({ a = 2 }, decode('{"a": 1, "a": 2}'))
    assert.same({}, decode('{"a": 1, "a": null}'))
    assert.same({ a = 3 }, decode('{"a": null, "a": 3}'))
  end)

  it("keeps every integer below 2^53, and the digits of larger ones", function()
    assert.equal(9007199254740991, decode("9007199254740991"))
    assert.equal(-9007199254740991, decode("-9007199254740991"))
    assert.equal("9007199254740992", decode("9007199254740992"))
    assert.equal("-9007199254740993", decode("-9007199254740993"))
    assert.equal("9223372036854775808", decode("9223372036854775808"))
    assert.equal("18446744073709551616", decode("18446744073709551616"))
    assert.same({ "-123456789012345678901234567890", a = nil }, decode("[-123456789012345678901234567890]"))
    assert.same({ ["18446744073709551616"] = "18446744073709551616" }, decode('{"18446744073709551616": 18446744073709551616}'))
    assert.equal(1e22, decode("1e22"))
  end)

  it("gives 64-bit integers of LuaJIT if told so", function()
    assert.is_true(decode("9007199254740993", { int64 = true }) == 9007199254740993LL)
    assert.is_true(decode("-9223372036854775808", { int64 = true }) == -9223372036854775807LL - 1)
    assert.is_true(decode("18446744073709551615", { int64 = true }) == 18446744073709551615ULL)
    assert.equal(7, decode("7", { int64 = true }))
  end)

  it("reads numbers to the last bit", function()
    for _, text in ipairs { "0.1", "1e-320", "4.9e-324", "1.7976931348623157e308", "2.2250738585072011e-308", "123456.789e3" } do
      assert.equal(tonumber(text), decode(text))
    end
    assert.equal(0, decode("1e-400"))
    assert.equal(-math.huge, 1 / decode("-0.0"))
  end)

  -- The parser's integers have no sign of zero: the text is asked, whose zeros come in the same order.
  it("reads the negative zero", function()
    local function signs(text)
      local list = {}
      for i, value in ipairs(mtev.parsejson(text):document()) do list[i] = type(value) == "number" and 1 / value or value end
      return list
    end
    local minus, plus = -math.huge, math.huge
    assert.same({ minus }, signs("[-0]"))
    assert.same({ plus, minus, plus, minus, -10, minus }, signs('[0, -0,0 ,\n-0,-0.1e0,-0.0]'))
    assert.same({ "-0", plus, '\\"-0', minus, "18446744073709551616", plus }, signs([=[["-0",0,"\\\"-0",-0,18446744073709551616,0]]=]))
    assert.equal(minus, 1 / mtev.parsejson("-0"):document())
    local document = mtev.parsejson('{"-0": 0, "a": {"b": -0}}')
    assert.equal('{"-0":0,"a":{"b":-0}}', document:tostring())
    assert.same({ plus, minus }, { 1 / document:document()["-0"], 1 / document:document { int64 = true }.a.b })
    assert.equal(minus, 1 / mtev.parsejson(mtev.tojson(-0.0):tostring()):document())
  end)

  it("keeps strings of any length and content", function()
    assert.equal("a\0b\"\\/\b\f\n\r\t", decode([["a\u0000b\"\\\/\b\f\n\r\t"]]))
    assert.equal("é€😀", decode([["\u00e9\u20ac\ud83d\ude00"]]))
    assert.equal("é€😀", decode('"é€😀"'))
    local long = ("0123456789abcde\n"):rep(1e5)
    assert.is_true(decode(encode(long)) == long)
    assert.equal("", decode('""'))
  end)

  it("says what is wrong, and at which byte", function()
    for text, expected in pairs {
      [""] = { "unexpected end", 0 }, ["  "] = { "unexpected end", 2 }, ["[1"] = { "unexpected end", 2 },
      ["[1,]"] = { "value expected", 3 }, ["[,1]"] = { "value expected", 1 }, ['{"a":}'] = { "value expected", 5 },
      ['{"a" 1}'] = { "colon expected", 5 }, ["{1:2}"] = { "string expected as key", 1 }, ["{,}"] = { "string expected as key", 1 },
      ['{"a":1,}'] = { "string expected as key", 7 }, ["[1 2]"] = { "comma or ] expected", 3 },
      ['{"a":1 "b":2}'] = { "comma or } expected", 7 }, ["[1}"] = { "comma or ] expected", 2 },
      ["[1] x"] = { "trailing garbage", 4 }, ["[1]]"] = { "trailing garbage", 3 }, ["1\0"] = { "trailing garbage", 1 },
      ["01"] = { "leading zero", 1 }, ["-"] = { "unexpected end", 1 }, ["-x"] = { "digit expected", 1 },
      ["[1.]"] = { "digit expected", 3 }, [".5"] = { "value expected", 0 }, ["[1e]"] = { "digit expected", 3 }, ["+1"] = { "value expected", 0 },
      ["tru"] = { "unexpected end", 3 }, ["[nul]"] = { "value expected", 4 }, ["NaN"] = { "value expected", 0 }, ["// x"] = { "value expected", 0 },
      ["'a'"] = { "value expected", 0 }, ['"a\1"'] = { "control character in a string", 2 }, ['"\\x"'] = { "bad escape", 2 },
      ['"\\u12g4"'] = { "bad \\u escape", 5 }, ['"a'] = { "unexpected end", 2 }, ['"\\'] = { "unexpected end", 2 },
      ['"\\ud800"'] = { "lone surrogate", 1 }, ['"x\\udc00"'] = { "lone surrogate", 2 }, ['"\\ud800\\u0041"'] = { "lone surrogate", 1 },
      ['["a\255"]'] = { "invalid UTF-8", 3 }, ['"\192\128"'] = { "invalid UTF-8", 1 }, ['"\237\160\128"'] = { "invalid UTF-8", 1 },
      ["\239\187\191{}"] = { "value expected", 0 }, ["[1e400]"] = { "number out of range", 1 },
      ["[99999999999999999999999, -1e999]"] = { "number out of range", 26 },
    } do
      local j, message, offset = mtev.parsejson(text)
      assert.is_nil(j)
      assert.same({ text, expected[1], expected[2] }, { text, message, offset })
    end
  end)

  it("goes 1024 levels deep, and no deeper", function()
    assert.is_truthy(mtev.parsejson(("["):rep(1024) .. ("]"):rep(1024)))
    assert.same({ nil, "nesting deeper than 1024", 1024 }, { mtev.parsejson(("["):rep(1025) .. ("]"):rep(1025)) })
    local value = decode(('{"a":['):rep(500) .. ("]}"):rep(500))
    for _ = 1, 500 do value = value.a[1] or {} end
    assert.same({}, value)
    assert.same({ nil, "nesting deeper than 1024", 1024 }, { mtev.parsejson(("["):rep(1e6)) })
  end)

  it("keeps documents apart, in whatever order they are used", function()
    local a, b = mtev.parsejson("[1]"), mtev.parsejson("[2]")
    assert.same({ 1 }, a:document())
    assert.same({ 2 }, b:document())
    assert.same({ 1 }, a:document())
    mtev.parsejson("[")
    assert.same({ 2 }, b:document())
    local many = {}
    for i = 1, 1000 do many[i] = mtev.parsejson("[" .. i .. "]") end
    collectgarbage()
    for i = 1, 1000 do assert.same({ i }, many[i]:document()) end
  end)

  it("knows keys from one another, however alike", function()
    local expected, parts = {}, {}
    for i = 1, 2000 do
      local key = ("k"):rep(i % 70) .. i
      expected[key] = i
      parts[#parts + 1] = ('"%s":%d'):format(key, i)
    end
    expected[""], expected.a, expected.ab = 1, 2, 3
    parts[#parts + 1] = '"":1,"a":2,"ab":3'
    local record = "{" .. table.concat(parts, ",") .. "}"
    local both = decode("[" .. record .. "," .. record .. "]")
    assert.same(expected, both[1])
    assert.same(expected, both[2])
  end)

  it("raises for misuse", function()
    assert.error_matches(function() mtev.parsejson() end, "bad argument #1 to 'parsejson' (string expected, got no value)", 1, true)
    local j = mtev.parsejson("1")
    assert.error_matches(function() j.document({}) end, "mtev.json expected, got table", 1, true)
    assert.error_matches(function() j:document(1) end, "bad argument #1 to 'document' (table expected, got number)", 1, true)
    assert.is_nil(j.other)
  end)
end)

describe("json:tostring", function()
  it("is compact, and otherwise the text that was parsed", function()
    local j = mtev.parsejson(' { "b" : [ 1.50 , 2 ] ,\n "a" : "x  y" } ')
    assert.equal('{"b":[1.50,2],"a":"x  y"}', j:tostring())
    assert.equal('{"b":[1.50,2],"a":"x  y"}', tostring(j))
    assert.same({ b = { 1.5, 2 }, a = "x  y" }, j:document())
    assert.equal("[]", mtev.parsejson("[]"):tostring())
  end)
end)

describe("mtev.tojson", function()
  it("gives an object whose text is JSON", function()
    assert.equal('[1,"two",true,false]', encode { 1, "two", true, false })
    assert.equal('{"a":{"b":[]}}', encode { a = { b = {} } })
    assert.same({ a = { 1, 2 } }, mtev.tojson({ a = { 1, 2 } }):document())
    assert.equal("null", encode(nil))
    assert.equal('"x"', tostring(mtev.tojson("x")))
  end)

  it("makes arrays of tables with positive integer keys only; holes become null", function()
    assert.equal("[]", encode {})
    assert.equal("[1,null,3]", encode { 1, nil, 3 })
    assert.equal("[null,2]", encode { [2] = 2 })
    assert.equal("[1,null,null,null,null,null,null,8]", encode { [8] = 8, [1] = 1 })
    assert.error_matches(function() encode { [1] = 1, [9] = 9 } end, "more than three times as many holes as values", 1, true)
    assert.error_matches(function() encode { x = { [2 ^ 31 - 1] = 1 } } end, "more than three times as many holes as values at x", 1, true)
    local reversed = {}
    for i = 100, 1, -1 do reversed[i] = i end
    assert.equal("[" .. table.concat(reversed, ",") .. "]", encode(reversed))
  end)

  it("makes objects of all others", function()
    assert.equal('{"0":1}', encode { [0] = 1 })
    assert.equal('{"-1":1}', encode { [-1] = 1 })
    assert.equal('{"1.5":1}', encode { [1.5] = 1 })
    assert.equal('{"1e+15":1}', encode { [1e15] = 1 })
    assert.same({ ["1"] = 1, ["2"] = {}, a = "b" }, decode(encode { 1, {}, a = "b" }))
    assert.same({ ["1"] = {}, ["2"] = {}, ["4"] = 4, a = 1 }, decode(encode { {}, {}, [4] = 4, a = 1 }))
    assert.same({ a = 1 }, decode(encode { a = 1, [true] = 2, [{}] = 3 }))
  end)

  -- Names that are equal as text have no place in an object (RFC 8259, section 4): readers keep one of them, any.
  it("refuses two keys that are the same as text", function()
    local function refuses(value, place)
      local message = "cannot encode as JSON: a second member of the same name at " .. place
      assert.error_matches(function() mtev.tojson(value) end, message, 1, true)
    end
    refuses({ [1] = 1, ["1"] = 2 }, "[1]")
    refuses({ 1, 2, 3, ["2"] = 2 }, "[2]")
    refuses({ a = { [-1.5] = 1, ["-1.5"] = { } } }, "a[-1.5]")
    refuses({ [1e15 + 1] = 1, [1e15 + 2] = 2 }, "[1e+15]")
    refuses({ [0.1] = 1, [0.1 + 2^-56] = 2 }, "[0.1]")
    assert.equal('{"1":1}', mtev.tojson({ [1] = 1, ["1"] = print }):tostring())
    assert.same({ ["1"] = 1, ["01"] = 2, ["1.0"] = 3 }, mtev.parsejson(mtev.tojson({ [1] = 1, ["01"] = 2, ["1.0"] = 3 }):tostring()):document())
  end)

  it("is linear in mixed tables, however they are nested", function()
    local value = { 1 }
    for _ = 1, 500 do value = { value, k = 1 } end -- two ways to try at each level would be 2^500
    assert.equal('{"1":{"1":', encode(value):gsub('"k":1,', ""):sub(1, 10))
  end)

  it("leaves out what JSON has not: null in arrays, nothing in objects", function()
    assert.equal("[1,null,2]", encode { 1, print, 2 })
    assert.equal("[null,null,null]", encode { newproxy(), coroutine.create(print), 1LL })
    assert.equal("{}", encode { f = print }:gsub("%[%]", "{}"))
    assert.equal('{"a":1}', encode { f = print, a = 1, u = newproxy() })
  end)

  it("writes numbers so that they read back the same", function()
    assert.equal("[0,-1,1.5,0.1,9007199254740992,9223372036854774784]", encode { 0, -1, 1.5, 0.1, 2 ^ 53, 2 ^ 63 - 1024 })
    assert.equal("1e+22", encode(1e22))
    assert.equal("5e-324", encode(4.9e-324))
    math.randomseed(7)
    for _ = 1, 2000 do
      local x = (math.random() - 0.5) * 10 ^ math.random(-300, 300)
      assert.equal(x, tonumber(encode(x)))
      assert.equal(x, tonumber(decode(encode(x)))) -- integers from 2^53 on come back as digits
    end
    for _, bad in ipairs { math.huge, -math.huge, 0 / 0 } do
      assert.error_matches(function() encode { a = { b = { bad } } } end, "^cannot encode as JSON: .* at a%.b%[1%]$")
    end
  end)

  it("escapes what must be, and no more", function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u001f]] .. "\127é" .. '"', encode("\"\\/\b\f\n\r\t\0\31\127é"))
    for i = 0, 40 do -- at every place of the eight bytes that are looked at together
      local text = ("x"):rep(i) .. "\"" .. ("y"):rep(40 - i)
      assert.equal(text, decode(encode(text)))
    end
    local all = {}
    for i = 0, 127 do all[#all + 1] = string.char(i) end
    all = table.concat(all)
    assert.equal(all:rep(100), decode(encode(all:rep(100))))
    assert.equal('{"a\\"b":1}', encode { ["a\"b"] = 1 })
  end)

  it("raises for invalid UTF-8 and says where", function()
    assert.error_matches(function() encode { a = { "ok", "\255" } } end, "cannot encode as JSON: invalid UTF-8 at a[2]", 1, true)
    assert.error_matches(function() encode("\128") end, "cannot encode as JSON: invalid UTF-8", 1, true)
    assert.error_matches(function() encode(("x"):rep(5000) .. "\195") end, "invalid UTF-8", 1, true)
    assert.equal('[1]', encode { 1 }) -- what was begun is forgotten
  end)

  it("raises for tables that contain themselves or go too deep", function()
    local t = { a = {} }
    t.a.b = t
    assert.error_matches(function() encode(t) end, "a table that contains itself at ...", 1, true)
    local deep = {}
    for _ = 1, 1023 do deep = { deep } end
    assert.equal(2048, #encode(deep))
    assert.error_matches(function() encode { deep } end, "tables nested deeper than 1024", 1, true)
  end)

  it("elides what is deeper than it is told", function()
    local value = { 1, { 2, { 3 } } }
    assert.equal('[1,"[depth elided]"]', encode(value, 1))
    assert.equal('[1,[2,"[depth elided]"]]', encode(value, 2))
    assert.equal("[1,[2,[3]]]", encode(value, 3))
    assert.equal("[1,[2,[3]]]", encode(value, -1))
    assert.equal('"[depth elided]"', encode(value, 0))
    assert.equal("1", encode(1, 0))
    local t = {}
    t[1] = t
    assert.equal('[["[depth elided]"]]', encode(t, 2))
  end)

  it("returns what it was given by way of a document", function()
    local value = {
      list = { 1, 2, { x = { "y" } } }, text = "é\n", truth = false, number = -2 ^ 53 + 1, empty = {}, float = 1 / 3,
    }
    assert.same(value, decode(encode(value)))
  end)

  it("needs little memory beside its text", function()
    local resident = function()
      local f = io.open("/proc/self/status")
      local peak = tonumber(f:read("*a"):match("VmHWM:%s*(%d+)")) * 1024
      f:close()
      return peak
    end
    local size = os.getenv("LHOTSE_SLOW_BUILD") and 4e6 or 100e6
    local part = ("0123456789"):rep(1000)
    local list = {}
    for i = 1, size / 10000 do list[i] = part end
    collectgarbage()
    local before = resident()
    local text = mtev.tojson(list):tostring()
    local used = (resident() - before) / #text
    print(("  tojson: %.0f MB of text cost %.2f times as much at the peak"):format(#text / 1e6, used))
    if not os.getenv("LHOTSE_SLOW_BUILD") then assert.is_true(used < 2.5) end -- sanitizers have memory of their own
  end)

  it("raises for misuse", function()
    assert.error_matches(function() mtev.tojson() end, "bad argument #1 to 'tojson' (value expected)", 1, true)
    assert.error_matches(function() mtev.tojson(1, "x") end, "bad argument #2 to 'tojson' (number expected, got string)", 1, true)
  end)
end)
