// The door of the scheduler: which node. A controller like any other, with one key for the whole batch of waiting pods: they are placed
// together against one table, so two of them never share the same room. Bindings carry uid and resourceVersion: no pod is bound twice.

import { timestamp } from '../base/clock.ts'
import { deepEqual } from '../base/json.ts'
import type { Action, Controller, Result, View } from '../controllers/controller.ts'
import type { Condition, KubeObject } from '../kinds/meta.ts'
import { keyOf } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodTerminal } from '../kinds/pod.ts'
import { BIND_BURST, CONDITION_BURST } from './limits.ts'
import type { Needs } from './needs.ts'
import { needsOf } from './needs.ts'
import { place } from './place.ts'
import type { Row, RowBase, Usage } from './row.ts'
import { rowBaseOf, rowOf, usageOf } from './row.ts'

export type { Needs } from './needs.ts'
export { needsOf } from './needs.ts'
export { place } from './place.ts'
export type { Row } from './row.ts'
export { rowBaseOf, rowOf, usageOf } from './row.ts'

export const SCHEDULER_NAME = 'default-scheduler'
const ALL = 'pods'

/**
 * The scheduling controller. What it derives from objects it keeps by their identity (they are frozen), so a run costs what changed,
 * not what exists; the answers do not depend on it.
 */
export const createScheduling = (): Controller => {
  const memo: Memo = { needs: new WeakMap(), usage: new WeakMap(), bases: new WeakMap() }
  return {
    name: 'scheduling',
    watches: [
      { kind: 'Pod', keys: (pod, old, view) => podKeys(view, pod as unknown as Pod, old as unknown as Pod | undefined) },
      { kind: 'Node', keys: (node, old) => (old && isSameToPods(node as Node, old as Node) ? [] : [ALL]) },
    ],
    reconcile: (view, _key, nowMs) => schedule(view, memo, nowMs),
  }
}

interface Memo {
  readonly needs: WeakMap<Pod, Needs>
  readonly usage: WeakMap<readonly Pod[], Usage>
  readonly bases: WeakMap<Node, RowBase>
}

const remembered = <K extends object, V>(map: WeakMap<K, V>, key: K, make: (key: K) => V): V => {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make(key)
  map.set(key, made)
  return made
}

const isWaiting = (pod: Pod): boolean => !pod.spec.nodeName && pod.metadata.deletionTimestamp === undefined && !isPodTerminal(pod)

const isOurs = (pod: Pod): boolean => (pod.spec.schedulerName ?? SCHEDULER_NAME) === SCHEDULER_NAME

/** A pod that waits is placed; one that ended or is gone may make room for those that wait. */
const podKeys = (view: View, pod: Pod, old: Pod | undefined): string[] => {
  const exists = view.exists(pod.metadata.uid ?? '')
  if (exists && isWaiting(pod)) return isOurs(pod) ? [ALL] : []
  const freed = pod.spec.nodeName && (!exists || (isPodTerminal(pod) && !(old && isPodTerminal(old))))
  return freed && view.list('Pod', { node: '' }).length > 0 ? [ALL] : []
}

const readyOf = (node: Node): string | undefined => node.status?.conditions?.find(condition => condition.type === 'Ready')?.status

const isSameToPods = (node: Node, old: Node): boolean =>
  readyOf(node) === readyOf(old) &&
  deepEqual(node.spec, old.spec) &&
  deepEqual(node.metadata.labels, old.metadata.labels) &&
  deepEqual(node.status?.allocatable, old.status?.allocatable)

const schedule = (view: View, memo: Memo, nowMs: number): Result => {
  const waiting = view.list<Pod>('Pod', { node: '' }).filter(pod => isWaiting(pod) && isOurs(pod))
  const gated = waiting.filter(pod => (pod.spec.schedulingGates ?? []).length > 0)
  const free = waiting.filter(pod => (pod.spec.schedulingGates ?? []).length === 0).sort(byClaim)
  const actions = gated.flatMap(pod => gate(pod, nowMs))
  if (free.length === 0) return { actions }
  const { placements, failures, isWhole } = place({
    rows: rowsOf(view, memo),
    pods: free.map(pod => ({ pod, needs: remembered(memo.needs, pod, needsOf) })),
    namespaceLabels: namespace => view.get<KubeObject>('Namespace', '', namespace)?.metadata.labels ?? {},
    placementsMax: BIND_BURST,
  })
  for (const { pod, node } of placements) actions.push(...bind(pod, node, actions.length))
  const changed = failures.filter(({ pod, message }) => isNews(pod, message))
  for (const { pod, message } of changed.slice(0, CONDITION_BURST)) actions.push(...refuse(pod, message, nowMs))
  if (isWhole && changed.length <= CONDITION_BURST) return { actions }
  return { actions, again: { afterMs: 0, why: 'more pods wait than one run places' } }
}

/** Higher priority first, then who waits longest. */
const byClaim = (a: Pod, b: Pod): number => {
  const priority = (b.spec.priority ?? 0) - (a.spec.priority ?? 0)
  if (priority !== 0) return priority
  const [left, right] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '']
  if (left !== right) return left < right ? -1 : 1
  return keyOf(a.metadata) < keyOf(b.metadata) ? -1 : 1
}

const rowsOf = (view: View, memo: Memo): Row[] => {
  const used = (pods: readonly Pod[]): Usage =>
    usageOf(pods.filter(pod => !isPodTerminal(pod)).map(pod => remembered(memo.needs, pod, needsOf)))
  return view
    .list<Node>('Node')
    .filter(node => node.metadata.deletionTimestamp === undefined)
    .map(node => {
      const pods = view.list<Pod>('Pod', { node: node.metadata.name ?? '' })
      return rowOf(remembered(memo.bases, node, rowBaseOf), remembered(memo.usage, pods, used))
    })
}

const tell = (pod: Pod, type: 'Normal' | 'Warning', reason: string, note: string, after: number): Action => ({
  do: 'event',
  after,
  regarding: {
    apiVersion: 'v1',
    kind: 'Pod',
    namespace: pod.metadata.namespace ?? '',
    name: pod.metadata.name ?? '',
    uid: pod.metadata.uid ?? '',
  },
  type,
  reason,
  note,
  source: SCHEDULER_NAME,
})

const bind = (pod: Pod, node: string, position: number): Action[] => [
  {
    do: 'bind',
    key: keyOf(pod.metadata),
    uid: pod.metadata.uid ?? '',
    resourceVersion: pod.metadata.resourceVersion ?? '',
    node,
  },
  tell(pod, 'Normal', 'Scheduled', `Successfully assigned ${keyOf(pod.metadata)} to ${node}`, position),
]

const scheduledCondition = (pod: Pod): Condition | undefined => pod.status?.conditions?.find(condition => condition.type === 'PodScheduled')

/**
 * Without the counts of refusals, nor the order that follows from them: they change with every pod placed and every node that comes, and a pod
 * that waits should not be rewritten for that.
 */
const gist = (message: string): string =>
  message
    .replace(/\.$/, '')
    .split(/: |, /)
    .map(part => part.replace(/^\d+(\/\d+)? /, ''))
    .sort()
    .join(', ')

const isNews = (pod: Pod, message: string): boolean => {
  const condition = scheduledCondition(pod)
  return condition?.status !== 'False' || condition.reason !== 'Unschedulable' || gist(condition.message ?? '') !== gist(message)
}

const withScheduled = (pod: Pod, reason: string, message: string, nowMs: number): Action => {
  const old = scheduledCondition(pod)
  const lastTransitionTime = old?.status === 'False' ? (old.lastTransitionTime ?? timestamp(nowMs)) : timestamp(nowMs)
  const condition: Condition = { type: 'PodScheduled', status: 'False', reason, message, lastTransitionTime }
  const others = (pod.status?.conditions ?? []).filter(other => other.type !== 'PodScheduled')
  return {
    do: 'patchStatus',
    kind: 'Pod',
    key: keyOf(pod.metadata),
    uid: pod.metadata.uid ?? '',
    resourceVersion: pod.metadata.resourceVersion ?? '',
    status: { ...pod.status, conditions: [...others, condition] },
  }
}

const refuse = (pod: Pod, message: string, nowMs: number): Action[] => [
  withScheduled(pod, 'Unschedulable', message, nowMs),
  {
    do: 'event',
    regarding: {
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: pod.metadata.namespace ?? '',
      name: pod.metadata.name ?? '',
      uid: pod.metadata.uid ?? '',
    },
    type: 'Warning',
    reason: 'FailedScheduling',
    note: message,
    source: SCHEDULER_NAME,
  },
]

const gate = (pod: Pod, nowMs: number): Action[] => {
  const condition = scheduledCondition(pod)
  if (condition?.status === 'False' && condition.reason === 'SchedulingGated') return []
  return [withScheduled(pod, 'SchedulingGated', 'Scheduling is blocked due to non-empty scheduling gates', nowMs)]
}
