// What this server serves, in the three forms clients know: aggregated (v2, v2beta1) and the legacy lists. Made from the kinds once.
// Source: k8s apidiscovery.k8s.io and meta/v1 APIGroupList, APIResourceList; kubectl ≥ 1.30 asks for v2, 1.26–1.29 for v2beta1.

import { createHash } from 'node:crypto'
import { apiVersionOf, type Kind } from '../kinds/kind.ts'
import { parseAccept } from './accept.ts'
import { type ApiResponse, JSON_TYPE } from './message.ts'

interface Subresource {
  readonly name: string
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly verbs: readonly string[]
}

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'] as const
const CHANGE = ['get', 'patch', 'update'] as const

/** The subresources of a kind, sorted by name. */
export const subresourcesOf = (kind: Kind): Subresource[] => {
  const own = { group: kind.group, version: kind.version, kind: kind.kind }
  const isPod = kind.group === '' && kind.kind === 'Pod'
  const found: Subresource[] = []
  if (isPod) {
    found.push({ name: 'attach', group: '', version: 'v1', kind: 'PodAttachOptions', verbs: ['create', 'get'] })
    found.push({ name: 'binding', group: '', version: 'v1', kind: 'Binding', verbs: ['create'] })
    found.push({ name: 'eviction', group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] })
    found.push({ name: 'exec', group: '', version: 'v1', kind: 'PodExecOptions', verbs: ['create', 'get'] })
    found.push({ ...own, name: 'log', verbs: ['get'] })
    found.push({ name: 'portforward', group: '', version: 'v1', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] })
  }
  if (kind.group === '' && kind.kind === 'Namespace') found.push({ ...own, name: 'finalize', verbs: ['update'] })
  if (kind.scale) found.push({ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: CHANGE })
  if (kind.hasStatus) found.push({ ...own, name: 'status', verbs: CHANGE })
  return found
}

const legacyResources = (kinds: readonly Kind[]): unknown[] => {
  const resources = kinds.flatMap(kind => [
    {
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: VERBS,
      ...(kind.shortNames.length > 0 ? { shortNames: kind.shortNames } : {}),
      ...(kind.categories?.length ? { categories: kind.categories } : {}),
    },
    ...subresourcesOf(kind).map(({ name, group, version, kind: sub, verbs }) => ({
      name: `${kind.plural}/${name}`,
      singularName: '',
      namespaced: kind.namespaced,
      ...(group === kind.group && version === kind.version ? {} : { group, version }),
      kind: sub,
      verbs,
    })),
  ])
  return resources.sort((a, b) => (a.name < b.name ? -1 : 1))
}

const aggregatedResource = (kind: Kind): unknown => ({
  resource: kind.plural,
  responseKind: { group: kind.group, version: kind.version, kind: kind.kind },
  scope: kind.namespaced ? 'Namespaced' : 'Cluster',
  singularResource: kind.singular,
  verbs: VERBS,
  ...(kind.shortNames.length > 0 ? { shortNames: kind.shortNames } : {}),
  ...(kind.categories?.length ? { categories: kind.categories } : {}),
  subresources: subresourcesOf(kind).map(({ name, group, version, kind: sub, verbs }) => ({
    subresource: name,
    responseKind: { group, version, kind: sub },
    verbs,
  })),
})

/** Group → version → kinds, in order of registration. */
const grouped = (kinds: readonly Kind[]): Map<string, Map<string, Kind[]>> => {
  const groups = new Map<string, Map<string, Kind[]>>()
  for (const kind of kinds) {
    const versions = groups.get(kind.group) ?? new Map<string, Kind[]>()
    groups.set(kind.group, versions)
    versions.set(kind.version, [...(versions.get(kind.version) ?? []), kind])
  }
  return groups
}

interface Document {
  readonly type: string
  readonly body: Buffer
  readonly etag: string
}

const documentOf = (value: unknown, type = JSON_TYPE): Document => {
  const body = Buffer.from(JSON.stringify(value))
  return { type, body, etag: `"${createHash('sha512').update(body).digest('hex').toUpperCase().slice(0, 64)}"` }
}

const aggregated = (groups: [string, Map<string, Kind[]>][], version: 'v2' | 'v2beta1'): Document =>
  documentOf(
    {
      kind: 'APIGroupDiscoveryList',
      apiVersion: `apidiscovery.k8s.io/${version}`,
      metadata: {},
      items: groups.map(([group, versions]) => ({
        metadata: { creationTimestamp: null, ...(group === '' ? {} : { name: group }) },
        versions: [...versions].map(([each, kinds]) => ({ version: each, freshness: 'Current', resources: kinds.map(aggregatedResource) })),
      })),
    },
    `${JSON_TYPE};g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
  )

const groupOf = (group: string, versions: Map<string, Kind[]>): Record<string, unknown> => {
  const names = [...versions.keys()].map(version => ({ groupVersion: `${group}/${version}`, version }))
  return { name: group, versions: names, preferredVersion: names[0] }
}

/** Documents by path; the aggregated ones by path and version. */
const documentsOf = (kinds: readonly Kind[]): Map<string, Document> => {
  const groups = grouped(kinds)
  const named = [...groups].filter(([group]) => group !== '')
  const core = [...groups].filter(([group]) => group === '')
  const documents = new Map<string, Document>()
  for (const version of ['v2', 'v2beta1'] as const) {
    documents.set(`/api ${version}`, aggregated(core, version))
    documents.set(`/apis ${version}`, aggregated(named, version))
  }
  const addresses = [{ clientCIDR: '0.0.0.0/0', serverAddress: '' }]
  documents.set('/api', documentOf({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: addresses }))
  documents.set(
    '/apis',
    documentOf({ kind: 'APIGroupList', apiVersion: 'v1', groups: named.map(([group, versions]) => groupOf(group, versions)) }),
  )
  for (const [group, versions] of groups) {
    if (group !== '') documents.set(`/apis/${group}`, documentOf({ kind: 'APIGroup', apiVersion: 'v1', ...groupOf(group, versions) }))
    for (const [version, each] of versions) {
      const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
      const groupVersion = apiVersionOf({ group, version })
      documents.set(path, documentOf({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: legacyResources(each) }))
    }
  }
  return documents
}

/** The version of aggregated discovery an Accept header prefers to the legacy form. */
const aggregatedVersion = (accept: string): string | undefined => {
  for (const { type, parameters } of parseAccept(accept)) {
    const { g, v, as } = parameters
    const isAggregated = g === 'apidiscovery.k8s.io' && as === 'APIGroupDiscoveryList'
    if (type === JSON_TYPE && isAggregated && (v === 'v2' || v === 'v2beta1')) return v
    if ((type === JSON_TYPE || type === '*/*') && as === undefined) return undefined
  }
  return undefined
}

export interface Discovery {
  /** The document at this path (without trailing slash), or undefined. */
  find(path: string, accept: string, ifNoneMatch: string): ApiResponse | undefined
  /** Every path there is a document for. */
  paths(): string[]
}

export const createDiscovery = (kinds: readonly Kind[]): Discovery => {
  const made: { documents: Map<string, Document> | undefined } = { documents: undefined }
  return {
    paths: () => {
      made.documents ??= documentsOf(kinds)
      return [...made.documents.keys()].filter(path => !path.includes(' '))
    },
    find(path, accept, ifNoneMatch) {
      if (path !== '/api' && path !== '/apis' && !path.startsWith('/api/') && !path.startsWith('/apis/')) return undefined
      made.documents ??= documentsOf(kinds)
      const version = path === '/api' || path === '/apis' ? aggregatedVersion(accept) : undefined
      const document = made.documents.get(version ? `${path} ${version}` : path)
      if (!document) return undefined
      const headers = { 'content-type': document.type, etag: document.etag, vary: 'Accept', 'cache-control': 'public' }
      if (ifNoneMatch === document.etag) return { status: 304, headers, body: Buffer.alloc(0) }
      return { status: 200, headers, body: document.body }
    },
  }
}
