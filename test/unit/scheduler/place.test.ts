// Filters, scores and batches, as pure functions over a node table.

import t from 'tap'
import type { Node } from '../../../src/kinds/node.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import { type Labels, needsOf } from '../../../src/scheduler/needs.ts'
import { type Placed, place } from '../../../src/scheduler/place.ts'
import { type Row, rowBaseOf, rowOf, usageOf } from '../../../src/scheduler/row.ts'
import { fc } from '../../property.ts'

type Loose = Record<string, unknown>

const node = (name: string, extra: { labels?: Labels; spec?: Loose; allocatable?: Loose } = {}): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...extra.labels } },
    spec: extra.spec ?? {},
    status: { allocatable: { cpu: '2', memory: '2Gi', pods: '10', ...extra.allocatable }, conditions: [{ type: 'Ready', status: 'True' }] },
  }) as Node

const pod = (name: string, spec: Loose = {}, labels: Labels = {}, namespace = 'default'): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: { containers: [{ name: 'main' }], ...spec },
  }) as unknown as Pod

const requests = (cpu: string, memory = '1Mi'): Loose => ({ containers: [{ name: 'main', resources: { requests: { cpu, memory } } }] })

const tableOf = (nodes: readonly Node[], running: Readonly<Record<string, readonly Pod[]>> = {}): Row[] =>
  nodes.map(each => rowOf(rowBaseOf(each), usageOf((running[each.metadata.name!] ?? []).map(needsOf))))

const run = (nodes: readonly Node[], pods: readonly Pod[], running?: Readonly<Record<string, readonly Pod[]>>): Placed<Pod> =>
  place({
    rows: tableOf(nodes, running),
    pods: pods.map(each => ({ pod: each, needs: needsOf(each) })),
    namespaceLabels: namespace => ({ team: namespace }),
    placementsMax: 10_000,
  })

/** Where one pod goes, or why nowhere. */
const where = (nodes: readonly Node[], one: Pod, running?: Readonly<Record<string, readonly Pod[]>>): string => {
  const { placements, failures } = run(nodes, [one], running)
  return placements[0]?.node ?? failures[0]!.message
}

t.test('a taint keeps pods away that do not tolerate it', async t => {
  const gpu = node('gpu', { spec: { taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] } })
  const tolerating = (toleration: Loose): Pod => pod('p', { tolerations: [toleration] })
  t.match(where([gpu], pod('p')), 'untolerated taint')
  t.equal(where([gpu], tolerating({ key: 'gpu', operator: 'Equal', value: 'yes', effect: 'NoSchedule' })), 'gpu')
  t.equal(where([gpu], tolerating({ key: 'gpu', operator: 'Exists' })), 'gpu')
  t.equal(where([gpu], tolerating({ operator: 'Exists' })), 'gpu')
  t.match(where([gpu], tolerating({ key: 'gpu', value: 'no' })), 'untolerated taint')
  t.match(where([gpu], tolerating({ key: 'gpu', operator: 'Exists', effect: 'NoExecute' })), 'untolerated taint')
})

t.test('a node that is not ready takes only pods that tolerate it', async t => {
  const lost = { ...node('lost'), status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } } as Node
  t.equal(where([lost], pod('p')), '0/1 nodes are available: 1 node(s) were not in contact.')
  t.equal(where([lost], pod('p', { tolerations: [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists' }] })), 'lost')
})

t.test('node selectors and every operator of node affinity', async t => {
  const nodes = [node('a', { labels: { zone: 'north', cores: '4' } }), node('b', { labels: { zone: 'south', cores: '8', ssd: '' } })]
  const wanting = (...matchExpressions: Loose[]): Pod =>
    pod('p', {
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } } },
    })
  t.equal(where(nodes, pod('p', { nodeSelector: { zone: 'south' } })), 'b')
  t.match(where(nodes, pod('p', { nodeSelector: { zone: 'west' } })), "2 node(s) didn't match Pod's node affinity/selector")
  t.equal(where(nodes, wanting({ key: 'zone', operator: 'In', values: ['south', 'east'] })), 'b')
  t.equal(where(nodes, wanting({ key: 'zone', operator: 'NotIn', values: ['north'] })), 'b')
  t.equal(where(nodes, wanting({ key: 'ssd', operator: 'Exists' })), 'b')
  t.equal(where(nodes, wanting({ key: 'ssd', operator: 'DoesNotExist' })), 'a')
  t.equal(where(nodes, wanting({ key: 'cores', operator: 'Gt', values: ['5'] })), 'b')
  t.equal(where(nodes, wanting({ key: 'cores', operator: 'Lt', values: ['5'] })), 'a')
  const byName = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }] }
  t.equal(where(nodes, pod('p', { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: byName } } })), 'b')
})

t.test('resources: containers add up, init containers count when they are bigger, what runs is counted', async t => {
  const init = pod('p', { ...requests('500m'), initContainers: [{ name: 'init', resources: { requests: { cpu: '3' } } }] })
  t.equal(where([node('a')], init), '0/1 nodes are available: 1 Insufficient cpu.')
  t.equal(where([node('a'), node('b')], pod('p', requests('1500m')), { a: [pod('q', requests('1'))] }), 'b')
  t.match(where([node('a', { allocatable: { pods: '1' } })], pod('p'), { a: [pod('q')] }), '1 Too many pods')
  t.match(
    where([node('a')], pod('p', { containers: [{ name: 'main', resources: { requests: { 'example.com/fpga': '1' } } }] })),
    'Insufficient example.com/fpga',
  )
})

t.test('a host port is taken once per address', async t => {
  const port = (hostIP?: string): Loose => ({
    containers: [{ name: 'main', ports: [{ containerPort: 80, hostPort: 80, ...(hostIP ? { hostIP } : {}) }] }],
  })
  const taken = { a: [pod('q', port())] }
  t.match(where([node('a')], pod('p', port()), taken), "didn't have free ports")
  t.match(where([node('a')], pod('p', port('10.0.0.1')), taken), "didn't have free ports")
  t.equal(where([node('a')], pod('p', port('10.0.0.1')), { a: [pod('q', port('10.0.0.2'))] }), 'a')
})

const near = (app: string, topologyKey = 'zone'): Loose => ({ labelSelector: { matchLabels: { app } }, topologyKey })
const zoned = [node('a', { labels: { zone: 'north' } }), node('b', { labels: { zone: 'south' } })]
const affine = (kind: string, term: Loose, labels: Labels = {}): Pod =>
  pod('p', { affinity: { [kind]: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } }, labels)

t.test('pod affinity goes where matching pods are, anti-affinity where they are not', async t => {
  const running = { b: [pod('db', {}, { app: 'db' })] }
  t.equal(where(zoned, affine('podAffinity', near('db')), running), 'b')
  t.equal(where(zoned, affine('podAntiAffinity', near('db')), running), 'a')
  t.match(where(zoned, affine('podAffinity', near('cache')), running), "2 node(s) didn't match pod affinity rules")
})

t.test('the first pod of a group that wants its own company may start anywhere', async t => {
  t.equal(where(zoned, affine('podAffinity', near('web'), { app: 'web' })), 'a')
})

t.test('a running pod keeps others away by its own anti-affinity', async t => {
  const lonely = affine('podAntiAffinity', near('web'), { app: 'lonely' })
  t.equal(where(zoned, pod('p', {}, { app: 'web' }), { a: [lonely] }), 'b')
  t.match(where([zoned[0]!], pod('p', {}, { app: 'web' }), { a: [lonely] }), "1 node(s) didn't satisfy existing pods anti-affinity rules")
})

t.test('affinity means its own namespace unless it names others', async t => {
  const away = { b: [pod('db', {}, { app: 'db' }, 'data')] }
  t.match(where(zoned, affine('podAffinity', near('db')), away), "didn't match pod affinity rules")
  t.equal(where(zoned, affine('podAffinity', { ...near('db'), namespaces: ['data'] }), away), 'b')
  t.equal(where(zoned, affine('podAffinity', { ...near('db'), namespaceSelector: { matchLabels: { team: 'data' } } }), away), 'b')
})

t.test('pods of one batch see each other: anti-affinity spreads them', async t => {
  const group = [1, 2, 3].map(
    i =>
      ({
        ...affine('podAntiAffinity', near('web', 'kubernetes.io/hostname'), { app: 'web' }),
        metadata: { name: `p${i}`, namespace: 'default', labels: { app: 'web' } },
      }) as Pod,
  )
  const { placements, failures } = run(zoned, group)
  t.same(placements.map(each => each.node).sort(), ['a', 'b'])
  t.match(failures[0]?.message, "2 node(s) didn't match pod anti-affinity rules")
})

t.test('preferences outweigh packing, and packing decides between equals', async t => {
  const preferring = pod('p', {
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 10, preference: { matchExpressions: [{ key: 'zone', operator: 'In', values: ['south'] }] } },
        ],
      },
    },
  })
  const busy = { a: [pod('q', requests('1', '1Gi'))] }
  t.equal(where(zoned, preferring, busy), 'b')
  t.equal(where(zoned, pod('p'), busy), 'a')
  t.equal(where(zoned, pod('p'), { b: busy.a }), 'b')
  t.equal(where(zoned, pod('p')), 'a')
})

t.test('a soft taint is avoided while there is another way', async t => {
  const soft = node('a', { spec: { taints: [{ key: 'old', effect: 'PreferNoSchedule' }] } })
  t.equal(where([soft, node('b')], pod('p')), 'b')
  t.equal(where([soft], pod('p')), 'a')
})

t.test('preferred pod affinity pulls, preferred anti-affinity pushes', async t => {
  const running = { b: [pod('db', {}, { app: 'db' })] }
  const preferring = (kind: string): Pod =>
    pod('p', { affinity: { [kind]: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 50, podAffinityTerm: near('db') }] } } })
  t.equal(where(zoned, preferring('podAffinity'), running), 'b')
  t.equal(where(zoned, preferring('podAntiAffinity'), running), 'a')
})

t.test('a batch never overcommits a node, and every pod is either placed or told why', async () => {
  const size = fc.record({
    cpu: fc.integer({ min: 0, max: 1500 }),
    memory: fc.integer({ min: 0, max: 1500 }),
    port: fc.option(fc.integer({ min: 1, max: 3 })),
  })
  fc.assert(
    fc.property(fc.array(size, { maxLength: 40 }), fc.integer({ min: 0, max: 5 }), (sizes, nodeCount) => {
      const nodes = Array.from({ length: nodeCount }, (_, i) => node(`n${i}`, { allocatable: { pods: '6' } }))
      const pods = sizes.map(({ cpu, memory, port }, i) =>
        pod(`p${i}`, {
          containers: [
            {
              name: 'main',
              resources: { requests: { cpu: `${cpu}m`, memory: `${memory}Mi` } },
              ...(port === null ? {} : { ports: [{ containerPort: 1, hostPort: port }] }),
            },
          ],
        }),
      )
      const { placements, failures } = run(nodes, pods)
      if (placements.length + failures.length !== pods.length) return false
      return nodes.every(each => {
        const here = placements.filter(one => one.node === each.metadata.name).map(one => needsOf(one.pod))
        const sum = (resource: string): number =>
          here.flatMap(needs => needs.requests).reduce((total, [name, amount]) => (name === resource ? total + amount : total), 0)
        const ports = here.flatMap(needs => needs.ports.map(port => port.port))
        return sum('cpu') <= 2_000 && sum('memory') <= 2 * 1024 ** 3 && here.length <= 6 && new Set(ports).size === ports.length
      })
    }),
    { numRuns: 200 },
  )
})

t.test('a batch ends where placing its pods one by one ends', async () => {
  const anti = (app: string): Loose => ({
    affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [near(app, 'kubernetes.io/hostname')] } },
  })
  const towards = (app: string): Loose => ({
    affinity: { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 5, podAffinityTerm: near(app) }] } },
  })
  const shape = fc.record({
    cpu: fc.integer({ min: 1, max: 9 }),
    app: fc.constantFrom('x', 'y', 'z'),
    rule: fc.constantFrom('none', 'none', 'anti', 'towards'),
  })
  fc.assert(
    fc.property(fc.array(shape, { maxLength: 25 }), shapes => {
      const nodes = ['a', 'b', 'c', 'd'].map((name, i) => node(name, { labels: { zone: i < 2 ? 'north' : 'south' } }))
      const pods = shapes.map(({ cpu, app, rule }, i) =>
        pod(`p${i}`, { ...requests(`${cpu}00m`), ...(rule === 'anti' ? anti(app) : rule === 'towards' ? towards(app) : {}) }, { app }),
      )
      const running: Record<string, Pod[]> = {}
      for (const one of pods) {
        const [placed] = run(nodes, [one], running).placements
        if (placed) running[placed.node] = [...(running[placed.node] ?? []), one]
      }
      const expected = Object.entries(running).flatMap(([name, here]) => here.map(one => `${one.metadata.name} ${name}`))
      const batch = run(nodes, pods).placements.map(each => `${each.pod.metadata.name} ${each.node}`)
      return expected.sort().join() === batch.sort().join()
    }),
    { numRuns: 150 },
  )
})

t.test('the same batch is placed the same way every time', async t => {
  const nodes = Array.from({ length: 7 }, (_, i) => node(`n${i}`))
  const pods = Array.from({ length: 60 }, (_, i) => pod(`p${i}`, requests(`${100 + (i % 7) * 50}m`)))
  const once = run(nodes, pods)
  t.same(run(nodes, pods), once)
})

t.test('a thousand pods find their place among two hundred nodes well within a second', async t => {
  const nodes = Array.from({ length: 200 }, (_, i) => node(`n${i}`))
  const pods = Array.from({ length: 1_000 }, (_, i) => pod(`p${i}`, requests('100m', '64Mi')))
  const before = process.hrtime.bigint()
  const { placements } = run(nodes, pods)
  const tookMs = Number(process.hrtime.bigint() - before) / 1e6
  t.equal(placements.length, 1_000)
  t.ok(tookMs < 1_000, `${tookMs.toFixed(0)} ms`)
})

t.test('a node that is silent by design takes a pod only where no other can', async t => {
  const offline = {
    ...node('a-offline'),
    status: {
      ...node('x').status,
      conditions: [
        { type: 'Ready', status: 'True' },
        { type: 'heliopause.io/Contact', status: 'False', reason: 'Offline' },
      ],
    },
  } as Node
  t.equal(where([offline, node('online')], pod('p')), 'online')
  t.equal(where([offline], pod('p')), 'a-offline')
})
