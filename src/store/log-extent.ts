// What the log on disk holds, known without asking it: so that compaction can be planned as part of a commit.
// Invariant: compaction removes at least as many rows as it is behind within a bounded number of commits (peers die of one that never catches up).

import { COMPACT_ROWS_MIN, COMPACT_ROWS_PER_WRITE } from './limits.ts'

export interface Compaction {
  readonly compactTo: number
  readonly compactRows: number
}

export interface LogExtent {
  /** Rows on disk. */
  readonly rows: number
  /** What a commit of `rowCount` rows should remove, when everything up to `floor` may go; nothing until a step's worth waits. */
  plan(floor: number, rowCount: number): Compaction
  /** A commit that carried out `compaction` landed, with rows of these revisions (ascending). */
  landed(compaction: Compaction, revisions: readonly number[]): void
}

/** `older`: rows below those in `revisions`, which is ascending. */
export const createLogExtent = (older: number, initial: readonly number[]): LogExtent => {
  let revisions = [...initial]
  let start = 0
  let below = older

  /** How many rows have revisions up to `floor`. */
  const upTo = (floor: number): number => {
    let low = start
    let high = revisions.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (revisions[middle]! <= floor) low = middle + 1
      else high = middle
    }
    return below + low - start
  }
  return {
    get rows() {
      return below + revisions.length - start
    },
    plan(floor, rowCount) {
      if (upTo(floor) < COMPACT_ROWS_MIN) return { compactTo: 0, compactRows: 0 }
      return { compactTo: floor, compactRows: Math.max(COMPACT_ROWS_MIN, rowCount * COMPACT_ROWS_PER_WRITE) }
    },
    landed({ compactTo, compactRows }, added) {
      for (const revision of added) revisions.push(revision)
      const removed = Math.min(compactRows, upTo(compactTo))
      const fromBelow = Math.min(below, removed)
      below -= fromBelow
      start += removed - fromBelow
      if (start > 1024 && start * 2 > revisions.length) {
        revisions = revisions.slice(start)
        start = 0
      }
    },
  }
}
