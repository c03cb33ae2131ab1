-- mtev.Proc: a server program under test: started, watched by its standard error, stopped.
--
-- A coroutine reads stderr line by line and gives each line to the listeners, in order. It holds the `stderr` table
-- below and never the Proc, so that a Proc which nobody holds any more is collected, which ends its process.

local mtev, core = ...
local await, broadcast, condition = core.await, core.broadcast, core.condition
local logwatch = core.logwatch

local LINE_MAX = 1024 * 1024 -- bytes; a longer line is given out in pieces
local SIGTERM, SIGKILL, SIGSTOP, SIGCONT = "TERM", "KILL", "STOP", "CONT"
local ETIMEDOUT = core.ETIMEDOUT

local Proc = {}
Proc.__index, Proc.__name = Proc, "mtev.Proc"
mtev.Proc = Proc

-- -- Checks -----------------------------------------------------------------------------------------------------------

local check = core.check

local function check_self(self, name)
  if getmetatable(self) ~= Proc then
    error(("calling '%s' on bad self (mtev.Proc expected, got %s)"):format(name, core.type_name(self)), 3)
  end
end

local OPTIONS = {
  path = "string", argv = "table", dir = "string", env = "table", boot_match = "string", boot_timeout = "number",
  stdout = "any",
}

local function check_options(opts)
  if opts.path == nil then error("path not set", 3) end
  opts = check.foreign_options(opts, OPTIONS, "new")
  local stdout = opts.stdout
  if not (stdout == nil or type(stdout) == "function" or (type(stdout) == "string" and stdout:find("^log:."))) then
    error("bad option 'stdout' to 'new' ('log:NAME' or a function expected)", 3)
  end
  return opts
end

-- -- Reading lines ----------------------------------------------------------------------------------------------------

local function next_line(e)
  local line, err = e:read("\n", { limit = LINE_MAX })
  if err == "limit" then line = e:read(LINE_MAX) end
  return line
end

local function report(name, message)
  mtev.log("error", "mtev.Proc: a listener to %s failed and is not called again: %s\n", name, tostring(message))
end

-- Gives the line to each listener. One that raises is dropped; a cancelled coroutine ends.
local function give(listeners, line, name)
  local i = 1
  while listeners[i] do
    local listener = listeners[i]
    local ok, message = pcall(listener, line)
    if ok then
      i = i + 1
    else
      if message == "coroutine cancelled" then error(message, 0) end
      report(name, message)
      for j = #listeners, 1, -1 do
        if listeners[j] == listener then table.remove(listeners, j) end
      end
    end
  end
end

local function see_end(stderr)
  stderr.is_over = true
  if stderr.boot == nil then stderr.boot = false end
  broadcast(stderr.boot_seen)
  for _, f in ipairs(stderr.finishers) do f() end
end

-- A pattern is read only as far as it matches, so that what is wrong with its end may show late.
local function is_boot(stderr, line)
  local ok, found = pcall(line.find, line, stderr.boot_match)
  if ok then return found ~= nil end
  mtev.log("error", "%s: boot_match '%s': %s\n", stderr.name, stderr.boot_match, tostring(found))
  stderr.boot = false
  broadcast(stderr.boot_seen)
  return false
end

-- Who started the process goes on first: listeners that it adds at once hear every line.
local function read_stderr(e, stderr)
  e = e:own()
  mtev.sleep(0)
  while true do
    local line = next_line(e)
    if not line then break end
    if stderr.boot == nil and is_boot(stderr, line) then
      stderr.boot = true
      broadcast(stderr.boot_seen)
    end
    give(stderr.listeners, line, stderr.name)
  end
  e:close()
  see_end(stderr)
end

local function read_stdout(e, listener, name)
  e = e:own()
  local listeners = { listener }
  for line in next_line, e do give(listeners, line, name) end
  e:close()
end

-- -- A life -----------------------------------------------------------------------------------------------------------

local function copy(table)
  local result = {}
  for key, value in pairs(table) do result[key] = value end
  return result
end

local function log_to(stream, prefix)
  return function(line) mtev.log(stream, "%s", prefix .. line) end
end

function Proc:new(opts)
  check.type(opts, "table", 1, "new")
  opts = check_options(opts)
  local boot_match = opts.boot_match or "ready"
  if not pcall(string.find, "", boot_match) then error(("malformed pattern boot_match '%s'"):format(boot_match), 2) end
  local stdout = opts.stdout
  if type(stdout) == "string" then stdout = log_to(stdout:sub(#"log:" + 1), "") end
  local p = {
    path = opts.path,
    argv = opts.argv or { opts.path },
    dir = opts.dir or mtev.getcwd(),
    env = copy(opts.env or ENV),
    boot_match = boot_match,
    boot_timeout = opts.boot_timeout or 5,
    stdout = stdout,
    proc = nil, -- mtev.process; nil = not started, or ended by ready()
    is_started = false,
    stderr = {
      name = ("the standard error of %.99s"):format(opts.path),
      boot_match = boot_match,
      boot = nil, -- true = boot_match was seen, false = stderr ended without
      is_over = false,
      boot_seen = condition("Proc:ready"),
      listeners = {},
      finishers = {}, -- called at the end
    },
  }
  return setmetatable(p, Proc)
end

function Proc:__tostring()
  return ("%s: %s"):format(Proc.__name, tostring(self.path))
end

-- The program's path as the child sees it, which starts in another directory.
local function absolute(path)
  if path:sub(1, 1) == "/" or not path:find("/", 1, true) then return path end
  return mtev.getcwd() .. "/" .. path
end

function Proc:start()
  check_self(self, "start")
  if self.is_started then error("can't start already started proc", 2) end
  local options = { dir = self.dir, stdin = "null", stdout = self.stdout and "pipe" or "null" }
  local proc, errno, out_e, err_e = mtev.spawn(absolute(self.path), self.argv, self.env, options)
  if proc:pid() == -1 then
    local what = out_e and self.dir or self.path
    error(("Could not start process: %.99s: %s"):format(what, core.strerror(errno)), 2)
  end
  self.proc, self.is_started = proc, true
  mtev.coroutine_spawn(read_stderr, err_e, self.stderr)
  if self.stdout then mtev.coroutine_spawn(read_stdout, out_e, self.stdout, ("the standard output of %.99s"):format(self.path)) end
  return self
end

-- Waits until the standard error has told; nil = it has not, in time.
local function await_boot(stderr, timeout)
  local deadline = core.monotonic() + timeout
  while stderr.boot == nil do
    local came = await(stderr.boot_seen, deadline - core.monotonic())
    if not came then break end
  end
  return stderr.boot
end

function Proc:ready()
  check_self(self, "ready")
  if not self.proc then return false end
  if await_boot(self.stderr, self.boot_timeout) then return true end
  self.stderr.boot = false
  self:kill(10)
  self.proc = nil
  return false
end

-- The status as Proc's functions give it: an exit code, or the raw status of a death by signal.
local function is_normal(status)
  return mtev.WIFEXITED(status), mtev.WIFEXITED(status) and mtev.WEXITSTATUS(status) or status
end

-- SIGTERM goes to the process, which may have children to end in good order; SIGKILL to all of its group.
function Proc:kill(timeout)
  check_self(self, "kill")
  timeout = check.opt_number(timeout, 1, "kill")
  timeout = timeout or 2
  local proc = self.proc
  if not proc then return end
  local status = proc:wait(0)
  if not status then
    proc:kill(SIGTERM)
    status = proc:wait(timeout)
  end
  if not status then
    proc:pgkill(SIGKILL)
    status = proc:wait(timeout)
  end
  if not status then return false, nil, ETIMEDOUT end
  return true, select(2, is_normal(status))
end

function Proc:wait(timeout)
  check_self(self, "wait")
  timeout = check.opt_number(timeout, 1, "wait")
  if not self.proc then return nil end
  local status, errno = self.proc:wait(timeout)
  if not status then return false, nil, errno end
  return is_normal(status)
end

function Proc:pid()
  check_self(self, "pid")
  return self.proc and self.proc:pid() or -1
end

local function signal_group(self, signal)
  if not self.proc then return end
  local ok, errno = self.proc:pgkill(signal)
  if ok then return true end
  return false, errno
end

function Proc:pause()
  check_self(self, "pause")
  return signal_group(self, SIGSTOP)
end

function Proc:resume()
  check_self(self, "resume")
  return signal_group(self, SIGCONT)
end

-- -- Its log ----------------------------------------------------------------------------------------------------------

local function listen(self, f)
  table.insert(self.stderr.listeners, f)
  return self
end

function Proc:loglisten(f)
  check_self(self, "loglisten")
  check.type(f, "function", 1, "loglisten")
  return listen(self, f)
end

function Proc:loglog(stream, prefix)
  check_self(self, "loglog")
  stream = check.string(stream, 1, "loglog")
  prefix = check.opt_string(prefix, 2, "loglog")
  return listen(self, log_to(stream, prefix or ""))
end

-- Opened at once, so that a wrong place is known to the caller; written through the thread pool.
function Proc:logwrite(file)
  check_self(self, "logwrite")
  file = check.string(file, 1, "logwrite")
  local path = file:sub(1, 1) == "/" and file or self.dir .. "/" .. file
  local fd, _, err = core.open_now(path, bit.bor(O_WRONLY, O_CREAT, O_TRUNC))
  if fd < 0 then error(("Could not open: %.99s: %s"):format(path, err), 2) end
  table.insert(self.stderr.finishers, function() mtev.close(fd) end)
  return listen(self, function(line)
    local written, errno = mtev.write(fd, line)
    if written == -1 then error(("cannot write %.99s: %s"):format(path, core.strerror(errno)), 0) end
  end)
end

function Proc:logwatch(regex, limit)
  check_self(self, "logwatch")
  if type(regex) ~= "function" then regex = check.string(regex, 1, "logwatch", "string or function") end
  limit = check.opt_number(limit, 2, "logwatch")
  local watch = logwatch.new(regex, limit)
  listen(self, function(line) logwatch.offer(watch, line) end)
  if self.stderr.is_over then
    logwatch.finish(watch)
  else
    table.insert(self.stderr.finishers, function() logwatch.finish(watch) end)
  end
  return watch
end
