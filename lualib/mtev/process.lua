-- Processes: the W* macros of wait(2), process:wait, mtev.exec, mtev.sh.

local mtev, core = ...
local band, rshift, floor = bit.band, bit.rshift, math.floor
local check_interrupted, check = core.check_interrupted, core.check

-- -- Status words, as Linux has them on every platform ----------------------------------------------------------------

local function check_status(status, name)
  local number = tonumber(status)
  if (type(status) ~= "number" and type(status) ~= "string") or not number or number ~= floor(number)
      or number < -2 ^ 31 or number >= 2 ^ 31 then
    local got = number and type(status) ~= "cdata" and tostring(status) or type(status)
    error(("bad argument #1 to '%s' (integer status expected, got %s)"):format(name, got), 3)
  end
  return number
end

function mtev.WIFEXITED(status)
  return band(check_status(status, "WIFEXITED"), 0x7f) == 0
end

function mtev.WEXITSTATUS(status)
  return band(rshift(check_status(status, "WEXITSTATUS"), 8), 0xff)
end

-- 0x7f says stopped (or, with 0xffff, continued).
function mtev.WIFSIGNALED(status)
  local signal = band(check_status(status, "WIFSIGNALED"), 0x7f)
  return signal ~= 0 and signal ~= 0x7f
end

function mtev.WTERMSIG(status)
  return band(check_status(status, "WTERMSIG"), 0x7f)
end

function mtev.WCOREDUMP(status)
  status = check_status(status, "WCOREDUMP")
  return band(status, 0x80) ~= 0 and band(status, 0x7f) ~= 0x7f
end

function mtev.WIFSTOPPED(status)
  return band(check_status(status, "WIFSTOPPED"), 0xff) == 0x7f
end

function mtev.WSTOPSIG(status)
  return band(rshift(check_status(status, "WSTOPSIG"), 8), 0xff)
end

function mtev.WIFCONTINUED(status)
  return check_status(status, "WIFCONTINUED") == 0xffff
end

-- -- Waiting and running ----------------------------------------------------------------------------------------------

local process_wait, exec = core.process_wait, core.exec

function core.process_methods.wait(self, timeout)
  local status, errno, message = process_wait(self, timeout)
  check_interrupted(errno, message)
  return status, errno
end

local DEFAULT_TIMEOUT = 5                                               -- seconds
local OUTPUT_MAX = core.is_luamtev and math.huge or 16 * 1024 * 1024 -- bytes of each output, where options.limit does not say

-- What exec has returned.
local function finish(status, out, err, why)
  check_interrupted(out, err)
  if why then return status, out, err, why end
  return status, out, err
end

local function get_limit(options, index, name)
  if options == nil then return OUTPUT_MAX end
  if type(options) ~= "table" then
    error(("bad argument #%d to '%s' (table expected, got %s)"):format(index, name, type(options)), 3)
  end
  for key in pairs(options) do
    if key ~= "limit" then error((check.unknown_option(key, { limit = true }, name)), 3) end
  end
  local limit = options.limit
  if limit == nil then return OUTPUT_MAX end
  if type(limit) ~= "number" or not (limit >= 0) then
    error(("bad option 'limit' to '%s' (number of bytes expected, got %s)"):format(name, tostring(limit)), 3)
  end
  return limit
end

function mtev.exec(path, argv, env, timeout, options)
  if timeout == nil then timeout = DEFAULT_TIMEOUT end
  return finish(exec(path, argv, env, timeout, get_limit(options, 5, "exec")))
end

function mtev.sh(command, timeout, shell, options)
  command = check.string(command, 1, "sh")
  timeout = check.opt_number(timeout, 2, "sh") or math.huge
  shell = check.opt_string(shell, 3, "sh") or ENV.SHELL or "/bin/sh"
  return finish(exec(shell, { shell, "-c", command }, ENV, timeout, get_limit(options, 4, "sh")))
end
