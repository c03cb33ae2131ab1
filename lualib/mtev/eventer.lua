-- The blocking methods of mtev.eventer. Each calls the C function of the same name; an interrupted call returns nil,
-- INTERRUPTED, message there and raises the message here.

local _, core = ...
local check_interrupted = core.check_interrupted
local methods = core.eventer_methods
local accept, connect, read, write = core.accept, core.connect, core.read, core.write
local send, sendto, recv = core.send, core.sendto, core.recv
local type = type

function methods.accept(self)
  local e, err, message = accept(self)
  if e then return e end
  check_interrupted(err, message)
  return nil, err
end

function methods.connect(self, target, port, timeout)
  local rv, err, message = connect(self, target, port, timeout)
  if err == nil then return rv end
  check_interrupted(err, message)
  return rv, err
end

local IS_TIME = { number = true, cdata = true } -- an mtev.timeval, too
local DEFAULT_TIMEOUT = 10 -- seconds; libmtev's, when its five-argument form gets no number

local function finish_read(data, err, message)
  if data then return data end
  if err == nil then return nil end
  check_interrupted(err, message)
  return nil, err
end

-- With options, or libmtev's five-argument form: after the timeout fn() is called, in this coroutine: it may block,
-- close, raise.
local function read_until(self, stop, options, timeout, fn)
  if type(fn) ~= "function" then return finish_read(read(self, stop, options, timeout)) end
  local data, err, message = read(self, stop, nil, IS_TIME[type(timeout)] and timeout or DEFAULT_TIMEOUT)
  if err ~= "timeout" then return finish_read(data, err, message) end
  fn()
  return nil
end

local function read_on(self, stop)
  local data, err, message = read(self, stop)
  if data then return data end
  return finish_read(nil, err, message)
end

-- The coroutine of an idle connection is parked below this call. A tail call to a function of two arguments keeps its
-- stack at LuaJIT's smallest size, which saves 376 bytes a connection: see the row of idle connections in bench/.
function methods.read(self, stop, options, timeout, fn)
  if options or timeout or fn then return read_until(self, stop, options, timeout, fn) end
  return read_on(self, stop)
end

core.eventer_tails = { read = read_on }
core.eventer_long_tails = { read = read_until }

local function finish_write(written, err, partial)
  if err == nil then return written end
  check_interrupted(err, partial)
  return written, err, partial
end

function methods.write(self, data, options)
  if options then return finish_write(write(self, data, options)) end
  local written, err, partial = write(self, data)
  if err == nil then return written end
  return finish_write(written, err, partial)
end

function methods.send(self, data)
  local sent, err, message = send(self, data)
  if err == nil then return sent end
  check_interrupted(err, message)
  return sent, err
end

function methods.sendto(self, data, address, port)
  local sent, err, message = sendto(self, data, address, port)
  if err == nil then return sent end
  check_interrupted(err, message)
  return sent, err
end

function methods.recv(self, count, options)
  local rv, data, address, port, is_truncated = recv(self, count, options)
  check_interrupted(data, address)
  if address == nil then return rv, data end
  if is_truncated then return rv, data, address, port, true end
  return rv, data, address, port
end
