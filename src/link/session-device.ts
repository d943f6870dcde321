// The device's side of the link, over all its connections: when to dial, what to say, what to believe. One machine for the life of the
// agent's process. See session.ts for the form; session-desired.ts has the part about heads and documents.

import { jitteredMs } from '../base/backoff.ts'
import { documentBytes } from './document.ts'
import { ackEvents, eventsWait, loseEvents, nextEventsFrame, putEvent } from './event-outbox.ts'
import { keepaliveAtMs, keepaliveDue, keepaliveHeard, keepaliveOpened, keepalivePong } from './keepalive.ts'
import {
  DIAL_TIMEOUT_MS,
  EVENT_NOTE_CHARS_MAX,
  GREETING_TIMEOUT_MS,
  HERD_WINDOW_MS_MIN,
  RECONNECT_BASE_MS,
  RECONNECT_MIN_MS,
  SESSION_LONG_MS,
} from './limits.ts'
import { type DeviceEvent, type Document, type HeldHead, headText, type ServerFrame, type StreamFrame, timeText } from './messages.ts'
import { type MuxOutput, muxConsumed, muxEnd, muxFrame, muxLost, muxOpened, muxWrite } from './mux.ts'
import { parseDeviceFrame, parseServerFrame } from './parse.ts'
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
import { type DeviceOutput, type DeviceState, emit, sendFrame } from './session-state.ts'
import {
  ackStatus,
  digestText,
  isStatus,
  loseStatus,
  nextStatusFrame,
  offerStatus,
  putStatus,
  restartStatus,
  settleStatus,
  statusWaits,
} from './status-outbox.ts'

export type DeviceInput =
  | { readonly in: 'start'; readonly held: { readonly head: HeldHead; readonly document: Document } | undefined }
  | { readonly in: 'opened'; readonly conn: number }
  | { readonly in: 'dialFailed'; readonly conn: number; readonly reason: string }
  | { readonly in: 'frame'; readonly conn: number; readonly text: string }
  | { readonly in: 'closed'; readonly conn: number; readonly reason: string }
  | { readonly in: 'wake' }
  | { readonly in: 'status'; readonly key: string; readonly value: unknown }
  | { readonly in: 'event'; readonly event: Omit<DeviceEvent, 'cursor'> }
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
  if (s.deps.codec.sha256(bytes) === held.head.sha256 && s.deps.verify(headText(s.deps.device, held.head), held.head.sig))
    s.held = { head: held.head, bytes }
  else
    emit(s, { do: 'log', level: 'error', message: 'stored document is not what was signed', error: `generation ${held.head.generation}` })
}

const hello = (s: DeviceState): void => {
  s.phase = { is: 'greeting', untilMs: s.nowMs + GREETING_TIMEOUT_MS }
  const head = s.held?.head
  s.toldSig = head?.sig
  sendFrame(s, {
    t: 'hello',
    v: 1,
    bootID: s.deps.bootID,
    run: s.deps.run,
    seq: s.conn,
    head: head ? { epoch: head.epoch, generation: head.generation, sha256: head.sha256 } : null,
    statusDigest: offerStatus(s.status),
    statusBase: digestText(s.status.view),
  })
}

/** The connection or attempt is over, for whatever reason: when to try again. */
const lost = (s: DeviceState, reason: string): void => {
  const { phase, deps } = s
  if (phase.is !== 'dialing' && phase.is !== 'greeting' && phase.is !== 'open') return
  s.lastError = reason
  const longLived = phase.is === 'open' && s.nowMs - phase.sinceMs >= SESSION_LONG_MS
  if (longLived) s.attempt = 0
  const policy = { baseMs: RECONNECT_BASE_MS, capMs: deps.profile.reconnectCapMs }
  const delayMs = longLived
    ? deps.random.int(Math.max(s.herdWindowMs, HERD_WINDOW_MS_MIN) + 1)
    : jitteredMs(policy, s.attempt++, deps.random)
  s.phase = { is: 'waiting', dialAtMs: Math.max(s.nowMs + Math.max(delayMs, RECONNECT_MIN_MS), s.busyUntilMs) }
  loseStatus(s.status)
  loseEvents(s.events)
  s.statusAtMs = undefined
  s.eventsAtMs = undefined
  muxLost(s.mux, reason, toOut(s))
  if (phase.is === 'open') emit(s, { do: 'contact', connected: false })
}

const hangUp = (s: DeviceState, reason: string): void => {
  emit(s, { do: 'close', conn: s.conn, reason })
  lost(s, reason)
}

const welcome = (s: DeviceState, frame: Extract<ServerFrame, { t: 'welcome' }>): void => {
  s.phase = { is: 'open', sinceMs: s.nowMs }
  s.lastError = undefined
  s.herdWindowMs = frame.herdWindowMs
  keepaliveOpened(s.keepalive, frame.keepaliveMs, s.nowMs)
  emit(s, { do: 'contact', connected: true })
  if (s.deps.verify(timeText(s.deps.device, s.deps.run, frame.time), frame.timeSig)) emit(s, { do: 'serverTime', time: frame.time })
  else emit(s, { do: 'log', level: 'error', message: 'server time is not signed by its key', error: frame.time })
  if (frame.needStatus === 'all') restartStatus(s.status)
  else if (frame.needStatus === 'none') settleStatus(s.status)
  s.status.offered = new Map()
  greetDesired(s, frame.head)
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

/** What each frame does on an open connection. */
const READERS: { readonly [T in ServerFrame['t']]: Reader<T> } = {
  welcome: s => hangUp(s, 'the server said welcome twice'),
  busy: (s, frame) => busy(s, frame.retryAfterMs),
  head: (s, frame) => offerHead(s, frame.head),
  document: takeDocument,
  missing: (s, frame) => takeMissing(s, frame.sha256),
  needStatus: s => restartStatus(s.status),
  statusAck: (s, frame) => ackStatus(s.status, frame.seq),
  eventsAck: (s, frame) => ackEvents(s.events, frame.cursor),
  pong: () => {},
  open(s, frame) {
    if (muxOpened(s.mux, frame.id, frame.credit, toOut(s))) emit(s, { do: 'open', id: frame.id, request: frame.request })
  },
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
  const { frame } = parsed
  s.lastContactMs = s.nowMs
  if (frame.t === 'pong' && s.keepalive.pingSentMs !== undefined) keepalivePong(s.keepalive, frame.n)
  keepaliveHeard(s.keepalive, s.nowMs)
  if (s.phase.is === 'open' || frame.t === 'busy') (READERS[frame.t] as Reader<ServerFrame['t']>)(s, frame)
  else if (frame.t === 'welcome') welcome(s, frame)
  else hangUp(s, `the server said ${frame.t} before welcome`)
}

/** Reports go through the server's own check first: a malformed one would only break the connection, again and again. */
const fault = (frame: string): string | undefined => {
  const parsed = parseDeviceFrame(frame)
  return 'error' in parsed ? parsed.error : undefined
}

const statusIn = (s: DeviceState, key: string, value: unknown): void => {
  if (isStatus(s.status, key, value)) return
  const refused = fault(
    JSON.stringify({ t: 'status', seq: 1, whole: false, digest: digestText(0n), items: [{ key, value: value ?? null }] }),
  )
  const result = refused === undefined ? putStatus(s.status, s.deps.codec, key, value) : { fault: refused }
  if (result.fault !== undefined) emit(s, { do: 'log', level: 'error', message: `keep status ${key.slice(0, 80)}`, error: result.fault })
}

const eventIn = (s: DeviceState, event: Omit<DeviceEvent, 'cursor'>): void => {
  const short = { ...event, note: event.note.slice(0, EVENT_NOTE_CHARS_MAX) }
  const refused = fault(JSON.stringify({ t: 'events', items: [{ cursor: 1, ...short }], dropped: 0 }))
  if (refused === undefined) putEvent(s.events, s.deps.codec, short, s.nowMs)
  else emit(s, { do: 'log', level: 'error', message: 'keep event', error: refused })
}

const syncIn = (s: DeviceState): void => {
  if (s.phase.is === 'waiting') s.phase = { is: 'waiting', dialAtMs: Math.max(s.nowMs, s.busyUntilMs) }
  else if (s.phase.is === 'open' && s.keepalive.pingSentMs === undefined) s.keepalive.heardMs = s.nowMs - s.keepalive.intervalMs
}

const stop = (s: DeviceState): void => {
  if (s.phase.is === 'dialing' || s.phase.is === 'greeting' || s.phase.is === 'open') hangUp(s, 'the device stops')
  s.phase = { is: 'stopped' }
}

/** What each input does; those of an old connection do nothing. */
const INPUTS: { readonly [I in DeviceInput['in']]: (s: DeviceState, input: Extract<DeviceInput, { readonly in: I }>) => void } = {
  start: (s, input) => start(s, input.held),
  opened(s, input) {
    if (input.conn === s.conn && s.phase.is === 'dialing') hello(s)
  },
  dialFailed(s, input) {
    if (input.conn === s.conn) lost(s, input.reason)
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
  if (s.phase.is !== 'stopped') retryDesired(s)
  if (s.phase.is !== 'open') return
  const due = keepaliveDue(s.keepalive, nowMs)
  if (due === 'halfOpen') {
    hangUp(s, 'the connection is half-open: a ping was not answered')
    return
  }
  if (due === 'ping') sendFrame(s, { t: 'ping', n: s.keepalive.n })
  const { statusDelayMs, eventsDelayMs } = s.deps.profile
  s.statusAtMs = statusWaits(s.status) ? (s.statusAtMs ?? nowMs + (s.status.whole ? 0 : statusDelayMs)) : undefined
  if (s.statusAtMs !== undefined && nowMs >= s.statusAtMs) {
    const text = nextStatusFrame(s.status)
    if (text !== undefined) emit(s, { do: 'send', text })
    s.statusAtMs = undefined
  }
  s.eventsAtMs = eventsWait(s.events) ? (s.eventsAtMs ?? nowMs + eventsDelayMs) : undefined
  if (s.eventsAtMs !== undefined && nowMs >= s.eventsAtMs) {
    const text = nextEventsFrame(s.events, nowMs)
    if (text !== undefined) emit(s, { do: 'send', text })
    s.eventsAtMs = undefined
  }
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
  const at: (number | undefined)[] = [desiredAtMs(s)]
  if (s.phase.is === 'waiting') at.push(s.phase.dialAtMs)
  else if (s.phase.is === 'dialing' || s.phase.is === 'greeting') at.push(s.phase.untilMs)
  else if (s.phase.is === 'open') at.push(keepaliveAtMs(s.keepalive), s.statusAtMs, s.eventsAtMs)
  else return undefined
  const soonest = Math.min(...at.filter(ms => ms !== undefined))
  return soonest === Number.POSITIVE_INFINITY ? undefined : soonest
}
