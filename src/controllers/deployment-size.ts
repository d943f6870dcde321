// Rollout arithmetic of a Deployment, pure numbers in and out. Source: upstream pkg/controller/deployment/util and rolling.go:
// surge rounds up, unavailability down, and when both come to nothing one pod may be missing.

import type { Deployment } from '../kinds/deployment.ts'
import { scaledValue } from '../kinds/int-or-percent.ts'
import type { ReplicaSet } from '../kinds/replica-set.ts'

export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas'
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas'

/** New sizes by ReplicaSet name; a set that is not named keeps its size. */
export type Sizes = ReadonlyMap<string, number>

export const replicasOf = (object: { readonly spec: { readonly replicas?: number } }): number => object.spec.replicas ?? 1

export const nameOf = (object: { readonly metadata: { readonly name?: string } }): string => object.metadata.name ?? ''

export const isRolling = (deployment: Deployment): boolean => deployment.spec.strategy?.type !== 'Recreate'

const DEFAULT_FENCE = '25%'

export interface Fences {
  readonly surge: number
  readonly unavailable: number
}

/** How many pods may exist above, and be missing below, the wanted number. */
export const fencesOf = (deployment: Deployment): Fences => {
  const replicas = replicasOf(deployment)
  if (!isRolling(deployment)) return { surge: 0, unavailable: 0 }
  const rolling = deployment.spec.strategy?.rollingUpdate
  const surge = scaledValue(rolling?.maxSurge ?? DEFAULT_FENCE, replicas, 'up')
  const floor = scaledValue(rolling?.maxUnavailable ?? DEFAULT_FENCE, replicas, 'down')
  if (replicas === 0) return { surge, unavailable: 0 }
  return { surge, unavailable: Math.min(surge === 0 && floor === 0 ? 1 : floor, replicas) }
}

export const sizeSum = (sets: readonly ReplicaSet[]): number => sets.reduce((sum, set) => sum + replicasOf(set), 0)

/**
 * Pods of a set that surely stay available: a status may be older than the size, and pods about to go do not count.
 */
const surelyAvailable = (set: ReplicaSet): number => Math.min(set.status?.availableReplicas ?? 0, replicasOf(set))

/** Pods of a set that may exist: the status may still show more than the size asks for. */
const possiblyExisting = (set: ReplicaSet): number => Math.max(set.status?.replicas ?? 0, replicasOf(set))

const total = (sets: readonly ReplicaSet[], count: (set: ReplicaSet) => number): number => sets.reduce((sum, set) => sum + count(set), 0)

/** The size the new ReplicaSet may take now, given all sets that exist (the new one among them, or not yet). */
export const newSetSize = (deployment: Deployment, sets: readonly ReplicaSet[], newSet: ReplicaSet | undefined): number => {
  const wanted = replicasOf(deployment)
  if (!isRolling(deployment)) return wanted
  const size = newSet ? replicasOf(newSet) : 0
  if (size >= wanted) return wanted
  const room = wanted + fencesOf(deployment).surge - total(sets, possiblyExisting)
  return room <= 0 ? size : size + Math.min(room, wanted - size)
}

/**
 * Shrinks old sets: first what is not available anyway, then, as far as availability allows, what is. `old` is oldest first. Pods that
 * are `held` at their device stay until the hold is lifted.
 */
export const oldSetSizes = (
  deployment: Deployment,
  old: readonly ReplicaSet[],
  newSet: ReplicaSet,
  held: (set: ReplicaSet) => number = () => 0,
): Sizes => {
  const sizes = new Map<string, number>()
  if (sizeSum(old) === 0) return sizes
  const all = [...old, newSet]
  const minAvailable = replicasOf(deployment) - fencesOf(deployment).unavailable
  const newUnavailable = replicasOf(newSet) - surelyAvailable(newSet)
  const removable = sizeSum(all) - minAvailable - newUnavailable
  if (removable <= 0) return sizes
  let cleaned = 0
  for (const set of old) {
    const unavailable = replicasOf(set) - surelyAvailable(set) - held(set)
    const count = Math.min(removable - cleaned, unavailable)
    if (replicasOf(set) === 0 || count <= 0) continue
    cleaned += count
    sizes.set(nameOf(set), replicasOf(set) - count)
  }
  let spare = total(all, surelyAvailable) - minAvailable
  for (const set of old) {
    const size = sizes.get(nameOf(set)) ?? replicasOf(set)
    const count = Math.min(spare, size - held(set))
    if (count <= 0) continue
    spare -= count
    sizes.set(nameOf(set), size - count)
  }
  return sizes
}

/** The share of one set in a change of the whole, before leftovers are dealt out. */
const shareOf = (deployment: Deployment, set: ReplicaSet, toAdd: number, added: number): number => {
  const size = replicasOf(set)
  if (size === 0 || toAdd === 0 || toAdd === added) return 0
  const wanted = replicasOf(deployment)
  if (wanted === 0) return Math.max(-size, toAdd - added)
  const before = Number(set.metadata.annotations?.[MAX_REPLICAS]) || (deployment.status?.replicas ?? 0)
  if (before === 0) return 0
  const share = Math.round((size * (wanted + fencesOf(deployment).surge)) / before) - size
  return toAdd > 0 ? Math.min(share, toAdd - added) : Math.max(share, toAdd - added)
}

/** Deals a change of spec.replicas during a rollout out to all active sets in proportion. `active` is oldest first. */
export const proportionalSizes = (deployment: Deployment, active: readonly ReplicaSet[]): Sizes => {
  const wanted = replicasOf(deployment)
  const allowed = wanted > 0 ? wanted + fencesOf(deployment).surge : 0
  const toAdd = allowed - sizeSum(active)
  // Bigger sets first; of equal ones the newer grows first and the older shrinks first.
  const ordered = (toAdd > 0 ? [...active].reverse() : [...active]).sort((a, b) => replicasOf(b) - replicasOf(a))
  const sizes = new Map<string, number>()
  let added = 0
  for (const set of ordered) {
    const share = shareOf(deployment, set, toAdd, added)
    added += share
    sizes.set(nameOf(set), replicasOf(set) + share)
  }
  const first = ordered[0]
  if (first) sizes.set(nameOf(first), Math.max(0, (sizes.get(nameOf(first)) ?? 0) + toAdd - added))
  return sizes
}
