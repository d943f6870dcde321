// What the log on disk holds, known without asking it: so that compaction can be planned as part of a commit.
// Invariant: compaction removes at least as many rows as it is behind within a bounded number of commits (peers die of one that never catches up).

import type { Row } from './journal.ts'
import { COMPACT_BYTES_MIN, COMPACT_ROWS_MIN, COMPACT_ROWS_PER_WRITE } from './limits.ts'

export interface Compaction {
  readonly compactTo: number
  readonly compactRows: number
}

export interface LogExtent {
  /** Rows on disk. */
  readonly rows: number
  /** What a commit of `rowCount` rows should remove, when everything up to `floor` may go; nothing until a step's worth waits. */
  plan(floor: number, rowCount: number): Compaction
  /** A commit that carried out `compaction` and added these rows (in revision order) landed. */
  landed(compaction: Compaction, added: readonly Row[]): void
}

/** `older`: how many rows lie below those in `initial`, which are in revision order. */
export const createLogExtent = (older: number, initial: readonly Row[]): LogExtent => {
  let revisions: number[] = []
  /** Bytes ever logged up to and with the row at the same place. */
  let bytesUpTo: number[] = []
  let start = 0
  let below = older
  let bytes = 0
  let removedBytes = 0

  const add = (rows: readonly Row[]): void => {
    for (const row of rows) {
      bytes += row.value.length
      revisions.push(row.revision)
      bytesUpTo.push(bytes)
    }
  }
  add(initial)
  /** The place of the first row above `floor`. */
  const placeAbove = (floor: number): number => {
    let low = start
    let high = revisions.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (revisions[middle]! <= floor) low = middle + 1
      else high = middle
    }
    return low
  }
  const isStep = (floor: number): boolean => {
    const place = placeAbove(floor)
    const waitingBytes = place > start ? bytesUpTo[place - 1]! - removedBytes : 0
    return below + place - start >= COMPACT_ROWS_MIN || waitingBytes >= COMPACT_BYTES_MIN
  }
  return {
    get rows() {
      return below + revisions.length - start
    },
    plan(floor, rowCount) {
      if (!isStep(floor)) return { compactTo: 0, compactRows: 0 }
      return { compactTo: floor, compactRows: Math.max(COMPACT_ROWS_MIN, rowCount * COMPACT_ROWS_PER_WRITE) }
    },
    landed({ compactTo, compactRows }, added) {
      add(added)
      const removed = Math.min(compactRows, below + placeAbove(compactTo) - start)
      const fromBelow = Math.min(below, removed)
      below -= fromBelow
      start += removed - fromBelow
      if (start > 0) removedBytes = bytesUpTo[start - 1]!
      if (start > 1024 && start * 2 > revisions.length) {
        revisions = revisions.slice(start)
        bytesUpTo = bytesUpTo.slice(start)
        start = 0
      }
    },
  }
}
