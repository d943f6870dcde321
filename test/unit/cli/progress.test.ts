import { PassThrough } from 'node:stream'
import t from 'tap'
import { openOutput } from '../../../src/cli/output.ts'
import { bytesText, openProgress } from '../../../src/cli/progress.ts'

/** Time by hand: timers run when they become due. */
const handClock = () => {
  const timers = new Set<{ at: number; fn: () => void }>()
  const state = { now: 0 }
  return {
    mono: () => state.now,
    after(delayMs: number, fn: () => void) {
      const timer = { at: state.now + delayMs, fn }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    advance(ms: number) {
      state.now += ms
      for (const timer of [...timers]) {
        if (timer.at > state.now) continue
        timers.delete(timer)
        timer.fn()
      }
    },
  }
}

const screen = (isTTY: boolean) => {
  const stderr = Object.assign(new PassThrough(), { isTTY, columns: 40 })
  const state = { text: '' }
  stderr.on('data', chunk => {
    state.text += String(chunk)
  })
  const output = openOutput({ stdout: new PassThrough(), stderr, env: {} })
  return { output, state }
}

t.test('nothing is shown for what takes less than a second', async t => {
  const { output, state } = screen(true)
  const clock = handClock()
  const progress = openProgress(output, clock)
  progress.show('working')
  clock.advance(900)
  progress.done()
  clock.advance(5000)
  t.equal(state.text, '')
})

t.test('on a terminal one line is rewritten, cut to its width, and removed at the end', async t => {
  const { output, state } = screen(true)
  const clock = handClock()
  const progress = openProgress(output, clock)
  progress.show('one')
  clock.advance(1000)
  t.equal(state.text, 'one')
  progress.show('two')
  t.equal(state.text, 'one\r\x1b[Ktwo')
  progress.show('x'.repeat(100))
  t.ok(state.text.endsWith(`${'x'.repeat(38)}…`))
  progress.done()
  t.ok(state.text.endsWith('\r\x1b[K'))
})

t.test('elsewhere plain lines are printed, seldom', async t => {
  const { output, state } = screen(false)
  const clock = handClock()
  const progress = openProgress(output, clock)
  progress.show('one')
  clock.advance(1000)
  progress.show('two')
  clock.advance(10_000)
  progress.show('three')
  progress.done()
  t.equal(state.text, 'one\nthree\n')
})

t.test('sizes are short', async t => {
  t.same([0, 999, 1000, 1234, 56_789, 4_300_000, 123_456_789, 2.5e9].map(bytesText), [
    '0B',
    '999B',
    '1kB',
    '1.23kB',
    '56.8kB',
    '4.3MB',
    '123MB',
    '2.5GB',
  ])
})
