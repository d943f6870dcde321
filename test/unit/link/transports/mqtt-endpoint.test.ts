import { once } from 'node:events'
import { type Duplex, duplexPair } from 'node:stream'
import t, { type Test } from 'tap'
import { silentLog } from '../../../../src/base/log.ts'
import { FRAME_BYTES_MAX, QUEUE_BYTES_MAX } from '../../../../src/link/limits.ts'
import type { Connection } from '../../../../src/link/link.ts'
import { createMqttEndpoint, type MqttEndpointDeps } from '../../../../src/link/transports/mqtt-endpoint.ts'
import {
  createDecoder,
  encodePacket,
  PACKET_BYTES_MAX,
  type Packet,
  PacketReader,
  REASON,
} from '../../../../src/link/transports/mqtt-packets.ts'
import type { Proven } from '../../../../src/link/transports/mqtt-rules.ts'
import { type TopicKind, topicOf } from '../../../../src/link/transports/mqtt-topics.ts'
import { fc } from '../../../property.ts'
import { manualClock } from '../manual-clock.ts'

const CLUSTER = '0123456789abcdef'
const topic = (kind: TopicKind, device = 'a'): string => topicOf({ cluster: CLUSTER, device, kind })

type Of<C extends Packet['cmd']> = Extract<Packet, { readonly cmd: C }>

/** A client made of packets alone. */
const clientOn = (socket: Duplex) => {
  const packets: Packet[] = []
  const waiting: (() => void)[] = []
  const reader = new PacketReader(
    createDecoder(),
    {
      onPacket(packet) {
        packets.push(packet)
        for (const wake of waiting.splice(0)) wake()
        return true
      },
      onFault: (_, why) => {
        throw new Error(why)
      },
    },
    PACKET_BYTES_MAX,
  )
  socket.on('data', chunk => reader.take(chunk))
  socket.on('error', () => socket.destroy())
  const closed = once(socket, 'close')
  socket.on('close', () => {
    for (const wake of waiting.splice(0)) wake()
  })
  return {
    socket,
    packets,
    closed,
    send: (...sent: Packet[]): void => void socket.write(Buffer.concat(sent.map(encodePacket))),
    /** The next packet of this command, whatever comes between. */
    async next<C extends Packet['cmd']>(cmd: C): Promise<Of<C>> {
      for (;;) {
        const at = packets.findIndex(packet => packet.cmd === cmd)
        if (at >= 0) return packets.splice(0, at + 1)[at] as Of<C>
        if (socket.destroyed) throw new Error(`closed before ${cmd}: ${JSON.stringify(packets)}`)
        await new Promise<void>(resolve => waiting.push(resolve))
      }
    },
  }
}

const setup = (part: Partial<MqttEndpointDeps> = {}) => {
  const clock = manualClock()
  const links: { device: string; connection: Connection; frames: string[]; closes: string[] }[] = []
  const endpoint = createMqttEndpoint({
    clock,
    log: silentLog,
    cluster: CLUSTER,
    keepaliveMs: () => 20_000,
    head: device => `{"head":"${device}"}`,
    accept(device, connection) {
      const link = { device, connection, frames: [] as string[], closes: [] as string[] }
      connection.onFrame = frame => void link.frames.push(frame)
      connection.onClose = reason => void link.closes.push(reason)
      links.push(link)
    },
    ...part,
  })
  const dial = (proven: Proven = { device: 'a' }) => {
    const [near, far] = duplexPair({ allowHalfOpen: false })
    endpoint.take(far, proven)
    return clientOn(near)
  }
  const connect = async (proven?: Proven, more: Partial<Of<'connect'>> = {}) => {
    const client = dial(proven)
    client.send({ cmd: 'connect', protocolVersion: 5, clientId: '', clean: true, keepalive: 0, ...more })
    return { ...client, connack: await client.next('connack') }
  }
  const linked = async (device = 'a', qos: 0 | 1 = 0, more: Partial<Of<'connect'>> = {}) => {
    const client = await connect({ device }, more)
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: topic('down', device), qos }] })
    await client.next('suback')
    return { client, link: links.at(-1)! }
  }
  return { clock, endpoint, links, dial, connect, linked }
}

const publish = (to: string, payload: string | Buffer, qos: 0 | 1 | 2 = 0, more: Partial<Of<'publish'>> = {}): Packet => ({
  cmd: 'publish',
  topic: to,
  payload,
  qos,
  dup: false,
  retain: false,
  ...(qos > 0 ? { messageId: 7 } : {}),
  ...more,
})

t.test('who has no certificate of a node is told so, and nothing else', async t => {
  const w = setup()
  const { connack, closed } = await w.connect({ refusal: 'link: anonymous is no node of this cluster' })
  t.match(connack, { reasonCode: REASON.notAuthorized, properties: { reasonString: /is no node/ } })
  await closed
  t.equal(w.endpoint.connections, 0)
})

t.test('a client learns what there is: QoS 1, no wildcards, no sharing, no session, the keepalive of its profile', async t => {
  const w = setup()
  const { connack } = await w.connect(undefined, { clientId: 'tower', clean: false, properties: { sessionExpiryInterval: 3600 } })
  t.match(connack, {
    reasonCode: 0,
    sessionPresent: false,
    properties: {
      maximumQoS: 1,
      wildcardSubscriptionAvailable: false,
      sharedSubscriptionAvailable: false,
      serverKeepAlive: 20,
      sessionExpiryInterval: 0,
    },
  })
  const names = await Promise.all([1, 2].map(async () => (await w.connect()).connack.properties?.assignedClientIdentifier))
  t.equal(new Set(names).size, 2, 'who brings no name gets one of its own')
})

const REFUSED_CONNECTS: readonly [string, Partial<Of<'connect'>>, number][] = [
  ['another’s will', { will: { topic: topic('alive', 'b'), payload: 'x' } }, REASON.notAuthorized],
  ['a will of QoS 2', { will: { topic: topic('alive'), payload: 'x', qos: 2 } }, REASON.qos],
  ['a password of another kind', { properties: { authenticationMethod: 'x' } }, REASON.badAuthentication],
  ['a Receive Maximum of none', { properties: { receiveMaximum: 0 } }, REASON.protocol],
  ['a very long name', { clientId: 'x'.repeat(200) }, REASON.unspecified],
]
for (const [what, more, code] of REFUSED_CONNECTS)
  t.test(`refuses a CONNECT with ${what}`, async t => {
    const { connack, closed } = await setup().connect(undefined, more)
    t.equal(connack.reasonCode, code)
    await closed
  })

t.test('refuses MQTT before version 5 in its own words, and anything before a CONNECT', async t => {
  const w = setup()
  const old = w.dial()
  old.send({ cmd: 'connect', protocolVersion: 4, protocolId: 'MQTT', clientId: 'x', clean: true, keepalive: 0 })
  const [bytes] = (await once(old.socket, 'data')) as [Buffer]
  t.strictSame([...bytes], [0x20, 2, 0, 1])
  const early = w.dial()
  early.send({ cmd: 'pingreq' })
  t.equal((await early.next('connack')).reasonCode, REASON.protocol)
  const large = w.dial()
  large.socket.write(Buffer.of(0x10, 0xff, 0xff, 0x7f))
  t.equal((await large.next('connack')).reasonCode, REASON.tooLarge)
})

t.test('grants a device its own two topics and refuses the rest, each with its reason', async t => {
  const w = setup()
  const client = await w.connect()
  const asked: readonly [string, number][] = [
    [topic('head'), 1],
    [topic('down'), 0],
    [topic('up'), REASON.notAuthorized],
    [topic('head', 'b'), REASON.notAuthorized],
    [`helio/v1/${CLUSTER}/+/head`, REASON.wildcard],
    ['#', REASON.wildcard],
    [`$share/g/${topic('down')}`, REASON.shared],
    ['$SYS/broker', REASON.notAuthorized],
  ]
  client.send({ cmd: 'subscribe', messageId: 3, subscriptions: asked.map(([topic], i) => ({ topic, qos: i === 0 ? 2 : 0 })) })
  const { granted, messageId } = await client.next('suback')
  t.strictSame([granted, messageId], [asked.map(([, code]) => code), 3])
  t.match(await client.next('publish'), { topic: topic('head'), retain: true, qos: 1, payload: Buffer.from('{"head":"a"}') })
  t.equal(w.links.length, 1)
})

t.test('who watches the head is shown each new one; nothing of another device', async t => {
  const w = setup()
  const watchers = await Promise.all(['a', 'b'].map(device => w.connect({ device })))
  for (const [i, client] of watchers.entries()) {
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: topic('head', i === 0 ? 'a' : 'b'), qos: 0 }] })
    await client.next('publish')
  }
  t.equal(w.links.length, 0, 'a watcher is no link')
  const { link } = await w.linked('a')
  link.connection.retain?.('{"head":2}')
  t.match(await watchers[0]!.next('publish'), { retain: false, payload: Buffer.from('{"head":2}') })
  watchers[1]!.send({ cmd: 'pingreq' })
  await watchers[1]!.next('pingresp')
  t.equal(watchers[1]!.packets.length, 0)
  const late = await w.connect()
  late.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: topic('head'), qos: 0 }] })
  t.match(await late.next('publish'), { retain: true, payload: Buffer.from('{"head":2}') })
})

t.test('frames: acknowledged where asked, named by alias, and delivered in order', async t => {
  const { client, link } = await setup().linked('a', 1, { properties: { topicAliasMaximum: 5, receiveMaximum: 1 } })
  client.send(
    publish(topic('up'), '{"n":1}', 1, { properties: { topicAlias: 1 } }),
    publish('', '{"n":2}', 0, { properties: { topicAlias: 1 } }),
  )
  t.match(await client.next('puback'), { messageId: 7, reasonCode: 0 })
  t.strictSame(link.frames, ['{"n":1}', '{"n":2}'])
  link.connection.send('one')
  link.connection.send('two')
  const first = await client.next('publish')
  t.match(first, { topic: topic('down'), qos: 1, payload: Buffer.from('one'), properties: { topicAlias: 1 } })
  client.send({ cmd: 'pingreq' })
  await client.next('pingresp')
  t.equal(client.packets.length, 0, 'the second waits for the first')
  client.send({ cmd: 'puback', messageId: first.messageId!, reasonCode: 0 })
  t.match(await client.next('publish'), { topic: '', payload: Buffer.from('two') })
})

const BAD: readonly [string, () => Packet | Buffer, number][] = [
  ['QoS 2', () => publish(topic('up'), 'x', 2), REASON.qos],
  ['another device’s topic', () => publish(topic('up', 'b'), 'x'), REASON.notAuthorized],
  ['its own topic of the server', () => publish(topic('down'), 'x'), REASON.notAuthorized],
  ['an alias that was not given', () => publish('', 'x', 0, { properties: { topicAlias: 2 } }), REASON.aliasInvalid],
  ['an alias beyond the maximum', () => publish(topic('up'), 'x', 0, { properties: { topicAlias: 5 } }), REASON.aliasInvalid],
  ['a retained frame', () => publish(topic('up'), 'x', 0, { retain: true }), REASON.retain],
  ['a frame that is no text', () => publish(topic('up'), Buffer.of(0xff, 0xfe)), REASON.payloadFormat],
  ['a frame that is too large', () => publish(topic('up'), 'x'.repeat(FRAME_BYTES_MAX + 1)), REASON.tooLarge],
  ['a packet that is too large', () => Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f), REASON.tooLarge],
  ['a packet that is none', () => Buffer.of(0xf5, 0x01, 0x00), REASON.malformed],
  ['a second CONNECT', () => ({ cmd: 'connect', protocolVersion: 5, clientId: '', clean: true, keepalive: 0 }), REASON.protocol],
  ['a PUBACK for nothing', () => ({ cmd: 'puback', messageId: 9, reasonCode: 0 }), REASON.protocol],
  ['a message number 0', () => publish(topic('up'), 'x', 1, { messageId: 0 }), REASON.protocol],
  [
    'a subscription identifier',
    () => ({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: topic('head'), qos: 0 }],
      properties: { subscriptionIdentifier: 1 },
    }),
    REASON.identifiers,
  ],
]
for (const [what, make, code] of BAD)
  t.test(`ends a connection that sends ${what}, and no other`, async t => {
    const w = setup()
    const other = await w.linked('b')
    const { client, link } = await w.linked('a')
    const bad = make()
    client.socket.write(Buffer.isBuffer(bad) ? bad : encodePacket(bad))
    t.equal((await client.next('disconnect')).reasonCode, code)
    await client.closed
    t.strictSame([link.frames, link.closes.length, other.link.closes], [[], 1, []])
    other.client.send(publish(topic('up', 'b'), 'still here', 1))
    await other.client.next('puback')
    t.strictSame(other.link.frames, ['still here'])
  })

t.test('a message of QoS 1 to a topic of somebody else is refused by its own PUBACK', async t => {
  const { client, link } = await setup().linked()
  client.send(publish(topic('up', 'b'), 'x', 1), publish(topic('alive'), 'x', 1), publish(topic('up'), 'x', 1))
  const codes = [await client.next('puback'), await client.next('puback'), await client.next('puback')].map(({ reasonCode }) => reasonCode)
  t.strictSame([codes, link.frames], [[REASON.notAuthorized, 0, 0], ['x']])
})

t.test('signs of life without end end the connection', async t => {
  const { client } = await setup().linked()
  for (let i = 0; i < 70; i++) client.send(publish(topic('alive'), `${i}`))
  t.equal((await client.next('disconnect')).reasonCode, REASON.quota)
})

t.test('a frame before the subscription to down ends the connection', async t => {
  const client = await setup().connect()
  client.send(publish(topic('up'), 'x'))
  t.equal((await client.next('disconnect')).reasonCode, REASON.protocol)
})

t.test('the link ends with its subscription, and says goodbye by its reason both ways', async t => {
  const w = setup()
  const first = await w.linked()
  first.client.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: [topic('down'), topic('head'), 'x'] })
  t.strictSame((await first.client.next('unsuback')).granted, [0, REASON.noSubscription, REASON.noSubscription])
  await first.client.closed
  t.strictSame(first.link.closes, ['unsubscribed'])
  const second = await w.linked()
  second.client.send({ cmd: 'disconnect', reasonCode: 0, properties: { reasonString: 'the device stops' } })
  await second.client.closed
  t.strictSame(second.link.closes, ['the device stops'])
  const third = await w.linked()
  third.link.connection.close('enough')
  t.match(await third.client.next('disconnect'), { reasonCode: 0, properties: { reasonString: 'enough' } })
})

t.test('of two connections with one name the older gives way; of too many connections the oldest', async t => {
  const w = setup()
  const older = await w.connect(undefined, { clientId: 'x' })
  const foreign = await w.connect({ device: 'b' }, { clientId: 'x' })
  await w.connect(undefined, { clientId: 'x' })
  t.equal((await older.next('disconnect')).reasonCode, REASON.takenOver)
  await older.closed
  const many = await Promise.all(Array.from({ length: 4 }, () => w.connect()))
  t.ok(many.every(({ connack }) => connack.reasonCode === 0))
  const fifth = await w.connect()
  t.equal(fifth.connack.reasonCode, 0)
  t.equal((await many[0]!.next('disconnect')).reasonCode, REASON.quota)
  foreign.send({ cmd: 'pingreq' })
  await foreign.next('pingresp')
})

t.test('who says nothing after TLS is cut, who watches and falls silent too, a link is not', async t => {
  const w = setup()
  w.dial()
  const watcher = await w.connect()
  const { link } = await w.linked('b')
  t.equal(w.endpoint.connections, 3)
  await w.clock.pass(10_000)
  t.equal(w.endpoint.connections, 2, 'the mute one is gone')
  await w.clock.pass(20_001)
  t.equal((await watcher.next('disconnect')).reasonCode, REASON.keepAlive)
  await watcher.closed
  await w.clock.pass(3_600_000)
  t.strictSame(link.closes, [])
  t.equal(w.endpoint.connections, 1)
})

t.test('who is told to go and stays is cut', async t => {
  const w = setup()
  const [near, far] = duplexPair({ allowHalfOpen: true })
  w.endpoint.take(far, { device: 'a' })
  const client = clientOn(near)
  client.send({ cmd: 'connect', protocolVersion: 5, clientId: '', clean: true, keepalive: 0 })
  await client.next('connack')
  client.send(publish('x', 'x'))
  await client.next('disconnect')
  t.equal(w.endpoint.connections, 1)
  await w.clock.pass(5001)
  t.equal(w.endpoint.connections, 0)
})

t.test('who asks without reading is cut before its answers pile up', async t => {
  const w = setup()
  const [near, far] = duplexPair({ allowHalfOpen: false })
  w.endpoint.take(far, { device: 'a' })
  near.write(encodePacket({ cmd: 'connect', protocolVersion: 5, clientId: '', clean: true, keepalive: 0 }))
  for (let i = 0; i < 200; i++) near.write(Buffer.alloc(2048, Buffer.of(0xc0, 0x00)))
  near.on('error', () => near.destroy())
  await once(far, 'close')
  t.ok(far.writableLength < 64 * 1024)
})

t.test('a device that takes nothing is cut at the bound of its queue', async t => {
  const w = setup()
  const { link } = await w.linked('a', 1, { properties: { receiveMaximum: 1 } })
  const frame = 'x'.repeat(FRAME_BYTES_MAX)
  for (let bytes = 0; bytes <= QUEUE_BYTES_MAX + frame.length; bytes += frame.length) link.connection.send(frame)
  await Promise.resolve()
  t.strictSame(link.closes, ['slow'])
})

t.test('a client that takes only small packets is told the frame does not fit', async t => {
  const { client, link } = await setup().linked('a', 0, { properties: { maximumPacketSize: 100 } })
  link.connection.send('x'.repeat(200))
  t.equal((await client.next('disconnect')).reasonCode, REASON.tooLarge)
  t.match(link.closes, [/takes no message of this size/])
})

t.test('a device that is no more is shown out; so is everybody when the server stops', async t => {
  const w = setup()
  const gone = await w.linked('a')
  const stays = await w.linked('b')
  w.endpoint.forget('a')
  t.equal((await gone.client.next('disconnect')).reasonCode, REASON.notAuthorized)
  w.endpoint.close()
  t.equal((await stays.client.next('disconnect')).reasonCode, REASON.shuttingDown)
  const late = w.dial()
  await late.closed
})

/** Lets everything that is under way arrive. */
const settle = async (t: Test, w: ReturnType<typeof setup>): Promise<void> => {
  const probe = await w.linked('b')
  probe.client.send({ cmd: 'pingreq' })
  t.ok(await probe.client.next('pingresp'))
}

t.test('no bytes a device can send hurt another one, or leave anything behind', async t => {
  const w = setup()
  const seeds = [
    encodePacket(publish(topic('up'), '{}', 1)),
    encodePacket({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: topic('head'), qos: 1 }] }),
    encodePacket({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [topic('head')] }),
    encodePacket({ cmd: 'pingreq' }),
  ]
  const bytes = fc
    .tuple(
      fc.array(fc.constantFrom(...seeds), { minLength: 1, maxLength: 5 }),
      fc.array(fc.tuple(fc.nat(500), fc.nat(255)), { maxLength: 5 }),
    )
    .map(([parts, damage]) => {
      const whole = Buffer.concat(parts)
      for (const [at, value] of damage) whole[at % whole.length] = value
      return whole
    })
  await fc.assert(
    fc.asyncProperty(bytes, fc.boolean(), async (bytes, greeted) => {
      const client = greeted ? (await w.linked('a')).client : w.dial()
      client.socket.write(bytes)
      client.socket.end()
      await client.closed
    }),
    { numRuns: 300 },
  )
  await settle(t, w)
  t.equal(w.endpoint.connections, 1)
})
