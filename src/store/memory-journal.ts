// A journal in memory with the semantics of the real one: atomic, ordered, durable from `done` on. For fast tests and for simulated
// disks: `defer` decides when (and, by never calling, whether) a commit lands; `load` gives what a process started now would find.

import type { Batch, Journal, Loaded, Row } from './journal.ts'
import { CEILING_STEP } from './limits.ts'
import { revisionAfterRestore } from './meta.ts'

export interface MemoryJournal extends Journal {
  /** A start: what is durable, as after a crash. Counting goes on above all that was reserved, and a new reservation is made. */
  load(): Loaded
  /** A copy of what is durable, and the highest revision that may have been handed out. */
  backup(): Backup
}

export interface Backup {
  readonly current: readonly Row[]
  /** Everything up to this revision is in it. */
  readonly durable: number
  readonly ceiling: number
}

export interface MemoryJournalOptions {
  readonly epoch: string
  /** What it begins with, as after a restore: counting goes on far above, so that no revision is handed out twice. */
  readonly backup?: Backup
  /**
   * Calls `land` later; before that the batch is not durable, without it the batch is lost as in a crash. An error makes the commit fail.
   */
  readonly defer: (land: (error?: Error) => void, batch: Batch) => void
}

export const createMemoryJournal = ({ epoch, backup, defer }: MemoryJournalOptions): MemoryJournal => {
  const current = new Map<string, Row>(backup?.current.map(row => [row.key, row]))
  const start = backup === undefined ? 1 : revisionAfterRestore(backup.ceiling, epoch)
  let log: Row[] = []
  let floor = start
  let durable = start
  let ceiling = start

  const land = (batch: Batch): void => {
    for (const row of batch.rows) {
      log.push(row)
      durable = row.revision
      if (row.type === 'DELETED') current.delete(row.key)
      else current.set(row.key, row)
    }
    ceiling = batch.ceiling ?? ceiling
    let count = 0
    while (count < batch.compactRows && count < log.length && log[count]!.revision <= batch.compactTo) count++
    if (count === 0) return
    floor = log[count - 1]!.revision
    log = log.slice(count)
  }
  return {
    commit(batch, done) {
      defer(error => {
        if (!error) land(batch)
        done(error)
      }, batch)
    },
    backup: () => ({ current: [...current.values()], durable, ceiling }),
    load() {
      const revision = Math.max(durable, ceiling)
      ceiling = revision + CEILING_STEP
      return {
        epoch,
        base: backup?.durable ?? 0,
        current: [...current.values()],
        log: [...log],
        floor,
        olderRows: 0,
        durable,
        revision,
        ceiling,
      }
    },
  }
}
