// As bench/lhotse/log.lua, by a stream.   node log.js COUNT FILE
const fs = require('fs')
const count = Number(process.argv[2]), name = process.argv[3] || '/dev/shm/node-bench.log'
const stream = fs.createWriteStream(name)
const start = process.cpuUsage()
let i = 0
const write = () => {
  while (i < count) if (!stream.write(`a line of the usual length, number ${++i} of many\n`)) return stream.once('drain', write)
  stream.end(() => {
    const used = process.cpuUsage(start)
    console.log(`RESULT ${(count / ((used.user + used.system) / 1e6)).toPrecision(6)}`)
    fs.unlinkSync(name)
  })
}
write()
