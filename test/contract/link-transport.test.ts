// One suite for every transport of the link: the memory pair, and WebSockets and MQTT over real TLS on loopback.

import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer, request } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { WebSocket } from 'ws'
import { isReason } from '../../src/base/errors.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemPki } from '../../src/host/pki.ts'
import { FRAME_BYTES_MAX, QUEUE_BYTES_MAX } from '../../src/link/limits.ts'
import type { Connection, Dialer } from '../../src/link/link.ts'
import {
  BROKER_ORGANIZATION,
  clusterIdOf,
  failoverDialer,
  LINK_PATH,
  loadMqtt,
  memoryDialer,
  webSocketAcceptor,
  webSocketDialer,
} from '../../src/link/transports/index.ts'
import { openBrokerWorld } from './broker-world.ts'
import { NO_MOSQUITTO } from './mosquitto.ts'

interface Side {
  readonly connection: Connection
  readonly frames: string[]
  readonly closed: Promise<string>
  /** Settles when so many frames have come. */
  got(count: number): Promise<string[]>
}

const side = (connection: Connection): Side => {
  const frames: string[] = []
  const waiters: { count: number; resolve: (frames: string[]) => void }[] = []
  let end: (reason: string) => void = () => {}
  const closed = new Promise<string>(resolve => {
    end = resolve
  })
  const closes: string[] = []
  connection.onFrame = frame => {
    frames.push(frame)
    for (const waiter of waiters) if (frames.length >= waiter.count) waiter.resolve(frames)
  }
  connection.onClose = reason => {
    closes.push(reason)
    if (closes.length > 1) throw new Error('onClose was called twice')
    end(reason)
  }
  return {
    connection,
    frames,
    closed,
    got: count => new Promise(resolve => (frames.length >= count ? resolve(frames) : waiters.push({ count, resolve }))),
  }
}

interface Transport {
  readonly dialer: Dialer
  /** The server's end of the next connection. */
  accepted(): Promise<Connection>
  close(): Promise<void>
}

const mailbox = <T>() => {
  const items: T[] = []
  const waiting: ((item: T) => void)[] = []
  return {
    put(item: T): void {
      const next = waiting.shift()
      if (next) next(item)
      else items.push(item)
    },
    take: (): Promise<T> => new Promise(resolve => (items.length > 0 ? resolve(items.shift()!) : waiting.push(resolve))),
  }
}

const DAY = 86_400_000
const now = Date.now()
const ca = systemPki.createAuthority('ca', now - DAY, now + DAY)
const certificate = (usage: 'server' | 'client', altNames: string[], from = now - DAY, to = now + DAY, authority = ca) =>
  systemPki.issue(authority, { commonName: 'x', organizations: [], altNames, usage, notBeforeMs: from, notAfterMs: to })
const client = certificate('client', [])

const silent = (_: Connection): void => {}

const openServer = async (serverCert = certificate('server', ['IP:127.0.0.1']), greet = silent) => {
  const connections = mailbox<Connection>()
  const sockets: TLSSocket[] = []
  const resumed: boolean[] = []
  const names: string[] = []
  const accept = webSocketAcceptor()
  const server = createServer({
    key: serverCert.keyPem,
    cert: serverCert.certPem,
    ca: ca.certPem,
    requestCert: true,
    rejectUnauthorized: false,
  })
  server.on('secureConnection', socket => {
    sockets.push(socket)
    resumed.push(socket.isSessionReused())
    names.push(socket.authorized ? String(socket.getPeerCertificate().subject.CN) : '')
    socket.on('error', () => socket.destroy())
  })
  server.on('upgrade', (request, socket, head) => {
    const connection = accept(request, socket, head)
    if (connection) greet(connection)
    if (connection) connections.put(connection)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    connections,
    sockets,
    resumed,
    names,
    dialer: webSocketDialer({ server: url, credentials: () => ({ ca: ca.certPem, cert: client.certPem, key: client.keyPem }) }),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const CLUSTER = clusterIdOf(systemPki.publicKeyPin(ca.certPem))

const openMqtt = async (
  serverCert = certificate('server', ['IP:127.0.0.1']),
  greet = silent,
  qos: 0 | 1 = 0,
  deviceOf: () => string = () => 'tower-7',
) => {
  const { listenMqtt, mqttDialer } = await loadMqtt()
  const connections = mailbox<Connection>()
  const resumed: boolean[] = []
  const names: string[] = []
  const sockets: TLSSocket[] = []
  const listener = await listenMqtt(
    {
      clock: systemClock,
      log: silentLog,
      cluster: CLUSTER,
      keepaliveMs: () => 20_000,
      accept(_, connection) {
        greet(connection)
        connections.put(connection)
      },
    },
    {
      bind: '127.0.0.1',
      port: 0,
      ca: ca.certPem,
      cert: serverCert.certPem,
      key: serverCert.keyPem,
      deviceOf(socket) {
        resumed.push(socket.isSessionReused())
        names.push(String(socket.getPeerCertificate().subject.CN))
        sockets.push(socket)
        return deviceOf()
      },
    },
  )
  return {
    connections,
    resumed,
    names,
    sockets,
    dialer: mqttDialer({
      url: `mqtts://127.0.0.1:${listener.port}`,
      cluster: CLUSTER,
      device: 'tower-7',
      credentials: () => ({ ca: ca.certPem, cert: client.certPem, key: client.keyPem }),
      clock: systemClock,
      qos,
    }),
    close: () => listener.close(),
  }
}

const TRANSPORTS: Readonly<Record<string, () => Promise<Transport>>> = {
  memory: async () => {
    const connections = mailbox<Connection>()
    return { dialer: memoryDialer(connection => connections.put(connection)), accepted: connections.take, close: async () => {} }
  },
  websocket: async () => {
    const { dialer, connections, close } = await openServer()
    return { dialer, accepted: connections.take, close }
  },
  mqtt: async () => {
    const { dialer, connections, close } = await openMqtt()
    return { dialer, accepted: connections.take, close }
  },
  'mqtt, acknowledged': async () => {
    const { dialer, connections, close } = await openMqtt(undefined, silent, 1)
    return { dialer, accepted: connections.take, close }
  },
  failover: async () => {
    const dead = await openServer()
    await dead.close()
    const { dialer, connections, close } = await openMqtt()
    const ways = [
      { name: 'ws', dialer: dead.dialer },
      { name: 'mqtt', dialer },
    ]
    return { dialer: failoverDialer(ways), accepted: connections.take, close }
  },
  broker: async () => {
    const connections = mailbox<Connection>()
    const world = await openBrokerWorld()
    world.server((_, connection) => connections.put(connection))
    return { dialer: world.dialer('edge-1'), accepted: connections.take, close: world.close }
  },
}
const SKIPPED: Readonly<Record<string, string | false>> = { broker: NO_MOSQUITTO }

const never = new AbortController().signal

for (const [name, open] of Object.entries(TRANSPORTS))
  t.test(name, { skip: SKIPPED[name] ?? false }, async t => {
    const transport = await open()
    t.teardown(transport.close)
    const connect = async (): Promise<readonly [Side, Side]> => {
      const [mine, theirs] = await Promise.all([transport.dialer.dial(never), transport.accepted()])
      return [side(mine), side(theirs)]
    }

    t.test('carries frames whole and in order, both ways, up to the largest', async t => {
      const [device, server] = await connect()
      const sent = Array.from({ length: 100 }, (_, i) => `{"n":${i},"text":"${'ü'.repeat(i)}"}`)
      sent.push('x'.repeat(FRAME_BYTES_MAX))
      for (const frame of sent) device.connection.send(frame)
      t.strictSame(await server.got(sent.length), sent)
      for (const frame of sent) server.connection.send(frame)
      t.strictSame(await device.got(sent.length), sent)
      device.connection.close('done')
      t.equal(await server.closed, 'done')
      t.equal(await device.closed, 'done')
    })

    t.test('delivers nothing within send, nor after close; a close is told once to each side, with its reason', async t => {
      const [device, server] = await connect()
      device.connection.send('{"a":1}')
      t.strictSame(server.frames, [])
      await server.got(1)
      server.connection.close('enough')
      server.connection.close('again')
      server.connection.send('{"late":true}')
      t.equal(await device.closed, 'enough')
      t.equal(await server.closed, 'enough')
      device.connection.close('late')
      device.connection.send('{"late":true}')
      t.strictSame([device.frames, server.frames], [[], ['{"a":1}']])
    })

    t.test('what was sent before a close still arrives', async t => {
      const [device, server] = await connect()
      device.connection.send('{"last":1}')
      device.connection.close('bye')
      await server.closed
      t.strictSame(server.frames, ['{"last":1}'])
    })

    t.test('a frame above the bound closes the connection instead of arriving', async t => {
      const [device, server] = await connect()
      device.connection.send('x'.repeat(FRAME_BYTES_MAX + 1))
      await Promise.all([server.closed, device.closed])
      t.strictSame(server.frames, [])
    })

    t.test('a queue above the bound closes the connection as slow', async t => {
      const [device, server] = await connect()
      const frame = 'x'.repeat(FRAME_BYTES_MAX)
      for (let bytes = 0; bytes <= QUEUE_BYTES_MAX; bytes += frame.length) device.connection.send(frame)
      device.connection.send(frame)
      t.equal(await device.closed, 'slow')
      t.type(await server.closed, 'string')
    })

    t.test('a dial that was given up rejects in one line', async t => {
      const abort = new AbortController()
      const dialed = transport.dialer.dial(abort.signal)
      abort.abort()
      await t.rejects(dialed, { message: /^dial [^\n]+: given up$/ })
      await t.rejects(transport.dialer.dial(abort.signal), { message: /given up/ })
    })
  })

const refusal = async (dialer: Dialer): Promise<string> => {
  try {
    ;(await dialer.dial(never)).close('not expected')
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const DIRECT = { websocket: openServer, mqtt: openMqtt }

for (const [name, open] of Object.entries(DIRECT)) {
  t.test(
    `${name}: a server is believed by its key, whatever its address and the date; anything else is refused before a frame goes out`,
    async t => {
      const stranger = systemPki.createAuthority('ca', now - DAY, now + DAY)
      const broker = systemPki.issue(ca, {
        commonName: 'broker',
        organizations: [BROKER_ORGANIZATION],
        altNames: ['IP:127.0.0.1'],
        usage: 'server',
        notBeforeMs: now - DAY,
        notAfterMs: now + DAY,
      })
      const cases: readonly [string, ReturnType<typeof certificate>, RegExp | undefined][] = [
        ['expired', certificate('server', ['IP:127.0.0.1'], now - 9 * DAY, now - 8 * DAY), undefined],
        ['not yet valid', certificate('server', ['IP:127.0.0.1'], now + 8 * DAY, now + 9 * DAY), undefined],
        ['another authority of the same name', certificate('server', ['IP:127.0.0.1'], now - DAY, now + DAY, stranger), /pinned authority/],
        ['another address', certificate('server', ['IP:127.0.0.2']), undefined],
        ['a device that plays the server', certificate('client', ['IP:127.0.0.1']), /not one of a server/],
        ['the authority itself', ca, /pinned authority|not one of a server/],
        ['a broker that plays the server', broker, /is a broker’s/],
      ]
      for (const [what, cert, why] of cases) {
        const server = await open(cert)
        const message = await refusal(server.dialer)
        if (why) t.match(message, why, what)
        else t.equal(message, '', what)
        await server.close()
      }
    },
  )

  t.test(`${name}: a second dial resumes the TLS session and still proves who the device is`, async t => {
    const server = await open()
    t.teardown(server.close)
    for (let i = 0; i < 3; i++) {
      const device = side(await server.dialer.dial(never))
      const other = side(await server.connections.take())
      other.connection.send('{}')
      await device.got(1)
      device.connection.close('again')
      await other.closed
    }
    t.strictSame(server.resumed, [false, true, true])
    t.strictSame(server.names, ['x', 'x', 'x'])
  })

  t.test(`${name}: what the server says first is not lost, nor its goodbye at once`, async t => {
    const server = await open(undefined, connection => {
      connection.send('busy')
      connection.close('come again')
    })
    t.teardown(server.close)
    for (let i = 0; i < 20; i++) {
      const device = side(await server.dialer.dial(never))
      t.equal(await device.closed, 'come again')
      t.strictSame(device.frames, ['busy'])
    }
  })

  t.test(`${name}: a dial to nobody rejects in one line that names the address`, async t => {
    const server = await open()
    await server.close()
    t.match(await refusal(server.dialer), /^dial 127\.0\.0\.1:\d+: [^\n]+$/)
  })
}

t.test('mqtt: a key without a node is told apart from a server that cannot be reached', async t => {
  const server = await openMqtt(undefined, silent, 0, () => {
    throw new Error('no node')
  })
  t.teardown(server.close)
  const error = await server.dialer.dial(never).catch((error: unknown) => error)
  t.ok(isReason(error, 'Forbidden'))
})

t.test('mqtt: a connection that never begins TLS is ended', async t => {
  const { listenMqtt } = await loadMqtt()
  const cert = certificate('server', [])
  const listener = await listenMqtt(
    { clock: systemClock, log: silentLog, cluster: CLUSTER, keepaliveMs: () => 20_000, accept: (_, connection) => silent(connection) },
    { bind: '127.0.0.1', port: 0, ca: ca.certPem, cert: cert.certPem, key: cert.keyPem, deviceOf: () => 'a', handshakeMs: 50 },
  )
  t.teardown(listener.close)
  const socket = connect(listener.port, '127.0.0.1')
  socket.resume()
  await once(socket, 'close')
  t.equal(listener.endpoint.connections, 0)
})

t.test('mqtt: a connection that goes without a word is closed on the other side too', async t => {
  const server = await openMqtt()
  t.teardown(server.close)
  const device = side(await server.dialer.dial(never))
  const other = side(await server.connections.take())
  for (const socket of server.sockets) socket.destroy()
  t.type(await other.closed, 'string')
  t.type(await device.closed, 'string')
})

const answering = (connection: Connection): void => {
  connection.onFrame = frame => connection.send(frame)
}

const DOWN: Dialer = {
  dial: () => Promise.reject(new Error('dial there: no route')),
}

t.test('failover: a way that fails gives over to the next, and the one that worked last comes first', async t => {
  const dialed: string[] = []
  const state = { ws: true, mqtt: true }
  const way = (name: 'ws' | 'mqtt') => {
    const dialer = memoryDialer(connection => {
      dialed.push(name)
      answering(connection)
    })
    return { name, dialer: { dial: (signal: AbortSignal) => (state[name] ? dialer.dial(signal) : DOWN.dial(signal)) } }
  }
  const dialer = failoverDialer([way('ws'), way('mqtt')])
  const once = async (): Promise<void> => {
    const device = side(await dialer.dial(never))
    device.connection.send('{}')
    await device.got(1)
    device.connection.close('done')
    await device.closed
  }
  await once()
  state.ws = false
  await once()
  state.ws = true
  await once()
  t.strictSame(dialed, ['ws', 'mqtt', 'mqtt'])
  Object.assign(state, { ws: false, mqtt: false })
  t.equal(await refusal(dialer), 'mqtt: dial there: no route; ws: dial there: no route')
})

t.test('failover: a way that opens and stays mute, or hangs until given up, is not the first the next time', async t => {
  const mute = memoryDialer(connection => void side(connection))
  const hangs: Dialer = {
    dial: signal => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('given up')), { once: true })),
  }
  for (const bad of [mute, hangs]) {
    const dialer = failoverDialer([
      { name: 'bad', dialer: bad },
      { name: 'good', dialer: memoryDialer(answering) },
    ])
    const abort = new AbortController()
    const first = dialer.dial(abort.signal)
    if (bad === hangs) {
      abort.abort()
      await t.rejects(first, /given up/)
    } else {
      const device = side(await first)
      device.connection.close('nobody says welcome')
      await device.closed
    }
    const device = side(await dialer.dial(never))
    device.connection.send('{}')
    await device.got(1)
  }
})

t.test(
  'websocket: the server refuses other paths, other subprotocols and plain requests, and binary frames end the connection',
  async t => {
    const server = await openServer()
    t.teardown(server.close)
    const raw = (path: string, protocols: string[]): Promise<string> =>
      new Promise(resolve => {
        const socket = new WebSocket(`${server.url.replace('https', 'wss')}${path}`, protocols, { rejectUnauthorized: false })
        socket.on('error', error => resolve(error.message))
        socket.on('open', () => socket.send(Buffer.of(1, 2, 3)))
        socket.on('close', code => resolve(`closed ${code}`))
      })
    const odd = request(`${server.url}`, {
      path: '//[',
      rejectUnauthorized: false,
      headers: { connection: 'upgrade', upgrade: 'websocket' },
    }).end()
    const [answer] = (await once(odd, 'response')) as [IncomingMessage]
    t.equal(answer.statusCode, 400)
    t.match(await raw('/link/v2', ['helio.v1']), /400/)
    t.match(await raw(LINK_PATH, ['helio.v9']), /400/)
    t.match(await raw(LINK_PATH, []), /400/)
    t.equal(await raw(LINK_PATH, ['helio.v1']), 'closed 1003')
  },
)
