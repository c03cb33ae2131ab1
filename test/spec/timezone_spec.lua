-- mtev.timezone: the system's time zones, also long before and long after what their files list.

local files = require("test.support.files")
local process = require("test.support.process")

local all_fields = {
  "second", "minute", "hour", "monthday", "month", "weekday", "yearday", "year", "dst", "offset", "zonename",
}

-- Twenty zones: north and south, half hours and quarters, without and with daylight saving time, such as was negative
-- (Dublin), of half an hour (Lord Howe), skipped a day (Apia), two changes in a month (Casablanca), and one at the end of a rule
-- before midnight (Nuuk).
local zones = {
  "UTC", "Europe/Zurich", "Europe/London", "Europe/Dublin", "Europe/Moscow", "America/New_York", "America/Los_Angeles",
  "America/Sao_Paulo", "America/St_Johns", "America/Nuuk", "America/Caracas", "Africa/Casablanca", "Africa/Cairo",
  "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Asia/Tokyo", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
}

local first, last = -2208988800, 4133980799 -- 1900-01-01 and 2100-12-31, UTC

-- 400 instants: spread evenly, and shifted by odd seconds so that no field stays the same.
local function instants()
  local list = {}
  for i = 0, 399 do list[#list + 1] = math.floor(first + (last - first) / 399 * i) - i % 60 end
  list[1] = first
  return list
end

-- What date(1) prints for each instant; month, monthday … as numbers.
local function by_date(zone, times)
  local lines = {}
  for i, t in ipairs(times) do lines[i] = "@" .. t end
  local list = files.write(os.tmpname(), table.concat(lines, "\n") .. "\n")
  local status, out = mtev.exec("date", { "date", "-f", list, "+%S %M %H %d %m %w %j %Y %::z %Z" },
    { "TZ=" .. zone, "PATH=" .. os.getenv("PATH"), "LC_ALL=C" }, 60)
  os.remove(list)
  assert.equal(0, status)
  local results = {}
  for line in out:gmatch("[^\n]+") do results[#results + 1] = line end
  assert.equal(#times, #results)
  return results
end

local function by_us(zone, t)
  local s, m, h, day, month, weekday, yearday, year, offset, name =
      zone:extract(t, "second", "minute", "hour", "monthday", "month", "weekday", "yearday", "year", "offset", "zonename")
  local east = math.abs(offset)
  return ("%02d %02d %02d %02d %02d %d %03d %d %s%02d:%02d:%02d %s"):format(s, m, h, day, month, weekday - 1, yearday, year,
    offset < 0 and "-" or "+", math.floor(east / 3600), math.floor(east / 60) % 60, east % 60, name)
end

describe("mtev.timezone", function()
  for _, name in ipairs(zones) do
    it("shows what date(1) shows: " .. name, function()
      local zone, times = mtev.timezone(name), instants()
      for i, expected in ipairs(by_date(name, times)) do
        assert.equal(("@%d "):format(times[i]) .. expected, ("@%d "):format(times[i]) .. by_us(zone, times[i]))
      end
    end)

    it("changes its clocks at the second when date(1) does: " .. name, function()
      local zone, times = mtev.timezone(name), {}
      for t = first, last, 86400 * 15 do
        local before, after = zone:extract(t, "offset"), zone:extract(t + 86400 * 15, "offset")
        if before ~= after then
          local low, high = t, t + 86400 * 15
          while high - low > 1 do
            local middle = math.floor((low + high) / 2)
            if zone:extract(middle, "offset") == before then low = middle else high = middle end
          end
          times[#times + 1], times[#times + 2] = low, high
        end
      end
      if #times == 0 then return assert.equal("UTC", name) end
      for i, expected in ipairs(by_date(name, times)) do
        assert.equal(("@%d "):format(times[i]) .. expected, ("@%d "):format(times[i]) .. by_us(zone, times[i]))
      end
    end)
  end

  it("gives one object for one name", function()
    assert.is_true(mtev.timezone("Europe/Zurich") == mtev.timezone("Europe/Zurich"))
    assert.equal("mtev.timezone", tostring(mtev.timezone("UTC")))
  end)

  it("knows every zone of the system", function()
    local count = 0
    local list = io.popen("cd /usr/share/zoneinfo && find . -type f -exec sh -c 'head -c 4 \"$1\" | grep -q TZif && echo \"$1\"' _ {} \\;")
    for name in list:lines() do
      assert.is_number(mtev.timezone((name:gsub("^%./", ""))):extract(0, "year"))
      count = count + 1
    end
    list:close()
    assert.is_true(count > 300)
  end)

  it("raises for what is no zone, and for names that lead elsewhere", function()
    local names = { "Nowhere/City", "", ".", "..", "../etc/passwd", "Europe/../UTC", "/etc/localtime", "/usr/share/zoneinfo/UTC",
      "Europe", "Europe/", "Europe//Zurich", "UTC\0", "tzdata.zi", "utc ", ("x"):rep(1e5), "Europe/.hidden", "a\nb", "EST5EDT4" }
    for _, name in ipairs(names) do
      assert.error_matches(function() mtev.timezone(name) end, "unknown timezone: ")
    end
    assert.error_matches(function() mtev.timezone() end, "bad argument #1 to 'timezone' %(string expected, got nil%)")
    assert.error_matches(function() mtev.timezone({}) end, "bad argument #1 to 'timezone'")
  end)

  it("says why a file cannot be read just now", function()
    local output = process.run([[
      local held = {}
      repeat held[#held + 1] = mtev.open("/dev/null", O_RDONLY) until held[#held] < 0
      print((select(2, pcall(mtev.timezone, "Europe/Zurich")):gsub("^[^ ]*:%d+: ", "", 1)))
      for _, fd in ipairs(held) do if fd >= 0 then mtev.close(fd) end end
      print(mtev.timezone("Europe/Zurich"))]], { before = "ulimit -n 100;" })
    assert.equal("cannot read timezone Europe/Zurich: Too many open files\nmtev.timezone\n", output)
  end)

  it("raises for a file that is damaged", function()
    local process = require("test.support.process")
    local directory = files.directory()
    local source = assert(io.open("/usr/share/zoneinfo/Europe/Zurich", "rb"))
    local good = source:read("*a")
    source:close()
    files.write(directory .. "/Good", good)
    files.write(directory .. "/Cut", good:sub(1, -20))
    files.write(directory .. "/Half", good:sub(1, 500))
    files.write(directory .. "/Header", good:sub(1, 44))
    files.write(directory .. "/Empty", "")
    files.write(directory .. "/Rule", (good:gsub("\nCET%-1CEST[^\n]*\n", "\nnonsense,\n")))
    local output = process.run([[
      for _, name in ipairs { "Good", "Cut", "Half", "Header", "Empty", "Rule", "UTC" } do
        print(name, pcall(mtev.timezone, name))
      end]], { before = "env TZDIR=" .. directory })
    files.remove(directory)
    local lines = { "Good\ttrue\tmtev.timezone" }
    for _, name in ipairs { "Cut", "Half", "Header", "Empty", "Rule", "UTC" } do
      lines[#lines + 1] = name .. "\tfalse\tunknown timezone: " .. name
    end
    assert.equal(table.concat(lines, "\n") .. "\n", output)
  end)
end)

describe("timezone:extract", function()
  local new_york = mtev.timezone("America/New_York")

  it("gives the fields in the order asked for", function()
    assert.same({ 0, 0, 19, 31, 12, 4, 365, 1969, false, -18000, "EST" }, { new_york:extract(0, unpack(all_fields)) })
    assert.same({ 2001, 9, true, "EDT", 2001 }, { new_york:extract(999999999, "year", "month", "dst", "zonename", "year") })
    assert.equal(21, new_york:extract(999999999, "hour"))
    for n = 1, #all_fields do
      assert.equal(n, select("#", new_york:extract(0, unpack(all_fields, 1, n))))
    end
  end)

  it("counts weekdays from Sunday = 1 and days of the year from 1", function()
    local utc = mtev.timezone("UTC")
    local sunday = 1700956800 -- 2023-11-26
    for i = 0, 6 do assert.equal(i + 1, utc:extract(sunday + i * 86400, "weekday")) end
    assert.same({ 1, 366 }, { utc:extract(1704067200, "yearday"), utc:extract(1735603200, "yearday") })
    assert.same({ 31, 12, 365 }, { utc:extract(-1, "monthday", "month", "yearday") })
  end)

  it("goes on by the rule for ever, and back by the calendar", function()
    assert.same({ 2500, 6, true, "EDT" }, { new_york:extract(16740000000, "year", "month", "dst", "zonename") })
    assert.same({ 12344, "EST" }, { new_york:extract(327403000000, "year", "zonename") })
    local utc = mtev.timezone("UTC")
    assert.same({ 0, 1, 1 }, { utc:extract(-62167219200, "year", "month", "monthday") })
    assert.same({ -1, 12, 31 }, { utc:extract(-62167219201, "year", "month", "monthday") })
    assert.same({ 1600, 2, 29 }, { utc:extract(-11670998400, "year", "month", "monthday") })
    assert.equal(285428751, utc:extract(2 ^ 53 - 1, "year"))
    assert.equal(-285424812, utc:extract(-2 ^ 53 + 1, "year"))
  end)

  it("shows leap seconds in the zones that have them", function()
    local right = mtev.timezone("right/UTC")
    local function clock(t) return ("%d-%d %d:%d:%d"):format(right:extract(t, "month", "monthday", "hour", "minute", "second")) end
    assert.equal("12-31 23:59:59", clock(1483228825))
    assert.equal("12-31 23:59:60", clock(1483228826))
    assert.equal("1-1 0:0:0", clock(1483228827))
  end)

  it("cuts fractions downwards", function()
    local utc = mtev.timezone("UTC")
    assert.equal(1, utc:extract(1.999, "second"))
    assert.equal(59, utc:extract(-0.001, "second"))
    assert.equal(5, utc:extract("5", "second"))
  end)

  it("raises for unknown fields and times", function()
    local zone = mtev.timezone("UTC")
    local function wrong(message, ...)
      local arguments, n = { ... }, select("#", ...)
      assert.error_matches(function() zone:extract(unpack(arguments, 1, n)) end, message, 1, true)
    end
    wrong("bad argument #2 to 'extract' (unknown field 'minutes')", 0, "minutes")
    wrong("bad argument #3 to 'extract' (unknown field 'x')", 0, "year", "x")
    wrong("bad argument #3 to 'extract' (unknown field 'nil')", 0, "year", nil, "month")
    wrong("bad argument #2 to 'extract' (unknown field 'nil')", 0)
    wrong("bad argument #9 to 'extract' (unknown field 'z')", 0, "year", "year", "year", "year", "year", "year", "year", "z")
    wrong("bad argument #1 to 'extract' (number expected, got nil)")
    wrong("bad argument #1 to 'extract' (number expected, got table)", {}, "year")
    wrong("bad argument #1 to 'extract' (number expected, got NaN)", 0 / 0, "year")
    wrong("bad argument #1 to 'extract' (out of range)", math.huge, "year")
    wrong("bad argument #1 to 'extract' (out of range)", 2 ^ 53, "year")
    assert.error_matches(function() zone.extract({}, 0, "year") end, "mtev.timezone expected, got table")
    assert.error_matches(function() zone.extract() end, "mtev.timezone expected, got nil")
    assert.is_nil(zone.nothing)
  end)
end)
