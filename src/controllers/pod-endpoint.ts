// One pod as an endpoint: its addresses, its ports, and whether it is ready, calmly. A pod on a silent node stays ready as last seen; on
// one single silent node it stops being so when its replacement is ready or after a while, and never so that a Service loses its last.

import { contactState } from '../kinds/contact.ts'
import { isSuperseded, REPLACES } from '../kinds/disconnection.ts'
import type { Endpoint, EndpointSlicePort } from '../kinds/endpoint-slice.ts'
import { ipAddress } from '../kinds/names.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodReady, isPodTerminal } from '../kinds/pod.ts'
import { allContainers } from '../kinds/pod-lookup.ts'
import type { Service, ServicePort } from '../kinds/service-kind.ts'
import { isBraked } from './contact-brake.ts'
import type { View } from './controller.ts'
import { ENDPOINT_PATIENCE_MS } from './limits.ts'
import { silenceOf } from './node-contact.ts'
import { isDeleting, uidOf } from './reference.ts'

const ZONE = 'topology.kubernetes.io/zone'

export type AddressFamily = 'IPv4' | 'IPv6'

export interface PodEndpoint {
  readonly pod: Pod
  readonly endpoint: Endpoint
  readonly ports: readonly EndpointSlicePort[]
}

export interface PodEndpoints {
  readonly endpoints: readonly PodEndpoint[]
  /** When a pod on a silent node stops being ready; infinite when none is about to. */
  readonly nextMs: number
}

/**
 * Addresses that mean another machine to everyone who reads them, or many: loopback, link-local, multicast, unspecified, IPv4 in IPv6. Source:
 * k8s ValidateNonSpecialIP.
 */
const SPECIAL: Readonly<Record<AddressFamily, RegExp>> = {
  IPv4: /^(?:0|127|169\.254|22[4-9]|23\d|24\d|25\d)\./,
  IPv6: /^(?:fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:|[0:]+$|[0:]*:0*1$|[0:]*:ffff:)/i,
}

/** What a device says that is no address, or nobody's own, is none: one pod of a Service must not keep the others out of its slice. */
export const addressOf = (pod: Pod, family: AddressFamily): string | undefined => {
  const ips = pod.status?.podIPs?.map(each => each.ip) ?? (pod.status?.podIP ? [pod.status.podIP] : [])
  return ips.find(ip => ip.includes(':') === (family === 'IPv6') && ipAddress(ip).length === 0 && !SPECIAL[family].test(ip))
}

/** The number a target port means in this pod; undefined when it names none of the pod's ports. */
const targetOf = (pod: Pod, { targetPort, port, protocol = 'TCP' }: ServicePort): number | undefined => {
  if (typeof targetPort !== 'string') return targetPort || port
  const found = allContainers(pod.spec)
    .flatMap(container => container.ports ?? [])
    .find(each => each.name === targetPort && (each.protocol ?? 'TCP') === protocol)
  return found?.containerPort
}

const portsOf = (service: Service, pod: Pod): EndpointSlicePort[] =>
  (service.spec.ports ?? []).flatMap(each => {
    const port = targetOf(pod, each)
    if (port === undefined) return []
    const { name = '', protocol = 'TCP', appProtocol } = each
    return [{ name, protocol, port, ...(appProtocol === undefined ? {} : { appProtocol }) }]
  })

type Standing = 'seen' | 'doubted' | 'gone'

/** How far the pod's Ready can be believed, and when that changes if nothing happens. */
const standingOf = (view: View, pod: Pod, replaced: ReadonlySet<string>): { readonly standing: Standing; readonly nextMs: number } => {
  const node = pod.spec.nodeName ?? ''
  const state = contactState(view.get<Node>('Node', '', node))
  const nextMs = Number.POSITIVE_INFINITY
  if (state === 'Dead') return { standing: 'gone', nextMs }
  if (state !== 'Unknown' || isBraked(view)) return { standing: 'seen', nextMs }
  if (isSuperseded(pod) && replaced.has(uidOf(pod))) return { standing: 'doubted', nextMs }
  const leftMs = ENDPOINT_PATIENCE_MS - silenceOf(view, node)
  return leftMs > 0 ? { standing: 'seen', nextMs: leftMs } : { standing: 'doubted', nextMs }
}

const endpointOf = (view: View, service: Service, pod: Pod, address: string, isBelieved: boolean): Endpoint => {
  const serving = isPodReady(pod) && isBelieved
  const terminating = isDeleting(pod)
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating)
  const { hostname, subdomain, nodeName } = pod.spec
  const zone = view.get<Node>('Node', '', nodeName ?? '')?.metadata.labels?.[ZONE]
  return {
    addresses: [address],
    conditions: { ready, serving: serving || ready, terminating },
    ...(hostname && subdomain === service.metadata.name ? { hostname } : {}),
    ...(nodeName ? { nodeName } : {}),
    targetRef: { kind: 'Pod', namespace: pod.metadata.namespace ?? '', name: pod.metadata.name ?? '', uid: uidOf(pod) },
    ...(zone ? { zone } : {}),
  }
}

/** The endpoints of a Service in one address family, in the pods' order. */
export const podEndpoints = (view: View, service: Service, pods: readonly Pod[], family: AddressFamily): PodEndpoints => {
  const replaced = new Set(pods.filter(isPodReady).flatMap(pod => pod.metadata.annotations?.[REPLACES] ?? []))
  const found = pods.flatMap(pod => {
    const address = isPodTerminal(pod) ? undefined : addressOf(pod, family)
    return address === undefined ? [] : [{ pod, address, ...standingOf(view, pod, replaced) }]
  })
  const isReady = ({ pod }: { readonly pod: Pod }): boolean => isPodReady(pod) && !isDeleting(pod)
  const keepsSome = found.some(each => each.standing === 'seen' && isReady(each))
  const believes = (standing: Standing): boolean => standing === 'seen' || (standing === 'doubted' && !keepsSome)
  return {
    endpoints: found.map(({ pod, address, standing }) => ({
      pod,
      endpoint: endpointOf(view, service, pod, address, believes(standing)),
      ports: portsOf(service, pod),
    })),
    nextMs: Math.min(Number.POSITIVE_INFINITY, ...found.map(({ nextMs }) => nextMs)),
  }
}
