import t from 'tap'
import { KINDS } from '../../../src/kinds/index.ts'
import type { Kind } from '../../../src/kinds/kind.ts'
import { definition, type Shape } from '../../../src/kinds/schema.ts'
import { fc } from '../../property.ts'
import { createRig, type Rig } from './rig.ts'

const collection = (kind: Kind): string =>
  `${kind.group === '' ? '/api' : `/apis/${kind.group}`}/${kind.version}${kind.namespaced ? '/namespaces/default' : ''}/${kind.plural}`

/** Values that fit the schema, or nearly. */
const anyValue = (shape: Shape, depth: number): fc.Arbitrary<unknown> => {
  const odd = fc.constantFrom<unknown>(null, '', 0, -1, 'x', [], {}, true, 1.5, '1Gi', 'a/b')
  if (depth > 5) return odd
  const fitting = (): fc.Arbitrary<unknown> => {
    if (shape.type === 'object' && shape.ref !== undefined) return objectOf(shape.ref, depth)
    if (shape.type === 'list') return fc.array(anyValue(shape.items ?? { type: 'any' }, depth + 1), { maxLength: 2 })
    if (shape.type === 'map')
      return fc.dictionary(fc.constantFrom('a', 'b/c', '__proto__', ''), anyValue(shape.items ?? { type: 'any' }, depth + 1), {
        maxKeys: 2,
      })
    if (shape.type === 'boolean') return fc.boolean()
    if (shape.type === 'int32' || shape.type === 'int64') return fc.integer({ min: -2, max: 70_000 })
    return fc.constantFrom('', 'a', 'main', '10%', '500m', '2026-01-01T00:00:00Z', 'In', 'TCP', 'YQ==')
  }
  return fc.oneof({ weight: 9, arbitrary: fitting() }, { weight: 1, arbitrary: odd })
}

const objectOf = (name: string, depth: number, fieldsMax = 5): fc.Arbitrary<Record<string, unknown>> => {
  const fields = [...(definition(name)?.fields.values() ?? [])]
  if (fields.length === 0) return fc.constant({})
  return fc
    .subarray(fields, { maxLength: Math.min(fieldsMax, fields.length) })
    .chain(chosen => fc.record(Object.fromEntries(chosen.map(field => [field.name, anyValue(field, depth + 1)]))))
}

const POD_SPEC = { containers: [{ name: 'main', image: 'x', ports: [{ containerPort: 80 }] }] }
const WORKLOAD_SPEC = { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: POD_SPEC } }
/** Specs that are valid, to be disturbed a little: a random one never is. */
const VALID_SPECS: Readonly<Record<string, Record<string, unknown>>> = {
  Pod: POD_SPEC,
  Deployment: WORKLOAD_SPEC,
  ReplicaSet: WORKLOAD_SPEC,
  Service: { ports: [{ port: 80 }] },
}

const disturbed = (valid: Record<string, unknown>, name: string): fc.Arbitrary<Record<string, unknown>> => {
  const over = objectOf(name, 0, 2).map(random => ({ ...valid, ...random }))
  if (valid !== WORKLOAD_SPEC) return over
  const template = disturbed(POD_SPEC, 'io.k8s.api.core.v1.PodSpec').map(spec => ({
    ...valid,
    template: { ...WORKLOAD_SPEC.template, spec },
  }))
  return fc.oneof(over, template)
}

const bodyOf = (kind: Kind): fc.Arbitrary<Record<string, unknown>> => {
  const parts = [...(definition(kind.definition)?.fields.values() ?? [])].filter(
    field => !['metadata', 'apiVersion', 'kind'].includes(field.name),
  )
  const random = fc.record(Object.fromEntries(parts.map(field => [field.name, anyValue(field, 0)])), { requiredKeys: [] })
  const valid = VALID_SPECS[kind.kind]
  const spec = parts.find(field => field.name === 'spec')?.ref
  if (!valid || spec === undefined) return random
  return fc.oneof(
    random,
    fc.record({ spec: disturbed(valid, spec), status: fc.constant({}) }),
    fc.record({ spec: fc.constant(valid), status: objectOf(spec.replace(/Spec$/, 'Status'), 0, 4) }),
  )
}

t.test('no body of any kind makes the server fail: it is stored or refused with a Status', async t => {
  const faults: string[] = []
  const rig: Rig = await createRig()
  t.capture(console, 'error', (_message: string, fields: { error: string }) => faults.push(fields.error))
  for (const kind of KINDS) {
    let n = 0
    await fc.assert(
      fc.asyncProperty(bodyOf(kind), async body => {
        const url = collection(kind)
        const name = `n${n++}`
        const made = await rig.ask('POST', url, { ...body, metadata: { name } })
        if (made.status === 500) throw new Error(`${kind.kind} ${JSON.stringify(body)}: ${faults.at(-1)}`)
        if (made.status !== 201) return
        const again = await rig.ask('PUT', `${url}/${name}`, made.json)
        if (again.status !== 200 || again.json.metadata.resourceVersion !== made.json.metadata.resourceVersion)
          throw new Error(`${kind.kind} is not stable: ${made.text} then ${again.text}`)
        const table = await rig.ask('GET', `${url}/${name}`, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' })
        if (table.status !== 200) throw new Error(`${kind.kind} has no row: ${faults.at(-1)}`)
        const patched = await rig.ask(
          'PATCH',
          `${url}/${name}`,
          { metadata: { labels: { a: 'b' } } },
          { type: 'application/strategic-merge-patch+json' },
        )
        if (patched.status === 500) throw new Error(`${kind.kind} cannot be patched: ${faults.at(-1)}`)
        if (kind.hasStatus) {
          const status = await rig.ask('PUT', `${url}/${name}/status`, { ...patched.json, status: body['status'] ?? {} })
          if (status.status === 500) throw new Error(`${kind.kind} status: ${faults.at(-1)}`)
        }
      }),
      { numRuns: 60, seed: 7 },
    )
  }
  t.same(faults, [])
})
