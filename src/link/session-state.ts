// The record the device's machine works on, and what it may ask for. Only session-device.ts and session-desired.ts change it.

import type { Random } from '../base/random.ts'
import type { Codec } from './codec.ts'
import type { Download, Held } from './download.ts'
import { type EventOutbox, newEventOutbox } from './event-outbox.ts'
import { type Keepalive, newKeepalive } from './keepalive.ts'
import { HERD_WINDOW_MS_MIN, type Profile } from './limits.ts'
import type { DeviceFrame, Document, Head, HeldHead, StreamRequest } from './messages.ts'
import { type Mux, type MuxOutput, newMux } from './mux.ts'
import { newStatusOutbox, type StatusOutbox } from './status-outbox.ts'

export interface DeviceSessionDeps {
  readonly device: string
  readonly bootID: string
  /** Different for each start of the process. */
  readonly run: string
  readonly random: Random
  readonly codec: Codec
  readonly verify: (text: string, signatureBase64: string) => boolean
  readonly profile: Profile
}

interface Unsaved {
  readonly head: Head
  readonly document: Document
  readonly bytes: Uint8Array
}

export interface Desired {
  download: Download | undefined
  /** The connection the download was last asked for on. */
  askedOn: number
  /** A newer head that came while a document was being fetched or saved. */
  next: Head | undefined
  /** Verified and waiting for the disk. */
  unsaved: Unsaved | undefined
  saving: boolean
  saveRetryAtMs: number | undefined
  saveFailures: number
  conflict: { readonly head: Head; readonly message: string } | undefined
  /** Digest of the last signed document that turned out unusable: not fetched a second time. */
  unusable: string | undefined
}

const newDesired = (): Desired => ({
  download: undefined,
  askedOn: 0,
  next: undefined,
  unsaved: undefined,
  saving: false,
  saveRetryAtMs: undefined,
  saveFailures: 0,
  conflict: undefined,
  unusable: undefined,
})

export type DeviceOutput =
  | { readonly do: 'dial'; readonly conn: number }
  /** Give up dialling, or close the connection; nothing more is heard of it. */
  | { readonly do: 'close'; readonly conn: number; readonly reason: string }
  /** One transaction, durable before 'saved' comes back. At most one at a time. */
  | { readonly do: 'save'; readonly head: HeldHead; readonly document: Document }
  | { readonly do: 'document'; readonly head: HeldHead; readonly document: Document }
  | { readonly do: 'contact'; readonly connected: boolean }
  | { readonly do: 'serverTime'; readonly time: string }
  | { readonly do: 'open'; readonly id: number; readonly request: StreamRequest }
  | { readonly do: 'log'; readonly level: 'error' | 'info' | 'debug'; readonly message: string; readonly error: string }
  | MuxOutput

type Phase =
  | { readonly is: 'new' | 'stopped' }
  | { readonly is: 'waiting'; readonly dialAtMs: number }
  | { readonly is: 'dialing'; readonly untilMs: number }
  | { readonly is: 'greeting'; readonly untilMs: number }
  | { readonly is: 'open'; readonly sinceMs: number }

export interface DeviceState {
  readonly deps: DeviceSessionDeps
  phase: Phase
  /** Number of the present connection or attempt, rising; late news of others is ignored. */
  conn: number
  /** Failed attempts in a row, and sessions too short to count. */
  attempt: number
  herdWindowMs: number
  /** Set by a busy server: not before. */
  busyUntilMs: number
  lastContactMs: number | undefined
  lastError: string | undefined
  held: Held | undefined
  /** Signature of the head that this connection's server was told we hold. */
  toldSig: string | undefined
  readonly desired: Desired
  readonly status: StatusOutbox
  readonly events: EventOutbox
  readonly keepalive: Keepalive
  readonly mux: Mux
  /** When reports that wait are sent; undefined: none wait, or the acknowledgement of the last is awaited. */
  statusAtMs: number | undefined
  eventsAtMs: number | undefined
  nowMs: number
  out: DeviceOutput[]
}

export const newDeviceState = (deps: DeviceSessionDeps): DeviceState => ({
  deps,
  phase: { is: 'new' },
  conn: 0,
  attempt: 0,
  herdWindowMs: HERD_WINDOW_MS_MIN,
  busyUntilMs: 0,
  lastContactMs: undefined,
  lastError: undefined,
  held: undefined,
  toldSig: undefined,
  desired: newDesired(),
  status: newStatusOutbox(),
  events: newEventOutbox(),
  keepalive: newKeepalive(deps.profile.keepaliveStartMs),
  mux: newMux(),
  statusAtMs: undefined,
  eventsAtMs: undefined,
  nowMs: 0,
  out: [],
})

export const emit = (s: DeviceState, output: DeviceOutput): void => {
  s.out.push(output)
}

export const sendFrame = (s: DeviceState, frame: DeviceFrame): void => emit(s, { do: 'send', text: JSON.stringify(frame) })
