// What a device reports, on the server: one report of a kind at a time, in the callback's hands until it settles, acknowledged when it is
// taken. A device that reports too much is held up by its own unacknowledged report. Part of the server's machine (session-server.ts).

import { takeToken } from './bucket.ts'
import {
  INTAKE_LOGS_MAX,
  PROFILES,
  REPORT_RETRY_DELAYS,
  REPORT_RETRY_MS,
  REPORTS_BURST,
  REPORTS_PER_SECOND,
  SETTLE_LOOK_MS,
} from './limits.ts'
import type { OutboxName } from './link.ts'
import { emit, type Intake, type Report, type ServerState, send, type Taking } from './session-record.ts'

const OUTBOXES: readonly OutboxName[] = ['events', 'telemetry']

const isCurrent = (s: ServerState): boolean => s.deps.record.session === s.deps.id

/** A report of this kind is not acknowledged yet. */
const isPending = (s: ServerState, type: Report['t']): boolean => {
  if (s.held.some(frame => frame.t === type)) return true
  return type === 'status' ? s.status !== undefined : s.taking[type] !== undefined || s.again[type] !== undefined
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

const takenOf = ({ cursors }: Intake, log: string): number => cursors.find(taken => taken.log === log)?.cursor ?? 0

const takeItems = (s: ServerState, frame: Extract<Report, { t: OutboxName }>): void => {
  const intake = s.deps.record.intakes[frame.t]
  const taken = takenOf(intake, frame.log)
  const dropped = Math.max(0, frame.dropped - intake.dropped)
  const items = newItems<{ readonly cursor: number }>(frame.items, taken)
  const cursor = items.at(-1)?.cursor ?? taken
  if (items.length === 0 && dropped === 0) {
    ack(s, frame.t, cursor)
    return
  }
  intake.settling++
  s.taking[frame.t] = { run: s.deps.record.run, log: frame.log, cursor, dropped: frame.dropped }
  if (frame.t === 'events') emit(s, { do: 'events', items: newItems(frame.items, taken), dropped })
  else emit(s, { do: 'telemetry', items: newItems(frame.items, taken), dropped })
}

const takeNow = (s: ServerState, frame: Report): void => (frame.t === 'status' ? takeStatus(s, frame) : takeItems(s, frame))

/** How long a report must wait: for a callback of the connection before, or for its rate; 0: take it. */
const waitMsOf = (s: ServerState, frame: Report): number => {
  const { record } = s.deps
  if (frame.t !== 'status' && record.intakes[frame.t].settling > 0) return SETTLE_LOOK_MS
  return takeToken(record.reports, REPORTS_PER_SECOND, REPORTS_BURST, s.nowMs)
}

/** Takes a report, or holds it until the device may make one more. The fault of a device that did not wait, or undefined. */
export const takeReport = (s: ServerState, frame: Report): string | undefined => {
  if (isPending(s, frame.t)) return `the device sent ${frame.t} before the last was acknowledged`
  const waitMs = s.held.length > 0 ? 1 : waitMsOf(s, frame)
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
  const waitMs = waitMsOf(s, frame)
  s.heldUntilMs = s.nowMs + Math.max(1, waitMs)
  if (waitMs > 0) return
  s.held = s.held.slice(1)
  if (s.held.length === 0) s.heldUntilMs = undefined
  takeNow(s, frame)
}

/** When a rejected report is asked for again: on a costly link later. */
const retryAtMs = (s: ServerState): number =>
  s.nowMs + Math.max(REPORT_RETRY_MS, REPORT_RETRY_DELAYS * PROFILES[s.deps.record.terms.profile].statusDelayMs)

export const statusDone = (s: ServerState, ok: boolean): void => {
  const { record } = s.deps
  const { status: pending } = s
  if (!pending) return
  s.status = undefined
  record.settling--
  if (isCurrent(s)) record.statusDigest = ok ? pending.digest : undefined
  if (s.phase !== 'open') return
  if (ok) send(s, { t: 'statusAck', seq: pending.seq })
  else s.needStatusAtMs = retryAtMs(s)
}

/** Lives of the device that are long over are forgotten: what they left on its disk has come since. */
const note = (intake: Intake, { log, cursor }: Taking): void => {
  const taken = { log, cursor: Math.max(cursor, takenOf(intake, log)) }
  intake.cursors = [...intake.cursors.filter(other => other.log !== log), taken].slice(-INTAKE_LOGS_MAX)
}

export const itemsDone = (s: ServerState, outbox: OutboxName, ok: boolean): void => {
  const intake = s.deps.record.intakes[outbox]
  const pending = s.taking[outbox]
  if (!pending) return
  s.taking[outbox] = undefined
  intake.settling--
  if (ok) note(intake, pending)
  if (ok && s.deps.record.run === pending.run) intake.dropped = Math.max(intake.dropped, pending.dropped)
  if (s.phase !== 'open') return
  if (ok) ack(s, outbox, pending.cursor)
  else s.again[outbox] = { cursor: takenOf(intake, pending.log), atMs: retryAtMs(s) }
}

/** Everything of this file that is due on an open connection. */
export const progressTaken = (s: ServerState): void => {
  releaseHeld(s)
  if (s.needStatusAtMs !== undefined && s.nowMs >= s.needStatusAtMs) {
    s.needStatusAtMs = undefined
    send(s, { t: 'needStatus' })
  }
  for (const outbox of OUTBOXES) {
    const again = s.again[outbox]
    if (again === undefined || s.nowMs < again.atMs) continue
    s.again[outbox] = undefined
    ack(s, outbox, again.cursor)
  }
}

export const heldAtMs = (s: ServerState): readonly (number | undefined)[] => [
  s.heldUntilMs,
  s.needStatusAtMs,
  s.again.events?.atMs,
  s.again.telemetry?.atMs,
]
