// What the device tells: last values, events, telemetry, each when it is due, in the order of priority and within the bytes of the day; and
// what of it goes to disk. Part of the device's machine (session-device.ts).

import { isObject } from '../base/json.ts'
import {
  budgetOf,
  bulkRefusal,
  costOfFrame,
  mayGoAtMs,
  readBudget,
  rollDay,
  spend,
  spentOf,
  type Uplink,
  usageWriteAtMs,
  useUplink,
  writeBudget,
} from './budget.ts'
import { restartKeepalive } from './keepalive.ts'
import {
  type ByPriority,
  DAY_MS,
  EVENT_NOTE_CHARS_MAX,
  OUTBOX_FORGET_MS,
  OUTBOX_RETRY_MS,
  OUTBOX_WRITE_BYTES,
  OUTBOX_WRITE_CONNECTED_MS,
  OUTBOX_WRITE_MS,
  PRIORITIES,
  type Priority,
  USAGE_REPORT_MS,
} from './limits.ts'
import type { LinkUsage, OutboxBatch, OutboxItem, OutboxName } from './link.ts'
import { type DeviceEvent, type LinkTerms, PRIORITY_OF, type ServerFrame, type TelemetryItem } from './messages.ts'
import { muxEnd } from './mux.ts'
import { forgettable, itemsWait, nextItemsFrame, type Outbox, outboxWritten, putItem, restoreOutbox, unwritten } from './outbox.ts'
import { parseDeviceFrame } from './parse.ts'
import { type DeviceState, emit, profileOf, sendFrame } from './session-state.ts'
import { digestText, isStatus, nextStatusFrame, putStatus, statusWaits } from './status-outbox.ts'

const OUTBOXES: readonly OutboxName[] = ['events', 'telemetry']

/** Reports go through the server's own check first: a malformed one would only break the connection, again and again. */
const fault = (frame: string): string | undefined => {
  const parsed = parseDeviceFrame(frame)
  return 'error' in parsed ? parsed.error : undefined
}

const complain = (s: DeviceState, message: string, error: string): void => emit(s, { do: 'log', level: 'error', message, error })

export const statusIn = (s: DeviceState, key: string, value: unknown): void => {
  if (isStatus(s.status, key, value)) return
  const refused = fault(
    JSON.stringify({ t: 'status', seq: 1, whole: false, digest: digestText(0n), items: [{ key, value: value ?? null }] }),
  )
  const result = refused === undefined ? putStatus(s.status, s.deps.codec, key, value) : { fault: refused }
  if (result.fault !== undefined) complain(s, `keep status ${key.slice(0, 80)}`, result.fault)
}

const itemsFault = (outbox: OutboxName, log: string, item: string): string | undefined =>
  fault(`{"t":"${outbox}","log":${JSON.stringify(log)},"items":[${item}],"dropped":0}`)

const itemIn = (s: DeviceState, outbox: OutboxName, item: object): void => {
  const refused = itemsFault(outbox, s.deps.run, JSON.stringify({ cursor: 1, ...item }))
  if (refused === undefined) putItem(s.boxes[outbox], s.deps.codec, item, s.nowMs)
  else complain(s, `keep item of ${outbox}`, refused)
}

export const eventIn = (s: DeviceState, event: Omit<DeviceEvent, 'cursor'>): void =>
  itemIn(s, 'events', { ...event, note: event.note.slice(0, EVENT_NOTE_CHARS_MAX) })

export const telemetryIn = (s: DeviceState, item: Omit<TelemetryItem, 'cursor'>): void => itemIn(s, 'telemetry', item)

/** What a frame of the server counts as: a document makes the device converge, so it never waits. */
export const countReceived = (s: DeviceState, type: ServerFrame['t'], chars: number): void => {
  rollDay(s.budget, s.nowMs)
  spend(s.budget, type === 'document' ? 'control' : PRIORITY_OF[type], 'received', costOfFrame(chars))
}

/** The bytes of the day so far, of the uplink in use. */
export const usageOf = (s: DeviceState): LinkUsage => {
  const { budget, boxes } = s
  const { uplink, profile } = budget.uplink
  const waiting: Partial<ByPriority<number>> = {
    status: s.status.dirty.size,
    events: boxes.events.kept.length,
    telemetry: boxes.telemetry.kept.length,
  }
  const dropped: Partial<ByPriority<number>> = { events: boxes.events.dropped, telemetry: boxes.telemetry.dropped }
  const of = (priority: Priority): LinkUsage['perPriority'][Priority] => {
    const { sent, received } = spentOf(budget, priority)
    const budgetBytes = budgetOf(budget, priority)
    return { sentBytes: sent, receivedBytes: received, budgetBytes, waiting: waiting[priority] ?? 0, dropped: dropped[priority] ?? 0 }
  }
  const perPriority = Object.fromEntries(PRIORITIES.map(priority => [priority, of(priority)])) as unknown as LinkUsage['perPriority']
  return { uplink, profile, day: budget.day, dayEndsInMs: Math.max(0, budget.dayStartMs + DAY_MS - s.nowMs), perPriority }
}

/** The usage among the last values: compact, without what moves by itself. */
const reportUsage = (s: DeviceState): void => {
  const { uplink, profile, day, perPriority } = usageOf(s)
  const bytes = PRIORITIES.map(priority => [perPriority[priority].sentBytes, perPriority[priority].receivedBytes])
  const dropped = { events: perPriority.events.dropped, telemetry: perPriority.telemetry.dropped }
  s.usageAtMs = s.nowMs + USAGE_REPORT_MS
  statusIn(s, 'link', { uplink, profile, day, bytes, dropped })
}

export const termsOf = (s: DeviceState): LinkTerms => {
  const { profile, allowBulk } = s.budget.uplink
  return { profile, bulk: allowBulk ?? profileOf(s).allowBulk, ...(s.contactMs === undefined ? {} : { contactMs: s.contactMs }) }
}

/** Says the terms again where the server was last told others: they may change between hello and welcome. */
export const tellTerms = (s: DeviceState): void => {
  const terms = termsOf(s)
  const text = JSON.stringify(terms)
  if (s.phase.is !== 'open' || s.toldTerms === text) return
  s.toldTerms = text
  sendFrame(s, { t: 'terms', terms })
}

/** Bulk that nobody allowed ends when it may go no more. */
export const enforceBulk = (s: DeviceState): void => {
  if (s.mux.streams.size === 0) return
  const refusal = bulkRefusal(s.budget, s.nowMs)
  if (refusal === undefined) return
  for (const id of [...s.mux.streams.keys()]) {
    if (s.allowed.has(id)) continue
    muxEnd(s.mux, id, refusal, s.deps.codec, output => emit(s, output))
    emit(s, { do: 'ended', id, error: refusal })
  }
}

/** In contact again: what waited meanwhile has been gathered long enough. A call, or a link that comes and goes, may end before its delay. */
export const sendWaiting = (s: DeviceState): void => {
  for (const outbox of OUTBOXES) if (itemsWait(s.boxes[outbox])) s.dueAtMs[outbox] = s.nowMs + profileOf(s).statusDelayMs
}

/** Another uplink, or another profile for it: all delays, bounds and intervals are those from here on. */
export const uplinkIn = (s: DeviceState, uplink: Uplink): void => {
  const before = s.budget.uplink
  rollDay(s.budget, s.nowMs)
  useUplink(s.budget, uplink)
  Object.assign(s.dueAtMs, { status: undefined, events: undefined, telemetry: undefined })
  const profile = profileOf(s)
  s.mux.chunkBytes = profile.streamChunkBytes
  if (before.uplink !== uplink.uplink || before.profile !== uplink.profile)
    restartKeepalive(s.keepalive, profile.keepaliveStartMs, profile.keepaliveMs)
  tellTerms(s)
  reportUsage(s)
}

/** What the disk held: items are believed as far as the server would, counters as far as they are sound. */
export const restoreReports = (
  s: DeviceState,
  kept: { readonly items: readonly OutboxItem[]; readonly state: unknown } | undefined,
): void => {
  s.budget.dayStartMs = s.nowMs
  s.budget.writtenAtMs = s.nowMs
  s.usageAtMs = s.nowMs + USAGE_REPORT_MS
  s.mux.chunkBytes = profileOf(s).streamChunkBytes
  if (!kept) return
  const state = isObject(kept.state) ? kept.state : {}
  const dropped = isObject(state['dropped']) ? state['dropped'] : {}
  for (const outbox of OUTBOXES) {
    const mine = kept.items.filter(item => item.outbox === outbox)
    const sound = mine.filter(item => itemsFault(outbox, item.log, item.text) === undefined)
    const count = dropped[outbox]
    const lost = mine.length - sound.length + (typeof count === 'number' && Number.isSafeInteger(count) && count > 0 ? count : 0)
    restoreOutbox(s.boxes[outbox], s.deps.codec, sound, lost, s.nowMs)
  }
  readBudget(s.budget, state['budget'], s.nowMs)
}

const waits = (s: DeviceState, lane: 'status' | OutboxName): boolean =>
  lane === 'status' ? statusWaits(s.status) && !s.statusHeld : itemsWait(s.boxes[lane])

const delayOf = (s: DeviceState, lane: 'status' | OutboxName): number => {
  const { statusDelayMs, eventsDelayMs, telemetryDelayMs } = profileOf(s)
  if (lane === 'status') return s.status.whole ? 0 : statusDelayMs
  return lane === 'events' ? eventsDelayMs : telemetryDelayMs
}

const frameOf = (s: DeviceState, lane: 'status' | OutboxName): string | undefined =>
  lane === 'status' ? nextStatusFrame(s.status) : nextItemsFrame(s.boxes[lane], s.nowMs)

/** Sends what is due of each class, the most important first; a class at the bound of its day waits for the next. */
const sendDue = (s: DeviceState): void => {
  const { nowMs, dueAtMs } = s
  for (const lane of ['status', 'events', 'telemetry'] as const) {
    if (!waits(s, lane)) {
      dueAtMs[lane] = undefined
      continue
    }
    const atMs = Math.max(dueAtMs[lane] ?? nowMs + delayOf(s, lane), mayGoAtMs(s.budget, lane, nowMs))
    dueAtMs[lane] = atMs
    if (nowMs < atMs) continue
    const text = frameOf(s, lane)
    if (text !== undefined) {
      s.saidMs = nowMs
      emit(s, { do: 'send', text, priority: lane })
    }
    dueAtMs[lane] = undefined
  }
}

/** When the disk is to be written; infinite: nothing for it. */
const keepAtMs = (s: DeviceState): number => {
  const { disk, boxes } = s
  if (!s.deps.hasDisk || disk.writing) return Number.POSITIVE_INFINITY
  const patienceMs = s.phase.is === 'open' ? OUTBOX_WRITE_CONNECTED_MS : OUTBOX_WRITE_MS
  const full = OUTBOXES.some(outbox => boxes[outbox].unwrittenBytes >= OUTBOX_WRITE_BYTES)
  const atMs = Math.min(
    full ? s.nowMs : Number.POSITIVE_INFINITY,
    disk.unwrittenSinceMs === undefined ? Number.POSITIVE_INFINITY : disk.unwrittenSinceMs + patienceMs,
    disk.forgettableSinceMs === undefined ? Number.POSITIVE_INFINITY : disk.forgettableSinceMs + OUTBOX_FORGET_MS,
    usageWriteAtMs(s.budget),
  )
  return Math.max(atMs, disk.retryAtMs)
}

const writeDisk = (s: DeviceState): void => {
  const { disk, boxes, nowMs } = s
  const items = OUTBOXES.flatMap(outbox => unwritten(boxes[outbox]))
  const forget: { [O in OutboxName]?: number } = {}
  for (const outbox of OUTBOXES) {
    const upTo = forgettable(boxes[outbox])
    if (upTo !== undefined) forget[outbox] = upTo
  }
  const untold = (box: Outbox): number => box.dropped - box.droppedSent
  const state = {
    dropped: { events: untold(boxes.events), telemetry: untold(boxes.telemetry) },
    budget: writeBudget(s.budget, nowMs),
  }
  disk.writing = { items, forget }
  disk.unwrittenSinceMs = undefined
  disk.forgettableSinceMs = undefined
  const batch: OutboxBatch = { append: items, forget, state }
  emit(s, { do: 'keep', batch })
}

/** Notes since when something waits for the disk, and writes when it is time. */
export const progressDisk = (s: DeviceState): void => {
  const { disk, boxes, nowMs } = s
  if (!s.deps.hasDisk) return
  if (!disk.writing) {
    const some = (has: (box: Outbox) => boolean): boolean => OUTBOXES.some(outbox => has(boxes[outbox]))
    disk.unwrittenSinceMs = some(box => box.unwrittenBytes > 0) ? (disk.unwrittenSinceMs ?? nowMs) : undefined
    disk.forgettableSinceMs = some(box => forgettable(box) !== undefined) ? (disk.forgettableSinceMs ?? nowMs) : undefined
  }
  if (nowMs >= keepAtMs(s)) writeDisk(s)
}

export const kept = (s: DeviceState): void => {
  const { writing } = s.disk
  if (!writing) return
  s.disk.writing = undefined
  for (const outbox of OUTBOXES) {
    const mine = writing.items.filter(item => item.outbox === outbox)
    outboxWritten(s.boxes[outbox], mine, writing.forget[outbox])
  }
}

export const keepFailed = (s: DeviceState, message: string): void => {
  s.disk.writing = undefined
  s.disk.retryAtMs = s.nowMs + OUTBOX_RETRY_MS
  complain(s, 'keep events and counters', message)
}

/** The last words to the disk: all that is not there, if anything. */
export const keepLast = (s: DeviceState): void => {
  const pending = OUTBOXES.some(outbox => s.boxes[outbox].unwrittenBytes > 0 || forgettable(s.boxes[outbox]) !== undefined)
  if (s.deps.hasDisk && (pending || s.budget.unwrittenBytes > 0)) writeDisk(s)
}

/** Everything of this file that is due on an open connection. */
export const progressReports = (s: DeviceState): void => {
  rollDay(s.budget, s.nowMs)
  if (s.nowMs >= s.usageAtMs) reportUsage(s)
  enforceBulk(s)
  sendDue(s)
}

export const reportsAtMs = (s: DeviceState): readonly (number | undefined)[] =>
  s.phase.is === 'open' ? [s.dueAtMs.status, s.dueAtMs.events, s.dueAtMs.telemetry, s.usageAtMs] : []

export const diskAtMs = keepAtMs
