// Pods without a home, and ended pods beyond the bound.

import t from 'tap'
import { podGc } from '../../../src/controllers/pod-gc.ts'
import type { Loose, World } from './world.ts'
import { createWorld, nodeObject } from './world.ts'

const pod = (name: string, spec: Loose, status: Loose = {}): Loose => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  spec: { containers: [], ...spec },
  status,
})

const count = (world: World): number => world.list('Pod').length

t.test('pods of a Node an operator deleted are removed without grace', async t => {
  const world = createWorld()
  world.put(nodeObject('node-1'))
  world.put(nodeObject('node-2'))
  world.put(pod('gone', { nodeName: 'node-1' }))
  world.put(pod('stays', { nodeName: 'node-2' }))
  world.settle([podGc])
  t.equal(count(world), 2)
  world.nowMs += 60_000
  world.remove('Node', 'node-1')
  world.settle([podGc])
  t.same(
    world.list('Pod').map(each => each.metadata.name),
    ['stays'],
  )
})

t.test('a pod bound to a Node that has not registered yet is given time', async t => {
  const world = createWorld()
  world.put(pod('early', { nodeName: 'node-9' }))
  world.settle([podGc])
  t.equal(count(world), 1)
  t.equal(podGc.reconcile(world.view, 'node/node-9', world.nowMs + 10_000).again?.afterMs, 30_000)
  world.put(nodeObject('node-9'))
  world.nowMs += 60_000
  t.same(world.reconcile(podGc, 'node/node-9'), [])
})

t.test('a pod deleted before it had a node does not wait for a device', async t => {
  const world = createWorld()
  world.put({
    ...pod('held', {}),
    metadata: { name: 'held', namespace: 'default', deletionTimestamp: '2026-11-22T10:00:00Z', deletionGracePeriodSeconds: 30 },
  })
  world.settle([podGc])
  t.equal(count(world), 0)
})

t.test('of ended pods the oldest go when there are more than are kept', async t => {
  const world = createWorld()
  for (let i = 0; i < 1_003; i++) {
    if (i === 3) world.nowMs += 60_000
    world.put(pod(`done-${i}`, {}, { phase: i % 2 ? 'Failed' : 'Succeeded' }))
  }
  world.put(pod('running', {}, { phase: 'Running' }))
  world.settle([podGc])
  t.equal(count(world), 1_001)
  for (const name of ['done-0', 'done-1', 'done-2']) t.notOk(world.get('Pod', `default/${name}`))
})

const dead = (name: string, extra: Loose = {}): Loose =>
  nodeObject(name, {
    spec: { taints: [{ key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' }] },
    status: { conditions: [{ type: 'heliopause.io/Contact', status: 'False', reason: 'Dead' }] },
    ...extra,
  })

t.test('pods of a dead node go without grace, but for those that tolerate its death', async t => {
  const world = createWorld()
  world.put(nodeObject('node-1'))
  const toleration = { key: 'node.kubernetes.io/out-of-service', operator: 'Equal', value: 'nodeshutdown', effect: 'NoExecute' }
  world.put(pod('lost', { nodeName: 'node-1' }))
  world.put(pod('patient', { nodeName: 'node-1', tolerations: [toleration] }))
  world.put(pod('other-death', { nodeName: 'node-1', tolerations: [{ ...toleration, value: 'flood' }] }))
  world.put(pod('anything', { nodeName: 'node-1', tolerations: [{ operator: 'Exists' }] }))
  world.settle([podGc])
  t.equal(count(world), 4)
  const { spec, status } = dead('node-1') as { spec: Loose; status: Loose }
  world.edit('Node', 'node-1', { spec, status })
  world.settle([podGc])
  t.same(
    world.list('Pod').map(each => each.metadata.name),
    ['anything', 'patient'],
  )
})

t.test('a node that calls is not dead, whatever is written of it; nor is one that is merely Unknown', async t => {
  const world = createWorld()
  world.put(dead('node-1'))
  world.contacts.set('node-1', { connected: true, silentMs: 0 })
  world.put(dead('node-2', { status: { conditions: [{ type: 'heliopause.io/Contact', status: 'Unknown', reason: 'Unknown' }] } }))
  world.put(dead('node-3', { spec: {} }))
  for (const name of ['node-1', 'node-2', 'node-3']) world.put(pod(`on-${name}`, { nodeName: name }))
  world.settle([podGc])
  t.equal(count(world), 3)
})
