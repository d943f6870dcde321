// A device that does not follow a restored server: its Node says so while it lasts.

import t from 'tap'
import { nodeLifecycle } from '../../../src/controllers/node-lifecycle.ts'
import { CONFLICT, conflictMessage, type HeadConflict } from '../../../src/kinds/conflict.ts'
import type { Condition, KubeObject } from '../../../src/kinds/meta.ts'
import type { Node } from '../../../src/kinds/node.ts'
import { nodeKind } from '../../../src/kinds/node.ts'
import { createWorld, namespaceObject, nodeObject, type World } from './world.ts'

const HELD: HeadConflict = { held: { epoch: 'before', generation: 812 }, epoch: 'after', base: 700 }

const site = (): World => {
  const world = createWorld()
  world.put(namespaceObject('kube-system'))
  world.put(nodeObject('press-1'))
  say(world, null)
  return world
}
/** What the device said last; undefined: nothing yet. */
const say = (world: World, conflict: HeadConflict | null | undefined, connected = true): void => {
  world.contacts.set('press-1', { connected, silentMs: connected ? 0 : 60_000, ...(conflict === undefined ? {} : { conflict }) })
  for (let i = 0; i < 5; i++) world.reconcile(nodeLifecycle, 'nodes')
}
const shown = (world: World): Condition | undefined =>
  world.get<Node>('Node', 'press-1')?.status?.conditions?.find(each => each.type === CONFLICT)
const told = (world: World): string[] => world.events.map(event => event.reason)
const statusOf = (world: World): unknown => nodeKind.row?.(world.get<KubeObject>('Node', 'press-1')!, world.nowMs)[1]

t.test('a conflict is a condition while it lasts, told once', async t => {
  const world = site()
  t.equal(shown(world), undefined)
  say(world, HELD)
  t.match(shown(world), { status: 'True', reason: 'ServerRestored', message: conflictMessage('press-1', HELD) })
  t.match(statusOf(world), /^Ready,Conflict$/)
  const { lastTransitionTime } = shown(world)!
  world.nowMs += 60_000
  say(world, { ...HELD })
  t.equal(shown(world)?.lastTransitionTime, lastTransitionTime)
  t.same(told(world), ['ServerRestored'])
  say(world, null)
  t.equal(shown(world), undefined)
  t.equal(statusOf(world), 'Ready')
  t.same(told(world), ['ServerRestored'])
})

t.test('what a device has not said since the server started changes nothing', async t => {
  const world = site()
  say(world, HELD)
  const before = shown(world)
  say(world, undefined)
  world.uptimeMs = 1000
  world.contacts.delete('press-1')
  world.reconcile(nodeLifecycle, 'nodes')
  t.same(shown(world), before)
  t.same(told(world), ['ServerRestored'])
})

t.test('silent, it is still in conflict; restored again, it is in another one', async t => {
  const world = site()
  say(world, HELD)
  say(world, HELD, false)
  t.match(statusOf(world), /^NotReady,Unknown,Conflict$/)
  t.same(told(world), ['ServerRestored', 'NodeUnknown'])
  say(world, { ...HELD, epoch: 'later' })
  t.match(shown(world)?.message, /is in epoch later,/)
  t.same(told(world), ['ServerRestored', 'NodeUnknown', 'ServerRestored'])
})
