// What the server keeps of a device between its connections, the record one session's machine works on, and what it may ask for.
// Only session-server.ts changes them.

import type { HeadConflict } from '../kinds/conflict.ts'
import { type Bucket, newBucket } from './bucket.ts'
import type { Codec } from './codec.ts'
import type { Desk, HeldClaim } from './desk.ts'
import { FRAMES_BURST, GREETING_TIMEOUT_MS, PRIORITIES, type Priority, REPORTS_BURST, STREAM_FRAMES_BURST } from './limits.ts'
import type { OutboxName } from './link.ts'
import {
  type DeviceEvent,
  type DeviceFrame,
  type Head,
  type LinkTerms,
  PRIORITY_OF,
  type RefusalReason,
  type ServerFrame,
  type StatusItem,
  type TelemetryItem,
} from './messages.ts'
import { type Mux, type MuxOutput, newMux } from './mux.ts'

/** What was taken of one of the device's outboxes. */
export interface Intake {
  /** Up to which cursor everything was taken of each life of the device, the present one last; at most INTAKE_LOGS_MAX. */
  cursors: readonly { readonly log: string; readonly cursor: number }[]
  /** In the device's present run. */
  dropped: number
  /** Callbacks that have not settled, of any session: what comes again meanwhile waits, so that nothing is taken twice. */
  settling: number
}

/** What the server knows of a device in memory; all of it can be lost, the device says it again. */
export interface ServerRecord {
  readonly device: string
  run: string
  /** Number of the newest connection of this run. */
  seq: number
  /** The session that was greeted last; only it may note what was reported. */
  session: number
  held: HeldClaim
  /** Why the device does not follow this server; null: it does, undefined: it has not said yet. */
  conflict: HeadConflict | null | undefined
  statusSeq: number
  /** Digest of what the callback has taken; undefined: not known, ask for all. */
  statusDigest: string | undefined
  /** Status callbacks that have not settled, of any session. */
  settling: number
  readonly intakes: { readonly [O in OutboxName]: Intake }
  terms: LinkTerms
  /** Reports it may still make; over its connections. */
  readonly reports: Bucket
  /** Bytes of frames sent and received since the server's start, as PRIORITIES, two each. */
  readonly bytes: number[]
  heardMs: number
}

const NONE: Intake['cursors'] = []
const newIntake = (): Intake => ({ cursors: NONE, dropped: 0, settling: 0 })
const FIRST_TERMS: LinkTerms = { profile: 'lan', bulk: true }

export const newRecord = (device: string): ServerRecord => ({
  device,
  run: '',
  seq: 0,
  session: 0,
  held: null,
  conflict: undefined,
  statusSeq: 0,
  statusDigest: undefined,
  settling: 0,
  intakes: { events: newIntake(), telemetry: newIntake() },
  terms: FIRST_TERMS,
  reports: newBucket(REPORTS_BURST),
  bytes: PRIORITIES.flatMap(() => [0, 0]),
  heardMs: 0,
})

export interface Announcement {
  readonly time: string
  readonly timeSig: string
  readonly herdWindowMs: number
}

export interface ServerSessionDeps {
  /** Different for each session of this process, rising. */
  readonly id: number
  readonly record: ServerRecord
  readonly desk: Desk
  readonly codec: Codec
  /** What is told to a device that says hello in this run. */
  readonly announce: (run: string) => Announcement
  /** 0: the device may send its whole status now; else the milliseconds after which to ask it. */
  readonly wholeStatus: (nowMs: number) => number
}

export type ServerOutput =
  /** `planned`: the device calls again by its contact interval. */
  | { readonly do: 'close'; readonly reason: string; readonly planned?: boolean }
  /** The device was slowed down (reports) or sent away (flood); to be counted. */
  | { readonly do: 'limited'; readonly what: 'reports' | 'flood' }
  /** A head goes out; a transport that keeps one for the device takes it. */
  | { readonly do: 'offered'; readonly head: Head }
  /** Hello was accepted: this session is the device's now, an older one is to be stopped. */
  | { readonly do: 'greeted' }
  /** To be answered by 'statusDone'; one at a time. */
  | { readonly do: 'status'; readonly items: readonly StatusItem[]; readonly whole: boolean }
  /** To be answered by 'eventsDone'; one at a time. `dropped` is new since the last report. */
  | { readonly do: 'events'; readonly items: readonly DeviceEvent[]; readonly dropped: number }
  /** To be answered by 'telemetryDone'; one at a time. */
  | { readonly do: 'telemetry'; readonly items: readonly TelemetryItem[]; readonly dropped: number }
  | { readonly do: 'applied'; readonly epoch: string; readonly generation: number }
  | { readonly do: 'refused'; readonly why: RefusalReason; readonly message: string }
  /** The record's conflict is this now; said at each head refused for it, `isNews` when it was another one before. */
  | { readonly do: 'conflict'; readonly conflict: HeadConflict | null; readonly isNews: boolean }
  /** Answer to 'openStream': undefined when too many are open. */
  | { readonly do: 'opened'; readonly id: number | undefined }
  | MuxOutput

export interface Taking {
  readonly run: string
  readonly log: string
  readonly cursor: number
  readonly dropped: number
}

export type Report = Extract<DeviceFrame, { readonly t: 'status' | OutboxName }>

export interface ServerState {
  readonly deps: ServerSessionDeps
  phase: 'greeting' | 'open' | 'closed'
  greetUntilMs: number
  heardMs: number
  keepaliveMs: number
  /** The head the device was sent last, while it has neither applied nor refused it. */
  offered: { readonly head: Head; readonly atMs: number } | undefined
  lastSent: Head | undefined
  /** When the desk is to be asked for a head again. */
  offerAtMs: number | undefined
  /** The device refused a head as older: it is signed anew as soon as the store's revision has grown. */
  renewing: boolean
  refusals: number
  lastError: string | undefined
  status: { readonly seq: number; readonly digest: string } | undefined
  /** Items the callback has. */
  readonly taking: { [O in OutboxName]: Taking | undefined }
  needStatusAtMs: number | undefined
  /** Items were rejected: when to say how far we are. */
  readonly again: { [O in OutboxName]: { readonly cursor: number; readonly atMs: number } | undefined }
  /** Reports that wait for a token, at most one a type; and until when. */
  held: readonly Report[]
  heldUntilMs: number | undefined
  readonly frames: Bucket
  readonly streamFrames: Bucket
  readonly mux: Mux
  nowMs: number
  out: ServerOutput[]
}

export const newServerState = (deps: ServerSessionDeps, nowMs: number): ServerState => ({
  deps,
  phase: 'greeting',
  greetUntilMs: nowMs + GREETING_TIMEOUT_MS,
  heardMs: nowMs,
  keepaliveMs: 0,
  offered: undefined,
  lastSent: undefined,
  offerAtMs: undefined,
  renewing: false,
  refusals: 0,
  lastError: undefined,
  status: undefined,
  taking: { events: undefined, telemetry: undefined },
  needStatusAtMs: undefined,
  again: { events: undefined, telemetry: undefined },
  held: [],
  heldUntilMs: undefined,
  frames: newBucket(FRAMES_BURST),
  streamFrames: newBucket(STREAM_FRAMES_BURST),
  mux: newMux(),
  nowMs,
  out: [],
})

export const emit = (s: ServerState, output: ServerOutput): void => {
  s.out.push(output)
}

/** Bytes of a frame, as it is; a document counts as control, as on the device. */
export const count = (s: ServerState, priority: Priority, way: 'sent' | 'received', chars: number): void => {
  const at = 2 * PRIORITIES.indexOf(priority) + (way === 'sent' ? 0 : 1)
  const { bytes } = s.deps.record
  bytes[at] = (bytes[at] ?? 0) + chars
}

export const send = (s: ServerState, frame: ServerFrame): void => {
  const text = JSON.stringify(frame)
  const priority = PRIORITY_OF[frame.t]
  count(s, frame.t === 'document' ? 'control' : priority, 'sent', text.length)
  emit(s, { do: 'send', text, priority })
}
