// Pods nobody else removes: those of a Node an operator deleted or that was declared dead, those that were deleted before they had a
// node, and ended ones beyond the bound. Silence alone never brings a pod here. Source: upstream pkg/controller/podgc.

import { parseTimestamp } from '../base/clock.ts'
import { contactState, isDeclaredDead, OUT_OF_SERVICE } from '../kinds/contact.ts'
import type { KubeObject } from '../kinds/meta.ts'
import { keyOf, splitKey } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
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
    {
      kind: 'Node',
      keys: (node, _old, view) =>
        view.exists(uidOf(node)) && !isDead(node as unknown as Node) ? [] : [`${NODE_PREFIX}${node.metadata.name}`],
    },
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
  const home = node ? view.get<Node>('Node', '', node) : undefined
  if (node && (!home || isDead(home))) keys.push(NODE_PREFIX + node)
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

/** Declared dead, and recorded as silent: a node that is in contact is not. */
const isDead = (node: Node): boolean => contactState(node) === 'Dead' && isDeclaredDead(node)

const toleratesDeath = (pod: Pod, value: string): boolean =>
  (pod.spec.tolerations ?? []).some(toleration => {
    if (toleration.effect && toleration.effect !== 'NoExecute') return false
    if (toleration.operator === 'Exists') return !toleration.key || toleration.key === OUT_OF_SERVICE
    return toleration.key === OUT_OF_SERVICE && (toleration.value ?? '') === value
  })

/** Nothing on a dead node will ever report its end, so its pods go at once, and their owners replace them. */
const lostOn = (view: View, node: Node): Result => {
  const value = node.spec?.taints?.find(taint => taint.key === OUT_OF_SERVICE)?.value ?? ''
  const lost = view.list<Pod>('Pod', { node: node.metadata.name ?? '' }).filter(pod => !toleratesDeath(pod, value))
  const actions = lost.slice(0, POD_GC_BURST).map(removeNow)
  return lost.length > POD_GC_BURST ? { actions, again: { afterMs: 0, why: 'more pods of a dead node' } } : { actions }
}

const orphansOf = (view: View, name: string, nowMs: number): Result => {
  const home = view.get<Node>('Node', '', name)
  if (home) return isDead(home) && !view.contact(name)?.connected ? lostOn(view, home) : { actions: [] }
  return unhomedOn(view, name, nowMs)
}

const unhomedOn = (view: View, node: string, nowMs: number): Result => {
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
