// Which pods go first when a ReplicaSet shrinks, and what "available" means. Source: upstream's ActivePodsWithRanks.

import { parseTimestamp } from '../base/clock.ts'
import { isHeld } from '../kinds/hold.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodReady, isPodTerminal } from '../kinds/pod.ts'

const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'
const PHASES = ['Pending', 'Unknown', 'Running']

/** Exists for its owner: neither ended nor on its way out. A pod that is held at its device has not failed, whatever it looks like. */
export const isPodActive = (pod: Pod): boolean => pod.metadata.deletionTimestamp === undefined && (!isPodTerminal(pod) || isHeld(pod))

/** When the pod became Ready (wall ms); undefined while it is not. A stamp that cannot be read counts as long ago. */
const readySince = (pod: Pod): number | undefined => {
  const ready = pod.status?.conditions?.find(condition => condition.type === 'Ready')
  if (ready?.status !== 'True') return undefined
  const since = parseTimestamp(ready.lastTransitionTime ?? '')
  return Number.isNaN(since) ? 0 : since
}

/** Milliseconds until the pod has been Ready for `minReadySeconds`; 0 = available now, undefined = not Ready. */
export const availableInMs = (pod: Pod, minReadySeconds: number, nowMs: number): number | undefined => {
  const since = readySince(pod)
  if (since === undefined) return undefined
  return minReadySeconds === 0 ? 0 : Math.max(0, since + minReadySeconds * 1000 - nowMs)
}

const deletionCost = (pod: Pod): number => {
  const cost = Number(pod.metadata.annotations?.[DELETION_COST] ?? 0)
  return Number.isInteger(cost) ? cost : 0
}

const restarts = (pod: Pod): number =>
  (pod.status?.containerStatuses ?? []).reduce((most, status) => Math.max(most, status.restartCount), 0)

interface Ranked {
  readonly pod: Pod
  readonly order: readonly number[]
}

/** What the other pods and the nodes say about a pod that may go. */
export interface Surroundings {
  /** How many sibling pods a node runs: doubled-up ones go first. */
  readonly relatedOn: (node: string) => number
  /** Its node is silent: nobody knows what it does. */
  readonly isSilent: (pod: Pod) => boolean
  /** It was made in the place of another one, which is back. */
  readonly isSpare: (pod: Pod) => boolean
}

/** Smaller goes first. Held pods go last: somebody at the device wants them left alone. */
const rank = (pod: Pod, { relatedOn, isSilent, isSpare }: Surroundings): Ranked => ({
  pod,
  order: [
    isHeld(pod) ? 1 : 0,
    pod.spec.nodeName ? 1 : 0,
    PHASES.indexOf(pod.status?.phase ?? 'Pending'),
    isPodReady(pod) ? 1 : 0,
    isSpare(pod) ? 0 : 1,
    isSilent(pod) ? 0 : 1,
    deletionCost(pod),
    pod.spec.nodeName ? -relatedOn(pod.spec.nodeName) : 0,
    -(readySince(pod) ?? 0),
    -restarts(pod),
    -(parseTimestamp(pod.metadata.creationTimestamp ?? '') || 0),
  ],
})

const compare = (a: Ranked, b: Ranked): number => {
  for (let i = 0; i < a.order.length; i++) {
    const difference = a.order[i]! - b.order[i]!
    if (difference !== 0) return difference
  }
  return (a.pod.metadata.name ?? '') < (b.pod.metadata.name ?? '') ? -1 : 1
}

/** The `count` pods to delete, in order. */
export const pickForDeletion = (pods: readonly Pod[], count: number, surroundings: Surroundings): Pod[] =>
  pods
    .map(pod => rank(pod, surroundings))
    .sort(compare)
    .slice(0, count)
    .map(ranked => ranked.pod)
