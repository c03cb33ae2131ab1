-- mtev.conf_save, mtev.conf_mark_changed, and the door to mtev.cluster.

local mtev, core = ...
local conf_text = core.conf_text

local function write_all(fd, text)
  local written, errno = mtev.write(fd, text)
  if written ~= #text then return false, ("write: errno %s"):format(tostring(errno)) end
  return true
end

-- The new text replaces the file whole, or not at all: the file that a symbolic link points at, not the link.
function mtev.conf_save()
  local text, file = conf_text()
  if not text then return false, "there is no configuration file" end
  file = mtev.realpath(file) or file
  local temporary = ("%s.%s"):format(file, mtev.uuid())
  local mode = mtev.stat(file)
  local fd, _, err = mtev.open(temporary, O_WRONLY + O_CREAT + O_EXCL + O_SYNC, mode and mode.mode % 512 or 420)
  if fd < 0 then return false, err end
  local ok, is_written, problem = pcall(write_all, fd, text) -- a coroutine that is cancelled here leaves nothing behind
  mtev.close(fd)
  if ok and is_written then
    is_written, problem = os.rename(temporary, file)
    if is_written then return true end
  end
  os.remove(temporary)
  if not ok then error(is_written, 0) end
  return false, problem
end

-- libmtev's word for "somebody should save this"; here saving is asked for, so there is nothing to note.
function mtev.conf_mark_changed() end

-- Programs without clusters do not load them.
function mtev.cluster(name)
  if type(name) ~= "string" then core.check.type(name, "string", 1, "cluster") end
  if not mtev.conf_get_string("/*/clusters/cluster") then return nil end
  return require("mtev.cluster")(name)
end
