// Namespaces: emptied before they go, and furnished while they live.

import t from 'tap'
import { defaultServiceAccount, namespace, systemNamespaces } from '../../../src/controllers/namespace.ts'
import type { Namespace } from '../../../src/kinds/namespace.ts'
import type { Loose } from './world.ts'
import { createWorld, namespaceObject } from './world.ts'

const pod = (name: string, extra: Loose = {}): Loose => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'site' },
  spec: { containers: [], ...extra },
})

const configMap = (name: string, meta: Loose = {}): Loose => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'site', ...meta },
})

t.test('a living namespace keeps its content', async t => {
  const world = createWorld()
  world.put(namespaceObject('site'))
  world.put(configMap('a'))
  t.equal(world.settle([namespace]), 0)
})

t.test('a terminating namespace is emptied, then let go', async t => {
  const world = createWorld()
  world.put(namespaceObject('site'))
  world.put(namespaceObject('other'))
  world.put(pod('waiting'))
  world.put(configMap('a'))
  world.put({ ...configMap('b'), metadata: { name: 'b', namespace: 'other' } })
  world.remove('Namespace', 'site')
  world.settle([namespace])
  t.same(
    world.list('Namespace').map(each => each.metadata.name),
    ['other'],
  )
  t.equal(world.list('Pod').length, 0)
  t.equal(world.list('ConfigMap').length, 1)
})

t.test('a pod that still runs on its device keeps the namespace, which says so', async t => {
  const world = createWorld()
  world.put(namespaceObject('site'))
  world.put(pod('running', { nodeName: 'node-1' }))
  world.remove('Namespace', 'site')
  world.settle([namespace])
  t.match(world.get<Namespace>('Namespace', 'site')!.status, {
    phase: 'Terminating',
    conditions: [
      { type: 'NamespaceDeletionDiscoveryFailure', status: 'False' },
      { type: 'NamespaceDeletionContentFailure', status: 'False' },
      { type: 'NamespaceContentRemaining', status: 'True', message: 'Some resources are remaining: Pod has 1 resource instances' },
      { type: 'NamespaceFinalizersRemaining', status: 'False' },
    ],
  })
  world.run()
  world.settle([namespace])
  t.equal(world.list('Namespace').length, 0)
})

t.test('content with finalizers is named in a condition', async t => {
  const world = createWorld()
  world.put(namespaceObject('site'))
  world.put(configMap('held', { finalizers: ['example.com/wait'] }))
  world.remove('Namespace', 'site')
  world.settle([namespace])
  const conditions = world.get<Namespace>('Namespace', 'site')!.status!.conditions!
  t.match(
    conditions.find(each => each.type === 'NamespaceFinalizersRemaining'),
    { status: 'True', message: 'Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances' },
  )
  t.equal(world.settle([namespace]), 0)
})

t.test('every living namespace has a ServiceAccount default, again when it is deleted', async t => {
  const world = createWorld()
  world.put(namespaceObject('site'))
  world.settle([defaultServiceAccount])
  t.ok(world.get('ServiceAccount', 'site/default'))
  world.remove('ServiceAccount', 'site/default')
  world.settle([defaultServiceAccount])
  t.ok(world.get('ServiceAccount', 'site/default'))
})

t.test('the four namespaces of every cluster exist from the start', async t => {
  const world = createWorld()
  world.settle([systemNamespaces])
  t.same(
    world.list('Namespace').map(each => each.metadata.name),
    ['default', 'kube-node-lease', 'kube-public', 'kube-system'],
  )
  t.equal(world.settle([systemNamespaces]), 0)
})
