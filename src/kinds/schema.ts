// The schema of every built-in type, parsed on demand from a compact text. Encoding, one definition a line, sorted by name:
// `name[~] field|field…`, `~` = atomic map; a field is `json:type flags#protobuf`. Types: s string, b bool, i int32, l int64,
// d double, y bytes, o any, @N the N-th line (base 36), [ list of, { map of, (a,b) enum. Flags: ! required, a/t/m list atomic/set/map,
// A atomic map, ;strategy:key patch, =default. Names are the official ones (io.k8s.api.core.v1.Pod).

import { COMPACT_SCHEMA } from './generated/kubernetes-1.36.ts'

export type ShapeType =
  | 'string'
  | 'boolean'
  | 'int32'
  | 'int64'
  | 'double'
  | 'bytes'
  | 'any'
  | 'object'
  | 'list'
  | 'map'
  | 'quantity'
  | 'int-or-string'
  | 'time'
  | 'micro-time'

/** The type of a field, a list item or a map value. */
export interface Shape {
  readonly type: ShapeType
  /** Official name of the definition, for `object` and for the special scalars that have one. */
  readonly ref?: string
  /** Of a list's items or a map's values. */
  readonly items?: Shape
  readonly enum?: readonly string[]
}

export interface Field extends Shape {
  readonly name: string
  readonly required: boolean
  readonly listType?: 'atomic' | 'set' | 'map'
  readonly listMapKeys?: readonly string[]
  readonly mapType?: 'atomic'
  /** merge, replace, retainKeys. */
  readonly patchStrategy?: readonly string[]
  readonly patchMergeKey?: string
  readonly default?: unknown
  /** Protobuf field number; undefined where the type has no protobuf form. */
  readonly number?: number
}

export interface Definition {
  readonly name: string
  readonly fields: ReadonlyMap<string, Field>
  /** The whole object is one value for server-side apply (x-kubernetes-map-type: atomic). */
  readonly atomic: boolean
  /** Not an object on the wire: Time, Quantity, IntOrString, RawExtension … */
  readonly scalar?: ShapeType
}

const SPECIAL: Readonly<Record<string, ShapeType>> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': 'quantity',
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': 'int-or-string',
  'io.k8s.apimachinery.pkg.apis.meta.v1.Time': 'time',
  'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime': 'micro-time',
  'io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1': 'any',
  'io.k8s.apimachinery.pkg.runtime.RawExtension': 'any',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON': 'any',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray': 'any',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool': 'any',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray': 'any',
}

const SCALARS: Readonly<Record<string, ShapeType>> = {
  s: 'string',
  b: 'boolean',
  i: 'int32',
  l: 'int64',
  d: 'double',
  y: 'bytes',
  o: 'any',
}

/** The text cut into lines, and what has been parsed of it so far. Built at the first look-up. */
interface Index {
  readonly names: readonly string[]
  readonly lines: readonly string[]
  readonly places: ReadonlyMap<string, number>
  readonly parsed: Map<string, Definition>
}

const state: { index?: Index } = {}

const index = (): Index => {
  if (state.index) return state.index
  const lines = COMPACT_SCHEMA.split('\n')
  const names = lines.map(line => line.slice(0, line.indexOf(' ')).replace('~', ''))
  state.index = { names, lines, places: new Map(names.map((name, place) => [name, place])), parsed: new Map() }
  return state.index
}

const parseShape = (code: string, names: readonly string[]): Shape => {
  const head = code[0] ?? ''
  if (head === '[') return { type: 'list', items: parseShape(code.slice(1), names) }
  if (head === '{') return { type: 'map', items: parseShape(code.slice(1), names) }
  if (head === '@') {
    const ref = names[Number.parseInt(code.slice(1), 36)] ?? ''
    return { type: SPECIAL[ref] ?? 'object', ref }
  }
  const type = SCALARS[head] ?? 'any'
  return code[1] === '(' ? { type, enum: code.slice(2, -1).split(',') } : { type }
}

/** `!`, list or map type with keys, `;strategy:mergeKey`, `=default`, in this order. */
const parseFlags = (flags: string): Omit<Field, 'name' | keyof Shape> => {
  const equals = flags.indexOf('=')
  const marks = equals < 0 ? flags : flags.slice(0, equals)
  const [list = '', patch] = marks.split(';')
  const required = list.startsWith('!')
  const kind = required ? list.slice(1) : list
  const [strategies, mergeKey] = patch === undefined ? [] : patch.split(':')
  return {
    required,
    ...(kind === 'a' ? { listType: 'atomic' as const } : {}),
    ...(kind === 't' ? { listType: 'set' as const } : {}),
    ...(kind.startsWith('m') ? { listType: 'map' as const, listMapKeys: kind.slice(1).split('+') } : {}),
    ...(kind === 'A' ? { mapType: 'atomic' as const } : {}),
    ...(strategies === undefined ? {} : { patchStrategy: strategies.split(',') }),
    ...(mergeKey ? { patchMergeKey: mergeKey } : {}),
    ...(equals < 0 ? {} : { default: JSON.parse(flags.slice(equals + 1)) as unknown }),
  }
}

const parseField = (text: string, names: readonly string[]): Field => {
  const colon = text.indexOf(':')
  const hash = text.lastIndexOf('#')
  const paren = text.indexOf('(', colon)
  const space = text.indexOf(' ', paren > 0 ? text.indexOf(')', paren) : colon)
  const number = Number(text.slice(hash + 1))
  return {
    name: text.slice(0, colon),
    ...parseShape(text.slice(colon + 1, space), names),
    ...parseFlags(text.slice(space + 1, hash)),
    ...(number > 0 ? { number } : {}),
  }
}

const parseDefinition = (line: string, names: readonly string[]): Definition => {
  const space = line.indexOf(' ')
  const atomic = line[space - 1] === '~'
  const name = line.slice(0, atomic ? space - 1 : space)
  const fields = new Map<string, Field>()
  if (space + 1 < line.length) {
    for (const text of line.slice(space + 1).split('|')) {
      const field = parseField(text, names)
      fields.set(field.name, field)
    }
  }
  const scalar = SPECIAL[name]
  return { name, fields, atomic, ...(scalar ? { scalar } : {}) }
}

/** The definition with this official name, or undefined. Parsed once, then shared: do not change it. */
export const definition = (name: string): Definition | undefined => {
  const { parsed, places, lines, names } = index()
  const known = parsed.get(name)
  if (known) return known
  const place = places.get(name)
  if (place === undefined) return undefined
  const fresh = parseDefinition(lines[place] ?? '', names)
  parsed.set(name, fresh)
  return fresh
}

/** All official names, sorted. */
export const definitionNames = (): readonly string[] => index().names

/** The field at a dot-separated path below a definition, through lists and maps; undefined when the schema has none. */
export const fieldAt = (name: string, path: readonly string[]): Field | undefined => {
  const [head, ...rest] = path
  const field = head === undefined ? undefined : definition(name)?.fields.get(head)
  if (!field || rest.length === 0) return field
  const shape: Shape | undefined = field.type === 'list' || field.type === 'map' ? field.items : field
  return shape?.ref === undefined ? undefined : fieldAt(shape.ref, rest)
}

/** Names of the definition and of everything it refers to, directly or not. */
export const reachable = (roots: readonly string[]): ReadonlySet<string> => {
  const seen = new Set<string>()
  const pending = [...roots]
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const found = seen.has(name) ? undefined : definition(name)
    if (!found) continue
    seen.add(name)
    for (const field of found.fields.values()) {
      let shape: Shape | undefined = field
      while (shape && shape.ref === undefined) shape = shape.items
      if (shape?.ref !== undefined) pending.push(shape.ref)
    }
  }
  return seen
}
