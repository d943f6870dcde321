// What a pod needs of a node, worked out once from its spec. Pods of one class (same template) need the same, so what holds for one
// holds for all: filters that look only at node and class are answered once per class.

import type { Affinity, Pod, PodAffinityTerm, Toleration } from '../kinds/pod.ts'
import { allContainers, podRequests } from '../kinds/pod-lookup.ts'
import { SCORE_CPU_MILLIS_DEFAULT, SCORE_MEMORY_BYTES_DEFAULT } from './limits.ts'

export type Labels = Readonly<Record<string, string>>
export type Amount = readonly [resource: string, amount: number]

export interface HostPort {
  readonly ip: string
  readonly protocol: string
  readonly port: number
}

export interface Needs {
  readonly namespace: string
  readonly labels: Labels
  /** Requests that are not zero; cpu in thousandths, all else in units. */
  readonly requests: readonly Amount[]
  /** For packing: requests, with a default for containers that name none. */
  readonly scoreCpu: number
  readonly scoreMemory: number
  readonly ports: readonly HostPort[]
  readonly nodeSelector: Labels | undefined
  readonly affinity: Affinity | undefined
  readonly tolerations: readonly Toleration[]
  /** Equal for pods that any filter and score treats alike. */
  readonly classKey: string
}

const ANY_ADDRESS = '0.0.0.0'

const hostPorts = (pod: Pod): HostPort[] =>
  allContainers(pod.spec)
    .flatMap(container => container.ports ?? [])
    .filter(port => (port.hostPort ?? 0) > 0)
    .map(port => ({ ip: port.hostIP || ANY_ADDRESS, protocol: port.protocol ?? 'TCP', port: port.hostPort ?? 0 }))

/** Two ports clash unless their addresses differ and neither is "any". */
export const portsClash = (a: HostPort, b: HostPort): boolean =>
  a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === ANY_ADDRESS || b.ip === ANY_ADDRESS)

export const needsOf = (pod: Pod): Needs => {
  const requests = Object.entries(podRequests(pod.spec)).filter(([, amount]) => amount > 0)
  const without = (resource: string): number => pod.spec.containers.filter(c => c.resources?.requests?.[resource] === undefined).length
  const asked = (resource: string): number => requests.find(([name]) => name === resource)?.[1] ?? 0
  const needs = {
    namespace: pod.metadata.namespace ?? '',
    labels: pod.metadata.labels ?? {},
    requests,
    scoreCpu: asked('cpu') + without('cpu') * SCORE_CPU_MILLIS_DEFAULT,
    scoreMemory: asked('memory') + without('memory') * SCORE_MEMORY_BYTES_DEFAULT,
    ports: hostPorts(pod),
    nodeSelector: pod.spec.nodeSelector,
    affinity: pod.spec.affinity,
    tolerations: pod.spec.tolerations ?? [],
  }
  return { ...needs, classKey: JSON.stringify(needs) }
}

export const requiredAffinity = (needs: Needs): readonly PodAffinityTerm[] =>
  needs.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []

export const requiredAntiAffinity = (needs: Needs): readonly PodAffinityTerm[] =>
  needs.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []

export interface WeightedTerm {
  readonly weight: number
  readonly term: PodAffinityTerm
}

/** Preferred affinity with its weight, preferred anti-affinity with the weight below zero. */
export const preferredTerms = (needs: Needs): readonly WeightedTerm[] => [
  ...(needs.affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
    weight,
    term: podAffinityTerm,
  })),
  ...(needs.affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
    weight: -weight,
    term: podAffinityTerm,
  })),
]
