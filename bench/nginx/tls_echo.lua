-- 64 KiB back and forth on the raw socket under a request.
local socket = assert(ngx.req.socket(true))
socket:settimeouts(86400000, 86400000, 86400000)
while true do
  local bytes = socket:receive(65536)
  if not bytes then return end
  socket:send(bytes)
end
