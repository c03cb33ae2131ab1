-- mtev.conf_save, mtev.conf_mark_changed, and the door to mtev.cluster.

local mtev, core = ...
local conf_text, replace_file = core.conf_text, core.replace_file
local check_interrupted = core.check_interrupted

-- The new text replaces the file whole, or not at all: the file that a symbolic link points at, not the link.
function mtev.conf_save()
  local text, file = conf_text()
  if not text then return false, "there is no configuration file" end
  file = mtev.realpath(file) or file
  local temporary = ("%s.%s"):format(file, mtev.uuid())
  local mode = mtev.stat(file)
  local ok, mark, problem = replace_file(file, temporary, text, mode and mode.mode % 512 or 420)
  check_interrupted(mark, problem)
  if ok then return true end
  return false, problem
end

-- libmtev's word for "somebody should save this"; here saving is asked for, so there is nothing to note.
function mtev.conf_mark_changed() end

-- Programs without clusters do not load them.
function mtev.cluster(name)
  if type(name) ~= "string" then core.check.type(name, "string", 1, "cluster") end
  if not mtev.conf_get_string("/*/clusters/cluster") then return nil end
  return core.require("cluster/init")(name)
end
