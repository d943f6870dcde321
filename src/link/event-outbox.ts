// The device's events on their way up: append-only, numbered, bounded by count, bytes and age, the oldest dropped and counted. One batch
// in flight; what was not acknowledged is sent again. PURE.

import type { Codec } from './codec.ts'
import {
  EVENT_NOTE_CHARS_MAX,
  EVENT_TTL_MS,
  EVENTS_FRAME_BYTES,
  EVENTS_FRAME_ITEMS_MAX,
  EVENTS_KEPT_BYTES_MAX,
  EVENTS_KEPT_MAX,
} from './limits.ts'
import type { DeviceEvent } from './messages.ts'

interface Kept {
  readonly cursor: number
  readonly text: string
  readonly bytes: number
  readonly addedMs: number
}

export interface EventOutbox {
  readonly kept: Kept[]
  bytes: number
  cursor: number
  /** Since the run began. */
  dropped: number
  droppedSent: number
  inFlight: { readonly cursor: number } | undefined
}

export const newEventOutbox = (): EventOutbox => ({ kept: [], bytes: 0, cursor: 0, dropped: 0, droppedSent: 0, inFlight: undefined })

const shift = (box: EventOutbox, count: number): void => {
  for (const event of box.kept.splice(0, count)) box.bytes -= event.bytes
}

const forget = (box: EventOutbox, count: number): void => {
  shift(box, count)
  box.dropped += count
}

/** Keeps an event; over a bound the oldest go. */
export const putEvent = (box: EventOutbox, codec: Codec, event: Omit<DeviceEvent, 'cursor'>, nowMs: number): void => {
  const note = event.note.slice(0, EVENT_NOTE_CHARS_MAX)
  const text = JSON.stringify({ cursor: ++box.cursor, ...event, note })
  const bytes = codec.encode(text).length
  box.kept.push({ cursor: box.cursor, text, bytes, addedMs: nowMs })
  box.bytes += bytes
  while (box.kept.length > EVENTS_KEPT_MAX || box.bytes > EVENTS_KEPT_BYTES_MAX) forget(box, 1)
}

export const eventsWait = (box: EventOutbox): boolean =>
  box.inFlight === undefined && (box.kept.length > 0 || box.dropped > box.droppedSent)

export const nextEventsFrame = (box: EventOutbox, nowMs: number): string | undefined => {
  const expired = box.kept.findIndex(event => event.addedMs + EVENT_TTL_MS > nowMs)
  forget(box, expired < 0 ? box.kept.length : expired)
  if (!eventsWait(box)) return undefined
  const items: string[] = []
  let bytes = 0
  for (const event of box.kept) {
    if (items.length > 0 && (bytes + event.bytes > EVENTS_FRAME_BYTES || items.length === EVENTS_FRAME_ITEMS_MAX)) break
    bytes += event.bytes
    items.push(event.text)
  }
  box.inFlight = { cursor: box.kept[items.length - 1]?.cursor ?? 0 }
  box.droppedSent = box.dropped
  return `{"t":"events","items":[${items.join(',')}],"dropped":${box.dropped}}`
}

/** Everything up to `cursor` is safe. An acknowledgement short of what was sent means: send the rest again. */
export const ackEvents = (box: EventOutbox, cursor: number): void => {
  box.inFlight = undefined
  const kept = box.kept.findIndex(event => event.cursor > cursor)
  shift(box, kept < 0 ? box.kept.length : kept)
}

export const loseEvents = (box: EventOutbox): void => {
  box.inFlight = undefined
}
