// What server and device say to each other: one JSON object a frame, one version, both transports. Every field from the other side
// is checked before it is believed (parse.ts). DESIGN section 6.

import type { ConfigMap, Secret } from '../kinds/config-map.ts'
import type { Pod } from '../kinds/pod.ts'
import type { Priority, ProfileName } from './limits.ts'

/** Signed pointer to a document: about 150 bytes. `sig` is Ed25519, base64, over `headText`. */
export interface Head {
  /** Server lifetime between restores; a new one means time may have gone back. */
  readonly epoch: string
  /** Rises with every change of the document within one epoch (the store revision it was rendered at). */
  readonly generation: number
  /** Of other epochs this one knows everything up to this generation, and nothing above: a device that holds more was forgotten in a restore. */
  readonly base?: number
  /** Hex SHA-256 of the document's canonical JSON bytes. */
  readonly sha256: string
  readonly size: number
  /** An operator's decision after a restore: the device may leave exactly this head for the present one, though it looks newer. */
  readonly replaces?: { readonly epoch: string; readonly generation: number }
  readonly sig: string
}

/** The whole patch to a head's document, from the document the device was last known to hold: a hint that saves the fetch. Base64. */
export interface HeadPatch {
  /** Digest of the document it refers to; a device that holds another one fetches. */
  readonly base: string
  readonly data: string
}

/** A head as the device keeps it, with the epochs it left for this one (never on the wire; see holdHead). */
export interface HeldHead extends Head {
  readonly leftEpochs?: readonly string[]
}

/** Everything one device shall run, and all it needs for it. Absence means delete. */
export interface Document {
  readonly apiVersion: 'heliopause.io/v1'
  readonly kind: 'DeviceDocument'
  readonly device: string
  /** The node's pod address range, for example `10.42.3.0/24`; and the cluster's, for masquerading. */
  readonly podCIDR: string
  readonly clusterCIDR: string
  /** Pods bound to this device, those being deleted included (metadata.deletionTimestamp is set). managedFields and status are left out. */
  readonly pods: readonly Pod[]
  readonly configMaps: readonly ConfigMap[]
  readonly secrets: readonly Secret[]
}

/** The bytes a head's signature covers. */
export const headText = (device: string, head: Omit<Head, 'sig'>): string =>
  `helio-head-v1\n${device}\n${head.epoch}\n${head.generation}\n${head.sha256}\n${head.size}${head.base === undefined ? '' : `\nbase\n${head.base}`}${
    head.replaces ? `\nreplaces\n${head.replaces.epoch}\n${head.replaces.generation}` : ''
  }`

/** The bytes a welcome's `timeSig` covers; `run` makes it fresh for the device's process. */
export const timeText = (device: string, run: string, time: string): string => `helio-time-v1\n${device}\n${run}\n${time}`

/** One last-value report: `node` → NodeStatus, `pod/<uid>` → PodReport. null = forget the key. */
export interface StatusItem {
  readonly key: string
  readonly value: unknown
}

export interface PodReport {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** A complete PodStatus. */
  readonly status: Record<string, unknown>
  /** True when the pod was being deleted and nothing of it runs any more: the server may remove the object. */
  readonly gone?: boolean
}

/** A device's own Event (started, pulled, back-off …), append-only. */
export interface DeviceEvent {
  readonly cursor: number
  readonly regarding: {
    readonly kind: string
    readonly namespace?: string
    readonly name: string
    readonly uid: string
    readonly fieldPath?: string
  }
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly note: string
  /** RFC 3339 by the device's clock. */
  readonly time: string
}

/** A pod on the device, as a stream names it. */
interface StreamTarget {
  readonly namespace: string
  readonly pod: string
  readonly uid?: string
}

/** What a stream is for. `logs` uses channel 0; `portForward` too, both ways; the others use STREAM_CHANNELS. */
export type StreamRequest =
  | (StreamTarget & { readonly do: 'logs'; readonly container: string; readonly options: LogOptions })
  | (StreamTarget & {
      readonly do: 'exec'
      readonly container: string
      readonly command: readonly string[]
      readonly tty: boolean
      readonly stdin: boolean
    })
  /** What a container writes from now on. */
  | (StreamTarget & { readonly do: 'attach'; readonly container: string; readonly stdin: boolean })
  | (StreamTarget & { readonly do: 'portForward'; readonly port: number })

/** Channels of `exec` and `attach`: 0 to 2 as file descriptors, 3 one v1.Status at the end, 4 `{Width, Height}` of the terminal. */
export const STREAM_CHANNELS = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4 } as const

/** PodLogOptions of core/v1. */
export interface LogOptions {
  readonly follow?: boolean
  readonly previous?: boolean
  readonly timestamps?: boolean
  readonly tailLines?: number
  readonly sinceSeconds?: number
  readonly sinceTime?: string
  readonly limitBytes?: number
}

/** A measurement: a number, or a small JSON value, under a name such as `battery/volts`. Append-only; the newest of a name is the last value. */
export interface TelemetryItem {
  readonly cursor: number
  readonly name: string
  readonly value?: number
  readonly json?: unknown
  /** RFC 3339 by the device's clock. */
  readonly time: string
}

/** How the device may be spoken to at present; said in hello, and again when it changes. */
export interface LinkTerms {
  readonly profile: ProfileName
  /** True: streams need no leave of their own. */
  readonly bulk: boolean
  /** The device calls only so often, and is offline by design in between. */
  readonly contactMs?: number
}

export type DeviceFrame =
  | {
      readonly t: 'hello'
      readonly v: 1
      /** Drawn when the device's process started; `seq` and status numbers count within it. */
      readonly run: string
      /** Number of this connection: of two in one run the higher is the live one. */
      readonly seq: number
      readonly head: Pick<Head, 'epoch' | 'generation' | 'sha256'> | null
      /** Digest of all last values now, and of those the server has acknowledged where that differs. */
      readonly statusDigest: string
      readonly statusBase?: string
      readonly terms: LinkTerms
    }
  | { readonly t: 'terms'; readonly terms: LinkTerms }
  /** The device hangs up and calls again by its contact interval. */
  | { readonly t: 'bye' }
  /** Asks for `bytes` from `offset` of the patch from `base` ('' = from nothing) to the document. `tag` names the patch begun before ('' = none). */
  | {
      readonly t: 'fetch'
      readonly sha256: string
      readonly base: string
      readonly tag: string
      readonly offset: number
      readonly bytes: number
    }
  /** The device now holds and acts on this head. */
  | { readonly t: 'applied'; readonly epoch: string; readonly generation: number }
  /** The device refuses a head: bad signature, older generation, new epoch with lower content. */
  | {
      readonly t: 'refused'
      readonly epoch: string
      readonly generation: number
      readonly why: RefusalReason
      readonly message: string
    }
  /** Last values. `whole` = forget what you knew of me, all of it follows from here. `digest` is that of what the server holds after this frame. */
  | {
      readonly t: 'status'
      readonly seq: number
      readonly whole: boolean
      readonly digest: string
      readonly items: readonly StatusItem[]
    }
  /** Oldest first; cursors and `dropped` count within `log`, which outlives restarts of the device where it has a disk. */
  | { readonly t: 'events'; readonly log: string; readonly items: readonly DeviceEvent[]; readonly dropped: number }
  | { readonly t: 'telemetry'; readonly log: string; readonly items: readonly TelemetryItem[]; readonly dropped: number }
  | { readonly t: 'ping'; readonly n: number }
  | StreamFrame

export type RefusalReason = 'signature' | 'older' | 'conflict' | 'invalid'

export type ServerFrame =
  | {
      readonly t: 'welcome'
      readonly v: 1
      readonly time: string
      /** Ed25519, base64, over `timeText`. */
      readonly timeSig: string
      /** Null: the device has what it should have, or nothing is known for it yet. */
      readonly head: Head | null
      readonly patch?: HeadPatch
      /** 'later': send none until asked; many devices are to send all of it. */
      readonly needStatus: 'none' | 'changes' | 'all' | 'later'
      /** The first dial after this session falls anywhere within. */
      readonly herdWindowMs: number
      /** The longest silence the server accepts. */
      readonly keepaliveMs: number
    }
  /** Not admitted now; the connection closes. */
  | { readonly t: 'busy'; readonly retryAfterMs: number }
  | { readonly t: 'head'; readonly head: Head; readonly patch?: HeadPatch }
  /** A piece of a patch of `size` bytes in all; base64 of the bytes from `offset`. An offset of 0 begins anew, whatever was asked. */
  | {
      readonly t: 'document'
      readonly sha256: string
      readonly base: string
      readonly tag: string
      readonly offset: number
      readonly size: number
      readonly data: string
    }
  /** The document asked for is no longer to be had; a newer head comes or has come. */
  | { readonly t: 'missing'; readonly sha256: string }
  /** All last values are wanted, again. */
  | { readonly t: 'needStatus' }
  | { readonly t: 'statusAck'; readonly seq: number }
  /** Everything up to `cursor` is safe; what was sent beyond it is to be sent again. */
  | { readonly t: 'eventsAck'; readonly cursor: number }
  | { readonly t: 'telemetryAck'; readonly cursor: number }
  | { readonly t: 'pong'; readonly n: number }
  /** `allowed`: an operator lets this stream go though the link is metered, or its bytes of the day are spent. */
  | { readonly t: 'open'; readonly id: number; readonly request: StreamRequest; readonly credit: number; readonly allowed?: boolean }
  | StreamFrame

/**
 * Streams are opened by the server, numbered by it, multiplexed, and flow-controlled by credit in bytes; `open.credit` is the first
 * credit of both sides. Empty data is the end of its channel.
 */
export type StreamFrame =
  | { readonly t: 'data'; readonly id: number; readonly channel: number; readonly data: string }
  | { readonly t: 'credit'; readonly id: number; readonly bytes: number }
  /** Ends a stream; `error` is a one-line message when it ended badly. */
  | { readonly t: 'end'; readonly id: number; readonly error?: string }

export type Frame = DeviceFrame | ServerFrame

/** The class of each frame, both ways. Documents go behind heads and acknowledgements and count as control (see session-reports.ts). */
export const PRIORITY_OF: { readonly [T in Frame['t']]: Priority } = {
  hello: 'control',
  terms: 'control',
  bye: 'control',
  fetch: 'control',
  applied: 'control',
  refused: 'control',
  ping: 'control',
  welcome: 'control',
  busy: 'control',
  head: 'control',
  missing: 'control',
  needStatus: 'control',
  pong: 'control',
  open: 'control',
  status: 'status',
  statusAck: 'status',
  document: 'status',
  events: 'events',
  eventsAck: 'events',
  telemetry: 'telemetry',
  telemetryAck: 'telemetry',
  data: 'bulk',
  credit: 'bulk',
  end: 'bulk',
}
