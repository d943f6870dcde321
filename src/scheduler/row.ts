// The node table: one row per node with what it has, what its pods use, and who they are. Rows are private to one run and are
// charged as pods are placed on them.

import { contactState } from '../kinds/contact.ts'
import type { Node, Taint } from '../kinds/node.ts'
import { quantityBytes, quantityMillis } from '../kinds/quantity.ts'
import { PODS_PER_NODE_DEFAULT } from './limits.ts'
import type { HostPort, Labels, Needs } from './needs.ts'
import { requiredAntiAffinity } from './needs.ts'

/** What the pods of one node use together; computed once per unchanged list of pods. */
export interface Usage {
  readonly needs: readonly Needs[]
  readonly totals: Readonly<Record<string, number>>
  readonly scoreCpu: number
  readonly scoreMemory: number
}

export interface Row {
  readonly name: string
  readonly labels: Labels
  /** The node's own, and one implied by a Ready condition that is not True. */
  readonly taints: readonly Taint[]
  readonly allocatable: Readonly<Record<string, number>>
  readonly used: Record<string, number>
  scoreCpu: number
  scoreMemory: number
  readonly ports: HostPort[]
  readonly pods: Needs[]
  /** Those of `pods` that keep others away. */
  readonly exclusive: Needs[]
}

export const usageOf = (needs: readonly Needs[]): Usage => {
  const totals: Record<string, number> = { pods: needs.length }
  for (const each of needs) for (const [resource, amount] of each.requests) totals[resource] = (totals[resource] ?? 0) + amount
  return {
    needs,
    totals,
    scoreCpu: needs.reduce((sum, each) => sum + each.scoreCpu, 0),
    scoreMemory: needs.reduce((sum, each) => sum + each.scoreMemory, 0),
  }
}

const UNREACHABLE: Taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' }
const NOT_READY: Taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }
/** A node that is silent by design takes pods at its next call: better one that is there. */
const OFFLINE: Taint = { key: 'heliopause.io/offline', effect: 'PreferNoSchedule' }
const UNSCHEDULABLE: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }

/** A node that is not Ready, not in contact or cordoned repels pods before its taint has been written: where it will stand, at the end. */
const taintsOf = (node: Node): readonly Taint[] => {
  const taints = node.spec?.taints ?? []
  const ready = node.status?.conditions?.find(condition => condition.type === 'Ready')?.status
  const implied = [
    ...(ready === 'True' ? [] : [ready === 'Unknown' ? UNREACHABLE : NOT_READY]),
    ...(contactState(node) === 'Offline' ? [OFFLINE] : []),
    ...(node.spec?.unschedulable ? [UNSCHEDULABLE] : []),
  ]
  return [...taints, ...implied.filter(one => !taints.some(taint => taint.key === one.key && taint.effect === one.effect))]
}

const allocatableOf = (node: Node): Record<string, number> => {
  const amounts: Record<string, number> = { pods: PODS_PER_NODE_DEFAULT }
  for (const [resource, text] of Object.entries(node.status?.allocatable ?? node.status?.capacity ?? {}))
    amounts[resource] = resource === 'cpu' ? quantityMillis(text) : quantityBytes(text)
  return amounts
}

/** The parts of a row that depend on the Node alone; computed once per unchanged Node. */
export type RowBase = Pick<Row, 'name' | 'labels' | 'taints' | 'allocatable'>

export const rowBaseOf = (node: Node): RowBase => ({
  name: node.metadata.name ?? '',
  labels: node.metadata.labels ?? {},
  taints: taintsOf(node),
  allocatable: allocatableOf(node),
})

export const rowOf = (base: RowBase, usage: Usage): Row => ({
  ...base,
  used: { ...usage.totals },
  scoreCpu: usage.scoreCpu,
  scoreMemory: usage.scoreMemory,
  ports: usage.needs.flatMap(each => each.ports),
  pods: [...usage.needs],
  exclusive: usage.needs.filter(each => requiredAntiAffinity(each).length > 0),
})

/** Books a pod on a row. */
export const charge = (row: Row, needs: Needs): void => {
  row.used['pods'] = (row.used['pods'] ?? 0) + 1
  for (const [resource, amount] of needs.requests) row.used[resource] = (row.used[resource] ?? 0) + amount
  row.scoreCpu += needs.scoreCpu
  row.scoreMemory += needs.scoreMemory
  row.ports.push(...needs.ports)
  row.pods.push(needs)
  if (requiredAntiAffinity(needs).length > 0) row.exclusive.push(needs)
}
