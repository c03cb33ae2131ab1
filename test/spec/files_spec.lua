-- mtev.open, read, write, close, chmod, mkdir, mkdir_for_file, rmdir, unlink, realpath, getcwd, stat, readdir, lock files.

local files = require("test.support.files")
local process = require("test.support.process")
local counts = require("mtev.debug").counts

local ENOENT, EBADF, EAGAIN, EEXIST, ENOTDIR, ENOSPC = 2, 9, 11, 17, 20, 28
local EPIPE, ENOTEMPTY = 32, 39

local dir
before_each(function() dir = files.directory() end)
after_each(function() files.remove(dir) end)

local function path(name)
  return dir .. "/" .. name
end

describe("mtev.open", function()
  it("gives a descriptor that mtev.write writes to and mtev.close closes", function()
    local fd = mtev.open(path("f"), O_WRONLY + O_CREAT + O_TRUNC)
    assert.is_true(fd >= 3)
    assert.same({ 5, nil, n = 2 }, { n = select("#", mtev.write(fd, "hello")), mtev.write(fd, "world") })
    assert.equal(0, mtev.close(fd))
    assert.equal("helloworld", files.read(path("f")))
  end)

  it("makes files with mode 0666 less the umask, or as told", function()
    mtev.close(mtev.open(path("default"), O_WRONLY + O_CREAT))
    mtev.close(mtev.open(path("number"), O_WRONLY + O_CREAT, tonumber("600", 8)))
    mtev.close(mtev.open(path("text"), O_WRONLY + O_CREAT, "0640"))
    local umask = tonumber((process.sh("umask")), 8)
    local expected = bit.band(tonumber("666", 8), bit.bnot(umask))
    assert.equal(expected, bit.band(mtev.stat(path("default")).mode, 0xfff))
    assert.equal(tonumber("600", 8), bit.band(mtev.stat(path("number")).mode, 0xfff))
    assert.equal(bit.band(tonumber("640", 8), bit.bnot(umask)), bit.band(mtev.stat(path("text")).mode, 0xfff))
  end)

  it("says why it cannot", function()
    assert.same({ -1, ENOENT, "No such file or directory" }, { mtev.open(path("none"), O_RDONLY) })
    assert.same({ -1, EEXIST, "File exists" }, { mtev.open(dir, O_WRONLY + O_CREAT + O_EXCL) })
    assert.same({ -1, ENOTDIR, "Not a directory" }, { mtev.open("/etc/passwd/x", O_RDONLY) })
  end)

  it("raises for misuse", function()
    assert.error_matches(function() mtev.open(nil) end, "bad argument #1 to 'open' (string expected, got nil)", 1, true)
    assert.error_matches(function() mtev.open("a\0b", 0) end, "bad argument #1 to 'open' (string contains NUL)", 1, true)
    assert.error_matches(function() mtev.open("a", nil) end, "bad argument #2 to 'open' (number expected, got nil)", 1, true)
    assert.error_matches(function() mtev.open("a", 0, "rw") end, "mode must be an integer or a string of octal digits", 1, true)
  end)
end)

describe("mtev.close", function()
  it("closes once", function()
    local fd = mtev.open(path("f"), O_WRONLY + O_CREAT)
    assert.equal(0, mtev.close(fd))
    assert.same({ -1, EBADF }, { mtev.close(fd) })
    assert.same({ -1, EBADF, 0 }, { mtev.write(fd, "x") })
    assert.same({ -1, EBADF, 0 }, { mtev.write(fd, "") })
    assert.same({ -1, EBADF }, { mtev.close(-1) })
    assert.same({ -1, EBADF }, { mtev.close(2 ^ 31 - 1) })
  end)

  -- The next file would get the number, and every child would take it for its standard input, or its output.
  it("refuses 0, 1 and 2", function()
    for fd = 0, 2 do assert.same({ -1, EBADF }, { mtev.close(fd) }) end
    assert.is_nil((io.stdin:close()))
    local fd = mtev.open("/dev/null", O_RDONLY)
    assert.is_true(fd > 2)
    mtev.close(fd)
  end)

  it("refuses every descriptor that the runtime lives on", function()
    files.write(path("script.lua"), [[
      local process = require("test.support.process")
      local e = mtev.socket("inet")
      local proc, in_e, out_e, err_e = mtev.spawn("cat")
      local refused = 0
      for fd = 1, 255 do -- the eventer's, the child's pipes and pidfd, the poll, the mailbox, stdout, stderr
        if process.link("/proc/self/fd/" .. fd) then
          local rv, errno = mtev.close(fd)
          assert(rv == -1 and errno == 9, fd)
          if fd > 2 then assert(mtev.write(fd, "x") == -1) end
          if fd > 2 then assert(mtev.read(fd, 1) == nil) end
          refused = refused + 1
        end
      end
      assert(refused >= 8, refused)
      assert(e:bind("127.0.0.1", 0) == 0)
      in_e:write("still here\n")
      io.write(out_e:read("\n"))
      in_e:close()
      assert(proc:wait(60) == 0)]])
    -- Started by mtev.exec: it has no descriptors but its own.
    local status, out, err = mtev.exec(process.lhotse, { "lhotse", path("script.lua") }, nil, 60)
    assert.same({ 0, "still here\n", "" }, { status, out, err })
  end)
end)

describe("mtev.write", function()
  it("writes strings of any size and content", function()
    local data = ("\0\1\255\n"):rep(5e6)
    local fd = mtev.open(path("f"), O_WRONLY + O_CREAT)
    assert.equal(20e6, (mtev.write(fd, data)))
    mtev.close(fd)
    assert.is_true(files.read(path("f")) == data)
  end)

  it("reaches beyond 4 GiB", function()
    local fd = mtev.open(path("f"), O_RDWR + O_CREAT)
    assert.equal(3, (mtev.write(fd, "end", 5 * 2 ^ 30)))
    assert.equal(5 * 2 ^ 30 + 3, mtev.stat(fd).size)
    assert.equal(5 * 2 ^ 30 + 3, mtev.stat(path("f")).size)
    assert.equal("\0\0end", mtev.read(fd, 100, 5 * 2 ^ 30 - 2))
    assert.equal("", mtev.read(fd, 100, 6 * 2 ^ 30))
    mtev.close(fd)
  end)

  it("tells what was written before a disk was full", function()
    local fd = mtev.open("/dev/full", O_WRONLY)
    assert.same({ -1, ENOSPC, 0 }, { mtev.write(fd, "x") })
    mtev.close(fd)
    -- A limit on the file's size is a disk that gets full in the middle of a write.
    local output = process.run([[
      local fd = mtev.open(arg[1], O_WRONLY + O_CREAT)
      print(mtev.write(fd, ("x"):rep(100000)))]],
      { before = "trap '' XFSZ; ulimit -f 64;", arguments = path("limited"), after = "| cat" })
    assert.equal("-1\t27\t32768\n", output) -- EFBIG; sh counts in 512 bytes
  end)

  it("waits for a full pipe, also a non-blocking one, without stopping others", function()
    assert(os.execute("mkfifo " .. path("fifo")) == 0)
    local reader = mtev.open(path("fifo"), O_RDONLY + O_NONBLOCK)
    local writer = mtev.open(path("fifo"), O_WRONLY + O_NONBLOCK)
    local written
    mtev.coroutine_spawn(function()
      written = mtev.write(writer, ("x"):rep(1e6))
      mtev.close(writer)
    end)
    local total = 0
    while total < 1e6 do
      local data = assert(mtev.read(reader, 65536))
      total = total + #data
      mtev.sleep(0)
    end
    while not written do mtev.sleep(0.001) end
    assert.equal(1e6, written)
    assert.equal("", mtev.read(reader, 10)) -- no writer is left
    mtev.close(reader)
  end)

  it("gives EPIPE when nobody reads", function()
    assert(os.execute("mkfifo " .. path("fifo")) == 0)
    local reader = mtev.open(path("fifo"), O_RDONLY + O_NONBLOCK)
    local writer = mtev.open(path("fifo"), O_WRONLY)
    mtev.close(reader)
    assert.same({ -1, EPIPE, 0 }, { mtev.write(writer, "x") })
    mtev.close(writer)
  end)

  it("raises without a string", function()
    assert.error_matches(function() mtev.write(1, nil) end, "bad argument #2 to 'write' (string expected, got nil)", 1, true)
    assert.error_matches(function() mtev.write("x", "y") end, "bad argument #1 to 'write' (number expected, got string)", 1, true)
  end)
end)

describe("mtev.read", function()
  it("reads on from where it was, up to the end", function()
    local fd = mtev.open(files.write(path("f"), "0123456789"), O_RDONLY)
    assert.equal("0123", mtev.read(fd, 4))
    assert.equal("", mtev.read(fd, 0))
    assert.equal("9", mtev.read(fd, 5, 9))
    assert.equal("456789", mtev.read(fd, 100))
    assert.equal("", mtev.read(fd, 100))
    mtev.close(fd)
  end)

  it("says why it cannot", function()
    assert.same({ nil, EBADF, "Bad file descriptor" }, { mtev.read(-1, 1) })
    local fd = mtev.open(dir, O_RDONLY)
    assert.same({ nil, 21, "Is a directory" }, { mtev.read(fd, 1) })
    mtev.close(fd)
    assert.error_matches(function() mtev.read(0, -1) end, "bad argument #2 to 'read'", 1, true)
    assert.error_matches(function() mtev.read(0, 2 ^ 31) end, "bad argument #2 to 'read'", 1, true)
  end)
end)

describe("directories", function()
  it("are made and removed", function()
    assert.is_true(mtev.mkdir(path("a")))
    assert.is_true(mtev.mkdir(path("b"), tonumber("700", 8)))
    assert.equal(tonumber("700", 8), bit.band(mtev.stat(path("b")).mode, 0xfff))
    assert.same({ false, EEXIST, "File exists" }, { mtev.mkdir(path("a")) })
    assert.same({ false, ENOENT, "No such file or directory" }, { mtev.mkdir(path("x/y")) })
    files.write(path("a/f"), "")
    assert.same({ false, ENOTEMPTY, "Directory not empty" }, { mtev.rmdir(path("a")) })
    assert.is_true(mtev.unlink(path("a/f")))
    assert.same({ false, ENOENT, "No such file or directory" }, { mtev.unlink(path("a/f")) })
    assert.is_true(mtev.rmdir(path("a")))
    assert.same({ false, ENOENT, "No such file or directory" }, { mtev.rmdir(path("a")) })
  end)

  it("are made for a file, all that are missing", function()
    assert.is_true(mtev.mkdir_for_file(path("p/q//r/file")))
    assert.equal(S_IFDIR, bit.band(mtev.stat(path("p/q/r")).mode, 0xf000))
    assert.is_nil((mtev.stat(path("p/q/r/file"))))
    assert.is_true(mtev.mkdir_for_file(path("p/q/r/file")))
    assert.is_true(mtev.mkdir_for_file("bare_name"))
    files.write(path("f"), "")
    assert.same({ false, ENOTDIR, "Not a directory" }, { mtev.mkdir_for_file(path("f/file")) })
    assert.same({ false, ENOTDIR, "Not a directory" }, { mtev.mkdir_for_file(path("f/x/file")) })
    assert.same({ false, ENOENT, "No such file or directory" }, { mtev.mkdir_for_file("") })
  end)

  it("list their names", function()
    files.write(path("one.lua"), "")
    files.write(path("two.txt"), "")
    local names = mtev.readdir(dir)
    table.sort(names)
    assert.same({ ".", "..", "one.lua", "two.txt" }, names)
    assert.same({ "one.lua" }, mtev.readdir(dir, function(name)
      mtev.sleep(0) -- a filter may wait
      return name:match("%.lua$")
    end))
    assert.same({ nil, ENOENT, "No such file or directory" }, { mtev.readdir(path("none")) })
    assert.same({ nil, ENOTDIR, "Not a directory" }, { mtev.readdir(path("one.lua")) })
    assert.error_matches(function() mtev.readdir(dir, 1) end, "bad argument #2 to 'readdir' (function expected, got number)", 1, true)
  end)

  it("can hold many names", function()
    for i = 1, 2000 do mtev.close(mtev.open(path("file" .. i), O_WRONLY + O_CREAT)) end
    assert.equal(2002, #mtev.readdir(dir))
  end)
end)

describe("mtev.chmod", function()
  it("takes integers and octal strings", function()
    files.write(path("f"), "")
    assert.same({ 0, nil, n = 2 }, { n = select("#", mtev.chmod(path("f"), 256)), mtev.chmod(path("f"), 256) })
    assert.equal(256, bit.band(mtev.stat(path("f")).mode, 0xfff))
    assert.equal(0, (mtev.chmod(path("f"), "0755")))
    assert.equal(tonumber("755", 8), bit.band(mtev.stat(path("f")).mode, 0xfff))
    assert.same({ -1, ENOENT }, { mtev.chmod(path("none"), 256) })
    assert.error_matches(function() mtev.chmod(path("f"), 99999) end, "bad argument #2 to 'chmod'", 1, true)
    assert.error_matches(function() mtev.chmod(path("f"), "0899") end, "bad argument #2 to 'chmod'", 1, true)
  end)
end)

describe("mtev.stat", function()
  it("tells of a path or a descriptor, without following links", function()
    files.write(path("f"), "12345")
    os.execute("ln -s f " .. path("link"))
    local st = mtev.stat(path("f"))
    assert.equal(5, st.size)
    assert.equal(S_IFREG, bit.band(st.mode, 0xf000))
    assert.equal(1, st.nlink)
    assert.is_true(math.abs(st.mtime - mtev.time()) < 60)
    assert.equal(S_IFLNK, bit.band(mtev.stat(path("link")).mode, 0xf000))
    local fd = mtev.open(path("link"), O_RDONLY)
    assert.equal(st.ino, mtev.stat(fd).ino)
    mtev.close(fd)
    assert.is_nil(mtev.stat(nil))
    assert.same({ nil, ENOENT, "No such file or directory" }, { mtev.stat(path("none")) })
    assert.same({ nil, EBADF, "Bad file descriptor" }, { mtev.stat(-1) })
  end)
end)

describe("paths", function()
  it("become real", function()
    files.write(path("f"), "")
    os.execute("ln -s f " .. path("link"))
    local real = mtev.realpath(dir)
    assert.equal(real .. "/f", mtev.realpath(dir .. "/./../" .. dir:match("[^/]+$") .. "/link"))
    assert.equal(1, select("#", mtev.realpath(dir)))
    assert.same({ nil, ENOENT, "No such file or directory" }, { mtev.realpath(path("none")) })
    assert.equal((process.sh("pwd -P"):gsub("\n", "")), mtev.getcwd())
  end)

  it("fail in words where the working directory is gone", function()
    local output = process.run([[
      mtev.rmdir(arg[1])
      print(mtev.getcwd())]], { before = ("mkdir %s/gone; cd %s/gone;"):format(dir, dir), arguments = path("gone") })
    assert.equal("nil\t2\tNo such file or directory\n", output)
  end)
end)

describe("lock files", function()
  it("have one holder", function()
    local handle = mtev.lockfile_acquire(path("lock"))
    assert.is_true(handle >= 0)
    assert.matches("^%d+\n$", files.read(path("lock")))
    assert.same({ -1, EAGAIN, "Resource temporarily unavailable" }, { mtev.lockfile_acquire(path("lock")) })
    local output = process.run("print((mtev.lockfile_acquire(arg[1])))", { arguments = path("lock") })
    assert.equal("-1\n", output)
    assert.same({ -1, EBADF }, { mtev.close(handle) }) -- a lock is not let go of by accident
    assert.equal(0, mtev.lockfile_release(handle))
    assert.same({ -1, EBADF }, { mtev.lockfile_release(handle) })
    assert.is_nil((mtev.stat(path("lock"))))
    handle = mtev.lockfile_acquire(path("lock"))
    assert.is_true(handle >= 0)
    assert.equal(0, mtev.lockfile_release(handle))
    assert.equal(-1, (mtev.lockfile_acquire(path("none/lock"))))
  end)

  -- The file of that name is another holder's, when somebody removed ours meanwhile.
  it("are removed by their own holder only", function()
    local first = mtev.lockfile_acquire(path("lock"))
    assert(mtev.unlink(path("lock")))
    local second = mtev.lockfile_acquire(path("lock"))
    assert.is_true(second >= 0)
    assert.equal(0, mtev.lockfile_release(first))
    assert.same({ -1, EAGAIN, "Resource temporarily unavailable" }, { mtev.lockfile_acquire(path("lock")) })
    assert.equal(0, mtev.lockfile_release(second))
    assert.is_nil((mtev.stat(path("lock"))))
  end)

  it("are free again when their holder has died", function()
    local output = process.run("print(mtev.lockfile_acquire(arg[1]) >= 0)", { arguments = path("lock") })
    assert.equal("true\n", output)
    local handle = mtev.lockfile_acquire(path("lock"))
    assert.is_true(handle >= 0)
    mtev.lockfile_release(handle)
  end)
end)

describe("the thread pool", function()
  it("lets other coroutines run while a file operation waits", function()
    assert(os.execute("mkfifo " .. path("fifo")) == 0)
    local opened
    mtev.coroutine_spawn(function() opened = mtev.open(path("fifo"), O_RDONLY) end) -- blocks until there is a writer
    for _ = 1, 100 do mtev.sleep(0.0001) end
    assert.is_nil(opened)
    local writer = mtev.open(path("fifo"), O_WRONLY)
    while not opened do mtev.sleep(0.001) end
    mtev.close(opened)
    mtev.close(writer)
  end)

  it("keeps the order of one coroutine's operations, and serves a thousand coroutines", function()
    local done = 0
    for i = 1, 1000 do
      mtev.coroutine_spawn(function()
        local name = path("dir" .. i)
        assert(mtev.mkdir(name))
        local fd = mtev.open(name .. "/f", O_RDWR + O_CREAT)
        mtev.write(fd, "a" .. i)
        mtev.write(fd, "b")
        assert.equal("a" .. i .. "b", mtev.read(fd, 100, 0))
        mtev.close(fd)
        assert(mtev.unlink(name .. "/f"))
        assert(mtev.rmdir(name))
        done = done + 1
      end)
    end
    while done < 1000 do mtev.sleep(0.001) end
    assert.equal(2, #mtev.readdir(dir))
  end)

  it("closes what a cancelled coroutine has opened", function()
    local before, descriptors = counts(), process.descriptors()
    for i = 1, 200 do
      local co = mtev.coroutine_spawn(function()
        mtev.open(path("f" .. i), O_RDWR + O_CREAT)
        error("not reached")
      end)
      mtev.cancel_coro(co)
    end
    while counts().jobs > 0 do mtev.sleep(0.001) end
    assert.same(before, counts())
    assert.equal(descriptors, process.descriptors())
  end)

  -- open(2) of a FIFO waits for its other end, read(2) for bytes, write(2) for room: the loop waits for these, so that no
  -- thread of the pool does. Files and names go on however many coroutines wait.
  it("lends no thread to FIFOs that nobody uses", function()
    assert(os.execute("mkfifo " .. path("in") .. " " .. path("out") .. " " .. path("full")) == 0)
    local keep = mtev.open(path("in"), O_RDWR)
    local reading, writing, opening, ended = {}, {}, {}, 0
    local function start(list, f)
      for i = 1, 40 do
        list[i] = mtev.coroutine_spawn(function()
          f()
          ended = ended + 1
        end)
      end
    end
    local before = counts()
    start(reading, function() mtev.read(mtev.open(path("in"), O_RDONLY), 100) end)
    start(opening, function() mtev.close(mtev.open(path("out"), O_WRONLY)) end)
    local full = mtev.open(path("full"), O_RDWR)
    start(writing, function() mtev.write(full, ("x"):rep(1e6)) end)
    for _ = 1, 20 do
      assert.equal(0, mtev.close(mtev.open(path("f"), O_WRONLY + O_CREAT)))
      assert.equal("table", type(mtev.stat("/")))
      assert.is_truthy(mtev.getaddrinfo("localhost"))
      assert.equal("127.0.0.1", (mtev.getaddrinfo("127.0.0.1")))
    end
    assert.equal(0, ended)
    for i = 1, 40 do mtev.cancel_coro(writing[i]) end
    for i = 1, 39 do mtev.cancel_coro(opening[i]) mtev.cancel_coro(reading[i]) end
    mtev.write(keep, "hello")
    local reader = mtev.open(path("out"), O_RDONLY)
    while ended < 2 do mtev.sleep(0.001) end
    assert.equal("", mtev.read(reader, 10))
    while counts().jobs > 0 do mtev.sleep(0.001) end
    assert.same(before, counts())
    for _, fd in ipairs { reader, keep, full } do assert.equal(0, mtev.close(fd)) end
  end)

  it("waits for descriptors that it has not opened, and that block", function()
    local output = process.run([[
      local lines = {}
      for i = 1, 40 do
        mtev.coroutine_spawn(function()
          local line = mtev.read(0, 100)
          lines[#lines + 1] = line
        end)
      end
      for _ = 1, 20 do mtev.stat("/") end
      print(#lines)
      while #lines < 40 do mtev.sleep(0.001) end
      print(table.concat(lines))]], { before = "{ sleep 1; echo hello; } |" })
    assert.equal("0\nhello\n\n", output)
  end)

  -- A descriptor that a script closes while it is read may mean another file at the next moment.
  it("goes on with the file that it began with", function()
    assert(os.execute("mkfifo " .. path("fifo")) == 0)
    local fd = mtev.open(path("fifo"), O_RDWR)
    local got
    mtev.coroutine_spawn(function() got = mtev.read(fd, 100) end)
    local writer = mtev.open(path("fifo"), O_WRONLY)
    mtev.sleep(0.05)
    mtev.close(fd)
    local other = mtev.open(files.write(path("other"), "wrong"), O_RDONLY)
    mtev.write(writer, "right")
    while not got do mtev.sleep(0.001) end
    assert.equal("right", got)
    mtev.close(other)
    mtev.close(writer)
  end)

  -- The same while a call waits for a thread of the pool: it has a descriptor of its own from the beginning.
  it("writes, reads and looks at the file that it was given, whatever has the number now", function()
    local before, descriptors, done = counts(), process.descriptors(), 0
    files.write(path("other"), "wrong")
    local function with_number_reused(flags, call)
      local fd = mtev.open(path("mine"), flags)
      mtev.coroutine_spawn(function()
        call(fd)
        done = done + 1
        mtev.notify("files_spec", done)
      end)
      assert.equal(0, mtev.close(fd))
      local other = assert(io.open(path("other"), "a+"))
      assert.same({ "files_spec", done + 1 }, { mtev.waitfor("files_spec", 60) })
      other:close()
    end
    for i = 1, 30 do
      with_number_reused(O_WRONLY + O_CREAT + O_APPEND, function(fd) assert.equal(1, (mtev.write(fd, "x"))) end)
      with_number_reused(O_RDONLY, function(fd) assert.equal(("x"):rep(i), mtev.read(fd, 1000)) end)
      with_number_reused(O_RDONLY, function(fd) assert.equal(i, mtev.stat(fd).size) end)
    end
    assert.equal("wrong", files.read(path("other")))
    assert.same(before, counts())
    assert.equal(descriptors, process.descriptors())
  end)

  -- Without a descriptor of its own a call does at once what it need not wait for.
  it("reads and writes when no descriptors are left", function()
    assert.equal("written\ttrue\nread\tx\nstat\t1\nwaits\tnil\t24\n", (process.run([[
      local fd = mtev.open(arg[1], O_RDWR + O_CREAT)
      local fifo = mtev.open(arg[2], O_RDWR)
      local kept = {}
      while #kept < 1000 do -- each is kept: one that was collected would give a descriptor back
        local file = io.open("/dev/null")
        if not file then break end
        kept[#kept + 1] = file
      end
      print("written", mtev.write(fd, "x", 0) == 1)
      print("read", mtev.read(fd, 10, 0))
      print("stat", mtev.stat(fd).size)
      local none, errno = mtev.read(fifo, 10)
      print("waits", none, errno)]],
      { before = "mkfifo " .. path("fifo") .. "; ulimit -n 64;", arguments = path("f") .. " " .. path("fifo") })))
  end)

  it("works at once where nothing can yield", function()
    local list = { 3, 1, 2 }
    table.sort(list, function(a, b)
      assert.equal(0, mtev.close(mtev.open(path("f"), O_WRONLY + O_CREAT)))
      assert.equal(0, mtev.stat(path("f")).size)
      assert.equal("table", type(mtev.readdir(dir)))
      return a < b
    end)
    assert.same({ 1, 2, 3 }, list)
  end)

  it("does not hold up the end of the program, nor is a program ended with work under way", function()
    assert.equal("3\n", (process.run([[
      mtev.coroutine_spawn(function()
        local fd = mtev.open(arg[1], O_WRONLY + O_CREAT)
        print(mtev.write(fd, "abc"))
      end)]], { arguments = path("f") }):gsub("\tnil", "")))
    -- SIGTERM while a pool thread hangs in open(2): nobody will ever write to this pipe.
    assert(os.execute("mkfifo " .. path("fifo")) == 0)
    local _, status = process.run([[
      mtev.coroutine_spawn(function() mtev.open(arg[1], O_RDONLY) end)
      mtev.sleep(0.05)
      ffi.cdef "int kill(int, int); int getpid(void);"
      ffi.C.kill(ffi.C.getpid(), 15)
      mtev.sleep(60)]], { arguments = path("fifo") })
    assert.equal(143, status)
  end)
end)
