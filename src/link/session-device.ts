// The device's side of the link, over all its connections: when to dial, what to say, what to believe. One machine for the life of the
// agent's process. See session.ts for the form; session-desired.ts has the part about heads and documents.

import { bulkRefusal, spend, type Uplink } from './budget.ts'
import { documentBytes } from './document.ts'
import { keepaliveAtMs, keepaliveDue, keepaliveHeard, keepaliveOpened, keepalivePong } from './keepalive.ts'
import {
  DIAL_TIMEOUT_MS,
  FAILED_SENT_BYTES,
  GREETING_TIMEOUT_MS,
  OPEN_RECEIVED_BYTES,
  OPEN_SENT_BYTES,
  RECONNECT_MIN_MS,
  SESSION_LONG_MS,
} from './limits.ts'
import type { OutboxItem } from './link.ts'
import {
  type DeviceEvent,
  type Document,
  type Head,
  type HeldHead,
  headText,
  type ServerFrame,
  type StreamFrame,
  type TelemetryItem,
  timeText,
} from './messages.ts'
import { type MuxOutput, muxConsumed, muxEnd, muxFrame, muxLost, muxOpened, muxWrite } from './mux.ts'
import { ackItems, loseItems } from './outbox.ts'
import { parseServerFrame } from './parse.ts'
import { beRefused, contactInterval, pauseMs, quietAtMs, retainedHead } from './session-calls.ts'
import {
  acceptConflict,
  desiredAtMs,
  greetDesired,
  offerHead,
  retryDesired,
  saved,
  saveFailed,
  takeDocument,
  takeMissing,
} from './session-desired.ts'
import {
  countReceived,
  diskAtMs,
  eventIn,
  keepFailed,
  keepLast,
  kept,
  progressDisk,
  progressReports,
  reportsAtMs,
  restoreReports,
  sendWaiting,
  statusIn,
  telemetryIn,
  tellTerms,
  termsOf,
  uplinkIn,
} from './session-reports.ts'
import { type DeviceOutput, type DeviceState, emit, profileOf, sendFrame } from './session-state.ts'
import { ackStatus, digestText, loseStatus, offerStatus, restartStatus, settleStatus } from './status-outbox.ts'

export type DeviceInput =
  | {
      readonly in: 'start'
      readonly held: { readonly head: HeldHead; readonly document: Document } | undefined
      readonly kept?: { readonly items: readonly OutboxItem[]; readonly state: unknown }
    }
  | { readonly in: 'opened'; readonly conn: number }
  | { readonly in: 'dialFailed'; readonly conn: number; readonly reason: string; readonly refused?: boolean }
  | { readonly in: 'frame'; readonly conn: number; readonly text: string }
  | { readonly in: 'closed'; readonly conn: number; readonly reason: string }
  | { readonly in: 'wake' }
  | { readonly in: 'status'; readonly key: string; readonly value: unknown }
  | { readonly in: 'event'; readonly event: Omit<DeviceEvent, 'cursor'> }
  | { readonly in: 'telemetry'; readonly item: Omit<TelemetryItem, 'cursor'> }
  | { readonly in: 'kept' }
  | { readonly in: 'keepFailed'; readonly message: string }
  | { readonly in: 'uplink'; readonly uplink: Uplink }
  /** Undefined: always in contact. */
  | { readonly in: 'contactInterval'; readonly ms: number | undefined }
  /** A head that the transport found; not verified. */
  | { readonly in: 'retainedHead'; readonly head: Head }
  /** Bulk that went another way (image pulls), on the wire. */
  | { readonly in: 'spent'; readonly sentBytes: number; readonly receivedBytes: number }
  | { readonly in: 'saved' }
  | { readonly in: 'saveFailed'; readonly message: string }
  /** Dial now; when connected, ask at once whether the connection lives. */
  | { readonly in: 'sync' }
  /** The operator decided on the device: take the head that is in conflict. */
  | { readonly in: 'resume' }
  | { readonly in: 'write'; readonly id: number; readonly data: Uint8Array; readonly channel: number }
  | { readonly in: 'consumed'; readonly id: number; readonly data: Uint8Array }
  | { readonly in: 'end'; readonly id: number; readonly error: string | undefined }
  | { readonly in: 'stop' }

const toOut =
  (s: DeviceState) =>
  (output: MuxOutput): void =>
    emit(s, output)

/** What the disk held: believed only when digest and signature still agree; else the link starts from nothing and fetches. */
const start = (s: DeviceState, held: { readonly head: HeldHead; readonly document: Document } | undefined): void => {
  s.phase = { is: 'waiting', dialAtMs: s.nowMs }
  if (!held) return
  const bytes = documentBytes(s.deps.codec, held.document)
  const isWhole = s.deps.codec.sha256(bytes) === held.head.sha256
  if (isWhole && s.deps.verify(headText(s.deps.device, held.head), held.head.sig)) {
    s.held = { head: held.head, bytes }
    return
  }
  // Of another cluster, after its device was given to this one: it runs on, and decides nothing.
  const message = isWhole
    ? 'stored document is not signed by this server, and runs until its own is here'
    : 'stored document is not what was signed'
  emit(s, { do: 'log', level: 'error', message, error: `generation ${held.head.generation}` })
}

const hello = (s: DeviceState): void => {
  s.phase = { is: 'greeting', untilMs: s.nowMs + GREETING_TIMEOUT_MS }
  const head = s.held?.head
  s.toldSig = head?.sig
  const terms = termsOf(s)
  s.toldTerms = JSON.stringify(terms)
  sendFrame(s, {
    t: 'hello',
    v: 1,
    run: s.deps.run,
    seq: s.conn,
    head: head ? { epoch: head.epoch, generation: head.generation, sha256: head.sha256 } : null,
    statusDigest: offerStatus(s.status),
    ...(s.status.view === s.status.digest ? {} : { statusBase: digestText(s.status.view) }),
    terms,
  })
}

/** The connection or attempt is over, for whatever reason: when to try again. */
const lost = (s: DeviceState, reason: string, planned = false): void => {
  const { phase } = s
  if (phase.is !== 'dialing' && phase.is !== 'greeting' && phase.is !== 'open') return
  s.lastError = planned ? undefined : reason
  if (phase.is === 'dialing') spend(s.budget, 'control', 'sent', FAILED_SENT_BYTES)
  const longLived = phase.is === 'open' && s.nowMs - phase.sinceMs >= SESSION_LONG_MS
  if (longLived || planned) s.attempt = 0
  const delayMs = pauseMs(s, longLived, planned)
  s.phase = { is: 'waiting', dialAtMs: Math.max(s.nowMs + Math.max(delayMs, RECONNECT_MIN_MS), s.busyUntilMs) }
  loseStatus(s.status)
  s.statusHeld = false
  loseItems(s.boxes.events)
  loseItems(s.boxes.telemetry)
  Object.assign(s.dueAtMs, { status: undefined, events: undefined, telemetry: undefined })
  muxLost(s.mux, reason, toOut(s))
  s.allowed.clear()
  if (phase.is === 'open') emit(s, { do: 'contact', connected: false })
}

const hangUp = (s: DeviceState, reason: string): void => {
  emit(s, { do: 'close', conn: s.conn, reason })
  lost(s, reason)
}

const welcome = (s: DeviceState, frame: Extract<ServerFrame, { t: 'welcome' }>): void => {
  s.phase = { is: 'open', sinceMs: s.nowMs }
  s.lastError = undefined
  s.refusals = 0
  s.herdWindowMs = frame.herdWindowMs
  keepaliveOpened(s.keepalive, Math.min(frame.keepaliveMs, profileOf(s).keepaliveMs), s.nowMs)
  emit(s, { do: 'contact', connected: true })
  if (s.deps.verify(timeText(s.deps.device, s.deps.run, frame.time), frame.timeSig)) emit(s, { do: 'serverTime', time: frame.time })
  else emit(s, { do: 'log', level: 'error', message: 'server time is not signed by its key', error: frame.time })
  s.statusHeld = frame.needStatus === 'later'
  if (frame.needStatus === 'all' || frame.needStatus === 'later') restartStatus(s.status)
  else if (frame.needStatus === 'none') settleStatus(s.status)
  s.status.offered = new Map()
  tellTerms(s)
  sendWaiting(s)
  greetDesired(s, frame.head, frame.patch)
}

const busy = (s: DeviceState, retryAfterMs: number): void => {
  s.busyUntilMs = s.nowMs + retryAfterMs + s.deps.random.int(Math.floor(retryAfterMs / 4) + 1)
  hangUp(s, `the server is busy, again in ${Math.ceil(retryAfterMs / 1000)} s`)
  // The server answered; its own spreading takes the place of ours.
  s.attempt = 0
  s.phase = { is: 'waiting', dialAtMs: Math.max(s.busyUntilMs, s.nowMs + RECONNECT_MIN_MS) }
}

type Reader<T extends ServerFrame['t']> = (s: DeviceState, frame: Extract<ServerFrame, { readonly t: T }>) => void

const muxIn = (s: DeviceState, frame: StreamFrame): void => muxFrame(s.mux, frame, s.deps.codec, toOut(s))

const open = (s: DeviceState, { id, credit, request, allowed }: Extract<ServerFrame, { t: 'open' }>): void => {
  if (!muxOpened(s.mux, id, credit, toOut(s))) return
  for (const known of s.allowed) if (!s.mux.streams.has(known)) s.allowed.delete(known)
  if (allowed === true) s.allowed.add(id)
  const refusal = allowed === true ? undefined : bulkRefusal(s.budget, s.nowMs)
  if (refusal === undefined) emit(s, { do: 'open', id, request })
  else muxEnd(s.mux, id, refusal, s.deps.codec, toOut(s))
}

/** What each frame does on an open connection. */
const READERS: { readonly [T in ServerFrame['t']]: Reader<T> } = {
  welcome: s => hangUp(s, 'the server said welcome twice'),
  busy: (s, frame) => busy(s, frame.retryAfterMs),
  head: (s, frame) => offerHead(s, frame.head, frame.patch),
  document: takeDocument,
  missing: (s, frame) => takeMissing(s, frame.sha256),
  needStatus(s) {
    s.statusHeld = false
    restartStatus(s.status)
  },
  statusAck: (s, frame) => ackStatus(s.status, frame.seq),
  eventsAck: (s, frame) => ackItems(s.boxes.events, frame.cursor),
  telemetryAck: (s, frame) => ackItems(s.boxes.telemetry, frame.cursor),
  pong: () => {},
  open,
  data: muxIn,
  credit: muxIn,
  end: muxIn,
}

const frameIn = (s: DeviceState, text: string): void => {
  if (s.phase.is !== 'greeting' && s.phase.is !== 'open') return
  const parsed = parseServerFrame(text)
  if ('error' in parsed) {
    hangUp(s, parsed.error)
    return
  }
  if ('unknown' in parsed) {
    if (s.phase.is !== 'open') hangUp(s, `the server said ${parsed.unknown} before welcome`)
    else countReceived(s, 'pong', text.length)
    return
  }
  const { frame } = parsed
  s.lastContactMs = s.nowMs
  countReceived(s, frame.t, text.length)
  if (frame.t !== 'pong') s.saidMs = s.nowMs
  if (frame.t === 'pong' && s.keepalive.pingSentMs !== undefined) keepalivePong(s.keepalive, frame.n)
  keepaliveHeard(s.keepalive, s.nowMs)
  if (s.phase.is === 'open' || frame.t === 'busy') (READERS[frame.t] as Reader<ServerFrame['t']>)(s, frame)
  else if (frame.t === 'welcome') welcome(s, frame)
  else hangUp(s, `the server said ${frame.t} before welcome`)
}

const syncIn = (s: DeviceState): void => {
  s.refusals = 0
  if (s.phase.is === 'waiting') s.phase = { is: 'waiting', dialAtMs: Math.max(s.nowMs, s.busyUntilMs) }
  else if (s.phase.is === 'open' && s.keepalive.pingSentMs === undefined) s.keepalive.heardMs = s.nowMs - s.keepalive.intervalMs
}

const stop = (s: DeviceState): void => {
  if (s.phase.is === 'dialing' || s.phase.is === 'greeting' || s.phase.is === 'open') hangUp(s, 'the device stops')
  keepLast(s)
  s.phase = { is: 'stopped' }
}

/** What each input does; those of an old connection do nothing. */
const INPUTS: { readonly [I in DeviceInput['in']]: (s: DeviceState, input: Extract<DeviceInput, { readonly in: I }>) => void } = {
  start(s, input) {
    restoreReports(s, input.kept)
    start(s, input.held)
  },
  opened(s, input) {
    if (input.conn !== s.conn || s.phase.is !== 'dialing') return
    spend(s.budget, 'control', 'sent', OPEN_SENT_BYTES)
    spend(s.budget, 'control', 'received', OPEN_RECEIVED_BYTES)
    hello(s)
  },
  dialFailed(s, input) {
    if (input.conn !== s.conn) return
    lost(s, input.reason)
    if (input.refused) beRefused(s)
  },
  closed(s, input) {
    if (input.conn === s.conn) lost(s, input.reason)
  },
  frame(s, input) {
    if (input.conn === s.conn) frameIn(s, input.text)
  },
  wake: () => {},
  status: (s, input) => statusIn(s, input.key, input.value),
  event: (s, input) => eventIn(s, input.event),
  telemetry: (s, input) => telemetryIn(s, input.item),
  kept,
  keepFailed: (s, input) => keepFailed(s, input.message),
  uplink: (s, input) => uplinkIn(s, input.uplink),
  contactInterval: (s, input) => contactInterval(s, input.ms),
  retainedHead: (s, input) => retainedHead(s, input.head),
  spent(s, input) {
    spend(s.budget, 'bulk', 'sent', input.sentBytes)
    spend(s.budget, 'bulk', 'received', input.receivedBytes)
  },
  saved,
  saveFailed: (s, input) => saveFailed(s, input.message),
  sync: syncIn,
  resume: acceptConflict,
  write(s, input) {
    if (muxWrite(s.mux, input.id, input.data, input.channel, s.deps.codec, toOut(s))) emit(s, { do: 'writable', id: input.id })
  },
  consumed: (s, input) => muxConsumed(s.mux, input.id, input.data, toOut(s)),
  end: (s, input) => muxEnd(s.mux, input.id, input.error, s.deps.codec, toOut(s)),
  stop,
}

const take = <I extends DeviceInput['in']>(s: DeviceState, input: Extract<DeviceInput, { readonly in: I }>): void =>
  INPUTS[input.in as I](s, input)

/** Everything that is due by now: level-triggered, so no input needs to know what it sets off. */
const progress = (s: DeviceState): void => {
  const { phase, nowMs } = s
  if (phase.is === 'waiting' && nowMs >= phase.dialAtMs) {
    s.phase = { is: 'dialing', untilMs: nowMs + DIAL_TIMEOUT_MS }
    emit(s, { do: 'dial', conn: ++s.conn })
  }
  if (phase.is === 'dialing' && nowMs >= phase.untilMs) hangUp(s, 'dial server: no answer in time')
  if (phase.is === 'greeting' && nowMs >= phase.untilMs) hangUp(s, 'greet server: no welcome in time')
  if (s.phase.is === 'stopped') return
  retryDesired(s)
  if (s.phase.is === 'open') progressOpen(s)
  progressDisk(s)
}

const progressOpen = (s: DeviceState): void => {
  const due = keepaliveDue(s.keepalive, s.nowMs)
  if (due === 'halfOpen') {
    hangUp(s, 'the connection is half-open: a ping was not answered')
    return
  }
  if (due === 'ping') sendFrame(s, { t: 'ping', n: s.keepalive.n })
  progressReports(s)
  if (s.nowMs < quietAtMs(s)) return
  sendFrame(s, { t: 'bye' })
  emit(s, { do: 'close', conn: s.conn, reason: 'until the next call' })
  lost(s, 'until the next call', true)
}

/** One step; the outputs are to be carried out in order. */
export const stepDevice = (s: DeviceState, input: DeviceInput, nowMs: number): readonly DeviceOutput[] => {
  if (s.phase.is === 'stopped') return []
  s.nowMs = nowMs
  s.out = []
  take(s, input)
  progress(s)
  const { out } = s
  s.out = []
  return out
}

/** When the machine must be stepped with 'wake' at the latest; undefined: nothing is planned. */
export const wakeDeviceAtMs = (s: DeviceState): number | undefined => {
  if (s.phase.is === 'new' || s.phase.is === 'stopped') return undefined
  const at: (number | undefined)[] = [desiredAtMs(s), diskAtMs(s), ...reportsAtMs(s)]
  if (s.phase.is === 'waiting') at.push(s.phase.dialAtMs)
  else if (s.phase.is === 'dialing' || s.phase.is === 'greeting') at.push(s.phase.untilMs)
  else at.push(keepaliveAtMs(s.keepalive), quietAtMs(s))
  const soonest = Math.min(...at.filter(ms => ms !== undefined))
  return soonest === Number.POSITIVE_INFINITY ? undefined : soonest
}
