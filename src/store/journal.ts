// The seam below the state machine: an atomic, durable, ordered append. SQLite stands behind it, or memory, or a simulated disk.

import type { ColdValue } from './cold.ts'

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED'

/** One change as it lies in the log. For DELETED `value` is the final state. */
export interface Row {
  readonly type: EventType
  readonly key: string
  readonly revision: number
  readonly createRevision: number
  readonly value: Buffer
}

/** A current object as it is found at the start; its value may have been put away already. */
export interface LoadedRow extends Omit<Row, 'type' | 'value'> {
  readonly value: Buffer | ColdValue
}

export interface Batch {
  /** In revision order; a later row of a key supersedes the earlier one. */
  readonly rows: readonly Row[]
  /** Revisions up to this one are reserved from now on; undefined leaves the reservation as it is. */
  readonly ceiling: number | undefined
  /** Log rows with revisions up to this one may go, the oldest `compactRows` of them at most. */
  readonly compactTo: number
  readonly compactRows: number
}

export interface Journal {
  /**
   * Makes the batch durable as a whole or not at all, then calls `done` once. The state machine has one commit in flight at a time.
   * `done` with an error means: nothing of the batch holds. Best called later than this call returns.
   */
  commit(batch: Batch, done: (error: Error | undefined) => void): void
}

/** What a journal holds when it is opened. */
export interface Loaded {
  readonly epoch: string
  /** What this epoch knows of others: all up to this revision, nothing above. Absent in files of before. */
  readonly base?: number
  /** The newest state of each key, in any order. */
  readonly current: readonly LoadedRow[]
  /** The tail of the log, in revision order, without holes. */
  readonly log: readonly Row[]
  /** Every change above this revision is in `log`. */
  readonly floor: number
  /** Rows of the log on disk below those in `log`: left over for compaction. */
  readonly olderRows: number
  /** The newest revision on disk. */
  readonly durable: number
  /** Counting goes on above this one: `durable`, or more when revisions may have been handed out that are lost (lazy writes, a crash). */
  readonly revision: number
  /** Reserved on disk already. */
  readonly ceiling: number
}
