// The JSON shapes of the device's local API (DIR/agent.sock): the agent answers with them, the command line reads them.
// Every answer is one JSON value except /v1/logs, which is text.

import type { PodStatus } from './pod.ts'

/** GET /v1/status */
export interface DeviceStatus {
  readonly nodeName: string
  readonly version: string
  /** Process id of the agent and when it started (RFC 3339). */
  readonly pid: number
  readonly startedAt: string
  readonly server: {
    /** '' when the device never joined. */
    readonly url: string
    readonly joined: boolean
    readonly connected: boolean
    /** Seconds since the last frame from the server; null before the first in this run. */
    readonly lastContactSeconds: number | null
    /** Why the last attempt failed, one line; null when connected. */
    readonly lastError: string | null
    /** Set when the server's history conflicts with what the device holds: paused until an operator decides. */
    readonly conflict: string | null
  }
  /** What the device runs: null before the first document. */
  readonly head: { readonly epoch: string; readonly generation: number; readonly sha256: string } | null
  readonly runtime: { readonly name: string; readonly version: string }
  readonly podCIDR: string
  readonly pods: { readonly total: number; readonly ready: number }
  /** Pods an operator holds on this device. */
  readonly holds: readonly DeviceHold[]
  /** What the machine's clock shows; `complaint` when it is not believed, and the time that is certain is used instead. */
  readonly clock: { readonly now: string; readonly complaint: string | null }
  /** What the link may cost at present; '' before there is a link. */
  readonly profile: string
  /** Repairs made at start and other things an operator should know, one line each. */
  readonly warnings: readonly string[]
}

/** One item of GET /v1/pods: `{ "items": DevicePod[] }`, sorted by namespace and name. */
export interface DevicePod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** False when the pod is not in the document any more and is being removed. */
  readonly desired: boolean
  readonly deleting: boolean
  /** `Running`, `CrashLoopBackOff`, `Terminating` …: the text of kubectl's STATUS column. */
  readonly summary: string
  readonly ready: { readonly ready: number; readonly total: number }
  readonly restarts: number
  readonly status: PodStatus
  readonly containers: readonly DeviceContainer[]
}

export interface DeviceContainer {
  readonly name: string
  readonly id: string
  readonly state: 'waiting' | 'running' | 'terminated'
  readonly pid: number | null
  readonly logPath: string | null
}

/** An item of `holds`; POST /v1/hold {namespace, pod, reason?} and POST /v1/resume {namespace, pod} answer with it. */
export interface DeviceHold {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly id: string
  /** RFC 3339, and who asked. */
  readonly at: string
  readonly by: string
  readonly reason?: string
}

/** POST /v1/restart {namespace, pod, container?}: what is being restarted. */
export interface DeviceRestart {
  readonly namespace: string
  readonly name: string
  readonly containers: readonly string[]
}

/** POST /v1/sync: the result of dialling now. */
export interface DeviceSync {
  readonly connected: boolean
  /** It was in contact before. */
  readonly wasConnected: boolean
  /** Why there is no contact, one line; null when there is. */
  readonly error: string | null
  readonly conflict: string | null
  /** Generations of the desired state before and after; null: none yet. */
  readonly before: number | null
  readonly after: number | null
  readonly podsBefore: number
  readonly podsAfter: number
}

/** GET /v1/link, and the answer of POST /v1/link {profile?, allowBulk?}. */
export interface DeviceLinkView {
  /** The way out in use, and what it may cost: `lan`, `normal` or `metered`. */
  readonly uplink: string
  readonly profile: string
  /** What the operator said of bulk; null: as the profile has it. */
  readonly allowBulk: boolean | null
  /** Why bulk may not go now; null: it may. */
  readonly bulkRefusal: string | null
  /** `ws`, `mqtt`, in the order they are tried. */
  readonly ways: readonly string[]
  readonly connected: boolean
  /** `waiting`, `dialing`, `greeting`, `open` … */
  readonly state: string
  readonly lastContactSeconds: number | null
  readonly lastError: string | null
  /** null unless it waits to dial. */
  readonly nextDialSeconds: number | null
  readonly dials: number
  readonly keepaliveSeconds: number | null
  /** null: always in contact. */
  readonly contactIntervalSeconds: number | null
  readonly dayEndsInSeconds: number | null
  /** By priority: bytes on the wire of the present day, the bound (both ways; null: none), reports waiting, and items dropped since the start. */
  readonly perPriority: Readonly<Record<string, DeviceLinkClass>>
}

export interface DeviceLinkClass {
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly budgetBytes: number | null
  readonly waiting: number
  readonly dropped: number
}

/** Header that carries the nonce of POST /v1/peer, which the caller made a link of: DIR/peer/<nonce> → <nonce>. */
export const PEER_HEADER = 'helio-peer'

/** One item of GET /v1/images: `{ "items": DeviceImage[] }`. POST /v1/images/refresh answers the same after reading the index again. */
export interface DeviceImage {
  readonly id: string
  readonly names: readonly string[]
  readonly sizeBytes: number
  readonly importedAt: string
}

/** Any failure: HTTP 4xx/5xx with this body. */
export interface LocalError {
  readonly error: string
  readonly hint?: string
}

/** Query of GET /v1/logs: `pod` is required; `namespace` defaults to `default`, `container` to the only one. Answer: text/plain, chunked. */
export interface LocalLogsQuery {
  readonly namespace?: string
  readonly pod: string
  readonly container?: string
  readonly follow?: 'true'
  readonly previous?: 'true'
  readonly timestamps?: 'true'
  readonly tail?: string
  readonly sinceSeconds?: string
  readonly limitBytes?: string
}

/** One item of GET /v1/doctor: `{ "items": DeviceFinding[] }`, what matters most first. */
export interface DeviceFinding {
  /** What kind of finding it is: `no-contact`, `image-missing` … */
  readonly rule: string
  /** `problem`: it keeps the device from what is desired. `note`: good to know. */
  readonly level: 'problem' | 'note'
  /** One line, plain words. */
  readonly what: string
  /** What to do, one line. */
  readonly todo: string
}

/** Protocol of `GET /v1/exec` after its upgrade: frames of base/channel-frames.ts on these channels. */
export const EXEC_UPGRADE = 'helio-exec'
/** Descriptors 0 to 2; one ExecEnd at the end; `{Width, Height}` of the terminal. Empty data on stdin is its end. */
export const EXEC_CHANNELS = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4 } as const

export type ExecEnd = { readonly exitCode: number } | LocalError
