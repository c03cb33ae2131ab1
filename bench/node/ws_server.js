// A WebSocket server that echoes, for the clients that bench/ measures.   node ws_server.js PORT
const { WebSocketServer } = require('ws')
const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1', perMessageDeflate: false })
server.on('connection', (ws) => ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary })))
