// Bad manifests through real clients: upstream's Status errors, and nothing changed.

import { join } from 'node:path'
import { ApiException, AppsV1Api, CoreV1Api, KubeConfig, PatchStrategy, setHeaderOptions, type V1Deployment } from '@kubernetes/client-node'
import t, { type Test } from 'tap'
import { Client, until } from './client.ts'
import { findKubectl, freePort, type Running, run, startServer, temporaryDir, wipe } from './cluster.ts'
import { clientNodeCommands } from './kubernetes-client.ts'

const dir = temporaryDir()
const kubectl = findKubectl()
const kubeconfig = join(dir, 'kubeconfig')
const world: { server: Running | undefined; client: Client | undefined } = { server: undefined, client: undefined }
const client = (): Client => world.client!
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps'
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments'

const deployment = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'd' },
  spec: {
    replicas: 0,
    selector: { matchLabels: { a: 'b' } },
    template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    ...over,
  },
})

if (!kubectl) t.comment('NO STOCK KUBECTL FOUND ($KUBECTL, PATH): @kubernetes/client-node is the only real client of this run')

t.setTimeout(300_000)
t.teardown(async () => {
  world.client?.close()
  await world.server?.stop()
  wipe(dir)
})

/** Names and resourceVersions of everything these tests touch: equal before and after means nothing was written. */
const state = async (): Promise<string[]> => {
  const lists = await Promise.all([CONFIG_MAPS, DEPLOYMENTS].map(path => client().ok('GET', path)))
  return lists
    .flatMap(list => list['items'] as { metadata: { name: string; resourceVersion: string } }[])
    .map(item => `${item.metadata.name} ${item.metadata.resourceVersion}`)
}

const refused = async (
  t: Test,
  method: string,
  path: string,
  body: unknown,
  status: number,
  match: Record<string, unknown>,
  headers: Record<string, string> = {},
): Promise<void> => {
  const before = await state()
  const answer = await client().request(method, path, body, headers)
  t.equal(answer.status, status, answer.text.slice(0, 300))
  t.match(answer.json, { kind: 'Status', status: 'Failure', code: status, ...match })
  t.strictSame(await state(), before, 'nothing was written')
}

t.test('a server without an agent comes up', async () => {
  world.server = await startServer(dir, await freePort(), '--no-agent')
  world.client = await Client.open(kubeconfig)
  await client().ok('POST', DEPLOYMENTS, deployment())
  // The controllers are done with it once it carries its revision and has progressed: from then on it stands still.
  const isDone = (item: Record<string, unknown> | undefined): boolean =>
    ['"deployment.kubernetes.io/revision":"1"', '"MinimumReplicasAvailable"', '"NewReplicaSetAvailable"'].every(part =>
      (JSON.stringify(item) ?? '').includes(part),
    )
  await until(client(), DEPLOYMENTS, items => isDone(items.get('d')), 100_000, 'the Deployment is settled')
})

t.test('unknown fields are refused when strict, named in a warning when not', async t => {
  await refused(
    t,
    'POST',
    `${CONFIG_MAPS}?fieldValidation=Strict`,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, dta: {} },
    400,
    { reason: 'BadRequest', message: /strict decoding error: unknown field "dta"/ },
  )
})

t.test('a wrong type is a decoding error', async t => {
  await refused(t, 'POST', DEPLOYMENTS, { ...deployment({ replicas: 'five' }), metadata: { name: 'e' } }, 400, {
    reason: 'BadRequest',
    message: /cannot unmarshal|replicas/,
  })
})

t.test('an invalid object names field and value', async t => {
  await refused(t, 'POST', DEPLOYMENTS, { ...deployment({ replicas: -1 }), metadata: { name: 'e' } }, 422, {
    reason: 'Invalid',
    message: /Deployment.apps "e" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0/,
    details: { name: 'e', group: 'apps', kind: 'Deployment', causes: [{ field: 'spec.replicas', reason: 'FieldValueInvalid' }] },
  })
})

t.test('an immutable field cannot change', async t => {
  await refused(
    t,
    'PATCH',
    `${DEPLOYMENTS}/d`,
    { spec: { selector: { matchLabels: { a: 'c' } }, template: { metadata: { labels: { a: 'c' } } } } },
    422,
    { reason: 'Invalid', message: /spec.selector: Invalid value: .*field is immutable/ },
    { 'content-type': 'application/merge-patch+json' },
  )
})

t.test('a 3 MB object is too large', async t => {
  await refused(
    t,
    'POST',
    CONFIG_MAPS,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'big' }, data: { x: 'x'.repeat(3 * 1024 * 1024) } },
    413,
    { reason: 'RequestEntityTooLarge' },
  )
  await refused(
    t,
    'POST',
    CONFIG_MAPS,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'big' }, data: { x: 'x'.repeat(1_100_000) } },
    422,
    { reason: 'Invalid' },
  )
})

t.test('garbage, an unknown kind, a wrong media type and a wrong verb are refused as upstream does', async t => {
  await refused(t, 'POST', CONFIG_MAPS, '\u0001\u0002 not json {{{', 400, { reason: 'BadRequest' })
  await refused(
    t,
    'POST',
    '/apis/apps/v1/namespaces/default/widgets',
    { apiVersion: 'apps/v1', kind: 'Widget', metadata: { name: 'w' } },
    404,
    { reason: 'NotFound', message: 'the server could not find the requested resource' },
  )
  await refused(t, 'POST', CONFIG_MAPS, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'w' } }, 400, {
    reason: 'BadRequest',
  })
  await refused(t, 'POST', CONFIG_MAPS, 'x', 415, { reason: 'UnsupportedMediaType' }, { 'content-type': 'text/plain' })
  await refused(t, 'PUT', CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap' }, 405, { reason: 'MethodNotAllowed' })
  await refused(t, 'POST', CONFIG_MAPS, `${'['.repeat(20_000)}`, 400, { reason: 'BadRequest' })
  await refused(t, 'POST', '/api/v1/namespaces/nowhere/configmaps', { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'w' } }, 404, {
    reason: 'NotFound',
    message: 'namespaces "nowhere" not found',
  })
  await refused(t, 'POST', CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'Not_A_Name' } }, 422, {
    reason: 'Invalid',
  })
})

t.test('a stale resourceVersion conflicts', async t => {
  await client().ok('POST', CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { a: '1' } })
  const first = await client().ok('GET', `${CONFIG_MAPS}/c`)
  await client().ok('PUT', `${CONFIG_MAPS}/c`, { ...first, data: { a: '2' } })
  await refused(t, 'PUT', `${CONFIG_MAPS}/c`, { ...first, data: { a: '3' } }, 409, {
    reason: 'Conflict',
    message: /the object has been modified; please apply your changes to the latest version and try again/,
  })
})

t.test('kubectl prints the same errors', { skip: kubectl ? false : 'no stock kubectl on this machine' }, async t => {
  const apply = (text: string): Promise<{ code: number; stderr: string }> =>
    run(kubectl!, ['--kubeconfig', kubeconfig, 'apply', '-f', '-'], text)
  t.match(await apply('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\ndta: {}\n'), { code: 1, stderr: /unknown field "dta"/ })
  t.match(await apply('apiVersion: v1\nkind: Widget\nmetadata: {name: wrong}\n'), { code: 1, stderr: /no matches for kind "Widget"/ })
  t.match(
    await apply(
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: z}\nspec: {replicas: -1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}\n',
    ),
    { code: 1, stderr: /spec.replicas: Invalid value: -1/ },
  )
  t.match(await run(kubectl!, ['--kubeconfig', kubeconfig, 'get', 'pod', 'nope']), {
    code: 1,
    stderr: /Error from server \(NotFound\): pods "nope" not found/,
  })
})

/** Code and body of the refusal, as the JavaScript client hands them to its user. */
const refusalOf = async (work: Promise<unknown>): Promise<Record<string, unknown>> =>
  work.then(
    () => ({ refused: false }),
    error => {
      if (!(error instanceof ApiException)) throw error
      const body =
        typeof error.body === 'string' ? (JSON.parse(error.body) as Record<string, unknown>) : (error.body as Record<string, unknown>)
      return { thrown: error.code, ...body }
    },
  )

t.test('@kubernetes/client-node prints the same errors', async t => {
  const before = await state()
  const { apply, k } = clientNodeCommands(kubeconfig)
  await t.rejects(apply('apiVersion: v1\nkind: Widget\nmetadata: {name: wrong}\n'), {
    message: /Unrecognized API version and kind: v1 Widget/,
  })
  await t.rejects(apply(JSON.stringify({ ...deployment({ replicas: -1 }), metadata: { name: 'z' } })), {
    message: /^Error from server \(Invalid\): Deployment.apps "z" is invalid: spec.replicas: Invalid value: -1: must be greater/,
  })
  await t.rejects(apply('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong, namespace: nowhere}\n'), {
    message: /\(NotFound\): namespaces "nowhere" not found/,
  })
  await t.rejects(k('get', 'pod', 'nope'), { message: 'Error from server (NotFound): pods "nope" not found' })
  await t.rejects(k('logs', 'nope'), { message: 'Error from server (NotFound): pods "nope" not found' })
  await t.rejects(k('delete', 'namespace', 'nope'), { message: 'Error from server (NotFound): namespaces "nope" not found' })
  t.strictSame(await state(), before, 'nothing was written')
})

t.test('the typed calls of @kubernetes/client-node are refused with code, reason and causes', async t => {
  const config = new KubeConfig()
  config.loadFromFile(kubeconfig)
  const [core, apps] = [config.makeApiClient(CoreV1Api), config.makeApiClient(AppsV1Api)]
  const at = { namespace: 'default' }
  const before = await state()
  const wrongType = { ...deployment({ replicas: 'five' }), metadata: { name: 'e' } } as unknown as V1Deployment
  t.match(await refusalOf(apps.createNamespacedDeployment({ ...at, body: wrongType })), { thrown: 400, reason: 'BadRequest' })
  const selector = { spec: { selector: { matchLabels: { a: 'c' } }, template: { metadata: { labels: { a: 'c' } } } } }
  t.match(
    await refusalOf(
      apps.patchNamespacedDeployment(
        { ...at, name: 'd', body: selector },
        setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch),
      ),
    ),
    { thrown: 422, reason: 'Invalid', details: { name: 'd', causes: [{ field: 'spec.selector' }] } },
  )
  const unknown = { name: 'c', fieldValidation: 'Strict', body: { dta: {} } }
  t.match(
    await refusalOf(core.patchNamespacedConfigMap({ ...at, ...unknown }, setHeaderOptions('Content-Type', PatchStrategy.MergePatch))),
    { thrown: 422, reason: 'Invalid', message: /strict decoding error: unknown field "dta"/ },
  )
  const remove = [{ op: 'remove', path: '/data/none' }]
  t.match(await refusalOf(core.patchNamespacedConfigMap({ ...at, name: 'c', body: remove })), { thrown: 422, reason: 'Invalid' })
  const stale = { ...(await core.readNamespacedConfigMap({ ...at, name: 'c' })), data: { a: 'stale' } }
  stale.metadata!.resourceVersion = '1'
  t.match(await refusalOf(core.replaceNamespacedConfigMap({ ...at, name: 'c', body: stale })), { thrown: 409, reason: 'Conflict' })
  const big = { metadata: { name: 'big' }, data: { x: 'x'.repeat(3 * 1024 * 1024) } }
  t.match(await refusalOf(core.createNamespacedConfigMap({ ...at, body: big })), { thrown: 413, reason: 'RequestEntityTooLarge' })
  t.match(await refusalOf(core.createNamespacedConfigMap({ ...at, body: { metadata: { name: 'c' } } })), {
    thrown: 409,
    reason: 'AlreadyExists',
    message: 'configmaps "c" already exists',
  })
  t.match(await refusalOf(core.listNamespacedPod({ ...at, fieldSelector: 'foo=bar' })), { thrown: 400, reason: 'BadRequest' })
  t.strictSame(await state(), before, 'nothing was written')
})

t.test('a request without credentials is refused', async t => {
  const { connect } = await import('node:http2')
  const session = connect(client().url, { rejectUnauthorized: false })
  const status = await new Promise<number>((resolve, reject) => {
    const stream = session.request({ ':path': '/api/v1/pods' })
    stream.on('response', head => resolve(Number(head[':status'])))
    stream.on('error', reject)
    stream.end()
  })
  session.destroy()
  t.equal(status, 401)
})
