-- mtev.sleep, mtev.cancel_coro, and coroutine.resume and coroutine.wrap, so that a blocking call works at any depth of
-- a script's own coroutines.
--
-- A call that blocks yields a token. Whoever resumed that coroutine gets the token here and yields it on, until it
-- reaches the scheduler, which knows only the outermost thread. The answer comes back as the results of those yields
-- and is handed down. Scripts never see the token.

local mtev, core = ...
local resume, create = coroutine.resume, coroutine.create
local running, status = coroutine.running, coroutine.status
local can_yield, yield_token, has_stack = core.can_yield, core.yield_token, core.has_stack
local TOKEN, INTERRUPTED = core.TOKEN, core.INTERRUPTED
local task_wait_name, withdraw, cancel_task, current_task = core.task_wait_name, core.withdraw, core.cancel_task, core.current_task

local CANCELLED = "coroutine cancelled"

local inner = core.inner   -- blocked coroutine -> the coroutine inside it, for tracebacks
local failed = core.failed -- the last error that was passed on: {message, coroutine or frames, ...}, innermost first
local blocked = setmetatable({}, { __mode = "k" }) -- coroutine -> number of the task it blocks in, or why it cannot be resumed

-- How often a cancelled coroutine wanted to wait: it hears of its end in each of these calls, and then runs no more.
local attempts = setmetatable({}, { __mode = "k" })
local ATTEMPTS_MAX = 3

local pass

local function unblock(me, co, ...)
  blocked[co], inner[me] = nil, nil
  return pass(co, resume(co, ...))
end

-- What resuming `co` gave. A token means that `co` waits, and so do we.
function pass(co, ok, ...)
  if (...) ~= TOKEN then return ok, ... end
  if blocked[co] == CANCELLED then -- while it ran, by itself or by one that it resumed
    attempts[co] = (attempts[co] or 0) + 1
    withdraw()
    if attempts[co] > ATTEMPTS_MAX then return false, CANCELLED end
    return pass(co, resume(co, nil, INTERRUPTED, CANCELLED))
  end
  if not can_yield() then
    local name = withdraw()
    return pass(co, resume(co, nil, INTERRUPTED, "attempt to yield across C-call boundary (" .. name .. ")"))
  end
  local me = running()
  blocked[co], inner[me] = current_task(), co
  return unblock(me, co, yield_token())
end

-- Why `co` may not be resumed, or nil.
local function refusal(co)
  local task = blocked[co]
  if task == CANCELLED then return CANCELLED end
  local name = task_wait_name(task or co)
  if name then return "coroutine is waiting in " .. name end
  if task then return CANCELLED end -- the task it blocked in is gone
end

local OVERFLOW = "C stack overflow" -- LuaJIT sets no bound on coroutines that resume one another

function coroutine.resume(co, ...)
  if type(co) ~= "thread" then error("bad argument #1 to 'resume' (coroutine expected)", 2) end
  local why = refusal(co)
  if why then return false, why end
  if not has_stack() then return false, OVERFLOW end
  return pass(co, resume(co, ...))
end

local FAILED_MAX = 20 -- as many as a report shows

local function remember(whence, message, shown)
  if failed[1] ~= nil and failed[1] == message then
    if #failed < FAILED_MAX then table.insert(failed, whence) end
  else
    for i = #failed, 2, -1 do failed[i] = nil end
    failed[2] = whence
  end
  failed[1] = shown
end

local SHOWN_MAX = 4096 -- bytes of a message that a wrap adds its position to: run-away recursion passes as many

local function finish(co, ok, ...)
  if ok then return ... end
  local message = ...
  local shown = message
  if type(message) == "string" and message ~= CANCELLED and #message < SHOWN_MAX then
    local at = debug.getinfo(2, "Sl")
    if at and at.currentline > 0 then shown = at.short_src .. ":" .. at.currentline .. ": " .. message end
  end
  remember(co, message, shown)
  error(shown, 0)
end

function coroutine.wrap(f)
  if type(f) ~= "function" then error("bad argument #1 to 'wrap' (function expected)", 2) end
  local co = create(f)
  return function(...)
    local why = blocked[co] and refusal(co)
    if why then error(why, 2) end
    if not has_stack() then error(OVERFLOW, 2) end
    return finish(co, pass(co, resume(co, ...)))
  end
end

local frames_in_xpcall = core.frames_in_xpcall

local function note(message)
  if message ~= CANCELLED then remember(frames_in_xpcall(), message, message) end
  return message
end

-- As pcall, for callers that clean up and pass the error on by error(message, 0): if nothing catches it, the report
-- still shows where it happened in the script's own functions.
function core.pcall(f, ...)
  return xpcall(f, note, ...)
end

-- -- mtev.sleep -------------------------------------------------------------------------------------------------------

local sleep, make_timeval = core.sleep, core.make_timeval
local last_us, last_slept = 0, make_timeval(0, 0)

-- Timevals cannot change, so the last one serves again while the duration is the same: what all coroutines of a turn
-- slept costs one object.
function mtev.sleep(duration)
  local us, mark, message = sleep(duration)
  if us == last_us then return last_slept end
  if us == nil then
    assert(mark == INTERRUPTED)
    error(message, 0)
  end
  last_us, last_slept = us, make_timeval(0, us)
  return last_slept
end

-- -- mtev.cancel_coro -------------------------------------------------------------------------------------------------

local function cancel_nested(co)
  local task = blocked[co]
  if task and task ~= CANCELLED and core.is_innermost(task, co) then core.interrupt(task, CANCELLED) end
  if status(co) ~= "dead" then blocked[co] = CANCELLED end
end

function mtev.cancel_coro(co)
  if type(co) == "thread" then
    if not cancel_task(co) then
      cancel_nested(co)
    elseif status(co) == "suspended" then
      blocked[co] = CANCELLED -- nor may a script resume it
    end
    return
  end
  local address = type(co) == "string" and (co:match("^0[xX]%x+$") or co:match("^%d+$"))
  if not address then error("bad argument to mtev.cancel_coro", 2) end
  cancel_task(address)
end
