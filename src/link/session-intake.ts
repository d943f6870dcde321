// What a device reports, on the server: one report of a kind at a time, in the callback's hands until it settles, acknowledged when it is
// taken. A device that reports too much is held up by its own unacknowledged report. Part of the server's machine (session-server.ts).

import { takeToken } from './bucket.ts'
import { REPORT_RETRY_MS, REPORTS_BURST, REPORTS_PER_SECOND } from './limits.ts'
import type { OutboxName } from './link.ts'
import { emit, type Report, type ServerState, send } from './session-record.ts'

const OUTBOXES: readonly OutboxName[] = ['events', 'telemetry']

const isCurrent = (s: ServerState): boolean => s.deps.record.session === s.deps.id

/** A report of this kind is not acknowledged yet. */
const isPending = (s: ServerState, type: Report['t']): boolean => {
  if (s.held.some(frame => frame.t === type)) return true
  return type === 'status' ? s.status !== undefined : s.taking[type] !== undefined || s.ackAtMs[type] !== undefined
}

const takeStatus = (s: ServerState, frame: Extract<Report, { t: 'status' }>): void => {
  const { record } = s.deps
  if (frame.seq <= record.statusSeq) return
  record.statusSeq = frame.seq
  record.settling++
  s.status = { seq: frame.seq, digest: frame.digest }
  emit(s, { do: 'status', items: frame.items, whole: frame.whole })
}

const ack = (s: ServerState, outbox: OutboxName, cursor: number): void =>
  send(s, outbox === 'events' ? { t: 'eventsAck', cursor } : { t: 'telemetryAck', cursor })

/** Items beyond those that were taken before; in their order, so that a cursor says it all. */
const newItems = <T extends { readonly cursor: number }>(items: readonly T[], cursor: number): readonly T[] =>
  items.filter((item, i) => item.cursor > Math.max(cursor, items[i - 1]?.cursor ?? 0))

const takeItems = (s: ServerState, frame: Extract<Report, { t: OutboxName }>): void => {
  const intake = s.deps.record.intakes[frame.t]
  if (intake.log !== frame.log) {
    intake.log = frame.log
    intake.cursor = 0
  }
  const dropped = Math.max(0, frame.dropped - intake.dropped)
  const items = newItems<{ readonly cursor: number }>(frame.items, intake.cursor)
  const cursor = items.at(-1)?.cursor ?? intake.cursor
  if (items.length === 0 && dropped === 0) {
    ack(s, frame.t, cursor)
    return
  }
  s.taking[frame.t] = { cursor, dropped: frame.dropped }
  if (frame.t === 'events') emit(s, { do: 'events', items: newItems(frame.items, intake.cursor), dropped })
  else emit(s, { do: 'telemetry', items: newItems(frame.items, intake.cursor), dropped })
}

const takeNow = (s: ServerState, frame: Report): void => (frame.t === 'status' ? takeStatus(s, frame) : takeItems(s, frame))

/** Takes a report, or holds it until the device may make one more. The fault of a device that did not wait, or undefined. */
export const takeReport = (s: ServerState, frame: Report): string | undefined => {
  if (isPending(s, frame.t)) return `the device sent ${frame.t} before the last was acknowledged`
  const waitMs = s.held.length > 0 ? 1 : takeToken(s.deps.record.reports, REPORTS_PER_SECOND, REPORTS_BURST, s.nowMs)
  if (waitMs === 0) takeNow(s, frame)
  else {
    s.held = [...s.held, frame]
    s.heldUntilMs ??= s.nowMs + waitMs
    emit(s, { do: 'limited', what: 'reports' })
  }
  return undefined
}

const releaseHeld = (s: ServerState): void => {
  const [frame] = s.held
  if (!frame || s.nowMs < (s.heldUntilMs ?? 0)) return
  const waitMs = takeToken(s.deps.record.reports, REPORTS_PER_SECOND, REPORTS_BURST, s.nowMs)
  s.heldUntilMs = s.nowMs + Math.max(1, waitMs)
  if (waitMs > 0) return
  s.held = s.held.slice(1)
  if (s.held.length === 0) s.heldUntilMs = undefined
  takeNow(s, frame)
}

export const statusDone = (s: ServerState, ok: boolean): void => {
  const { record } = s.deps
  const { status: pending } = s
  if (!pending) return
  s.status = undefined
  record.settling--
  if (isCurrent(s)) record.statusDigest = ok ? pending.digest : undefined
  if (s.phase !== 'open') return
  if (ok) send(s, { t: 'statusAck', seq: pending.seq })
  else s.needStatusAtMs = s.nowMs + REPORT_RETRY_MS
}

export const itemsDone = (s: ServerState, outbox: OutboxName, ok: boolean): void => {
  const intake = s.deps.record.intakes[outbox]
  const pending = s.taking[outbox]
  if (!pending) return
  s.taking[outbox] = undefined
  if (ok && isCurrent(s)) {
    intake.cursor = Math.max(intake.cursor, pending.cursor)
    intake.dropped = Math.max(intake.dropped, pending.dropped)
  }
  if (s.phase !== 'open') return
  if (ok) ack(s, outbox, pending.cursor)
  else s.ackAtMs[outbox] = s.nowMs + REPORT_RETRY_MS
}

/** Everything of this file that is due on an open connection. */
export const progressTaken = (s: ServerState): void => {
  releaseHeld(s)
  if (s.needStatusAtMs !== undefined && s.nowMs >= s.needStatusAtMs) {
    s.needStatusAtMs = undefined
    send(s, { t: 'needStatus' })
  }
  for (const outbox of OUTBOXES) {
    const atMs = s.ackAtMs[outbox]
    if (atMs === undefined || s.nowMs < atMs) continue
    s.ackAtMs[outbox] = undefined
    ack(s, outbox, s.deps.record.intakes[outbox].cursor)
  }
}

export const heldAtMs = (s: ServerState): readonly (number | undefined)[] => [
  s.heldUntilMs,
  s.needStatusAtMs,
  s.ackAtMs.events,
  s.ackAtMs.telemetry,
]
