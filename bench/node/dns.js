// Node: as lhotse/dns.lua.   node dns.js PORT PARALLEL COUNT wall|cpu
const [port, parallel, count, clock] = process.argv.slice(2)
const { Resolver } = require('dns').promises
const resolver = new Resolver()
resolver.setServers([`127.0.0.1:${port}`])
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6 }
const wall = () => Number(process.hrtime.bigint()) / 1e9
const now = clock === 'cpu' ? cpu : wall
const run = async () => { for (let i = 0; i < count / parallel; i++) await resolver.resolve4('host.bench.test') }
const began = now()
Promise.all(Array.from({ length: parallel }, run)).then(() => {
  console.log('RESULT', (count / (now() - began)).toFixed(1))
})
