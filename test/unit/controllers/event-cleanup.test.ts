// Events grow old.

import t from 'tap'
import { timestamp } from '../../../src/base/clock.ts'
import { eventCleanup } from '../../../src/controllers/event-cleanup.ts'
import type { World } from './world.ts'
import { createWorld } from './world.ts'

const HOUR_MS = 3_600_000

const put = (world: World, name: string, atMs: number): void =>
  void world.put({ apiVersion: 'v1', kind: 'Event', metadata: { name, namespace: 'default' }, lastTimestamp: timestamp(atMs) })

t.test('an Event is deleted an hour after it last happened', async t => {
  const world = createWorld()
  put(world, 'old', world.nowMs - HOUR_MS)
  put(world, 'young', world.nowMs - HOUR_MS / 2)
  const { actions, again } = eventCleanup.reconcile(world.view, 'events', world.nowMs)
  t.match(actions, [{ do: 'delete', key: 'default/old' }])
  t.equal(actions.length, 1)
  t.equal(again?.afterMs, HOUR_MS / 2)
})

t.test('without Events there is nothing to wake up for', async t => {
  const world = createWorld()
  t.same(eventCleanup.reconcile(world.view, 'events', world.nowMs), { actions: [] })
})

t.test('above the bound the oldest go before their time, in bounded steps', async t => {
  const world = createWorld()
  for (let i = 0; i < 5_600; i++) put(world, `event-${i}`, world.nowMs - i * 1_000)
  const { actions, again } = eventCleanup.reconcile(world.view, 'events', world.nowMs)
  t.equal(actions.length, 500)
  t.match(actions[0], { key: 'default/event-5599' })
  t.equal(again?.afterMs, 0)
})
