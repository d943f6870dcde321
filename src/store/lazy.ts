// Writes that are visible but not yet on disk: the newest per key, with a byte budget that decides when they may cause a flush.
// Arithmetic only; the core asks and acts.

import type { Row } from './journal.ts'
import { LAZY_BYTES_PER_DAY, LAZY_FLUSH_COST_BYTES, LAZY_FLUSH_MS, LAZY_PENDING_BYTES_MAX } from './limits.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** What the budget may save up: an hour's share. */
const BUDGET_BYTES_MAX = LAZY_BYTES_PER_DAY / 24

export interface LazySet {
  readonly size: number
  /** Replaces an older row of the key. */
  add(row: Row): void
  /** All rows in revision order; they leave the set. */
  take(): Row[]
  /** Rows of a failed commit come back, unless newer ones replaced them. */
  restore(rows: readonly Row[]): void
  /** How long to wait before flushing what is here: 0 when the set is over its bound. */
  flushDelayMs(nowMs: number): number
  /** Accounts rows that a flush of their own wrote; rows that ride with a durable commit cost nothing here. */
  charge(rows: readonly Row[], nowMs: number): void
}

export const createLazySet = (startMs: number): LazySet => {
  const rows = new Map<string, Row>()
  let bytes = 0
  let budget: number = BUDGET_BYTES_MAX
  let budgetAtMs = startMs

  const put = (row: Row): void => {
    const old = rows.get(row.key)
    if (old) bytes -= old.value.length
    rows.set(row.key, row)
    bytes += row.value.length
  }
  const refill = (nowMs: number): void => {
    budget = Math.min(BUDGET_BYTES_MAX, budget + ((nowMs - budgetAtMs) * LAZY_BYTES_PER_DAY) / DAY_MS)
    budgetAtMs = nowMs
  }
  return {
    get size() {
      return rows.size
    },
    add: put,
    take() {
      const taken = [...rows.values()].sort((a, b) => a.revision - b.revision)
      rows.clear()
      bytes = 0
      return taken
    },
    restore(back) {
      for (const row of back) if (!rows.has(row.key)) put(row)
    },
    flushDelayMs(nowMs) {
      if (bytes > LAZY_PENDING_BYTES_MAX) return 0
      refill(nowMs)
      return budget >= 0 ? LAZY_FLUSH_MS : Math.max(LAZY_FLUSH_MS, Math.ceil((-budget * DAY_MS) / LAZY_BYTES_PER_DAY))
    },
    charge(written, nowMs) {
      refill(nowMs)
      let cost = LAZY_FLUSH_COST_BYTES
      for (const row of written) cost += row.value.length * 2
      budget -= cost
    },
  }
}
