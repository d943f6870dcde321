// Endpoints of Services: from pods, in slices, and calm when nodes fall silent.

import t from 'tap'
import { endpoints } from '../../../src/controllers/endpoints.ts'
import { ON_RECONNECT, REPLACE_AFTER } from '../../../src/kinds/disconnection.ts'
import type { Endpoint, EndpointSlice } from '../../../src/kinds/endpoint-slice.ts'
import type { Endpoints } from '../../../src/kinds/endpoints.ts'
import { keyOf } from '../../../src/kinds/meta.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { fc } from '../../property.ts'
import { type Site, site, webOf } from './silence.ts'
import type { Loose, World } from './world.ts'
import { createWorld, runningStatus } from './world.ts'

const MINUTE = 60_000

const service = (spec: Loose = {}): Loose => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'default', labels: { team: 'a' } },
  spec: {
    type: 'ClusterIP',
    selector: { app: 'web' },
    ipFamilies: ['IPv4'],
    ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 'http' }],
    ...spec,
  },
})

const slices = (world: World): readonly EndpointSlice[] => world.list<EndpointSlice>('EndpointSlice')
const all = (world: World): Endpoint[] => slices(world).flatMap(slice => slice.endpoints)
const ready = (world: World): string[] =>
  all(world)
    .filter(each => each.conditions?.ready)
    .map(each => each.targetRef!.name!)
    .sort()

const podAt = (name: string, ip: string, extra: Loose = {}): Loose => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', labels: { app: 'web' }, ...(extra['metadata'] as Loose | undefined) },
  spec: { nodeName: 'node-1', containers: [{ name: 'main', ports: [{ name: 'http', containerPort: 8080 }] }], ...(extra['spec'] as Loose) },
  status: { ...runningStatus(0), podIP: ip, podIPs: [{ ip }], ...(extra['status'] as Loose) },
})

t.test('a device that names no address for its pod keeps that pod out, not the others', async t => {
  const world = createWorld()
  world.put(podAt('good', '10.0.0.1'))
  for (const [i, ip] of ['', '999.9.9.9', '10.0.0.2\n', '10.0.0.3/8', '::g', 'host'].entries()) world.put(podAt(`bad-${i}`, ip))
  world.put(service())
  world.settle([endpoints])
  t.same(ready(world), ['good'])
})

t.test('addresses that mean somebody else to each who reads them are none, in either family', async t => {
  const world = createWorld()
  const special = ['127.0.0.1', '127.9.9.9', '169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255']
  const special6 = [
    '::1',
    '::',
    '0:0:0:0:0:0:0:1',
    'fe80::1',
    'FEBF::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '0:0:0:0:0:ffff:a00:1',
  ]
  world.put(podAt('good', '10.0.0.1'))
  world.put(podAt('good-6', 'fd00::1'))
  world.put(podAt('near', '169.253.0.1'))
  world.put(podAt('near-6', '1::ffff:1'))
  for (const [i, ip] of [...special, ...special6].entries()) world.put(podAt(`bad-${i}`, ip))
  world.put(service({ ipFamilies: ['IPv4', 'IPv6'] }))
  world.settle([endpoints])
  const found = slices(world).flatMap(slice => slice.endpoints.flatMap(each => each.addresses))
  t.same(found.sort(), ['10.0.0.1', '169.253.0.1', '1::ffff:1', 'fd00::1'])
})

t.test('a ready pod behind a Service is an endpoint, in a slice and in Endpoints', async t => {
  const world = createWorld()
  const pod = world.put(podAt('one', '10.0.0.1'))
  const { metadata } = world.put(service())
  world.settle([endpoints])
  t.match(slices(world), [
    {
      metadata: {
        labels: {
          team: 'a',
          'kubernetes.io/service-name': 'web',
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
        ownerReferences: [{ kind: 'Service', name: 'web', uid: metadata.uid, controller: true }],
      },
      addressType: 'IPv4',
      ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
      endpoints: [
        {
          addresses: ['10.0.0.1'],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: 'node-1',
          targetRef: { kind: 'Pod', namespace: 'default', name: 'one', uid: pod.metadata.uid },
        },
      ],
    },
  ])
  t.match(world.get<Endpoints>('Endpoints', 'default/web')?.subsets, [
    {
      addresses: [{ ip: '10.0.0.1', nodeName: 'node-1', targetRef: { name: 'one' } }],
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    },
  ])
})

t.test('a Service that selects no pods has one empty slice; one without a selector is left to others', async t => {
  const world = createWorld()
  world.put(service())
  world.put({ ...service({ selector: undefined }), metadata: { name: 'own', namespace: 'default' } })
  world.settle([endpoints])
  t.equal(slices(world).length, 1)
  t.same(slices(world)[0]!.endpoints, [])
  t.equal(world.get('Endpoints', 'default/own'), undefined)
  t.same(endpoints.reconcile(world.view, 'default/web', 0).actions, [])
})

t.test('pods that are not ready, end, wait for an address or have ended', async t => {
  const world = createWorld()
  world.put(podAt('unready', '10.0.0.1', { status: { conditions: [{ type: 'Ready', status: 'False' }] } }))
  world.put(podAt('ending', '10.0.0.2'))
  world.remove('Pod', 'default/ending')
  world.put(podAt('ended', '10.0.0.3', { status: { phase: 'Succeeded' } }))
  world.put(podAt('new', '10.0.0.4', { status: { podIP: undefined, podIPs: undefined } }))
  world.put(service())
  world.settle([endpoints])
  t.match(
    all(world).map(each => [each.targetRef?.name, each.conditions]),
    [
      ['ending', { ready: false, serving: true, terminating: true }],
      ['unready', { ready: false, serving: false, terminating: false }],
    ],
  )
  const [subset] = world.get<Endpoints>('Endpoints', 'default/web')!.subsets!
  t.equal(subset!.addresses, undefined)
  t.same(
    subset!.notReadyAddresses?.map(each => each.ip),
    ['10.0.0.1'],
  )
})

t.test('publishNotReadyAddresses makes them ready all the same', async t => {
  const world = createWorld()
  world.put(podAt('unready', '10.0.0.1', { status: { conditions: [{ type: 'Ready', status: 'False' }] } }))
  world.put(service({ publishNotReadyAddresses: true }))
  world.settle([endpoints])
  t.same(ready(world), ['unready'])
})

t.test('pods whose named port means different numbers are in different slices; addresses of both families in their own', async t => {
  const world = createWorld()
  world.put(podAt('a', '10.0.0.1'))
  world.put(podAt('b', '10.0.0.2', { spec: { containers: [{ name: 'main', ports: [{ name: 'http', containerPort: 9090 }] }] } }))
  world.put(podAt('c', '10.0.0.3', { status: { podIPs: [{ ip: '10.0.0.3' }, { ip: 'fd00::3' }] } }))
  world.put(service({ ipFamilies: ['IPv4', 'IPv6'] }))
  world.settle([endpoints])
  t.same(
    slices(world)
      .map(slice => [slice.addressType, slice.ports?.[0]?.port, slice.endpoints.flatMap(each => each.addresses).join(' ')].join(' '))
      .sort(),
    ['IPv4 8080 10.0.0.1 10.0.0.3', 'IPv4 9090 10.0.0.2', 'IPv6 8080 fd00::3'],
  )
})

t.test('slices hold a hundred each, a pod stays in its slice, and room is used again', async t => {
  const world = createWorld()
  for (let i = 0; i < 250; i++) world.put(podAt(`p${String(i).padStart(3, '0')}`, `10.0.${i}.1`))
  world.put(service())
  world.settle([endpoints])
  t.same(
    slices(world)
      .map(slice => slice.endpoints.length)
      .sort(),
    [100, 100, 50],
  )
  const before = new Map(slices(world).map(slice => [slice.metadata.name, slice]))
  const gone = slices(world).find(slice => slice.endpoints.length === 100)!.endpoints[3]!.targetRef!
  world.apply({ do: 'delete', kind: 'Pod', key: `default/${gone.name}`, uid: gone.uid!, gracePeriodSeconds: 0 })
  world.put(podAt('zzz', '10.1.0.1'))
  const changed = (): number => slices(world).filter(slice => before.get(slice.metadata.name!) !== slice).length
  world.settle([endpoints])
  t.equal(all(world).length, 250)
  t.equal(changed(), 1, 'one slice is written for one pod')
})

t.test('an Endpoints object holds a thousand addresses, ready ones first, and says that it is cut', async t => {
  const world = createWorld()
  for (let i = 0; i < 1_050; i++) {
    const conditions = [{ type: 'Ready', status: i < 60 ? 'False' : 'True' }]
    world.put(podAt(`p${String(i).padStart(4, '0')}`, `10.${i >> 8}.${i & 255}.1`, { status: { conditions } }))
  }
  world.put(service())
  world.settle([endpoints])
  const { subsets, metadata } = world.get<Endpoints>('Endpoints', 'default/web')!
  t.equal(metadata.annotations?.['endpoints.kubernetes.io/over-capacity'], 'truncated')
  t.same([subsets![0]!.addresses!.length, subsets![0]!.notReadyAddresses!.length], [990, 10])
})

t.test('what others do to a slice is put right, and a change of a pod that means nothing writes nothing', async t => {
  const world = createWorld()
  world.put(podAt('one', '10.0.0.1'))
  world.put(service())
  world.settle([endpoints])
  world.edit('EndpointSlice', keyOf(slices(world)[0]!.metadata), { endpoints: [] })
  world.settle([endpoints])
  t.same(ready(world), ['one'])
  const before = world.view.revision
  world.edit('Pod', 'default/one', { status: { startTime: '2026-11-22T09:00:00Z' } })
  world.settle([endpoints])
  t.equal(world.view.revision, before + 1)
})

t.test('settled means settled, whatever pods there are', async () => {
  const onePod = fc.record({
    ip: fc.integer({ min: 1, max: 250 }),
    isReady: fc.boolean(),
    port: fc.constantFrom(8080, 9090),
    isEnding: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(fc.array(onePod, { maxLength: 8 }), { minLength: 1, maxLength: 4 }), rounds => {
      const world = createWorld()
      world.put(service())
      for (const [round, pods] of rounds.entries()) {
        for (const pod of world.list<Pod>('Pod'))
          world.apply({ do: 'delete', kind: 'Pod', key: keyOf(pod.metadata), uid: pod.metadata.uid!, gracePeriodSeconds: 0 })
        for (const [i, { ip, isReady, port, isEnding }] of pods.entries()) {
          const name = `p${round % 2}-${i}`
          const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }]
          const containers = [{ name: 'main', ports: [{ name: 'http', containerPort: port }] }]
          world.put(podAt(name, `10.0.0.${ip}`, { status: { conditions }, spec: { containers } }))
          if (isEnding) world.remove('Pod', `default/${name}`)
        }
        world.settle([endpoints])
        if (endpoints.reconcile(world.view, 'default/web', 0).actions.length > 0 || world.conflicts.length > 0) return false
        if (all(world).length !== pods.length) return false
      }
      return true
    }),
    { numRuns: 100 },
  )
})

/** `count` nodes with a pod of the Service each. */
const served = (count: number, annotations: Record<string, string> = {}): Site => {
  const made = site(count)
  made.world.put(webOf('ReplicaSet', count, annotations))
  made.world.put(service())
  made.pass(2_000, 1_000)
  return made
}

t.test('60 % of 40 nodes cut at once: no pod is moved, no endpoint is emptied, however long it lasts', async t => {
  const made = served(40, { [REPLACE_AFTER]: '0s', [ON_RECONNECT]: 'keep-replacement' })
  t.equal(ready(made.world).length, 40)
  const before = JSON.stringify([slices(made.world), made.world.list('Endpoints'), made.pods()])
  for (let i = 1; i <= 24; i++) made.cut(`node-${i}`)
  made.pass(2 * MINUTE, 5_000)
  t.match(
    made.node('node-3').status!.conditions!.map(each => `${each.type} ${each.reason}`),
    ['Ready NodeStatusUnknown', 'heliopause.io/Contact Unknown', 'ReadyWhenLastSeen KubeletReady', 'heliopause.io/ContactBrake ManySilent'],
  )
  made.pass(3 * 24 * 60 * MINUTE, 6 * 60 * MINUTE)
  t.equal(JSON.stringify([slices(made.world), made.world.list('Endpoints'), made.pods()]), before)
  for (let i = 1; i <= 24; i++) made.heal(`node-${i}`)
  made.pass(20 * MINUTE)
  t.equal(JSON.stringify([slices(made.world), made.world.list('Endpoints'), made.pods()]), before)
})

t.test('one silent node: its endpoint is ready as last seen, and after a while it is not', async t => {
  const made = served(4)
  const lost = made.pods().find(pod => pod.spec.nodeName === 'node-1')!.metadata.name!
  made.cut('node-1')
  made.pass(4 * MINUTE)
  t.equal(ready(made.world).length, 4)
  made.pass(2 * MINUTE)
  t.equal(ready(made.world).length, 3)
  t.notOk(ready(made.world).includes(lost))
  t.equal(all(made.world).length, 4, 'it is still listed')
  made.heal('node-1')
  made.pass(1_000)
  t.equal(ready(made.world).length, 4)
})

t.test('one silent node: its endpoint gives way as soon as the replacement is ready', async t => {
  const made = site(4)
  made.world.put(webOf('ReplicaSet', 3, { [REPLACE_AFTER]: '1m' }))
  made.world.put(service())
  made.pass(2_000, 1_000)
  const original = made.pods()[0]!
  made.cut(original.spec.nodeName!)
  made.pass(90_000, 5_000)
  t.equal(ready(made.world).length, 3)
  t.notOk(ready(made.world).includes(original.metadata.name!))
})

t.test('the last endpoints of a Service are never taken away for silence', async t => {
  const made = served(2)
  made.cut('node-1')
  made.cut('node-2')
  made.pass(24 * 60 * MINUTE, 60 * MINUTE)
  t.equal(ready(made.world).length, 2)
})

t.test('a node that is silent by design keeps its endpoints', async t => {
  const made = served(4)
  made.world.edit('Node', 'node-1', { metadata: { annotations: { 'heliopause.io/contact-interval': '1h' } } })
  made.cut('node-1')
  made.pass(50 * MINUTE)
  t.equal(ready(made.world).length, 4)
})
