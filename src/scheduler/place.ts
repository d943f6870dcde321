// Placing a batch: pods in order, each on the best node that may run it, or the reasons why none may. Deterministic: the same table and
// the same pods give the same placements. Rows are charged as it goes, so a batch never overcommits.

import type { Candidates } from './candidates.ts'
import { candidatesOf } from './candidates.ts'
import type { NamespaceLabels } from './inter-pod.ts'
import type { Needs } from './needs.ts'
import type { Row } from './row.ts'
import { charge } from './row.ts'

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

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).` */
const failureText = (rows: readonly Row[], refusalsOf: (index: number) => readonly string[]): string => {
  if (rows.length === 0) return 'no nodes available to schedule pods'
  const counts = new Map<string, number>()
  for (const index of rows.keys()) for (const text of refusalsOf(index)) counts.set(text, (counts.get(text) ?? 0) + 1)
  const parts = [...counts].map(([text, count]) => `${count} ${text}`).sort()
  return `0/${rows.length} nodes are available: ${parts.join(', ')}.`
}

const byName = (a: Row, b: Row): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)

/** Places pods in their order. Rows are charged; the caller does not use them again. */
export const place = <T>({ rows: table, pods, namespaceLabels, placementsMax }: Batch<T>): Placed<T> => {
  const rows = [...table].sort(byName)
  const classes = new Map<string, { readonly candidates: Candidates; failure?: string }>()
  const placements: { pod: T; node: string }[] = []
  const failures: { pod: T; message: string }[] = []
  for (const { pod, needs } of pods) {
    if (placements.length === placementsMax) return { placements, failures, isWhole: false }
    const one = classes.get(needs.classKey) ?? { candidates: candidatesOf(needs, rows, namespaceLabels) }
    classes.set(needs.classKey, one)
    const index = one.failure === undefined ? one.candidates.best() : undefined
    if (index === undefined) {
      const message = one.failure ?? failureText(rows, row => one.candidates.refusalsOf(row))
      // Nothing gives room back within a batch, so the rest of the class fails alike, unless it waits for other pods.
      if (!one.candidates.waitsForOthers) one.failure = message
      failures.push({ pod, message })
      continue
    }
    const row = rows[index]!
    charge(row, needs)
    for (const { candidates } of classes.values()) candidates.placed(needs, index)
    placements.push({ pod, node: row.name })
  }
  return { placements, failures, isWhole: true }
}
