// Nodes and contact: silence is shown, never acted on.

import t from 'tap'
import { controllers } from '../../../src/controllers/index.ts'
import { nodeLifecycle } from '../../../src/controllers/node-lifecycle.ts'
import type { Condition } from '../../../src/kinds/meta.ts'
import type { Node, Taint } from '../../../src/kinds/node.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { fc } from '../../property.ts'
import type { Loose, World } from './world.ts'
import { createWorld, namespaceObject, nodeObject, runningStatus, workload } from './world.ts'

const UNREACHABLE = 'node.kubernetes.io/unreachable'

const fleet = (count: number): World => {
  const world = createWorld()
  world.put(namespaceObject('kube-system'))
  for (let i = 1; i <= count; i++) {
    world.put(nodeObject(`node-${i}`))
    world.contacts.set(`node-${i}`, { connected: true, silentMs: 0 })
  }
  while (world.reconcile(nodeLifecycle, 'nodes').length > 0);
  return world
}

const look = (world: World): void => {
  for (let i = 0; i < 5; i++) world.reconcile(nodeLifecycle, 'nodes')
}

const silence = (world: World, name: string, silentMs: number): void => void world.contacts.set(name, { connected: false, silentMs })

const node = (world: World, name: string): Node => world.get<Node>('Node', name)!
const ready = (world: World, name: string): Condition => node(world, name).status!.conditions!.find(each => each.type === 'Ready')!
const taints = (world: World, name: string): readonly Taint[] => node(world, name).spec?.taints ?? []

t.test('a node in contact is left alone', async t => {
  const world = fleet(2)
  t.same(nodeLifecycle.reconcile(world.view, 'nodes', world.nowMs), { actions: [] })
})

t.test('a short silence is waited out', async t => {
  const world = fleet(1)
  silence(world, 'node-1', 15_000)
  t.same(nodeLifecycle.reconcile(world.view, 'nodes', world.nowMs), {
    actions: [],
    again: { afterMs: 25_000, why: 'a silent node is to be judged' },
  })
})

t.test('a silent node becomes Unknown with the time it was last seen, and takes no new pods', async t => {
  const world = fleet(1)
  silence(world, 'node-1', 60_000)
  look(world)
  t.match(ready(world, 'node-1'), { status: 'Unknown', reason: 'NodeStatusUnknown', message: 'last seen 2026-11-22T09:59:00Z' })
  t.same(taints(world, 'node-1'), [{ key: UNREACHABLE, effect: 'NoSchedule' }])
  t.same(
    world.events.map(event => event.reason),
    ['NodeUnknown'],
  )
  t.same(
    nodeLifecycle.reconcile(world.view, 'nodes', world.nowMs + 3_600_000).actions,
    [],
    'and nothing more is said while it stays silent',
  )
})

t.test('back in contact: what the device last said of itself holds again, and the taint goes', async t => {
  const world = fleet(1)
  const before = ready(world, 'node-1')
  silence(world, 'node-1', 60_000)
  look(world)
  world.nowMs += 600_000
  world.contacts.set('node-1', { connected: true, silentMs: 0 })
  look(world)
  t.match(ready(world, 'node-1'), {
    status: 'True',
    reason: before.reason,
    message: before.message,
    lastTransitionTime: '2026-11-22T10:10:00Z',
  })
  t.same(
    node(world, 'node-1').status!.conditions!.map(each => each.type),
    ['Ready', 'heliopause.io/Contact'],
  )
  t.same(taints(world, 'node-1'), [])
})

t.test('a device that reports NotReady on its return is believed', async t => {
  const world = fleet(1)
  silence(world, 'node-1', 60_000)
  look(world)
  world.contacts.set('node-1', { connected: true, silentMs: 0 })
  const kept = node(world, 'node-1').status!.conditions!.filter(each => each.type !== 'Ready')
  world.edit('Node', 'node-1', { status: { conditions: [...kept, { type: 'Ready', status: 'False', reason: 'RuntimeDown' }] } })
  look(world)
  t.equal(ready(world, 'node-1').reason, 'RuntimeDown')
  t.same(taints(world, 'node-1'), [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }])
})

t.test('after a restart the server listens before it judges', async t => {
  const world = fleet(1)
  world.contacts.clear()
  world.uptimeMs = 10_000
  t.same(nodeLifecycle.reconcile(world.view, 'nodes', world.nowMs), {
    actions: [],
    again: { afterMs: 290_000, why: 'a silent node is to be judged' },
  })
  world.uptimeMs = 300_000
  look(world)
  t.match(ready(world, 'node-1').message, /^last seen after 2026-11-22T09:00:00Z; not heard since this server started at /)
})

t.test('a node that was Unknown before a restart stays so until it calls', async t => {
  const world = fleet(1)
  silence(world, 'node-1', 60_000)
  look(world)
  const before = ready(world, 'node-1')
  world.contacts.clear()
  world.uptimeMs = 1_000
  look(world)
  t.same(ready(world, 'node-1'), before)
})

t.test('when many fall silent together no taint is touched, and one Event says why', async t => {
  const world = fleet(10)
  for (let i = 1; i <= 6; i++) silence(world, `node-${i}`, 60_000)
  look(world)
  for (let i = 1; i <= 10; i++) t.same(taints(world, `node-${i}`), [])
  t.equal(ready(world, 'node-1').status, 'Unknown', 'but nobody claims that they are Ready')
  const brakes = world.events.filter(event => event.reason === 'ContactBrake')
  t.equal(brakes.length, 1)
  t.match(brakes[0], {
    type: 'Warning',
    regarding: { kind: 'Namespace', name: 'kube-system' },
    note: /^6 of 10 nodes fell silent together/,
  })
})

t.test('the brake sees those that have just lost contact, so the first of many is not tainted either', async t => {
  const world = fleet(10)
  silence(world, 'node-1', 41_000)
  for (let i = 2; i <= 6; i++) silence(world, `node-${i}`, 20_000)
  look(world)
  t.same(taints(world, 'node-1'), [])
})

t.test('a restarted server gives up nobody while many have yet to call: they may be lost as well', async t => {
  const world = fleet(10)
  for (let i = 1; i <= 5; i++) world.contacts.delete(`node-${i}`)
  world.uptimeMs = 60_000
  look(world)
  t.same(world.events, [], 'a restart alone pulls no brake')
  silence(world, 'node-6', 41_000)
  look(world)
  t.same(taints(world, 'node-6'), [])
  t.ok(world.events.some(event => event.reason === 'ContactBrake'))
})

t.test('the brake comes off when contact returns', async t => {
  const world = fleet(10)
  for (let i = 1; i <= 6; i++) silence(world, `node-${i}`, 60_000)
  look(world)
  for (let i = 1; i <= 5; i++) world.contacts.set(`node-${i}`, { connected: true, silentMs: 0 })
  look(world)
  t.equal(ready(world, 'node-1').status, 'True')
  t.equal(taints(world, 'node-6').length, 1)
})

t.test('a fleet of any size is written in bounded steps', async t => {
  const world = fleet(1_200)
  for (let i = 1; i <= 1_200; i++) silence(world, `node-${i}`, 60_000)
  t.same(
    world.reconcile(nodeLifecycle, 'nodes').flatMap(action => ('kind' in action ? [action.kind] : [])),
    ['Namespace'],
    'the brake is known before anything else',
  )
  t.equal(world.reconcile(nodeLifecycle, 'nodes').filter(action => action.do === 'patchStatus').length, 500)
  look(world)
  t.ok(world.list<Node>('Node').every(each => ready(world, each.metadata.name!).status === 'Unknown'))
})

t.test('a cordoned node carries the taint that says so, and taints of others are kept', async t => {
  const world = fleet(1)
  const foreign: Loose = { key: 'example.com/gpu', effect: 'NoExecute' }
  world.edit('Node', 'node-1', { spec: { unschedulable: true, taints: [foreign] } })
  look(world)
  t.same(taints(world, 'node-1'), [foreign, { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }])
  world.edit('Node', 'node-1', { spec: { unschedulable: false } })
  look(world)
  t.same(taints(world, 'node-1'), [foreign])
})

t.test('whatever falls silent for however long, no controller deletes, replaces or creates a pod', async () => {
  const silences = fc.array(fc.record({ connected: fc.boolean(), silentMs: fc.integer({ min: 0, max: 30 * 86_400_000 }) }), {
    minLength: 8,
    maxLength: 8,
  })
  fc.assert(
    fc.property(silences, fc.integer({ min: 0, max: 10 * 86_400_000 }), (contacts, uptimeMs) => {
      const world = fleet(8)
      for (const name of ['default', 'kube-public', 'kube-node-lease']) world.put(namespaceObject(name))
      world.put(workload('Deployment', 'web', { replicas: 8 }))
      world.settle(controllers)
      for (const [i, pod] of world.list<Pod>('Pod').entries())
        world.edit('Pod', `default/${pod.metadata.name}`, { spec: { nodeName: `node-${i + 1}` }, status: runningStatus(world.nowMs) })
      world.settle(controllers)
      const before = world.list<Pod>('Pod')
      for (const [i, contact] of contacts.entries()) world.contacts.set(`node-${i + 1}`, contact)
      world.uptimeMs = uptimeMs
      world.nowMs += uptimeMs
      look(world)
      world.settle(controllers)
      return (
        JSON.stringify(world.list<Pod>('Pod')) === JSON.stringify(before) &&
        world.list<Node>('Node').every(each => !each.spec?.taints?.some(taint => taint.effect === 'NoExecute'))
      )
    }),
    { numRuns: 40 },
  )
})

const contact = (world: World, name: string): Condition =>
  node(world, name).status!.conditions!.find(each => each.type === 'heliopause.io/Contact')!
const annotate = (world: World, name: string, annotations: Record<string, string>): void =>
  world.edit('Node', name, { metadata: { annotations } })
const OUT: Taint = { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' }
const HOUR = 3_600_000

t.test('a node says whether it is in contact, and writes nothing while it stays so', async t => {
  const world = fleet(1)
  t.match(contact(world, 'node-1'), { status: 'True', reason: 'Online', message: 'in contact' })
  silence(world, 'node-1', 20_000)
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Online', 'a blink is no silence')
  silence(world, 'node-1', 60_000)
  look(world)
  t.match(contact(world, 'node-1'), {
    status: 'Unknown',
    reason: 'Unknown',
    message: 'last seen 2026-11-22T09:59:00Z',
    lastHeartbeatTime: '2026-11-22T09:59:00Z',
  })
})

t.test('a node that calls once an hour is Offline in between: Ready as it said, untainted, and no Event', async t => {
  const world = fleet(1)
  annotate(world, 'node-1', { 'heliopause.io/contact-interval': '1h' })
  silence(world, 'node-1', HOUR)
  look(world)
  t.match(contact(world, 'node-1'), { status: 'False', reason: 'Offline', message: /^last seen .*; silent by design, it calls every 60m$/ })
  t.equal(ready(world, 'node-1').status, 'True')
  t.same(taints(world, 'node-1'), [])
  t.same(world.events, [])
  silence(world, 'node-1', 1.25 * HOUR + 40_000)
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Unknown')
  t.equal(ready(world, 'node-1').status, 'Unknown')
})

t.test('a silence the link announced is by design as well, and ends an Unknown', async t => {
  const world = fleet(1)
  silence(world, 'node-1', 60_000)
  look(world)
  world.contacts.set('node-1', { connected: false, silentMs: 70_000, contactIntervalMs: 600_000 })
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Offline')
  t.match(ready(world, 'node-1'), { status: 'True', reason: 'KubeletReady' })
  t.same(taints(world, 'node-1'), [])
})

t.test('what a device announced is remembered over a restart of the server, and an operator knows better', async t => {
  const world = fleet(1)
  world.contacts.set('node-1', { connected: true, silentMs: 0, contactIntervalMs: HOUR })
  look(world)
  t.equal(node(world, 'node-1').metadata.annotations?.['heliopause.io/announced-contact-interval'], '3600s')
  world.contacts.clear()
  world.uptimeMs = HOUR
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Offline')
  annotate(world, 'node-1', { 'heliopause.io/contact-interval': '10m' })
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Unknown')
  world.contacts.set('node-1', { connected: true, silentMs: 0 })
  look(world)
  t.equal(node(world, 'node-1').metadata.annotations?.['heliopause.io/announced-contact-interval'], undefined)
})

t.test('nodes that are silent by design neither pull the brake nor keep others from pulling it', async t => {
  const world = fleet(30)
  for (let i = 1; i <= 20; i++) {
    annotate(world, `node-${i}`, { 'heliopause.io/contact-interval': '1h' })
    silence(world, `node-${i}`, 10_000)
  }
  look(world)
  t.same(world.events, [])
  for (let i = 21; i <= 25; i++) silence(world, `node-${i}`, 60_000)
  look(world)
  t.match(
    world.events.map(event => event.note),
    [/^5 of 10 nodes fell silent together/, ...Array<RegExp>(5).fill(/out of contact/)],
  )
})

t.test('a silent node with the taint of an operator is Dead; one that calls is not, whatever the taint says', async t => {
  const world = fleet(1)
  world.edit('Node', 'node-1', { spec: { taints: [OUT] } })
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Online')
  silence(world, 'node-1', 1_000)
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Online', 'nobody dies of a blink')
  world.contacts.clear()
  world.uptimeMs = 1_000
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Online', 'nor of a restart of the server')
  silence(world, 'node-1', 41_000)
  look(world)
  t.match(contact(world, 'node-1'), { status: 'False', reason: 'Dead', message: /declared dead by the taint/ })
  t.equal(ready(world, 'node-1').status, 'Unknown')
  world.contacts.set('node-1', { connected: true, silentMs: 0 })
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Online')
  t.same(taints(world, 'node-1'), [OUT], 'only the operator takes his taint back')
})

t.test('a node that is Unknown or Offline is Dead as soon as an operator says so', async t => {
  const world = fleet(2)
  annotate(world, 'node-2', { 'heliopause.io/contact-interval': '1d' })
  silence(world, 'node-1', 60_000)
  silence(world, 'node-2', 60_000)
  look(world)
  world.contacts.clear()
  world.uptimeMs = 1_000
  for (const name of ['node-1', 'node-2']) world.edit('Node', name, { spec: { taints: [OUT] } })
  look(world)
  t.same([contact(world, 'node-1').reason, contact(world, 'node-2').reason], ['Dead', 'Dead'])
})

t.test('a fencing policy declares nodes dead one by one, and takes its word back when they call', async t => {
  const world = fleet(8)
  for (const name of ['node-1', 'node-2']) {
    annotate(world, name, { 'heliopause.io/fence-after': '24h' })
    silence(world, name, 23 * HOUR)
  }
  look(world)
  t.notOk(taints(world, 'node-1').some(taint => taint.key === OUT.key))
  t.equal(nodeLifecycle.reconcile(world.view, 'nodes', world.nowMs).again?.afterMs, HOUR)
  silence(world, 'node-1', 24 * HOUR)
  silence(world, 'node-2', 25 * HOUR)
  look(world)
  const dead = (): string[] =>
    world
      .list<Node>('Node')
      .filter(each => contact(world, each.metadata.name!).reason === 'Dead')
      .map(each => each.metadata.name!)
  t.same(dead(), ['node-2'], 'the longest silent first')
  t.match(taints(world, 'node-2').at(-1), { key: OUT.key, value: 'fence-after', effect: 'NoExecute', timeAdded: '2026-11-22T10:00:00Z' })
  t.ok(world.events.some(event => event.reason === 'NodeFenced'))
  world.nowMs += 60_000
  look(world)
  t.same(dead(), ['node-1', 'node-2'])
  world.contacts.set('node-2', { connected: true, silentMs: 0 })
  look(world)
  t.same(dead(), ['node-1'])
  t.same(taints(world, 'node-2'), [])
})

t.test('a fencing policy waits under the brake, after it, and after a restart of the server', async t => {
  const world = fleet(10)
  for (let i = 1; i <= 6; i++) {
    annotate(world, `node-${i}`, { 'heliopause.io/fence-after': '1m' })
    silence(world, `node-${i}`, 2 * HOUR)
  }
  const isFenced = (): boolean => world.list<Node>('Node').some(each => each.spec?.taints?.some(taint => taint.key === OUT.key))
  look(world)
  t.notOk(isFenced())
  for (let i = 1; i <= 5; i++) world.contacts.set(`node-${i}`, { connected: true, silentMs: 0 })
  look(world)
  t.notOk(isFenced(), 'the others may be on their way back')
  world.nowMs += 300_000
  world.contacts.delete('node-6')
  world.uptimeMs = 600_000
  look(world)
  t.notOk(isFenced(), 'this server has not listened long enough')
  world.uptimeMs = 1_200_000
  look(world)
  t.ok(isFenced())
})

t.test('a fenced node that is back still counts for the pace of fencing', async t => {
  const world = fleet(8)
  for (const name of ['node-1', 'node-2']) annotate(world, name, { 'heliopause.io/fence-after': '1m' })
  silence(world, 'node-1', HOUR)
  look(world)
  t.equal(contact(world, 'node-1').reason, 'Dead')
  world.contacts.set('node-1', { connected: true, silentMs: 0 })
  silence(world, 'node-2', HOUR)
  look(world)
  t.same(taints(world, 'node-1'), [])
  t.equal(contact(world, 'node-2').reason, 'Unknown')
  world.nowMs += 60_000
  look(world)
  t.equal(contact(world, 'node-2').reason, 'Dead')
})

t.test('a fencing that an earlier clock stamped with the future does not hold the next one up', async t => {
  const world = fleet(8)
  for (const name of ['node-1', 'node-2']) annotate(world, name, { 'heliopause.io/fence-after': '1m' })
  silence(world, 'node-1', HOUR)
  look(world)
  world.nowMs -= 365 * 24 * HOUR
  silence(world, 'node-2', HOUR)
  look(world)
  t.equal(contact(world, 'node-2').reason, 'Dead')
})

t.test('the brake is a condition of the cluster and of each node it concerns, and comes off again', async t => {
  const world = fleet(10)
  const brake = (): string | undefined =>
    world
      .get<{ status: { conditions?: Condition[] } }>('Namespace', 'kube-system')!
      .status.conditions?.find(each => each.type === 'heliopause.io/ContactBrake')?.status
  for (let i = 1; i <= 6; i++) silence(world, `node-${i}`, 60_000)
  look(world)
  t.equal(brake(), 'True')
  const braked = (): number =>
    world.list<Node>('Node').filter(each => each.status!.conditions!.some(one => one.type === 'heliopause.io/ContactBrake')).length
  t.equal(braked(), 6)
  for (let i = 1; i <= 6; i++) world.contacts.set(`node-${i}`, { connected: true, silentMs: 0 })
  look(world)
  t.equal(brake(), 'False')
  t.equal(braked(), 0)
  t.same(
    world.events.map(event => event.reason).filter(reason => reason.startsWith('ContactBrake')),
    ['ContactBrake', 'ContactBrakeReleased'],
  )
})
