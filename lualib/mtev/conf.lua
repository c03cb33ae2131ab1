-- mtev.conf_save, mtev.conf_mark_changed, and the door to mtev.cluster.

local mtev, core = ...
local conf_text = core.conf_text

-- The new text replaces the file whole, or not at all.
function mtev.conf_save()
  local text, file = conf_text()
  if not text then return false, "there is no configuration file" end
  local temporary = ("%s.%s"):format(file, mtev.uuid())
  local mode = mtev.stat(file)
  local fd, _, err = mtev.open(temporary, O_WRONLY + O_CREAT + O_EXCL + O_SYNC, mode and mode.mode % 512 or 420)
  if fd < 0 then return false, err end
  local written, errno = mtev.write(fd, text)
  mtev.close(fd)
  local ok
  if written == #text then
    ok, err = os.rename(temporary, file)
    if ok then return true end
  else
    err = ("write: errno %s"):format(tostring(errno))
  end
  mtev.unlink(temporary)
  return false, err
end

-- libmtev's word for "somebody should save this"; here saving is asked for, so there is nothing to note.
function mtev.conf_mark_changed() end

-- Programs without clusters do not load them.
function mtev.cluster(name)
  if type(name) ~= "string" then core.check.type(name, "string", 1, "cluster") end
  if not mtev.conf_get_string("/*/clusters/cluster") then return nil end
  return require("mtev.cluster")(name)
end
