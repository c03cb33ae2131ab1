// Node: as lhotse/codec.lua.   node codec.js sha256|uuid|encode|decode|match|md5_1m|sha1_1m|sha256_1m
const crypto = require('crypto')
const what = process.argv[2]
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6 }

function texts (count) {
  return Array.from({ length: count }, () => crypto.randomBytes(1 << 20))
}

function rate (batch, step) {
  const began = cpu()
  let count = 0
  do {
    for (let i = 1; i <= batch; i++) step(count + i)
    count += batch
  } while (cpu() - began < 1)
  return count / (cpu() - began)
}

const large = (f, list) => rate(32, i => f(list[i % list.length])) * (1 << 20) / 1e9

let result
if (what === 'sha256') {
  const inputs = Array.from({ length: 4096 }, (_, i) => (i + 'x'.repeat(16)).slice(0, 16))
  result = rate(4096, i => crypto.createHash('sha256').update(inputs[i % 4096]).digest('hex')) / 1e6
} else if (what === 'uuid') {
  result = rate(4096, () => crypto.randomUUID()) / 1e6
} else if (what === 'encode') {
  result = large(text => text.toString('base64'), texts(32))
} else if (what === 'decode') {
  result = large(text => Buffer.from(text, 'base64'), texts(32).map(text => text.toString('base64')))
} else if (what === 'match') {
  const subject = Array.from({ length: 1000 }, (_, i) => `key${i}=${i * i}; `).join('')
  const match = /(\w+)=(\d+)/g
  result = rate(10, () => { while (match.exec(subject)) ; }) * 1000 / 1e6
} else {
  const kind = what.replace('_1m', '')
  result = large(text => crypto.createHash(kind).update(text).digest(), texts(1))
}
console.log('RESULT', result.toFixed(3))
