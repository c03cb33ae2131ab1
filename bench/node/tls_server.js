// Node: as lhotse/tls_server.lua.   PORT=7000 node tls_server.js CERTIFICATE KEY
const fs = require('fs')
const [certificate, key] = process.argv.slice(2)
const MESSAGE = 65536

function serve(socket) {
  let parts = []
  let got = 0
  socket.on('error', () => socket.destroy())
  socket.on('data', (data) => {
    parts.push(data)
    got += data.length
    if (got < MESSAGE) return
    socket.write(parts.length === 1 ? data : Buffer.concat(parts))
    parts = []
    got = 0
  })
}

const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), noDelay: true }
require('tls').createServer(options, serve).listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 1024 })
