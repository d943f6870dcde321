import t from 'tap'
import { PRIORITIES, type Priority, QUEUE_BYTES_MAX, SEND_AHEAD_BYTES, SEND_LOOK_MS } from '../../../src/link/limits.ts'
import type { Connection } from '../../../src/link/link.ts'
import { createWriter } from '../../../src/link/writer.ts'
import { fc } from '../../property.ts'
import { manualClock } from './manual-clock.ts'

/** A transport that takes bytes when told. */
const slowPipe = () => {
  const sent: string[] = []
  const closed: string[] = []
  const state = { queuedBytes: 0 }
  const connection: Connection = {
    get queuedBytes() {
      return state.queuedBytes
    },
    onFrame: () => {},
    onClose: () => {},
    send(frame) {
      sent.push(frame)
      state.queuedBytes += frame.length
    },
    close: reason => void closed.push(reason),
  }
  const drain = (bytes: number): void => {
    const before = state.queuedBytes
    state.queuedBytes = Math.max(0, before - bytes)
    if (before > 0 && state.queuedBytes === 0) connection.onDrain?.()
  }
  return { connection, sent, closed, state, drain }
}

const frameOf = (priority: Priority, n: number, bytes: number): string => `${priority} ${n} `.padEnd(bytes, '.')

t.test('a report waits for what the transport holds and for no other bulk; control for nothing', async t => {
  const clock = manualClock()
  const { connection, sent, drain } = slowPipe()
  const writer = createWriter(connection, clock)
  for (let i = 0; i < 10; i++) writer.send(frameOf('bulk', i, 20_000), 'bulk')
  for (const priority of ['telemetry', 'events', 'status', 'control'] as const) writer.send(frameOf(priority, 0, 100), priority)
  t.strictSame(
    sent.map(frame => frame.split(' ')[0]),
    ['bulk', 'control'],
  )
  drain(100_000)
  t.strictSame(
    sent.map(frame => frame.split(' ')[0]),
    ['bulk', 'control', 'status', 'events', 'telemetry', 'bulk'],
  )
})

t.test('a transport that does not tell of its queue is looked at while frames wait, and only then', async t => {
  const clock = manualClock()
  const { connection, sent, state } = slowPipe()
  const writer = createWriter(connection, clock)
  for (let i = 0; i < 3; i++) writer.send(frameOf('bulk', i, 10_000), 'bulk')
  t.equal(clock.armed, 1)
  for (let i = 0; i < 3; i++) {
    state.queuedBytes = 0
    await clock.pass(SEND_LOOK_MS)
  }
  t.strictSame([sent.length, clock.armed], [3, 0])
})

t.test(
  'whatever is sent and taken: nothing is lost, a class stays in order, and no frame goes while a more important one waits',
  async () => {
    const step = fc.oneof(
      fc.record({ send: fc.constantFrom(...PRIORITIES), bytes: fc.integer({ min: 20, max: 30_000 }) }),
      fc.record({ drain: fc.nat(60_000) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const { connection, sent, state, drain } = slowPipe()
        const writer = createWriter(connection, manualClock())
        const given: string[] = []
        for (const s of steps) {
          if ('drain' in s) drain(s.drain)
          else {
            const frame = frameOf(s.send, given.length, s.bytes)
            given.push(frame)
            const waiting = given.filter(other => !sent.includes(other) && other !== frame)
            writer.send(frame, s.send)
            const overtook = waiting.some(other => PRIORITIES.indexOf(other.split(' ')[0] as Priority) <= PRIORITIES.indexOf(s.send))
            if (sent.includes(frame) && overtook && s.send !== 'control') return false
            // Beyond what it may have ahead of it the transport holds one frame at most, control aside.
            const held = state.queuedBytes - SEND_AHEAD_BYTES
            if (held > 30_000 + given.filter(other => other.startsWith('control')).join('').length) return false
          }
        }
        while (state.queuedBytes > 0) drain(1_000_000)
        const inOrder = (priority: Priority) => (frames: readonly string[]) => frames.filter(frame => frame.startsWith(priority)).join()
        return PRIORITIES.every(priority => inOrder(priority)(sent) === inOrder(priority)(given))
      }),
      { numRuns: 300 },
    )
  },
)

t.test('what waits beyond the bound closes the connection; at an ordered end all but bulk still goes', async t => {
  const over = slowPipe()
  const writer = createWriter(over.connection, manualClock())
  for (let i = 0; i < 200; i++) writer.send(frameOf('bulk', i, 20_000), 'bulk')
  t.strictSame(over.closed, ['slow'])
  t.ok(over.sent.join('').length <= QUEUE_BYTES_MAX)
  const last = slowPipe()
  const ending = createWriter(last.connection, manualClock())
  for (const priority of ['bulk', 'bulk', 'events', 'status'] as const) ending.send(frameOf(priority, 0, 10_000), priority)
  ending.end()
  ending.send('late', 'control')
  t.strictSame(
    last.sent.map(frame => frame.split(' ')[0]),
    ['bulk', 'status', 'events'],
  )
})
