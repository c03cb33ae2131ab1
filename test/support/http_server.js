// An HTTP server for specs that behaves, or misbehaves as the path says.   node http_server.js PORT [CERTIFICATE KEY]
// Says "ready" on stderr, and a line for each request.
const [port, certificate, key] = process.argv.slice(2)
const fs = require('fs')
const zlib = require('zlib')
const crypto = require('crypto')

const doomed = new WeakSet() // sockets that are closed when they bring another request
const counts = {}

const raw = (bytes, then) => (request) => request.socket.write(bytes, () => then && then(request.socket))
const HEAD = 'HTTP/1.1 200 OK\r\n'

function drip (socket, bytes) { // for ever, a byte at a time
  const timer = setInterval(() => socket.write(bytes), 20)
  socket.on('close', () => clearInterval(timer))
  socket.on('error', () => clearInterval(timer))
}

function flood (socket, bytes) {
  const go = () => { while (socket.writable && socket.write(bytes)); }
  socket.on('drain', go)
  socket.on('error', () => {})
  go()
}

function send (response, headers, body) {
  response.writeHead(200, headers)
  response.end(body)
}

function stream (response, count) { // `count` bytes of a pattern
  const piece = Buffer.alloc(65536, '0123456789abcdef')
  const go = () => {
    while (count > 0) {
      const part = count >= piece.length ? piece : piece.subarray(0, count)
      count -= part.length
      if (!response.write(part)) { response.once('drain', go); return }
    }
    response.end()
  }
  go()
}

const paths = {
  '/silent': () => {},
  '/slow-header': raw(HEAD + 'X-'),
  '/drip-header': (request) => { request.socket.write(HEAD + 'X-Slow: '); drip(request.socket, 'x') },
  '/endless-header': (request) => { request.socket.write(HEAD); flood(request.socket, 'X-More: ' + 'x'.repeat(1000) + '\r\n') },
  '/drip-body': (request) => { request.socket.write(HEAD + 'Content-Length: 1000000\r\n\r\n'); drip(request.socket, 'x') },
  '/stalled-body': raw(HEAD + 'Content-Length: 100\r\n\r\nhalf'),
  '/short': raw(HEAD + 'Content-Length: 100\r\n\r\nonly this', (socket) => socket.end()),
  '/two-lengths': raw(HEAD + 'Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello'),
  '/cut-chunk': raw(HEAD + 'Transfer-Encoding: chunked\r\n\r\n10\r\nhalf', (socket) => socket.end()),
  '/bad-chunk': raw(HEAD + 'Transfer-Encoding: chunked\r\n\r\nnonsense\r\nhello\r\n0\r\n\r\n', (socket) => socket.end()),
  '/long-chunk': raw(HEAD + 'Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n', (socket) => socket.end()),
  '/not-http': raw('SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n', (socket) => socket.end()),
  '/empty': (request) => request.socket.end(),
  '/reset': (request) => request.socket.resetAndDestroy(),
  '/reset-body': raw(HEAD + 'Content-Length: 100\r\n\r\nhalf', (socket) => setTimeout(() => socket.resetAndDestroy(), 20)),
  '/to-end': raw(HEAD + '\r\nuntil the end', (socket) => socket.end()),
  '/doom': (request, response) => { doomed.add(request.socket); send(response, {}, 'doomed') },
  '/interim': (request, response) => { response.writeProcessing(); response.writeContinue(); send(response, {}, 'after all') },
  '/trailers': (request, response) => {
    response.writeHead(200, { Trailer: 'X-Sum', 'Transfer-Encoding': 'chunked' })
    response.write('body')
    response.addTrailers({ 'X-Sum': '42' })
    response.end()
  },
  '/loop': (request, response) => { response.writeHead(302, { Location: '/loop' }); response.end() },
  '/moved': (request, response) => { response.writeHead(302, { Location: '/echo' }); response.end('elsewhere') },
  '/cookies': (request, response) => send(response, { 'Set-Cookie': ['a=1; Path=/', 'b=2'], 'X-Two': ['one', 'two'] }, ''),
  '/json': (request, response) => send(response, { 'Content-Type': 'application/json' }, '{"answer":42}'),
  '/xml': (request, response) => send(response, {}, '<answer value="42"/>'),
  '/nonsense': (request, response) => send(response, {}, '{"answer":'),
  '/gzip': (request, response) => send(response, { 'Content-Encoding': 'gzip' }, zlib.gzipSync('packed '.repeat(1000))),
  '/deflate': (request, response) => send(response, { 'Content-Encoding': 'deflate' }, zlib.deflateSync('packed '.repeat(1000))),
  '/br': (request, response) => send(response, { 'Content-Encoding': 'br' }, zlib.brotliCompressSync('packed '.repeat(1000))),
  '/bad-gzip': (request, response) => send(response, { 'Content-Encoding': 'gzip' }, 'this is not gzip at all'),
  '/bomb': (request, response) => send(response, { 'Content-Encoding': 'gzip' }, zlib.gzipSync(Buffer.alloc(100e6))),
  '/digest': (request, response) => {
    const given = request.headers.authorization
    const md5 = (text) => crypto.createHash('md5').update(text).digest('hex')
    const field = (name) => ((given || '').match(new RegExp(name + '="?([^",]*)')) || [])[1]
    const good = given && field('response') === md5([md5('user:here:secret'), 'abc', field('nc'), field('cnonce'), 'auth', md5('GET:/digest')].join(':'))
    if (good) return send(response, {}, 'welcome')
    response.writeHead(401, { 'WWW-Authenticate': 'Digest realm="here", nonce="abc", qop="auth", opaque="xyz"' })
    response.end()
  }
}

function echo (request, response) {
  const hash = crypto.createHash('sha256')
  let length = 0
  let text = ''
  request.on('data', (piece) => {
    hash.update(piece)
    length += piece.length
    if (length < 10000) text += piece.toString('latin1')
  })
  request.on('end', () => send(response, { 'Content-Type': 'application/json' }, JSON.stringify({
    method: request.method, url: request.url, headers: request.headers, length, text, sha256: hash.digest('hex')
  })))
}

function serve (request, response) {
  process.stderr.write(`${request.method} ${request.url}\n`)
  request.socket.on('error', () => {})
  if (doomed.has(request.socket)) return request.socket.destroy()
  const path = request.url.split('?')[0]
  counts[path] = (counts[path] || 0) + 1
  const [, what, argument] = path.split('/')
  if (what === 'status') { response.writeHead(Number(argument)); return response.end(argument === '204' || argument === '304' ? '' : 'status ' + argument) }
  if (what === 'bytes') return stream(response, Number(argument))
  if (what === 'sized') { response.setHeader('Content-Length', argument); return stream(response, Number(argument)) }
  if (what === 'wait') return void setTimeout(() => send(response, {}, 'at last'), Number(argument))
  if (what === 'count') return send(response, {}, String(counts['/' + argument] || 0))
  if (paths[path]) return paths[path](request, response)
  echo(request, response)
}

const server = certificate
  ? require('https').createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, serve)
  : require('http').createServer({ keepAliveTimeout: 60000, requestTimeout: 0 }, serve)
server.listen(Number(port), '127.0.0.1', () => process.stderr.write('ready\n'))
