// Arbitrary objects that follow a definition of the schema: right types, any fields missing. For properties over all kinds.

import type { Shape } from '../../../src/kinds/schema.ts'
import { definition } from '../../../src/kinds/schema.ts'
import { fc } from '../../property.ts'

const TEXTS = [
  '',
  'a',
  'web',
  'x.y/z',
  'Always',
  'ClientIP',
  'LoadBalancer',
  'ExternalName',
  '25%',
  '10.0.0.1',
  'constructor',
  '../up',
  'Ünï',
]

const text = fc.constantFrom(...TEXTS)

/** `depth` bounds the nesting; below it objects are empty. */
export const anyOf = (shape: Shape, depth: number): fc.Arbitrary<unknown> => {
  switch (shape.type) {
    case 'string':
      return shape.enum ? fc.constantFrom(...shape.enum, 'nonsense') : text
    case 'boolean':
      return fc.boolean()
    case 'int32':
    case 'int64':
      return fc.constantFrom(0, 1, -1, 80, 8080, 70000)
    case 'double':
      return fc.double({ noNaN: true, noDefaultInfinity: true })
    case 'bytes':
      return fc.constantFrom('', 'YQ==', 'e30=')
    case 'quantity':
      return fc.constantFrom('1', '500m', '1Gi', '-1', '0')
    case 'int-or-string':
      return fc.oneof(fc.constantFrom<unknown>(0, 80, 70000), text)
    case 'time':
    case 'micro-time':
      return fc.constantFrom('2026-11-22T10:00:00Z', '2026-11-22T10:00:00.000000Z')
    case 'list':
      return fc.array(anyOf(shape.items ?? { type: 'any' }, depth), { maxLength: 2 })
    case 'map':
      return fc.dictionary(text, anyOf(shape.items ?? { type: 'any' }, depth), { maxKeys: 2 })
    case 'object':
      return depth > 0 ? anyObject(shape.ref ?? '', depth - 1) : fc.constant({})
    case 'any':
      return fc.constantFrom<unknown>({}, { a: 1 })
  }
}

/** An object of the named definition with a random subset of its fields. */
export const anyObject = (name: string, depth: number): fc.Arbitrary<Record<string, unknown>> => {
  const fields = [...(definition(name)?.fields.values() ?? [])]
  return fc.record(Object.fromEntries(fields.map(field => [field.name, anyOf(field, depth)])), { requiredKeys: [] })
}
