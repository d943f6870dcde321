// Affinity between pods: where matching pods are, counted by topology value, kept up to date while pods are placed.
// Source: k8s scheduler plugins/interpodaffinity.

import type { PodAffinityTerm } from '../kinds/pod.ts'
import { matchesLabels } from '../kinds/selector.ts'
import type { Labels, Needs } from './needs.ts'
import { preferredTerms, requiredAffinity, requiredAntiAffinity } from './needs.ts'
import type { Row } from './row.ts'

export type NamespaceLabels = (namespace: string) => Labels

/** Does `term` of a pod in `home` mean this other pod? */
const means = (term: PodAffinityTerm, home: string, other: Needs, labelsOf: NamespaceLabels): boolean => {
  const isHere =
    term.namespaces?.includes(other.namespace) || (!term.namespaces?.length && !term.namespaceSelector && other.namespace === home)
  const isNamespace = isHere || (term.namespaceSelector !== undefined && matchesLabels(term.namespaceSelector, labelsOf(other.namespace)))
  return isNamespace && matchesLabels(term.labelSelector, other.labels)
}

interface Counted {
  readonly term: PodAffinityTerm
  readonly weight: number
  /** Topology value → how many matching pods are there. */
  readonly counts: Map<string, number>
}

/** What the pods placed so far mean for pods of one class. */
export interface InterPod {
  /** A text of refusal, or undefined. */
  refuses(row: Row): string | undefined
  /** Sum of weights of preferred terms that hold on this row. */
  prefers(row: Row): number
  /** A pod was placed on a row. */
  placed(needs: Needs, row: Row): void
  readonly hasPreferences: boolean
  /** Other pods do not matter to this class so far: it has no rules, and no placed pod keeps it away. */
  readonly isIdle: boolean
  /** Placing more pods may make room for this class (it waits for others). */
  readonly waitsForOthers: boolean
}

const AFFINITY = "node(s) didn't match pod affinity rules"
const ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
const EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"

const bump = (counts: Map<string, number>, value: string): void => {
  counts.set(value, (counts.get(value) ?? 0) + 1)
}

/** Counts the pods the rows have now; later ones are told by `placed`. */
export const interPodOf = (needs: Needs, rows: readonly Row[], labelsOf: NamespaceLabels): InterPod => {
  const counted = (terms: readonly { term: PodAffinityTerm; weight: number }[]): Counted[] =>
    terms.map(({ term, weight }) => ({ term, weight, counts: new Map() }))
  const wanted = counted(requiredAffinity(needs).map(term => ({ term, weight: 1 })))
  const unwanted = counted(requiredAntiAffinity(needs).map(term => ({ term, weight: 1 })))
  const preferred = counted(preferredTerms(needs))
  /** `key=value` of topologies where a placed pod keeps this class away. */
  const closed = new Set<string>()

  const count = (list: readonly Counted[], other: Needs, row: Row): void => {
    for (const { term, counts } of list) {
      const value = row.labels[term.topologyKey]
      if (value !== undefined && means(term, needs.namespace, other, labelsOf)) bump(counts, value)
    }
  }
  const close = (other: Needs, row: Row): void => {
    for (const term of requiredAntiAffinity(other)) {
      const value = row.labels[term.topologyKey]
      if (value !== undefined && means(term, other.namespace, needs, labelsOf)) closed.add(`${term.topologyKey}=${value}`)
    }
  }
  const hasTerms = wanted.length + unwanted.length + preferred.length > 0
  const placed = (other: Needs, row: Row): void => {
    if (hasTerms) for (const list of [wanted, unwanted, preferred]) count(list, other, row)
    close(other, row)
  }
  for (const row of rows) {
    if (hasTerms) for (const other of row.pods) placed(other, row)
    else for (const other of row.exclusive) close(other, row)
  }
  /** The first pod of a group that wants to be near itself may go anywhere the topology exists. */
  const startsGroup = (): boolean => wanted.every(({ term, counts }) => counts.size === 0 && means(term, needs.namespace, needs, labelsOf))
  const isAffine = (row: Row): boolean => {
    if (wanted.every(({ term, counts }) => (counts.get(row.labels[term.topologyKey] ?? '') ?? 0) > 0)) return true
    return wanted.every(({ term }) => row.labels[term.topologyKey] !== undefined) && startsGroup()
  }
  return {
    refuses(row) {
      if (wanted.length > 0 && !isAffine(row)) return AFFINITY
      if (unwanted.some(({ term, counts }) => (counts.get(row.labels[term.topologyKey] ?? '') ?? 0) > 0)) return ANTI_AFFINITY
      for (const topology of closed) {
        const at = topology.indexOf('=')
        if (row.labels[topology.slice(0, at)] === topology.slice(at + 1)) return EXISTING
      }
      return undefined
    },
    prefers: row =>
      preferred.reduce((sum, { term, weight, counts }) => sum + weight * (counts.get(row.labels[term.topologyKey] ?? '') ?? 0), 0),
    placed,
    hasPreferences: preferred.length > 0,
    get isIdle() {
      return !hasTerms && closed.size === 0
    },
    waitsForOthers: wanted.length > 0,
  }
}
