// Pods that an operator holds on this device: stopped gracefully and kept stopped, whatever the document says, until the hold is lifted
// here or there. The shell writes a hold to disk before the machine hears of it. A lifted hold stays until its containers ran again, so
// that an agent that ends in between does not take a container that was stopped for one that has finished. Pure but for the state.

import { isObject } from '../base/json.ts'
import { HOLD_LIFTED } from '../kinds/hold.ts'
import type { DeviceState, Output } from './machine.ts'
import { isDone } from './plan-container.ts'
import { isRunning, type PodRecord } from './pod-record.ts'
import type { Outputs } from './reconcile.ts'
import { allContainers } from './stop.ts'

export interface Hold {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  readonly id: string
  /** RFC 3339, by the device's clock. */
  readonly at: string
  /** Who asked, as the socket proved it. */
  readonly by: string
  readonly reason?: string
  /** Containers that had not finished when the hold began: they run again when it ends, whatever the restart policy. */
  readonly containers: readonly string[]
  /** It is over; the containers have yet to run again. */
  readonly lifted?: true
}

export const isHolds = (value: unknown): value is readonly Hold[] =>
  Array.isArray(value) &&
  value.every(
    each =>
      isObject(each) &&
      ['uid', 'namespace', 'name', 'id', 'at', 'by'].every(field => typeof each[field] === 'string') &&
      Array.isArray(each['containers']),
  )

/** The hold in force; a lifted one holds nothing. */
export const holdOf = (state: Pick<DeviceState, 'holds'>, uid: string): Hold | undefined => {
  const hold = state.holds.get(uid)
  return hold?.lifted ? undefined : hold
}

/** `held by root since 2026-11-22T10:00:00Z: the reason`. */
export const holdText = ({ by, at, reason }: Pick<Hold, 'by' | 'at' | 'reason'>): string =>
  `held by ${by} since ${at}${reason === undefined ? '' : `: ${reason}`}`

/** Containers that are not finished for good: those a hold stops and its end starts again. */
export const unfinished = (record: PodRecord): string[] => {
  const policy = record.pod?.spec.restartPolicy ?? 'Always'
  const inits = new Set((record.pod?.spec.initContainers ?? []).map(c => c.name))
  const policyFor = (name: string): string => (inits.has(name) ? 'OnFailure' : policy)
  return allContainers(record.pod)
    .filter(c => !isDone(record.containers.get(c.name), c.restartPolicy === 'Always' ? 'Always' : policyFor(c.name)))
    .map(c => c.name)
}

const keep = ({ state, out }: Outputs): void => {
  out.push({ do: 'keepHolds', holds: [...state.holds.values()] })
}

const reportOf = ({ namespace, name, uid, id, at, by, reason }: Hold): Output => ({
  do: 'report',
  key: `hold/${uid}`,
  value: { namespace, name, uid, id, at, by, ...(reason === undefined ? {} : { reason }) },
})

const tell = ({ out }: Outputs, { uid, namespace, name }: Hold, reason: string, note: string): void => {
  out.push({ do: 'event', record: { uid, namespace, name }, note: { type: 'Normal', reason, note } })
}

/** What was held when the agent was last here. */
export const recallHolds = (holds: readonly Hold[], { state, out }: Outputs): void => {
  for (const hold of holds) {
    state.holds.set(hold.uid, hold)
    if (!hold.lifted) out.push(reportOf(hold))
  }
}

/** Returns the uids to reconcile. A pod that is held stays held by the one who came first. */
export const takeHold = (hold: Hold, outputs: Outputs): readonly string[] => {
  const { state, out } = outputs
  if (!state.pods.has(hold.uid) || holdOf(state, hold.uid)) {
    keep(outputs)
    return []
  }
  state.holds.set(hold.uid, hold)
  keep(outputs)
  out.push(reportOf(hold))
  tell(outputs, hold, 'Held', `Pod is ${holdText(hold)}`)
  return [hold.uid]
}

/** Its containers run again at once, with a clean slate. */
const runAgain = (record: PodRecord | undefined, hold: Hold): void => {
  for (const name of hold.containers) {
    const container = record?.containers.get(name)
    if (!container || isRunning(container)) continue
    container.rerun = container.ended !== undefined
    startAfresh(container)
  }
}

const startAfresh = (container: { notBeforeAtMs: number; backoffMs: number; failures: number }): void => {
  container.notBeforeAtMs = Number.NEGATIVE_INFINITY
  container.backoffMs = 0
  container.failures = 0
}

/** Ends the hold `id` of a pod; `by` says who, for the event. Returns the uids to reconcile. */
export const takeLift = (uid: string, id: string, by: string, outputs: Outputs): readonly string[] => {
  const { state, out } = outputs
  const hold = holdOf(state, uid)
  if (hold?.id !== id) return []
  state.holds.set(uid, { ...hold, lifted: true })
  runAgain(state.pods.get(uid), hold)
  keep(outputs)
  out.push({ do: 'report', key: `hold/${uid}`, value: null })
  tell(outputs, hold, 'Resumed', `Hold was lifted by ${by}`)
  return [uid]
}

/** A pod came into the document for the first time in this run: what its ended hold still owes it, and whether the server lifted it. */
export const readDocumentHolds = (record: PodRecord, first: boolean, outputs: Outputs): void => {
  const hold = outputs.state.holds.get(record.uid)
  if (hold === undefined) return
  if (hold.lifted && first) runAgain(record, hold)
  const lifted = record.pod?.metadata.annotations?.[HOLD_LIFTED]
  if (lifted !== undefined) takeLift(record.uid, lifted, 'the server', outputs)
}

/** A hold that owes nothing more, or whose pod is gone, is forgotten. */
export const settleHold = (uid: string, outputs: Outputs): void => {
  const { state, out } = outputs
  const hold = state.holds.get(uid)
  const record = state.pods.get(uid)
  if (hold === undefined) return
  const owes = (name: string): boolean => {
    const container = record?.containers.get(name)
    return container !== undefined && (container.rerun || container.stop !== undefined)
  }
  if (record !== undefined && (!hold.lifted || hold.containers.some(owes))) return
  state.holds.delete(uid)
  keep(outputs)
  if (!hold.lifted) out.push({ do: 'report', key: `hold/${uid}`, value: null })
}

/** Stops what runs of a pod so that it starts again (`names`: only these containers), and ends what waits for a backoff. */
export const takeRestart = (
  uid: string,
  names: readonly string[] | undefined,
  why: string,
  state: Pick<DeviceState, 'pods'>,
): readonly string[] => {
  const record = state.pods.get(uid)
  if (!record) return []
  for (const container of record.containers.values()) {
    if (names && !names.includes(container.name)) continue
    if (isRunning(container)) container.asked = why
    else startAfresh(container)
  }
  return [uid]
}
