import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectH2 } from 'node:http2'
import { request as requestH1 } from 'node:https'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { type Listener, listen, type UpgradeHandler } from '../../../src/api/api.ts'
import { silentLog } from '../../../src/base/log.ts'
import { systemClock } from '../../../src/host/clock.ts'
import { systemPki as pki } from '../../../src/host/pki.ts'
import { configMap, createRig, type Rig } from './rig.ts'

const [FROM, TO] = [Date.UTC(2020, 0, 1), Date.UTC(2090, 0, 1)]
const authority = pki.createAuthority('test-ca', FROM, TO)
const strangers = pki.createAuthority('other-ca', FROM, TO)
const leaf = (commonName: string, organizations: string[], usage: 'server' | 'client', by = authority, notAfterMs = TO) =>
  pki.issue(by, { commonName, organizations, altNames: ['IP:127.0.0.1', 'DNS:localhost'], usage, notBeforeMs: FROM, notAfterMs })
const serverPair = leaf('server', [], 'server')
const admin = leaf('system:admin', ['system:masters'], 'client')
const device = leaf('system:node:a', ['system:nodes'], 'client')
const stranger = leaf('system:admin', ['system:masters'], 'client', strangers)
const expired = leaf('system:node:old', ['system:nodes'], 'client', authority, Date.UTC(2021, 0, 1))
const misused = leaf('system:node:old', ['system:nodes'], 'server', authority, Date.UTC(2021, 0, 1))
const person = leaf('system:admin', ['system:masters'], 'client', authority, Date.UTC(2021, 0, 1))
const unborn = pki.issue(authority, {
  ...{ commonName: 'system:node:new', organizations: ['system:nodes'], altNames: [], usage: 'client' },
  ...{ notBeforeMs: Date.UTC(2080, 0, 1), notAfterMs: TO },
})
const forged = leaf('system:node:old', ['system:nodes'], 'client', strangers, Date.UTC(2021, 0, 1))

type Pair = { certPem: string; keyPem: string }
const tlsOf = (pair?: Pair) => ({ ca: authority.certPem, ...(pair ? { cert: pair.certPem, key: pair.keyPem } : {}) })

const CMS = '/api/v1/namespaces/default/configmaps'

interface Port extends Rig {
  readonly listener: Listener
  readonly url: string
}

const openPort = async (t: Test, onUpgrade?: UpgradeHandler, unprovenMax?: number): Promise<Port> => {
  const rig = await createRig()
  const listener = await listen({
    api: rig.api,
    clock: systemClock,
    log: silentLog,
    bind: '127.0.0.1',
    port: 0,
    authorityPem: authority.certPem,
    certPem: serverPair.certPem,
    keyPem: serverPair.keyPem,
    authenticate: token => (token === 'sesame' ? { name: 'robot', groups: ['system:masters'] } : undefined),
    ...(onUpgrade ? { onUpgrade } : {}),
    ...(unprovenMax ? { unprovenMax } : {}),
  })
  t.teardown(() => listener.close())
  return { ...rig, listener, url: `https://127.0.0.1:${listener.port}` }
}

const h2 = (t: Test, port: Port, pair?: Pair): ClientHttp2Session => {
  const session = connectH2(port.url, tlsOf(pair))
  t.teardown(() => session.destroy())
  return session
}

const readH2 = async (stream: ClientHttp2Stream): Promise<{ status: number; headers: Record<string, unknown>; text: string }> => {
  const [headers] = await once(stream, 'response')
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return { status: headers[':status'], headers, text: Buffer.concat(chunks).toString() }
}

const askH2 = (session: ClientHttp2Session, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
  const stream = session.request(
    { ':method': method, ':path': path, 'content-type': 'application/json', ...headers },
    { endStream: body === undefined },
  )
  if (body !== undefined) stream.end(typeof body === 'string' ? body : JSON.stringify(body))
  return readH2(stream)
}

const askH1 = async (
  port: Port,
  method: string,
  path: string,
  body: string | undefined,
  pair?: Pair,
  headers: Record<string, string> = {},
) => {
  const request = requestH1(`${port.url}${path}`, {
    method,
    ...tlsOf(pair),
    agent: false,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
      ...headers,
    },
  })
  request.on('error', () => undefined)
  request.end(body)
  const [response] = await once(request, 'response')
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode as number, headers: response.headers, text: Buffer.concat(chunks).toString() }
}

t.test('speaks HTTP/2 and HTTP/1.1 on one port, with the same answers', async t => {
  const port = await openPort(t)
  const session = h2(t, port, admin)
  const made = await askH2(session, 'POST', CMS, configMap('a', { k: 'v' }))
  t.equal(made.status, 201)
  const two = await askH2(session, 'GET', `${CMS}/a`)
  const one = await askH1(port, 'GET', `${CMS}/a`, undefined, admin)
  t.equal(one.status, 200)
  t.equal(one.text, two.text)
  t.equal(one.headers['content-length'], String(one.text.length))
  t.equal(two.headers['content-type'], 'application/json')
  const list = await askH1(port, 'GET', CMS, undefined, admin)
  t.match(JSON.parse(list.text), { kind: 'ConfigMapList', items: [{ metadata: { name: 'a' } }] })
  const head = await askH1(port, 'HEAD', `${CMS}/a`, undefined, admin)
  t.same([head.status, head.text], [200, ''])
})

t.test('strangers are refused, whatever they claim; health is open to all', async t => {
  const port = await openPort(t)
  for (const pair of [undefined, stranger]) {
    const refused = await askH1(port, 'GET', CMS, undefined, pair)
    t.equal(refused.status, 401)
    t.match(JSON.parse(refused.text), { kind: 'Status', reason: 'Unauthorized', code: 401 })
    t.equal((await askH1(port, 'GET', '/readyz', undefined, pair)).text, 'ok')
  }
})

t.test('a bearer token says who is asking', async t => {
  const port = await openPort(t)
  t.equal((await askH1(port, 'GET', CMS, undefined, undefined, { authorization: 'Bearer sesame' })).status, 200)
  t.equal((await askH1(port, 'GET', CMS, undefined, undefined, { authorization: 'Bearer guess' })).status, 401)
})

t.test('a device may read its own node and nothing else', async t => {
  const port = await openPort(t)
  const session = h2(t, port, device)
  t.equal((await askH2(session, 'GET', '/api/v1/nodes/a')).status, 404)
  t.equal((await askH2(session, 'GET', '/api/v1/nodes/b')).status, 403)
  const refused = await askH2(session, 'GET', '/api/v1/namespaces/default/pods')
  t.match(JSON.parse(refused.text), {
    reason: 'Forbidden',
    message: 'pods is forbidden: User "system:node:a" cannot list resource "pods" in API group "" in the namespace "default"',
  })
})

t.test('a body above the limit gets 413 and the connection serves on', async t => {
  const port = await openPort(t)
  const session = h2(t, port, admin)
  const big = JSON.stringify(configMap('big', { k: 'x'.repeat(3.5 * 1024 * 1024) }))
  const two = await askH2(session, 'POST', CMS, big)
  t.equal(two.status, 413)
  t.match(JSON.parse(two.text), { reason: 'RequestEntityTooLarge', message: 'Request entity too large: limit is 3145728' })
  t.equal((await askH2(session, 'GET', CMS)).status, 200)
  t.equal((await askH1(port, 'POST', CMS, big, admin)).status, 413)
  t.equal(port.store.count('//configmaps/'), 0)
})

const nextLine = async (stream: ClientHttp2Stream): Promise<{ type: string }> => {
  const [chunk] = await once(stream, 'data')
  return JSON.parse(String(chunk))
}

t.test('a watch streams changes, and ends when the listener closes', async t => {
  const port = await openPort(t)
  const session = h2(t, port, admin)
  const stream = session.request({ ':path': `${CMS}?watch=true&resourceVersion=${port.store.revision}` })
  await once(stream, 'response')
  const first = nextLine(stream)
  await port.ask('POST', CMS, configMap('a'))
  t.match(await first, { type: 'ADDED', object: { metadata: { name: 'a' } } })
  const ended = once(stream, 'end')
  stream.resume()
  await port.listener.close()
  await ended
  t.pass('the watch ended cleanly')
})

t.test('an upgrade is handed on with who is asking, and an outdated device is told from a forged one', async t => {
  const seen: (string | undefined)[] = []
  const port = await openPort(t, (_request, socket, _head, identity) => {
    seen.push(identity?.name)
    socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  })
  const upgrade = async (pair?: Pair): Promise<void> => {
    const socket = connectTls({ port: port.listener.port, host: '127.0.0.1', ...tlsOf(pair), ALPNProtocols: ['http/1.1'] })
    socket.write('GET /link/v1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    socket.resume()
    await once(socket, 'close')
  }
  for (const pair of [device, expired, unborn, forged, misused, person, undefined]) await upgrade(pair)
  t.same(seen, ['system:node:a', 'system:node:old', 'system:node:new', undefined, undefined, undefined, undefined])
})

t.test('a wrong date is forgiven for the link and for renewal, never for the API', async t => {
  const port = await openPort(t)
  for (const pair of [expired, unborn, person]) t.equal((await readH2(h2(t, port, pair).request({ ':path': CMS }))).status, 401)
})

t.test('garbage instead of HTTP gets 400 or a closed connection, and the port serves on', async t => {
  const port = await openPort(t)
  const socket = connectTls({ port: port.listener.port, host: '127.0.0.1', ...tlsOf(admin), ALPNProtocols: ['http/1.1'] })
  socket.on('error', () => undefined)
  socket.write('\x00\x01 nonsense\r\n\r\n')
  socket.resume()
  await once(socket, 'close')
  t.equal((await askH1(port, 'GET', '/livez', undefined)).text, 'ok')
})

t.test('connections that never end their handshake do not hold up the end of the listener', async t => {
  const port = await openPort(t)
  const halves = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = connectTcp(port.listener.port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write('\x16\x03\x01')
      return socket
    }),
  )
  const gone = Promise.all(halves.map(socket => once(socket, 'close')))
  const session = h2(t, port, admin)
  t.equal((await readH2(session.request({ ':path': CMS }))).status, 200)
  const startedMs = performance.now()
  await port.listener.close()
  t.ok(performance.now() - startedMs < 3000)
  await gone
})

t.test('of too many that never end their handshake the first ones are closed; who means it comes in', async t => {
  const port = await openPort(t, undefined, 3)
  const silent: Socket[] = []
  const closed: number[] = []
  for (const i of [0, 1, 2, 3, 4]) {
    const socket = connectTcp(port.listener.port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('close', () => closed.push(i))
    await once(socket, 'connect')
    silent.push(socket)
  }
  await Promise.all(silent.slice(0, 2).map(socket => socket.destroyed || once(socket, 'close')))
  t.equal((await askH1(port, 'GET', CMS, undefined, admin)).status, 200)
  await (silent[2]?.destroyed || once(silent[2]!, 'close'))
  t.same(closed.sort(), [0, 1, 2])
})

t.test('a taken port is refused with a hint', async t => {
  const port = await openPort(t)
  const again = listen({
    api: port.api,
    clock: systemClock,
    log: silentLog,
    bind: '127.0.0.1',
    port: port.listener.port,
    authorityPem: authority.certPem,
    certPem: serverPair.certPem,
    keyPem: serverPair.keyPem,
  })
  await t.rejects(again, { hint: 'another program uses this port: choose another --port, or stop it' } as Error & { hint: string })
})
