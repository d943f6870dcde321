// The schema: its lookups, its OpenAPI form and the check of untrusted objects.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { COMPACT_SCHEMA } from '../../../src/kinds/generated/kubernetes-1.36.ts'
import { gvkOfDefinition, toOpenApi } from '../../../src/kinds/open-api.ts'
import { definition, definitionNames, fieldAt, reachable } from '../../../src/kinds/schema.ts'
import { checkSchema, strictProblem } from '../../../src/kinds/schema-check.ts'
import { canonicalTime, timeProblem } from '../../../src/kinds/time-check.ts'

const DEPLOYMENT = 'io.k8s.api.apps.v1.Deployment'
const POD = 'io.k8s.api.core.v1.Pod'

t.test('the generated schema has not been edited by hand', t => {
  const [first = ''] = readFileSync(new URL('../../../src/kinds/generated/kubernetes-1.36.ts', import.meta.url), 'utf8').split('\n')
  t.match(first, 'derived from k8s.io/api 0.36.4, Apache-2.0')
  t.match(first, createHash('sha256').update(COMPACT_SCHEMA).digest('hex'))
  t.end()
})

t.test('every definition parses and refers only to definitions that exist', t => {
  const names = definitionNames()
  t.ok(names.length > 500)
  for (const name of reachable(names)) if (!definition(name)) t.fail(name)
  for (const name of names) {
    const schema = JSON.stringify(toOpenApi(name))
    for (const [, ref = ''] of schema.matchAll(/#\/components\/schemas\/([^"]+)/g)) if (!definition(ref)) t.fail(`${name} → ${ref}`)
  }
  t.equal(definition('io.k8s.api.core.v1.Nothing'), undefined)
  t.end()
})

t.test('fields carry what strategic merge patch and validation need', t => {
  const containers = fieldAt(DEPLOYMENT, ['spec', 'template', 'spec', 'containers'])
  t.match(containers, { type: 'list', required: true, listType: 'map', patchMergeKey: 'name' })
  t.strictSame(containers?.patchStrategy, ['merge'])
  t.strictSame(containers?.listMapKeys, ['name'])
  t.strictSame(fieldAt(POD, ['spec', 'volumes'])?.patchStrategy, ['merge', 'retainKeys'])
  t.strictSame(fieldAt(DEPLOYMENT, ['spec', 'strategy'])?.patchStrategy, ['retainKeys'])
  t.equal(fieldAt(DEPLOYMENT, ['spec', 'strategy', 'rollingUpdate', 'maxSurge'])?.type, 'int-or-string')
  t.equal(fieldAt(POD, ['spec', 'containers', 'resources', 'limits'])?.items?.type, 'quantity')
  t.strictSame(fieldAt(POD, ['spec', 'containers', 'ports', 'protocol'])?.default, 'TCP')
  t.ok(fieldAt(POD, ['spec', 'containers', 'imagePullPolicy'])?.enum?.includes('IfNotPresent'))
  t.equal(fieldAt('io.k8s.api.core.v1.Secret', ['data'])?.items?.type, 'bytes')
  t.equal(definition('io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector')?.atomic, true)
  t.equal(fieldAt(POD, ['spec', 'nowhere']), undefined)
  t.end()
})

t.test('OpenAPI schemas name their group, version and kind and their extensions', t => {
  t.strictSame(gvkOfDefinition(DEPLOYMENT), { group: 'apps', version: 'v1', kind: 'Deployment' })
  t.strictSame(gvkOfDefinition('io.k8s.api.events.v1.EventList'), { group: 'events.k8s.io', version: 'v1', kind: 'EventList' })
  t.equal(gvkOfDefinition('io.k8s.api.core.v1.PodSpec'), undefined)
  const spec = toOpenApi('io.k8s.api.core.v1.PodSpec')
  t.match(spec, {
    type: 'object',
    required: ['containers'],
    properties: {
      containers: {
        type: 'array',
        items: { allOf: [{ $ref: '#/components/schemas/io.k8s.api.core.v1.Container' }] },
        'x-kubernetes-patch-merge-key': 'name',
        'x-kubernetes-patch-strategy': 'merge',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      },
    },
  })
  t.match(toOpenApi('io.k8s.apimachinery.pkg.util.intstr.IntOrString'), { format: 'int-or-string' })
  t.end()
})

t.test('wrong types are reported in the words of the JSON decoder', t => {
  const cases: [unknown, string][] = [
    [{ spec: { replicas: 'three' } }, 'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32'],
    [{ spec: { replicas: 1.5 } }, 'json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32'],
    [
      { spec: { replicas: 3_000_000_000 } },
      'json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32',
    ],
    [{ spec: { paused: 'yes' } }, 'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool'],
    [{ spec: [] }, 'json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec'],
    [{ metadata: { labels: { a: 1 } } }, 'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string'],
    [
      { spec: { template: { spec: { containers: { name: 'a' } } } } },
      'json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container',
    ],
    [{ metadata: { creationTimestamp: 'now' } }, 'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006"'],
    ['text', 'json: cannot unmarshal string into Go value of type v1.Deployment'],
  ]
  for (const [object, error] of cases) t.equal(checkSchema(object, DEPLOYMENT).errors[0], error)
  t.match(checkSchema({ data: { a: '%%%' } }, 'io.k8s.api.core.v1.Secret').errors[0], /illegal base64 data at input byte 0/)
  const limits = { spec: { containers: [{ resources: { limits: { cpu: 'much' } } }] } }
  t.match(checkSchema(limits, POD).errors[0], /quantities must match the regular expression/)
  t.end()
})

t.test('unknown fields are named and dropped, nulls are dropped, quantities become canonical', t => {
  const object = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', creationTimestamp: null, labels: { a: null } },
    spec: {
      replicass: 3,
      strategy: { rollingUpdate: { maxSurge: '25%', maxUnavailable: 1 } },
      template: { spec: { containers: [{ name: 'a', imagee: 'x', resources: { limits: { cpu: 0.5, memory: '1024Mi' } } }] } },
    },
  }
  const { errors, unknown, pruned } = checkSchema(object, DEPLOYMENT)
  t.strictSame(errors, [])
  t.equal(
    strictProblem(unknown),
    'strict decoding error: unknown field "spec.replicass", unknown field "spec.template.spec.containers[0].imagee"',
  )
  t.strictSame(pruned, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: { a: '' } },
    spec: {
      strategy: { rollingUpdate: { maxSurge: '25%', maxUnavailable: 1 } },
      template: { spec: { containers: [{ name: 'a', resources: { limits: { cpu: '500m', memory: '1Gi' } } }] } },
    },
  })
  t.strictSame(checkSchema(pruned, DEPLOYMENT).pruned, pruned, 'a checked object stays as it is')
  t.end()
})

t.test('hostile objects cost little and change nothing else', t => {
  const evil = JSON.parse('{"data":{"__proto__":"x"},"__proto__":{"polluted":true}}') as unknown
  const { pruned, unknown } = checkSchema(evil, 'io.k8s.api.core.v1.ConfigMap')
  t.strictSame(unknown, ['__proto__'])
  t.strictSame(Object.keys(pruned['data'] as object), ['__proto__'])
  t.equal((pruned as { polluted?: boolean }).polluted, undefined)
  let deep: unknown = 1
  for (let i = 0; i < 5000; i++) deep = { properties: { a: deep } }
  const crd = { spec: { versions: [{ schema: { openAPIV3Schema: deep } }] } }
  const { errors } = checkSchema(crd, 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition')
  t.match(errors[0], /exceeded max depth/)
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`field${i}`, i]))
  t.equal(checkSchema(many, POD).unknown.length, 100)
  t.end()
})

t.test('stamps are RFC 3339 and real dates', t => {
  for (const stamp of ['2026-11-22T10:00:00Z', '2024-02-29T23:59:59.123456+02:00']) t.equal(timeProblem(stamp), undefined, stamp)
  for (const stamp of ['', '2026-11-22', '2026-13-01T00:00:00Z', '2026-02-29T00:00:00Z', '2026-11-22T24:00:00Z', '2026-11-22 10:00:00Z']) {
    t.type(timeProblem(stamp), 'string', stamp)
  }
  t.end()
})

t.test('stamps are kept in UTC, to the second or the microsecond: what a client reads and writes back is no change', t => {
  for (const [written, seconds, micros] of [
    ['2026-11-22T10:00:00Z', '2026-11-22T10:00:00Z', '2026-11-22T10:00:00.000000Z'],
    ['2026-11-22T10:00:00.000Z', '2026-11-22T10:00:00Z', '2026-11-22T10:00:00.000000Z'],
    ['2026-11-22T10:00:00,98765432Z', '2026-11-22T10:00:00Z', '2026-11-22T10:00:00.987654Z'],
    ['2024-02-29T00:30:00.5+01:30', '2024-02-28T23:00:00Z', '2024-02-28T23:00:00.500000Z'],
  ] as const) {
    t.equal(timeProblem(written), undefined, written)
    t.equal(canonicalTime(written, false), seconds)
    t.equal(canonicalTime(written, true), micros)
  }
  for (const outside of [
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00+01:60',
    '9999-12-31T23:59:59-01:00',
    '0000-01-01T00:00:00+01:00',
  ])
    t.match(timeProblem(outside), /out of range$/, outside)
  const lease = {
    metadata: { creationTimestamp: '2026-11-22T10:00:00.123Z' },
    spec: { renewTime: '2026-11-22T12:00:00.5+02:00' },
  }
  t.match(checkSchema(lease, 'io.k8s.api.coordination.v1.Lease').pruned, {
    metadata: { creationTimestamp: '2026-11-22T10:00:00Z' },
    spec: { renewTime: '2026-11-22T10:00:00.500000Z' },
  })
  t.end()
})
