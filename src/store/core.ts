// The store's state machine: staged and committed state, revisions, group commit, lazy writes, watches. Synchronous: no promise, no
// clock but the one given, no I/O but the journal's. Invariant: readers and watchers see revisions in order, and only what the journal
// holds or a lazy write stated. The same code runs on SQLite and in the simulated world.

import { assert } from '../base/assert.ts'
import { backoffMs } from '../base/backoff.ts'
import type { Cancel, Clock } from '../base/clock.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { planBatch } from './batch.ts'
import type { ColdValues } from './cold.ts'
import { createParsedCache, type Memory, type StoredEntry } from './entry.ts'
import { createHotSet } from './hot.ts'
import type { Batch, Journal, Loaded, Row } from './journal.ts'
import { createLazySet, type LazySet } from './lazy.ts'
import { CEILING_STEP, CURRENT_BYTES_MAX, FLUSH_BACKOFF, HOT_BYTES_MAX, PENDING_BYTES_MAX, PENDING_WRITES_MAX } from './limits.ts'
import { createLogExtent, type LogExtent } from './log-extent.ts'
import { checkWrite, type Operation, rowOf, stage, type WriteDone } from './staging.ts'
import { createReader, loadState, type Reader, type State } from './state.ts'
import type { WatchOptions, Write } from './store.ts'
import { Watchers } from './watchers.ts'
import { StoredEvent, WINDOW_BOUNDS, type WindowBounds } from './window.ts'

export interface CoreDeps {
  readonly journal: Journal
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly log: Log
  /** Bounds of the event window, for tests that want a small one. */
  readonly window?: WindowBounds
  /** Where values go that are not read lately; absent: all stay in memory. */
  readonly cold?: ColdValues
  /** Values of current objects in memory, for tests that want fewer; used with `cold`. */
  readonly hotBytesMax?: number
  /** Called after each durable commit; snapshots are scheduled from it. */
  readonly committed?: (durableWrites: number, bytes: number) => void
}

type FlushDone = (error: ApiError | undefined) => void

/** A commit that the journal has not answered yet. */
interface Flight {
  readonly operations: readonly Operation[]
  readonly lazyRows: readonly Row[]
  readonly batch: Batch
  readonly flushes: readonly Flush[]
}

interface Flush {
  /** Everything up to this revision is to be durable. */
  readonly revision: number
  readonly done: FlushDone
}

const SPACE_HINT = 'nothing was changed; free space on the data directory or check the disk, then try again'

/** The error that writers of a failed commit get; nothing of theirs holds. */
const commitError = (error: Error): ApiError =>
  new ApiError('ServiceUnavailable', `commit writes: ${error.message}`, {
    cause: error,
    hint: SPACE_HINT,
    details: { retryAfterSeconds: 1 },
  })

export class Core {
  readonly stats = { commits: 0, writes: 0, lazyWrites: 0, bytesWritten: 0 }
  /** Ordered lists, counts and backlogs of committed state. */
  readonly reader: Reader
  readonly #deps: CoreDeps
  readonly #memory: Memory
  readonly #bounds: WindowBounds
  readonly #state: State
  readonly #extent: LogExtent
  readonly #watchers: Watchers
  readonly #lazy: LazySet
  /** The newest operation of each key that is not committed. */
  readonly #overlay = new Map<string, Operation>()
  #pending: Operation[] = []
  #pendingBytes = 0
  #flushes: Flush[] = []
  #flight: Flight | undefined = undefined
  /** The newest revision given to any write; failed writes leave gaps. */
  #assigned: number
  #ceiling: number
  #flushTimer: Cancel | undefined = undefined
  #flushDue = false
  #failures = 0
  /** Why the last commit failed; nothing once one succeeds. */
  #failure: string | undefined = undefined
  #expiryTimer: Cancel | undefined = undefined
  #closed = false

  constructor(deps: CoreDeps, loaded: Loaded) {
    this.#deps = deps
    this.#bounds = deps.window ?? WINDOW_BOUNDS
    const nowMs = deps.clock.mono()
    const hot = createHotSet(deps.cold && { cold: deps.cold, bytesMax: deps.hotBytesMax ?? HOT_BYTES_MAX })
    this.#memory = { parsed: createParsedCache(), hot }
    this.#state = loadState(loaded, this.#memory, this.#bounds, nowMs)
    this.#extent = createLogExtent(loaded.olderRows, loaded.log)
    this.reader = createReader(this.#state)
    this.#watchers = new Watchers((message, error) => deps.log.error(message, { cause: messageOf(error) }))
    this.#lazy = createLazySet(nowMs)
    this.#assigned = loaded.revision
    this.#ceiling = loaded.ceiling
    this.#armExpiry()
  }

  get revision(): number {
    return this.#state.revision
  }

  /** Bytes of all current values. */
  get bytes(): number {
    return this.#state.bytes
  }

  /** What keeps the store from taking writes or giving objects, in a few words; undefined when nothing does. */
  get problem(): string | undefined {
    const { hot } = this.#memory
    return this.#failure ?? hot.lost ?? hot.stuck()
  }

  /** Rows of the log on disk, for tests and metrics. */
  get logRows(): number {
    return this.#extent.rows
  }

  get(key: string): StoredEntry | undefined {
    return this.#state.current.get(key)
  }

  getStaged(key: string): StoredEntry | undefined {
    const staged = this.#overlay.get(key)
    if (staged) return staged.type === 'DELETED' ? undefined : staged.entry
    return this.#state.current.get(key)
  }

  /** Throws the ApiError of a failed precondition; else `done` is called once: durable (lazy: visible), or failed. */
  write(write: Write, done: WriteDone): void {
    const base = this.getStaged(write.key)
    this.#refuse(write)
    checkWrite(write, base)
    const operation = stage(write, base, this.#assigned + 1, this.#memory, done)
    this.#refuseGrowth(operation, base)
    this.#assigned++
    this.stats.writes++
    if (operation.lazy) this.stats.lazyWrites++
    this.#overlay.set(write.key, operation)
    this.#pending.push(operation)
    this.#pendingBytes += operation.entry.size
    this.#commit()
  }

  /** Delivers the backlog before it returns. Throws Expired. */
  watch(options: WatchOptions): { close(): void } {
    return this.#watchers.add(options, this.reader.backlog(options.fromRevision))
  }

  /** `done` is called when all written so far is durable, or with the error of the commit that failed. */
  flush(done: FlushDone): void {
    if (!this.#flight && this.#pending.length === 0 && this.#lazy.size === 0) {
      done(undefined)
      return
    }
    this.#flushes.push({ revision: this.#assigned, done })
    this.#commit()
  }

  /** Every committed entry in key order at this revision, sharing the bytes; what a snapshot holds. */
  entries(): { readonly revision: number; readonly ceiling: number; readonly entries: readonly StoredEntry[] } {
    const { keys, current } = this.#state
    return { revision: this.revision, ceiling: this.#ceiling, entries: keys.range('', '', keys.size).map(key => current.get(key)!) }
  }

  /** Refuses writes and sets no timer from now on; what was written before can still be flushed. */
  seal(): void {
    this.#closed = true
    this.#flushTimer?.()
    this.#expiryTimer?.()
  }

  /** Ends all watches, and seals. */
  close(): void {
    this.seal()
    this.#watchers.closeAll()
  }

  #refuse(write: Write): void {
    if (this.#closed) throw new ApiError('ServiceUnavailable', `${write.do} ${write.key}: the store is closed`)
    if (this.#pending.length >= PENDING_WRITES_MAX || this.#pendingBytes >= PENDING_BYTES_MAX) {
      throw new ApiError('TooManyRequests', `${write.do} ${write.key}: too many writes are waiting`, { details: { retryAfterSeconds: 1 } })
    }
  }

  #refuseGrowth({ type, entry }: Operation, base: StoredEntry | undefined): void {
    const growth = entry.size - (base?.size ?? 0)
    if (type === 'DELETED' || growth <= 0) return
    const stuck = this.#memory.hot.stuck()
    if (stuck !== undefined) {
      throw new ApiError('ServiceUnavailable', `write ${entry.key}: memory is full and objects cannot be put away: ${stuck}`, {
        hint: SPACE_HINT,
        details: { retryAfterSeconds: 1 },
      })
    }
    if (this.#state.bytes + this.#pendingBytes + growth <= CURRENT_BYTES_MAX) return
    throw new ApiError('ServiceUnavailable', `write ${entry.key}: the store holds all the ${CURRENT_BYTES_MAX} bytes it may`, {
      hint: 'delete objects that are no longer needed',
    })
  }

  /** Lazy writes with nothing staged before them: visible now, durable later. */
  #showLazy(): void {
    const durable = this.#pending.findIndex(({ lazy, entry }) => !lazy || entry.revision > this.#ceiling)
    const count = durable === -1 ? this.#pending.length : durable
    if (count === 0) return
    const operations = this.#pending.slice(0, count)
    this.#pending = this.#pending.slice(count)
    this.#unstage(operations)
    for (const operation of operations) {
      this.#pendingBytes -= operation.entry.size
      this.#lazy.add(rowOf(operation))
    }
    this.#watchers.deliver(this.#apply(operations))
    this.#answer(operations, undefined)
    this.#armFlush()
  }

  #unstage(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (this.#overlay.get(operation.entry.key) === operation) this.#overlay.delete(operation.entry.key)
    }
  }

  /** Makes operations visible; returns their events. */
  #apply(operations: readonly Operation[]): StoredEvent[] {
    const nowMs = this.#deps.clock.mono()
    const events: StoredEvent[] = []
    for (const { type, entry } of operations) {
      const event = new StoredEvent(type, entry, this.#state.set(type, entry), nowMs)
      this.#state.window.push(event, nowMs)
      events.push(event)
    }
    this.#armExpiry()
    return events
  }

  #commit(): void {
    if (!this.#flight) this.#showLazy()
    if (this.#flight || (this.#pending.length === 0 && !this.#flushDue && this.#flushes.length === 0)) return
    const { operations, rest } = planBatch(this.#pending)
    const nextRevision = rest[0]?.entry.revision ?? Number.POSITIVE_INFINITY
    const flushes = this.#flushes.filter(flush => flush.revision < nextRevision)
    this.#flushes = this.#flushes.filter(flush => flush.revision >= nextRevision)
    this.#pending = rest
    for (const { entry } of operations) this.#pendingBytes -= entry.size
    this.#flushTimer?.()
    this.#flushTimer = undefined
    this.#flushDue = false
    const lazyRows = this.#lazy.take()
    if (operations.length === 0 && lazyRows.length > 0) this.#lazy.charge(lazyRows, this.#deps.clock.mono())
    const rows = lazyRows.length === 0 ? operations.map(rowOf) : [...lazyRows, ...operations.map(rowOf)]
    // After a failure there is always something to write, so that success means something: at least the reservation.
    const ceiling = this.#failures > 0 || this.#assigned + CEILING_STEP / 2 > this.#ceiling ? this.#assigned + CEILING_STEP : undefined
    const batch = { rows, ceiling, ...this.#extent.plan(this.#state.window.floor, rows.length) }
    this.#flight = { operations, lazyRows, batch, flushes }
    if (rows.length === 0 && this.#failures === 0) this.#finish(undefined)
    else this.#deps.journal.commit(batch, error => this.#finish(error))
  }

  #finish(failure: Error | undefined): void {
    const flight = this.#flight
    assert(flight, 'a journal answers each commit once')
    this.#flight = undefined
    if (failure) this.#fail(flight, commitError(failure))
    else this.#succeed(flight)
    this.#commit()
    this.#armFlush()
  }

  #succeed({ operations, batch, flushes }: Flight): void {
    let bytes = 0
    for (const row of batch.rows) bytes += row.value.length
    this.#unstage(operations)
    this.#ceiling = batch.ceiling ?? this.#ceiling
    this.#failures = 0
    this.#failure = undefined
    if (batch.rows.length > 0) this.stats.commits++
    this.stats.bytesWritten += bytes
    this.#extent.landed(batch, batch.rows)
    const events = this.#apply(operations)
    if (events.length > 0) this.#watchers.deliver(events)
    this.#answer(operations, undefined)
    for (const flush of flushes) flush.done(undefined)
    this.#deps.committed?.(operations.length, bytes)
  }

  /** Everything staged was staged upon what failed: all of it is given up. Lazy rows, visible already, are kept for another try. */
  #fail({ operations, lazyRows, flushes }: Flight, error: ApiError): void {
    const lost = [...operations, ...this.#pending]
    const waiting = [...flushes, ...this.#flushes]
    this.#pending = []
    this.#pendingBytes = 0
    this.#flushes = []
    this.#overlay.clear()
    this.#lazy.restore(lazyRows)
    this.#failures++
    this.#failure = error.message
    this.#deps.log.error('commit failed', { writes: lost.length, cause: error.message })
    this.#answer(lost, error)
    for (const flush of waiting) flush.done(error)
  }

  #answer(operations: readonly Operation[], error: ApiError | undefined): void {
    for (const { done, entry } of operations) {
      try {
        done(error, error ? undefined : entry)
      } catch (thrown) {
        this.#deps.log.error('answer writer: callback threw', { key: entry.key, cause: messageOf(thrown) })
      }
    }
  }

  /** At most one timer, and none when nothing waits; a commit that failed is followed by others until one succeeds. */
  #armFlush(): void {
    if ((this.#lazy.size === 0 && this.#failures === 0) || this.#flight || this.#closed) return
    const delayMs = this.#failures > 0 ? backoffMs(FLUSH_BACKOFF, this.#failures - 1) : this.#lazy.flushDelayMs(this.#deps.clock.mono())
    if (delayMs > 0 && this.#flushTimer) return
    const flush = (): void => {
      this.#flushTimer = undefined
      this.#flushDue = true
      this.#commit()
    }
    if (delayMs === 0) flush()
    else this.#flushTimer = this.#deps.clock.after(delayMs, flush)
  }

  #armExpiry(): void {
    const oldestAtMs = this.#state.window.oldestAtMs
    if (this.#expiryTimer || oldestAtMs === undefined || this.#closed) return
    const { clock } = this.#deps
    this.#expiryTimer = clock.after(Math.max(1_000, oldestAtMs + this.#bounds.ageMsMax + 1 - clock.mono()), () => {
      this.#expiryTimer = undefined
      this.#state.window.expire(clock.mono())
      this.#armExpiry()
    })
  }
}

/** A state machine over what the journal loaded. */
export const createCore = (deps: CoreDeps, loaded: Loaded): Core => new Core(deps, loaded)
