// May this pod run on this node? One table; each rule gives upstream's text of refusal or nothing. Rules marked `fixed` depend on node
// and class alone and are asked once per class, the others before every placement. Source: k8s scheduler plugins.

import type { Needs } from './needs.ts'
import { portsClash } from './needs.ts'
import { matchesTerm, tolerates } from './node-match.ts'
import type { Row } from './row.ts'

export interface Filter {
  readonly name: string
  readonly fixed: boolean
  readonly refusals: (needs: Needs, row: Row) => readonly string[]
}

const NONE: readonly string[] = []
const unless = (holds: boolean, text: string): readonly string[] => (holds ? NONE : [text])

const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable'
const CONTACT_TEXTS: Readonly<Record<string, string>> = {
  [UNSCHEDULABLE]: 'node(s) were unschedulable',
  'node.kubernetes.io/unreachable': 'node(s) were not in contact',
  'node.kubernetes.io/not-ready': 'node(s) were not ready',
}

/** The first NoSchedule or NoExecute taint that the pod does not tolerate says why. */
const taintRefusals = (needs: Needs, row: Row): readonly string[] => {
  const taint = row.taints.find(each => each.effect !== 'PreferNoSchedule' && !tolerates(needs.tolerations, each))
  return taint ? [CONTACT_TEXTS[taint.key] ?? 'node(s) had untolerated taint(s)'] : NONE
}

const selectorHolds = (needs: Needs, row: Row): boolean => {
  for (const key in needs.nodeSelector) if (row.labels[key] !== needs.nodeSelector[key]) return false
  const required = needs.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  return !required || required.nodeSelectorTerms.some(term => matchesTerm(term, row.name, row.labels))
}

const shortages = (needs: Needs, row: Row): readonly string[] => {
  const short: string[] = []
  if ((row.used['pods'] ?? 0) + 1 > (row.allocatable['pods'] ?? 0)) short.push('Too many pods')
  for (const [resource, amount] of needs.requests) {
    if ((row.used[resource] ?? 0) + amount > (row.allocatable[resource] ?? 0)) short.push(`Insufficient ${resource}`)
  }
  return short.length === 0 ? NONE : short
}

const portsFree = (needs: Needs, row: Row): boolean =>
  needs.ports.length === 0 || !needs.ports.some(port => row.ports.some(taken => portsClash(port, taken)))

export const FILTERS: readonly Filter[] = [
  { name: 'taints', fixed: true, refusals: taintRefusals },
  {
    name: 'nodeAffinity',
    fixed: true,
    refusals: (needs, row) => unless(selectorHolds(needs, row), "node(s) didn't match Pod's node affinity/selector"),
  },
  {
    name: 'ports',
    fixed: false,
    refusals: (needs, row) => unless(portsFree(needs, row), "node(s) didn't have free ports for the requested pod ports"),
  },
  { name: 'resources', fixed: false, refusals: shortages },
]

/** The refusals of the first filter that has any. */
export const firstRefusals = (filters: readonly Filter[], needs: Needs, row: Row): readonly string[] => {
  for (const filter of filters) {
    const refusals = filter.refusals(needs, row)
    if (refusals.length > 0) return refusals
  }
  return NONE
}
