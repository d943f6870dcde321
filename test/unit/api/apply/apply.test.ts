import t from 'tap'
import type { KubeObject } from '../../../../src/base/object.ts'
import { type Answer, createRig, type Rig } from '../rig.ts'

const CMS = '/api/v1/namespaces/default/configmaps'
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments'
const APPLY = { type: 'application/apply-patch+yaml' }

const configMap = (data: unknown, meta = {}): unknown => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', ...meta }, data })

const deployment = (container: unknown, spec = {}): unknown => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'd' },
  spec: {
    selector: { matchLabels: { a: 'b' } },
    template: { metadata: { labels: { a: 'b' } }, spec: { containers: [container] } },
    ...spec,
  },
})

const applyTo = (rig: Rig, url: string, body: unknown, query: string): Promise<Answer> => rig.ask('PATCH', `${url}?${query}`, body, APPLY)
const owners = ({ metadata }: KubeObject): string[] => (metadata.managedFields ?? []).map(each => `${each.manager} ${each.operation}`)
const fieldsOf = ({ metadata }: KubeObject, manager: string): unknown =>
  metadata.managedFields?.find(each => each.manager === manager)?.fieldsV1

t.test('an apply creates what is not there and owns what it says', async t => {
  const rig = await createRig()
  const { status, json } = await applyTo(
    rig,
    `${CMS}/a`,
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: {x: z}}\ndata: {k: v}\n',
    'fieldManager=m',
  )
  t.equal(status, 201)
  t.match(json, { data: { k: 'v' }, metadata: { name: 'a', labels: { x: 'z' } } })
  t.same(owners(json), ['m Apply'])
  t.same(fieldsOf(json, 'm'), { 'f:data': { 'f:k': {} }, 'f:metadata': { 'f:labels': { 'f:x': {} } } })
  const again = await applyTo(rig, `${CMS}/a`, configMap({ k: 'v' }, { labels: { x: 'z' } }), 'fieldManager=m')
  t.equal(again.status, 200)
  t.equal(again.json.metadata.resourceVersion, json.metadata.resourceVersion, 'the same again changes nothing')
})

t.test('what an applier no longer says goes away, unless another applier says it', async t => {
  const rig = await createRig()
  await applyTo(rig, `${CMS}/a`, configMap({ k: 'v', shared: 's', gone: 'g' }), 'fieldManager=one')
  await applyTo(rig, `${CMS}/a`, configMap({ shared: 's' }), 'fieldManager=two')
  const { json } = await applyTo(rig, `${CMS}/a`, configMap({ k: 'w' }), 'fieldManager=one')
  t.same(json['data'], { k: 'w', shared: 's' })
  t.same(owners(json), ['one Apply', 'two Apply'])
})

t.test('another value for a field of someone else is a conflict that names both, and force takes the field', async t => {
  const rig = await createRig()
  await applyTo(rig, `${CMS}/a`, configMap({ k: 'v', l: 'v' }), 'fieldManager=one')
  const one = await applyTo(rig, `${CMS}/a`, configMap({ k: 'w' }), 'fieldManager=two')
  t.match(one.json, {
    code: 409,
    reason: 'Conflict',
    message: 'Apply failed with 1 conflict: conflict with "one": .data.k',
    details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.data.k' }] },
  })
  const both = await applyTo(rig, `${CMS}/a`, configMap({ k: 'w', l: 'w' }), 'fieldManager=two')
  t.equal(both.json.message, 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.k\n- .data.l')
  t.same((await rig.ask('GET', `${CMS}/a`)).json['data'], { k: 'v', l: 'v' }, 'a refused apply changes nothing')
  const forced = await applyTo(rig, `${CMS}/a`, configMap({ k: 'w' }), 'fieldManager=two&force=true')
  t.same(forced.json['data'], { k: 'w', l: 'v' })
  t.same(fieldsOf(forced.json, 'one'), { 'f:data': { 'f:l': {} } })
})

t.test('an ordinary write takes what it changes, and the applier learns of it', async t => {
  const rig = await createRig()
  await applyTo(rig, `${CMS}/a`, configMap({ k: 'v' }), 'fieldManager=m')
  const patched = await rig.ask(
    'PATCH',
    `${CMS}/a?fieldManager=hand`,
    { data: { k: 'w', n: '1' } },
    { type: 'application/merge-patch+json' },
  )
  t.same(owners(patched.json), ['hand Update'])
  t.same(fieldsOf(patched.json, 'hand'), { 'f:data': { 'f:k': {}, 'f:n': {} } })
  const refused = await applyTo(rig, `${CMS}/a`, configMap({ k: 'v' }), 'fieldManager=m')
  t.match(refused.json.message, /^Apply failed with 1 conflict: conflict with "hand" using v1 at 2026-01-01T00:00:00Z: .data.k$/)
})

t.test('what was there before the first apply belongs to before-first-apply; without any apply nobody is written down', async t => {
  const rig = await createRig()
  const { json } = await rig.ask('POST', CMS, configMap({ k: 'v' }, { managedFields: [{ manager: 'forged', operation: 'Apply' }] }))
  t.equal(json.metadata.managedFields, undefined)
  const refused = await applyTo(rig, `${CMS}/a`, configMap({ k: 'w' }), 'fieldManager=m')
  t.match(refused.json.message, /conflict with "before-first-apply" using v1 at .*: .data.k$/)
  const same = await applyTo(rig, `${CMS}/a`, configMap({ k: 'v' }), 'fieldManager=m')
  t.same(owners(same.json), ['m Apply', 'before-first-apply Update'])
})

t.test('kubectl takes over what its client-side apply set', async t => {
  const rig = await createRig()
  const last = JSON.stringify(configMap({ k: 'v' }))
  await rig.ask(
    'POST',
    CMS,
    configMap({ k: 'v', other: 'o' }, { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': last } }),
  )
  const taken = await applyTo(rig, `${CMS}/a`, configMap({ k: 'w' }), 'fieldManager=kubectl')
  t.same(taken.json['data'], { k: 'w', other: 'o' })
  t.match(taken.json.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'], /"k":"w"/)
  t.match(await applyTo(rig, `${CMS}/a`, configMap({ other: 'p' }), 'fieldManager=kubectl'), { status: 409 })
})

t.test('lists of items are merged by their keys; unsaid defaults stay and are nobody’s', async t => {
  const rig = await createRig()
  const ports = [{ containerPort: 80 }]
  const first = await applyTo(rig, `${DEPLOYMENTS}/d`, deployment({ name: 'c', image: 'i', ports }, { replicas: 2 }), 'fieldManager=m')
  t.equal(first.status, 201)
  t.match(fieldsOf(first.json, 'm'), {
    'f:spec': {
      'f:replicas': {},
      'f:template': {
        'f:spec': {
          'f:containers': {
            'k:{"name":"c"}': {
              '.': {},
              'f:image': {},
              'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
            },
          },
        },
      },
    },
  })
  const side = await applyTo(rig, `${DEPLOYMENTS}/d`, deployment({ name: 'side', image: 's' }), 'fieldManager=other')
  t.match(side.json.spec, { replicas: 2, template: { spec: { containers: [{ name: 'c' }, { name: 'side', imagePullPolicy: 'Always' }] } } })
  const gone = await applyTo(
    rig,
    `${DEPLOYMENTS}/d`,
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' } },
    'fieldManager=other',
  )
  t.match(gone.json.spec, { template: { spec: { containers: [{ name: 'c', ports: [{ containerPort: 80, protocol: 'TCP' }] }] } } })
  t.equal((gone.json.spec as { template: { spec: { containers: unknown[] } } }).template.spec.containers.length, 1)
  t.same(owners(gone.json).includes('other Apply'), false)
})

t.test('a scale or a controller that takes replicas is a conflict until the manifest leaves them out', async t => {
  const rig = await createRig()
  await applyTo(rig, `${DEPLOYMENTS}/d`, deployment({ name: 'c', image: 'i' }, { replicas: 2 }), 'fieldManager=m')
  await rig.ask('PATCH', `${DEPLOYMENTS}/d/scale?fieldManager=hpa`, { spec: { replicas: 5 } }, { type: 'application/merge-patch+json' })
  const refused = await applyTo(rig, `${DEPLOYMENTS}/d`, deployment({ name: 'c', image: 'i' }, { replicas: 2 }), 'fieldManager=m')
  t.match(refused.json.message, /conflict with "hpa" with subresource "scale" using apps\/v1 at \S+: \.spec\.replicas$/)
  const left = await applyTo(rig, `${DEPLOYMENTS}/d`, deployment({ name: 'c', image: 'i' }), 'fieldManager=m')
  t.match(left.json.spec, { replicas: 5 })
})

t.test('a required field that is not said is not touched', async t => {
  const rig = await createRig()
  const volumes = [{ name: 'v', emptyDir: {} }]
  const mounted = { name: 'c', image: 'i', volumeMounts: [{ mountPath: '/x', name: 'v' }] }
  const spec = { template: { metadata: { labels: { a: 'b' } }, spec: { volumes, containers: [mounted] } } }
  t.match(await applyTo(rig, `${DEPLOYMENTS}/d`, deployment({}, spec), 'fieldManager=m'), { status: 201 })
  const partial = { name: 'c', volumeMounts: [{ mountPath: '/x', readOnly: true }] }
  const template = { spec: { containers: [partial] } }
  const body = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { template } }
  const { json } = await applyTo(rig, `${DEPLOYMENTS}/d`, body, 'fieldManager=other')
  t.match(json.spec, {
    template: { spec: { containers: [{ image: 'i', volumeMounts: [{ mountPath: '/x', name: 'v', readOnly: true }] }] } },
  })
})

t.test('status is applied to /status only', async t => {
  const rig = await createRig()
  await applyTo(
    rig,
    `${DEPLOYMENTS}/d`,
    { ...(deployment({ name: 'c', image: 'i' }) as object), status: { replicas: 9 } },
    'fieldManager=m',
  )
  const status = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { replicas: 7 }, status: { replicas: 3 } }
  const { json } = await applyTo(rig, `${DEPLOYMENTS}/d/status`, status, 'fieldManager=s')
  t.match(json, { spec: { replicas: 1 }, status: { replicas: 3 } })
  t.same(fieldsOf(json, 's'), { 'f:status': { 'f:replicas': {} } })
  t.match(json.metadata.managedFields, [{ manager: 'm' }, { manager: 's', subresource: 'status' }])
  t.notMatch(fieldsOf(json, 'm'), { 'f:status': {} })
})

t.test('a dry run answers and stores nothing; bad applies are refused', async t => {
  const rig = await createRig()
  t.match(await applyTo(rig, `${CMS}/a`, configMap({ k: 'v' }), 'fieldManager=m&dryRun=All'), { status: 201, json: { data: { k: 'v' } } })
  t.match(await rig.ask('GET', `${CMS}/a`), { status: 404 })
  const nameless = await applyTo(rig, `${CMS}/a`, configMap({}), '')
  t.equal(nameless.json.message, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch')
  t.match(await applyTo(rig, `${CMS}/b`, configMap({}), 'fieldManager=m'), { status: 400 })
  t.match(await applyTo(rig, `${CMS}/a`, configMap({}, { managedFields: [{}] }), 'fieldManager=m'), { status: 400 })
  t.match(await applyTo(rig, `${CMS}/a`, { ...(configMap({}) as object), foo: 1 }, 'fieldManager=m&fieldValidation=Strict'), {
    status: 400,
  })
  t.match(await applyTo(rig, `${DEPLOYMENTS}/d`, deployment({ image: 'i' }), 'fieldManager=m'), { status: 400 })
  t.match(await rig.ask('PATCH', `${CMS}/a?force=true`, {}, { type: 'application/merge-patch+json' }), { status: 422 })
})

t.test('owners can be rewritten as kubectl does when it moves from client-side apply, and forgotten', async t => {
  const rig = await createRig()
  const { json } = await applyTo(rig, `${CMS}/a`, configMap({ k: 'v' }), 'fieldManager=m')
  const moved = (json.metadata.managedFields ?? []).map(each => ({ ...each, manager: 'n' }))
  const replaced = [
    { op: 'replace', path: '/metadata/managedFields', value: moved },
    { op: 'replace', path: '/metadata/resourceVersion', value: json.metadata.resourceVersion },
  ]
  const after = await rig.ask('PATCH', `${CMS}/a`, replaced, { type: 'application/json-patch+json' })
  t.same(owners(after.json), ['n Apply'])
  const forget = await rig.ask('PATCH', `${CMS}/a`, { metadata: { managedFields: [{}] } }, { type: 'application/merge-patch+json' })
  t.equal(forget.json.metadata.managedFields, undefined)
})

t.test('many writers are folded into one entry', async t => {
  const rig = await createRig()
  await applyTo(rig, `${CMS}/a`, configMap({ k: 'v' }), 'fieldManager=m')
  for (let i = 0; i < 15; i++) {
    rig.clock.advance(1000)
    await rig.ask('PATCH', `${CMS}/a?fieldManager=w${i}`, { data: { [`k${i}`]: 'v' } }, { type: 'application/merge-patch+json' })
  }
  const { json } = await rig.ask('GET', `${CMS}/a`)
  t.equal(json.metadata.managedFields?.filter(each => each.operation === 'Update').length, 10)
  t.match(fieldsOf(json, 'ancient-changes'), { 'f:data': { 'f:k0': {}, 'f:k5': {} } })
})
