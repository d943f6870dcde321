// Whatever happens, in whatever order: once it stops happening, the device comes to run exactly what is desired, and then is quiet.

import t from 'tap'
import type { Pod } from '../../../src/kinds/pod.ts'
import { fc } from '../../property.ts'
import { container, document, type Model, openModel, pod } from './model.ts'

const LONG = 900_000

type Move =
  | { readonly do: 'document'; readonly pods: readonly { readonly n: number; readonly image: number }[] }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'exit'; readonly pick: number; readonly code: number }
  | { readonly do: 'restart'; readonly kill: number }
  | { readonly do: 'reboot' }
  | { readonly do: 'break'; readonly step: number }
  | { readonly do: 'mend' }

const SHAPES: readonly ((image: string) => Partial<Pod['spec']>)[] = [
  image => ({ containers: [container('main', { image })] }),
  image => ({ containers: [container('main', { image }), container('second')] }),
  image => ({ initContainers: [container('init')], containers: [container('main', { image })] }),
  image => ({ initContainers: [container('side', { restartPolicy: 'Always' })], containers: [container('main', { image })] }),
  image => ({ containers: [container('main', { image, readinessProbe: { tcpSocket: { port: 1 }, periodSeconds: 60 } })] }),
  image => ({ hostNetwork: true, containers: [container('main', { image })] }),
]
const STEPS = [
  'writeVolumes',
  'createSandbox',
  'attach',
  'startContainer',
  'stopContainer',
  'removeContainer',
  'removeSandbox',
  'removeVolumes',
  'configureNetwork',
] as const

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({
    do: fc.constant('document' as const),
    pods: fc.uniqueArray(fc.record({ n: fc.nat(SHAPES.length - 1), image: fc.nat(1) }), { selector: p => p.n, maxLength: 4 }),
  }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 10, 25, 60, 500, 11_000, 400_000) }),
  fc.record({ do: fc.constant('exit' as const), pick: fc.nat(9), code: fc.nat(2) }),
  fc.record({ do: fc.constant('restart' as const), kill: fc.nat(3) }),
  fc.record({ do: fc.constant('reboot' as const) }),
  fc.record({ do: fc.constant('break' as const), step: fc.nat(STEPS.length - 1) }),
  fc.record({ do: fc.constant('mend' as const) }),
)

const running = (m: Model) => [...m.containers.values()].filter(c => c.state === 'running')

const killSome = (m: Model, count: number): void => {
  for (const info of running(m).slice(0, count))
    m.containers.set(info.id, { ...info, state: 'exited', exit: { exitCode: 137, oomKilled: false, finishedAtMs: 0 } })
}

const apply = (m: Model, step: Move): void => {
  const victim = step.do === 'exit' ? running(m)[step.pick] : undefined
  // A pod's containers never change, only their image does.
  if (step.do === 'document') m.give(document(step.pods.map(({ n, image }) => pod(`p${n}`, SHAPES[n]?.(`app:${image + 1}`) ?? {}))))
  else if (step.do === 'wait') m.run(step.ms)
  else if (step.do === 'exit' && victim) m.exit(victim.podUid.slice(4), victim.name, { exitCode: step.code })
  else if (step.do === 'restart') m.restart(() => killSome(m, step.kill))
  else if (step.do === 'reboot') m.reboot()
  else if (step.do === 'break') m.broken.set(STEPS[step.step] ?? 'attach', 'it is broken')
  else if (step.do === 'mend') m.broken.clear()
}

/** Init containers do their work and end; everything else stays up. */
const settle = (m: Model): void => {
  m.broken.clear()
  for (let i = 0; i < 12; i++) {
    m.run(LONG)
    for (const info of running(m)) if (info.name === 'init') m.exit(info.podUid.slice(4), info.name, { exitCode: 0 })
  }
  m.run(LONG)
}

const expected = (pods: readonly Pod[]): string[] =>
  pods
    .flatMap(p =>
      [...(p.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always'), ...p.spec.containers].map(
        c => `${p.metadata.uid}/${c.name} ${c.image}`,
      ),
    )
    .sort()

t.test('after any history the device runs what is desired, once each, and is quiet', async t => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 40 }), moves => {
      const m = openModel()
      for (const step of moves) apply(m, step)
      const desired = m.state.document?.pods ?? []
      settle(m)
      const found = running(m)
        .map(c => `${c.podUid}/${c.name} ${c.image}`)
        .sort()
      if (found.join() !== expected(desired).join()) throw new Error(`runs ${found.join()} instead of ${expected(desired).join()}`)
      const uids = desired.map(p => p.metadata.uid ?? '').sort()
      if (m.state.document) {
        if ([...m.sandboxes].sort().join() !== uids.join()) throw new Error(`sandboxes ${[...m.sandboxes].join()}`)
        if ([...m.state.pods.keys()].sort().join() !== uids.join()) throw new Error('records are left')
        if ([...m.memories.keys()].sort().join() !== uids.join()) throw new Error('memories are left')
        if ([...m.folders].sort().join() !== uids.join()) throw new Error('folders are left')
      }
      const addresses = [...m.attached.values()]
      if (new Set(addresses).size !== addresses.length) throw new Error('an address was given twice')
      for (const p of desired) {
        const status = m.status(p.metadata.name ?? '')
        if (status.phase !== 'Running' || !status.conditions?.every(c => c.status === 'True'))
          throw new Error(`not ready: ${JSON.stringify(status)}`)
      }
      m.asked()
      m.restart()
      m.run(LONG)
      const again = m.asked().filter(step => !/^(configureNetwork|writeVolumes|attach)/.test(step))
      if (again.length > 0) throw new Error(`an agent restart asked for ${again.join()}`)
      m.run(LONG)
      if (m.asked().length > 0) throw new Error('not quiet')
    }),
    { numRuns: 1500, seed: 2026 },
  )
  t.pass('1500 histories')
})

t.test('the same history gives the same steps, twice', async t => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 25 }), moves => {
      const traces = [0, 1].map(() => {
        const m = openModel()
        for (const step of moves) apply(m, step)
        return JSON.stringify([m.trace, m.events, [...m.reports]])
      })
      return traces[0] === traces[1]
    }),
    { numRuns: 200, seed: 7 },
  )
  t.pass('200 histories')
})
