// Placing a batch: pods in order, each on the best node that may run it, or the reasons why none may. Deterministic: the same table and
// the same pods give the same placements. Rows are charged as it goes, so a batch never overcommits.

import { FILTERS, firstRefusals } from './filters.ts'
import type { InterPod, NamespaceLabels } from './inter-pod.ts'
import { interPodOf } from './inter-pod.ts'
import type { Needs } from './needs.ts'
import type { Row } from './row.ts'
import { charge } from './row.ts'
import type { FixedScores } from './scores.ts'
import { bestRow, fixedScores } from './scores.ts'

export interface Batch<T> {
  readonly rows: readonly Row[]
  /** In the order of their claim. */
  readonly pods: readonly { readonly pod: T; readonly needs: Needs }[]
  readonly namespaceLabels: NamespaceLabels
  /** Stop after this many placements; pods after that are in neither list. */
  readonly placementsMax: number
}

export interface Placed<T> {
  readonly placements: readonly { readonly pod: T; readonly node: string }[]
  readonly failures: readonly { readonly pod: T; readonly message: string }[]
  /** False when `placementsMax` cut the batch short. */
  readonly isWhole: boolean
}

/** What is known of one class of pods in this batch. */
interface Class {
  readonly refusals: readonly (readonly string[])[]
  /** Rows no fixed filter refuses. */
  readonly open: readonly number[]
  readonly fixed: FixedScores | undefined
  readonly interPod: InterPod
  failure: string | undefined
}

const FIXED = FILTERS.filter(filter => filter.fixed)
const LIVE = FILTERS.filter(filter => !filter.fixed)

const classOf = (needs: Needs, rows: readonly Row[], namespaceLabels: NamespaceLabels): Class => {
  const refusals = rows.map(row => firstRefusals(FIXED, needs, row))
  const open = rows.map((_, index) => index).filter(index => refusals[index]!.length === 0)
  return { refusals, open, fixed: fixedScores(needs, rows), interPod: interPodOf(needs, rows, namespaceLabels), failure: undefined }
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).` */
const failureText = (rows: readonly Row[], refusalsOf: (index: number) => readonly string[]): string => {
  if (rows.length === 0) return 'no nodes available to schedule pods'
  const counts = new Map<string, number>()
  for (const index of rows.keys()) for (const text of refusalsOf(index)) counts.set(text, (counts.get(text) ?? 0) + 1)
  const parts = [...counts].map(([text, count]) => `${count} ${text}`).sort()
  return `0/${rows.length} nodes are available: ${parts.join(', ')}.`
}

const liveRefusals = (one: Class, needs: Needs, row: Row): readonly string[] => {
  const refusals = firstRefusals(LIVE, needs, row)
  if (refusals.length > 0) return refusals
  const refusal = one.interPod.refuses(row)
  return refusal === undefined ? refusals : [refusal]
}

export const place = <T>({ rows, pods, namespaceLabels, placementsMax }: Batch<T>): Placed<T> => {
  const classes = new Map<string, Class>()
  const placements: { pod: T; node: string }[] = []
  const failures: { pod: T; message: string }[] = []
  for (const { pod, needs } of pods) {
    if (placements.length === placementsMax) return { placements, failures, isWhole: false }
    const one = classes.get(needs.classKey) ?? classOf(needs, rows, namespaceLabels)
    classes.set(needs.classKey, one)
    const feasible = one.failure === undefined ? one.open.filter(index => liveRefusals(one, needs, rows[index]!).length === 0) : []
    if (feasible.length === 0) {
      const message =
        one.failure ??
        failureText(rows, index => (one.refusals[index]!.length > 0 ? one.refusals[index]! : liveRefusals(one, needs, rows[index]!)))
      // Nothing gives room back within a batch, so the rest of the class fails alike, unless it waits for other pods.
      if (!one.interPod.waitsForOthers) one.failure = message
      failures.push({ pod, message })
      continue
    }
    const row = rows[bestRow(needs, rows, feasible, one.fixed, one.interPod)]!
    charge(row, needs)
    for (const other of classes.values()) other.interPod.placed(needs, row)
    placements.push({ pod, node: row.name })
  }
  return { placements, failures, isWhole: true }
}
