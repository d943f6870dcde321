// Deployment: rollouts in a small world, where every step of controllers and devices may come in any order.

import t from 'tap'
import type { Controller } from '../../../src/controllers/controller.ts'
import { deployment } from '../../../src/controllers/deployment.ts'
import { garbageCollection } from '../../../src/controllers/garbage-collection.ts'
import { replicaSet } from '../../../src/controllers/replica-set.ts'
import type { Deployment } from '../../../src/kinds/deployment.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { isPodReady } from '../../../src/kinds/pod.ts'
import type { ReplicaSet } from '../../../src/kinds/replica-set.ts'
import { fc } from '../../property.ts'
import type { Loose, World } from './world.ts'
import { createWorld, workload } from './world.ts'

const KEY = 'default/web'
const REVISION = 'deployment.kubernetes.io/revision'

/** Binds whatever waits: placing is not what these tests are about. */
const binder: Controller = {
  name: 'binder',
  watches: [{ kind: 'Pod', keys: () => ['all'] }],
  reconcile: view => ({
    actions: view.list<Pod>('Pod', { node: '' }).map(pod => ({
      do: 'bind',
      key: `default/${pod.metadata.name}`,
      uid: pod.metadata.uid!,
      resourceVersion: pod.metadata.resourceVersion!,
      node: 'node-1',
    })),
  }),
}
const ALL = [deployment, replicaSet, garbageCollection, binder]

const rollOut = (world: World): void => {
  for (let i = 0; i < 200; i++) {
    const acted = world.settle(ALL)
    const before = world.view.revision
    world.run()
    if (acted === 0 && world.view.revision === before) return
  }
  throw new Error('the rollout does not end')
}

const start = (spec: Loose): World => {
  const world = createWorld()
  world.put(workload('Deployment', 'web', spec))
  rollOut(world)
  return world
}

const current = (world: World): Deployment => world.get<Deployment>('Deployment', KEY)!
const sets = (world: World): readonly ReplicaSet[] => world.list<ReplicaSet>('ReplicaSet')
const sizes = (world: World): number[] => sets(world).map(set => set.spec.replicas ?? 0)
const setImage = (world: World, image: string): void =>
  world.edit('Deployment', KEY, { spec: { template: { spec: { containers: [{ name: 'main', image }] } } } })
const images = (world: World): string[] => [...new Set(world.list<Pod>('Pod').map(pod => pod.spec.containers[0]!.image!))]
const condition = (world: World, type: string): { status?: string; reason?: string; message?: string } | undefined =>
  current(world).status?.conditions?.find(each => each.type === type)

t.test('brings up its pods through a ReplicaSet named by the hash of the template', async t => {
  const world = start({ replicas: 3 })
  const [set] = sets(world)
  const hash = set!.metadata.labels?.['pod-template-hash']
  t.equal(set!.metadata.name, `web-${hash}`)
  t.equal(set!.spec.selector.matchLabels?.['pod-template-hash'], hash)
  t.match(set!.metadata.annotations, {
    [REVISION]: '1',
    'deployment.kubernetes.io/desired-replicas': '3',
    'deployment.kubernetes.io/max-replicas': '4',
  })
  t.equal(current(world).metadata.annotations?.[REVISION], '1')
  t.match(current(world).status, { replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3, observedGeneration: 1 })
  t.match(condition(world, 'Available'), { status: 'True', reason: 'MinimumReplicasAvailable' })
  t.match(condition(world, 'Progressing'), {
    status: 'True',
    reason: 'NewReplicaSetAvailable',
    message: `ReplicaSet "web-${hash}" has successfully progressed.`,
  })
  t.equal(world.events.find(event => event.reason === 'ScalingReplicaSet')?.note, `Scaled up replica set web-${hash} from 0 to 3`)
})

t.test('once rolled out there is nothing to do', async t => {
  const world = start({ replicas: 4 })
  t.same(deployment.reconcile(world.view, KEY, world.nowMs).actions, [])
})

t.test('a new template rolls out and the old set stays, empty, for the way back', async t => {
  const world = start({ replicas: 4 })
  setImage(world, 'v2')
  rollOut(world)
  t.same(images(world), ['v2'])
  t.same(sizes(world).sort(), [0, 4])
  t.equal(current(world).metadata.annotations?.[REVISION], '2')
})

t.test('going back finds the old set again and makes it the newest revision', async t => {
  const world = start({ replicas: 2 })
  setImage(world, 'v2')
  rollOut(world)
  setImage(world, 'v1')
  rollOut(world)
  t.equal(sets(world).length, 2)
  t.same(images(world), ['v1'])
  const back = sets(world).find(set => set.spec.replicas === 2)!
  t.match(back.metadata.annotations, { [REVISION]: '3', 'deployment.kubernetes.io/revision-history': '1' })
  t.equal(current(world).metadata.annotations?.[REVISION], '3')
})

t.test('keeps as many old sets as the history limit says, oldest gone first', async t => {
  const world = start({ replicas: 1, revisionHistoryLimit: 2 })
  for (const image of ['v2', 'v3', 'v4', 'v5']) {
    setImage(world, image)
    rollOut(world)
  }
  t.same(
    sets(world)
      .map(set => set.metadata.annotations?.[REVISION])
      .sort(),
    ['3', '4', '5'],
  )
})

t.test('while paused a new template waits, but scaling does not', async t => {
  const world = start({ replicas: 2 })
  world.edit('Deployment', KEY, { spec: { paused: true } })
  setImage(world, 'v2')
  world.edit('Deployment', KEY, { spec: { replicas: 3 } })
  rollOut(world)
  t.same(images(world), ['v1'])
  t.equal(world.list('Pod').length, 3)
  t.match(condition(world, 'Progressing'), { status: 'Unknown', reason: 'DeploymentPaused' })
  world.edit('Deployment', KEY, { spec: { paused: false } })
  rollOut(world)
  t.same(images(world), ['v2'])
})

t.test('Recreate starts the new pods only when every old one is gone', async t => {
  const world = start({ replicas: 3, strategy: { type: 'Recreate' } })
  setImage(world, 'v2')
  world.settle(ALL)
  t.same(images(world), ['v1'])
  t.ok(world.list<Pod>('Pod').every(pod => pod.metadata.deletionTimestamp))
  rollOut(world)
  t.same(images(world), ['v2'])
  t.equal(world.list('Pod').length, 3)
})

t.test('scaling during a rollout is dealt out in proportion', async t => {
  const world = start({ replicas: 10, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } } })
  setImage(world, 'broken')
  world.settle(ALL)
  t.same(
    sizes(world).sort((a, b) => a - b),
    [5, 8],
  )
  world.edit('Deployment', KEY, { spec: { replicas: 15 } })
  world.reconcile(deployment, KEY)
  t.same(
    sizes(world).sort((a, b) => a - b),
    [7, 11],
  )
})

t.test('a rollout that makes no progress says so after its deadline', async t => {
  const world = start({ replicas: 2, progressDeadlineSeconds: 60 })
  setImage(world, 'broken')
  world.settle(ALL)
  const { again } = deployment.reconcile(world.view, KEY, world.nowMs)
  t.equal(again?.afterMs, 61_000)
  world.nowMs += 61_000
  world.reconcile(deployment, KEY)
  t.match(condition(world, 'Progressing'), { status: 'False', reason: 'ProgressDeadlineExceeded' })
})

t.test('a pod template that differs only in its hash label is the same template', async t => {
  const world = start({ replicas: 1 })
  world.edit('Deployment', KEY, { spec: { template: { metadata: { labels: { 'pod-template-hash': 'x' } } } } })
  rollOut(world)
  t.equal(sets(world).length, 1)
})

t.test('a set that was made for this template stays its set, even if its stored form differs', async t => {
  const world = start({ replicas: 2 })
  const name = sets(world)[0]!.metadata.name
  world.edit('ReplicaSet', `default/${name}`, { spec: { template: { spec: { newDefault: true } } } })
  rollOut(world)
  t.equal(sets(world).length, 1)
  t.equal(current(world).status?.collisionCount, undefined)
})

t.test('a name taken by a stranger makes the next hash differ', async t => {
  const other = createWorld()
  other.put(workload('Deployment', 'web', { replicas: 1 }))
  other.settle([deployment])
  const name = sets(other)[0]!.metadata.name!
  const world = createWorld()
  world.put({ ...workload('ReplicaSet', 'foreign', { replicas: 0 }), metadata: { name, namespace: 'default' } })
  world.put(workload('Deployment', 'web', { replicas: 1 }))
  rollOut(world)
  t.equal(current(world).status?.collisionCount, 1)
  t.equal(sets(world).length, 2)
  t.equal(world.list('Pod').length, 1)
})

t.test('adopts a set that matches and is left without an owner', async t => {
  const world = start({ replicas: 2 })
  world.remove('Deployment', KEY)
  const orphan = sets(world)[0]!
  world.edit('ReplicaSet', `default/${orphan.metadata.name}`, { metadata: { ownerReferences: null } })
  world.put(workload('Deployment', 'web', { replicas: 2 }))
  rollOut(world)
  t.equal(sets(world).length, 1)
  t.equal(sets(world)[0]!.metadata.uid, orphan.metadata.uid)
  t.equal(world.list('Pod').length, 2)
})

interface Fence {
  readonly surge: number
  readonly unavailable: number
}

const alive = (world: World): readonly Pod[] => world.list<Pod>('Pod').filter(pod => pod.metadata.deletionTimestamp === undefined)

/** Undefined while the fence holds. */
const breach = (world: World, replicas: number, fence: Fence): string | undefined => {
  const ready = alive(world).filter(isPodReady).length
  if (ready < replicas - fence.unavailable) return `${ready} ready of ${replicas}, ${fence.unavailable} may be missing`
  if (alive(world).length > replicas + fence.surge) return `${alive(world).length} pods of ${replicas}, ${fence.surge} may be too many`
  return undefined
}

/** One controller's key, or all devices: what may happen next. */
const moves = (world: World): (() => void)[] => [
  () => world.reconcile(deployment, KEY),
  () => world.reconcile(binder, 'all'),
  () => world.run(),
  ...sets(world).map(set => () => void world.reconcile(replicaSet, `default/${set.metadata.name}`)),
]

t.test('a rollout never leaves its fences, in whatever order things happen, and ends', async t => {
  fc.assert(
    fc.property(
      fc.record({
        replicas: fc.integer({ min: 1, max: 8 }),
        surge: fc.integer({ min: 0, max: 3 }),
        unavailable: fc.integer({ min: 0, max: 3 }),
        steps: fc.array(fc.nat({ max: 50 }), { maxLength: 120 }),
        second: fc.nat({ max: 120 }),
      }),
      ({ replicas, surge, unavailable, steps, second }) => {
        const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: surge, maxUnavailable: unavailable } }
        const world = start({ replicas, strategy })
        const fence = { surge, unavailable: Math.min(replicas, surge === 0 && unavailable === 0 ? 1 : unavailable) }
        setImage(world, 'v2')
        for (const [index, step] of steps.entries()) {
          if (index === second) setImage(world, 'v3')
          const possible = moves(world)
          possible[step % possible.length]!()
          const why = breach(world, replicas, fence)
          if (why) throw new Error(why)
        }
        rollOut(world)
        t.equal(images(world).length, 1)
        t.equal(alive(world).length, replicas)
        t.same(deployment.reconcile(world.view, KEY, world.nowMs).actions, [])
      },
    ),
    { numRuns: 150 },
  )
})

t.test('pods that fail during a rollout are cleaned up first and availability is kept', async t => {
  const world = start({ replicas: 4, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } } })
  const sick = world.list<Pod>('Pod')[0]!
  world.edit('Pod', `default/${sick.metadata.name}`, { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'False' }] } })
  setImage(world, 'v2')
  for (let i = 0; i < 60; i++) {
    world.settle([deployment, replicaSet])
    t.ok(alive(world).filter(isPodReady).length >= 3)
    if (world.list('Pod').every(pod => pod.metadata.uid !== sick.metadata.uid)) break
    world.reconcile(binder, 'all')
    world.run()
  }
  t.notOk(alive(world).some(pod => pod.metadata.uid === sick.metadata.uid))
})
