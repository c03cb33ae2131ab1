-- Real servers for specs, each on a port of its own on 127.0.0.1, in a directory of its own, as mtev.Proc objects.

local files = require("test.support.files")

local server = {}

-- A port that was free a moment ago.
function server.port()
  local e = assert(mtev.socket("inet"))
  assert(e:bind("127.0.0.1", 0) == 0)
  local _, port = e:sock_name()
  e:close()
  return port
end

-- redis logs to stdout; the shell sends that to stderr and gives its place to redis.
function server.redis(dir, port)
  local command = ("exec redis-server --port %d --bind 127.0.0.1 --dir %s --save '' --appendonly no >&2"):format(port, dir)
  return mtev.Proc:new {
    path = "/bin/sh",
    argv = { "sh", "-c", command },
    dir = dir,
    boot_match = "Ready to accept connections",
    boot_timeout = 60,
  }
end

-- `servers`: server blocks instead of the one that says hello.
function server.nginx(dir, port, servers)
  files.write(dir .. "/nginx.conf", ([[
    daemon off;
    master_process on;
    worker_processes 2;
    pid %s/nginx.pid;
    error_log stderr notice;
    events { worker_connections 64; }
    http {
      access_log off;
      client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/fastcgi;
      uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi;
      %s
    }]]):format(dir, dir, dir, dir, dir, dir, servers or
    ('server { listen 127.0.0.1:%d; location / { return 200 "hello\n"; } }'):format(port)))
  return mtev.Proc:new {
    path = "/usr/sbin/nginx",
    argv = { "nginx", "-p", dir, "-c", dir .. "/nginx.conf", "-e", "stderr" },
    dir = dir,
    boot_match = "start worker process %d+",
    boot_timeout = 60,
  }
end

-- A name server that knows only what its options say.
function server.dnsmasq(port, options)
  local command = { "exec", "/usr/sbin/dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
    "--listen-address=127.0.0.1", "--bind-interfaces", "--user=", "--pid-file=", "--dns-forward-max=10000", "--port=" .. port }
  for _, option in ipairs(options) do command[#command + 1] = "'" .. option .. "'" end
  return mtev.Proc:new {
    path = "/bin/sh",
    argv = { "sh", "-c", table.concat(command, " ") },
    boot_match = "started, version",
    boot_timeout = 60,
  }
end

-- One of the Node programs in test/support, which ends with the test that started it.
function server.node(program, port, ...)
  local command = { "NODE_PATH=/usr/share/nodejs exec node test/support/" .. program, port, ... }
  return mtev.Proc:new { path = "/bin/sh", argv = { "sh", "-c", table.concat(command, " ") }, boot_match = "ready", boot_timeout = 60 }
end

-- One request on a new connection; the first `pattern` in what comes back.
function server.ask(port, request, pattern)
  local e = assert(mtev.socket("inet"))
  assert(e:connect("127.0.0.1", port, 30) == 0)
  e:write(request)
  local text = ""
  while not text:find(pattern) do
    local n, data = e:recv(65536)
    if n <= 0 then break end
    text = text .. data
  end
  e:close()
  return text:match(pattern)
end

return server
