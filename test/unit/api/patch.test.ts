import t from 'tap'
import { applyPatch } from '../../../src/api/patch.ts'
import { configMap, createRig, deployment } from './rig.ts'

const CMS = '/api/v1/namespaces/default/configmaps'
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments'
const JSON_PATCH = { type: 'application/json-patch+json' }
const MERGE = { type: 'application/merge-patch+json' }
const STRATEGIC = { type: 'application/strategic-merge-patch+json' }
const POD_SPEC = 'io.k8s.api.core.v1.PodSpec'
const strategic = (object: unknown, patch: unknown, schema = POD_SPEC): unknown => applyPatch(object, patch, 'strategic', schema)

t.test('merge patch: null removes, objects merge, lists replace', t => {
  const merged = applyPatch({ a: 1, b: { c: [1], d: 2 } }, { a: null, b: { c: [2], e: { f: null, g: 1 } } }, 'merge', '')
  t.same(merged, { b: { c: [2], d: 2, e: { g: 1 } } })
  t.end()
})

t.test('patches never reach a prototype', t => {
  const merged = applyPatch({}, JSON.parse('{"__proto__": {"polluted": true}}'), 'merge', '') as Record<string, unknown>
  t.notOk(merged['polluted'])
  t.throws(() => applyPatch({}, [{ op: 'add', path: '/__proto__/polluted', value: 1 }], 'json', ''))
  t.notOk(({} as Record<string, unknown>)['polluted'])
  t.end()
})

t.test('strategic: containers merge by name, new ones are appended, $patch: delete removes', t => {
  const spec = {
    containers: [
      { name: 'a', image: '1', args: ['x'] },
      { name: 'b', image: '1' },
    ],
  }
  t.same(
    strategic(spec, {
      containers: [
        { name: 'b', image: '2' },
        { name: 'c', image: '3' },
      ],
    }),
    {
      containers: [
        { name: 'a', image: '1', args: ['x'] },
        { name: 'b', image: '2' },
        { name: 'c', image: '3' },
      ],
    },
  )
  t.same(strategic(spec, { containers: [{ name: 'a', $patch: 'delete' }] }), { containers: [{ name: 'b', image: '1' }] })
  t.same(strategic(spec, { containers: [{ $patch: 'replace' }, { name: 'z', image: '9' }] }), { containers: [{ name: 'z', image: '9' }] })
  t.same(strategic(spec, { containers: [{ name: 'a', $patch: 'replace', image: '5' }] }), {
    containers: [
      { name: 'a', image: '5' },
      { name: 'b', image: '1' },
    ],
  })
  t.throws(() => strategic(spec, { containers: [{ image: '2' }] }), /does not contain declared merge key: name/)
  t.end()
})

t.test('strategic: lists without a merge key replace; scalar lists that merge unite', t => {
  t.same(strategic({ containers: [{ name: 'a', args: ['x', 'y'] }] }, { containers: [{ name: 'a', args: ['z'] }] }), {
    containers: [{ name: 'a', args: ['z'] }],
  })
  const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'
  t.same(strategic({ finalizers: ['a', 'b'] }, { finalizers: ['b', 'c'] }, META), { finalizers: ['a', 'b', 'c'] })
  t.same(strategic({ finalizers: ['a', 'b'] }, { '$deleteFromPrimitiveList/finalizers': ['a'] }, META), { finalizers: ['b'] })
  t.end()
})

t.test('strategic: $setElementOrder orders, $retainKeys drops the others', t => {
  const spec = { containers: [{ name: 'a' }, { name: 'b' }] }
  const order = { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }], containers: [{ name: 'a', image: '2' }] }
  t.same(strategic(spec, order), { containers: [{ name: 'b' }, { name: 'a', image: '2' }] })
  const DEPLOYMENT_SPEC = 'io.k8s.api.apps.v1.DeploymentSpec'
  const recreate = { strategy: { $retainKeys: ['type'], type: 'Recreate' } }
  t.same(strategic({ strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } }, recreate, DEPLOYMENT_SPEC), {
    strategy: { type: 'Recreate' },
  })
  t.same(strategic({ nodeSelector: { a: 'b', c: 'd' } }, { nodeSelector: { a: null } }), { nodeSelector: { c: 'd' } })
  t.same(strategic({ nodeSelector: { a: 'b' } }, { nodeSelector: { $patch: 'replace', x: 'y' } }), { nodeSelector: { x: 'y' } })
  t.end()
})

t.test('strategic: a volume changes its source with $retainKeys', t => {
  const spec = { volumes: [{ name: 'v', emptyDir: {} }] }
  const patch = { volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }] }
  t.same(strategic(spec, patch), { volumes: [{ name: 'v', hostPath: { path: '/x' } }] })
  t.end()
})

t.test('the three patch types over HTTP; the image of one container', async t => {
  const { ask } = await createRig()
  await ask('POST', DEPLOYMENTS, deployment('x'))
  const image = { spec: { template: { spec: { containers: [{ name: 'main', image: 'busybox:2' }] } } } }
  const one = await ask('PATCH', `${DEPLOYMENTS}/x`, image, STRATEGIC)
  t.match(one.json, { metadata: { generation: 2 }, spec: { template: { spec: { containers: [{ name: 'main', image: 'busybox:2' }] } } } })
  const two = await ask('PATCH', `${DEPLOYMENTS}/x`, { spec: { replicas: 4 } }, MERGE)
  t.match(two.json, { metadata: { generation: 3 }, spec: { replicas: 4 } })
  const three = await ask('PATCH', `${DEPLOYMENTS}/x`, [{ op: 'replace', path: '/spec/replicas', value: 5 }], JSON_PATCH)
  t.match(three.json, { spec: { replicas: 5 } })
  t.match((await ask('PATCH', `${DEPLOYMENTS}/missing`, {}, MERGE)).json, { code: 404 })
})

t.test('a JSON patch that does not apply is 422, one that is no patch 400', async t => {
  const { ask } = await createRig()
  await ask('POST', CMS, configMap('a', { k: 'v' }))
  const failed = await ask('PATCH', `${CMS}/a`, [{ op: 'test', path: '/data/k', value: 'w' }], JSON_PATCH)
  t.match(failed.json, {
    code: 422,
    reason: 'Invalid',
    message: /^the server rejected our request due to an error in our request: testing value \/data\/k failed/,
    details: { causes: undefined },
  })
  const missing = await ask('PATCH', `${CMS}/a`, [{ op: 'remove', path: '/data/nope' }], JSON_PATCH)
  t.match(missing.json, {
    code: 422,
    message: /remove operation does not apply: doc is missing path: "\/data\/nope"/,
  })
  t.equal((await ask('PATCH', `${CMS}/a`, { op: 'x' }, JSON_PATCH)).status, 400)
  t.equal((await ask('PATCH', `${CMS}/a`, Array(10_001).fill({ op: 'test', path: '', value: 1 }), JSON_PATCH)).status, 413)
  t.match((await ask('GET', `${CMS}/a`)).json, { data: { k: 'v' } })
})

t.test('a patch may carry a resourceVersion as a precondition', async t => {
  const { ask } = await createRig()
  const made = (await ask('POST', CMS, configMap('a'))).json
  const fits = { metadata: { resourceVersion: made.metadata.resourceVersion }, data: { k: '1' } }
  t.equal((await ask('PATCH', `${CMS}/a`, fits, MERGE)).status, 200)
  t.equal((await ask('PATCH', `${CMS}/a`, fits, MERGE)).status, 409)
})

t.test('unknown fields in a patch are refused under Strict and named in a warning otherwise', async t => {
  const { ask } = await createRig()
  await ask('POST', DEPLOYMENTS, deployment('x'))
  const strict = await ask('PATCH', `${DEPLOYMENTS}/x?fieldValidation=Strict`, { spec: { replica: 3 } }, STRATEGIC)
  t.match(strict.json, {
    code: 422,
    message: / "" is invalid: patch: Invalid value: .*strict decoding error: unknown field "spec.replica"/,
  })
  const warned = await ask('PATCH', `${DEPLOYMENTS}/x`, { spec: { replica: 3 } }, STRATEGIC)
  t.equal(warned.status, 200)
  t.same(warned.headers['warning'], ['299 - "unknown field \\"spec.replica\\""'])
  t.notOk((warned.json.spec as Record<string, unknown>)['replica'])
})

t.test('a patch of an unknown type is 415 and names those that are known', async t => {
  const { ask } = await createRig()
  const refused = await ask('PATCH', `${CMS}/a`, 'kind: ConfigMap', { type: 'application/apply-patch+cbor' })
  t.match(refused.json, {
    code: 415,
    reason: 'UnsupportedMediaType',
    message: /accepted media types include: application\/json-patch\+json.*application\/apply-patch\+yaml/,
  })
})

t.test('status is patched alone', async t => {
  const { ask } = await createRig()
  await ask('POST', DEPLOYMENTS, deployment('x'))
  const patched = await ask('PATCH', `${DEPLOYMENTS}/x/status`, { spec: { replicas: 9 }, status: { replicas: 2 } }, MERGE)
  t.match(patched.json, { spec: { replicas: 2 }, status: { replicas: 2 } })
})
