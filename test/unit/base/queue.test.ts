// The work queue: one key is never in work twice, nothing added is forgotten.

import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { createQueue } from '../../../src/base/queue.ts'
import { seededRandom } from '../../../src/base/random.ts'

const fakeTime = () => {
  const timers: { atMs: number; fn: () => void; live: boolean }[] = []
  const time = { ms: 0 }
  const clock: Pick<Clock, 'mono' | 'after'> = {
    mono: () => time.ms,
    after(delayMs, fn) {
      const timer = { atMs: time.ms + delayMs, fn, live: true }
      timers.push(timer)
      return () => {
        timer.live = false
      }
    },
  }
  const advance = (ms: number): void => {
    time.ms += ms
    for (const timer of timers.filter(x => x.live && x.atMs <= time.ms).sort((a, b) => a.atMs - b.atMs)) {
      timer.live = false
      timer.fn()
    }
  }
  return { clock, advance, pending: () => timers.filter(x => x.live).length }
}

const setup = () => {
  const time = fakeTime()
  const woken = { count: 0 }
  const queue = createQueue({ clock: time.clock, random: seededRandom('queue'), wake: () => void woken.count++ })
  return { ...time, queue, woken }
}

t.test('deduplicates waiting keys and wakes once', async t => {
  const { queue, woken } = setup()
  queue.add('a')
  queue.add('a')
  queue.add('b')
  t.equal(queue.length, 2)
  t.equal(woken.count, 1)
  t.equal(queue.take(), 'a')
  t.equal(queue.take(), 'b')
  t.equal(queue.take(), undefined)
})

t.test('a key added while in work runs once more, afterwards', async t => {
  const { queue } = setup()
  queue.add('a')
  queue.take()
  queue.add('a')
  queue.add('a')
  t.equal(queue.take(), undefined, 'not while it is in work')
  queue.done('a')
  t.equal(queue.take(), 'a')
  queue.done('a')
  t.equal(queue.take(), undefined)
})

t.test('of two delays of one key the nearer wins', async t => {
  const { queue, advance, pending } = setup()
  queue.addAfter('a', 100)
  queue.addAfter('a', 10)
  queue.addAfter('a', 500)
  t.equal(pending(), 1)
  advance(10)
  t.equal(queue.take(), 'a')
})

t.test('failures back off further each time, until forgotten', async t => {
  const { queue, advance } = setup()
  const waits: number[] = []
  for (let round = 0; round < 12; round++) {
    queue.addFailed('a')
    const before = waits.length
    for (let ms = 0; ms < 130_000 && waits.length === before; ms += 10) {
      advance(10)
      if (queue.take()) waits.push(ms + 10)
    }
    queue.done('a')
  }
  t.equal(waits.length, 12)
  t.ok(Math.max(...waits.slice(8)) > Math.max(...waits.slice(0, 3)), 'later waits are longer')
  t.ok(Math.max(...waits) <= 60_020, 'the cap holds')
})

t.test('close stops every timer', async t => {
  const { queue, pending } = setup()
  queue.addAfter('a', 10)
  queue.close()
  t.equal(pending(), 0)
})
