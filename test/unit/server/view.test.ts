// The view over the real store: indexes that follow every change, arrays that stay as they were given.

import t from 'tap'
import { silentLog } from '../../../src/base/log.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { KINDS, kindByName } from '../../../src/kinds/index.ts'
import { storeKey } from '../../../src/kinds/kind.ts'
import type { LiveView } from '../../../src/server/view.ts'
import { createView } from '../../../src/server/view.ts'
import { openMemoryStore, type Store } from '../../../src/store/store.ts'
import { fc } from '../../property.ts'
import { handClock } from '../api/rig.ts'

const memoryStore = (): Store => openMemoryStore({ clock: handClock(), random: seededRandom('view'), log: silentLog })

const viewOf = (store: Store): LiveView => createView({ store, kinds: KINDS, contact: () => undefined, uptimeMs: () => 0 })

const pod = (
  name: string,
  extra: { namespace?: string; node?: string; owner?: string; labels?: Record<string, string> } = {},
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: extra.namespace ?? 'default',
    uid: `uid-${name}`,
    ...(extra.labels ? { labels: extra.labels } : {}),
    ...(extra.owner
      ? { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: extra.owner, uid: extra.owner, controller: true }] }
      : {}),
  },
  spec: { ...(extra.node ? { nodeName: extra.node } : {}) },
})

const keyOf = (object: KubeObject): string => storeKey(kindByName(object.kind)!, object.metadata.namespace, object.metadata.name)

const create = (store: Store, object: KubeObject) => store.write({ do: 'create', key: keyOf(object), object })
const replace = (store: Store, object: KubeObject) =>
  store.write({ do: 'update', key: keyOf(object), object, expectRevision: store.getStaged(keyOf(object))!.revision })
const remove = (store: Store, object: KubeObject) => store.write({ do: 'delete', key: keyOf(object) })

const names = (objects: readonly KubeObject[]): string[] => objects.map(each => each.metadata.name!)

t.test('starts with what is stored and follows every change, at the revision it shows', async t => {
  const store = memoryStore()
  await create(store, pod('a'))
  const view = viewOf(store)
  t.same(names(view.list('Pod')), ['a'])
  await create(store, pod('b', { node: 'n1' }))
  t.same(names(view.list('Pod')), ['a', 'b'])
  t.equal(view.revision, store.revision)
  await remove(store, pod('a'))
  t.same(names(view.list('Pod')), ['b'])
  t.notOk(view.exists('uid-a'))
  t.equal(view.get('Pod', 'default', 'a'), undefined)
  view.close()
})

t.test('finds by namespace, node, owner, absence of an owner, and label', async t => {
  const store = memoryStore()
  const view = viewOf(store)
  await create(store, pod('a', { node: 'n1', owner: 'set-1', labels: { app: 'x' } }))
  await create(store, pod('b', { owner: 'set-1' }))
  await create(store, pod('c', { namespace: 'other', node: 'n1' }))
  t.same(names(view.list('Pod', { namespace: 'other' })), ['c'])
  t.same(names(view.list('Pod', { node: 'n1' })), ['a', 'c'])
  t.same(names(view.list('Pod', { node: '' })), ['b'])
  t.same(names(view.list('Pod', { owner: 'set-1' })), ['a', 'b'])
  t.same(names(view.list('Pod', { namespace: 'other', owner: '' })), ['c'])
  t.same(names(view.list('Pod', { namespace: 'default', node: 'n1', selector: { matchLabels: { app: 'x' } } })), ['a'])
  t.same(names(view.dependents('set-1')), ['a', 'b'])
  await replace(store, pod('b', { node: 'n2' }))
  t.same(names(view.list('Pod', { owner: 'set-1' })), ['a'])
  t.same(names(view.list('Pod', { node: 'n2' })), ['b'])
  t.same(names(view.dependents('set-1')), ['a'])
})

t.test('the same array comes back until something in it changes, and one once given stays as it was', async t => {
  const store = memoryStore()
  const view = viewOf(store)
  await create(store, pod('a', { node: 'n1' }))
  await create(store, pod('b', { node: 'n2' }))
  const before = view.list('Pod', { node: 'n1' })
  await replace(store, pod('b', { node: 'n2', labels: { app: 'x' } }))
  t.equal(view.list('Pod', { node: 'n1' }), before)
  await create(store, pod('c', { node: 'n1' }))
  t.same(names(before), ['a'])
  t.same(names(view.list('Pod', { node: 'n1' })), ['a', 'c'])
})

t.test('kinds that controllers seldom read are listed from the store', async t => {
  const store = memoryStore()
  const view = viewOf(store)
  const secret: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'default', uid: 'secret' }, data: {} }
  await create(store, secret)
  t.match(view.list('Secret', { namespace: 'default' }), [{ metadata: { name: 's' } }])
  t.match(view.get('Secret', 'default', 's'), { metadata: { uid: 'secret' } })
})

t.test('knows registered kinds of any version, and objects of kinds it does not know', async t => {
  const store = memoryStore()
  const view = viewOf(store)
  t.ok(view.knows('apps/v1', 'Deployment'))
  t.ok(view.knows('apps/v1beta1', 'Deployment'))
  t.notOk(view.knows('v1', 'Deployment'))
  t.notOk(view.knows('factory.example/v1', 'Robot'))
  const robot: KubeObject = { apiVersion: 'factory.example/v1', kind: 'Robot', metadata: { name: 'r', namespace: 'default', uid: 'robot' } }
  await store.write({ do: 'create', key: '/factory.example/robots/default/r', object: robot })
  t.ok(view.exists('robot'))
  t.ok(view.namespacedKinds.includes('ConfigMap'))
  t.notOk(view.namespacedKinds.includes('Node'))
})

t.test('listeners hear of a batch when all of it is in the view', async t => {
  const store = memoryStore()
  const view = viewOf(store)
  const heard: [string, number][] = []
  const stop = view.subscribe(changes => {
    for (const { object } of changes) heard.push([object.metadata.name!, view.list('Pod').length])
  })
  await Promise.all([create(store, pod('a')), create(store, pod('b')), create(store, pod('c'))])
  // The first commits alone; the other two share a commit.
  t.same(heard, [
    ['a', 1],
    ['b', 3],
    ['c', 3],
  ])
  stop()
  await create(store, pod('d'))
  t.equal(heard.length, 3)
})

t.test('after any history the indexes say what a scan says', async () => {
  const step = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    gone: fc.boolean(),
    node: fc.constantFrom('', 'n1', 'n2'),
    owner: fc.constantFrom('', 'o1', 'o2'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      const store = memoryStore()
      const view = viewOf(store)
      for (const { name, gone, node, owner } of steps) {
        const object = pod(name, { node, owner })
        const exists = store.getStaged(keyOf(object)) !== undefined
        if (gone && exists) await remove(store, object)
        else if (exists) await replace(store, object)
        else await create(store, object)
        view.list('Pod', { node: 'n1' })
      }
      const all = store.list({ prefix: '' }).entries.map(entry => entry.object)
      const agree = (listed: readonly KubeObject[], keep: (object: KubeObject) => boolean): boolean =>
        names(listed).join() === names(all.filter(keep)).join()
      const nodeOf = (object: KubeObject): string => (object.spec as { nodeName?: string }).nodeName ?? ''
      const ownerOf = (object: KubeObject): string => object.metadata.ownerReferences?.[0]?.uid ?? ''
      return (
        ['', 'n1', 'n2'].every(node => agree(view.list('Pod', { node }), object => nodeOf(object) === node)) &&
        ['o1', 'o2'].every(owner => agree(view.list('Pod', { owner }), object => ownerOf(object) === owner)) &&
        agree(view.list('Pod', { namespace: 'default', owner: '' }), object => ownerOf(object) === '') &&
        agree(view.list('Pod'), () => true)
      )
    }),
    { numRuns: 80 },
  )
})
