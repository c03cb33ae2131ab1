-- luacheck's settings: `make lint`.
std = "luajit"
codes = true
max_line_length = false -- layout is not its matter

read_globals = { "mtev", "printf", "printto", "errorf", "ENV", "arg", "ffi",
  "O_RDONLY", "O_WRONLY", "O_RDWR", "O_CREAT", "O_EXCL", "O_TRUNC", "O_APPEND", "O_SYNC", "O_NONBLOCK", "O_CLOEXEC",
  "S_IFMT", "S_IFDIR", "S_IFREG", "S_IFLNK" }
globals = { "main" } -- what a script may define

ignore = {
  "212/self", "412/self", -- a method takes self, whether this one needs it or not
  "311", "241", -- set to nil, or only added to: for the collector
  "431", -- a local of the name of an outer one
  "581", -- not (x >= y) is true of NaN
}

files["lualib"] = {
  -- What the program gives scripts is defined here, and what it replaces.
  globals = { "arg", "coroutine", "debug", "dofile", "errorf", "module", "os", "print", "printf", "require", "string", "main" },
}
files["test/spec"] = { std = "+busted", globals = { "ENV" } }
files["test/support/cluster_node.lua"] = { globals = { "c" } }
files["test/stress"] = { globals = { "main" } }
files["bench"] = { read_globals = { "box", "ngx", "arguments", "count", "program" } } -- of the peers' hosts
exclude_files = { "types", "build" } -- types: declarations for editors
