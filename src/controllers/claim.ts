// Which children belong to a controller: those that name it and match its selector, plus orphans that match (adopted); those that
// name it but no longer match are released. Source: client-go controller_ref_manager.

import type { LabelSelector, ObjectMeta } from '../kinds/meta.ts'
import { matchesLabels } from '../kinds/selector.ts'
import type { Action, View } from './controller.ts'
import { controllerReference, isDeleting, setOwners, uidOf } from './reference.ts'

export interface Claimed<T> {
  readonly children: readonly T[]
  readonly actions: readonly Action[]
}

interface Claimant {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly spec: { readonly selector: LabelSelector }
}

/** Children of `kind`; only those that pass `eligible` are released or adopted (pods that ended are left as they are). */
export const claim = <T extends { readonly kind: string; readonly metadata: ObjectMeta }>(
  view: View,
  owner: Claimant,
  kind: string,
  eligible: (child: T) => boolean = () => true,
): Claimed<T> => {
  const uid = uidOf(owner)
  const selector = owner.spec.selector
  const children: T[] = []
  const actions: Action[] = []
  for (const child of view.list<T>(kind, { owner: uid })) {
    if (!eligible(child) || matchesLabels(selector, child.metadata.labels)) children.push(child)
    else if (!isDeleting(owner) && !isDeleting(child)) {
      const others = (child.metadata.ownerReferences ?? []).filter(reference => reference.uid !== uid)
      actions.push(setOwners(child, others))
    }
  }
  if (isDeleting(owner)) return { children, actions }
  for (const child of view.list<T>(kind, { namespace: owner.metadata.namespace ?? '', owner: '' })) {
    if (isDeleting(child) || !eligible(child) || !matchesLabels(selector, child.metadata.labels)) continue
    const reference = controllerReference(owner)
    const others = (child.metadata.ownerReferences ?? []).filter(other => other.uid !== uid)
    children.push(child)
    actions.push(setOwners(child, [...others, reference]))
  }
  return { children, actions }
}

/** Keys of the controllers of `ownerKind` that a changed child concerns: its owner now and before, or every one whose selector matches an orphan. */
export const claimantKeys = (
  view: View,
  ownerKind: string,
  child: { readonly metadata: ObjectMeta },
  old: { readonly metadata: ObjectMeta } | undefined,
): string[] => {
  const keys: string[] = []
  const namespace = child.metadata.namespace ?? ''
  const owner = child.metadata.ownerReferences?.find(reference => reference.controller === true)
  const before = old?.metadata.ownerReferences?.find(reference => reference.controller === true)
  if (owner?.kind === ownerKind) keys.push(`${namespace}/${owner.name}`)
  if (before && before.kind === ownerKind && before.uid !== owner?.uid) keys.push(`${namespace}/${before.name}`)
  if (!owner && child.metadata.labels) {
    for (const claimant of view.list<Claimant>(ownerKind, { namespace })) {
      if (matchesLabels(claimant.spec.selector, child.metadata.labels)) keys.push(`${namespace}/${claimant.metadata.name ?? ''}`)
    }
  }
  return keys
}
