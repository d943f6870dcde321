// The server's conversations at a broker, with devices that are honest, clumsy or hostile, and a broker that replays what it saw.

import { createPrivateKey } from 'node:crypto'
import t from 'tap'
import { systemPki } from '../../../../src/host/pki.ts'
import {
  BROKER_DEVICE_OPENINGS_BURST,
  BROKER_GAP_MS,
  BROKER_HINTS_BURST,
  BROKER_OPENINGS_BURST,
  BROKER_PROOF_MS,
} from '../../../../src/link/limits.ts'
import type { Connection } from '../../../../src/link/link.ts'
import { aliveBytes, parseAlive } from '../../../../src/link/transports/broker-alive.ts'
import { createBrokerDesk } from '../../../../src/link/transports/broker-desk.ts'
import { type Accept, openingBytes, parseBrokerFrame } from '../../../../src/link/transports/broker-frames.ts'
import { brokerTopic, parseBrokerTopic } from '../../../../src/link/transports/broker-topics.ts'
import { acceptText, digestOf, newEphemeral, sealKeys, signOpening, type Transcript } from '../../../../src/link/transports/seal.ts'
import { SealedConnection } from '../../../../src/link/transports/sealed.ts'
import { derOf, makeKeys, nodesOf, quietLog } from '../../../contract/broker-world.ts'
import { fc } from '../../../property.ts'
import { manualClock } from '../manual-clock.ts'

const keys = makeKeys()
const { cluster } = keys
const edge = keys.device('edge-1')

interface Sent {
  readonly device: string
  readonly kind: string
  readonly payload: Uint8Array
  readonly retain: boolean
}

const openDesk = () => {
  const clock = manualClock()
  const nodes = nodesOf(keys)
  nodes.add('edge-1', edge)
  const sent: Sent[] = []
  const accepted: { device: string; connection: Connection; frames: string[]; closes: string[] }[] = []
  const work = { admits: 0 }
  const desk = createBrokerDesk({
    clock,
    log: quietLog,
    cluster,
    sign: text => systemPki.sign(keys.head.privatePem, text),
    isNode: nodes.isNode,
    admit(device, certificate) {
      work.admits++
      nodes.admit(device, certificate)
    },
    accept(device, connection) {
      const one = { device, connection, frames: [] as string[], closes: [] as string[] }
      connection.onFrame = frame => void one.frames.push(frame)
      connection.onClose = reason => void one.closes.push(reason)
      accepted.push(one)
    },
    publish(topic, payload, options) {
      const to = parseBrokerTopic(cluster, topic)
      if (!to) throw new Error(`published to ${topic}`)
      sent.push({ ...to, payload, retain: options.retain === true })
      return true
    },
  })
  const say = (device: string, kind: 'up' | 'alive', payload: Uint8Array, retained = false): void =>
    desk.take(brokerTopic(cluster, device, kind), payload, retained)
  return { clock, nodes, sent, accepted, work, desk, say }
}
type Scene = ReturnType<typeof openDesk>

const counter = { last: 0 }
const newConversation = (): Uint8Array => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(++counter.last)
  return bytes
}

/** The opening of a device, and what it takes to go on. */
const opening = (pair = edge, device = 'edge-1', options: { conversation?: Uint8Array; byDigest?: boolean; key?: string } = {}) => {
  const ephemeral = newEphemeral()
  const certificate = derOf(pair.certPem)
  const conversation = options.conversation ?? newConversation()
  const transcript: Transcript = {
    cluster,
    device,
    conversation,
    deviceEphemeral: ephemeral.publicKey,
    certificateDigest: digestOf(certificate),
  }
  const none = new Uint8Array(0)
  const bytes = openingBytes({
    conversation,
    ephemeral: ephemeral.publicKey,
    certificate: options.byDigest ? none : certificate,
    digest: options.byDigest ? digestOf(certificate) : none,
    signature: signOpening(createPrivateKey(options.key ?? pair.keyPem), transcript),
  })
  return { bytes, transcript, ephemeral }
}

const downOf = (scene: Scene) => scene.sent.filter(({ kind }) => kind === 'down').map(({ payload }) => parseBrokerFrame(payload))
const hintsOf = (scene: Scene): string[] => downOf(scene).flatMap(frame => (frame?.is === 'hint' ? [frame.hint] : []))
const lastAccept = (scene: Scene): Accept | undefined => downOf(scene).findLast(frame => frame?.is === 'accept')

/** The device's end, once the server has answered. */
const answered = (scene: Scene, { transcript, ephemeral }: ReturnType<typeof opening>): SealedConnection => {
  const accept = lastAccept(scene)
  if (!accept || Buffer.compare(accept.conversation, transcript.conversation) !== 0) throw new Error('the server did not answer')
  if (!systemPki.verify(keys.head.publicPem, acceptText(transcript, accept.ephemeral), Buffer.from(accept.signature).toString('base64')))
    throw new Error('the answer is not signed')
  const sealing = sealKeys(ephemeral.privateKey, accept.ephemeral, transcript, accept.ephemeral)
  return new SealedConnection(
    {
      clock: scene.clock,
      publish(_, payload) {
        scene.say(transcript.device, 'up', payload)
        return true
      },
      proven: () => {},
      ended: () => {},
    },
    { device: transcript.device, conversation: transcript.conversation, keys: sealing, sends: 'up' },
  )
}

const converse = (scene: Scene): { first: ReturnType<typeof opening>; device: SealedConnection } => {
  const first = opening()
  scene.say('edge-1', 'up', first.bytes)
  const device = answered(scene, first)
  device.prove()
  return { first, device }
}

t.test('a device is handed to the hub when it has shown its keys, and not before', async t => {
  const scene = openDesk()
  const first = opening()
  scene.say('edge-1', 'up', first.bytes)
  t.equal(scene.accepted.length, 0, 'a signature could be replayed')
  const device = answered(scene, first)
  device.send('hello')
  t.strictSame(
    scene.accepted.map(({ device, frames }) => [device, frames]),
    [['edge-1', ['hello']]],
  )
  await scene.clock.pass(10 * BROKER_PROOF_MS)
  t.equal(scene.desk.conversations, 1)
  t.equal(scene.clock.armed, 0, 'an idle conversation has no timer')
})

t.test('an opening that is replayed does nothing to the conversation that lives, and is forgotten', async t => {
  const scene = openDesk()
  const { first, device } = converse(scene)
  const [live] = scene.accepted
  const earlier = opening()
  for (const again of [first, earlier, first, earlier]) scene.say('edge-1', 'up', again.bytes)
  device.send('still here')
  await scene.clock.pass(2 * BROKER_PROOF_MS)
  t.strictSame([scene.accepted.length, live?.frames, live?.closes, scene.desk.conversations], [1, ['still here'], [], 1])
  t.equal(scene.clock.armed, 0)
})

t.test('a newer conversation takes the place of the older as soon as it is proven', async t => {
  const scene = openDesk()
  const { device: older } = converse(scene)
  const { device: newer } = converse(scene)
  older.send('from the past')
  newer.send('now')
  t.strictSame(
    scene.accepted.map(({ frames }) => frames),
    [[], ['now']],
  )
})

t.test('who is not the device is refused: another key, another device, another authority, no node', async t => {
  const scene = openDesk()
  scene.nodes.add('edge-2', keys.device('edge-2'))
  const stranger = makeKeys()
  const tries: readonly [string, string, ReturnType<typeof opening>][] = [
    ['a certificate whose key it has not', 'edge-1', opening(edge, 'edge-1', { key: keys.device('edge-1').keyPem })],
    ['a certificate of the name and another key', 'edge-1', opening(keys.device('edge-1'))],
    ['its own certificate for another device', 'edge-2', opening(edge, 'edge-2')],
    ['an opening of its own on another device’s topic', 'edge-2', opening(edge, 'edge-1')],
    ['a certificate of another authority', 'edge-1', opening(stranger.device('edge-1'))],
  ]
  for (const [what, device, { bytes }] of tries) {
    const before = hintsOf(scene).length
    scene.say(device, 'up', bytes)
    t.strictSame(hintsOf(scene).slice(before), ['refused'], what)
  }
  scene.say('nobody', 'up', opening(keys.device('nobody'), 'nobody').bytes)
  t.strictSame([scene.accepted.length, lastAccept(scene), hintsOf(scene).length], [0, undefined, tries.length])
})

t.test('a certificate is sent once: afterwards its digest does, until the server forgets', async t => {
  const scene = openDesk()
  scene.say('edge-1', 'up', opening(edge, 'edge-1', { byDigest: true }).bytes)
  t.strictSame(hintsOf(scene), ['certificate wanted'])
  converse(scene)
  const second = opening(edge, 'edge-1', { byDigest: true })
  scene.say('edge-1', 'up', second.bytes)
  answered(scene, second).send('known')
  t.strictSame(scene.accepted[1]?.frames, ['known'])
  t.ok(second.bytes.length < 160, `${second.bytes.length} bytes`)
})

t.test('openings are judged at a bounded rate, of one device and of all', async t => {
  const scene = openDesk()
  for (let i = 0; i < 10 * BROKER_DEVICE_OPENINGS_BURST; i++) scene.say('edge-1', 'up', opening().bytes)
  t.equal(scene.work.admits, BROKER_DEVICE_OPENINGS_BURST)
  for (let i = 0; i < 100; i++) {
    const name = `other-${i}`
    const pair = keys.device(name)
    scene.nodes.add(name, pair)
    for (let n = 0; n < 8; n++) scene.say(name, 'up', opening(pair, name).bytes)
  }
  t.equal(scene.work.admits, BROKER_OPENINGS_BURST)
  t.ok(hintsOf(scene).length <= BROKER_HINTS_BURST, 'nor is each one answered')
})

t.test('a will ends the conversation it speaks of, and no other', async t => {
  const scene = openDesk()
  const { first: older } = converse(scene)
  const { first: newer } = converse(scene)
  scene.say('edge-1', 'alive', aliveBytes({ conversation: older.transcript.conversation, gone: true }))
  scene.say('edge-1', 'alive', Buffer.from('{"conversation":"zz","gone":true}'))
  scene.say('edge-1', 'alive', Buffer.from('['.repeat(2000)))
  t.equal(scene.desk.conversations, 1)
  scene.say('edge-1', 'alive', aliveBytes({ conversation: newer.transcript.conversation, gone: true }))
  t.equal(scene.desk.conversations, 0)
  await Promise.resolve()
  t.strictSame(scene.accepted[1]?.closes, ['the broker lost the device'])
})

t.test('the server tells the broker who is in which conversation, so that the thin line of the device need not', async t => {
  const scene = openDesk()
  const said = () => scene.sent.filter(({ kind, retain }) => kind === 'alive' && retain).map(({ payload }) => parseAlive(payload))
  const { first: older } = converse(scene)
  const { first: newer, device } = converse(scene)
  const of = ({ transcript: { conversation } }: typeof older, gone: boolean) => ({ conversation: Uint8Array.from(conversation), gone })
  t.strictSame(said(), [of(older, false), of(newer, false)])
  scene.say('edge-1', 'alive', aliveBytes(of(older, true)))
  t.strictSame(said().at(-1), of(newer, false), 'the will of the older one stood in its place')
  const before = said().length
  scene.say('edge-1', 'alive', aliveBytes(of(newer, false)))
  t.equal(said().length, before, 'its own word comes back to it, and is not answered')
  device.close('enough')
  t.strictSame(said().at(-1), of(newer, true))
  scene.say('edge-1', 'alive', aliveBytes(of(newer, true)))
  t.equal(said().length, before + 1)
})

t.test('what was lost while the server had no line to the broker is missed, though the device says no more', async t => {
  const scene = openDesk()
  const { device } = converse(scene)
  const [accepted] = scene.accepted
  const hear = (): void => {
    const last = downOf(scene).at(-1)
    if (last?.is === 'sealed') device.receive(last)
  }
  scene.desk.check()
  hear()
  await scene.clock.pass(2 * BROKER_GAP_MS)
  t.strictSame(accepted?.closes, [], 'nothing was lost, and nothing is said')
  const take = scene.desk.take
  scene.desk.take = () => {}
  device.send('lost')
  scene.desk.take = take
  await scene.clock.pass(2 * BROKER_GAP_MS)
  t.strictSame(accepted?.closes, [], 'nobody knows yet')
  scene.desk.check()
  hear()
  await scene.clock.pass(2 * BROKER_GAP_MS)
  t.strictSame([accepted?.frames, accepted?.closes], [[], ['the broker lost a message']])
})

t.test('a server that comes back tells those who wait that it knows nothing, so that they begin anew', async t => {
  const scene = openDesk()
  const { first } = converse(scene)
  const { conversation } = first.transcript
  const later = openDesk()
  later.say('edge-1', 'alive', aliveBytes({ conversation, gone: false }), true)
  t.strictSame(hintsOf(later), ['unknown'])
  // The same for what it goes on to say in that conversation; whatever else looks like one is not answered.
  const said = (id: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.of(3), id.subarray(0, 4), new Uint8Array(30)])
  later.say('edge-1', 'up', said(newConversation()))
  t.equal(hintsOf(later).length, 1)
  later.say('edge-1', 'up', said(conversation))
  t.strictSame(hintsOf(later), ['unknown', 'unknown'])
  // One that has just begun is left in peace.
  later.say('edge-1', 'alive', aliveBytes({ conversation: newConversation(), gone: false }), false)
  t.equal(hintsOf(later).length, 2)
})

t.test('of a node that is gone nothing stays: conversation, record, and what the broker keeps', async t => {
  const scene = openDesk()
  converse(scene)
  scene.nodes.remove('edge-1')
  scene.desk.forget('edge-1')
  t.equal(scene.desk.conversations, 0)
  const removed = scene.sent.filter(({ retain, payload }) => retain && payload.length === 0).map(({ kind }) => kind)
  t.strictSame(removed, ['alive', 'head'])
  scene.sent.length = 0
  scene.say('edge-1', 'alive', aliveBytes({ conversation: newConversation(), gone: true }), true)
  t.equal(scene.sent.length, 2, 'left from before this server came: removed too')
  scene.say('edge-1', 'alive', new Uint8Array(0))
  t.equal(scene.sent.length, 2, 'and its own removal is not answered')
})

t.test('the head the hub offers is kept at the broker', async t => {
  const scene = openDesk()
  converse(scene)
  scene.accepted[0]?.connection.retain?.('{"generation":7}')
  t.match(scene.sent.at(-1), { device: 'edge-1', kind: 'head', retain: true })
  const before = scene.sent.length
  scene.desk.retain('edge-1', '{"generation":7}')
  scene.desk.retain('nobody', '{"generation":7}')
  t.equal(scene.sent.length, before, 'not again, and not for devices that do not come this way')
  scene.desk.republish()
  t.equal(scene.sent.length, before + 1, 'but to a broker that forgot it')
  t.equal(scene.desk.isAway('edge-1'), false)
  scene.accepted[0]?.connection.close('gone')
  t.equal(scene.desk.isAway('edge-1'), true)
})

t.test('property: no bytes on any topic throw, make a connection or disturb one', async t => {
  const scene = openDesk()
  const { device } = converse(scene)
  const real = opening().bytes
  const payloads = fc.oneof(
    fc.uint8Array({ maxLength: 700 }),
    fc.tuple(fc.constantFrom(1, 2, 3, 4), fc.uint8Array({ maxLength: 700 })).map(([type, rest]) => Uint8Array.of(type, ...rest)),
    fc.tuple(fc.nat(real.length - 1), fc.nat(255)).map(([at, byte]) => real.map((old, i) => (i === at ? old ^ byte || 1 : old))),
  )
  const topics = fc.oneof(
    fc.constantFrom(
      ...(['up', 'alive', 'down', 'head'] as const).map(kind => brokerTopic(cluster, 'edge-1', kind)),
      `helio/v1/${cluster}/edge-1/up`,
      `helio/v1/${cluster}/system:node:+/up`,
      `helio/v1/${cluster}/system:node:system:node:edge-1/up`,
      `helio/v1/${cluster}/system:admin/up`,
    ),
    fc.string({ maxLength: 300 }),
  )
  fc.assert(
    fc.property(topics, payloads, fc.boolean(), (topic, payload, retained) => {
      scene.desk.take(topic, payload, retained)
      return scene.accepted.length === 1
    }),
    { numRuns: 500 },
  )
  device.send('undisturbed')
  t.strictSame(scene.accepted[0]?.frames, ['undisturbed'])
})

t.test('what devices say of themselves is read as it was written, and nothing else', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.boolean(), (conversation, gone) => {
      const parsed = parseAlive(aliveBytes({ conversation, gone }))
      return parsed !== undefined && parsed.gone === gone && Buffer.compare(parsed.conversation, conversation) === 0
    }),
  )
  for (const text of ['', '{}', '1234567', '123456789', '12345678\u0000\u0000', '{"conversation":"0102"}'])
    t.equal(parseAlive(Buffer.from(text)), undefined)
})
