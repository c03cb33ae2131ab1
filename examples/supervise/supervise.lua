-- Starts two real servers, waits until both are ready, asks each something, shows what they logged about it, stops both.
--   lhotse examples/supervise/supervise.lua        needs redis-server and nginx

local function free_port()
  local e = assert(mtev.socket("inet"))
  assert(e:bind("127.0.0.1", 0) == 0)
  local _, port = e:sock_name()
  e:close()
  return port
end

local dir = os.tmpname() -- a name, and an empty file of that name
mtev.unlink(dir)
assert(mtev.mkdir(dir))

local function write_file(name, text)
  local fd, _, err = mtev.open(dir .. "/" .. name, O_WRONLY + O_CREAT + O_TRUNC)
  if fd < 0 then errorf("%s: %s", name, err) end
  mtev.write(fd, text)
  mtev.close(fd)
end

-- redis logs to stdout: a shell turns that to stderr, where a Proc looks, and makes way for redis.
local redis_port = free_port()
local redis = mtev.Proc:new {
  path = "/bin/sh",
  argv = { "sh", "-c", ("exec redis-server --port %d --bind 127.0.0.1 --save '' --loglevel verbose >&2"):format(redis_port) },
  dir = dir,
  boot_match = "Ready to accept connections",
  boot_timeout = 30,
}

local nginx_port = free_port()
write_file("nginx.conf", ([[
  daemon off;
  pid nginx.pid;
  error_log stderr notice;
  events {}
  http {
    access_log /dev/stderr;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server { listen 127.0.0.1:%d; location / { return 200 "hello from nginx\n"; } }
  }]]):format(nginx_port))
local nginx = mtev.Proc:new {
  path = "/usr/sbin/nginx",
  argv = { "nginx", "-p", dir, "-c", dir .. "/nginx.conf", "-e", "stderr" },
  dir = dir,
  boot_match = "start worker process %d+",
  boot_timeout = 30,
}

-- What each logs about our visit: watched from the start, read when we want it.
local redis_saw = redis:logwrite("redis.log"):logwatch("Accepted 127\\.0\\.0\\.1:\\d+", 1)
local nginx_saw = nginx:logwrite("nginx.log"):logwatch('"GET /greeting ', 1)

for name, server in pairs { redis = redis, nginx = nginx } do
  mtev.coroutine_spawn(function()
    mtev.notify("up", name, server:start():ready())
  end)
end
for _ = 1, 2 do
  local _, name, is_ready = mtev.waitfor("up")
  if not is_ready then errorf("%s did not start", name) end
  printf("%s is ready", name)
end

local function ask(port, request, stop)
  local e = assert(mtev.socket("inet"))
  assert(e:connect("127.0.0.1", port, 10) == 0)
  e:write(request)
  local answer = e:read(stop)
  e:close()
  return answer
end

io.write("redis answers ", ask(redis_port, "PING\r\n", "\n"))
io.write("nginx answers ", ask(nginx_port, "GET /greeting HTTP/1.0\r\n\r\n", 65536):match("\r\n\r\n(.*)$"))
io.write("redis logged: ", redis_saw:wait(10) or "nothing\n")
io.write("nginx logged: ", nginx_saw:wait(10) or "nothing\n")

for name, server in pairs { redis = redis, nginx = nginx } do
  local ok, status = server:kill(10)
  printf("%s stopped: %s", name, ok and "exit code " .. status or "no")
end
mtev.exec("rm", { "rm", "-rf", dir })
