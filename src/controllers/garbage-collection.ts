// Garbage collection by owner references, for every kind. Source: upstream pkg/controller/garbagecollector. An object goes when all
// its owners are certainly gone; an owner that is merely not known (its kind is not registered) keeps its dependents alive.

import { deepEqual } from '../base/json.ts'
import type { KubeObject, OwnerReference } from '../kinds/meta.ts'
import { keyOf, splitKey } from '../kinds/meta.ts'
import type { Action, Controller, Result, View } from './controller.ts'
import { isDeleting, setFinalizers, setOwners, uidOf } from './reference.ts'

const FOREGROUND = 'foregroundDeletion'
const ORPHAN = 'orphan'

/** The kind is part of the key: one queue serves all kinds. */
const gcKey = (object: { readonly kind: string; readonly metadata: KubeObject['metadata'] }): string =>
  `${object.kind}|${keyOf(object.metadata)}`

export const garbageCollection: Controller = {
  name: 'garbage-collection',
  watches: [{ kind: '*', keys: keysOf }],
  reconcile(view, key) {
    const bar = key.indexOf('|')
    const { namespace, name } = splitKey(key.slice(bar + 1))
    const object = view.get(key.slice(0, bar), namespace, name)
    if (!object) return { actions: [] }
    return isDeleting(object) ? releaseDependents(view, object) : collect(view, object)
  },
}

const has = (object: KubeObject, finalizer: string): boolean => object.metadata.finalizers?.includes(finalizer) ?? false

const isWaiting = (object: KubeObject): boolean => isDeleting(object) && has(object, FOREGROUND)

function keysOf(object: KubeObject, old: KubeObject | undefined, view: View): readonly string[] {
  const uid = uidOf(object)
  if (!view.exists(uid)) return [...view.dependents(uid).map(gcKey), ...waitingOwners(view, object)]
  const before = old?.metadata
  const now = object.metadata
  const changed =
    !before ||
    before.deletionTimestamp !== now.deletionTimestamp ||
    !deepEqual(before.ownerReferences, now.ownerReferences) ||
    !deepEqual(before.finalizers, now.finalizers)
  if (!changed) return []
  const keys: string[] = []
  if (now.ownerReferences || isWaiting(object) || (isDeleting(object) && has(object, ORPHAN))) keys.push(gcKey(object))
  if (isWaiting(object)) keys.push(...view.dependents(uid).map(gcKey))
  if (before?.ownerReferences && old) keys.push(...waitingOwners(view, old))
  return keys
}

const findOwner = (view: View, object: KubeObject, reference: OwnerReference): KubeObject | undefined =>
  [object.metadata.namespace ?? '', '']
    .map(namespace => view.get(reference.kind, namespace, reference.name))
    .find(owner => owner !== undefined && uidOf(owner) === reference.uid)

const waitingOwners = (view: View, object: KubeObject): string[] =>
  (object.metadata.ownerReferences ?? []).flatMap(reference => {
    const owner = findOwner(view, object, reference)
    return owner && isDeleting(owner) ? [gcKey(owner)] : []
  })

type OwnerState = 'present' | 'waiting' | 'gone'

const ownerState = (view: View, object: KubeObject, reference: OwnerReference): OwnerState => {
  const owner = findOwner(view, object, reference)
  if (owner) return isWaiting(owner) ? 'waiting' : 'present'
  const isKnown = view.knows(reference.apiVersion, reference.kind)
  return isKnown && !view.exists(reference.uid) ? 'gone' : 'present'
}

/** An object that is not being deleted: does anything still own it? */
const collect = (view: View, object: KubeObject): Result => {
  const owners = object.metadata.ownerReferences ?? []
  if (owners.length === 0) return { actions: [] }
  const states = owners.map(reference => ownerState(view, object, reference))
  const present = owners.filter((_, index) => states[index] === 'present')
  if (present.length === owners.length) return { actions: [] }
  if (present.length > 0) return { actions: [setOwners(object, present)] }
  const isChain = states.includes('waiting') && view.dependents(uidOf(object)).length > 0
  const propagationPolicy = has(object, ORPHAN) ? 'Orphan' : has(object, FOREGROUND) || isChain ? 'Foreground' : 'Background'
  const remove: Action = {
    do: 'delete',
    kind: object.kind,
    key: keyOf(object.metadata),
    uid: uidOf(object),
    resourceVersion: object.metadata.resourceVersion ?? '',
    propagationPolicy,
  }
  return { actions: [remove] }
}

/** An object that is being deleted: its finalizers wait for its dependents, or let them go. */
const releaseDependents = (view: View, object: KubeObject): Result => {
  const uid = uidOf(object)
  const dependents = view.dependents(uid)
  if (has(object, ORPHAN)) {
    if (dependents.length === 0) return dropFinalizer(object, ORPHAN)
    const actions = dependents.map(dependent =>
      setOwners(
        dependent,
        (dependent.metadata.ownerReferences ?? []).filter(reference => reference.uid !== uid),
      ),
    )
    return { actions }
  }
  if (!has(object, FOREGROUND)) return { actions: [] }
  const isBlocked = dependents.some(dependent =>
    dependent.metadata.ownerReferences?.some(reference => reference.uid === uid && reference.blockOwnerDeletion === true),
  )
  return isBlocked ? { actions: [] } : dropFinalizer(object, FOREGROUND)
}

const dropFinalizer = (object: KubeObject, finalizer: string): Result => ({
  actions: [
    setFinalizers(
      object,
      (object.metadata.finalizers ?? []).filter(other => other !== finalizer),
    ),
  ],
})
