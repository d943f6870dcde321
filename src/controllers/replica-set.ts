// ReplicaSet: keeps `spec.replicas` pods of one template. Ended and terminating pods do not count. Source: upstream pkg/controller/replicaset.
// Names of new pods come from (uid, resourceVersion, ordinal) of the ReplicaSet, so one state can only ever ask for one set of names.

import { deepEqual } from '../base/json.ts'
import type { KubeObject } from '../kinds/meta.ts'
import { controllerOf, keyOf, splitKey } from '../kinds/meta.ts'
import type { Pod } from '../kinds/pod.ts'
import { isPodReady, isPodTerminal } from '../kinds/pod.ts'
import type { ReplicaSet, ReplicaSetStatus } from '../kinds/replica-set.ts'
import { isEmptySelector } from '../kinds/selector.ts'
import { claim, claimantKeys } from './claim.ts'
import type { Action, Controller, Result, View } from './controller.ts'
import { REPLICA_GAP_MS, REPLICA_SET_BURST } from './limits.ts'
import { childName, suffixOf } from './name.ts'
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
  const active = claimed.children.filter(isPodActive)
  const missing = (set.spec.replicas ?? 1) - active.length
  const changes = isDeleting(set) ? [] : missing > 0 ? createPods(view, set, missing) : deletePods(view, set, active, -missing)
  const { status, nextMs } = statusOf(set, claimed.children, active, nowMs)
  const actions = [...changes, ...claimed.actions]
  if (!deepEqual(status, set.status ?? {})) actions.push(patchStatus(set, status))
  return nextMs === undefined ? { actions } : { actions, again: { afterMs: nextMs, why: 'a ready pod becomes available' } }
}

/** A pod of the set's template; the API fills in the rest. */
const podFor = (set: ReplicaSet, name: string): KubeObject => {
  const template = set.spec.template
  return asObject({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      generateName: `${set.metadata.name ?? ''}-`,
      namespace: set.metadata.namespace ?? '',
      labels: template?.metadata?.labels ?? {},
      ...(template?.metadata?.annotations ? { annotations: template.metadata.annotations } : {}),
      ...(template?.metadata?.finalizers ? { finalizers: template.metadata.finalizers } : {}),
      ownerReferences: [controllerReference(set)],
    },
    spec: template?.spec ?? { containers: [] },
  } as Pod)
}

const createPods = (view: View, set: ReplicaSet, missing: number): Action[] => {
  const namespace = set.metadata.namespace ?? ''
  const wanted = Math.min(missing, REPLICA_SET_BURST)
  const names = new Set<string>()
  for (let ordinal = 0; names.size < wanted; ordinal++) {
    const name = childName(set.metadata.name ?? '', suffixOf(`${uidOf(set)}/${set.metadata.resourceVersion}/${ordinal}`))
    if (!view.get('Pod', namespace, name)) names.add(name)
  }
  const creates = [...names].map((name): Action => ({ do: 'create', object: podFor(set, name) }))
  const events = [...names].map((name, index) => tell(set, 'SuccessfulCreate', `Created pod: ${name}`, index))
  return [...creates, ...events]
}

const deletePods = (view: View, set: ReplicaSet, active: readonly Pod[], surplus: number): Action[] => {
  if (surplus === 0) return []
  const picked = pickForDeletion(active, Math.min(surplus, REPLICA_SET_BURST), relatedPods(view, set))
  const deletes = picked.map((pod): Action => ({ do: 'delete', kind: 'Pod', key: keyOf(pod.metadata), uid: uidOf(pod) }))
  const events = picked.map((pod, index) => tell(set, 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`, index))
  return [...deletes, ...events]
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
    ...(set.status?.conditions ? { conditions: set.status.conditions } : {}),
  }
  return { status, nextMs }
}
