---@meta
-- Files and directories: mtev.open, read, write, close, stat, readdir, mkdir, unlink, lockfile_acquire ...

-- == Files ==========================================================================================================
--
-- A disk may be slow, so every function here except close, getcwd and lockfile_release runs on a pool of threads and
-- yields meanwhile; other coroutines go on. Where nothing can yield (a comparator of table.sort) it runs on the
-- calling thread instead. The operation of a cancelled coroutine goes on to its end; what it opened is closed. FIFOs,
-- pipes, terminals and sockets occupy no thread while they wait for their other end, for bytes or for room.
--
-- Paths with a NUL byte raise. Modes are integers (decimal: `tonumber("755", 8)`) or strings of octal digits
-- (`"0755"`). Descriptors are plain integers. Those that belong to the runtime (sockets, pipes, log files) are
-- refused with EBADF.

---Opens a file; the descriptor is close-on-exec and does not reach spawned processes. Only `mtev.close` closes it.
---Opening a FIFO waits until its other end is open, unless `flags` has O_NONBLOCK; its descriptor is non-blocking,
---but `mtev.read` and `mtev.write` still wait. Yields.
---@param path string
---@param flags integer sum of `O_*`
---@param mode? integer|string for O_CREAT, less the umask; default 0666
---@return integer fd -1 on failure
---@return integer? errno
---@return string? err
function mtev.open(path, flags, mode) end

---Reads from a descriptor: from a file `count` bytes, or fewer at its end; from anything else the result of one read.
---Yields.
---
---Extension.
---@param fd integer
---@param count integer bytes, at most 2^31 - 256
---@param offset? integer where in the file, leaving its position alone; default at its position
---@return string? data `""` at the end; nil on failure
---@return integer errno
---@return string err
function mtev.read(fd, count, offset) end

---Writes all of `data`: short writes are continued, and it waits while a pipe is full. Yields.
---@param fd integer
---@param data string
---@param offset? integer where in the file, leaving its position alone; default at its position. Extension
---@return integer written `#data`; -1 on failure
---@return integer? errno EPIPE, ENOSPC, EBADF ...
---@return integer? partial on failure: the bytes that were written
function mtev.write(fd, data, offset) end

---Closes a descriptor opened by `mtev.open`; 0, 1 and 2 are refused. Does not yield.
---@param fd integer
---@return integer rv 0; -1 on failure
---@return integer? errno EBADF: not open, or not the script's, like 0, 1 and 2
function mtev.close(fd) end

---Yields.
---@param path string
---@param mode integer|string
---@return integer rv 0; -1 on failure
---@return integer? errno
function mtev.chmod(path, mode) end

---Makes a directory. Yields.
---@param path string
---@param mode? integer|string less the umask; default 0777
---@return boolean ok
---@return integer? errno EEXIST if it exists
---@return string? err
function mtev.mkdir(path, mode) end

---Makes the missing directories above the last component of `path`. Yields.
---@param path string
---@param mode? integer|string less the umask; default 0777
---@return boolean ok
---@return integer? errno ENOTDIR: something on the way is not a directory
---@return string? err
function mtev.mkdir_for_file(path, mode) end

---Removes an empty directory. Yields.
---@param path string
---@return boolean ok
---@return integer? errno
---@return string? err
function mtev.rmdir(path) end

---Removes a name of a file, as unlink(2). Yields.
---@param path string
---@return boolean ok
---@return integer? errno
---@return string? err
function mtev.unlink(path) end

---The absolute path, without links, `.` and `..`. Yields.
---@param path string
---@return string? path nil on failure
---@return integer errno
---@return string err
function mtev.realpath(path) end

---The working directory. Does not yield.
---@return string? path nil if it no longer exists
---@return integer errno
---@return string err
function mtev.getcwd() end

---@class mtev.stat
---@field dev integer
---@field ino integer
---@field mode integer type and permissions: `bit.band(mode, 0xf000) == S_IFDIR`
---@field nlink integer
---@field uid integer
---@field gid integer
---@field rdev integer
---@field size integer bytes
---@field mtime number seconds since 1970, as mtev.time()
---@field atime number
---@field ctime number

---The result of lstat(2) or fstat(2): links are not followed. Yields.
---@param path string|integer|nil a path or a descriptor; nil returns nil
---@return mtev.stat? stat nil on failure
---@return integer errno
---@return string err
function mtev.stat(path) end

---The names in a directory, in no particular order, including `.` and `..`. Yields.
---@param path string
---@param filter? fun(name: string): any keeps the names for which it returns true; it may yield
---@return string[]? names nil on failure
---@return integer errno
---@return string err
function mtev.readdir(path, filter) end

---Takes a lock file: creates it if needed, locks it (fcntl, for the open file: a second attempt in this process fails
---too) and writes our pid into it. The system releases the lock when the process ends, however it ends. Yields, but
---does not wait for the lock.
---@param path string
---@return integer handle -1 on failure
---@return integer? errno EAGAIN: it is held
---@return string? err
function mtev.lockfile_acquire(path) end

---Removes a lock file and releases the lock; a file of that name that belongs to another holder is left alone. Does
---not yield.
---@param handle integer
---@return integer rv 0; -1 if it is not a handle of this thread
---@return integer? errno EBADF
function mtev.lockfile_release(handle) end
