// What becomes of pods on silent nodes: kept unless their workload says otherwise, replaced at a bounded rate, and one copy in the end.

import t from 'tap'
import { isSuperseded, ON_RECONNECT, REPLACE_AFTER, REPLACES, SUPERSEDED } from '../../../src/kinds/disconnection.ts'
import { HOLD } from '../../../src/kinds/hold.ts'
import { keyOf } from '../../../src/kinds/meta.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { isPodReady } from '../../../src/kinds/pod.ts'
import { fc } from '../../property.ts'
import { isIn, type Site, site, webOf } from './silence.ts'
import { namespaceObject } from './world.ts'

const MINUTE = 60_000
const names = (pods: readonly Pod[]): string[] => pods.map(pod => pod.metadata.name!).sort()
const nodeOf = (pod: Pod): string => pod.spec.nodeName!

/** Three pods on three of four nodes, Ready. */
const running = (annotations: Record<string, string> = {}): Site => {
  const made = site(4)
  made.world.put(webOf('ReplicaSet', 3, annotations))
  made.pass(1_000)
  return made
}

t.test('keep is the default: a silent node keeps its pods, and no other is made', async t => {
  const made = running()
  const before = JSON.stringify(made.pods())
  made.cut(nodeOf(made.pods()[0]!))
  made.pass(30 * 24 * 60 * MINUTE, 24 * 60 * MINUTE)
  t.equal(JSON.stringify(made.pods()), before)
})

t.test(
  'replace-after: the original is left as it is and marked, another one runs elsewhere, and the counts are of those that count',
  async t => {
    const made = running({ [REPLACE_AFTER]: '5m' })
    const original = made.pods()[0]!
    made.cut(nodeOf(original))
    made.pass(4 * MINUTE)
    t.equal(made.pods().length, 3, 'not before its time')
    made.pass(90_000)
    const pods = made.pods()
    t.equal(pods.length, 4)
    const marked = pods.filter(isSuperseded)
    t.same(names(marked), [original.metadata.name])
    t.same(marked[0]!.spec, original.spec)
    const replacement = pods.find(pod => pod.metadata.annotations?.[REPLACES] === original.metadata.uid)!
    t.not(nodeOf(replacement), nodeOf(original))
    t.ok(isPodReady(replacement))
    t.match(made.world.get('ReplicaSet', 'default/web'), { status: { replicas: 3, readyReplicas: 3 } })
  },
)

t.test('replaced at once means as soon as the node is Unknown, and not in the blink before', async t => {
  const made = running({ [REPLACE_AFTER]: '0s' })
  made.cut(nodeOf(made.pods()[0]!))
  made.pass(30_000)
  t.equal(made.pods().length, 3)
  made.pass(15_000)
  t.equal(made.pods().length, 4)
})

t.test('the namespace speaks for pods that say nothing', async t => {
  const made = running()
  made.world.edit('Namespace', 'default', { metadata: { annotations: { [REPLACE_AFTER]: '1m' } } })
  made.cut(nodeOf(made.pods()[0]!))
  made.pass(2 * MINUTE)
  t.equal(made.pods().filter(isSuperseded).length, 1)
})

t.test('a pod that is held at its device is not replaced', async t => {
  const made = running({ [REPLACE_AFTER]: '0s' })
  const [first] = made.pods()
  made.world.edit('Pod', keyOf(first!.metadata), { metadata: { annotations: { [HOLD]: 'h1 by root at 2026-11-22T10:00:00Z' } } })
  made.cut(nodeOf(first!))
  made.pass(10 * MINUTE)
  t.equal(made.pods().length, 3)
})

t.test('keep-original: back and Ready for a while, it counts again and its replacement goes', async t => {
  const made = running({ [REPLACE_AFTER]: '1m' })
  const before = names(made.pods())
  const original = made.pods()[0]!
  made.cut(nodeOf(original))
  made.pass(5 * MINUTE)
  made.heal(nodeOf(original))
  made.pass(5_000)
  t.equal(made.pods().length, 4, 'first it is looked at')
  made.pass(MINUTE)
  t.same(names(made.pods()), before)
  t.notOk(made.pods().some(isSuperseded))
})

t.test('keep-replacement: the original is deleted once the set is whole without it', async t => {
  const made = running({ [REPLACE_AFTER]: '1m', [ON_RECONNECT]: 'keep-replacement' })
  const original = made.pods()[0]!
  made.cut(nodeOf(original))
  made.pass(5 * MINUTE)
  t.equal(made.pods().length, 4, 'but never while its node is silent')
  made.heal(nodeOf(original))
  made.pass(MINUTE)
  t.equal(made.pods().length, 3)
  t.notOk(names(made.pods()).includes(original.metadata.name!))
})

t.test('keep-replacement, but there was no room for one: the original stays', async t => {
  const made = site(3)
  made.world.put(webOf('ReplicaSet', 3, { [REPLACE_AFTER]: '1m', [ON_RECONNECT]: 'keep-replacement' }))
  made.pass(1_000)
  const before = names(made.pods())
  const original = made.pods()[0]!
  made.cut(nodeOf(original))
  made.pass(5 * MINUTE)
  t.equal(made.pods().length, 4)
  made.heal(nodeOf(original))
  made.pass(10 * MINUTE)
  t.same(names(made.pods()), before)
})

t.test('keep-original, but the original does not become Ready: it gives way to the replacement that is', async t => {
  const made = running({ [REPLACE_AFTER]: '1m' })
  const original = made.pods()[0]!
  made.cut(nodeOf(original))
  made.pass(5 * MINUTE)
  made.sick.add(original.metadata.uid!)
  made.heal(nodeOf(original))
  made.pass(4 * MINUTE)
  t.equal(made.pods().length, 4)
  made.pass(2 * MINUTE)
  t.equal(made.pods().length, 3)
  t.notOk(names(made.pods()).includes(original.metadata.name!))
})

t.test('an original that was held at its device meanwhile is left alone until the hold is lifted', async t => {
  const made = running({ [REPLACE_AFTER]: '1m', [ON_RECONNECT]: 'keep-replacement' })
  const original = made.pods()[0]!
  made.cut(nodeOf(original))
  made.pass(5 * MINUTE)
  made.world.edit('Pod', keyOf(original.metadata), { metadata: { annotations: { [HOLD]: 'h1 by root at 2026-11-22T10:00:00Z' } } })
  made.heal(nodeOf(original))
  made.pass(30 * MINUTE)
  t.equal(made.pods().length, 4)
  made.world.edit('Pod', keyOf(original.metadata), { metadata: { annotations: { [HOLD]: null } } })
  made.pass(MINUTE)
  t.equal(made.pods().length, 3)
})

t.test('scaled to nothing while a node is silent: its superseded pod is told to end as well', async t => {
  const made = running({ [REPLACE_AFTER]: '1m' })
  made.cut(nodeOf(made.pods()[0]!))
  made.pass(5 * MINUTE)
  made.world.edit('ReplicaSet', 'default/web', { spec: { replicas: 0 } })
  made.pass(1_000)
  t.equal(made.pods().length, 0)
})

t.test('no template can make pods that do not count: the server words in it are left out', async t => {
  const made = site(2)
  made.world.put(webOf('ReplicaSet', 2, { [SUPERSEDED]: '2026-11-22T10:00:00Z', [HOLD]: 'h by me at noon', note: 'kept' }))
  made.pass(1_000)
  t.same(
    made.pods().map(pod => pod.metadata.annotations),
    [{ note: 'kept' }, { note: 'kept' }],
  )
})

t.test('when many fall silent together nothing is replaced; nor soon after, when most are back', async t => {
  const made = site(10)
  made.world.put(webOf('ReplicaSet', 8, { [REPLACE_AFTER]: '0s' }))
  made.pass(1_000)
  for (let i = 1; i <= 6; i++) made.cut(`node-${i}`)
  made.pass(60 * MINUTE, MINUTE)
  t.equal(made.pods().length, 8)
  t.match(made.world.get('Namespace', 'kube-system'), {
    status: { conditions: [{ type: 'heliopause.io/ContactBrake', status: 'True', message: /^6 of 10 nodes fell silent together/ }] },
  })
  for (let i = 1; i <= 4; i++) made.heal(`node-${i}`)
  made.pass(4 * MINUTE)
  t.equal(made.pods().length, 8, 'the others are still on their way back')
  made.pass(2 * MINUTE)
  t.ok(made.pods().some(isSuperseded), 'then the two that stayed away are treated as single ones')
})

t.test('a restarted server replaces nothing before it has listened longer than devices pause', async t => {
  const made = running({ [REPLACE_AFTER]: '1m' })
  made.cut(nodeOf(made.pods()[0]!))
  made.restart()
  made.pass(19 * MINUTE)
  t.equal(made.pods().length, 3)
  made.pass(2 * MINUTE)
  t.equal(made.pods().length, 4)
})

t.test('a brake outlives the server that pulled it', async t => {
  const made = site(10)
  made.world.put(webOf('ReplicaSet', 8, { [REPLACE_AFTER]: '0s' }))
  made.pass(1_000)
  for (let i = 1; i <= 6; i++) made.cut(`node-${i}`)
  made.pass(10 * MINUTE)
  made.restart()
  made.pass(120 * MINUTE)
  t.equal(made.pods().length, 8)
})

/** Three ReplicaSets of 60 pods that are replaced at once, on twelve nodes: most on the first. */
const crowd = (): Site => {
  const made = site(12)
  for (let i = 0; i < 3; i++) {
    const set = webOf('ReplicaSet', 60, { [REPLACE_AFTER]: '0s' })
    const { affinity: _spread, ...spec } = (set['spec'] as { template: { spec: Record<string, unknown> } }).template.spec
    const template = { metadata: { labels: { app: `web-${i}` }, annotations: { [REPLACE_AFTER]: '0s' } }, spec }
    made.world.put({
      ...set,
      metadata: { name: `web-${i}`, namespace: 'default' },
      spec: { replicas: 60, selector: { matchLabels: { app: `web-${i}` } }, template },
    })
  }
  made.pass(1_000)
  return made
}

t.test('pods are given up at a bounded rate', async t => {
  const made = crowd()
  const lost = made.pods().filter(pod => nodeOf(pod) === 'node-1').length
  t.ok(lost > 100, `${lost} pods on node-1`)
  made.cut('node-1')
  const marks: number[] = []
  for (let i = 0; i < 6; i++) {
    made.pass(MINUTE, 10_000)
    marks.push(made.pods().filter(isSuperseded).length)
  }
  t.ok(
    marks.every((count, i) => count - (marks[i - 1] ?? 0) <= 60),
    marks.join(' '),
  )
  t.equal(marks.at(-1), lost, marks.join(' '))
})

t.test('the rate counts what was given up lately though its node is back', async t => {
  const made = crowd()
  const other = nodeOf(made.pods().find(pod => nodeOf(pod) !== 'node-1')!)
  made.cut('node-1')
  made.cut(other)
  for (let i = 0; i < 60 && made.pods().filter(isSuperseded).length === 0; i++) made.pass(1_000, 1_000)
  const first = names(made.pods().filter(isSuperseded))
  t.equal(first.length, 60)
  made.heal('node-1')
  const given = new Set(first)
  const until = (ms: number): void => {
    for (let i = 0; i < ms / 1_000; i++) {
      made.pass(1_000, 1_000)
      for (const name of names(made.pods().filter(isSuperseded))) given.add(name)
    }
  }
  until(12_000)
  t.equal(given.size, 60, 'a minute is a minute')
  until(60_000)
  t.ok(given.size > 60, 'then others follow')
})

t.test('declared dead: its pods leave the API and are replaced; should it call after all, it learns that they are gone', async t => {
  const made = running()
  const original = made.pods()[0]!
  const name = nodeOf(original)
  made.cut(name)
  made.pass(MINUTE)
  const taints = [{ key: 'node.kubernetes.io/out-of-service', value: 'flood', effect: 'NoExecute' }]
  made.world.edit('Node', name, { spec: { taints: [...(made.node(name).spec?.taints ?? []), ...taints] } })
  made.pass(5_000)
  t.equal(made.pods().length, 3)
  t.notOk(made.pods().some(pod => nodeOf(pod) === name))
  made.heal(name)
  made.pass(MINUTE)
  t.equal(made.pods().length, 3)
})

type Deed =
  | { readonly do: 'cut' | 'heal'; readonly node: number }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'scale'; readonly replicas: number }
  | { readonly do: 'remove' | 'sicken' | 'cure'; readonly which: number }
  | { readonly do: 'restart' }

const NODES = 7
const index = fc.integer({ min: 0, max: NODES - 1 })
const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cut' as const), node: index }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('heal' as const), node: index }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(3_000, 20_000, 45_000, 120_000, 400_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('scale' as const), replicas: fc.integer({ min: 0, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('remove' as const, 'sicken' as const, 'cure' as const), which: index }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
)

const carryOut = (made: Site, what: Deed, kind: string): void => {
  const { world } = made
  if ('node' in what) made[what.do](`node-${what.node + 1}`)
  else if (what.do === 'pass') made.pass(what.ms, 15_000)
  else if (what.do === 'restart') made.restart()
  else if (what.do === 'scale') world.edit(kind, 'default/web', { spec: { replicas: what.replicas } })
  else {
    const pods = made.pods()
    const pod = pods[what.which % Math.max(1, pods.length)]
    if (!pod) return
    if (what.do === 'remove') world.remove('Pod', keyOf(pod.metadata))
    else if (what.do === 'sicken') made.sick.add(pod.metadata.uid!)
    else made.sick.delete(pod.metadata.uid!)
  }
}

/** Watches every pod that is told to end, and says what is wrong with that. */
const watchEnds = (made: Site, replicasOf: () => number): string[] => {
  const wrong: string[] = []
  const state = { byUser: false, ready: 0 }
  made.world.view.subscribe(changes => {
    for (const { kind, object, old } of changes) {
      if (kind !== 'Pod' || !old) continue
      const [pod, before] = [object as unknown as Pod, old as unknown as Pod]
      if (before.metadata.deletionTimestamp !== undefined || pod.metadata.deletionTimestamp === undefined) continue
      const ready = made.counted().filter(isPodReady).length
      const lost = isPodReady(before) && !isSuperseded(before) ? 1 : 0
      if (!state.byUser && ready < Math.min(replicasOf(), ready + lost))
        wrong.push(`${pod.metadata.name} was Ready and needed: ${ready} of ${replicasOf()} left`)
      const originals = made.pods().filter(isSuperseded).length
      if (!state.byUser && isSuperseded(before) && isPodReady(before) && originals < replicasOf() && ready < replicasOf())
        wrong.push(`${pod.metadata.name} was Ready and gave way to nobody: ${ready} of ${replicasOf()}`)
      if (!state.byUser && isSuperseded(before) && !isIn(made, nodeOf(before)) && originals < replicasOf())
        wrong.push(`${pod.metadata.name} was deleted while its node was silent`)
    }
  })
  const { remove } = made.world
  made.world.remove = (kind, key) => {
    state.byUser = true
    remove(kind, key)
    state.byUser = false
  }
  return wrong
}

for (const [kind, policy] of [
  ['ReplicaSet', 'keep-original'],
  ['ReplicaSet', 'keep-replacement'],
  ['Deployment', 'keep-original'],
  ['Deployment', 'keep-replacement'],
] as const) {
  t.test(`${kind}, ${policy}: whatever falls silent and comes back, no pod that is needed ends, and one copy of each stays`, async () => {
    fc.assert(
      fc.property(fc.constantFrom('0s', '1m', '5m'), fc.array(deed, { minLength: 4, maxLength: 25 }), (replaceAfter, deeds) => {
        const made = site(NODES)
        made.world.put(webOf(kind, 3, { [REPLACE_AFTER]: replaceAfter, [ON_RECONNECT]: policy }))
        made.pass(2_000, 1_000)
        const replicas = (): number => made.world.get<{ spec: { replicas: number } }>(kind, 'default/web')!.spec.replicas
        const wrong = watchEnds(made, replicas)
        for (const what of deeds) {
          carryOut(made, what, kind)
          if (made.counted().length > Math.max(3, replicas(), 5) + 2) throw new Error(`${made.counted().length} pods count`)
        }
        made.sick.clear()
        for (let i = 1; i <= NODES; i++) made.heal(`node-${i}`)
        made.pass(20 * MINUTE, MINUTE)
        const pods = made.pods()
        if (wrong.length > 0) throw new Error(wrong.join('; '))
        if (pods.length !== replicas() || pods.some(isSuperseded) || !pods.every(isPodReady))
          throw new Error(
            `${pods.length} pods of ${replicas()}: ${JSON.stringify(pods.map(pod => [pod.metadata.name, pod.metadata.annotations]))}`,
          )
      }),
      { numRuns: 80 },
    )
  })
}

t.test('a namespace object without the policy changes nothing', async t => {
  const made = running()
  made.world.put({ ...namespaceObject('other'), metadata: { name: 'other', annotations: { [REPLACE_AFTER]: '0s' } } })
  made.cut(nodeOf(made.pods()[0]!))
  made.pass(10 * MINUTE)
  t.equal(made.pods().length, 3)
})
