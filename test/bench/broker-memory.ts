// `node --expose-gc test/bench/broker-memory.ts [devices]`: what a server keeps in memory for a device that is connected through a broker:
// hub, session and sealed conversation, each with a certificate of its own; the devices' own ends are dropped before it is measured.

import { createPrivateKey } from 'node:crypto'
import { systemPki } from '../../src/host/pki.ts'
import { systemRandom } from '../../src/host/random.ts'
import { createHub } from '../../src/link/hub.ts'
import { aliveBytes } from '../../src/link/transports/broker-alive.ts'
import { createBrokerDesk } from '../../src/link/transports/broker-desk.ts'
import { openingBytes, parseBrokerFrame } from '../../src/link/transports/broker-frames.ts'
import { brokerTopic, parseBrokerTopic } from '../../src/link/transports/broker-topics.ts'
import { digestOf, newEphemeral, sealKeys, signOpening } from '../../src/link/transports/seal.ts'
import { SealedConnection } from '../../src/link/transports/sealed.ts'
import { derOf, makeKeys, nodesOf, quietLog } from '../contract/broker-world.ts'

const [devices = 10_000] = process.argv.slice(2).map(Number)
const keys = makeKeys()
const nodes = nodesOf(keys)
const { cluster } = keys
/** Moves on with every device, so that each is admitted; timers are kept as a real clock keeps them, and never fire. */
const time = { ms: 0 }
const timers = new Set<() => void>()
const clock = {
  now: () => Date.UTC(2026, 10, 22) + time.ms,
  mono: () => time.ms,
  after(_: number, fn: () => void) {
    timers.add(fn)
    return () => void timers.delete(fn)
  },
  sleep: () => new Promise<void>(() => {}),
}
const hub = createHub({
  clock,
  random: systemRandom,
  log: quietLog,
  epoch: 'e1',
  sign: text => systemPki.sign(keys.head.privatePem, text),
  sha256: systemPki.sha256,
  render: device => ({
    document: {
      apiVersion: 'heliopause.io/v1',
      kind: 'DeviceDocument',
      device,
      podCIDR: '10.42.1.0/24',
      clusterCIDR: '10.42.0.0/16',
      pods: [],
      configMaps: [],
      secrets: [],
    },
    revision: 7,
  }),
  onStatus: async () => {},
  onEvents: async () => {},
  onContact: () => {},
  onRefused: () => {},
})

const answer: { up: ((payload: Uint8Array) => void) | undefined } = { up: undefined }
const desk = createBrokerDesk({
  clock,
  log: quietLog,
  cluster,
  sign: text => systemPki.sign(keys.head.privatePem, text),
  isNode: nodes.isNode,
  admit: nodes.admit,
  accept: (device, connection) => hub.accept(device, connection),
  publish(topic, payload) {
    if (parseBrokerTopic(cluster, topic)?.kind === 'down') answer.up?.(payload)
    return true
  },
})

const HELLO = {
  t: 'hello',
  v: 1,
  run: '11111111-2222-4333-8444-555555555555',
  seq: 1,
  head: null,
  statusDigest: '0'.repeat(32),
  terms: { profile: 'lan', bulk: false },
}

/** Comes in, says hello, takes its head as applied, and is forgotten by this side. */
const comeIn = (name: string): void => {
  const pair = keys.device(name)
  nodes.add(name, pair)
  const certificate = derOf(pair.certPem)
  const conversation = Buffer.alloc(8)
  conversation.writeDoubleBE(Number(name.slice(1)) + 1)
  const ephemeral = newEphemeral()
  const transcript = { cluster, device: name, conversation, deviceEphemeral: ephemeral.publicKey, certificateDigest: digestOf(certificate) }
  const say = (payload: Uint8Array): void => desk.take(brokerTopic(cluster, name, 'up'), payload, false)
  const end: { connection: SealedConnection | undefined } = { connection: undefined }
  answer.up = payload => {
    const frame = parseBrokerFrame(payload)
    if (frame?.is === 'sealed') end.connection?.receive(frame)
    if (frame?.is !== 'accept') return
    const keys = sealKeys(ephemeral.privateKey, frame.ephemeral, transcript, frame.ephemeral)
    end.connection = new SealedConnection(
      {
        clock,
        publish(_, sealed) {
          say(sealed)
          return true
        },
        proven: () => {},
        ended: () => {},
      },
      { device: name, conversation, keys, sends: 'up' },
    )
  }
  desk.take(brokerTopic(cluster, name, 'alive'), aliveBytes({ conversation, gone: false }), false)
  const signature = signOpening(createPrivateKey(pair.keyPem), transcript)
  say(openingBytes({ conversation, ephemeral: ephemeral.publicKey, certificate, digest: new Uint8Array(0), signature }))
  const { connection } = end
  if (!connection) throw new Error('not accepted')
  connection.send(JSON.stringify(HELLO))
  connection.send(JSON.stringify({ t: 'applied', epoch: 'e1', generation: 7 }))
  answer.up = undefined
  time.ms += 20
}

const measure = async (): Promise<{ readonly bytes: number; readonly rss: number }> => {
  // What native objects held is given back in a later turn.
  for (let i = 0; i < 5; i++) {
    globalThis.gc?.()
    await new Promise(resolve => setImmediate(resolve))
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  return { bytes: heapUsed + external, rss }
}

// The first pays for what is loaded and compiled once.
for (let i = 0; i < 200; i++) comeIn(`w${i}`)
const before = await measure()
for (let i = 200; i < 200 + devices; i++) comeIn(`w${i}`)
const after = await measure()
process.stdout.write(
  `${JSON.stringify({
    devices,
    connected: hub.connections,
    conversations: desk.conversations,
    heapBytesPerDevice: Math.round((after.bytes - before.bytes) / devices),
    residentBytesPerDevice: Math.round((after.rss - before.rss) / devices),
  })}\n`,
)
