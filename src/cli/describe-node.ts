// A node for people, with the pods on it and what they ask for. Source: kubectl describe (describeNode).

import { isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import { conflictCondition } from '../kinds/conflict.ts'
import { brakeCondition, contactCondition } from '../kinds/contact.ts'
import { translateTimestampSince } from '../kinds/duration.ts'
import type { Node } from '../kinds/node.ts'
import { isPodTerminal, type Pod } from '../kinds/pod.ts'
import { podRequests } from '../kinds/pod-lookup.ts'
import { bytesText, millisText, quantityBytes, quantityMillis } from '../kinds/quantity.ts'
import { annotationLines, indented, innerTable, type Lines, labelLines, stacked, timeText } from './describe-text.ts'

const ROLE = 'node-role.kubernetes.io/'

const SYSTEM_INFO: readonly (readonly [string, string])[] = [
  ['Machine ID', 'machineID'],
  ['System UUID', 'systemUUID'],
  ['Boot ID', 'bootID'],
  ['Kernel Version', 'kernelVersion'],
  ['OS Image', 'osImage'],
  ['Operating System', 'operatingSystem'],
  ['Architecture', 'architecture'],
  ['Container Runtime Version', 'containerRuntimeVersion'],
  ['Kubelet Version', 'kubeletVersion'],
]

const limitsOf = (pod: Pod): Record<string, number> => {
  const total: Record<string, number> = {}
  for (const container of pod.spec.containers) {
    for (const [name, amount] of Object.entries(container.resources?.limits ?? {}))
      total[name] = (total[name] ?? 0) + (name === 'cpu' ? quantityMillis(amount) : quantityBytes(amount))
  }
  return total
}

const textOf = (name: string, amount: number): string =>
  name === 'cpu' ? millisText(amount) : name === 'memory' || name.includes('storage') ? bytesText(amount) : String(amount)

const share = (name: string, amount: number, allocatable: Readonly<Record<string, string>>): string => {
  const whole = name === 'cpu' ? quantityMillis(allocatable[name]) : quantityBytes(allocatable[name])
  return `${textOf(name, amount)} (${whole > 0 ? Math.floor((amount / whole) * 100) : 0}%)`
}

const podTable = (pods: readonly Pod[], allocatable: Readonly<Record<string, string>>, nowMs: number): Lines => {
  const running = pods.filter(pod => !isPodTerminal(pod))
  const rows = running.map(pod => {
    const [requests, limits] = [podRequests(pod.spec), limitsOf(pod)]
    const cell = (amounts: Record<string, number>, name: string): string => share(name, amounts[name] ?? 0, allocatable)
    return [
      pod.metadata.namespace ?? '',
      pod.metadata.name ?? '',
      cell(requests, 'cpu'),
      cell(limits, 'cpu'),
      cell(requests, 'memory'),
      cell(limits, 'memory'),
      translateTimestampSince(pod.metadata.creationTimestamp, nowMs),
    ]
  })
  const total = (of: (pod: Pod) => Record<string, number>, name: string): number =>
    running.reduce((sum, pod) => sum + (of(pod)[name] ?? 0), 0)
  const requestsOf = (pod: Pod): Record<string, number> => podRequests(pod.spec)
  const totals = ['cpu', 'memory', 'ephemeral-storage'].map(name => [
    name,
    share(name, total(requestsOf, name), allocatable),
    share(name, total(limitsOf, name), allocatable),
  ])
  return [
    `Non-terminated Pods:\t(${running.length} in total)`,
    ...indented(innerTable(['Namespace', 'Name', 'CPU Requests', 'CPU Limits', 'Memory Requests', 'Memory Limits', 'Age'], rows)),
    'Allocated resources:',
    '  (Total limits may be over 100 percent, i.e., overcommitted.)',
    ...indented(innerTable(['Resource', 'Requests', 'Limits'], totals)),
  ]
}

const amounts = (key: string, values: Readonly<Record<string, string>> | undefined): Lines => [
  `${key}:`,
  ...indented(
    Object.entries(values ?? {})
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, amount]) => `${name}:\t${amount}`),
  ),
]

/** In one line each what conditions say: state, last seen, whether the brake is on, and a conflict after a restore. */
const contactLines = (node: Node): Lines => {
  const { reason, message } = contactCondition(node) ?? {}
  if (reason === undefined) return []
  const brake = brakeCondition(node)
  const conflict = conflictCondition(node)
  return [
    `Contact:\t${reason}${message ? ` (${message})` : ''}`,
    ...(brake?.status === 'True' ? [`Contact Brake:\t${brake.message ?? ''}`] : []),
    ...(conflict ? [`Conflict:\t${conflict.message ?? ''}`] : []),
  ]
}

export const nodeLines = (node: Node, pods: readonly Pod[], lease: KubeObject | undefined, nowMs: number): Lines => {
  const { metadata, spec, status } = node
  const roles = Object.keys(metadata.labels ?? {})
    .filter(label => label.startsWith(ROLE))
    .map(label => label.slice(ROLE.length))
  const conditions = (status?.conditions ?? []).map(each => [
    each.type,
    each.status,
    timeText(each.lastHeartbeatTime),
    timeText(each.lastTransitionTime),
    each.reason ?? '',
    each.message ?? '',
  ])
  const leaseSpec = isObject(lease?.spec) ? lease.spec : undefined
  const info = status?.nodeInfo as Readonly<Record<string, string | undefined>> | undefined
  return [
    `Name:\t${metadata.name ?? ''}`,
    `Roles:\t${roles.sort().join(',') || '<none>'}`,
    ...labelLines('Labels', metadata.labels),
    ...annotationLines(metadata.annotations),
    `CreationTimestamp:\t${timeText(metadata.creationTimestamp)}`,
    ...stacked(
      'Taints',
      (spec?.taints ?? []).map(each => `${each.key}${each.value ? `=${each.value}` : ''}:${each.effect}`),
    ),
    `Unschedulable:\t${spec?.unschedulable === true}`,
    ...contactLines(node),
    ...(leaseSpec
      ? [
          'Lease:',
          `  HolderIdentity:\t${String(leaseSpec['holderIdentity'] ?? '<unset>')}`,
          `  RenewTime:\t${timeText(leaseSpec['renewTime'] as string | undefined)}`,
        ]
      : []),
    'Conditions:',
    ...indented(innerTable(['Type', 'Status', 'LastHeartbeatTime', 'LastTransitionTime', 'Reason', 'Message'], conditions)),
    'Addresses:',
    ...indented((status?.addresses ?? []).map(each => `${each.type}:\t${each.address}`)),
    ...amounts('Capacity', status?.capacity),
    ...amounts('Allocatable', status?.allocatable),
    'System Info:',
    ...indented(SYSTEM_INFO.map(([title, field]) => `${title}:\t${info?.[field] ?? ''}`)),
    ...(spec?.podCIDR ? [`PodCIDR:\t${spec.podCIDR}`] : []),
    ...podTable(pods, status?.allocatable ?? {}, nowMs),
  ]
}
