// Time on machines that wake up in 1970: never earlier than what is certain, never made certain by the machine's own clock.

import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { clockWithFloor } from '../../../src/base/clock-floor.ts'
import { fc } from '../../property.ts'

const BUILT = Date.parse('2026-11-01T00:00:00Z')
const DAY = 86_400_000

const machine = (wallMs: number) => {
  const at = { wallMs, monoMs: 5 }
  const clock: Clock = {
    now: () => at.wallMs,
    mono: () => at.monoMs,
    after: () => () => undefined,
    sleep: () => Promise.resolve(),
  }
  return {
    at,
    clock,
    pass(ms: number) {
      at.wallMs += ms
      at.monoMs += ms
    },
  }
}

t.test('a clock at 1970 counts on from the time of the build, and says that it is wrong', t => {
  const m = machine(0)
  const clock = clockWithFloor(m.clock, BUILT)
  t.equal(clock.now(), BUILT)
  m.pass(3000)
  t.equal(clock.now(), BUILT + 3000)
  t.match(clock.complaint(), /shows 1970-01-01T00:00:03Z, at least 2026-11-01T00:00:03Z is certain/)
  t.end()
})

t.test('a right clock is used as it is', t => {
  const m = machine(BUILT + 100 * DAY)
  const clock = clockWithFloor(m.clock, BUILT)
  t.equal(clock.now(), BUILT + 100 * DAY)
  t.equal(clock.complaint(), undefined)
  t.equal(clock.floor(), BUILT, 'what it shows is not certain')
  t.end()
})

t.test('signed time is the floor from then on, and a far future is told', t => {
  const m = machine(BUILT + 900 * DAY)
  const clock = clockWithFloor(m.clock, BUILT)
  clock.told(BUILT + 10 * DAY)
  m.pass(1000)
  t.equal(clock.floor(), BUILT + 10 * DAY + 1000)
  t.match(clock.complaint(), /890 days ahead of the server’s/)
  t.end()
})

t.test('a server that was wrong for a while does not leave its devices in the future', t => {
  const m = machine(0)
  const clock = clockWithFloor(m.clock, BUILT)
  clock.told(BUILT + 5000 * DAY)
  t.equal(clock.now(), BUILT + 5000 * DAY)
  clock.told(BUILT + 20 * DAY)
  t.equal(clock.now(), BUILT + 20 * DAY)
  clock.told(0)
  t.equal(clock.now(), BUILT, 'never before the build')
  t.end()
})

t.test('the time kept from an earlier run only ever raises', t => {
  const m = machine(0)
  const clock = clockWithFloor(m.clock, BUILT)
  clock.raise(BUILT + 7 * DAY)
  clock.raise(BUILT - 7 * DAY)
  clock.raise(Number.NaN)
  t.equal(clock.now(), BUILT + 7 * DAY)
  t.end()
})

t.test('whatever the wall clock does: never below the floor, and the floor goes with the monotonic clock', t => {
  const step = fc.oneof(
    fc.record({ pass: fc.integer({ min: 0, max: 1000 * DAY }) }),
    fc.record({ set: fc.integer({ min: 0, max: BUILT * 3 }) }),
    fc.record({ told: fc.integer({ min: 0, max: BUILT * 3 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const m = machine(0)
      const clock = clockWithFloor(m.clock, BUILT)
      for (const each of steps) {
        const floor = clock.floor()
        if ('pass' in each) {
          m.pass(each.pass)
          if (clock.floor() !== floor + each.pass) return false
        } else if ('set' in each) {
          m.at.wallMs = each.set
          if (clock.floor() !== floor) return false
        } else {
          clock.told(each.told)
          if (Math.abs(clock.floor() - Math.max(BUILT, each.told)) > DAY) return false
        }
        if (clock.now() < clock.floor() || clock.now() < m.at.wallMs || clock.floor() < BUILT) return false
      }
      return true
    }),
  )
  t.end()
})
