-- A finalizer (__gc) of a script runs whenever Lua allocates, so also in the middle of mtev's functions, and may call
-- them: neither call may disturb the other.

-- What each piece of garbage does when it is collected.
local interferences = 0
local function interfere()
  interferences = interferences + 1
  local n = interferences % 50
  local text = ("[%s1]"):format(("%d,"):format(n):rep(n))
  mtev.parsejson(text):document()
  mtev.tojson({ other = ("x"):rep(n * 7) }):tostring()
  mtev.base64_encode(text)
  mtev.base64_decode("b3RoZXI=")
  mtev.utf8tohtml("<other>&", true)
  mtev.sha256_hex(text)
  mtev.hmac_sha1_encode(text, "key")
  mtev.uuid()
  mtev.timezone("Asia/Tokyo"):extract(n * 1e7, "year", "zonename", "hour")
end

local function litter()
  getmetatable(newproxy(true)).__gc = interfere
end

-- Calls f often, with garbage about and a collector in a hurry, until finalizers ran often as well.
local CALLS, FINALIZERS = 4000, 500

local function among_finalizers(f)
  local pause, stepmul = collectgarbage("setpause", 100), collectgarbage("setstepmul", 400)
  local enough, i = interferences + FINALIZERS, 0
  while i < CALLS or interferences < enough do
    i = i + 1
    litter()
    f(i)
  end
  collectgarbage("setpause", pause)
  collectgarbage("setstepmul", stepmul)
end

describe("a finalizer that calls the same functions does not disturb", function()
  it("json:document", function()
    local list = {}
    for i = 1, 200 do list[i] = "value " .. i end
    local text = mtev.tojson({ list = list, name = "mine" }):tostring()
    among_finalizers(function()
      local document = mtev.parsejson(text):document()
      assert(document.name == "mine" and #document.list == 200 and document.list[200] == "value 200")
    end)
  end)

  it("mtev.tojson", function()
    among_finalizers(function(i)
      local value = ("mine " .. i .. " "):rep(20)
      local j = mtev.tojson({ value })
      assert(j:tostring() == '["' .. value .. '"]')
      assert(mtev.parsejson('[ "' .. value .. '" ]'):tostring() == j:tostring())
    end)
  end)

  it("the codecs, short and long", function()
    local long = ("mine"):rep(50000)
    local encoded = mtev.base64_encode(long)
    among_finalizers(function(i)
      local mine = "mine " .. i
      assert(mtev.base64_decode(mtev.base64_encode(mine)) == mine)
      assert(mtev.utf8tohtml("<" .. i, true) == "&lt;" .. i)
      assert(#mtev.sha256_hex(mine) == 64 and mtev.sha256_hex("abc"):sub(1, 8) == "ba7816bf")
      assert(#mtev.uuid() == 36)
      if i % 40 == 0 then
        assert(mtev.base64_encode(long) == encoded)
        assert(mtev.base64_decode(encoded) == long)
      end
    end)
  end)

  it("timezone:extract", function()
    local zurich = mtev.timezone("Europe/Zurich")
    among_finalizers(function()
      local name, year, hour = zurich:extract(0, "zonename", "year", "hour")
      assert(name == "CET" and year == 1970 and hour == 1)
    end)
  end)

  it("a matcher that is in the middle of the same string", function()
    local subject = ("word "):rep(40)
    local other = mtev.pcre("(o)(t)(h)er")
    local interfere_before = interfere
    interfere = function()
      interferences = interferences + 1
      other("another one")
    end
    local words = mtev.pcre("(w)(o)(r)(d)")
    among_finalizers(function()
      local count = 0
      while true do
        local found, whole, w, o, r, d = words(subject)
        if not found then break end
        count = count + 1
        assert(whole == "word" and w .. o .. r .. d == "word")
      end
      assert(count == 40)
      words(nil)
    end)
    interfere = interfere_before
  end)

  it("gunzip, which says that it is busy", function()
    local text = ("mine"):rep(100000)
    local packed = mtev.gzip(text)
    local feed, refused
    local interfere_before = interfere
    interfere = function()
      interferences = interferences + 1
      if not feed then return end
      local ok, message = pcall(feed, "")
      if not ok then refused = message end
    end
    among_finalizers(function(i)
      if i % 8 ~= 0 then return end
      feed = mtev.gunzip()
      assert(feed(packed) == text)
    end)
    interfere = interfere_before
    if refused then assert.matches("gunzip is busy", refused, 1, true) end
  end)

  it("the nodes of XML, not even by adding some", function()
    local doc = mtev.parsexml("<all>" .. ("<a>text</a>"):rep(50) .. "</all>")
    local interfere_before = interfere
    interfere = function()
      interferences = interferences + 1
      doc:root():addchild("b"):contents("other")
    end
    among_finalizers(function(i)
      if i % 10 ~= 0 then return end
      local count = 0
      for node in doc:xpath("//a") do
        assert(node:contents() == "text" and node:name() == "a")
        count = count + 1
      end
      assert(count == 50)
    end)
    interfere = interfere_before
  end)
end)
