// Garbage collection: background, foreground, orphan, and never on missing knowledge.

import t from 'tap'
import { garbageCollection } from '../../../src/controllers/garbage-collection.ts'
import type { OwnerReference } from '../../../src/kinds/meta.ts'
import type { Loose, World } from './world.ts'
import { createWorld } from './world.ts'

const object = (name: string, owners: OwnerReference[] = [], meta: Loose = {}): Loose => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default', ...(owners.length > 0 ? { ownerReferences: owners } : {}), ...meta },
})

const owner = (world: World, name: string, block = false): OwnerReference => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  name,
  uid: world.get('ConfigMap', `default/${name}`)!.metadata.uid!,
  ...(block ? { blockOwnerDeletion: true } : {}),
})

const names = (world: World): string[] => world.list('ConfigMap').map(each => each.metadata.name!)

const settle = (world: World): number => world.settle([garbageCollection])

const family = (): World => {
  const world = createWorld()
  world.put(object('a-parent'))
  world.put(object('b-child', [owner(world, 'a-parent', true)]))
  world.put(object('c-grandchild', [owner(world, 'b-child', true)]))
  settle(world)
  return world
}

const removeWith = (world: World, name: string, propagationPolicy: 'Background' | 'Foreground' | 'Orphan'): void => {
  const { uid } = world.get('ConfigMap', `default/${name}`)!.metadata
  world.apply({ do: 'delete', kind: 'ConfigMap', key: `default/${name}`, uid: uid!, propagationPolicy })
}

t.test('leaves everything alone while its owners exist', async t => {
  const world = family()
  t.equal(settle(world), 0)
  t.equal(names(world).length, 3)
})

t.test('background: dependents go after their owner, down the line', async t => {
  const world = family()
  removeWith(world, 'a-parent', 'Background')
  settle(world)
  t.same(names(world), [])
})

t.test('an object created after its owner went is collected too', async t => {
  const world = createWorld()
  world.put(object('a-parent'))
  const gone = owner(world, 'a-parent')
  world.remove('ConfigMap', 'default/a-parent')
  world.put(object('late', [gone]))
  settle(world)
  t.same(names(world), [])
})

t.test('an owner of the same name but another uid does not count as the owner', async t => {
  const world = createWorld()
  world.put(object('a-parent'))
  world.put(object('child', [{ ...owner(world, 'a-parent'), uid: 'long gone' }]))
  settle(world)
  t.same(names(world), ['a-parent'])
})

t.test('with two owners an object stays until both are gone, and forgets the first', async t => {
  const world = createWorld()
  world.put(object('one'))
  world.put(object('two'))
  world.put(object('child', [owner(world, 'one'), owner(world, 'two')]))
  world.remove('ConfigMap', 'default/one')
  settle(world)
  t.same(
    world.get('ConfigMap', 'default/child')!.metadata.ownerReferences?.map(each => each.name),
    ['two'],
  )
  world.remove('ConfigMap', 'default/two')
  settle(world)
  t.same(names(world), [])
})

t.test('an owner of a kind nobody registered keeps its dependents: not knowing is not knowing that it is gone', async t => {
  const world = createWorld()
  world.put(object('child', [{ apiVersion: 'factory.example/v1', kind: 'Robot', name: 'r', uid: 'robot' }]))
  t.equal(settle(world), 0)
  t.same(names(world), ['child'])
})

t.test('foreground: the owner goes last', async t => {
  const world = family()
  removeWith(world, 'a-parent', 'Foreground')
  const order: string[] = []
  world.view.subscribe(changes => {
    for (const { object: changed } of changes) if (!world.view.exists(changed.metadata.uid!)) order.push(changed.metadata.name!)
  })
  settle(world)
  t.same(order, ['c-grandchild', 'b-child', 'a-parent'])
})

t.test('foreground: a dependent that is held holds its owner', async t => {
  const world = createWorld()
  world.put(object('a-parent'))
  world.put(object('child', [owner(world, 'a-parent', true)], { finalizers: ['example.com/wait'] }))
  removeWith(world, 'a-parent', 'Foreground')
  settle(world)
  t.same(names(world), ['a-parent', 'child'])
  t.ok(world.get('ConfigMap', 'default/child')!.metadata.deletionTimestamp)
  world.edit('ConfigMap', 'default/child', { metadata: { finalizers: null } })
  settle(world)
  t.same(names(world), [])
})

t.test('orphan: dependents stay and forget their owner', async t => {
  const world = family()
  removeWith(world, 'a-parent', 'Orphan')
  settle(world)
  t.same(names(world), ['b-child', 'c-grandchild'])
  t.equal(world.get('ConfigMap', 'default/b-child')!.metadata.ownerReferences, undefined)
})

t.test('a delete carries the uid and the version that were seen', async t => {
  const world = family()
  removeWith(world, 'a-parent', 'Background')
  const { actions } = garbageCollection.reconcile(world.view, 'ConfigMap|default/b-child', world.nowMs)
  const { uid, resourceVersion } = world.get('ConfigMap', 'default/b-child')!.metadata
  t.match(actions, [{ do: 'delete', uid, resourceVersion }])
})
