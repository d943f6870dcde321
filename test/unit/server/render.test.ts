// The document of a device: what is in it, what is kept out, and whose change concerns whom.

import t from 'tap'
import { REPLACES, STOP_AFTER, SUPERSEDED } from '../../../src/kinds/disconnection.ts'
import { HOLD, HOLD_ID, HOLD_LIFTED } from '../../../src/kinds/hold.ts'
import type { KubeObject } from '../../../src/kinds/meta.ts'
import { affectedDevices, renderDocument } from '../../../src/server/render.ts'
import type { World } from '../controllers/world.ts'
import { createWorld, namespaceObject, nodeObject } from '../controllers/world.ts'

const CIDR = '10.0.0.0/8'

const worldWith = (annotations: Record<string, string> = {}): World => {
  const world = createWorld()
  world.put(namespaceObject('default'))
  world.put(nodeObject('node-1'))
  world.put(nodeObject('node-2'))
  world.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'default', annotations },
    spec: { nodeName: 'node-1', containers: [] },
  })
  return world
}

const annotationsIn = (world: World): unknown => renderDocument(world.view, 'node-1', CIDR)?.pods[0]?.metadata.annotations

t.test('stop-after of the namespace reaches every pod that says nothing of its own', async t => {
  const world = worldWith()
  t.equal(annotationsIn(world), undefined)
  world.edit('Namespace', 'default', { metadata: { annotations: { [STOP_AFTER]: '1h' } } })
  t.same(annotationsIn(world), { [STOP_AFTER]: '1h' })
  world.edit('Pod', 'default/web', { metadata: { annotations: { [STOP_AFTER]: '5m' } } })
  t.same(annotationsIn(world), { [STOP_AFTER]: '5m' })
})

t.test('a change of that default concerns the devices of the namespace, another change of it nobody', async t => {
  const world = worldWith()
  const old = world.get('Namespace', 'default')!
  const changed = { ...old, metadata: { ...old.metadata, annotations: { [STOP_AFTER]: '1h' } } } as KubeObject
  t.same(affectedDevices(world.view, changed, old), ['node-1'])
  t.same(affectedDevices(world.view, { ...old, metadata: { ...old.metadata, labels: { a: 'b' } } }, old), [])
})

t.test('what the server notes about a pod is no news for its device; a lifted hold is', async t => {
  const bookkeeping = { [SUPERSEDED]: '2026-11-22T10:00:00Z', [REPLACES]: 'uid', [HOLD]: 'h1 by root at noon', [HOLD_ID]: 'h1' }
  t.equal(annotationsIn(worldWith(bookkeeping)), undefined)
  t.same(annotationsIn(worldWith({ ...bookkeeping, [HOLD_LIFTED]: 'h1', note: 'x' })), { [HOLD_LIFTED]: 'h1', note: 'x' })
})
