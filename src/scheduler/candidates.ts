// The rows of the table as one class of pods sees them during a batch. Placing a pod changes one row, so of the usual class, which has
// no rules about other pods and no preferences, only that row is judged anew; a batch costs pods + rows, not pods × rows of filters.

import { FILTERS, firstRefusals } from './filters.ts'
import type { NamespaceLabels } from './inter-pod.ts'
import { interPodOf } from './inter-pod.ts'
import type { Needs } from './needs.ts'
import type { Row } from './row.ts'
import { bestRow, fixedScores, packing } from './scores.ts'

export interface Candidates {
  /** Index of the best row that may run the next pod of this class. */
  best(): number | undefined
  /** Why the row may not run it; empty when it may. */
  refusalsOf(index: number): readonly string[]
  /** A pod, of any class, was placed and charged. */
  placed(needs: Needs, index: number): void
  /** Placing more pods may make room for this class. */
  readonly waitsForOthers: boolean
}

const FIXED = FILTERS.filter(filter => filter.fixed)
const LIVE = FILTERS.filter(filter => !filter.fixed)
const INFEASIBLE = -1

/** `rows` are in the order of their names. */
export const candidatesOf = (needs: Needs, rows: readonly Row[], namespaceLabels: NamespaceLabels): Candidates => {
  const refusals = rows.map(row => firstRefusals(FIXED, needs, row))
  const open = [...rows.keys()].filter(index => refusals[index]!.length === 0)
  const fixed = fixedScores(needs, rows)
  const interPod = interPodOf(needs, rows, namespaceLabels)
  const scores = new Float64Array(rows.length).fill(INFEASIBLE)
  let stale: number[] = [...open]

  const live = (index: number): readonly string[] => {
    const found = firstRefusals(LIVE, needs, rows[index]!)
    if (found.length > 0) return found
    const refusal = interPod.refuses(rows[index]!)
    return refusal === undefined ? found : [refusal]
  }
  const fullest = (): number | undefined => {
    for (const index of stale) scores[index] = live(index).length === 0 ? packing(needs, rows[index]!) : INFEASIBLE
    stale = []
    let best: number | undefined
    let bestScore = INFEASIBLE
    for (const index of open) {
      if (scores[index]! <= bestScore) continue
      best = index
      bestScore = scores[index]!
    }
    return best
  }
  return {
    best() {
      if (fixed === undefined && interPod.isIdle) return fullest()
      const feasible = open.filter(index => live(index).length === 0)
      return feasible.length === 0 ? undefined : bestRow(needs, rows, feasible, fixed, interPod)
    },
    refusalsOf: index => (refusals[index]!.length > 0 ? refusals[index]! : live(index)),
    placed(other, index) {
      interPod.placed(other, rows[index]!)
      if (refusals[index]!.length === 0) stale.push(index)
    },
    waitsForOthers: interPod.waitsForOthers,
  }
}
