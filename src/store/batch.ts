// Cuts the waiting operations into what one commit holds.

import { BATCH_BYTES_MAX, BATCH_ROWS_MAX } from './limits.ts'
import type { Operation } from './staging.ts'

/** The oldest operations that fit one commit, at least one if any; `rest` waits. */
export const planBatch = (waiting: Operation[]): { readonly operations: Operation[]; readonly rest: Operation[] } => {
  let bytes = 0
  let count = 0
  for (const { entry } of waiting) {
    bytes += entry.size
    if (count === BATCH_ROWS_MAX || (count > 0 && bytes > BATCH_BYTES_MAX)) break
    count++
  }
  return count === waiting.length ? { operations: waiting, rest: [] } : { operations: waiting.slice(0, count), rest: waiting.slice(count) }
}
