import t from 'tap'
import { FRAME_BYTES_MAX, MQTT_CONNECT_BYTES_MAX, MQTT_INFLIGHT_MAX } from '../../../../src/link/limits.ts'
import { InboundAliases, Outbound } from '../../../../src/link/transports/mqtt-outbound.ts'
import {
  createDecoder,
  encodePacket,
  PACKET_BYTES_MAX,
  type Packet,
  PacketReader,
  REASON,
} from '../../../../src/link/transports/mqtt-packets.ts'
import { TOPIC_BYTES_MAX } from '../../../../src/link/transports/mqtt-topics.ts'
import { fc } from '../../../property.ts'

const sink = () => {
  const packets: Packet[] = []
  const faults: number[] = []
  return {
    packets,
    faults,
    onPacket(packet: Packet) {
      packets.push(packet)
      return true
    },
    onFault: (code: number) => void faults.push(code),
  }
}

const read = (chunks: readonly Uint8Array[], bytesMax = PACKET_BYTES_MAX) => {
  const into = sink()
  const reader = new PacketReader(createDecoder(), into, bytesMax)
  for (const chunk of chunks) reader.take(Buffer.from(chunk))
  return into
}

/** Cuts bytes at any places. */
const cutAt = (bytes: Buffer, places: readonly number[]): Buffer[] => {
  const ends = [...places.map(place => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}

const text = fc.string({ unit: 'binary-ascii', maxLength: 40 })
const id = fc.integer({ min: 1, max: 0xffff })
const packet: fc.Arbitrary<Packet> = fc.oneof(
  fc.record({
    cmd: fc.constant('publish' as const),
    topic: fc.stringMatching(/^[a-z/]{1,30}$/),
    payload: fc.uint8Array({ maxLength: 600 }).map(bytes => Buffer.from(bytes)),
    qos: fc.constantFrom(0 as const, 1 as const),
    dup: fc.constant(false),
    retain: fc.boolean(),
    messageId: id,
    properties: fc.record({ topicAlias: fc.integer({ min: 1, max: 9 }) }),
  }),
  fc.record({ cmd: fc.constant('puback' as const), messageId: id, reasonCode: fc.constantFrom(0, REASON.notAuthorized) }),
  fc.record({
    cmd: fc.constant('subscribe' as const),
    messageId: id,
    subscriptions: fc.array(fc.record({ topic: fc.stringMatching(/^[a-z/+#]{1,30}$/), qos: fc.constantFrom(0 as const, 1 as const) }), {
      minLength: 1,
      maxLength: 5,
    }),
  }),
  fc.record({ cmd: fc.constant('disconnect' as const), reasonCode: fc.constant(0), properties: fc.record({ reasonString: text }) }),
  fc.record({ cmd: fc.constant('pingreq' as const) }),
  fc.record({
    cmd: fc.constant('connect' as const),
    protocolVersion: fc.constant(5 as const),
    clientId: fc.stringMatching(/^[a-z]{0,20}$/),
    clean: fc.constant(true),
    keepalive: fc.nat(0xffff),
    will: fc.record({ topic: fc.stringMatching(/^[a-z/]{1,30}$/), payload: fc.constant(Buffer.from('x')), retain: fc.boolean() }),
  }),
)

/** What of a packet its other side sees. */
const seen = (packet: Packet): unknown => {
  if (packet.cmd === 'publish')
    return [
      packet.topic,
      Buffer.from(packet.payload as Buffer).toString('hex'),
      packet.qos,
      packet.retain,
      packet.qos ? packet.messageId : 0,
      packet.properties?.topicAlias,
    ]
  if (packet.cmd === 'subscribe') return packet.subscriptions.map(({ topic, qos }) => [topic, qos])
  if (packet.cmd === 'connect') return [packet.clientId, packet.keepalive, packet.will?.topic, packet.will?.retain]
  if (packet.cmd === 'disconnect') return packet.properties?.reasonString ?? ''
  return [packet.cmd, packet.messageId, packet.cmd === 'puback' ? packet.reasonCode : 0]
}

t.test('packets come out as they went in, however the stream is cut', async t => {
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 8 }), fc.array(fc.nat(4000), { maxLength: 12 }), (sent, places) => {
      const { packets, faults } = read(cutAt(Buffer.concat(sent.map(encodePacket)), places))
      t.strictSame([packets.map(seen), faults], [sent.map(seen), []])
    }),
  )
})

t.test('no bytes at all make the reader throw, tell a fault twice, or go on after one', async t => {
  const damaged = fc
    .tuple(fc.array(packet, { minLength: 1, maxLength: 4 }), fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { minLength: 1, maxLength: 6 }))
    .map(([sent, damage]) => {
      const bytes = Buffer.concat(sent.map(encodePacket))
      for (const [at, value] of damage) bytes[at % bytes.length] = value
      return bytes
    })
  const noise = fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes))
  const property = fc.property(fc.oneof(damaged, noise), fc.array(fc.nat(4000), { maxLength: 5 }), (bytes, places) => {
    const { faults, packets } = read([...cutAt(bytes, places), encodePacket({ cmd: 'pingreq' })])
    return faults.length <= 1 && packets.length <= bytes.length / 2 + 1
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 3000 }))
})

t.test('a length above the bound is a fault as soon as it is declared, and a length without an end is one too', async t => {
  t.strictSame(read([Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f)]).faults, [REASON.tooLarge])
  t.strictSame(read([Buffer.of(0x30, 0xff), Buffer.of(0xff, 0xff), Buffer.of(0xff)]).faults, [REASON.malformed])
  t.strictSame(
    read([Buffer.of(0x10, 0x80, 0x08)], MQTT_CONNECT_BYTES_MAX).faults,
    [REASON.tooLarge],
    'a CONNECT of 1024 bytes and a header',
  )
  t.strictSame(read([Buffer.of(0x10, 0x80, 0x07)], MQTT_CONNECT_BYTES_MAX).faults, [])
})

t.test('a frame of the greatest length fits, with the longest topic', async t => {
  const bytes = encodePacket({
    cmd: 'publish',
    topic: 'x'.repeat(TOPIC_BYTES_MAX),
    payload: 'x'.repeat(FRAME_BYTES_MAX),
    qos: 0,
    dup: false,
    retain: false,
  })
  const { packets, faults } = read([bytes])
  t.strictSame([packets.length, faults], [1, []])
})

t.test('a packet that comes byte by byte is kept in at most twice its bytes', async t => {
  const bytes = encodePacket({ cmd: 'publish', topic: 'x', payload: 'x'.repeat(100_000), qos: 0, dup: false, retain: false })
  const into = sink()
  const reader = new PacketReader(createDecoder(), into, PACKET_BYTES_MAX)
  const before = process.memoryUsage().arrayBuffers
  for (const byte of bytes.subarray(0, 90_000)) reader.take(Buffer.of(byte))
  t.ok(process.memoryUsage().arrayBuffers - before < 2_000_000)
  reader.take(bytes.subarray(90_000))
  t.equal(into.packets.length, 1)
})

t.test('a packet that ends short of its own fields does not read into the next one', async t => {
  const short = Buffer.of(0x30, 0x03, 0x00, 0x20, 0x61)
  const { packets, faults } = read([Buffer.concat([short, Buffer.alloc(64, 0x61)])])
  t.strictSame([packets, faults], [[], [REASON.malformed]])
})

const outbound = (bounds: Partial<ConstructorParameters<typeof Outbound>[0]> = {}) => {
  const into = sink()
  const reader = new PacketReader(createDecoder(), into, PACKET_BYTES_MAX)
  const out = new Outbound({ receiveMaximum: 100, topicAliasMaximum: 0, packetBytesMax: 1000, ...bounds }, bytes => reader.take(bytes))
  const published = () => into.packets.filter(packet => packet.cmd === 'publish')
  return { out, published }
}

t.test('no more messages of QoS 1 are under way than the other side takes; the rest follow in order as it acknowledges', async t => {
  const { out, published } = outbound({ receiveMaximum: 2 })
  for (let i = 0; i < 5; i++) t.ok(out.publish({ topic: 't', payload: `${i}`, qos: 1 }))
  t.ok(out.publish({ topic: 't', payload: 'last', qos: 0 }), 'QoS 0 does not overtake')
  t.strictSame([published().length, out.waitingBytes], [2, 7])
  t.notOk(out.acknowledged(99))
  for (let at = 0; at < 5; at++) t.ok(out.acknowledged(published()[at]!.messageId ?? 0))
  t.strictSame(
    published().map(({ payload }) => payload.toString()),
    ['0', '1', '2', '3', '4', 'last'],
  )
  t.equal(out.waitingBytes, 0)
  const wide = outbound({ receiveMaximum: 0xffff })
  for (let i = 0; i < 100; i++) wide.out.publish({ topic: 't', payload: '', qos: 1 })
  t.equal(wide.published().length, MQTT_INFLIGHT_MAX)
})

t.test('a topic is named once, then by its alias; the other side resolves it, and no alias that was not given', async t => {
  const { out, published } = outbound({ topicAliasMaximum: 1 })
  for (const topic of ['a', 'b', 'a', 'b']) out.publish({ topic, payload: '', qos: 0 })
  const aliases = new InboundAliases(1)
  t.strictSame(
    published().map(({ topic }) => topic),
    ['a', 'b', '', 'b'],
  )
  t.strictSame(
    published().map(({ topic, properties }) => aliases.resolve(topic, properties?.topicAlias)),
    ['a', 'b', 'a', 'b'],
  )
  for (const alias of [0, 2, [1, 1], '1', undefined]) t.equal(aliases.resolve('', alias), undefined)
  t.equal(new InboundAliases(1).resolve('', 1), undefined)
})

t.test('a message the other side takes no packet of is not sent', async t => {
  const { out, published } = outbound({ packetBytesMax: 50 })
  t.notOk(out.publish({ topic: 't', payload: 'x'.repeat(60), qos: 1 }))
  t.ok(out.publish({ topic: 't', payload: 'x', qos: 1 }))
  t.equal(published().length, 1)
})
