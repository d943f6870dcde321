// Which of the nodes that may run a pod is best: the fullest one it fits on, so that few boards are full and the rest stay free,
// corrected by what the pod prefers. Source: k8s scheduler plugins (MostAllocated, NodeAffinity, TaintToleration, InterPodAffinity).

import type { InterPod } from './inter-pod.ts'
import { WEIGHTS } from './limits.ts'
import type { Needs } from './needs.ts'
import { matchesTerm, tolerates } from './node-match.ts'
import type { Row } from './row.ts'

/** 0 to 100: how much of cpu and memory would be taken with this pod on it. */
export const packing = (needs: Needs, row: Row): number => {
  const share = (used: number, allocatable: number | undefined): number => (allocatable ? Math.min(1, used / allocatable) : 0)
  return (
    50 *
    (share(row.scoreCpu + needs.scoreCpu, row.allocatable['cpu']) + share(row.scoreMemory + needs.scoreMemory, row.allocatable['memory']))
  )
}

/** Sum of the weights of preferred node terms that match; the same for all pods of a class. */
export const nodePreference = (needs: Needs, row: Row): number =>
  (needs.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).reduce(
    (sum, { weight, preference }) => (matchesTerm(preference, row.name, row.labels) ? sum + weight : sum),
    0,
  )

/** How many PreferNoSchedule taints the pod does not tolerate. */
export const softTaints = (needs: Needs, row: Row): number =>
  row.taints.filter(taint => taint.effect === 'PreferNoSchedule' && !tolerates(needs.tolerations, taint)).length

/** The part of the score that placing pods does not change, per row of the table; undefined when it is nought for all. */
export interface FixedScores {
  readonly preference: readonly number[]
  readonly taints: readonly number[]
}

export const fixedScores = (needs: Needs, rows: readonly Row[]): FixedScores | undefined => {
  const preference = rows.map(row => nodePreference(needs, row))
  const taints = rows.map(row => softTaints(needs, row))
  return preference.some(Boolean) || taints.some(Boolean) ? { preference, taints } : undefined
}

const scaled = (value: number, low: number, high: number): number => (high > low ? (100 * (value - low)) / (high - low) : 0)

/** The best row of `feasible` (indices into `rows`); equal scores go to the name that sorts first. */
export const bestRow = (
  needs: Needs,
  rows: readonly Row[],
  feasible: readonly number[],
  fixed: FixedScores | undefined,
  interPod: InterPod,
): number => {
  const nearness = interPod.hasPreferences ? feasible.map(index => interPod.prefers(rows[index]!)) : undefined
  const low = nearness ? nearness.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY) : 0
  const high = nearness ? nearness.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) : 0
  const most = (values: readonly number[]): number => feasible.reduce((max, index) => Math.max(max, values[index]!), 0)
  const [preferenceMax, taintsMax] = fixed ? [most(fixed.preference), most(fixed.taints)] : [0, 0]
  let best = feasible[0]!
  let bestScore = Number.NEGATIVE_INFINITY
  for (const [position, index] of feasible.entries()) {
    let score = WEIGHTS.packing * packing(needs, rows[index]!)
    if (fixed) {
      score += WEIGHTS.nodeAffinity * scaled(fixed.preference[index]!, 0, preferenceMax)
      score += WEIGHTS.taints * (taintsMax > 0 ? 100 - scaled(fixed.taints[index]!, 0, taintsMax) : 0)
    }
    if (nearness) score += WEIGHTS.podAffinity * scaled(nearness[position]!, low, high)
    if (score > bestScore || (score === bestScore && rows[index]!.name < rows[best]!.name)) {
      best = index
      bestScore = score
    }
  }
  return best
}
