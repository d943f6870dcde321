// What becomes of pods whose node is silent, as their workload asks. An original on an Unknown node is marked superseded when its policy
// says so: it no longer counts, so its ReplicaSet makes another one elsewhere; the original itself is not touched. When the node is back
// exactly one of the two stays. Marks are given at a bounded rate and never under the brake; the mark's own time is the rate's memory.

import { parseTimestamp, timestamp } from '../base/clock.ts'
import { contactCondition, contactState } from '../kinds/contact.ts'
import { isSuperseded, ON_RECONNECT, policyOf, REPLACE_AFTER, REPLACES, SUPERSEDED } from '../kinds/disconnection.ts'
import { isHeld } from '../kinds/hold.ts'
import type { KubeObject } from '../kinds/meta.ts'
import { controllerOf, keyOf, splitKey } from '../kinds/meta.ts'
import type { Namespace } from '../kinds/namespace.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodReady } from '../kinds/pod.ts'
import type { ReplicaSet } from '../kinds/replica-set.ts'
import { BRAKE_HOME, brakePauseMs } from './contact-brake.ts'
import type { Action, Controller, Result, View } from './controller.ts'
import { REPLACE_GAP_MS, REPLACE_MAX, REPLACE_WINDOW_MS, REUNION_MS, REUNION_PATIENCE_MS } from './limits.ts'
import { actsAfterMs, silenceOf } from './node-contact.ts'
import { isPodActive } from './pod-rank.ts'
import { eventAbout, isDeleting, uidOf } from './reference.ts'

const SOURCE = 'disconnection-controller'
/** All silent nodes together: the rate is one for the cluster. */
const ALL = 'silent'
const POD_PREFIX = 'pod/'

export const disconnection: Controller = {
  name: 'disconnection',
  gapMs: REPLACE_GAP_MS,
  initialKeys: [ALL],
  watches: [
    { kind: 'Node', keys: (node, old, view) => nodeKeys(node as unknown as Node, old as unknown as Node | undefined, view) },
    { kind: 'Namespace', keys: (namespace, old) => namespaceKeys(namespace, old) },
    { kind: 'Pod', keys: (pod, old, view) => podKeys(pod as unknown as Pod, old as unknown as Pod | undefined, view) },
  ],
  reconcile(view, key, nowMs) {
    if (key === ALL) return supersede(view, nowMs)
    const { namespace, name } = splitKey(key.slice(POD_PREFIX.length))
    const pod = view.get<Pod>('Pod', namespace, name)
    return pod && isSuperseded(pod) && isPodActive(pod) ? reunite(view, pod, nowMs) : { actions: [] }
  },
}

const podKey = (pod: Pod): string => POD_PREFIX + keyOf(pod.metadata)

const nodeKeys = (node: Node, old: Node | undefined, view: View): string[] => {
  if (contactState(node) === contactState(old)) return []
  const pods = view.list<Pod>('Pod', { node: node.metadata.name ?? '' })
  return [ALL, ...pods.filter(isSuperseded).map(podKey)]
}

const wordsOf = (object: KubeObject | Pod | undefined): string =>
  [REPLACE_AFTER, ON_RECONNECT].map(key => object?.metadata.annotations?.[key] ?? '').join('\n')

const namespaceKeys = (namespace: KubeObject, old: KubeObject | undefined): string[] =>
  namespace.metadata.name === BRAKE_HOME || wordsOf(namespace) !== wordsOf(old) ? [ALL] : []

const podKeys = (pod: Pod, old: Pod | undefined, view: View): string[] => {
  if (isSuperseded(pod)) return [podKey(pod), ...(old && isSuperseded(old) ? [] : [ALL])]
  const keys: string[] = []
  if (pod.metadata.annotations?.[REPLACES] !== undefined) {
    const owner = controllerOf(pod.metadata)
    keys.push(...(owner ? view.list<Pod>('Pod', { owner: owner.uid }).filter(isSuperseded).map(podKey) : []))
  }
  const isNews = !old || old.spec.nodeName !== pod.spec.nodeName || wordsOf(old) !== wordsOf(pod)
  if (isNews && pod.spec.nodeName && contactState(view.get<Node>('Node', '', pod.spec.nodeName)) === 'Unknown') keys.push(ALL)
  return keys
}

const namespaceOf = (view: View, pod: Pod): Namespace | undefined => view.get<Namespace>('Namespace', '', pod.metadata.namespace ?? '')

const setOf = (view: View, pod: Pod): ReplicaSet | undefined => {
  const owner = controllerOf(pod.metadata)
  if (owner?.kind !== 'ReplicaSet') return undefined
  const set = view.get<ReplicaSet>('ReplicaSet', pod.metadata.namespace ?? '', owner.name)
  return set && uidOf(set) === owner.uid && !isDeleting(set) ? set : undefined
}

/** Milliseconds until a stamp is `spanMs` old. One of the future is a clock that was set back: it counts as old. */
const leftMs = (stamp: string | undefined, spanMs: number, nowMs: number): number => {
  const left = parseTimestamp(stamp ?? '') + spanMs - nowMs
  return left > 0 && left <= spanMs ? left : 0
}

interface Candidate {
  readonly pod: Pod
  readonly inMs: number
  readonly silentMs: number
}

/** Pods on silent nodes that their policy gives up now or later. Held pods are stopped on purpose and stay. */
const candidatesOn = (view: View, node: Node): Candidate[] => {
  const name = node.metadata.name ?? ''
  const silentMs = silenceOf(view, name)
  return view.list<Pod>('Pod', { node: name }).flatMap(pod => {
    if (!isPodActive(pod) || isSuperseded(pod) || isHeld(pod) || !setOf(view, pod)) return []
    const { replaceAfterMs } = policyOf(pod, namespaceOf(view, pod))
    if (replaceAfterMs === undefined) return []
    return [{ pod, silentMs, inMs: Math.max(0, actsAfterMs(view, name, replaceAfterMs) - silentMs) }]
  })
}

/**
 * Milliseconds for which each replacement of late still counts for the rate, whatever became of the node: told by the mark, or by the pod that
 * was made in its place. One that was taken back whole counts no more.
 */
const windowsOf = (view: View, nowMs: number): number[] => {
  const windows = new Map<string, number>()
  const note = (uid: string | undefined, stamp: string | undefined): void => {
    if (uid === undefined) return
    const left = leftMs(stamp, REPLACE_WINDOW_MS, nowMs)
    if (left > (windows.get(uid) ?? 0)) windows.set(uid, left)
  }
  for (const { metadata } of view.list<Pod>('Pod')) {
    if (metadata.annotations === undefined) continue
    note(metadata.annotations[REPLACES], metadata.creationTimestamp)
    note(metadata.uid, metadata.annotations[SUPERSEDED])
  }
  return [...windows.values()]
}

const supersede = (view: View, nowMs: number): Result => {
  const silent = view
    .list<Node>('Node')
    .filter(node => contactState(node) === 'Unknown' && !view.contact(node.metadata.name ?? '')?.connected && !isDeleting(node))
  const candidates = silent.flatMap(node => candidatesOn(view, node))
  if (candidates.length === 0) return { actions: [] }
  const due = candidates.filter(({ inMs }) => inMs === 0).sort((a, b) => b.silentMs - a.silentMs)
  const windows = due.length > 0 ? windowsOf(view, nowMs) : []
  const pauseMs = brakePauseMs(view, nowMs)
  const room = pauseMs > 0 ? 0 : Math.max(0, REPLACE_MAX - windows.length)
  const actions: Action[] = []
  for (const { pod } of due.slice(0, room)) actions.push(...mark(pod, actions.length, nowMs))
  const waitMs = due.length > room ? Math.max(pauseMs, Math.min(REPLACE_WINDOW_MS, ...windows)) : Number.POSITIVE_INFINITY
  const later = candidates.filter(({ inMs }) => inMs > 0).map(({ inMs }) => Math.max(inMs, pauseMs))
  const nextMs = Math.min(waitMs, ...later)
  return Number.isFinite(nextMs)
    ? { actions, again: { afterMs: nextMs, why: 'a policy of replacement is to be carried out' } }
    : { actions }
}

const patched = (pod: Pod, value: string | null): Action => ({
  do: 'patch',
  kind: 'Pod',
  key: keyOf(pod.metadata),
  uid: uidOf(pod),
  resourceVersion: pod.metadata.resourceVersion ?? '',
  patch: { metadata: { annotations: { [SUPERSEDED]: value } } },
})

const mark = (pod: Pod, after: number, nowMs: number): Action[] => {
  const note = `Node ${pod.spec.nodeName} is out of contact: this pod is left as it is and another one takes its place`
  return [patched(pod, timestamp(nowMs)), eventAbout(pod, { type: 'Warning', reason: 'Superseded', note, source: SOURCE, after })]
}

const lift = (pod: Pod): Action[] => {
  const note = `Node ${pod.spec.nodeName} is back and this pod is Ready: it counts again`
  return [patched(pod, null), eventAbout(pod, { type: 'Normal', reason: 'Reinstated', note, source: SOURCE, after: 0 })]
}

const giveWay = (pod: Pod): Action[] => {
  const note = `Node ${pod.spec.nodeName} is back and this pod has been replaced: it is deleted`
  return [
    { do: 'delete', kind: 'Pod', key: keyOf(pod.metadata), uid: uidOf(pod), resourceVersion: pod.metadata.resourceVersion ?? '' },
    eventAbout(pod, { type: 'Normal', reason: 'Replaced', note, source: SOURCE, after: 0 }),
  ]
}

/** Enough pods that count are Ready on nodes that are in contact: the set lacks nothing without this one. */
const isWholeWithout = (view: View, pod: Pod): boolean => {
  const set = setOf(view, pod)
  if (!set) return false
  const isSeen = (each: Pod): boolean => {
    const state = contactState(view.get<Node>('Node', '', each.spec.nodeName ?? ''))
    return state === 'Online' || state === 'Offline'
  }
  const ready = view.list<Pod>('Pod', { owner: uidOf(set) }).filter(each => {
    return isPodActive(each) && !isSuperseded(each) && isPodReady(each) && isSeen(each)
  })
  return ready.length >= (set.spec.replicas ?? 1)
}

/**
 * The node of a superseded pod is back. keep-original: it counts again once it is Ready for a while, and the ReplicaSet deletes its
 * replacement. keep-replacement: it is deleted once the set is whole without it. What does not come true within the patience gives way
 * to the other: never are both gone, and both stay only while neither is Ready.
 */
const reunite = (view: View, pod: Pod, nowMs: number): Result => {
  const name = pod.spec.nodeName ?? ''
  const node = view.get<Node>('Node', '', name)
  const state = contactState(node)
  const isBack = state === 'Offline' || (state === 'Online' && view.contact(name)?.connected === true)
  // What somebody holds at the device stands still anyway; the question is asked when the hold is lifted.
  if (!node || !isBack || isHeld(pod)) return { actions: [] }
  const backAt = contactCondition(node)?.lastTransitionTime
  const readyAt = pod.status?.conditions?.find(condition => condition.type === 'Ready')?.lastTransitionTime
  const settleMs = Math.max(leftMs(readyAt, REUNION_MS, nowMs), leftMs(backAt, REUNION_MS, nowMs))
  const patienceMs = leftMs(backAt, REUNION_PATIENCE_MS, nowMs)
  const hopes = policyOf(pod, namespaceOf(view, pod)).onReconnect
  const isReady = isPodReady(pod)
  const mayLift = (hopes === 'keep-original' || patienceMs === 0) && isReady && settleMs === 0
  const mayGiveWay = (hopes === 'keep-replacement' || patienceMs === 0) && isWholeWithout(view, pod)
  if (mayGiveWay && !(mayLift && hopes === 'keep-original')) return { actions: giveWay(pod) }
  if (mayLift) return { actions: lift(pod) }
  const waits = [patienceMs, ...(isReady ? [settleMs] : [])].filter(waitMs => waitMs > 0)
  return { actions: [], again: { afterMs: Math.min(REUNION_PATIENCE_MS, ...waits), why: 'two copies of a pod are to become one' } }
}
