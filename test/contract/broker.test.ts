// A real mosquitto with the rules that helio writes: whom it lets in, what they may say and hear; and devices and servers through its worst
// moments: killed, restarted empty, and ruled by somebody who owns it.

import { X509Certificate } from 'node:crypto'
import { connect as connectTls } from 'node:tls'
import { type IClientOptions, MqttClient } from 'mqtt'
import t from 'tap'
import type { KeyPair } from '../../src/base/pki.ts'
import { systemPki } from '../../src/host/pki.ts'
import type { Connection } from '../../src/link/link.ts'
import { acceptBytes, hintBytes, parseBrokerFrame } from '../../src/link/transports/broker-frames.ts'
import { brokerTopic } from '../../src/link/transports/broker-topics.ts'
import { webSocketDialer } from '../../src/link/transports/index.ts'
import { countThroughBroker } from '../bench/broker-count.ts'
import { type BrokerWorld, makeKeys, openBrokerWorld } from './broker-world.ts'
import { NO_MOSQUITTO } from './mosquitto.ts'

const never = new AbortController().signal

/** Any client at all; undefined when the broker does not let it in. */
const enter = async (world: BrokerWorld, pair: KeyPair | undefined, options: IClientOptions = {}): Promise<MqttClient | undefined> => {
  const socket = connectTls({
    host: '127.0.0.1',
    port: world.mosquitto.port,
    ca: world.keys.authority.certPem,
    checkServerIdentity: () => undefined,
    ...(pair ? { cert: pair.certPem, key: pair.keyPem } : {}),
  })
  const client = new MqttClient(() => socket, { protocolVersion: 5, reconnectPeriod: 0, clientId: 'somebody', ...options })
  return new Promise(resolve => {
    client.on('error', () => resolve(undefined))
    client.on('close', () => resolve(undefined))
    client.on('connect', () => resolve(client))
  })
}

const nextMessage = (client: MqttClient): Promise<void> => new Promise(resolve => client.once('message', () => resolve()))

/** The broker's answer to a publication: its reason code. */
const publishCode = async (client: MqttClient, topic: string): Promise<number> =>
  new Promise(resolve => {
    client.publish(topic, 'x', { qos: 1 }, (error, packet) =>
      resolve(Number((error as { code?: number } | undefined)?.code ?? (packet as { reasonCode?: number } | undefined)?.reasonCode ?? 0)),
    )
  })

t.test('whom the broker lets in, and what its rules let them do', { skip: NO_MOSQUITTO }, async t => {
  const world = await openBrokerWorld()
  t.teardown(world.close)
  const { keys } = world
  const topics = (device: string) =>
    (['up', 'alive', 'down', 'head'] as const).map(kind => [kind, brokerTopic(keys.cluster, device, kind)] as const)

  await t.test('nobody comes in without a certificate of this authority', async t => {
    t.equal(await enter(world, undefined), undefined)
    t.equal(await enter(world, undefined, { username: 'system:node:edge-1', password: 'x' }), undefined)
    t.equal(await enter(world, makeKeys().device('edge-1')), undefined, 'the same name by another authority')
  })

  await t.test('a device says on its own topics what a device says, and nothing anywhere else', async t => {
    const client = await enter(world, keys.device('edge-1'), { clientId: 'system:node:edge-2', username: 'heliopause:server' })
    if (!client) throw new Error('a device was not let in')
    const codes = async (device: string) => {
      const found: Record<string, boolean> = {}
      for (const [kind, topic] of topics(device)) found[kind] = (await publishCode(client, topic)) < 0x80
      return found
    }
    t.strictSame(await codes('edge-1'), { up: true, alive: true, down: false, head: false })
    t.strictSame(await codes('edge-2'), { up: false, alive: false, down: false, head: false }, 'whatever it calls itself')
    t.ok((await publishCode(client, '$SYS/broker/x')) >= 0x80)
    t.ok((await publishCode(client, 'anything')) >= 0x80)
    client.end()
  })

  await t.test('a device hears its own topics and nobody else’s, whatever it subscribes to', async t => {
    const spy = await enter(world, keys.device('edge-1'))
    const server = await enter(world, keys.server)
    if (!spy || !server) throw new Error('not let in')
    const heard: string[] = []
    spy.on('message', topic => void heard.push(topic))
    for (const filter of [
      '#',
      `helio/v1/${keys.cluster}/#`,
      '+/+/+/+/+',
      ...topics('edge-2').map(([, topic]) => topic),
      topics('edge-1')[2]![1],
    ])
      await spy.subscribeAsync(filter, { qos: 1 }).catch(error => t.match(error.message, /./, `${filter} is refused`))
    for (const kind of ['down', 'head'] as const) await server.publishAsync(brokerTopic(keys.cluster, 'edge-2', kind), 'secret', { qos: 1 })
    const last = nextMessage(spy)
    await server.publishAsync(brokerTopic(keys.cluster, 'edge-1', 'down'), 'own', { qos: 1 })
    await last
    t.strictSame([...new Set(heard)], [brokerTopic(keys.cluster, 'edge-1', 'down')])
    spy.end()
    server.end()
  })

  await t.test('the broker’s certificate is for brokers: no device takes it for the server’s', async t => {
    const pair = keys.device('edge-1')
    const dialer = webSocketDialer({
      server: `https://127.0.0.1:${world.mosquitto.port}`,
      credentials: () => ({ ca: keys.authority.certPem, cert: pair.certPem, key: pair.keyPem }),
    })
    await t.rejects(dialer.dial(never), { message: /server is not trusted: its certificate is a broker/ })
    t.equal(systemPki.inspect(new X509Certificate(keys.server.certPem).raw).organizations[0], 'heliopause:broker')
  })
})

/** The server's ends as they come. */
const arrivals = () => {
  const items: Connection[] = []
  const waiting: ((connection: Connection) => void)[] = []
  return {
    put: (_: string, connection: Connection): void => {
      const next = waiting.shift()
      if (next) next(connection)
      else items.push(connection)
    },
    take: (): Promise<Connection> => new Promise(resolve => (items.length > 0 ? resolve(items.shift()!) : waiting.push(resolve))),
  }
}

t.test('who owns the broker can neither speak for the server nor end a conversation of its own making', { skip: NO_MOSQUITTO }, async t => {
  const world = await openBrokerWorld()
  t.teardown(world.close)
  const { keys } = world
  const [up, down] = [brokerTopic(keys.cluster, 'edge-1', 'up'), brokerTopic(keys.cluster, 'edge-1', 'down')]
  // With the server's rights at the broker, but without its keys.
  const owner = await enter(world, keys.server)
  if (!owner) throw new Error('not let in')
  await owner.subscribeAsync(up, { qos: 1 })
  const seen: Buffer[] = []
  owner.on('message', (_, payload) => {
    seen.push(payload)
    const frame = parseBrokerFrame(payload)
    if (frame?.is !== 'opening') return
    const forged = acceptBytes({ conversation: frame.conversation, ephemeral: frame.ephemeral, signature: Buffer.alloc(64, 7) })
    for (const message of [forged, Buffer.from('nonsense'), hintBytes(Buffer.alloc(8, 9), 'unknown')])
      owner.publish(down, Buffer.from(message), { qos: 1 })
  })
  const gaveUp = new AbortController()
  const dialed = world.dialer('edge-1').dial(gaveUp.signal)
  while (seen.length < 1) await nextMessage(owner)
  await owner.publishAsync(down, 'the last of it', { qos: 1 })
  gaveUp.abort()
  await t.rejects(dialed, { message: /given up/ }, 'no conversation came of it')
  owner.end(true)

  const came = arrivals()
  world.server(came.put)
  const device = await world.dialer('edge-1').dial(never)
  const closed = new Promise<string>(resolve => {
    device.onClose = resolve
  })
  const server = await came.take()
  const replayer = await enter(world, keys.device('edge-1'), { clientId: 'x' })
  t.ok(replayer, 'a second client of the same name takes the broker’s place for the first, and the first comes back')
  const frames: string[] = []
  server.onFrame = frame => void frames.push(frame)
  replayer?.end(true)
  t.type(await closed, 'string')
  const again = await world.dialer('edge-1').dial(never)
  const other = await came.take()
  const got = new Promise<string>(resolve => {
    other.onFrame = resolve
  })
  again.send('{"after":"all"}')
  t.equal(await got, '{"after":"all"}')
  again.close('done')
})

t.test('a head that is kept is heard by the device that dials, though no server answers', { skip: NO_MOSQUITTO }, async t => {
  const world = await openBrokerWorld()
  t.teardown(world.close)
  const came = arrivals()
  const server = world.server(came.put)
  const dialer = world.dialer('edge-1')
  const first = await dialer.dial(never)
  const connection = await came.take()
  connection.retain?.('{"generation":8}')
  await server.close()
  first.close('the server went')
  const gaveUp = new AbortController()
  const heard = new Promise<string>(resolve => {
    dialer.onHead = resolve
  })
  const dialed = dialer.dial(gaveUp.signal)
  t.equal(await heard, '{"generation":8}')
  gaveUp.abort()
  await t.rejects(dialed, { message: /given up/ })
})

t.test(
  'through restarts of the broker, cuts of the server’s line, repeated and swapped deliveries every message counts once (npm run bench has 100,000)',
  { skip: NO_MOSQUITTO },
  async t => {
    const world = await openBrokerWorld()
    t.teardown(world.close)
    const counted = await countThroughBroker(world, { devices: 3, messages: 600, restarts: 2, cuts: 1 })
    t.match(counted, { heard: 2 * 3 * 600, twice: 0, missed: 0, restarts: 2 })
    t.ok(counted.conversations > 3, 'conversations broke and were begun again')
    t.ok(counted.repeated > 0 && counted.swapped > 0 && counted.swallowed > 0)
  },
)
