// The whole link with real keys, real TLS and a real clock, on every transport: hub and device over loopback, counted byte by byte at a
// TCP relay between.

import { once } from 'node:events'
import { createServer } from 'node:https'
import { type AddressInfo, connect, createServer as createRelay, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemPki as pki } from '../../src/host/pki.ts'
import { systemRandom } from '../../src/host/random.ts'
import type { Connection, DeviceLinkDeps, Dialer, Document, HeldHead, HubDeps, LinkStream } from '../../src/link/link.ts'
import {
  clusterIdOf,
  createHub,
  loadMqtt,
  memoryDialer,
  openDeviceLink,
  webSocketAcceptor,
  webSocketDialer,
} from '../../src/link/transports/index.ts'

const DAY = 86_400_000
const now = Date.now()
const ca = pki.createAuthority('ca', now - DAY, now + DAY)
const signing = pki.createSigningKey()

/** Waits on a value; looked at again whenever the loop has had time for sockets. */
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await systemClock.sleep(2)
}

const pod = (i: number): Document['pods'][number] =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `web-7d4b9c6f5-x${i}`,
      namespace: 'default',
      uid: `0b1c2d3e-0000-4000-8000-00000000000${i}`,
      labels: { app: 'web', tier: 'edge' },
    },
    spec: {
      nodeName: 'tower-7',
      containers: [
        {
          name: 'web',
          image: 'registry.example/web:1.4.2',
          ports: [{ containerPort: 8080, protocol: 'TCP' }],
          env: [{ name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'web', key: 'greeting' } } }],
          resources: { limits: { cpu: '500m', memory: '64Mi' }, requests: { cpu: '50m', memory: '32Mi' } },
        },
      ],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
    },
  }) as unknown as Document['pods'][number]

const lines = (edited: string): string =>
  Array.from({ length: 40 }, (_, i) => (i === 20 ? edited : `setting.${i} = ${pki.sha256(String(i)).slice(0, 24)}`)).join('\n')

/** What carries the link. */
interface Under {
  /** A device's dialer that has met nobody yet. */
  dialer(): Dialer
  /** TLS bytes both ways so far; without TCP and IP, which add 52 bytes a packet. 0 where there is no wire. */
  bytes(): number
  /** Breaks every connection. */
  cut(): void
  close(): Promise<void>
}

type Accept = (device: string, connection: Connection) => void

const names = { organizations: ['system:nodes'], notBeforeMs: now - DAY, notAfterMs: now + DAY } as const
const serverCert = pki.issue(ca, { ...names, commonName: 'helio', altNames: ['IP:127.0.0.1'], usage: 'server' })
const deviceCert = pki.issue(ca, { ...names, commonName: 'system:node:tower-7', altNames: [], usage: 'client' })
const credentials = () => ({ ca: ca.certPem, cert: deviceCert.certPem, key: deviceCert.keyPem })
const deviceOf = (socket: TLSSocket): string =>
  pki.inspect(socket.getPeerX509Certificate()?.raw ?? socket.getPeerCertificate().raw).commonName.replace('system:node:', '')

/** Passes everything on to `to`, and counts it. */
const openRelay = async (to: number) => {
  const state = { bytes: 0, sockets: new Set<Socket>() }
  const relay = createRelay(near => {
    const far = connect(to, '127.0.0.1')
    for (const socket of [near, far]) {
      state.sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => state.sockets.delete(socket))
      socket.on('data', data => {
        state.bytes += data.length
      })
    }
    near.pipe(far)
    far.pipe(near)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  return {
    port: (relay.address() as AddressInfo).port,
    bytes: () => state.bytes,
    cut() {
      for (const socket of state.sockets) socket.destroy()
    },
    close: () => void relay.close(),
  }
}

const openWebSocket = async (accept: Accept): Promise<Under> => {
  const server = createServer({
    key: serverCert.keyPem,
    cert: serverCert.certPem,
    ca: ca.certPem,
    requestCert: true,
    rejectUnauthorized: false,
  })
  const acceptWebSocket = webSocketAcceptor()
  server.on('upgrade', (request, socket, head) => {
    const connection = acceptWebSocket(request, socket, head)
    if (connection) accept(deviceOf(socket as TLSSocket), connection)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const relay = await openRelay((server.address() as AddressInfo).port)
  return {
    ...relay,
    dialer: () => webSocketDialer({ server: `https://127.0.0.1:${relay.port}`, credentials }),
    async close() {
      relay.close()
      server.close()
      relay.cut()
      server.closeAllConnections()
    },
  }
}

const openMqtt = async (accept: Accept, qos: 0 | 1): Promise<Under> => {
  const { listenMqtt, mqttDialer } = await loadMqtt()
  const cluster = clusterIdOf(pki.publicKeyPin(ca.certPem))
  const listener = await listenMqtt(
    { clock: systemClock, log: silentLog, cluster, keepaliveMs: () => 20_000, accept },
    { bind: '127.0.0.1', port: 0, ca: ca.certPem, cert: serverCert.certPem, key: serverCert.keyPem, deviceOf },
  )
  const relay = await openRelay(listener.port)
  return {
    ...relay,
    dialer: () => mqttDialer({ url: `mqtts://127.0.0.1:${relay.port}`, cluster, device: 'tower-7', credentials, clock: systemClock, qos }),
    async close() {
      relay.close()
      await listener.close()
      relay.cut()
    },
  }
}

const openMemory = async (accept: Accept): Promise<Under> => {
  const open = new Set<Connection>()
  return {
    dialer: () =>
      memoryDialer(connection => {
        open.add(connection)
        accept('tower-7', connection)
      }),
    bytes: () => 0,
    cut() {
      for (const connection of open) connection.close('cut')
      open.clear()
    },
    close: async () => {},
  }
}

const TRANSPORTS: Readonly<Record<string, (accept: Accept) => Promise<Under>>> = {
  memory: openMemory,
  websocket: openWebSocket,
  mqtt: accept => openMqtt(accept, 0),
  'mqtt, acknowledged': accept => openMqtt(accept, 1),
}

const setup = async (openUnder: (accept: Accept) => Promise<Under>) => {
  const truth = { revision: 1, line: 'greeting = hello' }
  const render = (device: string): Document => ({
    apiVersion: 'heliopause.io/v1',
    kind: 'DeviceDocument',
    device,
    podCIDR: '10.42.3.0/24',
    clusterCIDR: '10.42.0.0/16',
    pods: Array.from({ length: 10 }, (_, i) => pod(i)),
    configMaps: [
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'web', namespace: 'default', uid: 'cm-1' },
        data: { 'web.conf': lines(truth.line) },
      },
    ],
    secrets: [],
  })
  const status = new Map<string, unknown>()
  const events: string[] = []
  const hubDeps: HubDeps = {
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    epoch: 'e1',
    sign: text => pki.sign(signing.privatePem, text),
    sha256: pki.sha256,
    render: device => ({ document: render(device), revision: truth.revision }),
    onStatus: async (_, items) => {
      for (const { key, value } of items) status.set(key, value)
    },
    onEvents: async (_, items) => {
      events.push(...items.map(event => event.note))
    },
    onContact: () => {},
    onRefused: () => {},
  }
  const hub = createHub(hubDeps)
  const under = await openUnder((device, connection) => hub.accept(device, connection))
  const disk: { saved: { head: HeldHead; document: Document } | undefined } = { saved: undefined }
  const dialer = under.dialer()
  const streams: LinkStream[] = []
  const open = (part: Partial<DeviceLinkDeps> = {}) =>
    openDeviceLink({
      device: 'tower-7',
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      dialer,
      memory: {
        load: () => disk.saved,
        save: async (head, document) => {
          disk.saved = JSON.parse(JSON.stringify({ head, document })) as { head: HeldHead; document: Document }
        },
      },
      verify: (text, signature) => pki.verify(signing.publicPem, text, signature),
      sha256: pki.sha256,
      onDocument: () => {},
      onContact: () => {},
      onStream: (_, stream) => {
        streams.push(stream)
      },
      ...part,
    })
  const close = async (): Promise<void> => {
    await hub.close()
    await under.close()
  }
  const generation = (): number => hub.applied('tower-7')?.generation ?? -1
  return { truth, hub, under, open, status, events, streams, disk, close, generation }
}

for (const [name, openUnder] of Object.entries(TRANSPORTS)) {
  t.test(`${name}: document, change, reports, logs, reconnect; and what each costs on the wire`, async t => {
    const w = await setup(openUnder)
    t.teardown(w.close)
    const link = w.open()
    const costs: Record<string, number> = {}
    const since = { bytes: 0 }
    const cost = (what: string): number => {
      const bytes = w.under.bytes() - since.bytes
      since.bytes += bytes
      costs[what] = bytes
      return bytes
    }
    link.setStatus('node', { ready: true })
    await until(() => w.generation() === 1 && w.status.has('node'))
    t.equal(w.disk.saved?.document.pods.length, 10)
    cost('first contact, 10 pods')

    w.truth.revision = 7
    w.truth.line = 'greeting = hallo'
    w.hub.changed('tower-7')
    await until(() => w.generation() === 7)
    t.match(w.disk.saved?.document.configMaps[0]?.data?.['web.conf'], /greeting = hallo/)
    t.ok(cost('one-line change of a ConfigMap') < 1500)

    link.sync()
    const contact = link.lastContactMs
    await until(() => link.lastContactMs !== contact)
    // Where messages are acknowledged, the last of what went before may still come in.
    t.ok(cost('keepalive: ping and pong') < (name.includes('acknowledged') ? 300 : 150))

    link.addEvent({
      regarding: { kind: 'Pod', name: 'a', uid: 'u' },
      type: 'Normal',
      reason: 'Started',
      note: 'up',
      time: '2026-11-22T10:00:00Z',
    })
    link.setStatus('pod/1', { phase: 'Running' })
    await until(() => w.status.has('pod/1') && w.events.length === 1)
    t.ok(cost('a status and an event') < 800)

    const stream = await w.hub.openStream('tower-7', {
      do: 'logs',
      namespace: 'default',
      pod: 'a',
      container: 'web',
      options: { follow: true },
    })
    const got: Uint8Array[] = []
    const ended = new Promise<string | undefined>(resolve => {
      stream.onData = data => void got.push(data)
      stream.onEnd = resolve
    })
    await until(() => w.streams.length === 1)
    const text = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `line ${i}`).join('\n'))
    for (let at = 0; at < text.length; at += 10_000) await w.streams[0]!.write(text.subarray(at, at + 10_000))
    w.streams[0]!.end()
    t.equal(await ended, undefined)
    t.equal(Buffer.compare(Buffer.concat(got), text), 0)
    cost('logs')

    w.under.cut()
    await until(() => !link.connected)
    cost('break')
    await until(() => link.connected)
    t.ok(cost('reconnect without change, TLS resumed') < 2500)
    t.equal(w.hub.connections, 1)
    await link.close()
    await until(() => w.hub.connections === 0)
    cost('goodbye')
    const stranger = w.open({ dialer: w.under.dialer() })
    await until(() => stranger.connected)
    t.ok(cost('reconnect without change, full handshake') < 5600)
    await stranger.close()
    t.comment(JSON.stringify(costs))
  })

  t.test(`${name}: a device that was away starts from its disk and asks for nothing it has`, async t => {
    const w = await setup(openUnder)
    t.teardown(w.close)
    const first = w.open()
    await until(() => w.generation() === 1)
    await first.close()
    const documents: Document[] = []
    const times: string[] = []
    const second = w.open({ onDocument: document => documents.push(document), onServerTime: time => times.push(time) })
    await until(() => second.connected && w.hub.contact('tower-7')?.connected === true)
    t.strictSame([documents.length, times.length], [0, 1], 'no document, and the server’s signed time')
    await second.close()
  })

  t.test(`${name}: a server with another signing key changes nothing on the device`, async t => {
    const w = await setup(openUnder)
    t.teardown(w.close)
    const stranger = pki.createSigningKey()
    const errors: string[] = []
    const link = w.open({
      verify: (text, signature) => pki.verify(stranger.publicPem, text, signature),
      log: {
        ...silentLog,
        error: message => void errors.push(message),
      },
    })
    await until(() => errors.includes('refused head: signature'))
    t.equal(w.disk.saved, undefined)
    await link.close()
  })
}
