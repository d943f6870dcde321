// `node --expose-gc link-memory-room.ts COUNT`: one hub with so many devices, each greeted, with its document applied and its status taken.
// The devices' own side is no more than a callback, so that what stays in this process is the server's. Tells what a device costs.

import type { Clock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { systemClock } from '../../src/host/clock.ts'
import { systemPki } from '../../src/host/pki.ts'
import { systemRandom } from '../../src/host/random.ts'
import type { Connection, DeviceFrame, Hub, ServerFrame } from '../../src/link/link.ts'
import { createHub } from '../../src/link/transports/index.ts'

export interface Room {
  readonly rssKb: number
  readonly heapKb: number
  readonly externalKb: number
  readonly rssMb: number
  readonly seconds: number
}

/** Devices a second the server is made to believe in: within its rates of openings, admissions and whole statuses. */
const PER_SECOND = 40
const DIGEST = '0'.repeat(32)
const STATUS = {
  capacity: { cpu: '4', memory: '4Gi', pods: '50' },
  conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'fake', lastTransitionTime: '2026-01-01T00:00:00Z' }],
}

/** Real timers, and a monotonic clock that is put ahead: no bucket is ever empty. */
const ahead = { ms: 0 }
const clock: Clock = { ...systemClock, mono: () => systemClock.mono() + ahead.ms }

const headKey = systemPki.createSigningKey()
const hub: Hub = createHub({
  clock,
  random: systemRandom,
  log: silentLog,
  epoch: 'e1',
  sign: text => systemPki.sign(headKey.privatePem, text),
  sha256: systemPki.sha256,
  render: device => ({
    revision: 7,
    document: {
      ...{ apiVersion: 'heliopause.io/v1', kind: 'DeviceDocument', device },
      ...{ podCIDR: '10.42.3.0/24', clusterCIDR: '10.42.0.0/16', pods: [], configMaps: [], secrets: [] },
    },
  }),
  onStatus: () => Promise.resolve(),
  onEvents: () => Promise.resolve(),
  onContact: () => {},
  onRefused: (device, why) => fail(`${device}: ${why}`),
})

const fail = (why: string): never => {
  process.stderr.write(`memory: ${why}\n`)
  process.exit(1)
}

const say = (connection: Pick<Connection, 'send'>, frame: DeviceFrame): void => connection.send(JSON.stringify(frame))
const hello: DeviceFrame = { t: 'hello', v: 1, run: 'r1', seq: 1, head: null, statusDigest: DIGEST, terms: { profile: 'lan', bulk: true } }

/** What a device without a mind of its own answers; true when it is in sync. */
const answer = (connection: Pick<Connection, 'send'>, text: string): boolean => {
  const frame = JSON.parse(text) as ServerFrame
  if (frame.t === 'welcome' && frame.needStatus !== 'all') fail(`it was to send ${frame.needStatus}`)
  if (frame.t === 'welcome') {
    if (frame.head) say(connection, { t: 'applied', epoch: frame.head.epoch, generation: frame.head.generation })
    say(connection, { t: 'status', seq: 1, whole: true, digest: DIGEST, items: [{ key: 'node', value: STATUS }] })
  }
  if (frame.t === 'busy') fail('the server is busy')
  return frame.t === 'statusAck'
}

/** The server's end of a connection that is nothing but a hub's callback. */
const memoryEnd = (inSync: () => void): Connection => {
  const end: Connection = {
    onFrame: () => {},
    onClose: () => {},
    queuedBytes: 0,
    send(frame) {
      if (answer(device, frame)) inSync()
    },
    close: reason => fail(reason),
  }
  const device = { send: (frame: string): void => queueMicrotask(() => end.onFrame(frame)) }
  return end
}

const openMemory = (name: string): Promise<void> =>
  new Promise(resolve => {
    const state = { inSync: resolve as (() => void) | undefined }
    const end = memoryEnd(() => {
      state.inSync?.()
      state.inSync = undefined
    })
    hub.accept(name, end)
    end.onFrame(JSON.stringify(hello))
  })

const measured = () => {
  for (let i = 0; i < 3; i++) (globalThis as { gc?: () => void }).gc?.()
  return process.memoryUsage()
}

const count = Number(process.argv[2])
// What code and first use cost is not a device's.
const WARM_UP = 200
const open = (i: number): Promise<void> => {
  ahead.ms += 1000 / PER_SECOND
  return openMemory(`device-${i}`)
}
for (let i = 0; i < WARM_UP; i++) await open(i)
const before = measured()
const startMs = performance.now()
for (let i = 0; i < count; i++) await open(WARM_UP + i)
const seconds = (performance.now() - startMs) / 1000
const after = measured()
if (hub.connections !== WARM_UP + count) fail(`${hub.connections} are connected`)
const perDevice = (key: 'rss' | 'heapUsed' | 'external'): number => (after[key] - before[key]) / count / 1024
const room: Room = {
  rssKb: perDevice('rss'),
  heapKb: perDevice('heapUsed'),
  externalKb: perDevice('external'),
  rssMb: after.rss / 2 ** 20,
  seconds,
}
process.stdout.write(`${JSON.stringify(room)}\n`, () => process.exit(0))
