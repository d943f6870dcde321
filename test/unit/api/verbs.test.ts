import t from 'tap'
import { ADMIN, configMap, createRig, deployment, kindNamed, pod } from './rig.ts'

const CMS = '/api/v1/namespaces/default/configmaps'
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments'

t.test('creates an object: stamps it, stores it, gives it back byte for byte on GET', async t => {
  const { ask } = await createRig()
  const made = await ask('POST', CMS, configMap('a', { k: 'v' }))
  t.equal(made.status, 201)
  t.match(made.json.metadata, {
    name: 'a',
    namespace: 'default',
    uid: /^[0-9a-f-]{36}$/,
    creationTimestamp: '2026-01-01T00:00:00Z',
    resourceVersion: /^\d+$/,
  })
  t.notOk(made.json.metadata.generation, 'configmaps have no generation')
  const got = await ask('GET', `${CMS}/a`)
  t.equal(got.status, 200)
  t.equal(got.text, made.text)
})

t.test('a second create of one name is AlreadyExists', async t => {
  const { ask } = await createRig()
  await ask('POST', CMS, configMap('a'))
  const again = await ask('POST', CMS, configMap('a'))
  t.match(again.json, {
    code: 409,
    reason: 'AlreadyExists',
    message: 'configmaps "a" already exists',
    details: { name: 'a', kind: 'configmaps' },
  })
})

t.test('generateName appends five characters and gives a new name each time', async t => {
  const { ask } = await createRig()
  const body = { metadata: { generateName: 'web-' }, data: {} }
  const [one, two] = [await ask('POST', CMS, body), await ask('POST', CMS, body)]
  t.match(one.json.metadata.name, /^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/)
  t.not(one.json.metadata.name, two.json.metadata.name)
})

t.test('an object without a name is invalid', async t => {
  const { ask } = await createRig()
  const made = await ask('POST', CMS, { metadata: {} })
  t.equal(made.status, 422)
  t.match(made.json, {
    reason: 'Invalid',
    message: 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
  })
  t.match(made.json.details.causes, [{ reason: 'FieldValueRequired', field: 'metadata.name' }])
})

t.test('the namespace must exist and must not be ending', async t => {
  const { ask } = await createRig({ namespaces: ['default', 'old'] })
  const missing = await ask('POST', '/api/v1/namespaces/nope/configmaps', configMap('a'))
  t.match(missing.json, { code: 404, reason: 'NotFound', message: 'namespaces "nope" not found' })
  const ending = await ask('DELETE', '/api/v1/namespaces/old')
  t.match(ending.json, { status: { phase: 'Terminating' }, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })
  const late = await ask('POST', '/api/v1/namespaces/old/configmaps', configMap('a'))
  t.match(late.json, {
    code: 403,
    reason: 'Forbidden',
    message: /configmaps "a" is forbidden: unable to create new content in namespace old because it is being terminated/,
  })
  t.match(late.json.details.causes, [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }])
})

t.test('a namespace goes when finalize empties spec.finalizers, and not by an ordinary update', async t => {
  const { ask } = await createRig({ namespaces: ['old'] })
  await ask('DELETE', '/api/v1/namespaces/old')
  const shown = (await ask('GET', '/api/v1/namespaces/old')).json
  await ask('PUT', '/api/v1/namespaces/old', { ...shown, spec: {} })
  t.equal((await ask('GET', '/api/v1/namespaces/old')).status, 200)
  const done = await ask('PUT', '/api/v1/namespaces/old/finalize', { ...shown, spec: { finalizers: [] }, metadata: { name: 'old' } })
  t.equal(done.status, 200)
  t.equal((await ask('GET', '/api/v1/namespaces/old')).status, 404)
})

t.test('an update with an old resourceVersion is a Conflict and changes nothing', async t => {
  const { ask } = await createRig()
  const { json } = await ask('POST', DEPLOYMENTS, deployment('x'))
  const first = await ask('PUT', `${DEPLOYMENTS}/x`, { ...json, spec: { ...(json.spec as object), replicas: 3 } })
  t.equal(first.status, 200)
  const second = await ask('PUT', `${DEPLOYMENTS}/x`, { ...json, spec: { ...(json.spec as object), replicas: 4 } })
  t.match(second.json, {
    code: 409,
    reason: 'Conflict',
    message:
      'Operation cannot be fulfilled on deployments.apps "x": the object has been modified; please apply your changes to the latest version and try again',
    details: { name: 'x', group: 'apps', kind: 'deployments' },
  })
  t.match((await ask('GET', `${DEPLOYMENTS}/x`)).json, { spec: { replicas: 3 } })
})

t.test('an update without resourceVersion wins; with another uid it is a Conflict', async t => {
  const { ask } = await createRig()
  await ask('POST', CMS, configMap('a'))
  t.match((await ask('PUT', `${CMS}/a`, configMap('a', { n: '1' }))).json, { data: { n: '1' } })
  const other = { ...configMap('a'), metadata: { name: 'a', uid: 'other' } }
  t.match((await ask('PUT', `${CMS}/a`, other)).json, {
    code: 409,
    message: /Precondition failed: UID in precondition: other, UID in object meta: /,
  })
})

t.test('generation counts changes of the spec, not of metadata or status', async t => {
  const { ask } = await createRig()
  const made = (await ask('POST', DEPLOYMENTS, deployment('x'))).json
  t.equal(made.metadata.generation, 1)
  const labelled = (await ask('PUT', `${DEPLOYMENTS}/x`, { ...made, metadata: { ...made.metadata, labels: { a: 'b' } } })).json
  t.equal(labelled.metadata.generation, 1)
  const scaled = (await ask('PUT', `${DEPLOYMENTS}/x`, { ...labelled, spec: { ...(labelled.spec as object), replicas: 5 } })).json
  t.equal(scaled.metadata.generation, 2)
  const status = (await ask('PUT', `${DEPLOYMENTS}/x/status`, { ...scaled, status: { replicas: 5 } })).json
  t.equal(status.metadata.generation, 2)
})

t.test('status and main resource do not write each other', async t => {
  const { ask } = await createRig()
  const made = (await ask('POST', DEPLOYMENTS, { ...deployment('x'), status: { replicas: 9 } })).json
  t.notMatch(made, { status: { replicas: 9 } })
  const put = (await ask('PUT', `${DEPLOYMENTS}/x`, { ...made, status: { replicas: 9 } })).json
  t.notMatch(put, { status: { replicas: 9 } })
  const status = (
    await ask('PUT', `${DEPLOYMENTS}/x/status`, { ...put, spec: { ...(put.spec as object), replicas: 7 }, status: { replicas: 2 } })
  ).json
  t.match(status, { spec: { replicas: 2 }, status: { replicas: 2 } })
})

t.test('a write that changes nothing keeps the resourceVersion', async t => {
  const { ask } = await createRig()
  const made = (await ask('POST', DEPLOYMENTS, deployment('x'))).json
  t.equal((await ask('PUT', `${DEPLOYMENTS}/x`, made)).json.metadata.resourceVersion, made.metadata.resourceVersion)
})

t.test('names and namespaces of body and URL must agree', async t => {
  const { ask } = await createRig()
  await ask('POST', CMS, configMap('a'))
  t.match((await ask('PUT', `${CMS}/a`, configMap('b'))).json, {
    code: 400,
    message: 'the name of the object (b) does not match the name on the URL (a)',
  })
  const elsewhere = { ...configMap('c'), metadata: { name: 'c', namespace: 'other' } }
  t.match((await ask('POST', CMS, elsewhere)).json, {
    code: 400,
    message: 'the namespace of the provided object does not match the namespace sent on the request',
  })
  t.match((await ask('PUT', `${CMS}/missing`, configMap('missing'))).json, { code: 404, message: 'configmaps "missing" not found' })
})

t.test('immutable fields and bad values give 422 with causes, and nothing changes', async t => {
  const { ask } = await createRig()
  const made = (await ask('POST', DEPLOYMENTS, deployment('x'))).json
  const bad = await ask('PUT', `${DEPLOYMENTS}/x`, { ...made, spec: { ...(made.spec as object), replicas: -1 } })
  t.match(bad.json, {
    code: 422,
    reason: 'Invalid',
    message: 'Deployment.apps "x" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
    details: { name: 'x', group: 'apps', kind: 'Deployment', causes: [{ reason: 'FieldValueInvalid', field: 'spec.replicas' }] },
  })
  const stamped = await ask('PUT', `${DEPLOYMENTS}/x`, {
    ...made,
    metadata: { ...made.metadata, creationTimestamp: '2020-01-01T00:00:00Z' },
  })
  t.match(stamped.json, { code: 422, message: /metadata.creationTimestamp: Invalid value: .*field is immutable/ })
  t.equal((await ask('GET', `${DEPLOYMENTS}/x`)).json.metadata.resourceVersion, made.metadata.resourceVersion)
})

t.test('dryRun=All answers as if, and stores nothing', async t => {
  const { ask, store } = await createRig()
  const before = store.revision
  t.equal((await ask('POST', `${CMS}?dryRun=All`, configMap('a'))).status, 201)
  t.equal((await ask('GET', `${CMS}/a`)).status, 404)
  t.equal(store.revision, before)
  await ask('POST', CMS, configMap('a'))
  t.match((await ask('PUT', `${CMS}/a?dryRun=All`, configMap('a', { k: 'v' }))).json, { data: { k: 'v' } })
  t.match((await ask('DELETE', `${CMS}/a?dryRun=All`)).json, { status: 'Success' })
  t.same((await ask('GET', `${CMS}/a`)).json['data'], {})
  t.match((await ask('POST', `${CMS}?dryRun=Some`, configMap('b'))).json, {
    code: 422,
    message: /CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value/,
  })
})

t.test('verbs in process take frozen objects and give frozen ones', async t => {
  const { verbs } = await createRig()
  const target = { kind: kindNamed('Pod'), namespace: 'default' }
  const made = await verbs.create(ADMIN, target, Object.freeze(pod('p')))
  t.ok(Object.isFrozen(made))
  t.match(made, { status: { phase: 'Pending' }, spec: { restartPolicy: 'Always' } })
  const next = await verbs.update(
    ADMIN,
    { ...target, name: 'p', subresource: 'status' },
    { ...made, status: { phase: 'Running' } },
    { lazy: true },
  )
  t.match(next, { status: { phase: 'Running' } })
  t.throws(() => verbs.get({ ...target, name: 'q' }), { reason: 'NotFound', message: 'pods "q" not found' })
})

t.test('events are one storage with two faces', async t => {
  const { ask } = await createRig()
  const event = {
    metadata: { name: 'e', namespace: 'default' },
    involvedObject: { kind: 'Pod', namespace: 'default', name: 'p', uid: 'u' },
    reason: 'Started',
    message: 'it runs',
    type: 'Normal',
    source: { component: 'x' },
  }
  const made = await ask('POST', '/api/v1/namespaces/default/events', event)
  t.equal(made.status, 201, made.text)
  const other = await ask('GET', '/apis/events.k8s.io/v1/namespaces/default/events/e')
  t.match(other.json, { apiVersion: 'events.k8s.io/v1', regarding: { name: 'p' }, note: 'it runs' })
  const listed = await ask('GET', '/apis/events.k8s.io/v1/events')
  t.match(listed.json, { kind: 'EventList', apiVersion: 'events.k8s.io/v1', items: [{ note: 'it runs' }] })
})
