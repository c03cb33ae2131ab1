-- mtev.gunzip, which decompresses as a stream, and mtev.gzip.

local files = require("test.support.files")

local text = {}
for i = 1, 20000 do text[i] = ("line %d of %d\n"):format(i, i * i) end
text = table.concat(text)

local zlib_hello = "\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15" -- RFC 1950: "hello"
local raw_hello = "\xcb\x48\xcd\xc9\xc9\x07\x00"                          -- RFC 1951

local function gunzip_all(compressed, step)
  local f, out = mtev.gunzip(), {}
  for at = 1, #compressed, step do out[#out + 1] = f(compressed:sub(at, at + step - 1)) end
  return table.concat(out)
end

describe("mtev.gunzip", function()
  it("decompresses gzip, zlib and raw deflate", function()
    assert.equal(text, mtev.gunzip()(mtev.gzip(text)))
    assert.equal("hello", mtev.gunzip()(zlib_hello))
    assert.equal("hello", mtev.gunzip()(raw_hello))
    assert.equal("", mtev.gunzip()(mtev.gzip("")))
  end)

  it("reads what gzip(1) writes, with a name in the header", function()
    local directory = files.directory()
    local path = directory .. "/a name"
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    local _, out = mtev.exec("gzip", { "gzip", "-c", path }, nil, 60)
    assert.equal(text, mtev.gunzip()(out))
    files.remove(directory)
  end)

  it("takes pieces of any size", function()
    local compressed = mtev.gzip(text)
    for _, step in ipairs { 1, 2, 3, 7, 1000, 65536 } do
      assert.equal(text, gunzip_all(compressed, step))
      assert.equal("hello", gunzip_all(zlib_hello, step))
      assert.equal("hello", gunzip_all(raw_hello, step))
    end
  end)

  it("returns each byte once, as soon as it is there", function()
    local f, compressed = mtev.gunzip(), mtev.gzip(text)
    local half = math.floor(#compressed / 2)
    local first = f(compressed:sub(1, half))
    assert.is_true(#first > 0 and #first < #text)
    assert.equal("", f(""))
    assert.equal(text, first .. f(compressed:sub(half + 1)))
  end)

  it("goes on with the next gzip member, and over zeros behind the last", function()
    local members = mtev.gzip("one") .. mtev.gzip("") .. mtev.gzip("two")
    assert.equal("onetwo", mtev.gunzip()(members))
    assert.equal("onetwo", gunzip_all(members, 1))
    assert.equal("onetwo", mtev.gunzip()(members .. ("\0"):rep(512)))
    assert.equal("onetwo", gunzip_all(members .. ("\0"):rep(512), 5))
  end)

  it("raises for what is no compressed data, damaged, or behind the end", function()
    local function fails(compressed, step)
      assert.error_matches(function() gunzip_all(compressed, step or #compressed) end, "zlib: data error")
    end
    local compressed = mtev.gzip(text)
    fails("this is plain text")
    fails(compressed:sub(1, 1000) .. "?" .. compressed:sub(1002))
    fails(compressed:sub(1, -9) .. "\0\0\0\0" .. compressed:sub(-4)) -- the checksum
    fails(compressed:sub(1, -2) .. "\255")                           -- the length
    fails(zlib_hello:sub(1, -2) .. "\0")
    fails(zlib_hello .. "x")
    fails(raw_hello .. "x")
    fails(mtev.gzip("one") .. "garbage")
    fails(mtev.gzip("one") .. "garbage", 1)
    fails("\x78\xbb\x00\x00\x00\x01\x03\x00") -- wants a dictionary
  end)

  it("keeps raising after an error", function()
    local f = mtev.gunzip()
    assert.error_matches(function() f("plain text") end, "zlib: data error")
    assert.error_matches(function() f(mtev.gzip("x")) end, "zlib: data error")
  end)

  it("gives at most a limit at once: 1 MiB, or what it is told, or any", function()
    local bomb = mtev.gzip(("\0"):rep(2 ^ 20 + 1))
    assert.error_matches(function() mtev.gunzip()(bomb) end, "zlib: more than 1048576 bytes")
    assert.equal(2 ^ 20 + 1, #mtev.gunzip()(bomb, 0))
    assert.equal(2 ^ 20 + 1, #mtev.gunzip()(bomb, 2 ^ 20 + 1))
    assert.equal(2 ^ 20, #mtev.gunzip()(mtev.gzip(("\0"):rep(2 ^ 20))))
    assert.error_matches(function() mtev.gunzip()(mtev.gzip(text), 100) end, "zlib: more than 100 bytes")
    assert.error_matches(function() mtev.gunzip()(bomb, -1) end, "limit must not be negative")
    assert.error_matches(function() mtev.gunzip()(bomb, 0 / 0) end, "bad argument #2")
  end)

  it("does not unpack a bomb to find that it is too large", function()
    local bomb = mtev.gzip(("\0"):rep(200 * 2 ^ 20), 9)
    collectgarbage()
    local before = collectgarbage("count")
    assert.error_matches(function() mtev.gunzip()(bomb) end, "zlib: more than")
    assert.is_true(collectgarbage("count") - before < 1024)
  end)

  it("wants strings", function()
    assert.error_matches(function() mtev.gunzip()() end, "bad argument #1")
    assert.error_matches(function() mtev.gunzip()({}) end, "string expected, got table")
  end)
end)

describe("mtev.gzip", function()
  it("makes what gzip(1) reads, at every level", function()
    for level = 0, 9 do
      local process, to, from = mtev.spawn("gzip", { "gzip", "-dc" })
      mtev.coroutine_spawn(function()
        to = to:own()
        to:write(mtev.gzip(text, level))
        to:close()
      end)
      local out = {}
      for piece in function() return from:read(65536) end do out[#out + 1] = piece end
      assert.equal(text, table.concat(out))
      assert.equal(0, mtev.WEXITSTATUS(process:wait(60)))
    end
  end)

  it("takes binary and nothing", function()
    local binary = ("\0\255\1"):rep(1000)
    assert.equal(binary, mtev.gunzip()(mtev.gzip(binary)))
    assert.equal("", mtev.gunzip()(mtev.gzip("", 0)))
  end)

  it("wants a level from 0 to 9", function()
    assert.error_matches(function() mtev.gzip("x", 10) end, "bad argument #2 to 'gzip'")
    assert.error_matches(function() mtev.gzip("x", -1) end, "bad argument #2 to 'gzip'")
    assert.error_matches(function() mtev.gzip() end, "bad argument #1 to 'gzip'")
  end)
end)
