// A WebSocket server for specs, on the `ws` package: echoes, and does what the first message or the path says.
//   node ws_server.js PORT [CERTIFICATE KEY]      says "ready" on stderr; $DEFLATE: the options of permessage-deflate
const [port, certificate, key] = process.argv.slice(2)
const deflate = process.env.DEFLATE
const { WebSocketServer } = require('ws')
const fs = require('fs')

const web = certificate
  ? require('https').createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) })
  : require('http').createServer()
const server = new WebSocketServer({
  server: web,
  perMessageDeflate: deflate ? JSON.parse(deflate) : false,
  handleProtocols: (offered) => offered.has('second') ? 'second' : false,
  verifyClient: (info) => !info.req.url.startsWith('/refused')
})

const paths = {
  '/close': (ws) => ws.close(4001, 'enough'),
  '/vanish': (ws) => ws.terminate(),
  '/deaf': (ws) => ws._socket.pause(),
  '/ping': (ws) => { ws.on('pong', (data) => ws.send('pong was ' + data)); ws.ping('are you there') },
  '/fragments': (ws) => {
    ws.send('Grüße ', { fin: false })
    ws.ping('between')
    ws.send('aus ', { fin: false })
    ws.send('Köln')
    ws.send(Buffer.from([0, 1]), { fin: false, binary: true })
    ws.send(Buffer.from([2, 255]), { binary: true })
  },
  '/flood': (ws) => { for (let i = 0; i < 1000; i++) ws.send('x'.repeat(10000)) }
}

server.on('connection', (ws, request) => {
  ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }))
  ws.on('close', (code, reason) => process.stderr.write(`closed ${code} ${reason}\n`))
  ws.on('error', () => {})
  if (paths[request.url]) paths[request.url](ws)
})
web.listen(Number(port), '127.0.0.1', () => process.stderr.write('ready\n'))
