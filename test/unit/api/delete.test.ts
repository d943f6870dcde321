import t from 'tap'
import type { KubeObject } from '../../../src/base/object.ts'
import { ADMIN, configMap, createRig, kindNamed, pod, type Rig } from './rig.ts'

const CMS = '/api/v1/namespaces/default/configmaps'
const PODS = '/api/v1/namespaces/default/pods'

const boundPod = async (rig: Rig, name: string, extra: Record<string, unknown> = {}): Promise<KubeObject> => {
  await rig.ask('POST', PODS, pod(name, extra))
  await rig.verbs.bind(ADMIN, 'default', name, 'node-1')
  return rig.verbs.get({ kind: kindNamed('Pod'), namespace: 'default', name })
}

t.test('an object without grace and finalizers is gone at once; the answer says so', async t => {
  const { ask } = await createRig()
  const { json } = await ask('POST', CMS, configMap('a'))
  const gone = await ask('DELETE', `${CMS}/a`)
  t.match(gone.json, { kind: 'Status', status: 'Success', details: { name: 'a', kind: 'configmaps', uid: json.metadata.uid! } })
  t.match((await ask('DELETE', `${CMS}/a`)).json, { code: 404, message: 'configmaps "a" not found' })
})

t.test('a bound pod is marked and waits for its grace; grace 0 removes it', async t => {
  const rig = await createRig()
  await boundPod(rig, 'p')
  const marked = await rig.ask('DELETE', `${PODS}/p`)
  t.match(marked.json.metadata, { deletionTimestamp: '2026-01-01T00:00:30Z', deletionGracePeriodSeconds: 30, generation: 2 })
  const version = marked.json.metadata.resourceVersion
  t.equal((await rig.ask('DELETE', `${PODS}/p`)).json.metadata.resourceVersion, version, 'asking again changes nothing')
  const sooner = await rig.ask('DELETE', `${PODS}/p?gracePeriodSeconds=5`)
  t.match(sooner.json.metadata, { deletionTimestamp: '2026-01-01T00:00:05Z', deletionGracePeriodSeconds: 5 })
  const later = await rig.ask('DELETE', `${PODS}/p`, { gracePeriodSeconds: 60 })
  t.match(later.json.metadata, { deletionGracePeriodSeconds: 5 }, 'grace is never made longer')
  t.match((await rig.ask('DELETE', `${PODS}/p`, { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0 })).json, {
    status: 'Success',
  })
  t.equal((await rig.ask('GET', `${PODS}/p`)).status, 404)
})

t.test('pods nobody runs need no grace: not bound, or ended', async t => {
  const rig = await createRig()
  await rig.ask('POST', PODS, pod('free'))
  t.match((await rig.ask('DELETE', `${PODS}/free`)).json, { status: 'Success' })
  const shown = await boundPod(rig, 'ended')
  await rig.ask('PUT', `${PODS}/ended/status`, { ...shown, status: { ...(shown.status as object), phase: 'Succeeded' } })
  t.match((await rig.ask('DELETE', `${PODS}/ended`)).json, { status: 'Success' })
})

t.test('preconditions on uid and resourceVersion', async t => {
  const { ask } = await createRig()
  const { json } = await ask('POST', CMS, configMap('a'))
  const wrong = await ask('DELETE', `${CMS}/a`, { preconditions: { uid: 'other' } })
  t.match(wrong.json, { code: 409, reason: 'Conflict', message: /Precondition failed: UID in precondition: other/ })
  t.equal((await ask('DELETE', `${CMS}/a`, { preconditions: { resourceVersion: '1' } })).status, 409)
  t.equal((await ask('DELETE', `${CMS}/a`, { preconditions: { uid: json.metadata.uid } })).status, 200)
})

t.test('finalizers hold an object until the last one goes by an update or a patch', async t => {
  const { ask } = await createRig()
  const held = configMap('a')
  held.metadata.finalizers = ['example.com/a', 'example.com/b']
  await ask('POST', CMS, held)
  const marked = await ask('DELETE', `${CMS}/a`)
  t.match(marked.json.metadata, { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 0 })
  const added = { ...marked.json, metadata: { ...marked.json.metadata, finalizers: ['example.com/a', 'example.com/c'] } }
  t.match((await ask('PUT', `${CMS}/a`, added)).json, {
    code: 422,
    message: /no new finalizers can be added if the object is being deleted/,
  })
  await ask('PUT', `${CMS}/a`, { ...marked.json, metadata: { ...marked.json.metadata, finalizers: ['example.com/b'] } })
  t.equal((await ask('GET', `${CMS}/a`)).status, 200)
  t.equal((await ask('PATCH', `${CMS}/a`, { metadata: { finalizers: null } }, { type: 'application/merge-patch+json' })).status, 200)
  t.equal((await ask('GET', `${CMS}/a`)).status, 404)
})

t.test('a finalizer and grace together: grace 0 leaves the finalizer to decide', async t => {
  const rig = await createRig()
  const held = pod('p')
  held.metadata.finalizers = ['example.com/a']
  await rig.ask('POST', PODS, held)
  await rig.verbs.bind(ADMIN, 'default', 'p', 'node-1')
  t.match((await rig.ask('DELETE', `${PODS}/p`)).json.metadata, { deletionGracePeriodSeconds: 30 })
  t.match((await rig.ask('DELETE', `${PODS}/p?gracePeriodSeconds=0`)).json.metadata, {
    deletionGracePeriodSeconds: 0,
    finalizers: ['example.com/a'],
  })
  await rig.ask('PATCH', `${PODS}/p`, { metadata: { finalizers: [] } }, { type: 'application/merge-patch+json' })
  t.equal((await rig.ask('GET', `${PODS}/p`)).status, 404)
})

t.test('propagation policies leave their finalizers for the garbage collector', async t => {
  const { ask } = await createRig()
  for (const name of ['a', 'b', 'c']) await ask('POST', CMS, configMap(name))
  t.match((await ask('DELETE', `${CMS}/a`, { propagationPolicy: 'Foreground' })).json.metadata, { finalizers: ['foregroundDeletion'] })
  t.match((await ask('DELETE', `${CMS}/b?propagationPolicy=Orphan`)).json.metadata, { finalizers: ['orphan'] })
  t.match((await ask('DELETE', `${CMS}/c?propagationPolicy=Background`)).json, { status: 'Success' })
  t.match((await ask('DELETE', `${CMS}/a`, { propagationPolicy: 'Sideways' })).json, {
    code: 422,
    message: /propagationPolicy: Unsupported value: "Sideways"/,
  })
})

t.test('deletecollection deletes what the selectors select', async t => {
  const { ask } = await createRig()
  for (const [name, app] of [
    ['a', 'x'],
    ['b', 'x'],
    ['c', 'y'],
  ] as const)
    await ask('POST', CMS, configMap(name, {}, { app }))
  const removed = await ask('DELETE', `${CMS}?labelSelector=app%3Dx`)
  t.match(removed.json, { kind: 'ConfigMapList', items: [{ metadata: { name: 'a' } }, { metadata: { name: 'b' } }] })
  t.same(
    (await ask('GET', CMS)).json.items.map(item => item.metadata.name),
    ['c'],
  )
})

t.test('the namespaces every client expects stay', async t => {
  const { ask } = await createRig()
  t.match((await ask('DELETE', '/api/v1/namespaces/default')).json, {
    code: 403,
    message: 'namespaces "default" is forbidden: this namespace may not be deleted',
  })
})
