// What programs in JavaScript do with the API through @kubernetes/client-node, against the real executable without an agent: typed
// reading and writing back, paging, watches, an informer, a lease that is renewed, many calls at once over one connection.

import { join } from 'node:path'
import {
  AppsV1Api,
  CoordinationV1Api,
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  makeInformer,
  type V1ConfigMap,
  type V1ConfigMapList,
  V1MicroTime,
  Watch,
} from '@kubernetes/client-node'
import t from 'tap'
import { freePort, type Running, startServer, temporaryDir, wipe } from './cluster.ts'

const dir = temporaryDir()
const config = new KubeConfig()
const world: { server?: Running; core?: CoreV1Api; apps?: AppsV1Api; objects?: KubernetesObjectApi } = {}
const core = (): CoreV1Api => world.core!
const at = { namespace: 'default' }

const TEMPLATE = {
  metadata: { labels: { a: 'b' } },
  spec: { containers: [{ name: 'c', image: 'i', resources: { limits: { cpu: '0.5', memory: '64Mi' } } }] },
}
const OBJECTS: KubernetesObject[] = [
  { apiVersion: 'v1', kind: 'ConfigMap', binaryData: { x: 'AAE=' } },
  { apiVersion: 'v1', kind: 'Secret', stringData: { password: 'word' } },
  { apiVersion: 'v1', kind: 'Service', spec: { selector: { a: 'b' }, ports: [{ port: 80, targetPort: 'http' }] } },
  { apiVersion: 'v1', kind: 'ServiceAccount' },
  { apiVersion: 'v1', kind: 'Pod', spec: { ...TEMPLATE.spec, nodeName: 'nowhere' } },
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    spec: { replicas: 0, paused: true, selector: { matchLabels: { a: 'b' } }, template: TEMPLATE },
  },
  { apiVersion: 'apps/v1', kind: 'ReplicaSet', spec: { replicas: 0, selector: { matchLabels: { a: 'b' } }, template: TEMPLATE } },
  { apiVersion: 'apps/v1', kind: 'ControllerRevision', revision: 1, data: { any: 'thing' } },
  { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', spec: { holderIdentity: 'me' } },
].map(object => ({ ...object, metadata: { name: 'same', namespace: 'default', labels: { k: 'v' } } }))

t.setTimeout(300_000)
t.before(async () => {
  world.server = await startServer(dir, await freePort(), '--no-agent')
  config.loadFromFile(join(dir, 'kubeconfig'))
  world.core = config.makeApiClient(CoreV1Api)
  world.apps = config.makeApiClient(AppsV1Api)
  world.objects = KubernetesObjectApi.makeApiClient(config)
})
t.teardown(async () => {
  await world.server?.stop()
  wipe(dir)
})

for (const object of OBJECTS)
  t.test(`a ${object.kind} that is read and written back is no change`, async t => {
    await world.objects!.create(object)
    const header = { apiVersion: object.apiVersion!, kind: object.kind!, metadata: { name: 'same', namespace: 'default' } }
    // A controller may touch it meanwhile: an unconditional write, and a reading just before and after it, until nothing came between.
    for (;;) {
      const before = await world.objects!.read<KubernetesObject>(header)
      t.type(before.metadata?.creationTimestamp, Date)
      const { resourceVersion, ...metadata } = before.metadata!
      const after = await world.objects!.replace<KubernetesObject>({ ...before, metadata })
      const later = await world.objects!.read<KubernetesObject>(header)
      if (after.metadata?.resourceVersion !== resourceVersion && later.metadata?.resourceVersion !== after.metadata?.resourceVersion)
        continue
      t.strictSame(JSON.parse(JSON.stringify(after)), JSON.parse(JSON.stringify(before)))
      return
    }
  })

t.test('a lease is taken and renewed, as leader election does it', async t => {
  const leases = config.makeApiClient(CoordinationV1Api)
  const first = new V1MicroTime('2026-11-22T10:00:00.123Z')
  await leases.createNamespacedLease({ ...at, body: { metadata: { name: 'leader' }, spec: { holderIdentity: 'a', acquireTime: first } } })
  const held = await leases.readNamespacedLease({ ...at, name: 'leader' })
  t.equal(new Date(held.spec!.acquireTime!).getTime(), first.getTime())
  held.spec!.renewTime = new V1MicroTime('2026-11-22T10:00:02.456Z')
  const renewed = await leases.replaceNamespacedLease({ ...at, name: 'leader', body: held })
  t.equal(new Date(renewed.spec!.renewTime!).getTime(), Date.parse('2026-11-22T10:00:02.456Z'))
  await t.rejects(leases.replaceNamespacedLease({ ...at, name: 'leader', body: held }), { code: 409 }, 'the second with the same version')
})

t.test('a Deployment is scaled by reading its scale and writing it back', async t => {
  const name = 'same'
  const scale = await world.apps!.readNamespacedDeploymentScale({ ...at, name })
  delete scale.metadata!.resourceVersion
  const body = { ...scale, spec: { replicas: 2 } }
  t.equal((await world.apps!.replaceNamespacedDeploymentScale({ ...at, name, body })).spec?.replicas, 2)
  t.equal((await world.apps!.readNamespacedDeployment({ ...at, name })).spec?.replicas, 2)
})

t.test('two hundred creates at once, then a list in pages and one whole, then deleted together', async t => {
  const labels = { crowd: 'yes' }
  const numbers = Array.from({ length: 200 }, (_, i) => i)
  await Promise.all(
    numbers.map(i =>
      core().createNamespacedConfigMap({ ...at, body: { metadata: { name: `n${i}`, labels }, data: { x: 'y'.repeat(9000) } } }),
    ),
  )
  const paged: string[] = []
  let next: string | undefined
  do {
    const page: V1ConfigMapList = await core().listNamespacedConfigMap({
      ...at,
      limit: 33,
      labelSelector: 'crowd in (yes)',
      ...(next ? { _continue: next } : {}),
    })
    t.ok(page.items.length <= 33)
    paged.push(...page.items.map(item => item.metadata!.name!))
    next = page.metadata?._continue
  } while (next)
  const whole = await core().listNamespacedConfigMap({ ...at, labelSelector: 'crowd=yes' })
  t.strictSame(
    paged,
    whole.items.map(item => item.metadata!.name!),
  )
  t.strictSame(new Set(paged), new Set(numbers.map(i => `n${i}`)))
  await core().deleteCollectionNamespacedConfigMap({ ...at, labelSelector: 'crowd=yes' })
  t.equal((await core().listNamespacedConfigMap({ ...at, labelSelector: 'crowd=yes' })).items.length, 0)
})

t.test('an informer is told of everything that is there, comes, changes and goes', async t => {
  const told: string[] = []
  const informer = makeInformer<V1ConfigMap>(config, '/api/v1/namespaces/default/configmaps', () => core().listNamespacedConfigMap(at))
  const body = { metadata: { name: 'late' }, data: { a: '1' } }
  await new Promise<void>((resolve, reject) => {
    /** Notes it, and answers with the next change, so each is seen before the next is made. */
    const on = (verb: 'add' | 'update' | 'delete', react: () => Promise<unknown>): void =>
      informer.on(verb, ({ metadata }) => {
        told.push(`${verb} ${metadata?.name}`)
        if (metadata?.name === 'late') react().catch(reject)
      })
    on('add', () => core().replaceNamespacedConfigMap({ ...at, name: 'late', body: { ...body, data: { a: '2' } } }))
    on('update', () => core().deleteNamespacedConfigMap({ ...at, name: 'late' }))
    on('delete', () => informer.stop().then(resolve))
    informer.on('error', reject)
    informer.start().then(() => core().createNamespacedConfigMap({ ...at, body }), reject)
  })
  t.strictSame(told.slice(-3), ['add late', 'update late', 'delete late'])
  t.ok(told.includes('add same'))
})

t.test('a watch with initial events marks their end, and the server ends it when it was told to', async t => {
  const types: string[] = []
  const query = { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan', allowWatchBookmarks: true, timeoutSeconds: 1 }
  const ended = await new Promise(resolve => {
    void new Watch(config).watch('/api/v1/namespaces/default/secrets', query, type => types.push(type), resolve)
  })
  t.equal(ended, null, 'no error')
  t.strictSame([...new Set(types)], ['ADDED', 'BOOKMARK'])
})
