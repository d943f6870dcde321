// The door of the link: how server and device speak. The session machines are pure (session.ts); this file names the two shells
// around them, the hub on the server and the device's side, and the transport beneath both.

import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { HeadConflict } from '../kinds/conflict.ts'
import type { Uplink } from './budget.ts'
import type { ByPriority, ProfileName } from './limits.ts'
import type { DeviceEvent, Document, Head, HeldHead, StatusItem, StreamRequest, TelemetryItem } from './messages.ts'

export type { Uplink } from './budget.ts'
export type { ByPriority, Priority, Profile, ProfileName } from './limits.ts'
export type * from './messages.ts'

/** One open connection, whatever carries it. Frames are text, whole, in order, at most FRAME_BYTES_MAX each. */
export interface Connection {
  /** Queues a frame. Over the queue bound the connection closes itself with reason 'slow'. */
  send(frame: string): void
  /** Bytes queued and not yet taken by the transport. */
  readonly queuedBytes: number
  onFrame: (frame: string) => void
  /** Called once. */
  onClose: (reason: string) => void
  /** Set by the link: a transport calls it when its queue has become empty. Where none does, the link looks again while frames wait. */
  onDrain?: () => void
  /** Server side, where the transport keeps one text for a device that is away (MQTT: the retained head): given each head offered, as JSON. */
  retain?(head: string): void
  close(reason: string): void
}

/** The device's way out. Devices only dial. */
export interface Dialer {
  /** Settles when open, rejects with a one-line message; gives up when `signal` aborts. */
  dial(signal: AbortSignal): Promise<Connection>
  /** Set by the link: a transport that finds a retained head calls it with the JSON it found, connected or not. It is verified here. */
  onHead?: (head: string) => void
}

/** A bidirectional byte stream over the link, flow-controlled. */
export interface LinkStream {
  /** Settles when the other side has credit again, or the stream is over (then the data is dropped). Never rejects. */
  write(data: Uint8Array, channel?: number): Promise<void>
  /** A returned promise holds back the sender until it settles; without one the bytes count as used at once. Empty data ends its channel. */
  onData: (data: Uint8Array, channel: number) => Promise<void> | void
  /** Called once, when the other side ended the stream or the connection broke; not after one's own `end`. */
  onEnd: (error: string | undefined) => void
  /** Behind what was written; with an error, at once. */
  end(error?: string): void
}

/** What the device keeps on disk for the link. `save` is one transaction, durable when it settles. */
export interface LinkMemory {
  /** Exactly what `save` was given last, every field of the head included. */
  load(): { readonly head: HeldHead; readonly document: Document } | undefined
  save(head: HeldHead, document: Document): Promise<void>
}

/** What is append-only on its way up, each with a cursor of its own. */
export type OutboxName = 'events' | 'telemetry'

export interface OutboxItem {
  readonly outbox: OutboxName
  /** Rises within its outbox, over restarts too. */
  readonly cursor: number
  /** The life of the process that added it: with the cursor, its name for the server. */
  readonly log: string
  /** JSON, bounded by the link. */
  readonly text: string
}

/** One transaction: items to add, those to forget (all up to a cursor, whether they are there or not), and the counters as they are now. */
export interface OutboxBatch {
  readonly append: readonly OutboxItem[]
  readonly forget: { readonly [O in OutboxName]?: number }
  /** Small JSON of the link's own (drops, bytes of the day); replaces the last. */
  readonly state: unknown
}

/**
 * What the device keeps on disk of its outboxes. The link calls `write` seldom, one at a time, and only for what the server did not take
 * soon, so that a device in contact writes almost nothing. Losing the last batch costs events, never order or counters.
 */
export interface OutboxMemory {
  /** What the batches so far leave, in the order of cursors; `state` undefined before the first. */
  load(): { readonly items: readonly OutboxItem[]; readonly state: unknown }
  /** Durable when it settles. */
  write(batch: OutboxBatch): Promise<void>
}

/** Bytes on the wire of the present day and uplink, with an estimate of what TCP and TLS add (limits.ts), by priority. */
export interface LinkUsage {
  readonly uplink: string
  readonly profile: ProfileName
  /** Days the link has counted so far; a day is 24 hours of the agent running. */
  readonly day: number
  readonly dayEndsInMs: number
  readonly perPriority: ByPriority<{
    readonly sentBytes: number
    readonly receivedBytes: number
    /** Both ways; null: no bound. Control is measured against it and never waits. */
    readonly budgetBytes: number | null
    /** Keys or items that wait to be sent. */
    readonly waiting: number
    /** Items dropped for age or size, since the agent's start. */
    readonly dropped: number
  }>
}

/** What the device's end of the line does now. Times are monotonic ms. */
export interface LinkLine {
  readonly is: 'new' | 'waiting' | 'dialing' | 'greeting' | 'open' | 'stopped'
  /** When it dials next; undefined unless it waits. */
  readonly dialAtMs: number | undefined
  /** Dials so far. */
  readonly dials: number
  /** How long it may be silent before it is asked whether it still lives. */
  readonly keepaliveMs: number
  /** A newer document is on its way here, or to the disk. */
  readonly fetching: boolean
}

export interface DeviceLinkDeps {
  readonly device: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly dialer: Dialer
  readonly memory: LinkMemory
  /** Absent: events, telemetry and the byte counters of the day live as long as the process. */
  readonly outbox?: OutboxMemory
  /** Ed25519 over `text`; the pinned key of the server. */
  readonly verify: (text: string, signatureBase64: string) => boolean
  readonly sha256: (bytes: Uint8Array) => string
  /** A newer document is on disk; reconcile. */
  readonly onDocument: (document: Document, head: Head) => void
  readonly onStream: (request: StreamRequest, stream: LinkStream) => void
  readonly onContact?: (connected: boolean) => void
  /** A dial was answered with Forbidden: the server has no node for this device's key. Dialling goes on. */
  readonly onRefused?: () => void
  /** Signed server time, for the clock's floor. */
  readonly onServerTime?: (timestamp: string) => void
  /** The way out in use and what it may cost, as it was set last; `{uplink: 'default', profile: 'lan'}` when absent. */
  readonly uplink?: Uplink
  /** See DeviceLink.setContactInterval. */
  readonly contactIntervalMs?: number
}

export interface DeviceLink {
  readonly connected: boolean
  /** Monotonic ms of the last frame from the server; undefined before the first. */
  readonly lastContactMs: number | undefined
  /** Why the last attempt failed, in plain words; undefined when connected. */
  readonly lastError: string | undefined
  /** Set while the server, restored from a backup, offers older content: what runs keeps running until `resume` here or on the server. */
  readonly conflict: string | undefined
  /** Last-value report, coalesced; null forgets the key. Equal values cost nothing. */
  setStatus(key: string, value: StatusItem['value']): void
  addEvent(event: Omit<DeviceEvent, 'cursor'>): void
  /** Append-only, bounded in size, number and age; what the server never took is dropped and counted. */
  addTelemetry(item: Omit<TelemetryItem, 'cursor'>): void
  /** The way out in use now. The caller keeps what was set (the link counts bytes by its name, over restarts). */
  setUplink(uplink: Uplink): void
  /** Another profile for the uplink in use: delays, keepalive and budgets of now, here and on the server. */
  setProfile(profile: ProfileName): void
  readonly uplink: Uplink
  usage(): LinkUsage
  readonly line: LinkLine
  /** Why bulk (streams, image pulls) may not use this uplink now, in plain words; undefined: it may. */
  bulkRefusal(): string | undefined
  /** Counts bulk that went beside the link, such as a pulled image. */
  countBulk(sentBytes: number, receivedBytes: number): void
  /**
   * The device calls every so often instead of staying: dial, sync, report, hang up when quiet. The server is told and calls it offline by
   * design meanwhile. Undefined: always in contact. `sync` calls at once.
   */
  setContactInterval(ms: number | undefined): void
  /** Dial now, without waiting for the backoff. */
  sync(): void
  /** The operator's decision on the device: take the server's document though it looks older. Nothing without a conflict. */
  resume(): void
  /** Settles when the dial and the save under way have ended. */
  close(): Promise<void>
}

export interface HubDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly epoch: string
  /** See Head.base. */
  readonly base?: number
  readonly sign: (text: string) => string
  readonly sha256: (bytes: Uint8Array) => string
  /** The document of a device now, with the store revision it was rendered at; undefined when the device is not known. */
  readonly render: (device: string) => { readonly document: Document; readonly revision: number } | undefined
  /**
   * Applies reports; a rejection is logged and the device asked again later. Callbacks for one device never run concurrently. `whole`:
   * keys reported before and not from here on are forgotten. Keys and values are bounded JSON; what a value means is for the callee to check.
   */
  readonly onStatus: (device: string, items: readonly StatusItem[], whole: boolean) => Promise<void>
  /** `dropped`: how many the device had to drop since the last call. An event comes twice only to another server process. */
  readonly onEvents: (device: string, events: readonly DeviceEvent[], dropped: number) => Promise<void>
  /** As onEvents. The hub itself keeps the last values (Hub.telemetry). */
  readonly onTelemetry?: (device: string, items: readonly TelemetryItem[], dropped: number) => Promise<void>
  /** `planned`: the device hung up until its next call and is offline by design; see Hub.contact. */
  readonly onContact: (device: string, connected: boolean, why?: 'planned') => void
  readonly onRefused: (device: string, why: string, message: string) => void
  /**
   * The device holds what this server, restored from a backup, does not know, and waits for `Hub.resume`; null: it follows. Called at each
   * head it refuses for that; `isNews`: it was not so before, as far as this process knows.
   */
  readonly onConflict?: (device: string, conflict: HeadConflict | null, isNews: boolean) => void
  /** An operator lets this device's streams go whatever its link costs. */
  readonly bulkAllowed?: (device: string) => boolean
  /** Admissions a second; ACCEPT_RATE_PER_SECOND when absent. */
  readonly acceptRate?: number
}

export interface DeviceContact {
  readonly connected: boolean
  readonly silentMs: number
  readonly profile: ProfileName
  /** Once this one has been silent for so long, every other one that was cut off in the same moment has been noticed. */
  readonly togetherMs: number
  /** The device calls only so often: within this it is offline by design. */
  readonly contactIntervalMs?: number
  /** Why it does not follow this server; null: it does, absent: it has not said yet. */
  readonly conflict?: HeadConflict | null
}

/** Characters of frames, without what transports add. */
export type FrameBytes = ByPriority<{ readonly sentBytes: number; readonly receivedBytes: number }>

export interface DeviceUsage {
  readonly profile: ProfileName
  readonly frames: FrameBytes
  /** The value of its status key `link`: `{uplink, profile, day, bytes: [sent, received][] by priority, dropped}`; at most hours old. */
  readonly reported?: unknown
}

export interface HubTotals {
  readonly connections: number
  readonly frames: FrameBytes
  /** Reports held up for their rate, connections closed for flooding, connections told to come later, reports rejected by a callback. */
  readonly held: number
  readonly floods: number
  readonly busy: number
  readonly rejected: number
  /** Events and telemetry items that devices said they dropped. */
  readonly dropped: { readonly [O in OutboxName]: number }
}

export interface Hub {
  /** A connection whose peer proved (by certificate) to be this device. A newer one replaces the older, whichever arrives first. */
  accept(device: string, connection: Connection): void
  /** Something the document of this device is made of may have changed; rendered once per batch, sent only when its digest differs. */
  changed(device: string): void
  contact(device: string): DeviceContact | undefined
  /** The head a device should have now, whatever it has, for those who watch from outside; undefined when it has no document. */
  head(device: string): Head | undefined
  /** What a device acknowledged last. */
  applied(device: string): { readonly epoch: string; readonly generation: number } | undefined
  /**
   * Rejects with ServiceUnavailable when the device is not connected, with Forbidden and a hint when its link carries no bulk. `allowed`: an
   * operator lets this one go all the same.
   */
  openStream(device: string, request: StreamRequest, allowed?: boolean): Promise<LinkStream>
  /** Bytes of frames since the server's start, and what the device said of its day; undefined for a device that never called. */
  usage(device: string): DeviceUsage | undefined
  /** Last telemetry values by name, at most TELEMETRY_NAMES_MAX. */
  telemetry(device: string): ReadonlyMap<string, TelemetryItem>
  /** For metrics; all but `connections` rise only. */
  readonly totals: HubTotals
  /** The operator's decision after a restore: the device in conflict may take the present document. Rejects when it is not connected. */
  resume(device: string): Promise<void>
  /** The device is no more: closes its connection and forgets it. */
  forget(device: string): void
  readonly connections: number
  /** Devices are told nothing: they come back over the herd window. Settles when the callbacks under way have. */
  close(): Promise<void>
}
