// The record the device's machine works on, and what it may ask for. Only session-device.ts and session-desired.ts change it.

import type { Random } from '../base/random.ts'
import { type Budget, costOfFrame, newBudget, spend, type Uplink } from './budget.ts'
import type { Codec } from './codec.ts'
import type { Download, Held } from './download.ts'
import { type Keepalive, newKeepalive } from './keepalive.ts'
import { EVENTS, HERD_WINDOW_MS_MIN, PROFILES, type Profile, TELEMETRY, USAGE_REPORT_MS } from './limits.ts'
import type { OutboxBatch, OutboxItem, OutboxName } from './link.ts'
import { type DeviceFrame, type Document, type Head, type HeldHead, PRIORITY_OF, type StreamRequest } from './messages.ts'
import { type Mux, type MuxOutput, newMux } from './mux.ts'
import { newOutbox, type Outbox } from './outbox.ts'
import { newStatusOutbox, type StatusOutbox } from './status-outbox.ts'

export interface DeviceSessionDeps {
  readonly device: string
  /** Different for each start of the process. */
  readonly run: string
  readonly random: Random
  readonly codec: Codec
  readonly verify: (text: string, signatureBase64: string) => boolean
  readonly uplink: Uplink
  /** See DeviceLink.setContactInterval. */
  readonly contactMs: number | undefined
  /** There is a disk for the outboxes. */
  readonly hasDisk: boolean
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

/** What goes to the disk of the outboxes, and when. */
export interface Disk {
  writing: { readonly items: readonly OutboxItem[]; readonly forget: OutboxBatch['forget'] } | undefined
  retryAtMs: number
  /** Since when something waits to be written, or to be forgotten. */
  unwrittenSinceMs: number | undefined
  forgettableSinceMs: number | undefined
}

export type DeviceOutput =
  | { readonly do: 'dial'; readonly conn: number }
  /** Give up dialling, or close the connection; nothing more is heard of it. */
  | { readonly do: 'close'; readonly conn: number; readonly reason: string }
  /** One transaction, durable before 'saved' comes back. At most one at a time. */
  | { readonly do: 'save'; readonly head: HeldHead; readonly document: Document }
  /** To be answered by 'kept' or 'keepFailed'; at most one at a time, but for a last one when the machine stops. */
  | { readonly do: 'keep'; readonly batch: OutboxBatch }
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
  /** How often in a row the server said that it has no node for this device. */
  refusals: number
  herdWindowMs: number
  /** Set by a busy server: not before. */
  busyUntilMs: number
  lastContactMs: number | undefined
  lastError: string | undefined
  held: Held | undefined
  /** Signature of the head that this connection's server was told we hold. */
  toldSig: string | undefined
  /** The terms it was told last, as JSON. */
  toldTerms: string
  readonly desired: Desired
  readonly status: StatusOutbox
  /** The server asked to wait with all of it until it asks again. */
  statusHeld: boolean
  readonly boxes: { readonly [O in OutboxName]: Outbox }
  readonly budget: Budget
  readonly disk: Disk
  /** When the usage is put among the last values. */
  usageAtMs: number
  readonly keepalive: Keepalive
  readonly mux: Mux
  /** Streams that an operator lets go whatever the budget says. */
  readonly allowed: Set<number>
  contactMs: number | undefined
  /** When something was last said or heard but pings. */
  saidMs: number
  /** When reports that wait are sent; undefined: none wait, or the acknowledgement of the last is awaited. */
  readonly dueAtMs: { status: number | undefined; events: number | undefined; telemetry: number | undefined }
  nowMs: number
  out: DeviceOutput[]
}

export const newDeviceState = (deps: DeviceSessionDeps): DeviceState => ({
  deps,
  phase: { is: 'new' },
  conn: 0,
  attempt: 0,
  refusals: 0,
  herdWindowMs: HERD_WINDOW_MS_MIN,
  busyUntilMs: 0,
  lastContactMs: undefined,
  lastError: undefined,
  held: undefined,
  toldSig: undefined,
  toldTerms: '',
  desired: newDesired(),
  status: newStatusOutbox(),
  statusHeld: false,
  boxes: { events: newOutbox('events', EVENTS, deps.run), telemetry: newOutbox('telemetry', TELEMETRY, deps.run) },
  budget: newBudget(deps.uplink, 0),
  disk: { writing: undefined, retryAtMs: 0, unwrittenSinceMs: undefined, forgettableSinceMs: undefined },
  usageAtMs: USAGE_REPORT_MS,
  keepalive: newKeepalive(PROFILES[deps.uplink.profile].keepaliveStartMs),
  mux: newMux(),
  allowed: new Set(),
  contactMs: deps.contactMs,
  saidMs: 0,
  dueAtMs: { status: undefined, events: undefined, telemetry: undefined },
  nowMs: 0,
  out: [],
})

/** Every frame that goes is counted here. */
export const emit = (s: DeviceState, output: DeviceOutput): void => {
  if (output.do === 'send') spend(s.budget, output.priority, 'sent', costOfFrame(output.text.length))
  s.out.push(output)
}

export const sendFrame = (s: DeviceState, frame: DeviceFrame): void => {
  if (frame.t !== 'ping') s.saidMs = s.nowMs
  emit(s, { do: 'send', text: JSON.stringify(frame), priority: PRIORITY_OF[frame.t] })
}

/** What the link may cost at present. */
export const profileOf = (s: DeviceState): Profile => PROFILES[s.budget.uplink.profile]
