import t from 'tap'
import { ApiError } from '../../../src/base/errors.ts'
import { ADMIN, createRig, deployment, kindNamed, pod } from './rig.ts'

const PODS = '/api/v1/namespaces/default/pods'
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments'

t.test('scale shows and sets replicas, with its own resourceVersion check', async t => {
  const { ask } = await createRig()
  await ask('POST', DEPLOYMENTS, deployment('x'))
  const scale = await ask('GET', `${DEPLOYMENTS}/x/scale`)
  t.match(scale.json, {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name: 'x', namespace: 'default' },
    spec: { replicas: 2 },
    status: { replicas: 0, selector: 'app=x' },
  })
  const put = await ask('PUT', `${DEPLOYMENTS}/x/scale`, { ...scale.json, spec: { replicas: 5 } })
  t.match(put.json, { kind: 'Scale', spec: { replicas: 5 } })
  t.equal((await ask('PUT', `${DEPLOYMENTS}/x/scale`, { ...scale.json, spec: { replicas: 6 } })).status, 409)
  const patched = await ask('PATCH', `${DEPLOYMENTS}/x/scale`, { spec: { replicas: 7 } }, { type: 'application/merge-patch+json' })
  t.match(patched.json, { spec: { replicas: 7 } })
  t.match((await ask('GET', `${DEPLOYMENTS}/x`)).json, {
    metadata: { generation: 3 },
    spec: { replicas: 7, selector: { matchLabels: { app: 'x' } } },
  })
  const bad = await ask('PATCH', `${DEPLOYMENTS}/x/scale`, { spec: { replicas: -1 } }, { type: 'application/merge-patch+json' })
  t.match(bad.json, {
    code: 422,
    message: 'Scale.autoscaling "x" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
  })
  t.equal((await ask('GET', `${PODS}/x/scale`)).status, 404)
})

t.test('a pod is bound once', async t => {
  const { ask, verbs } = await createRig()
  await ask('POST', PODS, pod('p'))
  const binding = (node: string) => ({ apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p' }, target: { kind: 'Node', name: node } })
  const bound = await ask('POST', `${PODS}/p/binding`, binding('n1'))
  t.match(bound.json, { kind: 'Status', status: 'Success', code: 201 })
  t.match((await ask('GET', `${PODS}/p`)).json, {
    spec: { nodeName: 'n1' },
    status: { conditions: [{ type: 'PodScheduled', status: 'True' }] },
  })
  t.match((await ask('POST', `${PODS}/p/binding`, binding('n2'))).json, {
    code: 409,
    message: 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
  })
  await ask('POST', PODS, pod('q'))
  t.equal((await ask('POST', '/api/v1/namespaces/default/bindings', { ...binding('n1'), metadata: { name: 'q' } })).status, 201)
  t.match((await ask('POST', `${PODS}/q/binding`, { metadata: { name: 'q' }, target: {} })).json, {
    code: 422,
    message: /target.name: Required value/,
  })
  await ask('POST', PODS, pod('r'))
  await t.rejects(verbs.bind(ADMIN, 'default', 'r', 'n1', { uid: 'other' }), { reason: 'Conflict' } as unknown as Error)
})

t.test('eviction is a delete with options inside', async t => {
  const { ask, verbs } = await createRig()
  await ask('POST', PODS, pod('p'))
  await verbs.bind(ADMIN, 'default', 'p', 'n1')
  const evicted = await ask('POST', `${PODS}/p/eviction`, {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name: 'p' },
    deleteOptions: { gracePeriodSeconds: 7 },
  })
  t.match(evicted.json, { status: 'Success', code: 201 })
  t.match((await ask('GET', `${PODS}/p`)).json.metadata, { deletionGracePeriodSeconds: 7 })
  t.equal((await ask('POST', `${PODS}/missing/eviction`, { metadata: { name: 'missing' } })).status, 404)
  t.equal((await ask('GET', `${PODS}/p/eviction`)).status, 405)
})

const twoContainers = {
  containers: [
    { name: 'a', image: 'x' },
    { name: 'b', image: 'x' },
  ],
  initContainers: [{ name: 'i', image: 'x' }],
}

t.test('logs: the container must be clear, options must be numbers', async t => {
  const { ask } = await createRig()
  await ask('POST', PODS, pod('p', twoContainers))
  t.match((await ask('GET', `${PODS}/p/log`)).json, {
    code: 400,
    message: 'a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]',
  })
  t.match((await ask('GET', `${PODS}/p/log?container=z`)).json, { code: 400, message: 'container z is not valid for pod p' })
  t.match((await ask('GET', `${PODS}/p/log?container=a&tailLines=-1`)).json, {
    code: 422,
    message: 'PodLogOptions "" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
  })
  t.equal((await ask('GET', `${PODS}/p/log?container=a&tailLines=many`)).status, 400)
  const empty = await ask('GET', `${PODS}/p/log?container=a`)
  t.same([empty.status, empty.text], [200, ''], 'nobody runs it, nothing to read')
})

t.test('logs stream from the device; a refusal before the first byte is a Status', async t => {
  const seen: unknown[] = []
  const rig = await createRig({
    async podLogs({ container, options }, sink) {
      seen.push([container, options])
      if (options['previous']) throw new ApiError('BadRequest', 'previous terminated container "main" in pod "p" not found')
      await sink.write(Buffer.from('one\n'))
      await sink.write(Buffer.from('two\n'))
    },
  })
  await rig.ask('POST', PODS, pod('p'))
  await rig.verbs.bind(ADMIN, 'default', 'p', 'n1')
  const log = await rig.open(`${PODS}/p/log?tailLines=5&timestamps=true`)
  await log.ended
  t.equal(log.text(), 'one\ntwo\n')
  t.same(seen, [['main', { timestamps: true, tailLines: 5 }]])
  const refused = await rig.ask('GET', `${PODS}/p/log?previous=true`)
  t.match(refused.json, { code: 400, message: 'previous terminated container "main" in pod "p" not found' })
})

t.test('a follower of a silent container gets its head after a while, and hanging up reaches the device', async t => {
  const stopped: boolean[] = []
  const rig = await createRig({
    podLogs: (_request, sink) =>
      new Promise(resolve =>
        sink.signal.addEventListener('abort', () => {
          stopped.push(true)
          resolve()
        }),
      ),
  })
  await rig.ask('POST', PODS, pod('p'))
  await rig.verbs.bind(ADMIN, 'default', 'p', 'n1')
  const opening = rig.open(`${PODS}/p/log?follow=true`)
  rig.clock.advance(1_000)
  const log = await opening
  t.equal(log.status, 200)
  log.hangUp()
  await log.ended
  t.same(stopped, [true])
})

t.test('subresources hold for in-process verbs too', async t => {
  const { verbs } = await createRig()
  const target = { kind: kindNamed('ConfigMap'), namespace: 'default', name: 'a' }
  await verbs.create(ADMIN, target, { metadata: { name: 'a' } })
  await t.rejects(verbs.update(ADMIN, { ...target, subresource: 'status' }, { metadata: { name: 'a' } }), {
    reason: 'NotFound',
  } as unknown as Error)
})
