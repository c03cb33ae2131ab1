-- Files and directories for specs: each under a directory of its own, removed with it.

local files = {}

-- A new, empty directory.
function files.directory()
  local name = os.tmpname()
  os.remove(name)
  assert(os.execute("mkdir " .. name) == 0)
  return name
end

function files.remove(directory)
  os.execute("rm -rf " .. directory)
end

function files.write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

function files.read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

return files
