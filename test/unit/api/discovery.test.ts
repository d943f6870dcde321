import { gunzipSync } from 'node:zlib'
import t from 'tap'
import type { JsonObject } from '../../../src/base/json.ts'
import { KINDS } from '../../../src/kinds/index.ts'
import { createRig } from './rig.ts'

const aggregated = (version: string): string => `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`

interface Aggregated {
  kind: string
  apiVersion: string
  items: {
    metadata: { name?: string }
    versions: { version: string; resources: { resource: string; scope: string; subresources: { subresource: string }[] }[] }[]
  }[]
}

t.test('aggregated discovery in the version asked for first, legacy otherwise', async t => {
  const { ask } = await createRig()
  for (const version of ['v2', 'v2beta1']) {
    const answer = await ask('GET', '/apis', undefined, { accept: `${aggregated(version)},application/json` })
    t.equal(answer.headers['content-type'], aggregated(version))
    const found = answer.json as unknown as Aggregated
    t.match(found, { kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${version}` })
    const apps = found.items.find(item => item.metadata.name === 'apps')!
    t.match(apps.versions[0], { version: 'v1' })
    const deployments = apps.versions[0]!.resources.find(each => each.resource === 'deployments')!
    t.equal(deployments.scope, 'Namespaced')
    t.same(
      deployments.subresources.map(each => each.subresource),
      ['scale', 'status'],
    )
  }
  const core = (await ask('GET', '/api', undefined, { accept: aggregated('v2') })).json as unknown as Aggregated
  t.notOk(core.items[0]!.metadata.name)
  const both = `${aggregated('v2')},${aggregated('v2beta1')},application/json`
  t.equal((await ask('GET', '/apis', undefined, { accept: both })).headers['content-type'], aggregated('v2'))
  t.match((await ask('GET', '/api')).json, { kind: 'APIVersions', versions: ['v1'] })
  t.match((await ask('GET', '/apis')).json, { kind: 'APIGroupList', apiVersion: 'v1' })
})

t.test('legacy lists name every kind with its verbs and subresources', async t => {
  const { ask } = await createRig()
  const list = (await ask('GET', '/api/v1')).json as unknown as {
    kind: string
    groupVersion: string
    resources: { name: string; kind: string; group?: string; verbs: string[] }[]
  }
  t.match(list, { kind: 'APIResourceList', groupVersion: 'v1' })
  const names = list.resources.map(each => each.name)
  for (const name of ['pods', 'pods/log', 'pods/status', 'pods/binding', 'namespaces/finalize', 'nodes']) t.ok(names.includes(name), name)
  t.match(
    list.resources.find(each => each.name === 'pods/eviction'),
    { group: 'policy', kind: 'Eviction', verbs: ['create'] },
  )
  t.match((await ask('GET', '/apis/apps')).json, {
    kind: 'APIGroup',
    name: 'apps',
    preferredVersion: { groupVersion: 'apps/v1', version: 'v1' },
  })
  t.match((await ask('GET', '/apis/apps/v1/')).json, { kind: 'APIResourceList', groupVersion: 'apps/v1' })
})

t.test('a client that has it already gets 304', async t => {
  const { ask } = await createRig()
  const { headers } = await ask('GET', '/apis')
  const again = await ask('GET', '/apis', undefined, { headers: { 'if-none-match': String(headers['etag']) } })
  t.same([again.status, again.text], [304, ''])
})

interface Document {
  paths: Record<
    string,
    Record<string, { parameters?: { name: string }[]; 'x-kubernetes-group-version-kind': unknown; requestBody: { content: object } }>
  >
  components: { schemas: Record<string, JsonObject> }
}

t.test('OpenAPI v3 has what kubectl looks for, for every kind, and every reference resolves', async t => {
  const { ask } = await createRig()
  const index = (await ask('GET', '/openapi/v3')).json as unknown as { paths: Record<string, { serverRelativeURL: string }> }
  for (const kind of KINDS) {
    const path = kind.group === '' ? 'api/v1' : `apis/${kind.group}/${kind.version}`
    const answer = await ask('GET', index.paths[path]!.serverRelativeURL)
    t.match(answer.headers['cache-control'], /immutable/)
    const document = answer.json as unknown as Document
    const item = kind.namespaced ? `/${path}/namespaces/{namespace}/${kind.plural}/{name}` : `/${path}/${kind.plural}/{name}`
    const patch = document.paths[item]!['patch']!
    t.match(patch['x-kubernetes-group-version-kind'], { group: kind.group, version: kind.version, kind: kind.kind })
    const parameters = patch.parameters!.map(each => each.name)
    t.ok(parameters.includes('fieldValidation') && parameters.includes('dryRun'))
    t.ok('application/strategic-merge-patch+json' in patch.requestBody.content)
    t.match(document.components.schemas[kind.definition], { 'x-kubernetes-group-version-kind': [{ kind: kind.kind }] })
    const refs = [...answer.text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(match => match[1]!)
    t.same(
      [...new Set(refs)].filter(ref => !document.components.schemas[ref]),
      [],
    )
  }
})

t.test('OpenAPI documents come compressed to those who can', async t => {
  const { api, ask } = await createRig()
  const plain = await ask('GET', '/openapi/v3/apis/apps/v1')
  const response = await api.handle({
    method: 'GET',
    url: '/openapi/v3/apis/apps/v1',
    headers: { 'accept-encoding': 'gzip' },
    identity: { name: 'a', groups: [] },
    body: () => Promise.resolve(Buffer.alloc(0)),
  })
  t.equal(response.headers['content-encoding'], 'gzip')
  t.equal(gunzipSync(response.body as Buffer).toString(), plain.text)
})

t.test('OpenAPI v2 for older kubectl: JSON, and protobuf when asked for; references resolve', async t => {
  const { ask } = await createRig()
  const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf'
  const json = await ask('GET', '/openapi/v2')
  const refs = [...json.text.matchAll(/"#\/definitions\/([^"]+)"/g)].map(match => match[1]!)
  const { definitions } = json.json as unknown as { definitions: Record<string, JsonObject> }
  t.same(
    [...new Set(refs)].filter(ref => !definitions[ref]),
    [],
  )
  t.match(definitions['io.k8s.api.apps.v1.Deployment'], {
    'x-kubernetes-group-version-kind': [{ group: 'apps', version: 'v1', kind: 'Deployment' }],
  })
  const binary = await ask('GET', '/openapi/v2', undefined, { accept })
  t.equal(binary.headers['content-type'], 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf')
  t.ok(binary.text.startsWith('\n\u00032.0'), 'field 1 is the version')
  t.match(binary.text, /x-kubernetes-patch-merge-key/)
})

t.test('version and health', async t => {
  const { ask } = await createRig({ readiness: { store: () => 'disk full' } })
  t.match((await ask('GET', '/version')).json, { major: '1', minor: '36', gitVersion: 'v1.36.0+helio', platform: 'linux/amd64' })
  const bad = await ask('GET', '/readyz')
  t.same([bad.status, bad.text], [500, '[+]ping ok\n[-]store failed: disk full\nreadyz check failed\n'])
  const good = await ask('GET', '/livez?verbose')
  t.same([good.status, good.text], [200, '[+]ping ok\nlivez check passed\n'], 'a full disk is no reason to start the server anew')
  t.equal((await ask('GET', '/readyz?exclude=store')).text, 'ok')
})
