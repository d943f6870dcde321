// The recent past: events in revision order, bounded by count, bytes and age. Watches resume from it and old revisions are rebuilt from it.

import type { KubeObject } from '../base/object.ts'
import type { StoredEntry } from './entry.ts'
import type { EventType } from './journal.ts'
import { WINDOW_AGE_MS_MAX, WINDOW_BYTES_MAX, WINDOW_EVENTS_MAX } from './limits.ts'
import type { Entry, StoreEvent } from './store.ts'

export interface WindowBounds {
  readonly eventsMax: number
  readonly bytesMax: number
  readonly ageMsMax: number
}

export const WINDOW_BOUNDS: WindowBounds = { eventsMax: WINDOW_EVENTS_MAX, bytesMax: WINDOW_BYTES_MAX, ageMsMax: WINDOW_AGE_MS_MAX }

/** One event, sharing its entry's bytes and parse. */
export class StoredEvent implements StoreEvent {
  readonly type: EventType
  readonly entry: StoredEntry
  readonly previous: StoredEntry | undefined
  readonly atMs: number

  constructor(type: EventType, entry: StoredEntry, previous: StoredEntry | undefined, atMs: number) {
    this.type = type
    this.entry = entry
    this.previous = previous
    this.atMs = atMs
  }

  get key(): string {
    return this.entry.key
  }
  get revision(): number {
    return this.entry.revision
  }
  get value(): Buffer {
    return this.entry.value
  }
  get object(): KubeObject {
    return this.entry.object
  }
  get bytes(): number {
    return this.entry.size + (this.previous?.size ?? 0)
  }
}

export interface EventWindow {
  /** Every event above this revision is here. */
  readonly floor: number
  readonly size: number
  /** Monotonic time of the oldest event; undefined when empty. */
  readonly oldestAtMs: number | undefined
  push(event: StoredEvent, nowMs: number): void
  /** Drops what is too old. */
  expire(nowMs: number): void
  /** Events above a revision, in order. The caller has checked it against `floor`. */
  since(revision: number): readonly StoredEvent[]
  /** How keys under a prefix differed at a revision from now: the entry then, or undefined when it was absent. */
  undo(prefix: string, revision: number): Map<string, Entry | undefined>
}

/** The place of the first event above a revision; events before `start` are gone. */
const placeAfter = (events: readonly (StoredEvent | undefined)[], start: number, revision: number): number => {
  let low = start
  let high = events.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (events[middle]!.revision <= revision) low = middle + 1
    else high = middle
  }
  return low
}

export const createWindow = (initialFloor: number, bounds: WindowBounds = WINDOW_BOUNDS): EventWindow => {
  let events: (StoredEvent | undefined)[] = []
  let start = 0
  let bytes = 0
  let floor = initialFloor

  const dropOldest = (): void => {
    const event = events[start]!
    events[start] = undefined
    start++
    bytes -= event.bytes
    floor = event.revision
    if (start > 256 && start * 2 > events.length) {
      events = events.slice(start)
      start = 0
    }
  }
  const expire = (nowMs: number): void => {
    while (start < events.length && nowMs - events[start]!.atMs > bounds.ageMsMax) dropOldest()
    if (start === events.length && start > 0) {
      events = []
      start = 0
    }
  }
  const positionAfter = (revision: number): number => placeAfter(events, start, revision)
  return {
    get floor() {
      return floor
    },
    get size() {
      return events.length - start
    },
    get oldestAtMs() {
      return events[start]?.atMs
    },
    push(event, nowMs) {
      events.push(event)
      bytes += event.bytes
      while (events.length - start > bounds.eventsMax || (bytes > bounds.bytesMax && events.length - start > 1)) dropOldest()
      expire(nowMs)
    },
    expire,
    since: revision => events.slice(positionAfter(revision)) as StoredEvent[],
    undo(prefix, revision) {
      const then = new Map<string, Entry | undefined>()
      const from = positionAfter(revision)
      for (let i = events.length - 1; i >= from; i--) {
        const event = events[i]!
        if (event.key.startsWith(prefix)) then.set(event.key, event.previous)
      }
      return then
    },
  }
}
