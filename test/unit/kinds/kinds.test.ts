// The other kinds: defaults, rules with upstream's paths and words, rows.

import t from 'tap'
import { deepCopy } from '../../../src/base/json.ts'
import { humanDuration } from '../../../src/kinds/duration.ts'
import { kindOfObject } from '../../../src/kinds/index.ts'
import { scaledValue } from '../../../src/kinds/int-or-percent.ts'
import type { KubeObject } from '../../../src/kinds/meta.ts'
import { checkSchema } from '../../../src/kinds/schema-check.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')
const CREATED = '2026-11-22T11:00:00Z'

/** An object as the API would hold it after create; `extra` is merged at the top. */
const make = (apiVersion: string, kind: string, extra: object, meta: object = {}): KubeObject => {
  const found = kindOfObject({ apiVersion, kind })
  if (!found) throw new Error(`no kind ${kind}`)
  const namespace = found.namespaced ? { namespace: 'default' } : {}
  const metadata = { name: 'web', ...namespace, creationTimestamp: CREATED, ...meta }
  const { errors, pruned } = checkSchema({ apiVersion, kind, metadata, ...extra }, found.definition)
  if (errors.length > 0) throw new Error(errors.join(', '))
  const object = pruned as unknown as KubeObject
  found.setDefaults(object)
  return object
}

const kindOf = (object: KubeObject) => {
  const found = kindOfObject(object)
  if (!found) throw new Error(`no kind ${object.kind}`)
  return found
}
const problems = (object: KubeObject): string[] =>
  kindOf(object)
    .validate(object)
    .map(each => `${each.field}: ${each.detail}`)
const updateProblems = (object: KubeObject, old: KubeObject): string[] =>
  kindOf(object)
    .validateUpdate(object, old)
    .map(each => `${each.field}: ${each.detail}`)
const cells = (object: KubeObject): unknown[] => kindOf(object).row(object, NOW)

const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'nginx' }] } }
const deployment = (spec: object = {}, meta: object = {}) =>
  make('apps/v1', 'Deployment', { spec: { selector: { matchLabels: { app: 'web' } }, template, ...spec } }, meta)

t.test('metadata: names, labels, owners and what an update may not change', t => {
  const map = (meta: object) => make('v1', 'ConfigMap', {}, meta)
  t.strictSame(problems(map({})), [])
  t.strictSame(problems(map({ name: 'kube-root-ca.crt', labels: { 'app.kubernetes.io/name': 'x' }, finalizers: ['a.io/b'] })), [])
  t.match(problems(map({ name: 'Web' }))[0], /^metadata\.name: Invalid value: "Web": a lowercase RFC 1123 subdomain must consist of/)
  t.match(problems(map({ name: 'x'.repeat(254) }))[0], /must be no more than 253 bytes/)
  t.ok((problems(map({ name: 'x'.repeat(100_000) }))[0] ?? '').length < 5000, 'a long value is cut')
  t.equal(problems(map({ name: '' }))[0], 'metadata.name: Required value: name or generateName is required')
  t.strictSame(problems(map({ name: 'a-x2', generateName: 'a-' })), [])
  t.equal(problems(map({ namespace: '' }))[0], 'metadata.namespace: Required value')
  t.match(problems(map({ labels: { a: 'b c' } }))[0], /^metadata\.labels: Invalid value: "b c": a valid label must be an empty string or/)
  t.match(
    problems(map({ annotations: { 'a/b/c': '' } }))[0],
    /^metadata\.annotations: Invalid value: "a\/b\/c": a qualified name must consist/,
  )
  t.equal(
    problems(map({ annotations: { a: 'x'.repeat(256 * 1024) } }))[0],
    'metadata.annotations: Too long: may not be more than 262144 bytes',
  )
  t.match(problems(map({ finalizers: ['orphan', 'foregroundDeletion'] }))[0], /cannot be both set/)
  const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true }
  t.match(problems(map({ ownerReferences: [owner, { ...owner, name: 'q' }] }))[0], /Only one reference can have Controller set to true/)
  t.equal(
    problems(map({ ownerReferences: [{ ...owner, uid: '' }] }))[0],
    'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
  )
  t.match(problems(make('v1', 'Node', {}, { namespace: 'x' }))[0], /^metadata\.namespace: Forbidden: not allowed on this type/)
  t.equal(updateProblems(map({ uid: 'a' }), map({ uid: 'b' }))[0], 'metadata.uid: Invalid value: "a": field is immutable')
  const going = map({ deletionTimestamp: CREATED, finalizers: ['a.io/b'] })
  t.match(
    updateProblems(map({ deletionTimestamp: CREATED, finalizers: ['a.io/b', 'c.io/d'] }), going)[0],
    /no new finalizers can be added if the object is being deleted/,
  )
  t.strictSame(updateProblems(map({ deletionTimestamp: CREATED, finalizers: [] }), going), [])
  t.end()
})

t.test('a Deployment: defaults, rules, row, scale', t => {
  const good = deployment()
  t.match(good, {
    spec: {
      replicas: 1,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      template: { spec: { restartPolicy: 'Always' } },
    },
  })
  t.equal(
    (good as unknown as { spec: { template: { spec: { enableServiceLinks?: boolean } } } }).spec.template.spec.enableServiceLinks,
    undefined,
  )
  t.strictSame(problems(good), [])
  const cases: [object, string | RegExp][] = [
    [{ replicas: -1 }, 'spec.replicas: Invalid value: -1: must be greater than or equal to 0'],
    [{ selector: null }, 'spec.selector: Required value'],
    [{ selector: {} }, 'spec.selector: Invalid value: {}: empty selector is invalid for deployment'],
    [
      { selector: { matchLabels: { app: 'db' } } },
      'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ],
    [{ template: null }, 'spec.template: Required value'],
    [
      { template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } },
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
    [{ template: { ...template, spec: { containers: [] } } }, 'spec.template.spec.containers: Required value'],
    [{ template: { metadata: template.metadata } }, 'spec.template.spec.containers: Required value'],
    [{ strategy: { type: 'Slow' } }, 'spec.strategy.type: Unsupported value: "Slow": supported values: "Recreate", "RollingUpdate"'],
    [
      { strategy: { type: 'Recreate', rollingUpdate: {} } },
      "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ],
    [
      { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } },
      'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0',
    ],
    [
      { strategy: { rollingUpdate: { maxSurge: 'many' } } },
      /spec\.strategy\.rollingUpdate\.maxSurge: Invalid value: "many": a valid percent string/,
    ],
    [{ strategy: { rollingUpdate: { maxUnavailable: '150%' } } }, /must not be greater than 100%/],
    [{ minReadySeconds: 700 }, 'spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds'],
  ]
  for (const [spec, expected] of cases) {
    const found = problems(deployment(spec))
    t.ok(
      found.some(each => (typeof expected === 'string' ? each === expected : expected.test(each))),
      `${expected} in ${found.join(' | ')}`,
    )
  }
  const moved = deployment({ selector: { matchLabels: { app: 'web', x: 'y' } } })
  t.equal(updateProblems(moved, good)[0], 'spec.selector: Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable')
  good.status = { readyReplicas: 1, updatedReplicas: 1, availableReplicas: 1 }
  t.strictSame(cells(good), ['web', '1/1', 1, 1, '60m', 'a', 'nginx', 'app=web'])
  t.equal(kindOf(good).scale?.selector(good), 'app=web')
  t.end()
})

t.test('a ReplicaSet: defaults, counts, row', t => {
  const set = make('apps/v1', 'ReplicaSet', { spec: { selector: { matchLabels: { app: 'web' } }, template } })
  t.strictSame(problems(set), [])
  t.strictSame(cells(set), ['web', 1, 0, 0, '60m', 'a', 'nginx', 'app=web'])
  const after = deepCopy(set)
  after.status = { replicas: 1, readyReplicas: 2 }
  t.match(kindOf(set).validateStatusUpdate?.(after, set), [
    { field: 'status.readyReplicas', detail: 'Invalid value: 2: cannot be greater than status.replicas' },
  ])
  t.end()
})

t.test('ConfigMaps and Secrets: keys, sizes, immutability, stringData', t => {
  const map = (extra: object) => make('v1', 'ConfigMap', extra)
  t.strictSame(problems(map({ data: { 'a.conf': 'x', __b: 'y' }, binaryData: { c: 'AA==' } })), [])
  t.match(problems(map({ data: { 'a b': '' } }))[0], /^data\[a b\]: Invalid value: "a b": a valid config key must consist of/)
  t.match(problems(map({ data: { '..x': '' } }))[0], /must not start with '\.\.'/)
  t.match(problems(map({ data: { a: '' }, binaryData: { a: '' } }))[0], /duplicate of key present in binaryData/)
  t.match(problems(map({ data: { a: 'ü'.repeat(600_000) } }))[0], /^\[\]: Too long: may not be more than 1048576 bytes/)
  t.strictSame(updateProblems(map({ data: { a: '2' } }), map({ data: { a: '1' } })), [])
  t.strictSame(updateProblems(map({ data: { a: '2' }, immutable: true }), map({ data: { a: '1' }, immutable: true })), [
    'data: Forbidden: field is immutable when `immutable` is set',
  ])
  t.strictSame(updateProblems(map({ immutable: false }), map({ immutable: true })), [
    'immutable: Forbidden: field is immutable when `immutable` is set',
  ])
  t.strictSame(cells(map({ data: { a: '' }, binaryData: { b: '' } })), ['web', 2, '60m'])

  const secret = (extra: object) => make('v1', 'Secret', extra)
  const merged = secret({ data: { a: 'YQ==', b: 'Yg==' }, stringData: { b: 'Grüße 😀', c: '' } })
  t.strictSame(merged['data'], { a: 'YQ==', b: Buffer.from('Grüße 😀').toString('base64'), c: '' })
  t.equal(merged['stringData'], undefined)
  t.equal(merged['type'], 'Opaque')
  t.strictSame(cells(merged), ['web', 'Opaque', 3, '60m'])
  t.strictSame(problems(secret({ type: 'kubernetes.io/tls', data: {} })), [
    'data[tls.crt]: Required value',
    'data[tls.key]: Required value',
  ])
  t.match(problems(secret({ type: 'kubernetes.io/dockerconfigjson', stringData: { '.dockerconfigjson': '{' } }))[0], /redacted/)
  t.strictSame(problems(secret({ type: 'kubernetes.io/dockerconfigjson', stringData: { '.dockerconfigjson': '{"auths":{}}' } })), [])
  t.strictSame(problems(secret({ type: 'constructor' })), [])
  t.equal(updateProblems(secret({ type: 'x' }), secret({}))[0], 'type: Invalid value: "x": field is immutable')
  t.end()
})

t.test('a Service: defaults, ports, addresses, row', t => {
  const service = (spec: object) => make('v1', 'Service', { spec })
  const plain = service({ selector: { app: 'web' }, ports: [{ port: 80 }] })
  t.match(plain['spec'], {
    type: 'ClusterIP',
    sessionAffinity: 'None',
    internalTrafficPolicy: 'Cluster',
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
    ports: [{ port: 80, targetPort: 80, protocol: 'TCP' }],
  })
  t.strictSame(problems(plain), [])
  t.strictSame(problems(service({ clusterIP: 'None' })), [], 'headless needs no port')
  t.equal(problems(service({}))[0], 'spec.ports: Required value')
  t.equal(problems(service({ ports: [{ port: 80 }, { port: 81 }] }))[0], 'spec.ports[0].name: Required value')
  t.match(
    problems(
      service({
        ports: [
          { port: 80, name: 'a' },
          { port: 80, name: 'b' },
        ],
      }),
    )[0],
    /^spec\.ports\[1\]: Duplicate value/,
  )
  t.match(problems(service({ ports: [{ port: 0 }] }))[0], /spec\.ports\[0\]\.port: Invalid value: 0: must be between 1 and 65535/)
  t.match(
    problems(service({ ports: [{ port: 1, nodePort: 30000 }] }))[0],
    /nodePort: Forbidden: may not be used when `type` is 'ClusterIP'/,
  )
  t.equal(problems(service({ type: 'ExternalName' }))[0], 'spec.externalName: Required value')
  t.match(problems(make('v1', 'Service', { spec: { ports: [{ port: 80 }] } }, { name: '1web' }))[0], /a DNS-1035 label must consist of/)
  const addressed = service({ clusterIP: '10.0.0.1', ports: [{ port: 80 }] })
  t.match(updateProblems(service({ clusterIP: '10.0.0.2', ports: [{ port: 80 }] }), addressed)[0], /may not change once set/)
  const silent = service({ ports: [{ port: 80 }] })
  kindOf(silent).prepareUpdate?.(silent, addressed)
  t.match(silent['spec'], { clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1'] }, 'keeps its address')
  t.strictSame(cells(service({ type: 'NodePort', selector: { b: '2', a: '1' }, ports: [{ port: 80, nodePort: 30080 }] })), [
    'web',
    'NodePort',
    '<none>',
    '<none>',
    '80:30080/TCP',
    '60m',
    'a=1,b=2',
  ])
  t.equal(cells(service({ type: 'LoadBalancer', ports: [{ port: 80 }] }))[3], '<pending>')
  t.end()
})

t.test('a Namespace is Active, holds its finalizer and carries its name as a label', t => {
  const namespace = make('v1', 'Namespace', {}, { name: 'edge' })
  kindOf(namespace).prepareCreate?.(namespace)
  t.match(namespace, {
    metadata: { labels: { 'kubernetes.io/metadata.name': 'edge' } },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  })
  const cleared = deepCopy(namespace)
  cleared.spec = {}
  kindOf(namespace).prepareUpdate?.(cleared, namespace)
  t.strictSame(cleared.spec, { finalizers: ['kubernetes'] }, 'finalizers leave by /finalize only')
  t.strictSame(cells(namespace), ['edge', 'Active', '60m'])
  t.match(problems(make('v1', 'Namespace', {}, { name: 'a.b' }))[0], /RFC 1123 label/)
  t.end()
})

t.test('a Node: taints, roles, status word', t => {
  const node = (spec: object, status: object = {}, meta: object = {}) => make('v1', 'Node', { spec, status }, { name: 'n1', ...meta })
  t.strictSame(problems(node({ taints: [{ key: 'a', effect: 'NoSchedule' }] })), [])
  t.match(problems(node({ taints: [{ key: 'a', effect: 'Run' }] }))[0], /spec\.taints\[0\]\.effect: Unsupported value: "Run"/)
  t.match(
    problems(
      node({
        taints: [
          { key: 'a', effect: 'NoSchedule' },
          { key: 'a', value: 'x', effect: 'NoSchedule' },
        ],
      }),
    )[0],
    /unique by key and effect pair/,
  )
  t.match(
    updateProblems(node({ podCIDRs: ['10.0.1.0/24'] }), node({ podCIDRs: ['10.0.0.0/24'] }))[0],
    /node updates may not change podCIDR/,
  )
  const status = {
    conditions: [{ type: 'Ready', status: 'True' }],
    addresses: [{ type: 'InternalIP', address: '10.1.1.1' }],
    capacity: { cpu: '4' },
    nodeInfo: { kubeletVersion: 'v1.36.0' },
  }
  const meta = { labels: { 'node-role.kubernetes.io/edge': '', 'node-role.kubernetes.io/control-plane': '' } }
  const ready = node({ unschedulable: true }, status, meta)
  t.strictSame(cells(ready).slice(0, 7), ['n1', 'Ready,SchedulingDisabled', 'control-plane,edge', '60m', 'v1.36.0', '10.1.1.1', '<none>'])
  t.match(ready.status, { allocatable: { cpu: '4' } })
  t.equal(cells(node({}, { conditions: [{ type: 'Ready', status: 'Unknown' }] }))[1], 'NotReady')
  t.equal(cells(node({}))[1], 'Unknown')
  t.strictSame(kindOf(ready).fields?.(ready), { 'spec.unschedulable': 'true' })
  t.end()
})

t.test('Events: both spellings are one object', t => {
  const event = make('v1', 'Event', {
    involvedObject: { kind: 'Pod', namespace: 'default', name: 'web' },
    type: 'Warning',
    reason: 'BackOff',
    message: ' restarting \n',
    source: { component: 'agent', host: 'n1' },
    count: 3,
    firstTimestamp: CREATED,
    lastTimestamp: '2026-11-22T11:59:00Z',
  })
  t.strictSame(problems(event), [])
  t.strictSame(cells(event), ['60s', 'Warning', 'BackOff', 'pod/web', '', 'agent, n1', 'restarting', '60m', 3, 'web'])
  t.match(kindOf(event).fields?.(event), { 'involvedObject.name': 'web', reason: 'BackOff', source: 'agent', type: 'Warning' })
  const other = kindOfObject({ apiVersion: 'events.k8s.io/v1', kind: 'Event' })
  const shown = other?.storage?.fromStored(event)
  t.match(shown, { apiVersion: 'events.k8s.io/v1', regarding: { name: 'web' }, note: ' restarting \n', deprecatedCount: 3 })
  t.strictSame(shown && other?.storage?.toStored(shown), event)
  t.strictSame(shown && other?.row(shown, NOW), cells(event))
  t.strictSame(checkSchema(shown, 'io.k8s.api.events.v1.Event').unknown, [], 'all names exist there')
  t.match(
    problems(make('v1', 'Event', { involvedObject: { namespace: 'other' } }))[0],
    /^involvedObject\.namespace: Invalid value: "other": does not match event\.namespace/,
  )
  const fresh = make('events.k8s.io/v1', 'Event', { regarding: { namespace: 'default' }, type: 'Odd' })
  t.ok(problems(fresh).includes('eventTime: Required value'))
  t.end()
})

t.test('Leases and ControllerRevisions', t => {
  t.strictSame(problems(make('coordination.k8s.io/v1', 'Lease', { spec: { holderIdentity: 'a', leaseDurationSeconds: 40 } })), [])
  t.equal(
    problems(make('coordination.k8s.io/v1', 'Lease', { spec: { leaseDurationSeconds: 0 } }))[0],
    'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0',
  )
  const revision = (data: object) =>
    make(
      'apps/v1',
      'ControllerRevision',
      { data, revision: 2 },
      {
        ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'u', controller: true }],
      },
    )
  t.strictSame(cells(revision({})), ['web', 'deployment.apps/web', 2, '60m'])
  t.match(updateProblems(revision({ a: 1 }), revision({ a: 2 }))[0], /^data: Invalid value: {"a":1}: field is immutable/)
  t.end()
})

t.test('ages read as kubectl prints them', t => {
  const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000]
  const ages: [number, string][] = [
    [-5 * second, '<invalid>'],
    [-second, '0s'],
    [0, '0s'],
    [119 * second, '119s'],
    [2 * minute, '2m'],
    [150 * second, '2m30s'],
    [10 * minute + second, '10m'],
    [179 * minute, '179m'],
    [3 * hour, '3h'],
    [3 * hour + 5 * minute, '3h5m'],
    [9 * hour, '9h'],
    [47 * hour, '47h'],
    [48 * hour, '2d'],
    [50 * hour, '2d2h'],
    [9 * day, '9d'],
    [729 * day, '729d'],
    [731 * day, '2y1d'],
    [3000 * day, '8y'],
  ]
  for (const [ms, text] of ages) t.equal(humanDuration(ms), text)
  t.end()
})

t.test('shares of a count round as asked', t => {
  t.equal(scaledValue('25%', 3, 'up'), 1)
  t.equal(scaledValue('25%', 3, 'down'), 0)
  t.equal(scaledValue(2, 3, 'up'), 2)
  t.equal(scaledValue(undefined, 3, 'up'), 0)
  t.equal(scaledValue('x', 3, 'up'), 0)
  t.end()
})
