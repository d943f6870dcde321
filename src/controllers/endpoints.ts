// Endpoints of Services: for every Service with a selector its EndpointSlices and the older Endpoints object, from the pods it selects.
// A mass disconnection changes none of them. Source: k8s endpoint and endpointslice controllers; calm rules in pod-endpoint.ts.

import { deepEqual } from '../base/json.ts'
import { contactState } from '../kinds/contact.ts'
import { isSuperseded } from '../kinds/disconnection.ts'
import type { EndpointSlice } from '../kinds/endpoint-slice.ts'
import type { EndpointAddress, EndpointSubset, Endpoints } from '../kinds/endpoints.ts'
import type { KubeObject } from '../kinds/meta.ts'
import { controllerOf, keyOf, splitKey } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodReady, isPodTerminal } from '../kinds/pod.ts'
import type { Service } from '../kinds/service-kind.ts'
import { BRAKE_HOME, isBraked } from './contact-brake.ts'
import type { Action, Controller, Result, View } from './controller.ts'
import { isHeadless, sliceActions } from './endpoint-slices.ts'
import { ENDPOINTS_ADDRESSES_MAX, ENDPOINTS_GAP_MS } from './limits.ts'
import type { AddressFamily, PodEndpoint } from './pod-endpoint.ts'
import { podEndpoints } from './pod-endpoint.ts'
import { asObject, controllerReference, isDeleting, uidOf } from './reference.ts'

const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity'
const MANAGED_BY = 'endpoints.kubernetes.io/managed-by'
const HEADLESS = 'service.kubernetes.io/headless'

export const endpoints: Controller = {
  name: 'endpoints',
  gapMs: ENDPOINTS_GAP_MS,
  watches: [
    { kind: 'Service', keys: service => [keyOf(service.metadata)] },
    { kind: 'Pod', keys: (pod, old, view) => podKeys(pod as unknown as Pod, old as unknown as Pod | undefined, view) },
    { kind: 'Node', keys: (node, old, view) => nodeKeys(node as unknown as Node, old as unknown as Node | undefined, view) },
    { kind: 'Namespace', keys: (namespace, _old, view) => (namespace.metadata.name === BRAKE_HOME ? silentKeys(view) : []) },
    { kind: 'EndpointSlice', keys: ownerKeys },
    { kind: 'Endpoints', keys: ownerKeys },
  ],
  reconcile(view, key) {
    const { namespace, name } = splitKey(key)
    const service = view.get<Service>('Service', namespace, name)
    if (!service || isDeleting(service) || !selects(service)) return { actions: [] }
    return reconcileService(view, service)
  },
}

function ownerKeys(object: KubeObject): string[] {
  const owner = controllerOf(object.metadata)
  return owner?.kind === 'Service' ? [`${object.metadata.namespace ?? ''}/${owner.name}`] : []
}

/** A Service without a selector is somebody else's to fill. */
const selects = ({ spec }: Service): boolean => spec.type !== 'ExternalName' && Object.keys(spec.selector ?? {}).length > 0

const matches = ({ spec }: Service, labels: Readonly<Record<string, string>> = {}): boolean => {
  for (const key in spec.selector) if (labels[key] !== spec.selector[key]) return false
  return true
}

const servicesOf = (view: View, pod: Pod): string[] =>
  view
    .list<Service>('Service', { namespace: pod.metadata.namespace ?? '' })
    .filter(service => selects(service) && matches(service, pod.metadata.labels))
    .map(service => keyOf(service.metadata))

const addressesOf = ({ status }: Pod): unknown => status?.podIPs ?? status?.podIP

/** What endpoints are made of is the same. */
const isSame = (pod: Pod, old: Pod): boolean =>
  isPodReady(pod) === isPodReady(old) &&
  isPodTerminal(pod) === isPodTerminal(old) &&
  isDeleting(pod) === isDeleting(old) &&
  isSuperseded(pod) === isSuperseded(old) &&
  pod.spec.nodeName === old.spec.nodeName &&
  deepEqual(addressesOf(pod), addressesOf(old)) &&
  deepEqual(pod.metadata.labels, old.metadata.labels)

const podKeys = (pod: Pod, old: Pod | undefined, view: View): string[] => {
  if (old && view.exists(uidOf(pod)) && isSame(pod, old)) return []
  return [...servicesOf(view, pod), ...(old ? servicesOf(view, old) : [])]
}

const nodeKeys = (node: Node, old: Node | undefined, view: View): string[] => {
  if (contactState(node) === contactState(old)) return []
  return view.list<Pod>('Pod', { node: node.metadata.name ?? '' }).flatMap(pod => servicesOf(view, pod))
}

/** The brake went on or off: Services with pods on silent nodes look again. */
const silentKeys = (view: View): string[] =>
  view
    .list<Node>('Node')
    .filter(node => contactState(node) === 'Unknown')
    .flatMap(node => view.list<Pod>('Pod', { node: node.metadata.name ?? '' }).flatMap(pod => servicesOf(view, pod)))

const familiesOf = ({ spec }: Service): AddressFamily[] => {
  const families = (spec.ipFamilies ?? []).filter((family): family is AddressFamily => family === 'IPv4' || family === 'IPv6')
  return families.length > 0 ? families : ['IPv4']
}

const reconcileService = (view: View, service: Service): Result => {
  const namespace = service.metadata.namespace ?? ''
  const pods = view.list<Pod>('Pod', { namespace }).filter(pod => matches(service, pod.metadata.labels))
  const owned = view.list<EndpointSlice>('EndpointSlice', { owner: uidOf(service) })
  const taken = (name: string): boolean => view.get('EndpointSlice', namespace, name) !== undefined
  const families = familiesOf(service).map(family => ({ family, ...podEndpoints(view, service, pods, family) }))
  const actions = families.flatMap(({ family, endpoints: found }) => sliceActions(service, family, found, owned, taken))
  actions.push(...endpointsActions(view, service, families[0]?.endpoints ?? []))
  const nextMs = Math.min(...families.map(each => each.nextMs))
  if (isBraked(view) || !Number.isFinite(nextMs)) return { actions }
  return { actions, again: { afterMs: nextMs, why: 'endpoints on a silent node are to be judged' } }
}

const addressFrom = ({ endpoint }: PodEndpoint): EndpointAddress => ({
  ip: endpoint.addresses[0] ?? '',
  ...(endpoint.hostname === undefined ? {} : { hostname: endpoint.hostname }),
  ...(endpoint.nodeName === undefined ? {} : { nodeName: endpoint.nodeName }),
  ...(endpoint.targetRef === undefined ? {} : { targetRef: endpoint.targetRef }),
})

/** Subsets by ports; pods on their way out are left out, as upstream. */
const subsetsOf = (found: readonly PodEndpoint[]): EndpointSubset[] => {
  const groups = new Map<string, PodEndpoint[]>()
  for (const each of found) {
    const key = JSON.stringify(each.ports)
    const group = groups.get(key)
    if (group) group.push(each)
    else groups.set(key, [each])
  }
  return [...groups.values()].map(group => {
    const ready = group.filter(({ endpoint }) => endpoint.conditions?.ready === true).map(addressFrom)
    const rest = group.filter(({ endpoint }) => endpoint.conditions?.ready !== true).map(addressFrom)
    const ports = (group[0]?.ports ?? []).map(({ name, protocol, port = 0, appProtocol }) => ({
      ...(name ? { name } : {}),
      port,
      ...(protocol ? { protocol } : {}),
      ...(appProtocol ? { appProtocol } : {}),
    }))
    return {
      ...(ready.length > 0 ? { addresses: ready } : {}),
      ...(rest.length > 0 ? { notReadyAddresses: rest } : {}),
      ...(ports.length > 0 ? { ports } : {}),
    }
  })
}

const endpointsActions = (view: View, service: Service, all: readonly PodEndpoint[]): Action[] => {
  const { name = '', namespace = '' } = service.metadata
  const staying = all.filter(({ pod }) => !isDeleting(pod) || service.spec.publishNotReadyAddresses === true)
  // Ready ones first, so that the bound cuts those that matter less.
  const isReady = ({ endpoint }: PodEndpoint): boolean => endpoint.conditions?.ready === true
  const kept =
    staying.length <= ENDPOINTS_ADDRESSES_MAX
      ? staying
      : [...staying.filter(isReady), ...staying.filter(each => !isReady(each))].slice(0, ENDPOINTS_ADDRESSES_MAX)
  const subsets = subsetsOf(kept)
  const old = view.get<Endpoints>('Endpoints', namespace, name)
  const labels = {
    ...service.metadata.labels,
    [MANAGED_BY]: 'endpoint-controller',
    ...(isHeadless(service) ? { [HEADLESS]: '' } : {}),
  }
  const { [OVER_CAPACITY]: _cut, ...notes } = old?.metadata.annotations ?? {}
  const annotations = kept.length < staying.length ? { ...notes, [OVER_CAPACITY]: 'truncated' } : notes
  const wanted: Endpoints = {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      ...(old?.metadata ?? { name, namespace }),
      labels,
      ownerReferences: [controllerReference(service)],
      ...(Object.keys(annotations).length > 0 || old?.metadata.annotations ? { annotations } : {}),
    },
    ...(subsets.length > 0 ? { subsets } : {}),
  }
  if (!old) return [{ do: 'create', object: asObject(wanted) }]
  const isUnchanged =
    deepEqual(old.subsets ?? [], subsets) &&
    deepEqual(old.metadata.labels, labels) &&
    deepEqual(old.metadata.ownerReferences, wanted.metadata.ownerReferences) &&
    deepEqual(old.metadata.annotations ?? {}, annotations)
  return isDeleting(old) || isUnchanged ? [] : [{ do: 'update', object: asObject(wanted) }]
}
