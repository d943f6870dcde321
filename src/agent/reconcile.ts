// One pod of the machine, one run: give it an address, plan, ask for the steps whose slot is free, and say what changed. The same world
// twice asks for nothing the second time. Pure but for the record.

import { deepEqual } from '../base/json.ts'
import { type Action, retryKeyOf, slotOf } from './action.ts'
import { usesHostNetwork } from './device.ts'
import { holdOf, settleHold } from './holds.ts'
import type { DeviceState, Output } from './machine.ts'
import type { Note } from './observe.ts'
import { type Plan, plan } from './plan.ts'
import { isRunning, type Now, type PodMemory, type PodRecord } from './pod-record.ts'
import { podStatus } from './pod-status.ts'
import { silenceOf } from './silence.ts'
import { podLayout } from './volumes.ts'

export interface Outputs {
  readonly out: Output[]
  readonly now: Now
  readonly state: DeviceState
}

export const reconcile = (uid: string, outputs: Outputs): void => {
  const { state, now } = outputs
  const record = state.pods.get(uid)
  if (!record || !state.around) return
  giveAddress(record, state)
  const world = {
    device: state.device,
    around: state.around,
    networkReady: state.network.config !== undefined,
    hold: holdOf(state, uid),
    silence: silenceOf(record.pod, state.contact, [...record.containers.values()].some(isRunning)),
  }
  const planned = plan(record, layoutOf(record, state), world, now)
  record.terminal = planned.terminal
  record.wakeAtMs = planned.wakeAtMs
  for (const action of planned.actions) ask(record, action, outputs)
  settleHold(uid, outputs)
  if (planned.gone) leave(record, outputs)
  else {
    tellTrouble(record, planned, outputs)
    report(record, planned, outputs)
  }
}

/** An address is given once and kept over restarts; a pod that ended gives it back when its sandbox is gone. */
const giveAddress = (record: PodRecord, state: DeviceState): void => {
  const { pod } = record
  const { podCIDR } = state.around ?? { podCIDR: '' }
  if (record.address !== undefined && !holdsAddress(record)) record.address = undefined
  if (!pod || !record.desired || record.address !== undefined || record.terminal || podCIDR === '') return
  if (usesHostNetwork(pod, state.device) || pod.metadata.deletionTimestamp !== undefined) return
  const used = new Set<string>()
  for (const other of state.pods.values()) if (other.address !== undefined && holdsAddress(other)) used.add(other.address)
  record.address = state.device.allocateAddress(podCIDR, used)
}

const holdsAddress = (record: PodRecord): boolean => record.sandbox === 'present' || (record.terminal === undefined && record.desired)

/** Made anew only when the pod, its surroundings, its address or the device changed. */
const layoutOf = (record: PodRecord, state: DeviceState) => {
  const { pod, uid } = record
  if (!pod || !state.around || !record.desired) return undefined
  const of = [pod, state.around, record.address, state.device]
  const known = state.layouts.get(uid)
  if (known?.of.every((value, i) => value === of[i])) return known.layout
  const layout = podLayout(pod, record.address, state.device, state.around)
  state.layouts.set(uid, { of, layout })
  return layout
}

const ask = (record: PodRecord, action: Action, { out, now }: Outputs): void => {
  const slot = slotOf(action)
  if (record.busy.has(slot)) return
  const retry = record.retry.get(retryKeyOf(action))
  if (retry && retry.notBeforeAtMs > now.monoMs && action.do !== 'probe') {
    record.wakeAtMs = Math.min(record.wakeAtMs ?? retry.notBeforeAtMs, retry.notBeforeAtMs)
    return
  }
  record.busy.add(slot)
  const state = 'name' in action ? record.containers.get(action.name) : undefined
  if (action.do === 'writeVolumes') record.dirty = true
  if (action.do === 'probe' && state?.probes[action.kind]) state.probes[action.kind]!.inFlight = true
  if (action.do === 'stopContainer' && state?.current?.id === action.id) {
    state.stop = { deadlineAtMs: now.monoMs + action.graceMs, restart: action.restart }
    const note = action.why === '' ? `Stopping container ${action.name}` : action.why
    tell(record, { type: 'Normal', reason: 'Killing', note, container: action.name }, out)
  }
  out.push({ do: 'act', action })
}

const tell = (record: PodRecord, note: Note, out: Output[]): void => {
  out.push({ do: 'event', record: { uid: record.uid, namespace: record.namespace, name: record.name }, note })
}

/** Troubles are told when they begin or change, not at every look. */
const tellTrouble = (record: PodRecord, planned: Plan, { out }: Outputs): void => {
  const told = (subject: string, note: Note | undefined): void => {
    const text = note && `${note.reason}: ${note.note}`
    if (text !== undefined && record.told.get(subject) !== text) tell(record, note as Note, out)
    if (text === undefined) record.told.delete(subject)
    else record.told.set(subject, text)
  }
  const { trouble } = planned
  told('trouble', trouble && { type: 'Warning', reason: trouble.reason, note: trouble.message })
  for (const name of record.containers.keys()) if (!planned.waiting.has(name)) told(`waiting/${name}`, undefined)
  for (const [name, { reason, message = '' }] of planned.waiting) {
    const isTrouble = reason !== 'ContainerCreating' && reason !== 'PodInitializing'
    const event = reason === 'CrashLoopBackOff' ? 'BackOff' : 'Failed'
    told(`waiting/${name}`, isTrouble ? { type: 'Warning', reason: event, note: message || reason, container: name } : undefined)
  }
}

const sayStatus = (record: PodRecord, value: unknown, { out, state }: Outputs): void => {
  const key = `pod/${record.uid}`
  if (deepEqual(state.reported.get(key), value)) return
  if (value === null) state.reported.delete(key)
  else state.reported.set(key, value)
  out.push({ do: 'report', key, value })
}

const report = (record: PodRecord, planned: Plan, outputs: Outputs): void => {
  const { pod, uid, namespace, name } = record
  if (!pod || !record.desired) return
  const before = record.status
  const status = podStatus(pod, { record, plan: planned, device: outputs.state.device, now: outputs.now })
  if (!deepEqual(before, status)) record.status = status
  sayStatus(record, { namespace, name, uid, status: record.status }, outputs)
  remember(record, outputs)
}

/** What is remembered changes only with what it is made of; the shell writes it when convenient. */
const remember = (record: PodRecord, { out, state }: Outputs): void => {
  if (!record.status) return
  const failures = Object.fromEntries([...record.containers.values()].filter(c => c.failures > 0).map(c => [c.name, c.failures]))
  const address = record.address === undefined ? {} : { address: record.address }
  const memory: PodMemory = { namespace: record.namespace, name: record.name, ...address, status: record.status, failures }
  const key = `memory/${record.uid}`
  if (deepEqual(state.reported.get(key), memory)) return
  state.reported.set(key, memory)
  state.remembered.add(record.uid)
  out.push({ do: 'remember', uid: record.uid, memory })
}

/** Nothing of it runs or lies about any more. A pod that is still in the document waits for the server to remove it. */
const leave = (record: PodRecord, outputs: Outputs): void => {
  const { uid, namespace, name } = record
  const { state, out } = outputs
  state.layouts.delete(uid)
  state.reported.delete(`memory/${uid}`)
  if (state.remembered.delete(uid)) out.push({ do: 'remember', uid, memory: null })
  if (record.desired && record.pod) {
    const planned: Plan = { actions: [], waiting: new Map(), ...(record.terminal ? { terminal: record.terminal } : {}) }
    record.status = podStatus(record.pod, { record, plan: planned, device: state.device, now: outputs.now })
    sayStatus(record, { namespace, name, uid, status: record.status, gone: true }, outputs)
    return
  }
  sayStatus(record, null, outputs)
  out.push({ do: 'forgetLogs', uid })
  state.pods.delete(uid)
  settleHold(uid, outputs)
}
