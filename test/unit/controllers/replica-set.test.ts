// ReplicaSet: counts, names, who goes first, adoption, status.

import t from 'tap'
import { timestamp } from '../../../src/base/clock.ts'
import { replicaSet } from '../../../src/controllers/replica-set.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import type { ReplicaSet } from '../../../src/kinds/replica-set.ts'
import { fc } from '../../property.ts'
import type { Loose, World } from './world.ts'
import { createWorld, runningStatus, workload } from './world.ts'

const KEY = 'default/web'

const worldWith = (replicas: number, spec: Loose = {}): World => {
  const world = createWorld()
  world.put(workload('ReplicaSet', 'web', { replicas, ...spec }))
  return world
}

const settled = (replicas: number): World => {
  const world = worldWith(replicas)
  world.settle([replicaSet])
  return world
}

const names = (world: World): string[] => world.list<Pod>('Pod').map(pod => pod.metadata.name!)

const status = (world: World): ReplicaSet['status'] => world.get<ReplicaSet>('ReplicaSet', KEY)!.status

const bind = (world: World, name: string, node: string): void => world.edit('Pod', `default/${name}`, { spec: { nodeName: node } })

t.test('creates as many pods as wanted, owned and labelled by the template', async t => {
  const world = settled(3)
  const pods = world.list<Pod>('Pod')
  t.equal(pods.length, 3)
  for (const pod of pods) {
    t.match(pod.metadata, { labels: { app: 'web' }, ownerReferences: [{ kind: 'ReplicaSet', name: 'web', controller: true }] })
    t.match(pod.metadata.name, /^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
  }
  t.match(status(world), { replicas: 3, fullyLabeledReplicas: 3, observedGeneration: 1 })
  t.same(
    world.events.map(event => event.reason),
    ['SuccessfulCreate', 'SuccessfulCreate', 'SuccessfulCreate'],
  )
})

t.test('running twice on one state asks for the same names: it cannot create twice', async t => {
  const world = worldWith(5)
  const once = replicaSet.reconcile(world.view, KEY, world.nowMs)
  t.same(replicaSet.reconcile(world.view, KEY, world.nowMs), once)
})

t.test('a run that got half way is finished by the next, without more pods than wanted', async t => {
  const world = worldWith(10)
  const { actions } = replicaSet.reconcile(world.view, KEY, world.nowMs)
  for (const action of actions.filter(a => a.do === 'create').slice(0, 4)) world.apply(action)
  world.settle([replicaSet])
  t.equal(names(world).length, 10)
})

t.test('once settled there is nothing to do, whatever the number and its changes', async () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 6 }), sizes => {
      const world = worldWith(0)
      for (const replicas of sizes) {
        world.edit('ReplicaSet', KEY, { spec: { replicas } })
        world.settle([replicaSet])
        const { actions } = replicaSet.reconcile(world.view, KEY, world.nowMs)
        if (names(world).length !== replicas || actions.length > 0 || world.conflicts.length > 0) return false
      }
      return true
    }),
    { numRuns: 60 },
  )
})

t.test('a big set grows in bounded steps', async t => {
  const world = worldWith(1_200)
  const creates = world.reconcile(replicaSet, KEY).filter(action => action.do === 'create')
  t.equal(creates.length, 500)
  world.settle([replicaSet])
  t.equal(names(world).length, 1_200)
})

t.test('a deleted pod is replaced at once, under another name, while the old one is still ending', async t => {
  const world = settled(2)
  const [first] = names(world)
  bind(world, first!, 'node-1')
  world.remove('Pod', `default/${first}`)
  world.settle([replicaSet])
  t.equal(names(world).length, 3)
  t.match(status(world), { replicas: 2, terminatingReplicas: 1 })
})

t.test('a pod that failed is replaced and left for people to look at', async t => {
  const world = settled(2)
  const [first] = names(world)
  world.edit('Pod', `default/${first}`, { status: { phase: 'Failed', reason: 'Evicted' } })
  world.settle([replicaSet])
  t.equal(names(world).length, 3)
  t.equal(status(world)?.replicas, 2)
})

t.test('scales down: pods without a node go before those that run', async t => {
  const world = settled(3)
  const [a, b, c] = names(world)
  bind(world, a!, 'node-1')
  bind(world, c!, 'node-2')
  world.run()
  world.edit('ReplicaSet', KEY, { spec: { replicas: 2 } })
  world.settle([replicaSet])
  t.notOk(names(world).includes(b!))
})

t.test('scales down: of running pods, those not ready go first', async t => {
  const world = settled(2)
  const [a, b] = names(world)
  for (const name of [a!, b!]) bind(world, name, 'node-1')
  world.edit('Pod', `default/${a}`, { status: runningStatus(world.nowMs) })
  world.edit('Pod', `default/${b}`, { status: { phase: 'Running' } })
  world.edit('ReplicaSet', KEY, { spec: { replicas: 1 } })
  world.settle([replicaSet])
  world.run()
  t.same(names(world), [a])
})

t.test('scales down: the cheaper deletion cost goes first, then doubled-up nodes, then the newest', async t => {
  const world = settled(4)
  const [a, b, c, d] = names(world)
  const ready = (name: string, node: string, atMs: number): void => {
    bind(world, name, node)
    world.edit('Pod', `default/${name}`, { status: runningStatus(atMs) })
  }
  ready(a!, 'node-1', world.nowMs)
  ready(b!, 'node-1', world.nowMs - 10_000)
  ready(c!, 'node-2', world.nowMs + 10_000)
  ready(d!, 'node-3', world.nowMs - 60_000)
  world.edit('Pod', `default/${d}`, { metadata: { annotations: { 'controller.kubernetes.io/pod-deletion-cost': '-1' } } })
  const order: string[] = []
  for (const replicas of [3, 2, 1]) {
    const before = names(world)
    world.edit('ReplicaSet', KEY, { spec: { replicas } })
    world.settle([replicaSet])
    world.run()
    order.push(...before.filter(name => !names(world).includes(name)))
  }
  t.same(order, [d, a, c])
})

t.test('adopts orphans that match and releases pods that no longer do', async t => {
  const world = createWorld()
  world.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'stray', namespace: 'default', labels: { app: 'web' } },
    spec: { containers: [] },
  })
  world.put(workload('ReplicaSet', 'web', { replicas: 1 }))
  world.settle([replicaSet])
  t.same(names(world), ['stray'])
  t.equal(world.get<Pod>('Pod', 'default/stray')!.metadata.ownerReferences?.[0]?.name, 'web')

  world.edit('Pod', 'default/stray', { metadata: { labels: { app: 'debug' } } })
  world.settle([replicaSet])
  t.equal(names(world).length, 2)
  t.same(world.get<Pod>('Pod', 'default/stray')!.metadata.ownerReferences, undefined)
})

t.test('never touches pods of another controller, nor other namespaces', async t => {
  const world = createWorld()
  const owner = { apiVersion: 'v1', kind: 'Other', name: 'x', uid: 'other', controller: true }
  world.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'taken', namespace: 'default', labels: { app: 'web' }, ownerReferences: [owner] },
    spec: { containers: [] },
  })
  world.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'away', namespace: 'other', labels: { app: 'web' } },
    spec: { containers: [] },
  })
  world.put(workload('ReplicaSet', 'web', { replicas: 1 }))
  world.settle([replicaSet])
  t.equal(world.list('Pod').length, 3)
  t.equal(world.get<Pod>('Pod', 'default/taken')!.metadata.ownerReferences?.[0]?.uid, 'other')
})

t.test('a ready pod becomes available after minReadySeconds, and the set asks to be woken then', async t => {
  const world = worldWith(1, { minReadySeconds: 30 })
  world.settle([replicaSet])
  bind(world, names(world)[0]!, 'node-1')
  world.run()
  world.settle([replicaSet])
  t.match(status(world), { readyReplicas: 1 })
  t.equal(status(world)?.availableReplicas, undefined)
  t.same(replicaSet.reconcile(world.view, KEY, world.nowMs + 10_000).again?.afterMs, 20_000)
  world.nowMs += 30_000
  world.reconcile(replicaSet, KEY)
  t.equal(status(world)?.availableReplicas, 1)
})

t.test('a set that is being deleted creates nothing', async t => {
  const world = createWorld()
  const set = workload('ReplicaSet', 'web', { replicas: 3 })
  world.put({ ...set, metadata: { ...(set['metadata'] as Loose), finalizers: ['x'], deletionTimestamp: timestamp(world.nowMs) } })
  world.settle([replicaSet])
  t.equal(world.list('Pod').length, 0)
})

t.test('a thousand pods are reconciled in a few milliseconds', async t => {
  const world = settled(1_000)
  const before = process.hrtime.bigint()
  for (let i = 0; i < 20; i++) replicaSet.reconcile(world.view, KEY, world.nowMs)
  const eachMs = Number(process.hrtime.bigint() - before) / 20e6
  t.ok(eachMs < 15, `${eachMs.toFixed(2)} ms each`)
})
