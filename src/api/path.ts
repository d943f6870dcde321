// A request's path to what it names. The grammar is Kubernetes': /api/v1 for the core group, /apis/<group>/<version> for the others.

import type { Kind } from '../kinds/kind.ts'

/** A resource, a collection of it, or a subresource. `name` is '' for collections. */
export interface ResourcePath {
  readonly kind: Kind
  /** '' for cluster-scoped kinds, and for a namespaced kind across all namespaces. */
  readonly namespace: string
  readonly name: string
  readonly subresource: string
}

/** Finds kinds by group, version and plural. */
export type KindIndex = ReadonlyMap<string, Kind>

export const indexKinds = (kinds: readonly Kind[]): KindIndex =>
  new Map(kinds.map(kind => [`${kind.group}/${kind.version}/${kind.plural}`, kind]))

const SUBRESOURCES_OF_NAMESPACE = new Set(['status', 'finalize'])

/** Path segments, decoded; undefined when one is empty or malformed. A trailing slash is tolerated. */
export const segmentsOf = (path: string): string[] | undefined => {
  const raw = path.split('/').slice(1)
  if (raw.at(-1) === '') raw.pop()
  if (!path.includes('%')) return raw.includes('') ? undefined : raw
  try {
    const decoded = raw.map(decodeURIComponent)
    return decoded.some(each => each === '' || each.includes('/') || each.includes('\0')) ? undefined : decoded
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}

/** `rest` is what follows the version. */
const resourceOf = (kinds: KindIndex, groupVersion: string, rest: readonly string[]): ResourcePath | undefined => {
  const [first = '', second, third, fourth, fifth, ...more] = rest
  const inNamespace =
    first === 'namespaces' &&
    third !== undefined &&
    !(groupVersion === '/v1' && fourth === undefined && SUBRESOURCES_OF_NAMESPACE.has(third))
  const [plural, name = '', subresource = ''] = inNamespace ? [third, fourth, fifth] : [first, second, third]
  if (more.length > 0 || (!inNamespace && fourth !== undefined)) return undefined
  const kind = kinds.get(`${groupVersion}/${plural}`)
  if (!kind || (inNamespace && !kind.namespaced)) return undefined
  // A named object of a namespaced kind has a namespace.
  if (!inNamespace && kind.namespaced && name !== '') return undefined
  return { kind, namespace: inNamespace ? (second ?? '') : '', name, subresource }
}

/** The resource a path names, or undefined. */
export const parseResourcePath = (kinds: KindIndex, segments: readonly string[]): ResourcePath | undefined => {
  if (segments[0] === 'api' && segments.length > 2) return resourceOf(kinds, `/${segments[1]}`, segments.slice(2))
  if (segments[0] === 'apis' && segments.length > 3) return resourceOf(kinds, `${segments[1]}/${segments[2]}`, segments.slice(3))
  return undefined
}
