// Which resources the server has, and what a word means: `po`, `pods`, `Pod`, `deployments.apps`, `deployments.v1.apps`.
// Source: aggregated discovery (apidiscovery.k8s.io/v2), the legacy lists where the server has no aggregated ones.

import { isObject } from '../base/json.ts'
import type { Client } from './client.ts'
import { Failure } from './failure.ts'
import { didYouMean } from './suggest.ts'

export interface Resource {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly namespaced: boolean
  readonly verbs: readonly string[]
}

export interface Resources {
  readonly all: readonly Resource[]
  /** By any of its names; throws when the server has no such resource type. */
  byName(name: string): Resource
  /** Resources of a category (`all`), or undefined. */
  byCategory(name: string): readonly Resource[] | undefined
  byKind(apiVersion: string, kind: string): Resource | undefined
}

const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json'

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const texts = (value: unknown): string[] => (Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [])
const objects = (value: unknown): Record<string, unknown>[] => (Array.isArray(value) ? value.filter(isObject) : [])

const fromAggregated = (list: Record<string, unknown>): Resource[] =>
  objects(list['items']).flatMap(group =>
    objects(group['versions']).flatMap(version =>
      objects(version['resources']).map((resource): Resource => {
        const kind = isObject(resource['responseKind']) ? text(resource['responseKind']['kind']) : ''
        return {
          group: isObject(group['metadata']) ? text(group['metadata']['name']) : '',
          version: text(version['version']),
          kind,
          plural: text(resource['resource']),
          singular: text(resource['singularResource']) || kind.toLowerCase(),
          shortNames: texts(resource['shortNames']),
          categories: texts(resource['categories']),
          namespaced: resource['scope'] === 'Namespaced',
          verbs: texts(resource['verbs']),
        }
      }),
    ),
  )

const fromLegacy = (list: Record<string, unknown>, group: string, version: string): Resource[] =>
  objects(list['resources'])
    .filter(resource => !text(resource['name']).includes('/'))
    .map(resource => ({
      group,
      version,
      kind: text(resource['kind']),
      plural: text(resource['name']),
      singular: text(resource['singularName']) || text(resource['kind']).toLowerCase(),
      shortNames: texts(resource['shortNames']),
      categories: texts(resource['categories']),
      namespaced: resource['namespaced'] === true,
      verbs: texts(resource['verbs']),
    }))

const legacyGroups = async (client: Client, list: Record<string, unknown>): Promise<Resource[]> => {
  const versions = objects(list['groups']).flatMap(group =>
    objects(group['versions']).map(version => ({
      group: text(group['name']),
      version: text(version['version']),
      path: text(version['groupVersion']),
    })),
  )
  const found = await Promise.all(
    versions.map(async each => fromLegacy(await client.json('GET', `/apis/${each.path}`), each.group, each.version)),
  )
  return found.flat()
}

const fetchAll = async (client: Client): Promise<Resource[]> => {
  const [core, groups] = await Promise.all([
    client.json('GET', '/api', { accept: AGGREGATED }),
    client.json('GET', '/apis', { accept: AGGREGATED }),
  ])
  const isAggregated = (list: Record<string, unknown>): boolean => list['kind'] === 'APIGroupDiscoveryList'
  const own = isAggregated(core) ? fromAggregated(core) : fromLegacy(await client.json('GET', '/api/v1'), '', 'v1')
  const named = isAggregated(groups) ? fromAggregated(groups) : await legacyGroups(client, groups)
  return [...own, ...named]
}

const matches = (resource: Resource, name: string): boolean =>
  resource.plural === name || resource.singular === name || resource.shortNames.includes(name) || resource.kind.toLowerCase() === name

/** `plural[.version][.group]` or `plural[.group]`. */
const matchesQualified = (resource: Resource, name: string): boolean => {
  const dot = name.indexOf('.')
  if (dot === -1) return matches(resource, name)
  const tail = name.slice(dot + 1)
  const wanted = [resource.group, `${resource.version}.${resource.group}`]
  return (
    matches(resource, name.slice(0, dot)) && (wanted.includes(tail) || (resource.group !== '' && resource.group.startsWith(`${tail}.`)))
  )
}

export const resourcesOf = (all: readonly Resource[]): Resources => ({
  all,
  byName(name) {
    const wanted = name.toLowerCase()
    const found = all.find(resource => matchesQualified(resource, wanted))
    if (found) return found
    const near = didYouMean(
      wanted,
      all.flatMap(resource => [resource.plural, resource.singular]),
    )
    throw new Failure(`the server doesn't have a resource type ${JSON.stringify(name)}`, {
      hint: near ?? 'helio api-resources lists them',
    })
  },
  byCategory(name) {
    const found = all.filter(resource => resource.categories.includes(name) && resource.verbs.includes('list'))
    return found.length > 0 ? found : undefined
  },
  byKind: (apiVersion, kind) =>
    all.find(
      resource =>
        resource.kind === kind && (resource.group === '' ? resource.version : `${resource.group}/${resource.version}`) === apiVersion,
    ),
})

/** Asks the server. */
export const discover = async (client: Client): Promise<Resources> => resourcesOf(await fetchAll(client))

/** `/api/v1/namespaces/ns/pods/name`; the namespace is left out for cluster-scoped resources, or '' for all. */
export const pathOf = (resource: Resource, namespace: string, name = '', subresource = ''): string => {
  const root = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`
  const within = resource.namespaced && namespace !== '' ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  return `${root}${within}/${resource.plural}${name === '' ? '' : `/${encodeURIComponent(name)}`}${subresource === '' ? '' : `/${subresource}`}`
}

/** `pod`, `deployment.apps`: how lines about an object begin. */
export const singularOf = (resource: Pick<Resource, 'kind' | 'group'>): string =>
  resource.group === '' ? resource.kind.toLowerCase() : `${resource.kind.toLowerCase()}.${resource.group}`
