// The door of the store: what is true. One counter (revision), one writer, reads from memory at one revision, writes answered
// after the fsync that holds them. Source: DESIGN section 4; the watch guarantees are etcd's six (ordered, unique, atomic, reliable,
// resumable, bookmarkable).

import type { KubeObject } from '../base/object.ts'

/**
 * One object as stored. `value` is its JSON (UTF-8) and carries its own metadata.resourceVersion; `object` parses it (cached, frozen). Either
 * may be read from a file when it was not lately, at once; throws InternalError when that file is damaged.
 */
export interface Entry {
  readonly key: string
  readonly revision: number
  readonly createRevision: number
  /** Bytes of `value`, known without reading it. */
  readonly size: number
  readonly value: Buffer
  readonly object: KubeObject
}

/**
 * One write. The precondition is checked against the newest staged state, at the moment of the call:
 * - create: fails with AlreadyExists when the key exists.
 * - update: fails with NotFound when it does not exist, with Conflict when `expectRevision` is not its newest revision.
 * - delete: as update; `object`, when given, is the final state that DELETED events carry.
 * `lazy` writes (reconstructible: Events, node status refreshes) are visible at once and durable later; a crash may lose them, never reorder them.
 */
export type Write =
  | { readonly do: 'create'; readonly key: string; readonly object: KubeObject; readonly lazy?: boolean }
  | { readonly do: 'update'; readonly key: string; readonly object: KubeObject; readonly expectRevision: number; readonly lazy?: boolean }
  | { readonly do: 'delete'; readonly key: string; readonly expectRevision?: number; readonly object?: KubeObject; readonly lazy?: boolean }

export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly key: string
  /** The revision of this change; for DELETED it is also the resourceVersion inside `value`. */
  readonly revision: number
  readonly value: Buffer
  readonly object: KubeObject
  /**
   * The object before this change; undefined for ADDED. Filtered watches need it to turn MODIFIED into ADDED or DELETED. Also undefined for a
   * MODIFIED or DELETED event of before the last start whose predecessor the log does not have (it left, or was a lazy write replaced by a newer
   * one before it was on disk): then the watcher may or may not have had the object.
   */
  readonly previous: Entry | undefined
}

export interface WatchOptions {
  /** Keys that start with this. */
  readonly prefix: string
  /**
   * Deliver every event with a revision above this one; those that are past already are delivered before `watch` returns. Older than the
   * window, or handed out for lazy writes that a crash lost: `watch` throws Expired (410). A little in the future: it waits; far ahead, as after a restore: Expired too.
   */
  readonly fromRevision: number
  /**
   * Gets events in revision order, at most once each, in batches; called synchronously after the commit. May write and watch. Must not throw:
   * a watch whose callback threw is logged and closed as 'slow', since it may have lost events.
   */
  readonly onEvents: (events: readonly StoreEvent[]) => void
  /** Called once when the watcher fell too far behind (`pending()` above the bound) or the store closes; the watch is over. */
  readonly onClose: (reason: 'slow' | 'closed') => void
  /** How many bytes the consumer has not taken yet; asked before each delivery. Omit for consumers that keep up (in-process). */
  readonly pendingBytes?: () => number
}

export interface ListOptions {
  readonly prefix: string
  /** At most this many entries; 0 or absent = all. */
  readonly limit?: number
  /** Continue after this key (exclusive). */
  readonly after?: string
  /**
   * The state as of this revision; absent = now. Older than the window, or than the last start: throws Expired (410). In the future: throws
   * Timeout with the cause ResourceVersionTooLarge.
   */
  readonly atRevision?: number
}

export interface ListResult {
  /** In key order (by code unit). */
  readonly entries: readonly Entry[]
  /** The revision this list is consistent at. */
  readonly revision: number
  /** True when `limit` cut the list; continue with the last entry's key. */
  readonly more: boolean
  /** Entries left after this page, when known cheaply. */
  readonly remaining: number
}

/** What happened at start-up, for a condition and the log. */
export interface Recovery {
  readonly kind: 'clean' | 'created' | 'repaired' | 'restored'
  /** One line for people: what was wrong, which snapshot was used, where the damaged file is kept. */
  readonly message: string
  /** File name the damaged database was kept under, when there is one. */
  readonly kept?: string
}

export interface Store {
  /** The newest committed (visible) revision. Starts at 1 on an empty store. */
  readonly revision: number
  /** Changes when the state went back in time (restored from a snapshot): section 6 of the design. */
  readonly epoch: string
  /** Of other epochs everything up to this revision is known here, and nothing above it. Absent in stores of before. */
  readonly base?: number
  readonly recovery: Recovery
  /**
   * What keeps it from taking writes (disk full) or giving objects, in a few words; undefined when nothing does. Goes away by itself once there
   * is space; a cold value that was lost needs a new start, which finds it in the database.
   */
  readonly problem: string | undefined
  /** Committed state. */
  get(key: string): Entry | undefined
  /** The newest staged state, committed or about to be: the base of a read-modify-write. Undefined when absent (or staged for deletion). */
  getStaged(key: string): Entry | undefined
  list(options: ListOptions): ListResult
  /** Number of committed keys under a prefix, without building a list. */
  count(prefix: string): number
  /**
   * Rejects with the ApiError of the failed precondition (checked during the call); settles when the write is durable (lazy: visible). Also:
   * RequestEntityTooLarge, TooManyRequests, and ServiceUnavailable with a hint when the commit failed: then nothing of it holds.
   */
  write(write: Write): Promise<Entry>
  watch(options: WatchOptions): { close(): void }
  /** Settles when everything written so far, lazy writes included, is on disk. */
  flush(): Promise<void>
  /** Writes a verified snapshot now; returns its file name. */
  snapshot(): Promise<string>
  /** Counters for metrics and benchmarks. */
  readonly stats: { readonly commits: number; readonly writes: number; readonly lazyWrites: number; readonly bytesWritten: number }
  close(): Promise<void>
}

export type { Sealing } from './codec.ts'
export { Core, type CoreDeps, createCore } from './core.ts'
export type { Batch, Journal, Loaded, Row } from './journal.ts'
export { type Backup, createMemoryJournal, type MemoryJournal, type MemoryJournalOptions } from './memory-journal.ts'
export { createStore, type OpenStoreDeps, openMemoryStore, openStore, openStoreOn, type StoreDeps, type StoreShell } from './open.ts'
