// Node: as lhotse/spawn.lua.   node spawn.js COUNT PARALLEL MEGABYTES
const { spawn } = require('child_process')
const [count, parallel, megabytes] = process.argv.slice(2).map(Number)
const ballast = megabytes > 0 ? Array.from({ length: Math.ceil(megabytes / 64) }, () => Buffer.alloc(64 << 20, 1)) : []
let started = 0
let ended = 0
const began = process.hrtime.bigint()

function one () {
  if (started === count) return
  started++
  const child = spawn('/bin/true')
  child.on('exit', (code) => {
    if (code !== 0) process.exit(1)
    if (++ended === count) {
      console.log('RESULT', (count / (Number(process.hrtime.bigint() - began) / 1e9)).toFixed(1), ballast.length)
      process.exit(0)
    }
    one()
  })
}

for (let i = 0; i < parallel; i++) one()
