-- mtev.pcre.

-- Every match of a global search, as "match:capture,capture...".
local function all(expression, subject, options)
  local match = assert(mtev.pcre(expression))
  local found = {}
  local function take(ok, whole, ...)
    if ok then found[#found + 1] = whole .. ":" .. table.concat({ ... }, ",") end
    return ok
  end
  while take(match(subject, options)) do end
  return found
end

describe("mtev.pcre", function()
  it("gives a function that matches", function()
    local match = mtev.pcre("(\\w+)@(\\w+)")
    assert.same({ true, "me@here", "me", "here" }, { match("to me@here now") })
    assert.same({ false }, { match("nobody") })
  end)

  it("goes on behind the last match of the same string", function()
    local subject = "a1 b2 c3"
    local match = mtev.pcre("(\\w)(\\d)")
    assert.same({ true, "a1", "a", "1" }, { match(subject) })
    assert.same({ true, "b2", "b", "2" }, { match(subject) })
    assert.same({ true, "c3", "c", "3" }, { match(subject) })
    assert.same({ false }, { match(subject) })
    assert.same({ false }, { match(subject) }) -- until it is told to start anew
    assert.same({ false }, { match(nil) })
    assert.same({ true, "a1", "a", "1" }, { match(subject) })
    assert.same({ true, "z9", "z", "9" }, { match("z9") })
    assert.same({ true, "a1", "a", "1" }, { match(subject) })
    assert.same({ false }, { match() })
  end)

  it("sees the whole string: anchors, look-behind, word borders", function()
    assert.same({ "a:" }, all("^a", "aaa"))
    assert.same({ "b:" }, all("(?<=a)b", "ab b"))
    assert.same({ "one:", "two:" }, all("\\b\\w+\\b", "one two"))
    assert.same({ "a:", "a:" }, all("(?m)^a", "a\na"))
  end)

  it("advances over empty matches", function()
    assert.same({ ":", ":", ":", ":" }, all("", "abc"))
    assert.same({ ":", "a:", ":", ":" }, all("a*?", "ab"))
    assert.same({ "aa:", ":", ":" }, all("a*", "aab"))
    assert.same({ ":" }, all("", ""))
    assert.same({ ":", ":" }, all("$", "a\n"))
    assert.same({ true, "" }, { mtev.pcre("^$")("") })
  end)

  it("gives nil for captures that took no part, or what it is told", function()
    local match = mtev.pcre("(a)|(b)|(c)")
    assert.same({ true, "b", nil, "b", nil, n = 5 }, { n = select("#", match("b")), mtev.pcre("(a)|(b)|(c)")("b") })
    assert.same({ true, "b", "", "b", "" }, { mtev.pcre("(a)|(b)|(c)")("b", { unmatched = "" }) })
  end)

  it("takes any number of captures", function()
    local result = { mtev.pcre(("(.)"):rep(100))(("x"):rep(100)) }
    assert.equal(102, #result)
    assert.equal("x", result[102])
  end)

  it("tells where a match is", function()
    assert.same({ { 1, 3, 1, 2, -1, -1, 2, 3 }, "bc", "b", nil, "c" }, { mtev.pcre("(b)(x)?(c)")("abcd", { offsets = true }) })
  end)

  it("takes bytes, NUL among them, or characters", function()
    assert.same({ true, "\0b" }, { mtev.pcre("\\x00.")("a\0b") })
    assert.same({ true, "\195" }, { mtev.pcre("^.")("ä") })
    assert.same({ true, "ä" }, { mtev.pcre("(*UTF)^.")("ä") })
    local match = mtev.pcre("(*UTF)a")
    local ok, message = match("a\255")
    assert.is_false(ok)
    assert.matches("UTF%-8", message)
  end)

  it("ends catastrophic patterns by a limit", function()
    local match = mtev.pcre("^(a+)+$")
    assert.same({ false, "match limit exceeded" }, { match(("a"):rep(40) .. "b") })
    assert.same({ false, "match limit exceeded" }, { match(("a"):rep(20) .. "b", { limit = 100 }) })
    assert.same({ false, "match limit exceeded" }, { mtev.pcre("(*NO_JIT)(a|b)*c")(("ab"):rep(1e5) .. "xc", { limit_recurse = 10 }) })
    assert.same({ true, "aaa", "aaa" }, { match("aaa") })
    assert.is_false((mtev.pcre("^(?:a?b)*?c")(("b"):rep(1e6)))) -- deep, with the compiled expression's stack
  end)

  -- The compiled expression has a stack of 4 MB; where it ends, the interpreter goes on, whose memory is the heap's.
  it("matches what needs more than the stack of compiled code", function()
    local subject = ("ab"):rep(1e5)
    for _, expression in ipairs { "(a|b)*", "^(?:.|\\n)*$", "(.)*" } do
      local found, whole = mtev.pcre(expression)(subject)
      assert.is_true(found)
      assert.is_true(whole == subject)
    end
    local match = mtev.pcre("((a|b)*)(c?)")
    local found, whole, first, second, third = match(subject .. "c" .. subject)
    assert.same({ true, true, true, "b", "c" }, { found, whole == subject .. "c", first == subject, second, third })
    assert.same({ true, true }, { match(subject .. "c" .. subject), (select(2, match(subject .. "c" .. subject))) == "" })
    assert.same({ false, "match limit exceeded" }, { mtev.pcre("(a|b)*")(subject, { limit = 1000 }) })
    assert.same({ false, "heap limit exceeded" }, { mtev.pcre("(a|b)*")(("ab"):rep(2e6)) })
  end)

  -- Checking for UTF-8 costs the whole subject: once for a subject, not for each match.
  it("finds many matches in a long subject of characters", function()
    local subject, count = ("bä"):rep(100000), 0
    local match, started = mtev.pcre("(*UTF)ä"), os.clock()
    while match(subject) do count = count + 1 end
    assert.equal(100000, count)
    assert.is_true(os.clock() - started < 5) -- else ten times as long
    assert.same({ false, true }, { match("ä\xff"), (match("ää")) })
    local byte = mtev.pcre("(*UTF)\\C")
    assert.is_true((byte("ää")))
    assert.is_false((byte("ää"))) -- it would go on within a character
  end)

  it("says why and where an expression cannot be compiled", function()
    assert.same({ nil, "missing closing parenthesis", 1 }, { mtev.pcre("(") })
    assert.same({ nil, "quantifier does not follow a repeatable item", 0 }, { mtev.pcre("*") })
  end)

  it("raises for misuse", function()
    assert.error_matches(function() mtev.pcre() end, "bad argument #1 to 'pcre' (string expected, got no value)", 1, true)
    local match = mtev.pcre("a")
    assert.error_matches(function() match({}) end, "string expected, got table", 1, true)
    assert.error_matches(function() match("a", 1) end, "table expected, got number", 1, true)
    assert.error_matches(function() match("a", { limit = "x" }) end, "limit must be a number", 1, true)
    assert.same({ true, "1" }, { mtev.pcre(1)(12) })
  end)

  it("lives as long as its matchers", function()
    local matchers = {}
    for i = 1, 1000 do matchers[i] = mtev.pcre("x" .. i .. "(.)") end
    collectgarbage()
    collectgarbage()
    for i = 1, 1000 do assert.same({ true, "x" .. i .. "!", "!" }, { matchers[i]("x" .. i .. "!") }) end
  end)
end)
