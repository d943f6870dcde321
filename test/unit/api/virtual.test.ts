import t from 'tap'
import { createRig } from './rig.ts'

const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
const DEVICE = { name: 'system:node:n1', groups: ['system:nodes'], node: 'n1' }

const access = (spec: unknown): unknown => ({ apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec })

t.test('a caller learns who it is and what it may do', async t => {
  const { ask } = await createRig()
  const may = await ask('POST', REVIEWS, access({ resourceAttributes: { verb: 'delete', resource: 'nodes', name: 'n1' } }))
  t.match(may, { status: 201, json: { kind: 'SelfSubjectAccessReview', status: { allowed: true } } })
  const device = (method: string, url: string, body?: unknown) => ask(method, url, body, { as: DEVICE })
  const own = await device('POST', REVIEWS, access({ resourceAttributes: { verb: 'get', resource: 'nodes', name: 'n1' } }))
  t.match(own.json, { status: { allowed: true } })
  const other = await device('POST', REVIEWS, access({ resourceAttributes: { verb: 'get', resource: 'secrets', namespace: 'x' } }))
  t.match(other.json, { status: { allowed: false } })
  const path = await device('POST', REVIEWS, access({ nonResourceAttributes: { verb: 'get', path: '/metrics' } }))
  t.match(path.json, { status: { allowed: false } })
  const who = await device('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'SelfSubjectReview',
  })
  t.match(who.json, { status: { userInfo: { username: 'system:node:n1', groups: ['system:nodes'] } } })
})

t.test('a review that asks for nothing, or for two things, is refused', async t => {
  const { ask } = await createRig()
  t.match(await ask('POST', REVIEWS, access({})), { status: 422 })
  const both = { resourceAttributes: { verb: 'get' }, nonResourceAttributes: { verb: 'get' } }
  t.match(await ask('POST', REVIEWS, access(both)), { status: 422 })
  t.match(await ask('GET', REVIEWS), { status: 405 })
})

t.test('there are no CustomResourceDefinitions, and masters may see that', async t => {
  const { ask } = await createRig()
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  t.match((await ask('GET', path)).json, { kind: 'CustomResourceDefinitionList', items: [] })
  t.match(await ask('GET', path, undefined, { as: DEVICE }), { status: 403 })
})

t.test('the root lists every path of discovery', async t => {
  const { ask } = await createRig()
  const { paths } = (await ask('GET', '/')).json as unknown as { paths: string[] }
  t.ok(['/api/v1', '/apis/apps/v1', '/openapi/v2', '/version'].every(path => paths.includes(path)))
  t.notOk(paths.some(path => path.includes(' ')))
})

t.test('a scale prints as a scale, and an unknown subresource carries empty details', async t => {
  const { ask } = await createRig()
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }
  const spec = { replicas: 2, selector: { matchLabels: { a: 'b' } }, template }
  await ask('POST', '/apis/apps/v1/namespaces/default/deployments', {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    spec,
  })
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io'
  const { json } = await ask('GET', '/apis/apps/v1/namespaces/default/deployments/d/scale', undefined, { accept })
  t.match(json, { columnDefinitions: [{ name: 'Name' }, { name: 'Desired' }, { name: 'Available' }, { name: 'Age' }] })
  t.match(json, { rows: [{ cells: ['d', 2, 0] }] })
  t.same((await ask('PATCH', '/api/v1/namespaces/default/pods/x/ephemeralcontainers', {})).json.details, {})
})
