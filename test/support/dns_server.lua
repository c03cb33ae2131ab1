-- A small DNS server for specs, over UDP and TCP: it answers as it is told, also wrongly.

local dns_server = {}

local function u16(n)
  return string.char(math.floor(n / 256) % 256, n % 256)
end

local function u32(n)
  return u16(math.floor(n / 65536)) .. u16(n)
end

-- A name as on the wire.
function dns_server.name(text)
  local wire = {}
  for label in text:gmatch("[^.]+") do wire[#wire + 1] = string.char(#label) .. label end
  return table.concat(wire) .. "\0"
end

local name = dns_server.name

-- {id =, name =, type =, question = bytes} of a question.
function dns_server.parse(message)
  local at, labels = 13, {}
  while message:byte(at) > 0 do
    labels[#labels + 1] = message:sub(at + 1, at + message:byte(at))
    at = at + message:byte(at) + 1
  end
  local high, low = message:byte(at + 1, at + 2)
  return {
    id = message:sub(1, 2),
    name = table.concat(labels, "."),
    type = high * 256 + low,
    question = message:sub(13, at + 4),
  }
end

-- A record of class IN.
function dns_server.record(owner, type_number, data, ttl)
  return name(owner) .. u16(type_number) .. u16(1) .. u32(ttl or 60) .. u16(#data) .. data
end

-- An answer to `question` with these records; options: code, is_truncated, id, question, count.
function dns_server.answer(question, records, options)
  options = options or {}
  local flags = 0x8180 + (options.code or 0) + (options.is_truncated and 0x200 or 0)
  return (options.id or question.id) .. u16(flags) .. u16(1) .. u16(options.count or #records) .. u16(0) .. u16(0) ..
    (options.question or question.question) .. table.concat(records)
end

-- Starts one; respond(question, reply, is_tcp) calls reply(bytes, piece) as often as it likes; over
-- TCP the bytes go out `piece` at a time if that is given. Returns its port and a function that ends it.
function dns_server.start(respond)
  local udp, listener, port
  local function bind() -- the same port for both
    udp, listener = mtev.socket("inet", "udp"), mtev.socket("inet")
    assert(udp:bind("127.0.0.1", 0) == 0)
    port = select(2, udp:sock_name())
    return listener:bind("127.0.0.1", port) == 0 and listener:listen(16) == 0
  end
  local udp_server = mtev.coroutine_spawn(function()
    repeat until bind()
    while true do
      local n, message, address, from = udp:recv(4096)
      if n > 12 then
        local socket = udp
        respond(dns_server.parse(message), function(bytes) socket:sendto(bytes, address, from) end, false)
      end
    end
  end)
  local tcp_server = mtev.coroutine_spawn(function()
    local own = listener:own()
    while true do
      local e = own:accept()
      mtev.coroutine_spawn(function()
        e = e:own()
        while true do
          local length = e:read(2)
          if not length or #length < 2 then return end
          local message = e:read(length:byte(1) * 256 + length:byte(2))
          respond(dns_server.parse(message), function(bytes, piece)
            bytes = u16(#bytes) .. bytes
            for at = 1, #bytes, piece or #bytes do
              e:write(bytes:sub(at, at + (piece or #bytes) - 1))
              if piece then mtev.sleep(0) end
            end
          end, true)
        end
      end)
    end
  end)
  return port, function()
    mtev.cancel_coro(udp_server)
    mtev.cancel_coro(tcp_server)
  end
end

return dns_server
