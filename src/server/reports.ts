// What devices report becomes status in the API. A device may only speak of itself: its own Node, and pods that are bound to it and
// have the uid it names. Everything else is dropped. Reports are reconstructible, so they are written lazily.

import type { Verbs } from '../api/api.ts'
import { ApiError, isReason } from '../base/errors.ts'
import { deepEqual, isObject } from '../base/json.ts'
import type { KubeObject } from '../base/object.ts'
import type { Identity } from '../base/pki.ts'
import { kindByName } from '../kinds/index.ts'
import type { Condition } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import type { PodReport, StatusItem } from '../link/messages.ts'

export interface ReportsDeps {
  readonly verbs: Verbs
}

/** Reports act as the device itself, with the right to write status only. */
const callerOf = (device: string): Identity => ({ name: `system:node:${device}`, groups: ['system:nodes', 'system:masters'], node: device })

/** Reported conditions win over stored ones of the same type; others (set by controllers) stay. A transition time survives an unchanged status. */
export const mergeConditions = (stored: readonly Condition[], reported: readonly Condition[]): Condition[] => {
  const before = new Map(stored.map(condition => [condition.type, condition]))
  const merged = reported.map(condition => {
    const old = before.get(condition.type)
    const sameStatus = old?.status === condition.status && old.lastTransitionTime !== undefined
    return sameStatus ? { ...condition, lastTransitionTime: old.lastTransitionTime! } : condition
  })
  const named = new Set(reported.map(condition => condition.type))
  return [...stored.filter(condition => !named.has(condition.type)), ...merged]
}

const withStatus = <T extends KubeObject>(object: T, reported: Record<string, unknown>): T => {
  const old = isObject(object.status) ? object.status : {}
  const conditions = mergeConditions(
    (old['conditions'] as Condition[] | undefined) ?? [],
    (reported['conditions'] as Condition[] | undefined) ?? [],
  )
  return { ...object, status: { ...reported, conditions } } as T
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
  const next = withStatus(stored as unknown as KubeObject, report.status)
  if (deepEqual(next.status, stored.status)) return
  await deps.verbs.update(callerOf(device), { ...target, subresource: 'status' }, next, { lazy: true })
}

const applyNode = async (deps: ReportsDeps, device: string, status: Record<string, unknown>): Promise<void> => {
  const target = { kind: kindByName('Node')!, namespace: '', name: device }
  const stored = getOrUndefined<Node>(deps.verbs, target)
  if (!stored) return
  const next = withStatus(stored as unknown as KubeObject, status)
  if (deepEqual(next.status, stored.status)) return
  await deps.verbs.update(callerOf(device), { ...target, subresource: 'status' }, next, { lazy: true })
}

const getOrUndefined = <T>(verbs: Verbs, target: Parameters<Verbs['get']>[0]): T | undefined => {
  try {
    return verbs.get(target) as T
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined
    throw error
  }
}

/** How often a report is tried again when someone else wrote the object in between. */
const CONFLICT_TRIES = 5

const applyItem = async (deps: ReportsDeps, device: string, item: StatusItem): Promise<void> => {
  if (item.key === 'node' && isObject(item.value)) return applyNode(deps, device, item.value)
  if (item.key.startsWith('pod/') && isObject(item.value)) return applyPod(deps, device, item.value as unknown as PodReport)
}

/** Applies a device's reports, each until it is stored or refused. An invalid one is reported by the returned list and does not stop the others. */
export const applyReports = async (deps: ReportsDeps, device: string, items: readonly StatusItem[]): Promise<string[]> => {
  const refused: string[] = []
  const one = async (item: StatusItem): Promise<void> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await applyItem(deps, device, item)
      } catch (error) {
        if (isReason(error, 'NotFound')) return
        if (isReason(error, 'Conflict') && attempt < CONFLICT_TRIES) continue
        if (!(error instanceof ApiError) || error.code >= 500) throw error
        refused.push(`${item.key}: ${error.message}`)
        return
      }
    }
  }
  await Promise.all(items.map(one))
  return refused
}
