// The server's side of one connection of one device. What outlives the connection is in the device's record, shared by its sessions;
// documents and heads come from the desk. See session.ts for the form.

import { deepEqual } from '../base/json.ts'
import type { HeadConflict } from '../kinds/conflict.ts'
import { takeToken } from './bucket.ts'
import {
  CHUNK_BYTES_MAX,
  FLOOD_PAUSE_MS,
  FRAMES_BURST,
  FRAMES_PER_SECOND,
  HEAD_PATCH_BYTES_MAX,
  HEAD_PATIENCE_MS,
  PONG_TIMEOUT_MS,
  PROFILES,
  REFUSALS_TOLD_MAX,
  REFUSED_RETRY_MS,
  STREAM_FRAMES_BURST,
  STREAM_FRAMES_PER_SECOND,
} from './limits.ts'
import {
  type DeviceFrame,
  type Head,
  type HeadPatch,
  type LinkTerms,
  PRIORITY_OF,
  type StreamFrame,
  type StreamRequest,
} from './messages.ts'
import { type MuxOutput, muxConsumed, muxEnd, muxFrame, muxLost, muxOpen, muxWrite } from './mux.ts'
import { parseDeviceFrame } from './parse.ts'
import { heldAtMs, itemsDone, progressTaken, statusDone, takeReport } from './session-intake.ts'
import { count, emit, type ServerOutput, type ServerRecord, type ServerState, send } from './session-record.ts'

export type ServerInput =
  | { readonly in: 'frame'; readonly text: string }
  | { readonly in: 'closed'; readonly reason: string }
  | { readonly in: 'wake' }
  /** The desk may have a newer head for the device. */
  | { readonly in: 'changed' }
  | { readonly in: 'resume' }
  | { readonly in: 'statusDone'; readonly ok: boolean }
  | { readonly in: 'eventsDone'; readonly ok: boolean }
  | { readonly in: 'telemetryDone'; readonly ok: boolean }
  | { readonly in: 'openStream'; readonly request: StreamRequest; readonly allowed: boolean }
  | { readonly in: 'write'; readonly id: number; readonly data: Uint8Array; readonly channel: number }
  | { readonly in: 'consumed'; readonly id: number; readonly data: Uint8Array }
  | { readonly in: 'end'; readonly id: number; readonly error: string | undefined }
  | { readonly in: 'stop'; readonly reason: string }

const toOut =
  (s: ServerState) =>
  (output: MuxOutput): void => {
    if (output.do === 'send') count(s, output.priority, 'sent', output.text.length)
    emit(s, output)
  }

const lost = (s: ServerState, reason: string): void => {
  if (s.phase === 'closed') return
  s.phase = 'closed'
  muxLost(s.mux, reason, toOut(s))
}

const hangUp = (s: ServerState, reason: string, planned = false): void => {
  if (s.phase === 'closed') return
  emit(s, { do: 'close', reason, ...(planned ? { planned } : {}) })
  lost(s, reason)
}

/** The head to offer now, if there is one the device was not sent yet. */
const headToOffer = (s: ServerState): Head | undefined => {
  const { desk, record } = s.deps
  const { head, error } = desk.offer(record.device, record.held)
  if (error !== undefined && error !== s.lastError) emit(s, { do: 'refused', why: 'invalid', message: error })
  s.lastError = error
  if (!head) s.offered = undefined
  if (!head || (s.lastSent?.generation === head.generation && s.lastSent.sha256 === head.sha256)) return undefined
  return head
}

/** The patch from what the device said it holds, where that is known and the patch small: it need not fetch then. */
const patchTo = (s: ServerState, { epoch, sha256 }: Head): { readonly patch?: HeadPatch } => {
  const { desk, record, codec } = s.deps
  const { held } = record
  if (held?.epoch !== epoch || held.sha256 === '' || held.sha256 === sha256) return {}
  const patch = desk.patch(record.device, sha256, held.sha256)
  if (!patch || patch.base === '' || patch.bytes.length > HEAD_PATCH_BYTES_MAX) return {}
  return { patch: { base: patch.base, data: codec.toBase64(patch.bytes) } }
}

/** Said after the frame: the head with its patch is there before the one that a transport keeps. */
const offered = (s: ServerState, head: Head): void => {
  s.lastSent = head
  s.offered = { head, atMs: s.nowMs }
  emit(s, { do: 'offered', head })
}

const offer = (s: ServerState): void => {
  const heldBackUntilMs = s.offered ? s.offered.atMs + HEAD_PATIENCE_MS : 0
  if (s.nowMs < heldBackUntilMs) {
    s.offerAtMs = heldBackUntilMs
    return
  }
  s.offerAtMs = undefined
  if (s.renewing) s.deps.desk.renew(s.deps.record.device)
  const head = headToOffer(s)
  if (head) {
    send(s, { t: 'head', head, ...patchTo(s, head) })
    offered(s, head)
  } else if (s.renewing) s.offerAtMs = s.nowMs + REFUSED_RETRY_MS
}

const needStatus = (record: ServerRecord, frame: Extract<DeviceFrame, { t: 'hello' }>): 'none' | 'changes' | 'all' => {
  // A report of the connection before is still being taken: what it leaves behind is not known yet.
  if (record.settling > 0 || record.statusDigest === undefined) return 'all'
  if (record.statusDigest === frame.statusDigest) return 'none'
  return record.statusDigest === (frame.statusBase ?? frame.statusDigest) ? 'changes' : 'all'
}

const hello = (s: ServerState, frame: Extract<DeviceFrame, { t: 'hello' }>): void => {
  const { record, announce, id } = s.deps
  const sameRun = record.run === frame.run
  if (sameRun && frame.seq <= record.seq) {
    hangUp(s, 'a newer connection of this device is there')
    return
  }
  if (!sameRun) {
    record.statusSeq = 0
    record.intakes.events.dropped = 0
    record.intakes.telemetry.dropped = 0
  }
  record.run = frame.run
  record.seq = frame.seq
  record.session = id
  record.held = frame.head
  record.heardMs = s.nowMs
  s.phase = 'open'
  if (!frame.head || frame.head.epoch === s.deps.desk.epoch) follows(s)
  emit(s, { do: 'greeted' })
  if (frame.head) emit(s, { do: 'applied', epoch: frame.head.epoch, generation: frame.head.generation })
  agree(s, frame.terms)
  const need = needStatus(record, frame)
  const waitMs = need === 'all' ? s.deps.wholeStatus(s.nowMs) : 0
  if (need === 'all') record.statusDigest = undefined
  if (waitMs > 0) s.needStatusAtMs = s.nowMs + waitMs
  const head = headToOffer(s) ?? null
  const news = head ? { head, ...patchTo(s, head) } : { head }
  send(s, { t: 'welcome', v: 1, ...announce(frame.run), keepaliveMs: s.keepaliveMs, ...news, needStatus: waitMs > 0 ? 'later' : need })
  if (head) offered(s, head)
}

const agree = (s: ServerState, terms: LinkTerms): void => {
  s.deps.record.terms = terms
  const { keepaliveMs, streamChunkBytes } = PROFILES[terms.profile]
  s.keepaliveMs = keepaliveMs
  s.mux.chunkBytes = streamChunkBytes
}

const fetch = (s: ServerState, frame: Extract<DeviceFrame, { t: 'fetch' }>): void => {
  const { desk, record, codec } = s.deps
  const patch = desk.patch(record.device, frame.sha256, frame.base)
  if (!patch) {
    send(s, { t: 'missing', sha256: frame.sha256 })
    if (s.offered?.head.sha256 === frame.sha256) s.offered = undefined
    offer(s)
    return
  }
  // Asked for a part of the same patch it goes on; of another one, or of none, it begins anew.
  const { bytes, base, tag } = patch
  const from = frame.tag === tag && frame.base === base && frame.offset < bytes.length ? frame.offset : 0
  const to = Math.min(bytes.length, from + frame.bytes)
  for (let offset = from; offset < to; offset += CHUNK_BYTES_MAX) {
    const data = codec.toBase64(bytes.subarray(offset, Math.min(to, offset + CHUNK_BYTES_MAX)))
    send(s, { t: 'document', sha256: frame.sha256, base, tag, offset, size: bytes.length, data })
  }
}

const applied = (s: ServerState, frame: Extract<DeviceFrame, { t: 'applied' }>): void => {
  const { desk, record } = s.deps
  const sent = s.lastSent?.epoch === frame.epoch && s.lastSent.generation === frame.generation ? s.lastSent.sha256 : undefined
  const sha256 = sent ?? desk.digestOf(record.device, frame.generation) ?? ''
  record.held = { epoch: frame.epoch, generation: frame.generation, sha256 }
  if (s.offered && s.offered.head.generation <= frame.generation) s.offered = undefined
  s.renewing = false
  if (frame.epoch === desk.epoch) follows(s)
  emit(s, { do: 'applied', epoch: frame.epoch, generation: frame.generation })
  offer(s)
}

const follows = (s: ServerState): void => {
  const { record } = s.deps
  if (record.conflict === null) return
  record.conflict = null
  emit(s, { do: 'conflict', conflict: null, isNews: true })
}

/** The conflict that a refusal tells of. One that an operator has decided already is none: the device refuses what it should not. */
const conflictIn = (s: ServerState, frame: Extract<DeviceFrame, { t: 'refused' }>): HeadConflict | undefined => {
  const { record, desk } = s.deps
  const { held } = record
  if (frame.why !== 'conflict' || frame.epoch !== desk.epoch || !held || held.epoch === desk.epoch) return undefined
  const isSame = s.lastSent?.generation === frame.generation
  if (isSame && s.lastSent?.replaces?.epoch === held.epoch && s.lastSent.replaces.generation === held.generation) return undefined
  const era = desk.base === undefined ? { epoch: desk.epoch } : { epoch: desk.epoch, base: desk.base }
  return { held: { epoch: held.epoch, generation: held.generation }, ...era }
}

const refused = (s: ServerState, frame: Extract<DeviceFrame, { t: 'refused' }>): void => {
  const { record } = s.deps
  const conflict = conflictIn(s, frame)
  if (conflict) {
    const isNews = !deepEqual(conflict, record.conflict) && s.refusals++ < REFUSALS_TOLD_MAX
    record.conflict = conflict
    emit(s, { do: 'conflict', conflict, isNews })
  } else if (s.refusals++ < REFUSALS_TOLD_MAX) emit(s, { do: 'refused', why: frame.why, message: frame.message })
  if (s.offered?.head.generation !== frame.generation) return
  s.offered = undefined
  if (frame.why !== 'older') return
  s.renewing = true
  s.offerAtMs = s.nowMs + REFUSED_RETRY_MS
}

const muxIn = (s: ServerState, frame: StreamFrame): void => muxFrame(s.mux, frame, s.deps.codec, toOut(s))

const report = (s: ServerState, frame: Extract<DeviceFrame, { readonly t: 'status' | 'events' | 'telemetry' }>): void => {
  const fault = takeReport(s, frame)
  if (fault !== undefined) hangUp(s, fault)
}

/** The data of a stream is bounded by its credit; everything else by rates no honest device comes near. */
const floods = (s: ServerState, frame: Pick<DeviceFrame, 't'> & { readonly id?: number }): boolean => {
  const isOfStream = frame.t === 'data' || frame.t === 'credit'
  if (frame.t === 'data' && s.mux.streams.has(frame.id ?? 0)) return false
  const waitMs = isOfStream
    ? takeToken(s.streamFrames, STREAM_FRAMES_PER_SECOND, STREAM_FRAMES_BURST, s.nowMs)
    : takeToken(s.frames, FRAMES_PER_SECOND, FRAMES_BURST, s.nowMs)
  if (waitMs === 0) return false
  emit(s, { do: 'limited', what: 'flood' })
  send(s, { t: 'busy', retryAfterMs: FLOOD_PAUSE_MS })
  hangUp(s, 'the device sends too much')
  return true
}

/** What each frame does on an open connection. */
const READERS: { readonly [T in DeviceFrame['t']]: (s: ServerState, frame: Extract<DeviceFrame, { readonly t: T }>) => void } = {
  hello: s => hangUp(s, 'the device said hello twice'),
  fetch,
  applied,
  refused,
  terms: (s, frame) => agree(s, frame.terms),
  bye: s => hangUp(s, 'until the next call', true),
  status: report,
  events: report,
  telemetry: report,
  ping: (s, frame) => send(s, { t: 'pong', n: frame.n }),
  data: muxIn,
  credit: muxIn,
  end: muxIn,
}

const frameIn = (s: ServerState, text: string): void => {
  if (s.phase === 'closed') return
  const parsed = parseDeviceFrame(text)
  if ('error' in parsed) {
    hangUp(s, parsed.error)
    return
  }
  if ('unknown' in parsed) {
    if (s.phase !== 'open') hangUp(s, `the device said ${parsed.unknown} before hello`)
    else if (!floods(s, { t: 'ping' })) count(s, PRIORITY_OF.ping, 'received', text.length)
    return
  }
  const { frame } = parsed
  s.heardMs = s.nowMs
  count(s, PRIORITY_OF[frame.t], 'received', text.length)
  if (floods(s, frame)) return
  if (s.phase === 'open') {
    if (s.deps.record.session === s.deps.id) s.deps.record.heardMs = s.nowMs
    ;(READERS[frame.t] as (s: ServerState, frame: DeviceFrame) => void)(s, frame)
  } else if (frame.t === 'hello') hello(s, frame)
  else hangUp(s, `the device said ${frame.t} before hello`)
}

const resume = (s: ServerState): void => {
  const { desk, record } = s.deps
  if (s.phase !== 'open' || !record.held) return
  const { head } = desk.resume(record.device, record.held)
  if (!head) return
  send(s, { t: 'head', head })
  offered(s, head)
}

const INPUTS: { readonly [I in ServerInput['in']]: (s: ServerState, input: Extract<ServerInput, { readonly in: I }>) => void } = {
  frame: (s, input) => frameIn(s, input.text),
  closed: (s, input) => lost(s, input.reason),
  wake: () => {},
  changed(s) {
    if (s.phase !== 'open') return
    const { headDelayMs } = PROFILES[s.deps.record.terms.profile]
    if (headDelayMs === 0) offer(s)
    else s.offerAtMs ??= s.nowMs + headDelayMs
  },
  resume,
  statusDone: (s, input) => statusDone(s, input.ok),
  eventsDone: (s, input) => itemsDone(s, 'events', input.ok),
  telemetryDone: (s, input) => itemsDone(s, 'telemetry', input.ok),
  openStream: (s, input) =>
    emit(s, { do: 'opened', id: s.phase === 'open' ? muxOpen(s.mux, input.request, input.allowed, toOut(s)) : undefined }),
  write(s, input) {
    if (muxWrite(s.mux, input.id, input.data, input.channel, s.deps.codec, toOut(s))) emit(s, { do: 'writable', id: input.id })
  },
  consumed: (s, input) => muxConsumed(s.mux, input.id, input.data, toOut(s)),
  end: (s, input) => muxEnd(s.mux, input.id, input.error, s.deps.codec, toOut(s)),
  stop: (s, input) => hangUp(s, input.reason),
}

/** A device pings within the announced silence; two of them and the time of an answer may pass. */
const silentAtMs = (s: ServerState): number => s.heardMs + 2 * s.keepaliveMs + PONG_TIMEOUT_MS

const progress = (s: ServerState): void => {
  if (s.phase === 'greeting' && s.nowMs >= s.greetUntilMs) hangUp(s, 'the device did not say hello in time')
  if (s.phase !== 'open') return
  if (s.nowMs >= silentAtMs(s)) hangUp(s, 'the device has been silent for too long')
  else {
    if (s.offerAtMs !== undefined && s.nowMs >= s.offerAtMs) offer(s)
    progressTaken(s)
  }
}

const take = <I extends ServerInput['in']>(s: ServerState, input: Extract<ServerInput, { readonly in: I }>): void =>
  INPUTS[input.in as I](s, input)

/** One step; the outputs are to be carried out in order. */
export const stepServer = (s: ServerState, input: ServerInput, nowMs: number): readonly ServerOutput[] => {
  s.nowMs = nowMs
  s.out = []
  take(s, input)
  progress(s)
  const { out } = s
  s.out = []
  return out
}

/** When the machine must be stepped with 'wake' at the latest; undefined: it is closed. */
export const wakeServerAtMs = (s: ServerState): number | undefined => {
  if (s.phase === 'closed') return undefined
  if (s.phase === 'greeting') return s.greetUntilMs
  return Math.min(...[silentAtMs(s), s.offerAtMs, ...heldAtMs(s)].filter(ms => ms !== undefined))
}
