// Append-only items on their way up (events, telemetry): numbered, bounded by count, bytes and age, the oldest dropped and counted. One batch
// in flight; what was not acknowledged is sent again. What waits longer goes to disk, what was taken before never does. PURE.

import type { Codec } from './codec.ts'
import type { OutboxBounds } from './limits.ts'
import type { OutboxItem, OutboxName } from './link.ts'

interface Kept {
  readonly cursor: number
  readonly log: string
  /** JSON of the item, its cursor included. */
  readonly text: string
  readonly bytes: number
  readonly addedMs: number
}

export interface Outbox {
  readonly name: OutboxName
  readonly bounds: OutboxBounds
  /** Numbers are told apart by this life's name: what a crash made the disk forget is not mistaken for what comes after. */
  readonly log: string
  readonly kept: Kept[]
  bytes: number
  cursor: number
  /** In this life, and by one before that could not tell the server any more. */
  dropped: number
  droppedSent: number
  inFlight: { readonly cursor: number } | undefined
  /** Up to this cursor what is kept is on disk; from where the disk may hold items (undefined: it holds none). */
  written: number
  diskFrom: number | undefined
  unwrittenBytes: number
}

export const newOutbox = (name: OutboxName, bounds: OutboxBounds, log: string): Outbox => ({
  name,
  bounds,
  log,
  kept: [],
  bytes: 0,
  cursor: 0,
  dropped: 0,
  droppedSent: 0,
  inFlight: undefined,
  written: 0,
  diskFrom: undefined,
  unwrittenBytes: 0,
})

const shift = (box: Outbox, count: number): void => {
  for (const item of box.kept.splice(0, count)) {
    box.bytes -= item.bytes
    if (item.cursor > box.written) box.unwrittenBytes -= item.bytes
  }
}

const forget = (box: Outbox, count: number): void => {
  shift(box, count)
  box.dropped += count
}

const keep = (box: Outbox, item: Kept): void => {
  box.kept.push(item)
  box.bytes += item.bytes
  if (item.cursor > box.written) box.unwrittenBytes += item.bytes
  while (box.kept.length > box.bounds.itemsMax || box.bytes > box.bounds.bytesMax) forget(box, 1)
}

/** Keeps an item; over a bound the oldest go. */
export const putItem = (box: Outbox, codec: Codec, item: object, nowMs: number): void => {
  const text = JSON.stringify({ cursor: ++box.cursor, ...item })
  keep(box, { cursor: box.cursor, log: box.log, text, bytes: codec.encode(text).length, addedMs: nowMs })
}

/** Drops what is too old. */
export const expireItems = (box: Outbox, nowMs: number): void => {
  const fresh = box.kept.findIndex(item => item.addedMs + box.bounds.ttlMs > nowMs)
  forget(box, fresh < 0 ? box.kept.length : fresh)
}

export const itemsWait = (box: Outbox): boolean => box.inFlight === undefined && (box.kept.length > 0 || box.dropped > box.droppedSent)

/** The next frame's text: items of one life, as many as fit. */
export const nextItemsFrame = (box: Outbox, nowMs: number): string | undefined => {
  expireItems(box, nowMs)
  if (!itemsWait(box)) return undefined
  const items: string[] = []
  const log = box.kept[0]?.log ?? box.log
  let bytes = 0
  for (const item of box.kept) {
    if (item.log !== log) break
    if (items.length > 0 && (bytes + item.bytes > box.bounds.frameBytes || items.length === box.bounds.frameItemsMax)) break
    bytes += item.bytes
    items.push(item.text)
  }
  box.inFlight = { cursor: box.kept[items.length - 1]?.cursor ?? 0 }
  box.droppedSent = box.dropped
  return `{"t":"${box.name}","log":"${log}","items":[${items.join(',')}],"dropped":${box.dropped}}`
}

/**
 * Everything up to `cursor` is safe, but never more than what was sent: of an earlier life's numbers the server may know higher ones than this
 * disk kept. An acknowledgement short of what was sent means: send the rest again.
 */
export const ackItems = (box: Outbox, cursor: number): void => {
  const safe = Math.min(cursor, box.inFlight?.cursor ?? 0)
  box.inFlight = undefined
  const kept = box.kept.findIndex(item => item.cursor > safe)
  shift(box, kept < 0 ? box.kept.length : kept)
}

export const loseItems = (box: Outbox): void => {
  box.inFlight = undefined
}

/** Items that are not on disk. */
export const unwritten = (box: Outbox): readonly OutboxItem[] =>
  box.kept.filter(item => item.cursor > box.written).map(({ cursor, log, text }) => ({ outbox: box.name, cursor, log, text }))

/** Up to which cursor the disk holds what nobody needs any more; undefined: nothing. */
export const forgettable = (box: Outbox): number | undefined => {
  const upTo = Math.min(box.written, (box.kept[0]?.cursor ?? box.cursor + 1) - 1)
  return box.diskFrom !== undefined && box.diskFrom <= upTo ? upTo : undefined
}

/** A batch is on disk: these items of ours, and nothing up to `forgotten`. */
export const outboxWritten = (box: Outbox, items: readonly OutboxItem[], forgotten: number | undefined): void => {
  const first = items[0]?.cursor
  if (forgotten !== undefined) box.diskFrom = forgotten < box.written ? forgotten + 1 : undefined
  if (first !== undefined) {
    box.diskFrom ??= first
    box.written = items[items.length - 1]!.cursor
  }
  box.unwrittenBytes = box.kept.reduce((bytes, item) => bytes + (item.cursor > box.written ? item.bytes : 0), 0)
}

/** Goes on with what the disk held. The age of an item counts anew: how long the device was off is not known. */
export const restoreOutbox = (box: Outbox, codec: Codec, items: readonly OutboxItem[], dropped: number, nowMs: number): void => {
  box.dropped += dropped
  for (const { cursor, log, text } of items) {
    if (cursor <= box.cursor) continue
    box.cursor = cursor
    box.written = cursor
    box.diskFrom ??= cursor
    keep(box, { cursor, log, text, bytes: codec.encode(text).length, addedMs: nowMs })
  }
}
