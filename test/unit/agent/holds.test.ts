// Held pods: stopped and kept so against everything but their lifting; afterwards the device runs what is desired again.

import t from 'tap'
import { fc } from '../../property.ts'
import { container, document, type Model, openModel, pod } from './model.ts'

const LONG = 900_000
const LIFTED = 'heliopause.io/hold-lifted'
const holdIn = (m: Model, name: string) => m.reports.get(`hold/uid-${name}`) as { readonly id: string; readonly by: string } | undefined

const started = (...pods: ReturnType<typeof pod>[]): Model => {
  const m = openModel()
  m.give(document(pods))
  m.run(1000)
  m.asked()
  return m
}

t.test('a held pod is stopped gracefully, keeps its address, and says who holds it', async t => {
  const m = started(pod('a'), pod('b'))
  m.hold('a', 'a hand is in the machine')
  m.run(1000)
  t.same(m.asked(), ['stopContainer a main'])
  t.same(m.running(), ['b/main#0'])
  const status = m.status('a')
  t.equal(status.phase, 'Running', 'as of a pod whose container waits to run again')
  t.equal(status.podIP, '10.42.3.2')
  t.match(m.containerStatus('a'), { ready: false, state: { waiting: { reason: 'Held' } }, lastState: { terminated: { exitCode: 143 } } })
  t.match(
    status.conditions?.find(c => c.type === 'Ready'),
    { status: 'False', reason: 'Held', message: 'held by root since 2026-11-22T10:00:00Z: a hand is in the machine' },
  )
  t.match(holdIn(m, 'a'), { namespace: 'default', name: 'a', uid: 'uid-a', by: 'root', reason: 'a hand is in the machine' })
  m.run(100 * LONG)
  t.same(m.asked(), [], 'and stays so')
})

t.test('a hold outlives agent restarts, reboots and documents with another image', async t => {
  const m = started(pod('a'))
  m.hold('a')
  m.run(1000)
  m.restart()
  m.run(LONG)
  m.reboot()
  m.run(LONG)
  m.give(document([pod('a', { containers: [container('main', { image: 'app:2' })] })]))
  m.run(LONG)
  t.same(m.running(), [])
  t.notOk(m.asked().some(step => step.startsWith('startContainer')))
  t.ok(holdIn(m, 'a'), 'told again in each run of the agent')
  m.lift('a')
  m.run(1000)
  t.equal(m.running().length, 1)
  t.equal(m.containerStatus('a').image, 'app:2')
  t.equal(holdIn(m, 'a'), undefined)
  t.same(m.holds, [], 'nothing of it is left on disk')
})

t.test('a lifted pod starts at once, though it was in a crash loop', async t => {
  const m = started(pod('a'))
  for (let i = 0; i < 6; i++) {
    m.exit('a', 'main')
    m.run(LONG / 2)
  }
  m.exit('a', 'main')
  m.run(10)
  t.equal(m.containerStatus('a').state?.waiting?.reason, 'CrashLoopBackOff')
  m.hold('a')
  m.run(10)
  t.equal(m.containerStatus('a').state?.waiting?.reason, 'Held')
  m.lift('a')
  m.run(100)
  t.equal(m.running().length, 1)
})

t.test('a job that was held runs again when lifted; it has not finished', async t => {
  for (const crash of [false, true]) {
    const m = started(pod('a', { restartPolicy: 'Never' }))
    m.hold('a')
    m.run(1000)
    m.restart()
    m.run(1000)
    t.equal(m.status('a').phase, 'Running')
    m.lift('a')
    if (crash) m.restart()
    m.run(1000)
    t.same(m.running(), ['a/main#1'], crash ? 'the agent ended between lifting and starting' : 'lifted')
    m.exit('a', 'main', { exitCode: 0 })
    m.run(1000)
    t.equal(m.status('a').phase, 'Succeeded')
    t.same(m.holds, [])
  }
})

t.test('what had finished before the hold does not run again', async t => {
  const m = started(
    pod('a', { restartPolicy: 'OnFailure', initContainers: [container('init')], containers: [container('one'), container('two')] }),
  )
  m.exit('a', 'init', { exitCode: 0 })
  m.run(1000)
  m.exit('a', 'one', { exitCode: 0 })
  m.run(1000)
  m.hold('a')
  m.run(1000)
  t.equal(m.containerStatus('a', 'one').state?.terminated?.exitCode, 0)
  t.equal(m.containerStatus('a', 'init').state?.terminated?.exitCode, 0)
  t.equal(m.containerStatus('a', 'two').state?.waiting?.reason, 'Held')
  m.lift('a')
  m.run(1000)
  t.same(m.running(), ['a/two#1'])
})

t.test('sidecars are stopped after the others', async t => {
  const m = started(pod('a', { initContainers: [container('side', { restartPolicy: 'Always' })], containers: [container()] }))
  m.hold('a')
  m.run(1000)
  t.same(m.asked(), ['stopContainer a main', 'stopContainer a side'])
  m.lift('a')
  m.run(1000)
  t.same(m.running(), ['a/main#1', 'a/side#1'])
})

t.test('the document lifts exactly the hold it names', async t => {
  const m = started(pod('a'))
  m.hold('a')
  m.run(1000)
  m.give(document([pod('a', {}, { annotations: { [LIFTED]: 'an older one' } })]))
  m.run(1000)
  t.same(m.running(), [])
  const lifted = document([pod('a', {}, { annotations: { [LIFTED]: holdIn(m, 'a')?.id ?? '' } })])
  m.give(lifted)
  m.run(1000)
  t.same(m.running(), ['a/main#1'])
  t.equal(holdIn(m, 'a'), undefined)
  m.hold('a')
  m.run(1000)
  m.give(lifted)
  m.run(1000)
  t.same(m.running(), [], 'a new hold has another name')
})

t.test('the server deletes a held pod as any other, and nothing of its hold is left', async t => {
  const m = started(pod('a'))
  m.hold('a')
  m.run(1000)
  m.give(document([]))
  m.run(1000)
  t.same([...m.state.pods.keys()], [])
  t.same(m.holds, [])
  t.equal(holdIn(m, 'a'), undefined)
})

t.test('a pod that is held twice is held once, by the first', async t => {
  const m = started(pod('a'))
  m.hold('a')
  const first = holdIn(m, 'a')?.id
  m.hold('a')
  t.equal(holdIn(m, 'a')?.id, first)
  t.equal(m.holds.length, 1)
})

t.test('a restart stops and starts in place, counts, and costs no backoff', async t => {
  const m = started(pod('a', { containers: [container('main'), container('second')] }))
  for (let i = 1; i <= 5; i++) {
    m.again('a', ['main'])
    m.run(1000)
    t.same(m.running(), [`a/main#${i}`, 'a/second#0'])
    t.equal(m.containerStatus('a').restartCount, i)
  }
  m.exit('a', 'main')
  m.run(100)
  t.equal(m.running().length, 2, 'the first crash afterwards restarts at once')
  t.ok(m.events.includes('Killing: restart asked by root'))
  m.exit('a', 'main')
  m.run(100)
  t.equal(m.containerStatus('a').state?.waiting?.reason, 'CrashLoopBackOff')
  m.again('a')
  m.run(1000)
  t.same(m.running(), ['a/main#7', 'a/second#1'], 'a restart ends the waiting')
})

const PODS = [
  pod('p0', { containers: [container('main'), container('second')] }),
  pod('p1', { initContainers: [container('side', { restartPolicy: 'Always' })], containers: [container()] }),
  pod('p2', { restartPolicy: 'OnFailure' }),
]
const LASTING = ['p0/main', 'p0/second', 'p1/main', 'p1/side', 'p2/main']

type Move = {
  readonly do: 'hold' | 'lift' | 'again' | 'restart' | 'reboot' | 'exit' | 'give' | 'wait'
  readonly n: number
  readonly ms: number
}
const move: fc.Arbitrary<Move> = fc.record({
  do: fc.constantFrom('hold', 'lift', 'again', 'restart', 'reboot', 'exit', 'give', 'wait'),
  n: fc.nat(PODS.length - 1),
  ms: fc.constantFrom(0, 5, 25, 60, 101, 500, 11_000),
})

const apply = (m: Model, { do: verb, n, ms }: Move): void => {
  const name = `p${n}`
  const has = m.state.pods.has(`uid-${name}`)
  if (verb === 'hold' && has) m.hold(name)
  if (verb === 'lift') m.lift(name)
  if (verb === 'again') m.again(name)
  if (verb === 'restart') m.restart()
  if (verb === 'reboot') m.reboot()
  const victim = [...m.containers.values()].find(c => c.state === 'running' && c.podUid === `uid-${name}`)
  if (verb === 'exit' && victim) m.exit(name, victim.name)
  if (verb === 'give') m.give(document(PODS.map(p => ({ ...p, metadata: { ...p.metadata, annotations: { turn: String(ms) } } }))))
  m.run(ms)
}

const namesOf = (m: Model) => m.running().map(text => text.replace(/#\d+$/, ''))

t.test('after any history: what is held does not run, what was lifted does', async t => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 30 }), moves => {
      const m = openModel()
      m.give(document(PODS))
      const held = new Set<string>()
      for (const step of moves) {
        if (step.do === 'hold') held.add(`p${step.n}`)
        if (step.do === 'lift') held.delete(`p${step.n}`)
        apply(m, step)
      }
      m.run(LONG)
      const running = namesOf(m)
      const wanted = LASTING.filter(name => !held.has(name.slice(0, 2)))
      if (running.join() !== wanted.join()) throw new Error(`runs ${running.join()} with ${[...held].join()} held`)
      if (
        [...held].sort().join() !==
        m.holds
          .map(hold => hold.name)
          .sort()
          .join()
      )
        throw new Error('other holds are on disk')
      m.asked()
      m.restart()
      m.run(LONG)
      if (m.asked().some(step => /^(start|stop)Container/.test(step))) throw new Error('an agent restart stirs them')
      if (namesOf(m).join() !== wanted.join()) throw new Error('an agent restart changes what runs')
      for (const name of held) m.lift(name)
      m.run(LONG)
      if (namesOf(m).join() !== LASTING.join()) throw new Error(`runs ${namesOf(m).join()} with nothing held`)
      if (m.holds.length > 0) throw new Error('holds are left on disk')
    }),
    { numRuns: 600 },
  )
  t.pass('600 histories')
})
