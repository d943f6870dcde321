// /openapi/v3: an index with hashed URLs and one document per group and version, with the operations kubectl looks at: PATCH with
// fieldValidation and dryRun, and the kinds behind each path. Built on first request, kept compressed only.

import { createHash } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import type { JsonObject } from '../base/json.ts'
import { apiVersionOf, type Kind } from '../kinds/kind.ts'
import { toOpenApi } from '../kinds/open-api.ts'
import { reachable } from '../kinds/schema.ts'
import { subresourcesOf } from './discovery.ts'
import { type ApiResponse, JSON_TYPE } from './message.ts'

const V1 = 'io.k8s.apimachinery.pkg.apis.meta.v1'

const parameter = (name: string, type: string, description: string): JsonObject => ({
  name,
  in: 'query',
  description,
  schema: { type, uniqueItems: true },
})

const PRETTY = parameter('pretty', 'string', 'Taken and ignored.')
const WRITE_PARAMETERS = [
  parameter('dryRun', 'string', 'All: nothing is stored, everything else happens.'),
  parameter('fieldManager', 'string', 'Name of the actor that makes this change.'),
  parameter('fieldValidation', 'string', 'Ignore, Warn or Strict: what happens to unknown and duplicate fields.'),
]
const LIST_PARAMETERS = [
  parameter('allowWatchBookmarks', 'boolean', 'Asks for events that carry a resourceVersion only.'),
  parameter('continue', 'string', 'Where the last page ended.'),
  parameter('fieldSelector', 'string', 'Selects by fields.'),
  parameter('labelSelector', 'string', 'Selects by labels.'),
  parameter('limit', 'integer', 'Objects in one page.'),
  parameter('resourceVersion', 'string', 'The state the answer must not be older than.'),
  parameter('resourceVersionMatch', 'string', 'Exact or NotOlderThan.'),
  parameter('sendInitialEvents', 'boolean', 'Starts a watch with the present state.'),
  parameter('timeoutSeconds', 'integer', 'How long a watch lives.'),
  parameter('watch', 'boolean', 'Follows changes.'),
]
const DELETE_PARAMETERS = [
  parameter('dryRun', 'string', 'All: nothing is stored, everything else happens.'),
  parameter('gracePeriodSeconds', 'integer', 'Seconds the object may take to end.'),
  parameter('propagationPolicy', 'string', 'Background, Foreground or Orphan.'),
]
const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
]

type Gvk = Pick<Kind, 'group' | 'version' | 'kind'>

const refTo = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` })

const operation = (action: string, gvk: Gvk, parts: JsonObject, answer: string): JsonObject => ({
  ...parts,
  responses: { '200': { description: 'OK', content: { [JSON_TYPE]: { schema: refTo(answer) } } } },
  'x-kubernetes-action': action,
  'x-kubernetes-group-version-kind': { group: gvk.group, version: gvk.version, kind: gvk.kind },
})

const bodyOf = (types: readonly string[], name: string): JsonObject => ({
  content: Object.fromEntries(types.map(type => [type, { schema: refTo(name) }])),
  required: true,
})

const collectionPath = (kind: Kind, listed: string): JsonObject => ({
  get: operation('list', kind, { parameters: LIST_PARAMETERS }, listed),
  post: operation('post', kind, { parameters: WRITE_PARAMETERS, requestBody: bodyOf(['*/*'], kind.definition) }, kind.definition),
  delete: operation('deletecollection', kind, { parameters: [...LIST_PARAMETERS, ...DELETE_PARAMETERS] }, `${V1}.Status`),
})

const itemPath = (gvk: Gvk, definition: string, deletable: boolean): JsonObject => ({
  get: operation('get', gvk, {}, definition),
  put: operation('put', gvk, { parameters: WRITE_PARAMETERS, requestBody: bodyOf(['*/*'], definition) }, definition),
  patch: operation('patch', gvk, { parameters: WRITE_PARAMETERS, requestBody: bodyOf(PATCH_TYPES, `${V1}.Patch`) }, definition),
  ...(deletable
    ? {
        delete: operation(
          'delete',
          gvk,
          { parameters: DELETE_PARAMETERS, requestBody: bodyOf(['*/*'], `${V1}.DeleteOptions`) },
          `${V1}.Status`,
        ),
      }
    : {}),
})

const pathParameter = (name: string): JsonObject => ({ name, in: 'path', required: true, schema: { type: 'string', uniqueItems: true } })

const SUBRESOURCE_DEFINITIONS: Readonly<Record<string, string>> = {
  Scale: 'io.k8s.api.autoscaling.v1.Scale',
  Binding: 'io.k8s.api.core.v1.Binding',
  Eviction: 'io.k8s.api.policy.v1.Eviction',
}

const addSubresources = (paths: Record<string, JsonObject>, kind: Kind, item: string, common: JsonObject[]): void => {
  for (const { name, verbs, ...gvk } of subresourcesOf(kind)) {
    const definition = SUBRESOURCE_DEFINITIONS[gvk.kind] ?? kind.definition
    if (verbs.includes('patch')) paths[`${item}/${name}`] = { parameters: common, ...itemPath(gvk, definition, false) }
    else if (verbs.includes('create')) {
      const post = operation('post', gvk, { parameters: WRITE_PARAMETERS, requestBody: bodyOf(['*/*'], definition) }, definition)
      paths[`${item}/${name}`] = { parameters: common, post }
    }
  }
}

const pathsOf = (prefix: string, kinds: readonly Kind[]): Record<string, JsonObject> => {
  const paths: Record<string, JsonObject> = {}
  for (const kind of kinds) {
    const listed = `${kind.definition}List`
    const base = kind.namespaced ? `${prefix}/namespaces/{namespace}/${kind.plural}` : `${prefix}/${kind.plural}`
    const places = kind.namespaced ? [pathParameter('namespace'), PRETTY] : [PRETTY]
    paths[base] = { parameters: places, ...collectionPath(kind, listed) }
    if (kind.namespaced)
      paths[`${prefix}/${kind.plural}`] = { parameters: [PRETTY], get: operation('list', kind, { parameters: LIST_PARAMETERS }, listed) }
    const item = `${base}/{name}`
    const common = [pathParameter('name'), ...places]
    paths[item] = { parameters: common, ...itemPath(kind, kind.definition, true) }
    addSubresources(paths, kind, item, common)
  }
  return paths
}

const listSchema = (kind: Kind): JsonObject => ({
  type: 'object',
  required: ['items'],
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    items: { type: 'array', items: { allOf: [refTo(kind.definition)], default: {} } },
    metadata: { allOf: [refTo(`${V1}.ListMeta`)], default: {} },
  },
  'x-kubernetes-group-version-kind': [{ group: kind.group, version: kind.version, kind: `${kind.kind}List` }],
})

const schemasOf = (kinds: readonly Kind[]): Record<string, JsonObject> => {
  const roots = [
    ...kinds.map(kind => kind.definition),
    ...Object.values(SUBRESOURCE_DEFINITIONS),
    `${V1}.Status`,
    `${V1}.DeleteOptions`,
    `${V1}.ListMeta`,
  ]
  const schemas: Record<string, JsonObject> = {}
  for (const name of [...reachable(roots)].sort()) schemas[name] = toOpenApi(name) ?? { type: 'object' }
  for (const kind of kinds) schemas[`${kind.definition}List`] ??= listSchema(kind)
  schemas[`${V1}.Patch`] = { type: 'object', description: 'A patch; its form is named by the media type.' }
  // Every group takes DeleteOptions.
  const gvks = [...new Set(kinds.map(kind => kind.group))].map(group => ({
    group,
    version: kinds[0]?.version ?? 'v1',
    kind: 'DeleteOptions',
  }))
  schemas[`${V1}.DeleteOptions`] = { ...schemas[`${V1}.DeleteOptions`], 'x-kubernetes-group-version-kind': gvks }
  return schemas
}

interface Compressed {
  readonly gzip: Buffer
  readonly hash: string
}

export interface OpenApi {
  find(
    path: string,
    how: { readonly query: URLSearchParams; readonly ifNoneMatch: string; readonly gzip: boolean },
  ): ApiResponse | undefined
}

/** `gitVersion` is the version the documents carry; a new one gives new hashes. */
export const createOpenApi = (kinds: readonly Kind[], gitVersion: string): OpenApi => {
  const groups = new Map<string, Kind[]>()
  for (const kind of kinds) {
    const path = kind.group === '' ? `api/${kind.version}` : `apis/${kind.group}/${kind.version}`
    groups.set(path, [...(groups.get(path) ?? []), kind])
  }
  const built = new Map<string, Compressed>()
  const hashes = new Map<string, string>()
  const build = (path: string): Compressed | undefined => {
    const members = groups.get(path)
    const known = built.get(path)
    if (known || !members) return known
    const info = { title: 'Kubernetes', version: gitVersion }
    const document = { openapi: '3.0.0', info, paths: pathsOf(`/${path}`, members), components: { schemas: schemasOf(members) } }
    const compressed = { gzip: gzipSync(JSON.stringify(document)), hash: hashOf(path, members) }
    built.set(path, compressed)
    return compressed
  }
  /** What a document is made of: kinds and version; the documents need not be built for the index. */
  const hashOf = (path: string, members: readonly Kind[]): string => {
    const known = hashes.get(path)
    if (known) return known
    const text = JSON.stringify([gitVersion, members.map(kind => [apiVersionOf(kind), kind.kind, subresourcesOf(kind)])])
    const hash = createHash('sha512').update(text).digest('hex').toUpperCase()
    hashes.set(path, hash)
    return hash
  }
  const index = (): ApiResponse => {
    const paths = Object.fromEntries(
      [...groups].map(([path, members]) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(path, members)}` }]),
    )
    return { status: 200, headers: { 'content-type': JSON_TYPE }, body: Buffer.from(JSON.stringify({ paths })) }
  }
  return {
    find(path, { query, ifNoneMatch, gzip }) {
      if (path === '/openapi/v3') return index()
      if (!path.startsWith('/openapi/v3/')) return undefined
      const document = build(path.slice('/openapi/v3/'.length))
      if (!document) return undefined
      const etag = `"${document.hash}"`
      const caching = query.get('hash') === document.hash ? { 'cache-control': 'public, immutable, max-age=31536000' } : {}
      const headers = { 'content-type': JSON_TYPE, etag, vary: 'Accept-Encoding', ...caching }
      if (ifNoneMatch === etag) return { status: 304, headers, body: Buffer.alloc(0) }
      if (gzip) return { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body: document.gzip }
      return { status: 200, headers, body: gunzipSync(document.gzip) }
    },
  }
}
