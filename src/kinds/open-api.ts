// A definition rendered as an OpenAPI v3 schema, as /openapi/v3 serves it: references to #/components/schemas, x-kubernetes-* extensions.
// Source: k8s kube-openapi; kubectl reads x-kubernetes-group-version-kind and x-kubernetes-patch-*.

import type { JsonObject } from '../base/json.ts'
import type { Definition, Field, Shape } from './schema.ts'
import { definition } from './schema.ts'

export interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/** Last but one words of official names, where the group on the wire is longer. */
const GROUPS: Readonly<Record<string, string>> = {
  core: '',
  admissionregistration: 'admissionregistration.k8s.io',
  apiextensions: 'apiextensions.k8s.io',
  authentication: 'authentication.k8s.io',
  authorization: 'authorization.k8s.io',
  certificates: 'certificates.k8s.io',
  coordination: 'coordination.k8s.io',
  discovery: 'discovery.k8s.io',
  events: 'events.k8s.io',
  networking: 'networking.k8s.io',
  node: 'node.k8s.io',
  rbac: 'rbac.authorization.k8s.io',
  resource: 'resource.k8s.io',
  scheduling: 'scheduling.k8s.io',
  storage: 'storage.k8s.io',
}

/** The group, version and kind of a definition that is an object of its own (it has apiVersion and kind), else undefined. */
export const gvkOfDefinition = (name: string): GroupVersionKind | undefined => {
  const fields = definition(name)?.fields
  if (!fields?.has('apiVersion') || !fields.has('kind') || !fields.has('metadata')) return undefined
  const [kind = '', version = '', group = ''] = name.split('.').reverse()
  return group === 'meta' ? undefined : { group: GROUPS[group] ?? group, version, kind }
}

const SCALAR_SCHEMAS: Readonly<Partial<Record<Shape['type'], JsonObject>>> = {
  string: { type: 'string' },
  boolean: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  bytes: { type: 'string', format: 'byte' },
  any: { type: 'object' },
  quantity: { oneOf: [{ type: 'string' }, { type: 'number' }] },
  'int-or-string': { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] },
  time: { type: 'string', format: 'date-time' },
  'micro-time': { type: 'string', format: 'date-time' },
}

const refTo = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` })

const shapeSchema = (shape: Shape): JsonObject => {
  if (shape.ref !== undefined) return refTo(shape.ref)
  if (shape.type === 'list') return { type: 'array', items: shape.items ? itemSchema(shape.items) : {} }
  if (shape.type === 'map') return { type: 'object', additionalProperties: shape.items ? itemSchema(shape.items) : {} }
  return { ...SCALAR_SCHEMAS[shape.type], ...(shape.enum ? { enum: shape.enum } : {}) }
}

/** Items carry upstream's zero defaults, so that generated clients agree. */
const itemSchema = (shape: Shape): JsonObject => {
  if (shape.type === 'object' && shape.ref !== undefined) return { allOf: [refTo(shape.ref)], default: {} }
  return shape.type === 'string' ? { ...shapeSchema(shape), default: '' } : shapeSchema(shape)
}

const fieldSchema = (field: Field): JsonObject => {
  const extensions: Record<string, JsonObject[string]> = {
    ...(field.listType ? { 'x-kubernetes-list-type': field.listType } : {}),
    ...(field.listMapKeys ? { 'x-kubernetes-list-map-keys': field.listMapKeys } : {}),
    ...(field.mapType ? { 'x-kubernetes-map-type': field.mapType } : {}),
    ...(field.patchStrategy ? { 'x-kubernetes-patch-strategy': field.patchStrategy.join(',') } : {}),
    ...(field.patchMergeKey === undefined ? {} : { 'x-kubernetes-patch-merge-key': field.patchMergeKey }),
    ...(field.default === undefined ? {} : { default: field.default as JsonObject[string] }),
  }
  if (field.ref === undefined) return { ...shapeSchema(field), ...extensions }
  const zero = field.type === 'object' && field.default === undefined ? { default: {} } : {}
  return { allOf: [refTo(field.ref)], ...zero, ...extensions }
}

const objectSchema = (found: Definition): JsonObject => {
  const required = [...found.fields.values()].filter(field => field.required).map(field => field.name)
  const gvk = gvkOfDefinition(found.name)
  return {
    type: 'object',
    ...(found.fields.size > 0
      ? { properties: Object.fromEntries([...found.fields].map(([name, field]) => [name, fieldSchema(field)])) }
      : {}),
    ...(required.length > 0 ? { required } : {}),
    ...(found.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
    ...(gvk ? { 'x-kubernetes-group-version-kind': [{ ...gvk }] } : {}),
  }
}

/** The OpenAPI v3 schema of a definition, for `components.schemas`; undefined when there is no such definition. A fresh object each time. */
export const toOpenApi = (name: string): JsonObject | undefined => {
  const found = definition(name)
  if (!found) return undefined
  return found.scalar ? { ...SCALAR_SCHEMAS[found.scalar] } : objectSchema(found)
}
