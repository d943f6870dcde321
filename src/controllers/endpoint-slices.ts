// EndpointSlices of one Service from its endpoints. Endpoints stay in the slice they are in, new ones fill room, so a change of one pod
// writes one slice. Names follow from Service, ports and number. Source: k8s endpointslice controller (reconciler, utils).

import { canonicalJson, deepEqual } from '../base/json.ts'
import type { Endpoint, EndpointSlice, EndpointSlicePort } from '../kinds/endpoint-slice.ts'
import { keyOf } from '../kinds/meta.ts'
import type { Service } from '../kinds/service-kind.ts'
import type { Action } from './controller.ts'
import { ENDPOINTS_PER_SLICE } from './limits.ts'
import { childName, suffixOf } from './name.ts'
import type { AddressFamily, PodEndpoint } from './pod-endpoint.ts'
import { asObject, controllerReference, isDeleting, uidOf } from './reference.ts'

export const SERVICE_NAME = 'kubernetes.io/service-name'
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by'
const MANAGER = 'endpointslice-controller.k8s.io'
const HEADLESS = 'service.kubernetes.io/headless'

/** One address family with one set of ports. */
interface Group {
  readonly family: AddressFamily
  readonly ports: readonly EndpointSlicePort[]
  readonly endpoints: readonly Endpoint[]
}

export const isHeadless = ({ spec }: Service): boolean => spec.clusterIP === 'None'

/** The Service's own labels, and what says whose slice this is. */
const labelsOf = (service: Service): Record<string, string> => {
  const { [HEADLESS]: _headless, [SERVICE_NAME]: _name, [MANAGED_BY]: _manager, ...labels } = service.metadata.labels ?? {}
  return {
    ...labels,
    [SERVICE_NAME]: service.metadata.name ?? '',
    [MANAGED_BY]: MANAGER,
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
  }
}

const groupsOf = (family: AddressFamily, endpoints: readonly PodEndpoint[]): Group[] => {
  const groups = new Map<string, { ports: readonly EndpointSlicePort[]; endpoints: Endpoint[] }>()
  for (const { endpoint, ports } of endpoints) {
    const key = canonicalJson(ports)
    const group = groups.get(key) ?? { ports, endpoints: [] }
    group.endpoints.push(endpoint)
    groups.set(key, group)
  }
  // A Service without pods still has a slice that says so.
  if (groups.size === 0) groups.set('[]', { ports: [], endpoints: [] })
  return [...groups.values()].map(group => ({ family, ...group }))
}

const uidOfEndpoint = (endpoint: Endpoint): string => endpoint.targetRef?.uid ?? ''

/** The endpoints for each slice that exists, and those that need new slices. */
const deal = (slices: readonly EndpointSlice[], endpoints: readonly Endpoint[]): { kept: Endpoint[][]; more: Endpoint[][] } => {
  const wanted = new Map(endpoints.map(endpoint => [uidOfEndpoint(endpoint), endpoint]))
  const kept = slices.map(slice =>
    slice.endpoints.flatMap(old => {
      const fresh = wanted.get(uidOfEndpoint(old))
      wanted.delete(uidOfEndpoint(old))
      return fresh ? [fresh] : []
    }),
  )
  const rest = [...wanted.values()]
  for (const list of kept) list.push(...rest.splice(0, Math.max(0, ENDPOINTS_PER_SLICE - list.length)))
  const more: Endpoint[][] = []
  while (rest.length > 0) more.push(rest.splice(0, ENDPOINTS_PER_SLICE))
  return { kept, more }
}

const sliceOf = (service: Service, group: Group, endpoints: readonly Endpoint[], name: string): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name,
    generateName: `${service.metadata.name ?? ''}-`,
    namespace: service.metadata.namespace ?? '',
    labels: labelsOf(service),
    ownerReferences: [controllerReference(service)],
  },
  addressType: group.family,
  endpoints: [...endpoints],
  ports: [...group.ports],
})

const updateOf = (service: Service, slice: EndpointSlice, endpoints: readonly Endpoint[]): Action[] => {
  const labels = labelsOf(service)
  if (deepEqual(slice.endpoints, endpoints) && deepEqual(slice.metadata.labels, labels)) return []
  return [
    { do: 'update', object: asObject({ ...slice, metadata: { ...slice.metadata, labels }, endpoints: [...endpoints] } as EndpointSlice) },
  ]
}

const deleteOf = (slice: EndpointSlice): Action => ({
  do: 'delete',
  kind: 'EndpointSlice',
  key: keyOf(slice.metadata),
  uid: uidOf(slice),
  resourceVersion: slice.metadata.resourceVersion ?? '',
})

/** Brings the slices a Service owns to what they should be, one family. `taken`: names that exist already, of anybody. */
export const sliceActions = (
  service: Service,
  family: AddressFamily,
  endpoints: readonly PodEndpoint[],
  owned: readonly EndpointSlice[],
  taken: (name: string) => boolean,
): Action[] => {
  const left = new Set(owned.filter(slice => slice.addressType === family && !isDeleting(slice)))
  const actions: Action[] = []
  for (const group of groupsOf(family, endpoints)) {
    const slices = [...left].filter(slice => deepEqual(slice.ports ?? [], group.ports))
    const { kept, more } = deal(slices, group.endpoints)
    const isPlaceholder = group.endpoints.length === 0
    for (const [i, slice] of slices.entries()) {
      // An empty slice goes, unless it is the one that says "no pods".
      if (kept[i]!.length === 0 && !(isPlaceholder && i === 0)) continue
      left.delete(slice)
      actions.push(...updateOf(service, slice, kept[i]!))
    }
    if (isPlaceholder && slices.length === 0) more.push([])
    for (const [i, list] of more.entries()) actions.push(createOf(service, group, list, slices.length + i, taken))
  }
  return [...actions, ...[...left].map(deleteOf)]
}

/** The same state asks for the same name; one that is taken gives way to the next. */
const createOf = (
  service: Service,
  group: Group,
  endpoints: readonly Endpoint[],
  ordinal: number,
  taken: (name: string) => boolean,
): Action => {
  const seed = `${uidOf(service)}/${group.family}/${canonicalJson(group.ports)}`
  for (let i = ordinal; ; i++) {
    const name = childName(service.metadata.name ?? '', suffixOf(`${seed}/${i}`))
    if (!taken(name)) return { do: 'create', object: asObject(sliceOf(service, group, endpoints, name)) }
  }
}
