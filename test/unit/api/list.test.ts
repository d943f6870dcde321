import t from 'tap'
import { configMap, createRig, deployment, pod, type Rig } from './rig.ts'

const CMS = '/api/v1/namespaces/default/configmaps'
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json'
const PARTIAL = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'

const withMaps = async (count: number): Promise<Rig> => {
  const rig = await createRig({ namespaces: ['default', 'other'] })
  for (let i = 0; i < count; i++)
    await rig.ask('POST', CMS, configMap(`m${String(i).padStart(2, '0')}`, {}, { parity: i % 2 ? 'odd' : 'even' }))
  return rig
}

const names = (items: readonly { metadata: { name?: string } }[]): (string | undefined)[] => items.map(item => item.metadata.name)

t.test('a list is its objects in key order at one revision; across namespaces too', async t => {
  const { ask, store } = await withMaps(3)
  await ask('POST', '/api/v1/namespaces/other/configmaps', configMap('z'))
  const one = await ask('GET', CMS)
  t.match(one.json, { kind: 'ConfigMapList', apiVersion: 'v1', metadata: { resourceVersion: String(store.revision) } })
  t.same(names(one.json.items), ['m00', 'm01', 'm02'])
  t.same(names((await ask('GET', '/api/v1/configmaps')).json.items), ['m00', 'm01', 'm02', 'z'])
})

t.test('limit and continue page through one revision, whatever is written meanwhile', async t => {
  const { ask } = await withMaps(5)
  const first = await ask('GET', `${CMS}?limit=2`)
  t.same(names(first.json.items), ['m00', 'm01'])
  const meta = first.json.metadata as unknown as { continue: string; remainingItemCount: number; resourceVersion: string }
  t.equal(meta.remainingItemCount, 3)
  await ask('DELETE', `${CMS}/m03`)
  await ask('POST', CMS, configMap('m99'))
  const second = await ask('GET', `${CMS}?limit=2&continue=${encodeURIComponent(meta.continue)}`)
  t.same(names(second.json.items), ['m02', 'm03'])
  t.equal(second.json.metadata.resourceVersion, meta.resourceVersion)
  const token = (second.json.metadata as unknown as { continue: string }).continue
  const third = await ask('GET', `${CMS}?limit=2&continue=${encodeURIComponent(token)}`)
  t.same(names(third.json.items), ['m04'])
  t.notOk((third.json.metadata as unknown as { continue?: string }).continue)
})

t.test('continue must be ours, and alone', async t => {
  const { ask } = await withMaps(3)
  t.match((await ask('GET', `${CMS}?limit=1&continue=garbage`)).json, { code: 400, message: /continue key is not valid/ })
  const meta = (await ask('GET', `${CMS}?limit=1`)).json.metadata as unknown as { continue: string }
  const elsewhere = `/api/v1/namespaces/other/configmaps?limit=1&continue=${encodeURIComponent(meta.continue)}`
  t.equal((await ask('GET', elsewhere)).status, 400)
  t.equal((await ask('GET', `${CMS}?limit=1&resourceVersion=2&continue=${encodeURIComponent(meta.continue)}`)).status, 400)
})

t.test('resourceVersion: exact states, not-older-than, the future', async t => {
  const { ask, store } = await withMaps(2)
  const then = store.revision
  await ask('POST', CMS, configMap('new'))
  t.equal((await ask('GET', `${CMS}?resourceVersion=${then}&resourceVersionMatch=Exact`)).json.items.length, 2)
  t.equal((await ask('GET', `${CMS}?resourceVersion=${then}`)).json.items.length, 3)
  t.equal((await ask('GET', `${CMS}?resourceVersion=0`)).json.items.length, 3)
  t.match((await ask('GET', `${CMS}?resourceVersion=99999`)).json, { code: 504, message: /Too large resource version: 99999, current: / })
  t.equal((await ask('GET', `${CMS}?resourceVersion=abc`)).status, 400)
  t.match((await ask('GET', `${CMS}?resourceVersionMatch=Exact`)).json, { code: 422, reason: 'Invalid' })
})

t.test('label and field selectors, alone and with limit', async t => {
  const { ask } = await withMaps(5)
  t.same(names((await ask('GET', `${CMS}?labelSelector=parity%3Dodd`)).json.items), ['m01', 'm03'])
  t.same(names((await ask('GET', `${CMS}?labelSelector=parity+in+(odd),!x`)).json.items), ['m01', 'm03'])
  t.same(names((await ask('GET', `${CMS}?fieldSelector=metadata.name%3Dm02`)).json.items), ['m02'])
  t.same(names((await ask('GET', `${CMS}?fieldSelector=metadata.name!%3Dm02&labelSelector=parity%3Deven`)).json.items), ['m00', 'm04'])
  const page = await ask('GET', `${CMS}?labelSelector=parity%3Deven&limit=2`)
  t.same(names(page.json.items), ['m00', 'm02'])
  const token = (page.json.metadata as unknown as { continue: string }).continue
  t.same(names((await ask('GET', `${CMS}?labelSelector=parity%3Deven&limit=2&continue=${encodeURIComponent(token)}`)).json.items), ['m04'])
  t.match((await ask('GET', `${CMS}?labelSelector=a%3D%3D%3Db`)).json, { code: 400, message: /^unable to parse requirement: (?!unable)/ })
  t.match((await ask('GET', `${CMS}?fieldSelector=spec.x%3D1`)).json, {
    code: 400,
    message: /^"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"$/,
  })
})

t.test('pods are found by node and phase', async t => {
  const { ask, verbs } = await createRig()
  await ask('POST', '/api/v1/namespaces/default/pods', pod('a'))
  await ask('POST', '/api/v1/namespaces/default/pods', pod('b'))
  await verbs.bind({ name: 's', groups: [] }, 'default', 'b', 'n1')
  t.same(names((await ask('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3Dn1')).json.items), ['b'])
  t.same(names((await ask('GET', '/api/v1/pods?fieldSelector=spec.nodeName%3D,status.phase%3DPending')).json.items), ['a'])
})

t.test('tables have columns, cells and metadata, or what includeObject asks for', async t => {
  const { ask } = await createRig()
  const made = await ask('POST', '/apis/apps/v1/namespaces/default/deployments', deployment('x'))
  const url = '/apis/apps/v1/namespaces/default/deployments'
  const table = await ask('GET', url, undefined, { accept: TABLE })
  const found = table.json as unknown as {
    columnDefinitions: { name: string }[]
    rows: { cells: unknown[]; object: Record<string, unknown> }[]
  }
  t.match(table.json, { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata: { resourceVersion: made.json.metadata.resourceVersion! } })
  t.same(
    found.columnDefinitions.slice(0, 2).map(column => column.name),
    ['Name', 'Ready'],
  )
  t.match(found.rows, [
    { cells: ['x', '0/2'], object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: { name: 'x' } } },
  ])
  t.equal(found.rows[0]!.cells.length, found.columnDefinitions.length)
  const full = await ask('GET', `${url}?includeObject=Object`, undefined, { accept: TABLE })
  t.match(full.json, { rows: [{ object: { kind: 'Deployment', spec: { replicas: 2 } } }] })
  const none = await ask('GET', `${url}/x?includeObject=None`, undefined, { accept: TABLE })
  t.match(none.json, { kind: 'Table', rows: [{ object: null }] })
  t.equal((await ask('GET', `${url}?includeObject=Half`, undefined, { accept: TABLE })).status, 400)
  const error = await ask('GET', `${url}/missing`, undefined, { accept: TABLE })
  t.match(error.json, { kind: 'Status', code: 404 })
})

t.test('metadata alone, YAML, and forms nobody has', async t => {
  const { ask } = await withMaps(1)
  const partial = await ask('GET', CMS, undefined, { accept: PARTIAL })
  t.match(partial.json, {
    kind: 'PartialObjectMetadataList',
    apiVersion: 'meta.k8s.io/v1',
    items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'm00' } }],
  })
  t.notOk(partial.json.items[0]!['data'])
  const yaml = await ask('GET', `${CMS}/m00`, undefined, { accept: 'application/yaml' })
  t.match(yaml.text, /^apiVersion: v1\nkind: ConfigMap\n/m)
  const none = await ask('GET', CMS, undefined, { accept: 'application/vnd.kubernetes.protobuf' })
  t.match(none.json, { code: 406, reason: 'NotAcceptable', message: /only the following media types are accepted: application\/json/ })
  const either = await ask('GET', CMS, undefined, { accept: 'application/vnd.kubernetes.protobuf, application/json' })
  t.equal(either.status, 200)
})
