// ReplicaSet: keeps `spec.replicas` pods of one template. Ended and terminating pods do not count, nor do superseded ones: they stay as
// they are on their silent node while another pod takes their place. Source: upstream pkg/controller/replicaset.
// Names of new pods come from (uid, resourceVersion, ordinal) of the ReplicaSet, so one state can only ever ask for one set of names.

import { deepEqual } from '../base/json.ts'
import { contactState } from '../kinds/contact.ts'
import { isSuperseded, REPLACES, SUPERSEDED } from '../kinds/disconnection.ts'
import { HOLD, HOLD_ID, HOLD_LIFTED } from '../kinds/hold.ts'
import type { Condition, KubeObject } from '../kinds/meta.ts'
import { controllerOf, keyOf, splitKey } from '../kinds/meta.ts'
import type { Node } from '../kinds/node.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodReady, isPodTerminal } from '../kinds/pod.ts'
import type { ReplicaSet, ReplicaSetStatus } from '../kinds/replica-set.ts'
import { isEmptySelector } from '../kinds/selector.ts'
import { claim, claimantKeys } from './claim.ts'
import type { Action, Controller, Result, View } from './controller.ts'
import { withHeld } from './held.ts'
import { REPLICA_GAP_MS, REPLICA_SET_BURST } from './limits.ts'
import { childName, suffixOf } from './name.ts'
import type { Surroundings } from './pod-rank.ts'
import { availableInMs, isPodActive, pickForDeletion } from './pod-rank.ts'
import { asObject, controllerReference, eventAbout, isDeleting, patchStatus, uidOf } from './reference.ts'

const SOURCE = 'replicaset-controller'

export const replicaSet: Controller = {
  name: 'replica-set',
  gapMs: REPLICA_GAP_MS,
  watches: [
    { kind: 'ReplicaSet', keys: object => [keyOf(object.metadata)] },
    { kind: 'Pod', keys: (pod, old, view) => claimantKeys(view, 'ReplicaSet', pod, old) },
  ],
  reconcile(view, key, nowMs) {
    const { namespace, name } = splitKey(key)
    const set = view.get<ReplicaSet>('ReplicaSet', namespace, name)
    if (!set || isEmptySelector(set.spec.selector)) return { actions: [] }
    return reconcileSet(view, set, nowMs)
  },
}

const reconcileSet = (view: View, set: ReplicaSet, nowMs: number): Result => {
  const claimed = claim<Pod>(view, set, 'Pod', isPodActive)
  const pods = claimed.children.filter(isPodActive)
  const counted = pods.filter(pod => !isSuperseded(pod))
  const originals = pods.filter(isSuperseded)
  const missing = (set.spec.replicas ?? 1) - counted.length
  const { status, nextMs } = statusOf(set, claimed.children, counted, nowMs)
  const actions = [...(isDeleting(set) ? [] : changesOf(view, set, { counted, originals, missing })), ...claimed.actions]
  if (!deepEqual(status, set.status ?? {})) actions.push(patchStatus(set, status))
  return nextMs === undefined ? { actions } : { actions, again: { afterMs: nextMs, why: 'a ready pod becomes available' } }
}

interface Standing {
  readonly counted: readonly Pod[]
  /** Superseded pods that may come back: each waits for a place, so there are never more of them than places. */
  readonly originals: readonly Pod[]
  readonly missing: number
}

const changesOf = (view: View, set: ReplicaSet, { counted, originals, missing }: Standing): Action[] => {
  if (missing > 0) return createPods(view, set, missing, vacancies(counted, originals))
  const surplus = originals.length - (set.spec.replicas ?? 1)
  return deletePods(view, set, counted, -missing, surplus > 0 ? originals.slice(0, surplus) : [])
}

/** The uids of originals in whose place no pod was made yet. */
const vacancies = (counted: readonly Pod[], originals: readonly Pod[]): string[] => {
  const taken = new Set(counted.map(pod => pod.metadata.annotations?.[REPLACES]))
  return originals.map(uidOf).filter(uid => !taken.has(uid))
}

/** The server's own words about one pod: no template may put them into all. */
const OWN_ANNOTATIONS: ReadonlySet<string> = new Set([SUPERSEDED, REPLACES, HOLD, HOLD_ID, HOLD_LIFTED])

const annotationsOf = (set: ReplicaSet, replaces: string | undefined): Record<string, string> | undefined => {
  const entries = Object.entries(set.spec.template?.metadata?.annotations ?? {}).filter(([key]) => !OWN_ANNOTATIONS.has(key))
  if (replaces !== undefined) entries.push([REPLACES, replaces])
  return entries.length === 0 && !set.spec.template?.metadata?.annotations ? undefined : Object.fromEntries(entries)
}

/** A pod of the set's template; the API fills in the rest. */
const podFor = (set: ReplicaSet, name: string, replaces: string | undefined): KubeObject => {
  const template = set.spec.template
  const annotations = annotationsOf(set, replaces)
  return asObject({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      generateName: `${set.metadata.name ?? ''}-`,
      namespace: set.metadata.namespace ?? '',
      labels: template?.metadata?.labels ?? {},
      ...(annotations ? { annotations } : {}),
      ...(template?.metadata?.finalizers ? { finalizers: template.metadata.finalizers } : {}),
      ownerReferences: [controllerReference(set)],
    },
    spec: template?.spec ?? { containers: [] },
  } as Pod)
}

const createPods = (view: View, set: ReplicaSet, missing: number, vacant: readonly string[]): Action[] => {
  const namespace = set.metadata.namespace ?? ''
  const wanted = Math.min(missing, REPLICA_SET_BURST)
  const names = new Set<string>()
  for (let ordinal = 0; names.size < wanted; ordinal++) {
    const name = childName(set.metadata.name ?? '', suffixOf(`${uidOf(set)}/${set.metadata.resourceVersion}/${ordinal}`))
    if (!view.get('Pod', namespace, name)) names.add(name)
  }
  const creates = [...names].map((name, index): Action => ({ do: 'create', object: podFor(set, name, vacant[index]) }))
  const events = [...names].map((name, index) => tell(set, 'SuccessfulCreate', `Created pod: ${name}`, index))
  return [...creates, ...events]
}

/** Deletes what is too many of those that count, and `also`. */
const deletePods = (view: View, set: ReplicaSet, counted: readonly Pod[], surplus: number, also: readonly Pod[]): Action[] => {
  if (surplus === 0 && also.length === 0) return []
  const chosen = surplus === 0 ? [] : pickForDeletion(counted, surplus, surroundingsOf(view, set, counted))
  const picked = [...chosen, ...also].slice(0, REPLICA_SET_BURST)
  const deletes = picked.map((pod): Action => ({ do: 'delete', kind: 'Pod', key: keyOf(pod.metadata), uid: uidOf(pod) }))
  const events = picked.map((pod, index) => tell(set, 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`, index))
  return [...deletes, ...events]
}

const surroundingsOf = (view: View, set: ReplicaSet, counted: readonly Pod[]): Surroundings => {
  const isSilent = (pod: Pod): boolean => {
    const state = contactState(view.get<Node>('Node', '', pod.spec.nodeName ?? ''))
    return state === 'Unknown' || state === 'Dead'
  }
  const back = new Set(counted.filter(pod => isPodReady(pod) && !isSilent(pod)).map(uidOf))
  return { relatedOn: relatedPods(view, set), isSilent, isSpare: pod => back.has(pod.metadata.annotations?.[REPLACES] ?? '') }
}

const tell = (set: ReplicaSet, reason: string, note: string, after: number): Action =>
  eventAbout(set, { type: 'Normal', reason, note, source: SOURCE, after })

/** How many active pods of this set and of its siblings (same owner) each node has. */
const relatedPods = (view: View, set: ReplicaSet): ((node: string) => number) => {
  const owner = controllerOf(set.metadata)
  const siblings = owner ? view.list<ReplicaSet>('ReplicaSet', { owner: owner.uid }) : [set]
  const counts = new Map<string, number>()
  for (const sibling of siblings) {
    for (const pod of view.list<Pod>('Pod', { owner: uidOf(sibling) })) {
      if (pod.spec.nodeName && isPodActive(pod)) counts.set(pod.spec.nodeName, (counts.get(pod.spec.nodeName) ?? 0) + 1)
    }
  }
  return node => counts.get(node) ?? 0
}

const hasTemplateLabels = (set: ReplicaSet, pod: Pod): boolean => {
  const wanted = set.spec.template?.metadata?.labels
  for (const key in wanted) if (pod.metadata.labels?.[key] !== wanted[key]) return false
  return true
}

const statusOf = (
  set: ReplicaSet,
  children: readonly Pod[],
  active: readonly Pod[],
  nowMs: number,
): { readonly status: ReplicaSetStatus; readonly nextMs: number | undefined } => {
  const minReadySeconds = set.spec.minReadySeconds ?? 0
  let ready = 0
  let available = 0
  let labeled = 0
  let nextMs: number | undefined
  for (const pod of active) {
    if (hasTemplateLabels(set, pod)) labeled++
    if (!isPodReady(pod)) continue
    ready++
    const inMs = availableInMs(pod, minReadySeconds, nowMs)
    if (inMs === 0) available++
    else if (inMs !== undefined) nextMs = Math.min(nextMs ?? inMs, inMs)
  }
  const terminating = children.filter(pod => isDeleting(pod) && !isPodTerminal(pod)).length
  const status: ReplicaSetStatus = {
    replicas: active.length,
    ...(labeled > 0 ? { fullyLabeledReplicas: labeled } : {}),
    ...(ready > 0 ? { readyReplicas: ready } : {}),
    ...(available > 0 ? { availableReplicas: available } : {}),
    ...(terminating > 0 ? { terminatingReplicas: terminating } : {}),
    observedGeneration: Math.max(set.status?.observedGeneration ?? 0, set.metadata.generation ?? 0),
    ...conditionsOf(set, active, nowMs),
  }
  return { status, nextMs }
}

const conditionsOf = (set: ReplicaSet, active: readonly Pod[], nowMs: number): { conditions?: Condition[] } => {
  const conditions = withHeld(set.status?.conditions ?? [], active, nowMs)
  return conditions.length > 0 || set.status?.conditions ? { conditions } : {}
}
