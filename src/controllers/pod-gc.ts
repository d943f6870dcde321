// Pods nobody else removes: those of a Node an operator deleted, those that were deleted before they had a node, and ended ones beyond
// the bound. Silence never brings a pod here, only the absence of its Node object. Source: upstream pkg/controller/podgc.

import { parseTimestamp } from '../base/clock.ts'
import type { KubeObject } from '../kinds/meta.ts'
import { keyOf, splitKey } from '../kinds/meta.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodTerminal } from '../kinds/pod.ts'
import type { Action, Controller, Result, View } from './controller.ts'
import { POD_GC_BURST, POD_ORPHAN_MS, SWEEP_GAP_MS, TERMINATED_PODS_MAX } from './limits.ts'
import { isDeleting, uidOf } from './reference.ts'

const ENDED = 'ended'
const NODE_PREFIX = 'node/'
const POD_PREFIX = 'pod/'

export const podGc: Controller = {
  name: 'pod-gc',
  gapMs: SWEEP_GAP_MS,
  watches: [
    { kind: 'Node', keys: (node, _old, view) => (view.exists(uidOf(node)) ? [] : [`${NODE_PREFIX}${node.metadata.name}`]) },
    { kind: 'Pod', keys: (object, old, view) => podKeys(view, object as unknown as Pod, old) },
  ],
  reconcile(view, key, nowMs) {
    if (key === ENDED) return sweepEnded(view)
    if (key.startsWith(NODE_PREFIX)) return orphansOf(view, key.slice(NODE_PREFIX.length), nowMs)
    const { namespace, name } = splitKey(key.slice(POD_PREFIX.length))
    const pod = view.get<Pod>('Pod', namespace, name)
    return { actions: pod && isDeleting(pod) && !pod.spec.nodeName ? [removeNow(pod)] : [] }
  },
}

const podKeys = (view: View, pod: Pod, old: KubeObject | undefined): string[] => {
  const keys: string[] = []
  const node = pod.spec.nodeName
  if (node && !view.get('Node', '', node)) keys.push(NODE_PREFIX + node)
  if (!node && isDeleting(pod)) keys.push(POD_PREFIX + keyOf(pod.metadata))
  if (isPodTerminal(pod) && !(old && isPodTerminal(old as unknown as Pod))) keys.push(ENDED)
  return keys
}

const removeNow = (pod: Pod): Action => ({
  do: 'delete',
  kind: 'Pod',
  key: keyOf(pod.metadata),
  uid: uidOf(pod),
  gracePeriodSeconds: 0,
})

const boundSince = (pod: Pod): number => {
  const scheduled = pod.status?.conditions?.find(condition => condition.type === 'PodScheduled' && condition.status === 'True')
  return parseTimestamp(scheduled?.lastTransitionTime ?? pod.metadata.creationTimestamp ?? '') || 0
}

const orphansOf = (view: View, node: string, nowMs: number): Result => {
  if (view.get('Node', '', node)) return { actions: [] }
  const waits = view.list<Pod>('Pod', { node }).map(pod => ({ pod, waitMs: boundSince(pod) + POD_ORPHAN_MS - nowMs }))
  const due = waits.filter(({ waitMs }) => waitMs <= 0)
  const actions = due.slice(0, POD_GC_BURST).map(({ pod }) => removeNow(pod))
  const pendingMs = waits.filter(({ waitMs }) => waitMs > 0).map(({ waitMs }) => waitMs)
  if (due.length > POD_GC_BURST) return { actions, again: { afterMs: 0, why: 'more pods of a node that is gone' } }
  if (pendingMs.length === 0) return { actions }
  return { actions, again: { afterMs: Math.min(...pendingMs), why: 'the node of a pod may be about to register' } }
}

const sweepEnded = (view: View): Result => {
  const ended = view.list<Pod>('Pod').filter(pod => isPodTerminal(pod) && !isDeleting(pod))
  const surplus = ended.length - TERMINATED_PODS_MAX
  if (surplus <= 0) return { actions: [] }
  const created = (pod: Pod): string => pod.metadata.creationTimestamp ?? ''
  const oldest = [...ended].sort((a, b) => (created(a) < created(b) ? -1 : created(a) > created(b) ? 1 : 0))
  const actions = oldest.slice(0, Math.min(surplus, POD_GC_BURST)).map(removeNow)
  return surplus > POD_GC_BURST ? { actions, again: { afterMs: 0, why: 'more ended pods than are kept' } } : { actions }
}
