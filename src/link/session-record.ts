// What the server keeps of a device between its connections, the record one session's machine works on, and what it may ask for.
// Only session-server.ts changes them.

import type { Codec } from './codec.ts'
import type { Desk, HeldClaim } from './desk.ts'
import { GREETING_TIMEOUT_MS } from './limits.ts'
import type { DeviceEvent, Head, RefusalReason, StatusItem } from './messages.ts'
import { type Mux, type MuxOutput, newMux } from './mux.ts'

/** What the server knows of a device in memory; all of it can be lost, the device says it again. */
export interface ServerRecord {
  readonly device: string
  bootID: string
  run: string
  /** Number of the newest connection of this run. */
  seq: number
  /** The session that was greeted last; only it may note what was reported. */
  session: number
  held: HeldClaim
  statusSeq: number
  /** Digest of what the callback has taken; undefined: not known, ask for all. */
  statusDigest: string | undefined
  /** Status callbacks that have not settled, of any session. */
  settling: number
  eventCursor: number
  dropped: number
  heardMs: number
}

export const newRecord = (device: string): ServerRecord => ({
  device,
  bootID: '',
  run: '',
  seq: 0,
  session: 0,
  held: null,
  statusSeq: 0,
  statusDigest: undefined,
  settling: 0,
  eventCursor: 0,
  dropped: 0,
  heardMs: 0,
})

export interface Announcement {
  readonly time: string
  readonly timeSig: string
  readonly herdWindowMs: number
  readonly keepaliveMs: number
}

export interface ServerSessionDeps {
  /** Different for each session of this process, rising. */
  readonly id: number
  readonly record: ServerRecord
  readonly desk: Desk
  readonly codec: Codec
  /** What is told to a device that says hello in this run. */
  readonly announce: (run: string) => Announcement
}

export type ServerOutput =
  | { readonly do: 'close'; readonly reason: string }
  /** Hello was accepted: this session is the device's now, an older one is to be stopped. */
  | { readonly do: 'greeted' }
  /** To be answered by 'statusDone'; one at a time. */
  | { readonly do: 'status'; readonly items: readonly StatusItem[]; readonly whole: boolean }
  /** To be answered by 'eventsDone'; one at a time. `dropped` is new since the last report. */
  | { readonly do: 'events'; readonly items: readonly DeviceEvent[]; readonly dropped: number }
  | { readonly do: 'applied'; readonly epoch: string; readonly generation: number }
  | { readonly do: 'refused'; readonly why: RefusalReason; readonly message: string }
  /** Answer to 'openStream': undefined when too many are open. */
  | { readonly do: 'opened'; readonly id: number | undefined }
  | MuxOutput

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
  events: { readonly cursor: number; readonly dropped: number } | undefined
  needStatusAtMs: number | undefined
  eventsAckAtMs: number | undefined
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
  events: undefined,
  needStatusAtMs: undefined,
  eventsAckAtMs: undefined,
  mux: newMux(),
  nowMs,
  out: [],
})

export const emit = (s: ServerState, output: ServerOutput): void => {
  s.out.push(output)
}
