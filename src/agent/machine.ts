// The device machine: (state, input, now) → outputs, for all pods of one device. Synchronous and deterministic: it holds no clock, no
// promise and no handle, so the shell carries it out and the simulator runs it as it is. At most one structural step a pod is in flight.
// With no document yet it touches nothing. DESIGN invariants 1 and 3.

import { backoffMs } from '../base/backoff.ts'
import { messageOf } from '../base/errors.ts'
import { deepEqual } from '../base/json.ts'
import type { Document } from '../link/messages.ts'
import type { NetworkConfig } from '../network/network.ts'
import type { ContainerInfo } from '../runtime/runtime.ts'
import type { Action, ActionResult } from './action.ts'
import { adoptPod, adoptRecords, type Truth } from './adopt.ts'
import type { Device, Surroundings } from './device.ts'
import type { ConfigProblem } from './env.ts'
import { type Hold, readDocumentHolds, recallHolds, settleHold, takeHold, takeLift, takeRestart } from './holds.ts'
import { SETUP_BACKOFF } from './limits.ts'
import { done, exited, failed, type Note } from './observe.ts'
import { type Now, newRecord, type PodMemory, type PodRecord } from './pod-record.ts'
import { type Outputs, reconcile } from './reconcile.ts'
import { type ContactState, IN_CONTACT, silenceOf } from './silence.ts'
import type { PodLayout } from './volumes.ts'

export type Input =
  /** First, once. `folders` are the uids that have folders on this device. */
  | {
      readonly on: 'start'
      readonly truth: Truth
      readonly document: Document | undefined
      readonly memories: ReadonlyMap<string, PodMemory>
      readonly folders: readonly string[]
      readonly holds?: readonly Hold[]
      /** What is known of the server's silence; left out: there is contact. */
      readonly contact?: ContactState
    }
  | { readonly on: 'document'; readonly document: Document }
  | { readonly on: 'done'; readonly action: Action; readonly result: ActionResult }
  | { readonly on: 'failed'; readonly action: Action; readonly message: string }
  /** For a stopped container this comes before the `done` of its stop. `message`: its termination message. */
  | { readonly on: 'exited'; readonly container: ContainerInfo; readonly message?: string }
  /** The time given by `wakeAtMs` has come. */
  | { readonly on: 'tick' }
  /** Images came or went. */
  | { readonly on: 'images' }
  /** An operator holds a pod, ends a hold, or wants containers restarted. A hold is on disk already. */
  | { readonly on: 'hold'; readonly hold: Hold }
  | { readonly on: 'lift'; readonly uid: string; readonly id: string; readonly by: string }
  | { readonly on: 'restart'; readonly uid: string; readonly containers?: readonly string[]; readonly why: string }
  /** The link came up or went down. */
  | { readonly on: 'contact'; readonly contact: ContactState }
  /** This device's addresses or files changed. */
  | { readonly on: 'device'; readonly device: Device }

export type Output =
  | { readonly do: 'act'; readonly action: Action }
  /** A last-value report: the link's setStatus. */
  | { readonly do: 'report'; readonly key: string; readonly value: unknown }
  | { readonly do: 'event'; readonly record: Pick<PodRecord, 'uid' | 'namespace' | 'name'>; readonly note: Note }
  /** To be written when convenient; null forgets. */
  | { readonly do: 'remember'; readonly uid: string; readonly memory: PodMemory | null }
  /** All holds, to be written at once. */
  | { readonly do: 'keepHolds'; readonly holds: readonly Hold[] }
  /** The pod is gone for good: its logs may go. */
  | { readonly do: 'forgetLogs'; readonly uid: string }

export interface DeviceState {
  device: Device
  document: Document | undefined
  around: Surroundings | undefined
  readonly pods: Map<string, PodRecord>
  memories: ReadonlyMap<string, PodMemory>
  /** By pod uid. */
  readonly holds: Map<string, Hold>
  contact: ContactState
  /** The network's configuration in force, and the step that changes it. */
  network: { config: NetworkConfig | undefined; busy: boolean; retryAtMs: number | undefined; failures: number; error: string | undefined }
  /** Last reports, so that equal ones are not made again. */
  readonly reported: Map<string, unknown>
  /** Pods of which something is remembered on disk. */
  readonly remembered: Set<string>
  readonly layouts: Map<string, { readonly of: readonly unknown[]; readonly layout: PodLayout | ConfigProblem }>
}

export const newState = (device: Device): DeviceState => ({
  device,
  document: undefined,
  around: undefined,
  pods: new Map(),
  memories: new Map(),
  holds: new Map(),
  contact: IN_CONTACT,
  network: { config: undefined, busy: false, retryAtMs: undefined, failures: 0, error: undefined },
  reported: new Map(),
  remembered: new Set(),
  layouts: new Map(),
})

/** When the next `tick` is due (monotonic); undefined = nothing is due, ever, unless something happens. */
export const wakeAtMs = (state: DeviceState): number | undefined => {
  let at = state.network.retryAtMs
  for (const { wakeAtMs: wake } of state.pods.values()) if (wake !== undefined) at = Math.min(at ?? wake, wake)
  return at
}

/** One step. Changes `state`; what comes back is to be carried out, in order. */
export const step = (state: DeviceState, input: Input, now: Now): Output[] => {
  const out: Output[] = []
  const outputs: Outputs = { out, now, state }
  for (const uid of take(state, input, outputs)) reconcileAlone(uid, outputs)
  return out
}

/** One pod that cannot be reconciled (a manifest nobody foresaw) must not stop the others, nor the agent over and over. */
const reconcileAlone = (uid: string, outputs: Outputs): void => {
  const record = outputs.state.pods.get(uid)
  try {
    reconcile(uid, outputs)
    record?.told.delete('failed/reconcile')
  } catch (error) {
    if (!record) throw error
    record.wakeAtMs = outputs.now.monoMs + SETUP_BACKOFF.capMs
    const note = `agent cannot reconcile the pod: ${messageOf(error)}`
    if (record.told.get('failed/reconcile') !== note) tell(outputs, record, [{ type: 'Warning', reason: 'FailedSync', note }])
    record.told.set('failed/reconcile', note)
  }
}

/** Takes the input in; returns the uids to reconcile. */
const take = (state: DeviceState, input: Input, outputs: Outputs): Iterable<string> => {
  const { now } = outputs
  switch (input.on) {
    case 'start':
      state.memories = input.memories
      state.contact = input.contact ?? IN_CONTACT
      for (const [uid, memory] of input.memories) {
        state.remembered.add(uid)
        state.reported.set(`memory/${uid}`, memory)
      }
      for (const [uid, record] of adoptRecords(input.truth, input.memories, input.folders)) state.pods.set(uid, record)
      recallHolds(input.holds ?? [], outputs)
      return input.document ? takeDocument(state, input.document, outputs) : []
    case 'document': {
      const uids = takeDocument(state, input.document, outputs)
      for (const uid of [...state.holds.keys()]) settleHold(uid, outputs)
      return uids
    }
    case 'hold':
      return takeHold(input.hold, outputs)
    case 'lift':
      return takeLift(input.uid, input.id, input.by, outputs)
    case 'restart':
      return takeRestart(input.uid, input.containers, input.why, state)
    case 'contact':
      state.contact = input.contact
      return allUids(state).filter(uid => silenceOf(state.pods.get(uid)?.pod, state.contact, false) !== undefined)
    case 'device':
      state.device = input.device
      return allUids(state)
    case 'images':
      return allUids(state)
    case 'tick':
      return takeTick(state, outputs)
    case 'exited': {
      const record = state.pods.get(input.container.podUid)
      if (record) tell(outputs, record, exited(record, input.container, state.device.runtimeName, now, input.message))
      return record ? [record.uid] : []
    }
    case 'done':
    case 'failed':
      return takeResult(state, input, outputs)
  }
}

const allUids = (state: DeviceState): readonly string[] => (state.document ? [...state.pods.keys()] : [])

const tell = ({ out }: Outputs, record: PodRecord, notes: readonly Note[]): void => {
  for (const note of notes) out.push({ do: 'event', record: { uid: record.uid, namespace: record.namespace, name: record.name }, note })
}

const takeDocument = (state: DeviceState, document: Document, outputs: Outputs): readonly string[] => {
  state.document = document
  state.around = surroundings(document)
  const desired = new Set<string>()
  for (const pod of document.pods) {
    const uid = pod.metadata.uid ?? ''
    desired.add(uid)
    const known = state.pods.get(uid)
    const record =
      known?.pod || known?.namespace ? known : withName(known, uid, pod.metadata.namespace ?? 'default', pod.metadata.name ?? '')
    const first = record.pod === undefined
    record.pod = pod
    record.desired = true
    state.pods.set(uid, record)
    if (first) {
      adoptPod(record, state.memories.get(uid), state.device, outputs.now)
      record.startedWallMs ??= outputs.now.wallMs
      record.activeSinceAtMs = outputs.now.monoMs - Math.max(0, outputs.now.wallMs - record.startedWallMs)
    }
    readDocumentHolds(record, first, outputs)
  }
  // What was remembered has become records.
  state.memories = new Map()
  for (const record of state.pods.values()) if (!desired.has(record.uid)) record.desired = false
  configureNetwork(state, outputs)
  return allUids(state)
}

/** What was found on disk under a uid gets the name its pod has in the document. */
const withName = (found: PodRecord | undefined, uid: string, namespace: string, name: string): PodRecord => ({
  ...(found ?? newRecord(uid, namespace, name)),
  namespace,
  name,
})

const surroundings = (document: Document): Surroundings => {
  const index = <T extends { metadata: { namespace?: string; name?: string } }>(items: readonly T[]): ReadonlyMap<string, T> =>
    new Map(items.map(item => [`${item.metadata.namespace ?? ''}/${item.metadata.name ?? ''}`, item]))
  const configMaps = index(document.configMaps)
  const secrets = index(document.secrets)
  return {
    podCIDR: document.podCIDR,
    clusterCIDR: document.clusterCIDR,
    configMap: (namespace, name) => configMaps.get(`${namespace}/${name}`),
    secret: (namespace, name) => secrets.get(`${namespace}/${name}`),
  }
}

const configureNetwork = (state: DeviceState, { out, now }: Outputs): void => {
  const { network, around, device } = state
  if (!around || !device.isolatesNetwork || around.podCIDR === '' || network.busy) return
  const config = { podCIDR: around.podCIDR, clusterCIDR: around.clusterCIDR }
  if (deepEqual(config, network.config) || (network.retryAtMs !== undefined && network.retryAtMs > now.monoMs)) return
  network.busy = true
  network.retryAtMs = undefined
  out.push({ do: 'act', action: { do: 'configureNetwork', config } })
}

const takeTick = (state: DeviceState, outputs: Outputs): readonly string[] => {
  const { monoMs } = outputs.now
  configureNetwork(state, outputs)
  return [...state.pods.values()].filter(r => r.wakeAtMs !== undefined && r.wakeAtMs <= monoMs).map(r => r.uid)
}

const takeResult = (state: DeviceState, input: Extract<Input, { on: 'done' | 'failed' }>, outputs: Outputs): readonly string[] => {
  const { action } = input
  const { now } = outputs
  if (action.do === 'configureNetwork') return takeNetwork(state, action.config, input.on === 'failed' ? input.message : undefined, outputs)
  const record = state.pods.get(action.uid)
  if (!record) return []
  const runtimeName = state.device.runtimeName
  const notes = input.on === 'done' ? done(record, action, input.result, runtimeName, now) : failed(record, action, input.message, now)
  // The same failure again and again is one event.
  const subject = `failed/${action.do}`
  const isNews = input.on === 'done' || action.do === 'startContainer' || record.told.get(subject) !== input.message
  if (input.on === 'failed') record.told.set(subject, input.message)
  else record.told.delete(subject)
  if (isNews) tell(outputs, record, notes)
  return [record.uid]
}

const takeNetwork = (state: DeviceState, config: NetworkConfig, error: string | undefined, outputs: Outputs): readonly string[] => {
  const { network } = state
  network.busy = false
  network.error = error
  if (error === undefined) {
    network.config = config
    network.failures = 0
  } else network.retryAtMs = outputs.now.monoMs + backoffMs(SETUP_BACKOFF, network.failures++)
  configureNetwork(state, outputs)
  return allUids(state)
}
