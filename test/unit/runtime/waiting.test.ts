import t from 'tap'
import { systemClock } from '../../../src/host/clock.ts'
import { quote } from '../../../src/runtime/exec-session.ts'
import { createInOrder } from '../../../src/runtime/in-order.ts'
import { parseStat, processStart, signalNumber } from '../../../src/runtime/process-table.ts'
import type { ContainerInfo } from '../../../src/runtime/runtime.ts'
import { createStopper } from '../../../src/runtime/stop.ts'

t.test('one thing at a time per key, keys beside each other, failures do not block', async t => {
  const inOrder = createInOrder()
  const trace: string[] = []
  const gate: { open?: () => void } = {}
  const opened = new Promise<void>(resolve => {
    gate.open = resolve
  })
  const first = inOrder.run('a', async () => {
    await opened
    trace.push('a1')
    throw new Error('first fails')
  })
  const second = inOrder.run('a', async () => trace.push('a2'))
  await inOrder.run('b', async () => trace.push('b'))
  gate.open?.()
  await t.rejects(first, /first fails/)
  await second
  await inOrder.idle()
  t.same(trace, ['b', 'a1', 'a2'])
  const last = inOrder.run('a', async () => trace.push('a3'))
  const closed = inOrder.close()
  await t.rejects(
    inOrder.run('a', async () => trace.push('late')),
    /closed/,
  )
  await Promise.all([last, closed])
  t.same(trace.slice(3), ['a3'], 'what was given before the end is done')
})

t.test('a stop asks, waits for the exit and does not kill', async t => {
  const trace: string[] = []
  const state = { running: true }
  const info = (): ContainerInfo => ({ id: 'x', state: state.running ? 'running' : 'exited' }) as ContainerInfo
  const stopper = createStopper({
    clock: systemClock,
    inspect: async () => info(),
    ask: async () => {
      trace.push('ask')
      state.running = false
      queueMicrotask(() => stopper.exited('x'))
    },
    kill: async () => void trace.push('kill'),
  })
  await stopper.stop('x', 60_000)
  await stopper.stop('x', 60_000)
  t.same(trace, ['ask'])
})

t.test('signals have names in many spellings', async t => {
  t.same(
    ['SIGQUIT', 'QUIT', 'sigquit', '3', undefined, '', 'SIGNONSENSE', 'SIGRTMIN+3', '99'].map(signalNumber),
    [3, 3, 3, 3, 15, 15, 15, 37, 15],
  )
})

t.test('a process is known by its start time, whatever its name', async t => {
  const stat = parseStat(`42 (a) b (c) S 7 ${'0 '.repeat(17)}12345 0`)
  t.same(stat, { pid: 42, state: 'S', parent: 7, group: 0, pidStart: '12345' })
  t.ok(processStart(process.pid))
  t.equal(processStart(0x3fffffff), undefined)
})

t.test('a word stays one word for a shell', async t => {
  t.equal(quote("it's"), "'it'\\''s'")
})
