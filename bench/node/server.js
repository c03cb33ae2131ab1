// Node: as lhotse/server.lua.   PORT=7000 node server.js echo|http|httpmodule
const kind = process.argv[2]
const port = Number(process.env.PORT)
const body = 'Hello, world\n'
const response = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n${body}`)
const stop = kind === 'http' ? '\r\n\r\n' : '\n'

function serve(socket) {
  let kept = null
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.on('data', (data) => {
    if (kept) data = Buffer.concat([kept, data])
    let from = 0
    for (let at; (at = data.indexOf(stop, from)) >= 0; from = at + stop.length) {
      socket.write(kind === 'http' ? response : data.subarray(from, at + stop.length))
    }
    kept = from < data.length ? data.subarray(from) : null
  })
}

function answer(request, reply) {
  reply.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length })
  reply.end(body)
}

if (kind === 'httpmodule') {
  const server = require('http').createServer({ keepAliveTimeout: 0 }, answer)
  server.listen({ port, host: '127.0.0.1', backlog: 1024 })
} else {
  require('net').createServer(serve).listen({ port, host: '127.0.0.1', backlog: 1024 })
}
