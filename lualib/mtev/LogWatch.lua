-- mtev.LogWatch: the lines of a process that match, queued until somebody reads them. Made by Proc:logwatch.

local mtev, core = ...
local await, signal, broadcast, condition = core.await, core.signal, core.broadcast, core.condition
local check = core.check

local LogWatch = {}
LogWatch.__index, LogWatch.__name = LogWatch, "mtev.LogWatch"
mtev.LogWatch = LogWatch

-- A function line -> whether it matches. Expressions are matched afresh for each line.
local function matcher_of(regex)
  if type(regex) == "function" then return regex end
  local match, err, offset = mtev.pcre(regex)
  if not match then error(("bad argument #1 to 'logwatch' (%s at offset %d)"):format(err, offset), 4) end
  return function(line)
    match(nil)
    return (match(line))
  end
end

local function new(regex, limit)
  return setmetatable({
    matches = matcher_of(regex),
    left = limit or math.huge, -- matches still to be found
    queue = {},                -- lines first .. last
    first = 1,
    last = 0,
    is_over = false,           -- no line will come any more
    came = condition("LogWatch:wait"),
  }, LogWatch)
end

-- What Proc calls: a line has come; nothing more will come.
local function offer(self, line)
  if self.left <= 0 or not self.matches(line) then return end
  if self.left <= 0 then return end -- stopped while the function ran
  self.left = self.left - 1
  self.last = self.last + 1
  self.queue[self.last] = line
  signal(self.came)
end

local function finish(self)
  self.is_over = true
  broadcast(self.came)
end

core.logwatch = { new = new, offer = offer, finish = finish }

local function take(self)
  if self.first > self.last then return nil end
  local line = self.queue[self.first]
  self.queue[self.first] = nil
  self.first = self.first + 1
  return line
end

-- Another waiter may be quicker than this one: then the rest of the time is waited.
function LogWatch:wait(timeout)
  check.self(self, LogWatch, "mtev.LogWatch", "wait")
  timeout = check.opt_number(timeout, 1, "wait")
  local deadline = timeout and core.monotonic() + timeout
  while self.first > self.last and not self.is_over do
    local came = await(self.came, deadline and deadline - core.monotonic())
    if not came then break end
  end
  return take(self)
end

function LogWatch:stop()
  check.self(self, LogWatch, "mtev.LogWatch", "stop")
  self.left = 0
  self.queue, self.first, self.last = {}, 1, 0
end
