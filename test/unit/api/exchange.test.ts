// An answer goes out no faster than it is read, and not for ever to a client that does not read.

import { Writable } from 'node:stream'
import t from 'tap'
import { writeBuffers } from '../../../src/api/exchange.ts'
import { WRITE_CHUNK_BYTES, WRITE_STALL_MS_MAX } from '../../../src/api/limits.ts'

/** Timers that fire when told. */
const handClock = () => {
  const timers = new Set<() => void>()
  const asked: number[] = []
  return {
    asked,
    fire: () => [...timers].forEach(fn => void fn()),
    pending: () => timers.size,
    after(ms: number, fn: () => void) {
      asked.push(ms)
      timers.add(fn)
      return () => void timers.delete(fn)
    },
  }
}

t.test('a client that reads gets every byte, in order, and no timer stays', async t => {
  const clock = handClock()
  const got: Buffer[] = []
  const stream = new Writable({
    highWaterMark: 1,
    write(chunk, _encoding, done) {
      got.push(chunk)
      setImmediate(done)
    },
  })
  const buffers = [Buffer.alloc(10, 'a'), Buffer.alloc(WRITE_CHUNK_BYTES * 2 + 5, 'b'), Buffer.alloc(0), Buffer.alloc(3, 'c')]
  await writeBuffers(stream, buffers, { clock, cut: () => t.fail('cut') })
  t.ok(Buffer.concat(got).equals(Buffer.concat(buffers)))
  t.ok(
    got.every(piece => piece.length <= WRITE_CHUNK_BYTES * 2),
    'in pieces',
  )
  t.equal(clock.pending(), 0)
})

t.test('a client that does not read is cut off, in the middle or before the last byte', async t => {
  for (const bytes of [WRITE_CHUNK_BYTES * 3, 10]) {
    const clock = handClock()
    const stream = new Writable({ highWaterMark: 1, write: () => undefined })
    const written = writeBuffers(stream, [Buffer.alloc(bytes)], { clock, cut: () => stream.destroy() })
    t.same(clock.asked, [WRITE_STALL_MS_MAX])
    clock.fire()
    await written
    t.ok(stream.destroyed)
  }
})
