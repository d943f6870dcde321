// The door of the API: how the world asks. `Verbs` are the same operations for HTTP clients, controllers and the link's reports:
// one path for defaults, validation, admission and preconditions. Kubernetes v1.36 semantics.

import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { KubeObject } from '../base/object.ts'
import type { Identity } from '../base/pki.ts'
import type { Random } from '../base/random.ts'
import type { Kind } from '../kinds/kind.ts'
import type { Store } from '../store/store.ts'

export type { Identity } from '../base/pki.ts'

export interface WriteOptions {
  readonly dryRun?: boolean
  readonly fieldManager?: string
  /** Strict refuses unknown and duplicate fields, Warn (default) returns warnings, Ignore drops them silently. */
  readonly fieldValidation?: 'Strict' | 'Warn' | 'Ignore'
  /** Collects `Warning` header texts. */
  readonly warnings?: string[]
  /** Reconstructible: answered when visible, on disk later (status that a device reports). */
  readonly lazy?: boolean
}

export interface DeleteOptions extends WriteOptions {
  readonly gracePeriodSeconds?: number
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string }
}

export type PatchType = 'json' | 'merge' | 'strategic'

/** A resource by its place: kind, namespace ('' for cluster-scoped), name. */
export interface Target {
  readonly kind: Kind
  readonly namespace: string
  readonly name: string
  /** `finalize` is PUT namespaces/finalize: takes spec.finalizers of the body. */
  readonly subresource?: 'status' | 'scale' | 'finalize'
}

export interface Verbs {
  get(target: Target): KubeObject
  create(caller: Identity, target: Omit<Target, 'name'>, object: unknown, options?: WriteOptions): Promise<KubeObject>
  update(caller: Identity, target: Target, object: unknown, options?: WriteOptions): Promise<KubeObject>
  /** Retries inside on conflicts unless the patch itself carries a resourceVersion or a uid that does not match. */
  patch(caller: Identity, target: Target, patch: unknown, type: PatchType, options?: WriteOptions): Promise<KubeObject>
  /** The object as it is afterwards (deletionTimestamp set while finalizers or grace hold it), or a Success Status when it is gone. */
  delete(caller: Identity, target: Target, options?: DeleteOptions): Promise<KubeObject>
  /** POST pods/binding: sets spec.nodeName once; Conflict when it is set or the precondition differs. */
  bind(caller: Identity, namespace: string, name: string, node: string, preconditions?: DeleteOptions['preconditions']): Promise<void>
}

/** GET pods/log, answered by the device through the link. `write` settles when the client took it. Ends when the returned promise settles. */
export type LogSource = (
  request: { readonly pod: KubeObject; readonly container: string; readonly options: Readonly<Record<string, unknown>> },
  sink: { write(data: Uint8Array): Promise<void>; readonly signal: AbortSignal },
) => Promise<void>

export interface ApiDeps {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly kinds: readonly Kind[]
  readonly podLogs: LogSource
  readonly version: { readonly gitVersion: string; readonly gitCommit: string; readonly buildDate: string; readonly platform: string }
  /** Named checks of /readyz, /livez and /healthz: a text when not ok. */
  readonly checks: Readonly<Record<string, () => string | undefined>>
  /** Checks of /readyz only: what ends by itself, or when somebody frees a disk; starting the server anew would not help. */
  readonly readiness?: Readonly<Record<string, () => string | undefined>>
}

export { type Api, createApi, type ExtraRoute } from './handler.ts'
export { type Listener, type ListenOptions, listen, type UpgradeHandler } from './listener.ts'
export { type ApiRequest, type ApiResponse, jsonResponse, type Sink, type StreamBody, textResponse } from './message.ts'
export { type Authenticator, type Peer, peerOf } from './peer.ts'
export { noResource } from './refusal.ts'
export type { PodStream, PodStreamRequest, PodStreams } from './streams/pod-stream.ts'
export { createStreamUpgrade, type StreamUpgrade } from './streams/upgrade.ts'
export { refuseUpgrade } from './upgrade.ts'
export { createVerbs, type LocalVerbs } from './verbs.ts'
