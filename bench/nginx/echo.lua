-- Lines on the raw socket under a request.
local socket = assert(ngx.req.socket(true))
socket:settimeouts(86400000, 86400000, 86400000)
while true do
  local line = socket:receive("*l")
  if not line then return end
  socket:send({ line, "\n" })
end
