// Node: as lhotse/micro.lua.   node micro.js PROGRAM COUNT
const [name, text] = process.argv.slice(2)
const count = Number(text)
const cpu = () => process.cpuUsage()
const since = (start) => { const used = process.cpuUsage(start); return (used.user + used.system) / 1e6 }

const programs = {
  async switch() {
    const start = cpu()
    const run = async () => { for (let i = 0; i < count / 100; i++) await new Promise(setImmediate) }
    await Promise.all(Array.from({ length: 100 }, run))
    return count / since(start)
  },
  async threads() {
    const { Worker } = require('worker_threads')
    const worker = new Worker("require('worker_threads').parentPort.on('message', function (m) { this.postMessage(m) })", { eval: true })
    let rounds = 0
    let start
    return new Promise((resolve) => worker.on('message', () => {
      if (rounds++ === 0) start = process.hrtime.bigint()
      if (rounds > count) {
        resolve(count / (Number(process.hrtime.bigint() - start) / 1e9))
        worker.terminate()
      } else worker.postMessage(1)
    }) && worker.postMessage(1))
  },
  async sleepers() {
    global.gc?.()
    const before = process.memoryUsage.rss()
    const sleep = async () => { await new Promise((resolve) => setTimeout(resolve, 100000)) }
    for (let i = 0; i < count; i++) sleep()
    return (process.memoryUsage.rss() - before) / count
  }
}

programs[name]().then((result) => {
  console.log('RESULT', result.toPrecision(6))
  process.exit(0)
})
