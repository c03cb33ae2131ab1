// Node: as lhotse/http_client.lua.   node http_client.js http|fetch PORT PARALLEL COUNT wall|cpu
const [what, port, parallel, count, clock] = process.argv.slice(2)
const http = require('http')
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(parallel) })
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6 }
const wall = () => Number(process.hrtime.bigint()) / 1e9
const now = clock === 'cpu' ? cpu : wall
const check = (text) => { if (text.length !== 1024) throw new Error('short') }
const get = {
  http: () => new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port, path: '/1k', agent }, (response) => {
      let text = ''
      response.setEncoding('latin1')
      response.on('data', (piece) => { text += piece })
      response.on('end', () => { check(text); resolve() })
    }).on('error', reject)
  }),
  fetch: async () => check(await (await fetch(`http://127.0.0.1:${port}/1k`)).text())
}[what]
const run = async () => { for (let i = 0; i < count / parallel; i++) await get() }
const began = now()
Promise.all(Array.from({ length: parallel }, run)).then(() => {
  console.log('RESULT', (count / (now() - began)).toFixed(1))
  process.exit(0)
})
