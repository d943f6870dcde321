// What devices report becomes status in the API. A device may only speak of itself: its own Node, and pods that are bound to it and
// have the uid it names. Everything else is dropped. Reports are reconstructible, so they are written lazily.

import type { Target, Verbs } from '../api/api.ts'
import { type Clock, timestamp } from '../base/clock.ts'
import { ApiError, isReason } from '../base/errors.ts'
import { deepEqual, isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Identity } from '../base/pki.ts'
import { SERVER_CONDITIONS } from '../kinds/contact.ts'
import { isHeld } from '../kinds/hold.ts'
import { kindByName } from '../kinds/index.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import type { PodReport, StatusItem } from '../link/messages.ts'
import { applyHold, applyNoHold, HOLD_KEY } from './hold-reports.ts'

/** Refusals told of one frame of reports, and the characters of each: a device that speaks nonsense does not fill the server's log. */
const REFUSALS_MAX = 8
const REFUSAL_CHARS_MAX = 300

export interface ReportsDeps {
  readonly verbs: Verbs
  readonly clock: Pick<Clock, 'now'>
  /** Pods bound to a device. */
  readonly podsOn: (device: string) => readonly Pod[]
}

/** Reports act as the device itself, with the right to write status and its own holds only. */
export const callerOf = (device: string): Identity => ({
  name: `system:node:${device}`,
  groups: ['system:nodes', 'system:masters'],
  node: device,
})

/**
 * Reported conditions win over stored ones of the same type; others (set by controllers) stay. A transition is stamped with our time of
 * hearing of it: the device's clock may be years off, and controllers reckon with these stamps by ours (CONVENTIONS 7).
 */
export const mergeConditions = (stored: readonly Condition[], reported: readonly Condition[], now: string): Condition[] => {
  const before = new Map(stored.map(condition => [condition.type, condition]))
  const merged = reported.map(condition => {
    const old = before.get(condition.type)
    return { ...condition, lastTransitionTime: (old && old.status === condition.status && old.lastTransitionTime) || now }
  })
  const named = new Set(reported.map(condition => condition.type))
  return [...stored.filter(condition => !named.has(condition.type)), ...merged]
}

/**
 * Writes a status the device reported upon the newest state, staged writes of others included: what the others change stays, and nobody's
 * write in flight can turn the report away. Nothing happens when the status is already so.
 */
const writeStatus = async (deps: ReportsDeps, device: string, target: Target, stored: KubeObject, reported: unknown) => {
  if (!isObject(reported)) throw new ApiError('BadRequest', 'status must be an object')
  const old = isObject(stored.status) ? stored.status : {}
  const listed = reported['conditions'] ?? []
  if (!Array.isArray(listed) || !listed.every(isObject)) throw new ApiError('BadRequest', 'status.conditions must be a list of objects')
  const conditions = mergeConditions(
    (old['conditions'] as Condition[] | undefined) ?? [],
    listed as unknown as Condition[],
    timestamp(deps.clock.now()),
  )
  const status = { ...reported, conditions }
  if (deepEqual(status, stored.status)) return
  const patch = [
    { op: 'add', path: '/metadata/uid', value: stored.metadata.uid ?? '' },
    { op: 'add', path: '/status', value: status },
  ]
  await deps.verbs.patch(callerOf(device), { ...target, subresource: 'status' }, patch, 'json', { lazy: true })
}

/** Applies one pod report; returns quietly when the pod is not this device's (any more): the next document says so to the device. */
const applyPod = async (deps: ReportsDeps, device: string, report: PodReport): Promise<void> => {
  const target = { kind: kindByName('Pod')!, namespace: report.namespace, name: report.name }
  const stored = getOrUndefined<Pod>(deps.verbs, target)
  if (!stored || stored.metadata.uid !== report.uid || stored.spec.nodeName !== device) return
  const preconditions = { uid: report.uid }
  if (report.gone && stored.metadata.deletionTimestamp) {
    await deps.verbs.delete(callerOf(device), target, { gracePeriodSeconds: 0, preconditions })
    return
  }
  await writeStatus(deps, device, target, stored as unknown as KubeObject, report.status)
}

const applyNode = async (deps: ReportsDeps, device: string, status: Record<string, unknown>): Promise<void> => {
  const target = { kind: kindByName('Node')!, namespace: '', name: device }
  const stored = getOrUndefined<Node>(deps.verbs, target)
  if (!stored) return
  const { conditions } = status
  // Whether it is in contact is not the device's to say.
  const own = Array.isArray(conditions)
    ? { ...status, conditions: conditions.filter(each => !(isObject(each) && SERVER_CONDITIONS.has(String(each['type'])))) }
    : status
  await writeStatus(deps, device, target, stored as unknown as KubeObject, own)
}

const getOrUndefined = <T>(verbs: Verbs, target: Parameters<Verbs['get']>[0]): T | undefined => {
  try {
    return verbs.get(target) as T
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined
    throw error
  }
}

const applyItem = async (deps: ReportsDeps, device: string, item: StatusItem): Promise<void> => {
  if (item.key === 'node' && isObject(item.value)) return applyNode(deps, device, item.value)
  if (item.key.startsWith('pod/') && isObject(item.value)) return applyPod(deps, device, item.value as unknown as PodReport)
  if (!item.key.startsWith(HOLD_KEY)) return
  const uid = item.key.slice(HOLD_KEY.length)
  const pod = deps.podsOn(device).find(each => each.metadata.uid === uid)
  if (pod) await (item.value === null ? applyNoHold : applyHold)({ verbs: deps.verbs, caller: callerOf(device) }, pod, item.value)
}

/** Of a complete report: holds that it no longer names have ended while nobody listened. One that is named later comes back then. */
const endedHolds = (deps: ReportsDeps, device: string, items: readonly StatusItem[]): StatusItem[] => {
  const named = new Set(items.map(item => item.key))
  return deps
    .podsOn(device)
    .filter(isHeld)
    .map(pod => ({ key: `${HOLD_KEY}${pod.metadata.uid ?? ''}`, value: null }))
    .filter(item => !named.has(item.key))
}

/**
 * Applies a device's reports, each until it is stored or refused. An invalid one is reported by the returned list and does not stop the
 * others. `whole`: these and the reports that follow are all the device has to say.
 */
export const applyReports = async (deps: ReportsDeps, device: string, items: readonly StatusItem[], whole = false): Promise<string[]> => {
  const refused: string[] = []
  const one = async (item: StatusItem): Promise<void> => {
    try {
      await applyItem(deps, device, item)
    } catch (error) {
      // The object is gone, or another one has taken its name.
      if (isReason(error, 'NotFound') || isReason(error, 'Conflict')) return
      if (!(error instanceof ApiError) || error.code >= 500) throw error
      if (refused.length < REFUSALS_MAX) refused.push(`${item.key}: ${error.message.slice(0, REFUSAL_CHARS_MAX)}`)
    }
  }
  await Promise.all([...items, ...(whole ? endedHolds(deps, device, items) : [])].map(one))
  return refused
}
