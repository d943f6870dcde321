// An untrusted object walked against its definition: wrong types (with the text of upstream's JSON decoder), unknown fields (strict
// decoding's paths), and a fresh copy without unknown fields and nulls, quantities and stamps in canonical form. Bounded in depth and
// in problems.

import { isObject } from '../base/json.ts'
import { DEPTH_MAX, INTEGER_MAX, PATH_LENGTH_MAX, PROBLEMS_MAX } from './limits.ts'
import { canonicalQuantity, quantityProblem } from './quantity.ts'
import type { Shape } from './schema.ts'
import { definition } from './schema.ts'
import { canonicalTime, timeProblem } from './time-check.ts'

export interface SchemaCheck {
  /** Why the object cannot be decoded, first problem first; empty when `pruned` can be used. */
  readonly errors: readonly string[]
  /** Paths of fields the schema does not know: `spec.containers[0].imagee`. */
  readonly unknown: readonly string[]
  /** A copy that shares nothing with the input; `metadata` is there, and so are required scalars, with their zero values. */
  readonly pruned: Record<string, unknown>
}

interface Walk {
  readonly errors: string[]
  readonly unknown: string[]
}

/** Where a value stands: the path for people, the path and struct for the decoder's messages, the depth. */
interface Place {
  readonly path: string
  readonly goPath: string
  readonly struct: string
  readonly depth: number
}

const NOTHING = Symbol('nothing')

const shortName = (ref: string): string => ref.slice(ref.lastIndexOf('.') + 1)
/** `v1.PodSpec`, as Go prints the type. */
const goName = (ref: string): string => ref.split('.').slice(-2).join('.')

const GO_TYPES: Readonly<Partial<Record<Shape['type'], string>>> = {
  string: 'string',
  boolean: 'bool',
  int32: 'int32',
  int64: 'int64',
  double: 'float64',
  bytes: '[]uint8',
}

const goType = (shape: Shape): string => {
  if (shape.type === 'list') return `[]${shape.items ? goType(shape.items) : 'interface {}'}`
  if (shape.type === 'map') return `map[string]${shape.items ? goType(shape.items) : 'interface {}'}`
  return shape.ref === undefined ? (GO_TYPES[shape.type] ?? 'interface {}') : goName(shape.ref)
}

const jsonWord = (value: unknown): string => {
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'boolean') return 'bool'
  return typeof value === 'object' ? 'object' : typeof value
}

const fail = (walk: Walk, text: string): typeof NOTHING => {
  if (walk.errors.length < PROBLEMS_MAX) walk.errors.push(text)
  return NOTHING
}

const wrongType = (walk: Walk, value: unknown, place: Place, type: string, shown = jsonWord(value)): typeof NOTHING =>
  fail(
    walk,
    place.struct === '' || place.goPath === ''
      ? `json: cannot unmarshal ${shown} into Go value of type ${type}`
      : `json: cannot unmarshal ${shown} into Go struct field ${place.struct}.${place.goPath} of type ${type}`,
  )

const checkInteger = (walk: Walk, value: unknown, shape: Shape, place: Place): unknown => {
  if (typeof value !== 'number') return wrongType(walk, value, place, goType(shape))
  const bound = shape.type === 'int32' ? 2 ** 31 : INTEGER_MAX
  const fits = Number.isInteger(value) && value < bound && value >= -bound
  return fits ? value : wrongType(walk, value, place, goType(shape), `number ${value}`)
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Standard base64; line breaks are tolerated and dropped, as Go's decoder does. */
const checkBytes = (walk: Walk, value: unknown, shape: Shape, place: Place): unknown => {
  if (typeof value !== 'string') return wrongType(walk, value, place, goType(shape))
  const text = /[\r\n]/.test(value) ? value.replace(/[\r\n]/g, '') : value
  if (BASE64.test(text)) return text
  const bad = text.search(/[^A-Za-z0-9+/]/)
  return fail(walk, `illegal base64 data at input byte ${bad < 0 ? text.length : bad}`)
}

const checkQuantity = (walk: Walk, value: unknown): unknown => {
  const written = typeof value === 'string' || typeof value === 'number' ? value : JSON.stringify(value)
  return canonicalQuantity(written) ?? fail(walk, quantityProblem(String(written).trim()) ?? 'quantity out of range')
}

const checkTime = (walk: Walk, value: unknown, shape: Shape, place: Place): unknown => {
  if (typeof value !== 'string') return wrongType(walk, value, { ...place, goPath: '' }, 'string')
  const problem = timeProblem(value)
  return problem === undefined ? canonicalTime(value, shape.type === 'micro-time') : fail(walk, problem)
}

const checkIntOrString = (walk: Walk, value: unknown, place: Place): unknown =>
  typeof value === 'string' ? value : checkInteger(walk, value, { type: 'int32' }, { ...place, goPath: '' })

const copyAny = (walk: Walk, value: unknown, depth: number): unknown => {
  if (depth > DEPTH_MAX) return fail(walk, 'exceeded max depth')
  if (Array.isArray(value)) return value.map(item => copyAny(walk, item, depth + 1))
  if (!isObject(value)) return value
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) put(copy, key, copyAny(walk, item, depth + 1))
  return copy
}

/** Sets a key as data, whatever its name: `__proto__` must not become the prototype. */
const put = (target: Record<string, unknown>, key: string, value: unknown): void => {
  if (key === '__proto__') Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  else target[key] = value
}

/** What Go leaves where a list item or a map value is null. */
const zeroOf = (shape: Shape | undefined): unknown => {
  switch (shape?.type) {
    case 'string':
    case 'bytes':
      return ''
    case 'boolean':
      return false
    case 'int32':
    case 'int64':
    case 'double':
    case 'int-or-string':
      return 0
    case 'quantity':
      return '0'
    case 'object':
      return Object.fromEntries(requiredZeros(shape.ref ?? ''))
    case 'map':
      return {}
    case 'list':
      return []
    default:
      return null
  }
}

const checkList = (walk: Walk, value: unknown, shape: Shape, place: Place): unknown => {
  if (!Array.isArray(value)) return wrongType(walk, value, place, goType(shape))
  const items = shape.items ?? { type: 'any' }
  return value.map((item: unknown, i) =>
    item === null ? zeroOf(items) : check(walk, item, items, { ...place, path: `${place.path}[${i}]`, depth: place.depth + 1 }),
  )
}

const checkMap = (walk: Walk, value: unknown, shape: Shape, place: Place): unknown => {
  if (!isObject(value)) return wrongType(walk, value, place, goType(shape))
  const items = shape.items ?? { type: 'any' }
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const below = { ...place, path: `${place.path}.${key}`, depth: place.depth + 1 }
    put(copy, key, item === null ? zeroOf(items) : check(walk, item, items, below))
  }
  return copy
}

/** Scalars that Go writes even when nobody set them: `name: ""` of a container. */
const zeroFields = (ref: string): Record<string, unknown> => {
  const zeros: Record<string, unknown> = {}
  for (const field of definition(ref)?.fields.values() ?? []) {
    if (field.required && ZEROED.has(field.type)) zeros[field.name] = zeroOf(field)
  }
  return zeros
}

const ZEROED: ReadonlySet<Shape['type']> = new Set(['string', 'boolean', 'int32', 'int64', 'double'])

const cutPath = (path: string): string => (path.length > PATH_LENGTH_MAX ? `${path.slice(0, PATH_LENGTH_MAX)}…` : path)

const checkObject = (walk: Walk, value: unknown, ref: string, place: Place): unknown => {
  if (!isObject(value)) return wrongType(walk, value, place, goName(ref))
  const fields = definition(ref)?.fields
  const struct = shortName(ref)
  const copy: Record<string, unknown> = zeroFields(ref)
  for (const [key, item] of Object.entries(value)) {
    const path = place.path === '' ? key : `${place.path}.${key}`
    const field = fields?.get(key)
    if (!field) {
      if (walk.unknown.length < PROBLEMS_MAX) walk.unknown.push(cutPath(path))
      continue
    }
    if (item === null) continue
    const goPath = place.goPath === '' ? key : `${place.goPath}.${key}`
    const result = check(walk, item, field, { path, goPath, struct, depth: place.depth + 1 })
    if (result !== NOTHING) copy[key] = result
  }
  for (const [name, zero] of requiredZeros(ref)) copy[name] ??= zero
  return copy
}

const zeros = new Map<string, readonly (readonly [string, unknown])[]>()

/** Required scalars are never absent in Go: they are there with their zero, which validation then judges. */
const requiredZeros = (ref: string): readonly (readonly [string, unknown])[] => {
  const known = zeros.get(ref)
  if (known) return known
  const found = [...(definition(ref)?.fields.values() ?? [])]
    .filter(field => field.required && ['string', 'int32', 'int64', 'boolean'].includes(field.type))
    .map(field => [field.name, zeroOf(field)] as const)
  zeros.set(ref, found)
  return found
}

const check = (walk: Walk, value: unknown, shape: Shape, place: Place): unknown => {
  if (place.depth > DEPTH_MAX) return fail(walk, 'exceeded max depth')
  switch (shape.type) {
    case 'string':
      return typeof value === 'string' ? value : wrongType(walk, value, place, 'string')
    case 'boolean':
      return typeof value === 'boolean' ? value : wrongType(walk, value, place, 'bool')
    case 'int32':
    case 'int64':
      return checkInteger(walk, value, shape, place)
    case 'double':
      return typeof value === 'number' ? value : wrongType(walk, value, place, 'float64')
    case 'bytes':
      return checkBytes(walk, value, shape, place)
    case 'quantity':
      return checkQuantity(walk, value)
    case 'int-or-string':
      return checkIntOrString(walk, value, place)
    case 'time':
    case 'micro-time':
      return checkTime(walk, value, shape, place)
    case 'list':
      return checkList(walk, value, shape, place)
    case 'map':
      return checkMap(walk, value, shape, place)
    case 'object':
      return checkObject(walk, value, shape.ref ?? '', place)
    case 'any':
      return copyAny(walk, value, place.depth)
  }
}

/** Checks a decoded JSON value against the definition with this official name. */
export const checkSchema = (value: unknown, name: string): SchemaCheck => {
  const walk: Walk = { errors: [], unknown: [] }
  const copy = check(walk, value, { type: 'object', ref: name }, { path: '', goPath: '', struct: '', depth: 0 })
  const pruned = isObject(copy) ? copy : {}
  if (definition(name)?.fields.has('metadata')) pruned['metadata'] ??= {}
  return { ...walk, pruned }
}

/** The message of a strict decoding failure, undefined without unknown fields. */
export const strictProblem = (unknown: readonly string[]): string | undefined =>
  unknown.length === 0 ? undefined : `strict decoding error: ${unknown.map(path => `unknown field ${JSON.stringify(path)}`).join(', ')}`
