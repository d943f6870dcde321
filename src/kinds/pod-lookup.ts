// Questions about a pod that several rooms ask: all its containers, its requests, its quality of service class.
// Source: k8s pkg/api/v1/pod, component-helpers resource (init containers run one after the other, sidecars stay).

import type { Container, PodSpec } from './pod.ts'
import { quantityBytes, quantityMillis } from './quantity.ts'

type SpecLike = {
  readonly containers?: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly ephemeralContainers?: readonly Container[]
}

/** Init containers first, then containers, then ephemeral ones. */
export const allContainers = (spec: SpecLike): Container[] => [
  ...(spec.initContainers ?? []),
  ...(spec.containers ?? []),
  ...(spec.ephemeralContainers ?? []),
]

/** A sidecar: an init container that is kept running. */
export const isRestartableInit = (container: { readonly restartPolicy?: string } | undefined): boolean =>
  container?.restartPolicy === 'Always'

/** What a pod asks for, as the scheduler counts it. Keys are resource names; cpu in thousandths, everything else in units. */
export const podRequests = (spec: SpecLike & { readonly overhead?: Readonly<Record<string, string>> }): Record<string, number> => {
  const running: Record<string, number> = {}
  const peak: Record<string, number> = {}
  const amounts = (requests: Readonly<Record<string, string>> | undefined): [string, number][] =>
    Object.entries(requests ?? {}).map(([name, text]) => [name, name === 'cpu' ? quantityMillis(text) : quantityBytes(text)])
  const add = (requests: Readonly<Record<string, string>> | undefined): void => {
    for (const [name, amount] of amounts(requests)) running[name] = (running[name] ?? 0) + amount
  }
  for (const container of spec.initContainers ?? []) {
    if (isRestartableInit(container)) add(container.resources?.requests)
    else {
      // Runs beside the sidecars started before it, and before the containers.
      for (const [name, amount] of amounts(container.resources?.requests)) {
        peak[name] = Math.max(peak[name] ?? 0, amount + (running[name] ?? 0))
      }
    }
  }
  for (const container of spec.containers ?? []) add(container.resources?.requests)
  for (const [name, amount] of Object.entries(peak)) running[name] = Math.max(running[name] ?? 0, amount)
  add(spec.overhead)
  return running
}

/** Guaranteed: each container's cpu and memory requests equal its limits. BestEffort: none has any. Burstable: the rest. */
export const qosClassOf = (spec: PodSpec): 'Guaranteed' | 'Burstable' | 'BestEffort' => {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])]
  let any = false
  let guaranteed = true
  for (const { resources } of containers) {
    for (const name of ['cpu', 'memory']) {
      const request = quantityMillis(resources?.requests?.[name])
      const limit = quantityMillis(resources?.limits?.[name])
      if (request > 0 || limit > 0) any = true
      if (limit === 0 || (request > 0 && request !== limit)) guaranteed = false
    }
  }
  if (!any) return 'BestEffort'
  return guaranteed ? 'Guaranteed' : 'Burstable'
}
