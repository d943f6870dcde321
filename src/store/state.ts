// Committed state in memory: current entries, keys in order, the event window; and the questions it answers (list, count, backlog).

import { ApiError } from '../base/errors.ts'
import { type Memory, StoredEntry } from './entry.ts'
import type { EventType, Loaded } from './journal.ts'
import { createKeyIndex, type KeyIndex, keyAfter } from './key-index.ts'
import { CEILING_STEP, WATCH_AHEAD_MAX } from './limits.ts'
import type { Entry, ListOptions, ListResult, StoreEvent } from './store.ts'
import { createWindow, type EventWindow, StoredEvent, type WindowBounds } from './window.ts'

export interface Lost {
  readonly above: number
  readonly below: number
}

export interface State {
  readonly current: ReadonlyMap<string, StoredEntry>
  readonly keys: KeyIndex
  readonly window: EventWindow
  /** Watches cannot start at a revision between these: it was handed out for writes that a crash has lost. */
  readonly lost: readonly Lost[]
  /** Lists cannot go back behind the start of this process: the log on disk has coalesced writes. */
  readonly listFloor: number
  readonly revision: number
  /** Bytes of all current values. */
  readonly bytes: number
  /** Applies one change; revisions ascend. Returns what it replaced, if that can still be read. */
  set(type: EventType, entry: StoredEntry): StoredEntry | undefined
}

/**
 * What crashes have lost, this one and those before: each left a hole in the log at least as wide as what is always reserved ahead of a
 * commit. A hole that coalesced lazy writes made so wide counts as well; who was in it lists again.
 */
const lostIn = ({ log, floor, durable, revision }: Loaded): Lost[] => {
  const lost: Lost[] = [{ above: durable, below: revision }]
  let above = floor
  for (const row of log) {
    if (row.revision - above >= CEILING_STEP / 2) lost.push({ above, below: row.revision })
    above = row.revision
  }
  return lost
}

/** Fills a state from what the journal holds. Events loaded from the log know what they replaced only when the log surely has it. */
export const loadState = (loaded: Loaded, memory: Memory, bounds: WindowBounds, nowMs: number): State => {
  const current = new Map<string, StoredEntry>()
  let bytes = 0
  for (const row of loaded.current) {
    const entry = new StoredEntry(row, memory)
    current.set(row.key, entry)
    memory.hot.enter(entry)
    bytes += entry.size
  }
  const window = createWindow(loaded.floor, bounds)
  const logged = new Map<string, StoredEntry>()
  let last = loaded.floor
  for (const row of loaded.log) {
    // Behind a hole in the revisions nothing is known of what came before: a coalesced lazy write may have been seen there.
    if (row.revision !== last + 1) logged.clear()
    last = row.revision
    const newest = current.get(row.key)
    const entry = newest?.revision === row.revision ? newest : new StoredEntry(row, memory)
    window.push(new StoredEvent(row.type, entry, row.type === 'ADDED' ? undefined : logged.get(row.key), nowMs), nowMs)
    logged.set(row.key, entry)
  }
  const keys = createKeyIndex(current.keys())
  let revision = loaded.revision
  return {
    current,
    keys,
    window,
    lost: lostIn(loaded),
    listFloor: loaded.revision,
    get revision() {
      return revision
    },
    get bytes() {
      return bytes
    },
    set(type, entry) {
      const before = current.get(entry.key)
      const readable = before !== undefined && memory.hot.leave(before)
      bytes -= before?.size ?? 0
      if (type === 'DELETED') {
        current.delete(entry.key)
        keys.delete(entry.key)
      } else {
        if (type === 'ADDED') keys.add(entry.key)
        current.set(entry.key, entry)
        memory.hot.enter(entry)
        bytes += entry.size
      }
      revision = entry.revision
      return readable ? before : undefined
    },
  }
}

const WATCH_EXPIRED = 'The resourceVersion for the provided watch is too old.'
const LIST_EXPIRED = 'The resourceVersion for the provided list is too old.'
const CONTINUE_EXPIRED =
  'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.'

const tooLarge = (asked: number, revision: number): ApiError =>
  new ApiError('Timeout', `Timeout: Too large resource version: ${asked}, current: ${revision}`, {
    details: {
      retryAfterSeconds: 1,
      causes: [{ field: '', type: 'ResourceVersionTooLarge', detail: 'Too large resource version' }],
    },
  })

/** The entries under a prefix as they were, in key order: today's with the window's changes taken back. */
const entriesAt = (state: State, prefix: string, revision: number): Entry[] => {
  const then = state.window.undo(prefix, revision)
  const entries: Entry[] = []
  for (const key of state.keys.range(prefix, prefix, Number.POSITIVE_INFINITY)) {
    const entry = then.has(key) ? then.get(key) : state.current.get(key)
    if (entry) entries.push(entry)
  }
  const present = entries.length
  for (const [key, entry] of then) if (entry && !state.current.has(key)) entries.push(entry)
  if (entries.length > present) entries.sort((a, b) => (a.key < b.key ? -1 : 1))
  return entries
}

export interface Reader {
  list(options: ListOptions): ListResult
  count(prefix: string): number
  /** Events above a revision. Throws Expired. */
  backlog(fromRevision: number): readonly StoreEvent[]
}

const listNow = (state: State, { prefix, limit = 0, after }: ListOptions): ListResult => {
  const from = after === undefined ? prefix : keyAfter(after)
  const keys = state.keys.range(prefix, from, limit > 0 ? limit : Number.POSITIVE_INFINITY)
  const entries = keys.map(key => state.current.get(key)!)
  const remaining = limit > 0 && keys.length === limit ? state.keys.count(prefix, keyAfter(keys.at(-1)!)) : 0
  return { entries, revision: state.revision, more: remaining > 0, remaining }
}

const listThen = (state: State, { prefix, limit = 0, after }: ListOptions, revision: number): ListResult => {
  const all = entriesAt(state, prefix, revision)
  const rest = after === undefined ? all : all.filter(entry => entry.key > after)
  const entries = limit > 0 ? rest.slice(0, limit) : rest
  const remaining = rest.length - entries.length
  return { entries, revision, more: remaining > 0, remaining }
}

export const createReader = (state: State): Reader => ({
  list(options) {
    const at = options.atRevision
    if (at === undefined || at === state.revision) return listNow(state, options)
    if (at > state.revision) throw tooLarge(at, state.revision)
    if (at < state.listFloor || at < state.window.floor) {
      throw new ApiError('Expired', options.after === undefined ? LIST_EXPIRED : CONTINUE_EXPIRED)
    }
    return listThen(state, options, at)
  },
  count: prefix => state.keys.count(prefix, prefix),
  backlog(from) {
    const isLost = state.lost.some(({ above, below }) => from > above && from < below)
    const isForeign = from > state.revision + WATCH_AHEAD_MAX
    if (from < state.window.floor || isLost || isForeign) throw new ApiError('Expired', WATCH_EXPIRED)
    return from >= state.revision ? [] : state.window.since(from)
  },
})
