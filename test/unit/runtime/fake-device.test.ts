import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { createFakeDevice, type FakeProfile, type StartResult } from '../../../src/runtime/fake-device.ts'
import type { ContainerSpec, SandboxSpec } from '../../../src/runtime/runtime.ts'

/** Virtual time: `pass` runs what falls due, in order. */
const virtualClock = () => {
  const state = { nowMs: 0, seq: 0 }
  const due: { atMs: number; seq: number; fn: () => void }[] = []
  const clock: Clock = {
    now: () => state.nowMs,
    mono: () => state.nowMs,
    after(delayMs, fn) {
      const entry = { atMs: state.nowMs + delayMs, seq: state.seq++, fn }
      due.push(entry)
      return () => void (due.includes(entry) && due.splice(due.indexOf(entry), 1))
    },
    sleep: delayMs => new Promise(resolve => clock.after(delayMs, resolve)),
  }
  const pass = (ms: number): void => {
    const end = state.nowMs + ms
    for (;;) {
      const next = due.filter(entry => entry.atMs <= end).sort((a, b) => a.atMs - b.atMs || a.seq - b.seq)[0]
      if (next === undefined) break
      due.splice(due.indexOf(next), 1)
      state.nowMs = next.atMs
      next.fn()
    }
    state.nowMs = end
  }
  return { clock, pass }
}

const sandbox = { uid: 'u', hostNetwork: false } as SandboxSpec
const spec = (name: string): ContainerSpec =>
  ({ podUid: 'u', name, attempt: 0, init: false, image: 'i', imageID: 'd', logPath: '/l' }) as ContainerSpec
const wild: FakeProfile = {
  startMs: [50, 90],
  stopMs: [5, 50],
  startFailurePerMille: 200,
  crashPerMille: 500,
  crashAfterMs: [10, 1000],
  hangPerMille: 300,
}

const live = (seed: string): string => {
  const { clock, pass } = virtualClock()
  const device = createFakeDevice({ clock, random: seededRandom(seed), profile: wild })
  const trace: string[] = []
  device.onExit(info => trace.push(`${clock.now()} exit ${info.id} ${info.exit?.exitCode}`))
  device.createSandbox(sandbox)
  for (let i = 0; i < 30; i++)
    device.start(spec(`c${i}`), result => trace.push(`${clock.now()} ${'info' in result ? result.info.id : result.error}`))
  pass(500)
  for (const { id } of device.inspect().containers) device.stop(id, 40, () => trace.push(`${clock.now()} stopped ${id}`))
  pass(5000)
  return trace.join('\n')
}

t.test('the same seed gives the same life, another seed another', async t => {
  t.equal(live('a'), live('a'))
  t.not(live('a'), live('b'))
  t.match(live('a'), 'refused')
  t.match(live('a'), / 137$/m, 'some had to be killed')
  t.match(live('a'), / exit u_c\d+_0 1$/m, 'some crashed')
})

t.test('nothing happens before its time', async t => {
  const { clock, pass } = virtualClock()
  const device = createFakeDevice({ clock, random: seededRandom('x') })
  device.createSandbox(sandbox)
  const results: StartResult[] = []
  device.start(spec('a'), result => results.push(result))
  t.same([results, device.inspect().containers], [[], []])
  pass(100)
  t.match(results, [{ info: { state: 'running', id: 'u_a_0' } }])
})

t.test('an agent that crashes loses no container that ran; a reboot loses all', async t => {
  const { clock, pass } = virtualClock()
  const device = createFakeDevice({ clock, random: seededRandom('x') })
  device.createSandbox(sandbox)
  const heard: string[] = []
  device.onExit(info => heard.push(info.id))
  device.start(spec('a'), () => {})
  pass(100)
  for (let i = 0; i < 20; i++) device.start(spec(`half${i}`), () => t.fail('nobody is there to be told'))
  device.crashAgent()
  pass(100)
  const { containers } = device.inspect()
  t.ok(containers.length > 1 && containers.length < 21, 'some of the starts under way took place')
  t.equal(containers.find(info => info.name === 'a')?.state, 'running')
  device.reboot()
  t.same(device.inspect().sandboxes, [])
  for (const info of device.inspect().containers) t.match(info.exit, { unknown: true })
  t.same(heard, [], 'the dead agent heard nothing')
})
