import t from 'tap'
import { duplicateKeys } from '../../../src/api/duplicate-key.ts'
import { configMap, createRig, deployment } from './rig.ts'

const CMS = '/api/v1/namespaces/default/configmaps'
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments'

t.test('garbage bodies are 400 and name what was sent', async t => {
  const { ask } = await createRig()
  const garbage = await ask('POST', CMS, 'garbage')
  t.match(garbage.json, {
    code: 400,
    reason: 'BadRequest',
    message:
      /the object provided is unrecognized \(must be of type ConfigMap\): couldn't get version\/kind; json parse error: .*\(67617262616765\)/,
  })
  t.equal((await ask('POST', CMS, '')).status, 400)
  t.equal((await ask('POST', CMS, '[]')).status, 400)
  t.equal((await ask('POST', CMS, '"text"')).status, 400)
  t.match((await ask('POST', CMS, '[['.repeat(50_000))).json, { code: 400, message: /exceeded max depth/ })
  t.match((await ask('POST', CMS, '- '.repeat(50_000), { type: 'application/yaml' })).json, { code: 400 })
})

t.test('media types: unknown ones are 415, YAML is read as kubectl reads it', async t => {
  const { ask } = await createRig()
  const refused = await ask('POST', CMS, '<a/>', { type: 'application/xml' })
  t.match(refused.json, {
    code: 415,
    reason: 'UnsupportedMediaType',
    message: /accepted media types include: application\/json, application\/yaml/,
  })
  const yaml = [
    'apiVersion: v1',
    'kind: ConfigMap',
    'metadata:',
    '  name: from-yaml',
    'data:',
    '  date: "2020-01-01"',
    '  answer: "yes"',
  ].join('\n')
  t.match((await ask('POST', CMS, yaml, { type: 'application/yaml' })).json, { data: { date: '2020-01-01', answer: 'yes' } })
  const immutable = yaml.replace('name: from-yaml', 'name: z').replace('\ndata:', '\nimmutable: on\ndata:')
  t.match((await ask('POST', CMS, immutable, { type: 'application/yaml' })).json, { immutable: true })
  const stamps = 'metadata: {name: w, annotations: {a: 2020-01-01}}'
  t.match((await ask('POST', CMS, stamps, { type: 'application/yaml' })).json, { metadata: { annotations: { a: '2020-01-01' } } })
})

t.test('wrong types are 400 with the decoder’s sentence', async t => {
  const { ask } = await createRig()
  const bad = await ask('POST', DEPLOYMENTS, { ...deployment('x'), spec: { replicas: 'three' } })
  t.match(bad.json, {
    code: 400,
    message:
      'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
  })
})

t.test('unknown and duplicate fields: Strict refuses, Warn warns, Ignore drops', async t => {
  const { ask } = await createRig()
  const body = '{"metadata":{"name":"a","name":"a"},"dat":{"k":"v"}}'
  const strict = await ask('POST', `${CMS}?fieldValidation=Strict`, body)
  t.match(strict.json, {
    code: 400,
    message:
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dat", duplicate field "metadata.name"',
  })
  const warned = await ask('POST', CMS, body)
  t.equal(warned.status, 201)
  t.same(warned.headers['warning'], ['299 - "unknown field \\"dat\\""', '299 - "duplicate field \\"metadata.name\\""'])
  t.notOk((await ask('GET', `${CMS}/a`)).json['dat'])
  const ignored = await ask('PUT', `${CMS}/a?fieldValidation=Ignore`, body)
  t.notOk(ignored.headers['warning'])
  t.match((await ask('POST', `${CMS}?fieldValidation=Maybe`, configMap('b'))).json, {
    code: 422,
    message: /fieldValidation: Unsupported value: "Maybe"/,
  })
})

t.test('what Go would fill with zeros is judged, not tripped over', async t => {
  const { ask } = await createRig()
  const broken = {
    ...deployment('x'),
    spec: { selector: { matchExpressions: [null, { values: ['a'] }] }, template: { spec: { containers: [{}, null] } } },
  }
  const refused = await ask('POST', DEPLOYMENTS, broken)
  t.match(refused.json, { code: 422, reason: 'Invalid', message: /spec.template.spec.containers\[0\].name: Required value/ })
})

t.test('duplicate keys are found by path, in strings and escapes too', t => {
  t.same(duplicateKeys('{"a":1,"b":{"c":[{"d":1,"d":2}]},"a":3}'), ['b.c[0].d', 'a'])
  t.same(duplicateKeys('{"a":"\\"a\\":1,","\\u0061":2}'), ['a'])
  t.same(duplicateKeys('{"a":{"x":1},"b":{"x":1},"c":[{"x":1},{"x":1}]}'), [])
  t.same(duplicateKeys('{"a\\\\":1,"b":"x\\\\","a\\\\":2}'), ['a\\'])
  t.end()
})

t.test('kinds and versions that do not fit the path', async t => {
  const { ask } = await createRig()
  const unknown = await ask('POST', CMS, { apiVersion: 'v1', kind: 'Foo', metadata: { name: 'a' } })
  t.match(unknown.json, {
    code: 400,
    message: /^Foo in version "v1" cannot be handled as a ConfigMap: no kind "Foo" is registered for version "v1"/,
  })
  const other = await ask('POST', CMS, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } })
  t.match(other.json, {
    code: 400,
    message: /^Secret in version "v1" cannot be handled as a ConfigMap: converting \(v1.Secret\) to \(core.ConfigMap\)/,
  })
  const version = await ask('POST', DEPLOYMENTS, { ...deployment('x'), apiVersion: 'apps/v1beta1' })
  t.match(version.json, { code: 400, message: /no kind "Deployment" is registered for version "apps\/v1beta1"/ })
  const event = { apiVersion: 'events.k8s.io/v1', kind: 'Event', metadata: { name: 'e' } }
  t.match((await ask('POST', '/api/v1/namespaces/default/events', event)).json, {
    code: 400,
    message: 'the API version in the data (events.k8s.io/v1) does not match the expected API version (v1)',
  })
})

t.test('paths and methods nobody serves', async t => {
  const { ask } = await createRig()
  for (const path of [
    '/nope',
    '/api/v2',
    '/api/v1/nopes',
    '/apis/nope.io/v1/things',
    '/api/v1/namespaces/default/nodes',
    '/api/v1//pods',
    '/api/v1/pods/x',
    '/api/v1/namespaces/default/pods/x/nope',
    `${CMS}/a/status`,
    '/%zz',
  ])
    t.match(
      (await ask('GET', path)).json,
      { code: 404, reason: 'NotFound', message: 'the server could not find the requested resource' },
      path,
    )
  t.match((await ask('PUT', CMS)).json, {
    code: 405,
    reason: 'MethodNotAllowed',
    message: 'the server does not allow this method on the requested resource',
  })
  t.equal((await ask('POST', '/api/v1/configmaps', configMap('a'))).status, 405)
  t.equal((await ask('BREW', `${CMS}/a`)).status, 405)
  t.equal((await ask('POST', '/version')).status, 405)
})

t.test('who may: nobody, somebody, a device, a master', async t => {
  const { ask } = await createRig()
  t.match((await ask('GET', CMS, undefined, { anonymous: true })).json, { code: 401, reason: 'Unauthorized', message: 'Unauthorized' })
  t.equal((await ask('GET', '/healthz', undefined, { anonymous: true })).text, 'ok')
  t.equal((await ask('GET', '/version', undefined, { anonymous: true })).status, 401)
  const somebody = { name: 'jane', groups: ['system:authenticated'] }
  t.match((await ask('DELETE', `${CMS}/a`, undefined, { as: somebody })).json, {
    code: 403,
    message: 'configmaps "a" is forbidden: User "jane" cannot delete resource "configmaps" in API group "" in the namespace "default"',
  })
  t.match((await ask('GET', '/apis/apps/v1/deployments?watch=1', undefined, { as: somebody })).json, {
    message: 'deployments.apps is forbidden: User "jane" cannot watch resource "deployments" in API group "apps" at the cluster scope',
  })
  t.match((await ask('PUT', '/apis/apps/v1/namespaces/default/deployments/x/status', {}, { as: somebody })).json, {
    message: /cannot update resource "deployments\/status"/,
  })
  t.equal((await ask('GET', '/apis', undefined, { as: somebody })).status, 200)
  t.match((await ask('GET', '/metrics', undefined, { as: somebody })).json, {
    code: 403,
    message: 'forbidden: User "jane" cannot get path "/metrics"',
  })
  const device = { name: 'system:node:a', groups: ['system:nodes'], node: 'a' }
  t.equal((await ask('GET', '/api/v1/nodes/a', undefined, { as: device })).status, 404)
  t.equal((await ask('GET', '/api/v1/nodes/b', undefined, { as: device })).status, 403)
  t.equal((await ask('PUT', '/api/v1/nodes/a/status', {}, { as: device })).status, 403)
})

t.test('routes of other rooms: open ones need no name, the others a master', async t => {
  const say = (text: string) => async () => ({ status: 200, headers: {}, body: Buffer.from(text) })
  const { ask } = await createRig({
    routes: [
      { method: 'POST', path: '/join', anonymous: true, handle: say('welcome') },
      { method: 'GET', path: '/metrics', handle: say('numbers') },
    ],
  })
  t.equal((await ask('POST', '/join', {}, { anonymous: true })).text, 'welcome')
  t.equal((await ask('GET', '/metrics', undefined, { anonymous: true })).status, 401)
  t.equal((await ask('GET', '/metrics', undefined, { as: { name: 'jane', groups: [] } })).status, 403)
  t.equal((await ask('GET', '/metrics')).text, 'numbers')
})

t.test('managedFields are dropped: this server keeps none', async t => {
  const { ask } = await createRig()
  const body = configMap('a')
  body.metadata.managedFields = [{ manager: 'x', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: {} }]
  t.notOk((await ask('POST', CMS, body)).json.metadata.managedFields)
})

t.test('a fault inside is a 500 that tells nothing', async t => {
  const { ask } = await createRig({
    routes: [{ method: 'GET', path: '/boom', handle: () => Promise.reject(new TypeError('secret detail')) }],
  })
  const log = t.capture(console, 'error', () => undefined)
  t.match((await ask('GET', '/boom')).json, { code: 500, reason: 'InternalError', message: 'Internal error occurred' })
  t.equal(log().length, 1)
})
