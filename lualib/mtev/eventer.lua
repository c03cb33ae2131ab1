-- The blocking methods of mtev.eventer. Each calls the C function of the same name; an interrupted call returns nil,
-- INTERRUPTED, message there and raises the message here.

local _, core = ...
local INTERRUPTED = core.INTERRUPTED
local methods = core.eventer_methods
local accept, connect, read, write = core.accept, core.connect, core.read, core.write
local send, sendto, recv = core.send, core.sendto, core.recv
local type = type

function methods.accept(self)
  local e, err, message = accept(self)
  if e then return e end
  if err == INTERRUPTED then error(message, 0) end
  return nil, err
end

function methods.connect(self, target, port, timeout)
  local rv, err, message = connect(self, target, port, timeout)
  if err == nil then return rv end
  if err == INTERRUPTED then error(message, 0) end
  return rv, err
end

local DEFAULT_TIMEOUT = 10 -- seconds; libmtev's, when its five-argument form gets no number

function methods.read(self, stop, options, timeout, fn)
  local data, err, message
  if type(fn) == "function" then -- libmtev's five-argument form
    data, err, message = read(self, stop, nil, type(timeout) == "number" and timeout or DEFAULT_TIMEOUT)
    if err == "timeout" then
      fn() -- in this coroutine: it may block, close, raise
      return nil
    end
  else
    data, err, message = read(self, stop, options)
  end
  if data then return data end
  if err == nil then return nil end
  if err == INTERRUPTED then error(message, 0) end
  return nil, err
end

function methods.write(self, data, options)
  local written, err, partial = write(self, data, options)
  if err == nil then return written end
  if err == INTERRUPTED then error(partial, 0) end
  return written, err, partial
end

function methods.send(self, data)
  local sent, err, message = send(self, data)
  if err == nil then return sent end
  if err == INTERRUPTED then error(message, 0) end
  return sent, err
end

function methods.sendto(self, data, address, port)
  local sent, err, message = sendto(self, data, address, port)
  if err == nil then return sent end
  if err == INTERRUPTED then error(message, 0) end
  return sent, err
end

function methods.recv(self, count, options)
  local rv, data, address, port, is_truncated = recv(self, count, options)
  if data == INTERRUPTED then error(address, 0) end
  if address == nil then return rv, data end
  if is_truncated then return rv, data, address, port, true end
  return rv, data, address, port
end
