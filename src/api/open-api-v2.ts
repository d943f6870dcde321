// /openapi/v2 for kubectl ≤ 1.28: the schemas and the PATCH operations, as JSON or as gnostic's protobuf (the only form those ask for).
// Built on first request, kept compressed only. Source: googleapis/gnostic openapiv2/OpenAPIv2.proto.

import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { isObject } from '../base/json.ts'
import type { Kind } from '../kinds/kind.ts'
import { toOpenApi } from '../kinds/open-api.ts'
import { reachable } from '../kinds/schema.ts'
import { type ApiResponse, JSON_TYPE } from './message.ts'

type Schema = Readonly<Record<string, unknown>>

/** Length-delimited field. */
const field = (number: number, body: Buffer): Buffer => Buffer.concat([varint(number * 8 + 2), varint(body.length), body])

const varint = (value: number): Buffer => {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest & 127) | 128)
    rest = Math.floor(rest / 128)
  }
  return Buffer.from([...bytes, rest])
}

const text = (number: number, value: unknown): Buffer =>
  typeof value === 'string' && value !== '' ? field(number, Buffer.from(value)) : NOTHING

const NOTHING = Buffer.alloc(0)

/** NamedAny and its kin: name 1, value 2. */
const named = (name: string, value: Buffer): Buffer => Buffer.concat([text(1, name), field(2, value)])

/** Any: its yaml text; JSON is YAML. */
const any = (value: unknown): Buffer => text(2, `${JSON.stringify(value)}\n`)

const extensions = (number: number, schema: Schema): Buffer[] =>
  Object.entries(schema)
    .filter(([key]) => key.startsWith('x-'))
    .map(([key, value]) => field(number, named(key, any(value))))

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

const encodeSchema = (schema: Schema): Buffer => {
  const { items, properties, additionalProperties } = schema
  return Buffer.concat([
    text(1, schema['$ref']),
    text(2, schema['format']),
    text(4, schema['description']),
    ...listOf(schema['required']).map(each => text(19, each)),
    ...listOf(schema['enum']).map(each => field(20, any(each))),
    isObject(additionalProperties) ? field(21, field(1, encodeSchema(additionalProperties))) : NOTHING,
    typeof schema['type'] === 'string' ? field(22, text(1, schema['type'])) : NOTHING,
    isObject(items) ? field(23, field(1, encodeSchema(items))) : NOTHING,
    isObject(properties)
      ? field(25, Buffer.concat(Object.entries(properties).map(([name, each]) => field(1, named(name, encodeSchema(each as Schema))))))
      : NOTHING,
    ...extensions(31, schema),
  ])
}

const encodeOperation = (operation: Schema): Buffer => {
  const parameter = (each: unknown): Buffer => {
    const { name, in: place, type } = each as Record<string, unknown>
    const query = Buffer.concat([text(2, place), text(4, name), text(6, type)])
    return field(8, field(1, field(2, field(3, query))))
  }
  const ok = field(9, field(1, named('200', field(1, text(1, 'OK')))))
  return Buffer.concat([
    text(5, operation['operationId']),
    ...listOf(operation['parameters']).map(parameter),
    ok,
    ...extensions(13, operation),
  ])
}

const PATCH_FIELD = 8

interface Document {
  readonly swagger: '2.0'
  readonly info: { readonly title: string; readonly version: string }
  readonly paths: Readonly<Record<string, { readonly patch: Schema }>>
  readonly definitions: Readonly<Record<string, Schema>>
}

/** gnostic's form of a document. */
const encodeDocument = ({ swagger, info, paths, definitions }: Document): Buffer =>
  Buffer.concat([
    text(1, swagger),
    field(2, Buffer.concat([text(1, info.title), text(2, info.version)])),
    field(
      8,
      Buffer.concat(Object.entries(paths).map(([path, { patch }]) => field(2, named(path, field(PATCH_FIELD, encodeOperation(patch)))))),
    ),
    field(9, Buffer.concat(Object.entries(definitions).map(([name, schema]) => field(1, named(name, encodeSchema(schema)))))),
  ])

const REF = '#/components/schemas/'

/** A schema of version 3 in the words of version 2: references stand alone, there is no choice of types. */
const downgrade = (schema: Schema): Schema => {
  const result: Record<string, unknown> = {}
  const [wrapped] = listOf(schema['allOf'])
  if (isObject(wrapped)) result['$ref'] = wrapped['$ref']
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'allOf' || key === 'default') continue
    if (key === 'oneOf') result['type'] = 'string'
    else if (key === 'properties' && isObject(value))
      result[key] = Object.fromEntries(Object.entries(value).map(([name, each]) => [name, downgrade(each as Schema)]))
    else if ((key === 'items' || key === 'additionalProperties') && isObject(value)) result[key] = downgrade(value)
    else result[key] = value
  }
  if (typeof result['$ref'] === 'string') result['$ref'] = `#/definitions/${result['$ref'].slice(REF.length)}`
  return result
}

const queryParameter = (name: string) => ({ name, in: 'query', type: 'string', uniqueItems: true })
const PARAMETERS = ['dryRun', 'fieldManager', 'fieldValidation'].map(queryParameter)

const patchOf = (kind: Kind): Schema => ({
  operationId: `patch${kind.group}${kind.version}${kind.kind}`,
  parameters: PARAMETERS,
  responses: { '200': { description: 'OK' } },
  'x-kubernetes-action': 'patch',
  'x-kubernetes-group-version-kind': { group: kind.group, version: kind.version, kind: kind.kind },
})

const documentOf = (kinds: readonly Kind[], gitVersion: string): Document => {
  const definitions: Record<string, Schema> = {}
  for (const name of [...reachable(kinds.map(kind => kind.definition))].sort()) definitions[name] = downgrade(toOpenApi(name) ?? {})
  const paths = Object.fromEntries(
    kinds.map(kind => {
      const base = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`
      return [`${base}${kind.namespaced ? '/namespaces/{namespace}' : ''}/${kind.plural}/{name}`, { patch: patchOf(kind) }]
    }),
  )
  return { swagger: '2.0', info: { title: 'Kubernetes', version: gitVersion }, paths, definitions }
}

const PROTOBUF = /application\/com\.github\.proto-openapi\.spec\.v2[@.]v1\.0\+protobuf/
const PROTOBUF_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'

interface Built {
  readonly gzip: Buffer
  readonly etag: string
}

const compress = (body: Buffer): Built => ({
  gzip: gzipSync(body),
  etag: `"${createHash('sha512').update(body).digest('hex').slice(0, 64)}"`,
})

export interface OpenApiV2 {
  respond(how: { readonly accept: string; readonly ifNoneMatch: string; readonly gzip: boolean }): ApiResponse
}

export const createOpenApiV2 = (kinds: readonly Kind[], gitVersion: string): OpenApiV2 => {
  const built = new Map<string, Built>()
  const build = (type: string): Built => {
    const known = built.get(type)
    if (known) return known
    const document = documentOf(kinds, gitVersion)
    const fresh = compress(type === JSON_TYPE ? Buffer.from(JSON.stringify(document)) : encodeDocument(document))
    built.set(type, fresh)
    return fresh
  }
  return {
    respond({ accept, ifNoneMatch, gzip }) {
      const type = PROTOBUF.test(accept) ? PROTOBUF_TYPE : JSON_TYPE
      const { etag, gzip: body } = build(type)
      const headers = { 'content-type': type, etag, vary: 'Accept-Encoding, Accept' }
      if (ifNoneMatch === etag) return { status: 304, headers, body: NOTHING }
      if (gzip) return { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body }
      return { status: 200, headers, body: gunzipSync(body) }
    },
  }
}
