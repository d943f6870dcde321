// The scheduler as a controller: bindings, conditions, Events, over the small world.

import t from 'tap'
import type { Action } from '../../../src/controllers/controller.ts'
import type { Condition } from '../../../src/kinds/meta.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { createScheduling } from '../../../src/scheduler/scheduler.ts'
import { fc } from '../../property.ts'
import type { Loose, World } from '../controllers/world.ts'
import { createWorld, nodeObject } from '../controllers/world.ts'

const scheduling = createScheduling()

const requesting = (requests: Loose): Loose => ({ containers: [{ name: 'main', image: 'x', resources: { requests } }] })

const put = (world: World, name: string, spec: Loose = {}, meta: Loose = {}): void =>
  void world.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', ...meta },
    spec: { containers: [{ name: 'main', image: 'x' }], ...spec },
  })

const cluster = (...nodes: Loose[]): World => {
  const world = createWorld()
  for (const node of nodes) world.put(node)
  return world
}

const small = (name: string, extra: Loose = {}): Loose =>
  nodeObject(name, {
    status: { allocatable: { cpu: '1', memory: '1Gi', pods: '4' }, conditions: [{ type: 'Ready', status: 'True' }] },
    ...extra,
  })

const nodeOf = (world: World, name: string): string | undefined => world.get<Pod>('Pod', `default/${name}`)!.spec.nodeName

const condition = (world: World, name: string): Condition | undefined =>
  world.get<Pod>('Pod', `default/${name}`)!.status?.conditions?.find(each => each.type === 'PodScheduled')

t.test('binds a waiting pod once, with the uid and version it saw', async t => {
  const world = cluster(small('node-1'))
  put(world, 'web')
  const { actions } = scheduling.reconcile(world.view, 'pods', world.nowMs)
  const { uid, resourceVersion } = world.get('Pod', 'default/web')!.metadata
  t.same(actions[0], { do: 'bind', key: 'default/web', uid, resourceVersion, node: 'node-1' })
  t.match(actions[1], { do: 'event', reason: 'Scheduled', note: 'Successfully assigned default/web to node-1', after: 0 })
  for (const action of actions) world.apply(action)
  t.same(scheduling.reconcile(world.view, 'pods', world.nowMs).actions, [])
  t.equal(world.apply(actions[0] as Action), false, 'a second binding is refused')
})

t.test('fills one board before it starts the next', async t => {
  const world = cluster(small('node-a'), small('node-b'), small('node-c'))
  for (let i = 0; i < 5; i++) put(world, `p${i}`, requesting({ cpu: '100m', memory: '64Mi' }))
  world.settle([scheduling])
  t.same(
    [0, 1, 2, 3, 4].map(i => nodeOf(world, `p${i}`)),
    ['node-a', 'node-a', 'node-a', 'node-a', 'node-b'],
  )
})

t.test('a pod that fits nowhere says why, once, in upstream words', async t => {
  const world = cluster(
    small('full'),
    small('tainted', { spec: { taints: [{ key: 'gpu', effect: 'NoSchedule' }] } }),
    small('cordoned', { spec: { unschedulable: true } }),
    small('silent', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }),
  )
  put(world, 'big', requesting({ cpu: '3', memory: '2Gi' }))
  world.settle([scheduling])
  const message =
    '0/4 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) had untolerated taint(s), 1 node(s) were not in contact, 1 node(s) were unschedulable.'
  t.match(condition(world, 'big'), { status: 'False', reason: 'Unschedulable', message })
  t.match(world.events, [{ type: 'Warning', reason: 'FailedScheduling', note: message }])
  t.equal(world.settle([scheduling]), 0, 'and is not written again')
})

t.test('a pod that waits is not written again because refusals changed their number, their order or the way a node is marked', async t => {
  const world = cluster(small('node-01', { spec: { taints: [{ key: 'gpu', effect: 'NoExecute' }] } }))
  for (let i = 2; i <= 10; i++) world.put(small(`node-${i}`))
  put(world, 'big', requesting({ cpu: '3' }))
  world.settle([scheduling])
  const { message } = condition(world, 'big')!
  t.equal(message, '0/10 nodes are available: 1 node(s) had untolerated taint(s), 9 Insufficient cpu.')
  // One more of nine is ten: as text it comes first.
  world.put(small('node-11'))
  world.settle([scheduling])
  world.edit('Node', 'node-01', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } })
  world.settle([scheduling])
  t.equal(condition(world, 'big')?.message, message)
})

t.test('without nodes it says so, and is placed when one comes', async t => {
  const world = createWorld()
  put(world, 'web')
  world.settle([scheduling])
  t.equal(condition(world, 'web')?.message, 'no nodes available to schedule pods')
  world.put(small('node-1'))
  world.settle([scheduling])
  t.equal(nodeOf(world, 'web'), 'node-1')
})

t.test('room that another pod gives back is used', async t => {
  const world = cluster(small('node-1'))
  put(world, 'first', requesting({ cpu: '800m' }))
  put(world, 'second', requesting({ cpu: '800m' }))
  world.settle([scheduling])
  t.equal(nodeOf(world, 'second'), undefined)
  world.edit('Pod', 'default/first', { status: { phase: 'Succeeded' } })
  world.settle([scheduling])
  t.equal(nodeOf(world, 'second'), 'node-1')
})

t.test('leaves gated pods, those of another scheduler and those being deleted alone', async t => {
  const world = cluster(small('node-1'))
  put(world, 'gated', { schedulingGates: [{ name: 'example.com/wait' }] })
  put(world, 'foreign', { schedulerName: 'other' })
  put(world, 'going', {}, { deletionTimestamp: '2026-11-22T10:00:00Z', deletionGracePeriodSeconds: 30 })
  world.settle([scheduling])
  for (const name of ['gated', 'foreign', 'going']) t.equal(nodeOf(world, name), undefined)
  t.equal(condition(world, 'gated')?.reason, 'SchedulingGated')
  world.edit('Pod', 'default/gated', { spec: { schedulingGates: [] } })
  world.settle([scheduling])
  t.equal(nodeOf(world, 'gated'), 'node-1')
})

t.test('higher priority is placed first', async t => {
  const world = cluster(small('node-1'))
  put(world, 'a-low', requesting({ cpu: '800m' }))
  put(world, 'b-high', { ...requesting({ cpu: '800m' }), priority: 1_000 })
  world.settle([scheduling])
  t.equal(nodeOf(world, 'b-high'), 'node-1')
  t.equal(nodeOf(world, 'a-low'), undefined)
})

t.test('a big batch is bound in bounded steps', async t => {
  const world = createWorld()
  for (let i = 0; i < 20; i++) world.put(nodeObject(`node-${i}`))
  for (let i = 0; i < 700; i++) put(world, `p${i}`)
  const first = scheduling.reconcile(world.view, 'pods', world.nowMs)
  t.equal(first.actions.filter(action => action.do === 'bind').length, 500)
  t.equal(first.again?.afterMs, 0)
})

t.test('a node is not asked about again because of its heartbeat', async t => {
  const world = cluster(small('node-1'))
  const watched = scheduling.watches.find(each => each.kind === 'Node')!
  const old = world.get('Node', 'node-1')!
  world.edit('Node', 'node-1', { status: { images: [{ names: ['x'] }] } })
  t.same(watched.keys(world.get('Node', 'node-1')!, old, world.view), [])
  world.edit('Node', 'node-1', { spec: { unschedulable: true } })
  t.same(watched.keys(world.get('Node', 'node-1')!, old, world.view), ['pods'])
})

t.test('what is remembered between runs never changes an answer', async () => {
  const arbitrary = fc.array(fc.tuple(fc.nat({ max: 5 }), fc.integer({ min: 1, max: 9 })), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(arbitrary, moves => {
      const world = cluster(small('node-0'), small('node-1'), small('node-2'))
      const remembering = createScheduling()
      for (const [index, [move, size]] of moves.entries()) {
        const pods = world.list<Pod>('Pod')
        const some = pods[size % Math.max(1, pods.length)]
        if (move <= 2) put(world, `p${index}`, requesting({ cpu: `${size}00m` }))
        else if (move === 3 && some) world.edit('Pod', `default/${some.metadata.name}`, { status: { phase: 'Succeeded' } })
        else if (move === 4) world.edit('Node', `node-${size % 3}`, { spec: { unschedulable: size % 2 === 0 } })
        else if (some) world.remove('Pod', `default/${some.metadata.name}`)
        const fresh = createScheduling().reconcile(world.view, 'pods', world.nowMs)
        const result = remembering.reconcile(world.view, 'pods', world.nowMs)
        if (JSON.stringify(result) !== JSON.stringify(fresh)) return false
        for (const action of result.actions) world.apply(action)
        // A pod refused before others were placed may hear a new reason once; nothing is bound by that, and then it is quiet.
        const again = remembering.reconcile(world.view, 'pods', world.nowMs)
        if (again.actions.some(action => action.do === 'bind')) return false
        for (const action of again.actions) world.apply(action)
        if (remembering.reconcile(world.view, 'pods', world.nowMs).actions.length > 0) return false
      }
      return true
    }),
    { numRuns: 60 },
  )
})
