-- Running the program itself from a spec, and looking at this process from outside.

local ffi = require("ffi")

local process = {}

ffi.cdef [[
int getpid(void);
typedef struct __dirstream DIR;
struct spec_dirent { unsigned long ino; long off; unsigned short reclen; unsigned char type; char name[256]; };
DIR *opendir(const char *name);
struct spec_dirent *readdir(DIR *dir);
int closedir(DIR *dir);
long readlink(const char *path, char *buffer, size_t size);
]]

process.pid = ffi.C.getpid()

ffi.cdef "void __tsan_init(void); void __asan_init(void);"
process.is_tsan = pcall(function() return ffi.C.__tsan_init end)
process.is_sanitized = process.is_tsan or pcall(function() return ffi.C.__asan_init end)

-- The program that runs this spec.
process.lhotse = ("/proc/%d/exe"):format(process.pid)
do
  local pipe = io.popen("readlink " .. process.lhotse)
  process.lhotse = pipe:read("*l")
  pipe:close()
  process.luamtev = process.lhotse:gsub("lhotse$", "luamtev")
end

function process.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local quote = process.quote

-- Runs a shell command, blocking; returns its output (stderr included) and exit status.
function process.sh(command)
  local pipe = io.popen("{ " .. command .. "\n} 2>&1; printf '\\n%d' $?")
  local output = pipe:read("*a")
  pipe:close()
  local text, status = output:match("^(.*)\n(%d+)$")
  return text, tonumber(status)
end

local function write_file(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  return name
end

process.write_file = write_file

-- Runs `[before] lhotse [options] FILE [arguments] [after]` on a script given as text; returns output, exit status, the file's name.
function process.run(script, options)
  options = options or {}
  local name = options.name and (os.tmpname() .. ".d") or os.tmpname()
  if options.name then
    os.execute("mkdir -p " .. name)
    name = name .. "/" .. options.name
  end
  local file = assert(io.open(name, "w"))
  file:write(script)
  file:close()
  local output, status = process.sh(("%s %s %s %s %s %s"):format(options.before or "",
    options.program or process.lhotse, options.options or "", quote(name), options.arguments or "", options.after or ""))
  os.remove(name)
  return output, status, name
end

-- Open descriptors of this process.
function process.descriptors()
  local dir = ffi.C.opendir("/proc/self/fd")
  local count = 0
  while ffi.C.readdir(dir) ~= nil do count = count + 1 end
  ffi.C.closedir(dir)
  return count - 3 -- ".", ".." and the directory itself
end

-- Where a symbolic link points to, or nil.
function process.link(path)
  local buffer = ffi.new("char[512]")
  local n = ffi.C.readlink(path, buffer, 512)
  return n >= 0 and ffi.string(buffer, n) or nil
end

-- The state of a process as /proc has it: R, S, T (stopped), Z (zombie); nil when there is none of that pid.
function process.state(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text:match("%) (%a)")
end

-- Waits until a process that is no child of ours has ended.
function process.await_death(pid)
  while (process.state(pid) or "Z") ~= "Z" do mtev.sleep(0.001) end
end

-- Waits until what nobody holds any more is gone; returns what is left: mtev.debug's counts, open descriptors.
function process.settle()
  local counts = require("mtev.debug").counts
  repeat
    collectgarbage()
    collectgarbage()
    mtev.sleep(0.0001)
    local now = counts()
  until now.children == 0 and now.jobs == 0
  return counts(), process.descriptors()
end

-- Nothing more is left than `process.settle` gave before.
function process.expect_left(before, descriptors)
  local assert = require("luassert")
  local now, open = process.settle()
  assert.same(before, now)
  assert.equal(descriptors, open)
end

-- Waits until `condition()` is true; returns what it gave.
function process.wait_for(condition)
  local result
  repeat
    result = condition()
    if not result then mtev.sleep(0.01) end
  until result
  return result
end

-- CPU seconds this process has used.
function process.cpu()
  return os.clock()
end

return process
