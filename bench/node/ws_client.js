// Node's ws: as lhotse/ws_client.lua.   node ws_client.js PORT CONNECTIONS COUNT wall|cpu
const [port, connections, count, clock] = process.argv.slice(2)
const WebSocket = require('ws')
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6 }
const wall = () => Number(process.hrtime.bigint()) / 1e9
const now = clock === 'cpu' ? cpu : wall
const text = 'x'.repeat(64)
let open = 0
let received = 0
let began
const sockets = Array.from({ length: connections }, () => new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false }))
for (const ws of sockets) {
  ws.on('open', () => {
    if (++open < connections) return
    began = now()
    for (const other of sockets) other.send(text)
  })
  ws.on('message', () => {
    if (++received < count) return ws.send(text)
    console.log('RESULT', (count / (now() - began)).toFixed(1))
    process.exit(0)
  })
}
