-- Digests, HMACs, base64, UUIDs, HTML entities. The vectors are those of the RFCs.

local process = require("test.support.process")

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function unhex(digits)
  return (digits:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local every_byte = {}
for i = 0, 255 do every_byte[#every_byte + 1] = string.char(i) end
every_byte = table.concat(every_byte)

local long = ("1234567890"):rep(8)

describe("mtev.md5", function()
  it("gives the digests of RFC 1321", function()
    local vectors = {
      [""] = "d41d8cd98f00b204e9800998ecf8427e", a = "0cc175b9c0f1b6a831c399e269772661",
      abc = "900150983cd24fb0d6963f7d28e17f72", ["message digest"] = "f96b697d7cb7938d525a2f31aaf161d0",
      abcdefghijklmnopqrstuvwxyz = "c3fcd3d76192e4007dfb496cca67e13b",
      ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 = "d174ab98d277d9f5a5611c2c9f419d9f",
      [long] = "57edf4a22be3c955ac49da2e2107b67a",
    }
    for text, digest in pairs(vectors) do
      assert.equal(digest, mtev.md5_hex(text))
      assert.equal(unhex(digest), mtev.md5(text))
    end
  end)
end)

describe("mtev.sha1", function()
  it("gives the digests of RFC 3174", function()
    local vectors = {
      abc = "a9993e364706816aba3e25717850c26c9cd0d89d", [""] = "da39a3ee5e6b4b0d3255bfef95601890afd80709",
      abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq = "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
      [("a"):rep(1000000)] = "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
      [("0123456701234567012345670123456701234567012345670123456701234567"):rep(10)] =
      "dea356a2cddd90c7a7ecedc5ebb563934f460452",
    }
    for text, digest in pairs(vectors) do
      assert.equal(digest, mtev.sha1_hex(text))
      assert.equal(unhex(digest), mtev.sha1(text))
    end
  end)
end)

describe("mtev.sha256", function()
  it("gives the digests of RFC 6234", function()
    local vectors = {
      abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      [""] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq =
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
      [("a"):rep(1000000)] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
      [unhex("19")] = "68aa2e2ee5dff96e3355e6c7ee373e3d6a4e17f75f9518d843709c0c9bc3e3d4",
      [unhex("e3d72570dcdd787ce3887ab2cd684652")] = "175ee69b02ba9b58e2b0a5fd13819cea573f3940a94f825128cf4209beabb4e8",
    }
    for text, digest in pairs(vectors) do
      assert.equal(digest, mtev.sha256_hex(text))
      assert.equal(digest, mtev.sha256_hash(text))
      assert.equal(unhex(digest), mtev.sha256(text))
    end
  end)
end)

describe("digests", function()
  -- Around the ends of blocks of 64 bytes, where padding takes one block or two; told by the system's own tools.
  it("equal those of md5sum, sha1sum and sha256sum at every length around a block's end", function()
    local directory = require("test.support.files").directory()
    for _, length in ipairs { 0, 1, 54, 55, 56, 57, 63, 64, 65, 111, 112, 119, 120, 127, 128, 129, 255, 2 ^ 20 } do
      local text = every_byte:rep(length / 256 + 1):sub(1, length)
      local path = directory .. "/" .. length
      local file = assert(io.open(path, "wb"))
      file:write(text)
      file:close()
      for tool, digest in pairs { md5sum = mtev.md5_hex, sha1sum = mtev.sha1_hex, sha256sum = mtev.sha256_hex } do
        local _, out = mtev.exec(tool, { tool, path }, nil, 60)
        assert.equal(out:match("^\\?(%x+)"), digest(text))
      end
    end
    require("test.support.files").remove(directory)
  end)

  it("take numbers for strings, and refuse all else", function()
    assert.equal(mtev.md5_hex("12"), mtev.md5_hex(12))
    assert.error_matches(function() mtev.sha256_hex() end, "bad argument #1 to 'sha256_hex' %(string expected, got nil%)")
    assert.error_matches(function() mtev.md5({}) end, "bad argument #1 to 'md5' %(string expected, got table%)")
  end)
end)

describe("mtev.hmac_sha1_encode and mtev.hmac_sha256_encode", function()
  local function expect(encode, vectors)
    for _, v in ipairs(vectors) do
      assert.equal(v[3], hex(mtev.base64_decode(encode(v[2], v[1]))))
    end
  end

  it("give the codes of RFC 2202 and RFC 4231", function()
    local counting = unhex("0102030405060708090a0b0c0d0e0f10111213141516171819")
    expect(mtev.hmac_sha1_encode, {
      { ("\x0b"):rep(20), "Hi There", "b617318655057264e28bc0b6fb378c8ef146be00" },
      { "Jefe", "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79" },
      { ("\xaa"):rep(20), ("\xdd"):rep(50), "125d7342b9ac11cd91a39af48aa17b4f63f175d3" },
      { counting, ("\xcd"):rep(50), "4c9007f4026250c6bc8414f9bf50c86c2d7235da" },
      { ("\x0c"):rep(20), "Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04" },
      { ("\xaa"):rep(80), "Test Using Larger Than Block-Size Key - Hash Key First",
        "aa4ae5e15272d00e95705637ce8a3b55ed402112" },
      { ("\xaa"):rep(80), "Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
        "e8e99d0f45237d786d6bbaa7965c7808bbff1a91" },
    })
    expect(mtev.hmac_sha256_encode, {
      { ("\x0b"):rep(20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
      { "Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
      { ("\xaa"):rep(20), ("\xdd"):rep(50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
      { counting, ("\xcd"):rep(50), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
      { ("\xaa"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
      { ("\xaa"):rep(131), "This is a test using a larger than block-size key and a larger than block-size data. " ..
      "The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
    })
  end)

  it("are base64", function()
    assert.equal("7/zfauXrL6LSdBbV8YTfnCWafHk=", mtev.hmac_sha1_encode("what do ya want for nothing?", "Jefe"))
    assert.equal("W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=",
      mtev.hmac_sha256_encode("what do ya want for nothing?", "Jefe"))
  end)

  it("take an empty key, and never the one before", function()
    local empty = mtev.hmac_sha256_encode("", "")
    assert.equal("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", hex(mtev.base64_decode(empty)))
    mtev.hmac_sha256_encode("x", "another key")
    assert.equal(empty, mtev.hmac_sha256_encode("", ""))
    assert.not_equal(mtev.hmac_sha1_encode("m", "a"), mtev.hmac_sha1_encode("m", "a\0b"))
  end)

  it("want both arguments", function()
    assert.error_matches(function() mtev.hmac_sha1_encode("m") end, "bad argument #2 to 'hmac_sha1_encode'")
    assert.error_matches(function() mtev.hmac_sha256_encode(nil, "k") end, "bad argument #1 to 'hmac_sha256_encode'")
  end)
end)

describe("mtev.base64_encode and mtev.base64_decode", function()
  it("follow RFC 4648", function()
    local vectors = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
      foobar = "Zm9vYmFy", ["\xfb\xff\xbf"] = "+/+/" }
    for bytes, text in pairs(vectors) do
      assert.equal(text, mtev.base64_encode(bytes))
      assert.equal(bytes, mtev.base64_decode(text))
    end
  end)

  -- The same by the definition of it, to compare with.
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  local function slow_encode(bytes)
    local bits = bytes:gsub(".", function(c)
      local b, out = c:byte(), {}
      for i = 7, 0, -1 do out[#out + 1] = math.floor(b / 2 ^ i) % 2 end
      return table.concat(out)
    end)
    local text = (bits .. ("0"):rep(-#bits % 6)):gsub("......", function(six)
      local value = tonumber(six, 2) + 1
      return alphabet:sub(value, value)
    end)
    return text .. ("="):rep(-#text % 4)
  end

  it("are each other's inverse at every length and place, vectors or not", function()
    for length = 0, 400 do
      local bytes = {}
      for i = 1, length do bytes[i] = string.char((i * i * 31 + length * 17 + i) % 256) end
      bytes = table.concat(bytes)
      local text = mtev.base64_encode(bytes)
      if length <= 130 then assert.equal(slow_encode(bytes), text) end
      assert.equal(bytes, mtev.base64_decode(text))
      assert.equal(bytes, mtev.base64_decode((text:gsub("=", ""))))
    end
    local big = every_byte:rep(4096)
    assert.equal(big, mtev.base64_decode(mtev.base64_encode(big)))
    local large = ("\0"):rep(6 * 2 ^ 20 + 1) -- more than the memory that is kept
    assert.equal(large, mtev.base64_decode(mtev.base64_encode(large)))
  end)

  it("skip white space anywhere, as mail has it", function()
    local bytes = every_byte:rep(3)
    local lines = mtev.base64_encode(bytes):gsub(("."):rep(76), "%0\r\n")
    assert.equal(bytes, mtev.base64_decode(lines))
    assert.equal("foob", mtev.base64_decode(" Z m\t9\nv Y g = = \v\f"))
    assert.equal("", mtev.base64_decode(" \n"))
  end)

  it("say where a text is not base64, wherever that is", function()
    local text = mtev.base64_encode(every_byte)
    for _, wrong in ipairs { "-", "_", "*", "\0", "\x80", "\xff", "@", "[", "`", "{", ":", "." } do
      for at = 0, 199 do
        local bytes, message = mtev.base64_decode(text:sub(1, at) .. wrong .. text:sub(at + 2))
        assert.is_nil(bytes)
        assert.equal("not base64 at offset " .. at, message)
      end
    end
  end)

  it("refuse padding in the middle, too much of it, and half a group", function()
    local function refused(text, message)
      assert.same({ nil, message }, { mtev.base64_decode(text) })
    end
    refused("Zg==Zg==", "not base64 at offset 4")
    refused("=", "not base64 at offset 0")
    refused("Z===", "not base64 at offset 1")
    refused("Zm9v=", "not base64 at offset 4")
    refused("Zg===", "not base64 at offset 4")
    refused("Zm8==", "not base64 at offset 4")
    refused("Z", "text ends within a group of base64")
    refused("Zm9vZ", "text ends within a group of base64")
    assert.equal("f", mtev.base64_decode("Zg="))
  end)
end)

describe("mtev.uuid", function()
  it("is random, version 4, lower case", function()
    local seen = {}
    for _ = 1, 20000 do
      local id = mtev.uuid()
      assert.truthy(id:match("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"))
      assert.equal(id:lower(), id)
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)

  it("uses every bit that is free", function()
    local ones, zeros = {}, {}
    for _ = 1, 200 do
      local digits = mtev.uuid():gsub("-", "")
      for i = 1, 32 do
        for bit_index = 0, 3 do
          local set = bit.band(tonumber(digits:sub(i, i), 16), 2 ^ bit_index) ~= 0
          local all = set and ones or zeros
          all[i * 4 + bit_index] = true
        end
      end
    end
    local both = 0
    for place in pairs(ones) do both = both + (zeros[place] and 1 or 0) end
    assert.equal(122, both)
  end)
end)

describe("mtev.utf8tohtml", function()
  it("writes what is not ASCII as entities, by name where HTML 4 has one", function()
    assert.equal("caf&eacute; &euro;5 &mdash; &#128512;", mtev.utf8tohtml("café €5 — 😀"))
    assert.equal("&nbsp;&yuml;&#256;&OElig;&fnof;&thetasym;&diams;&#9831;", mtev.utf8tohtml("\194\160ÿĀŒƒϑ♦♧"))
    assert.equal("&#65534;&#1114111;", mtev.utf8tohtml("\239\191\190\244\143\191\191"))
    assert.equal("plain & <b>\"ASCII\"</b>\0\127", mtev.utf8tohtml("plain & <b>\"ASCII\"</b>\0\127"))
    assert.equal("", mtev.utf8tohtml(""))
  end)

  it("writes tags as entities too, if asked", function()
    assert.equal("&lt;b&gt;&uuml; & \"x\"&lt;/b&gt;", mtev.utf8tohtml("<b>ü & \"x\"</b>", true))
    assert.equal("<b>", mtev.utf8tohtml("<b>", false))
  end)

  it("knows all names that libxml2's HTML 4 table knows", function()
    local named = 0
    for code = 160, 10000 do
      local c = code < 0x800 and string.char(0xc0 + code / 64, 0x80 + code % 64)
          or string.char(0xe0 + code / 4096, 0x80 + code / 64 % 64, 0x80 + code % 64)
      if mtev.utf8tohtml(c):find("^&%a") then named = named + 1 end
    end
    assert.equal(248, named) -- 252 without the four of ASCII
  end)

  it("raises for what is not UTF-8, and says where", function()
    for _, wrong in ipairs { "\x80", "\xc3", "\xc0\x80", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xe0\x80\xaf" } do
      assert.error_matches(function() mtev.utf8tohtml("ab" .. wrong) end, "invalid UTF%-8 at offset 2")
      assert.error_matches(function() mtev.utf8tohtml("ü" .. wrong .. "x") end, "invalid UTF%-8 at offset 2")
    end
  end)

  it("is fine with a megabyte", function()
    assert.equal(("&auml;"):rep(2 ^ 20), mtev.utf8tohtml(("ä"):rep(2 ^ 20)))
  end)
end)

describe("compiled loops", function()
  -- A process of its own: busted's functions around it would be compiled too. It prints the calls around which LuaJIT has
  -- made no loop of machine code.
  local script = [=[
    local util = require("jit.util")
    zone = mtev.timezone("Europe/Zurich")
    local function has_loop(code)
      local found = false
      local function on_trace(what, trace)
        if what == "stop" and util.traceinfo(trace).linktype == "loop" then found = true end
      end
      local f = assert(loadstring("for i = 1, 1000 do " .. code .. " end"))
      jit.flush()
      jit.attach(on_trace, "trace")
      f()
      jit.attach(on_trace)
      return found
    end
    for _, code in ipairs { ... } do
      if not has_loop(code) then print("not compiled: " .. code) end
    end
    print("done")
  ]=]

  it("hold the hot functions", function()
    local calls = {
      "mtev.md5('x' .. i % 7)", "mtev.sha1_hex('x' .. i % 7)", "mtev.sha256('x' .. i % 7)", "mtev.sha256_hex('x' .. i % 7)",
      "mtev.hmac_sha1_encode('x' .. i % 7, 'key')", "mtev.hmac_sha256_encode('x' .. i % 7, 'key')",
      "mtev.base64_encode('x' .. i % 7)", "mtev.base64_decode('Zm9v')", "mtev.uuid()", "mtev.utf8tohtml('x')",
      "mtev.time()", "mtev.gettimeofday()", "zone:extract(i * 86400, 'hour')",
      "zone:extract(i * 86400, 'year', 'month', 'zonename')",
    }
    for i, code in ipairs(calls) do calls[i] = process.quote(code) end
    assert.equal("done\n", (process.run(script, { arguments = table.concat(calls, " ") })))
  end)

  it("are told from others", function()
    assert.equal("not compiled: mtev.parsejson('1')\ndone\n",
      (process.run(script, { arguments = process.quote("mtev.parsejson('1')") })))
  end)
end)
