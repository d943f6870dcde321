import { type Duplex, duplexPair } from 'node:stream'
import t from 'tap'
import { FRAME_BYTES_MAX, QUEUE_BYTES_MAX } from '../../../../src/link/limits.ts'
import {
  createDecoder,
  encodePacket,
  PACKET_BYTES_MAX,
  type Packet,
  PacketReader,
  REASON,
} from '../../../../src/link/transports/mqtt-packets.ts'
import { type MqttClientOptions, MqttRefusal, openMqttClient } from '../../../../src/link/transports/mqtt-wire.ts'
import { fc } from '../../../property.ts'

const never = new AbortController().signal
const OPTIONS: MqttClientOptions = {
  clientId: 'x',
  keepaliveSeconds: 0,
  sessionExpirySeconds: 0,
  subscriptions: [{ topic: 'down', qos: 0 }],
}

/** A server that answers each packet with what `answer` says. */
const serverOn = (socket: Duplex, answer: (packet: Packet) => readonly Packet[] | Buffer) => {
  const packets: Packet[] = []
  const reader = new PacketReader(
    createDecoder(),
    {
      onPacket(packet) {
        packets.push(packet)
        const answers = answer(packet)
        const bytes = Buffer.isBuffer(answers) ? answers : Buffer.concat(answers.map(encodePacket))
        if (bytes.length > 0) socket.write(bytes)
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
  return packets
}

const CONNACK: Packet = {
  cmd: 'connack',
  sessionPresent: false,
  reasonCode: 0,
  properties: { serverKeepAlive: 60, maximumPacketSize: 2 * FRAME_BYTES_MAX },
}
const SUBACK: Packet = { cmd: 'suback', messageId: 1, granted: [0] }
const message = (payload: string, more: Partial<Extract<Packet, { cmd: 'publish' }>> = {}): Packet => ({
  cmd: 'publish',
  topic: 'down',
  payload,
  qos: 0,
  dup: false,
  retain: false,
  ...more,
})

const dial = (answers: Partial<Record<Packet['cmd'], readonly Packet[] | Buffer>>, more: Partial<MqttClientOptions> = {}) => {
  const [near, far] = duplexPair({ allowHalfOpen: false })
  const packets = serverOn(far, packet => answers[packet.cmd] ?? [])
  return { near, far, packets, opened: openMqttClient(near, { ...OPTIONS, ...more }, never) }
}

const GOOD = { connect: [CONNACK], subscribe: [SUBACK] }

t.test('connects clean, says its bounds and its will, and subscribes in the same breath', async t => {
  const will = { topic: 'alive', payload: 'gone', qos: 1, retain: true, delaySeconds: 30 } as const
  const { opened, packets } = dial(GOOD, { will, keepaliveSeconds: 20.5, sessionExpirySeconds: 60 })
  const client = await opened
  t.match(packets, [
    {
      cmd: 'connect',
      clean: true,
      protocolVersion: 5,
      keepalive: 21,
      properties: { sessionExpiryInterval: 60, maximumPacketSize: PACKET_BYTES_MAX, receiveMaximum: 16 },
      will: { topic: 'alive', qos: 1, retain: true, properties: { willDelayInterval: 30 } },
    },
    { cmd: 'subscribe', subscriptions: [{ topic: 'down', qos: 0, rap: true }] },
  ])
  t.equal(client.serverKeepaliveSeconds, 60)
})

t.test('a message right behind the SUBACK is not lost, and is acknowledged when it asks for it', async t => {
  const { opened, far, packets } = dial({
    connect: [CONNACK],
    subscribe: [SUBACK, message('first'), message('second', { qos: 1, messageId: 5 })],
  })
  const client = await opened
  const got: string[] = []
  const all = new Promise<void>(resolve => {
    client.onMessage = ({ payload }) => {
      got.push(payload.toString())
      if (got.length === 3) resolve()
    }
  })
  await new Promise(setImmediate)
  far.write(encodePacket(message('third')))
  await all
  t.strictSame(got, ['first', 'second', 'third'])
  t.match(packets.at(-1), { cmd: 'puback', messageId: 5 })
})

t.test('a refusal is told in one line with its code', async t => {
  const no = { cmd: 'connack', sessionPresent: false, reasonCode: REASON.notAuthorized, properties: { reasonString: 'no\nnode' } } as const
  const error = await dial({ connect: [no] }).opened.catch((error: unknown) => error)
  t.ok(error instanceof MqttRefusal && error.reasonCode === REASON.notAuthorized)
  t.match(error, { message: 'the server refused (0x87): no' })
  const denied = dial({ connect: [CONNACK], subscribe: [{ ...SUBACK, granted: [REASON.notAuthorized] } as Packet] })
  await t.rejects(denied.opened, { message: 'the server refused a subscription (0x87)' })
  t.ok(denied.near.destroyed)
})

t.test('a dial that is given up ends its socket', async t => {
  const [near, far] = duplexPair()
  serverOn(far, () => [])
  const abort = new AbortController()
  const opened = openMqttClient(near, OPTIONS, abort.signal)
  abort.abort()
  await t.rejects(opened, { message: 'given up' })
  t.ok(near.destroyed)
})

const BREACHES: readonly [string, Packet | Buffer, RegExp][] = [
  ['QoS 2', message('x', { qos: 2, messageId: 1 }), /QoS 2/],
  ['an alias it never gave', message('x', { topic: '', properties: { topicAlias: 1 } }), /alias/],
  ['a CONNECT', { cmd: 'connect', protocolVersion: 5, clientId: 'x', clean: true, keepalive: 0 }, /connect from a server/],
  ['a PUBACK for nothing', { cmd: 'puback', messageId: 3, reasonCode: 0 }, /PUBACK for nothing/],
  ['a refusal of a message', { cmd: 'puback', messageId: 3, reasonCode: REASON.notAuthorized }, /refused a message \(0x87\)/],
  ['a SUBACK nobody waits for', SUBACK, /SUBACK/],
  ['a packet larger than agreed', Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f), /more than/],
  ['no packet', Buffer.of(0x00, 0x00), /malformed/],
  [
    'goodbye',
    { cmd: 'disconnect', reasonCode: REASON.shuttingDown, properties: { reasonString: 'the server stops' } },
    /^the server stops$/,
  ],
  ['goodbye without a word', { cmd: 'disconnect', reasonCode: REASON.shuttingDown }, /^closed by the other side \(0x8b\)$/],
]
for (const [what, sent, why] of BREACHES)
  t.test(`a server that sends ${what} ends the connection, with a reason told once`, async t => {
    const { opened, far } = dial(GOOD)
    const client = await opened
    const told: string[] = []
    const closed = new Promise<void>(resolve => {
      client.onClose = reason => {
        told.push(reason)
        resolve()
      }
    })
    await new Promise(setImmediate)
    far.write(Buffer.isBuffer(sent) ? sent : encodePacket(sent))
    await closed
    client.close('late')
    client.publish({ topic: 'up', payload: 'late', qos: 0 })
    t.equal(told.length, 1)
    t.match(told[0], why)
  })

t.test('a server that takes nothing, or takes only small packets, ends the connection', async t => {
  const slow = await dial({ ...GOOD, connect: [{ ...CONNACK, properties: { receiveMaximum: 1 } } as Packet] }).opened
  const reasons: string[] = []
  slow.onClose = reason => void reasons.push(reason)
  const payload = 'x'.repeat(FRAME_BYTES_MAX)
  for (let bytes = 0; bytes <= QUEUE_BYTES_MAX + payload.length; bytes += payload.length) slow.publish({ topic: 'up', payload, qos: 1 })
  const small = await dial({ ...GOOD, connect: [{ ...CONNACK, properties: { maximumPacketSize: 100 } } as Packet] }).opened
  small.onClose = reason => void reasons.push(reason)
  small.publish({ topic: 'up', payload, qos: 0 })
  await new Promise(setImmediate)
  t.match(reasons, ['slow', /takes no message of this size/])
})

t.test('no bytes of a server make a device throw, or wait for ever once the server is gone', async t => {
  const seeds = [CONNACK, SUBACK, message('{}', { qos: 1, messageId: 2 }), { cmd: 'pingresp' } as Packet].map(encodePacket)
  const bytes = fc
    .tuple(
      fc.array(fc.constantFrom(...seeds), { minLength: 1, maxLength: 6 }),
      fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 4 }),
    )
    .map(([parts, damage]) => {
      const whole = Buffer.concat(parts)
      for (const [at, value] of damage) whole[at % whole.length] = value
      return whole
    })
  const outcomes = new Set<string>()
  await fc.assert(
    fc.asyncProperty(bytes, async bytes => {
      const [near, far] = duplexPair({ allowHalfOpen: false })
      far.on('error', () => far.destroy())
      far.resume()
      const opened = openMqttClient(near, OPTIONS, never)
      far.end(bytes)
      const client = await opened.catch((error: unknown) => error)
      if (client instanceof Error) {
        outcomes.add('rejected')
        t.notMatch(client.message, /\n/)
        return
      }
      outcomes.add('opened')
      const open = client as Awaited<typeof opened>
      await new Promise<void>(resolve => {
        open.onClose = () => resolve()
      })
    }),
    { numRuns: 500 },
  )
  t.strictSame([...outcomes].sort(), ['opened', 'rejected'])
})
