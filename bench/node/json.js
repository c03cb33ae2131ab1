// Node: as lhotse/json.lua.   node json.js decode|encode FILE
const [what, file] = process.argv.slice(2)
const text = require('fs').readFileSync(file)
const bytes = text.length
const source = text.toString()
const value = JSON.parse(source)
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6 }
// What comes from a socket or a file is bytes: both ways include the step between bytes and strings.
const run = what === 'decode' ? () => JSON.parse(text.toString()) : () => Buffer.from(JSON.stringify(value))
run()
const began = cpu()
let rounds = 0
do { run(); rounds++ } while (cpu() - began < 1)
console.log('RESULT', (bytes * rounds / (cpu() - began) / 1e6).toFixed(2))
