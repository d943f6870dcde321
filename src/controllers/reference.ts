// How objects point at each other: owner references, what an Event is about, and the actions that change them.

import type { KubeObject, ObjectMeta, OwnerReference } from '../kinds/meta.ts'
import { keyOf } from '../kinds/meta.ts'
import type { Action } from './controller.ts'

/** The object as the kind-blind parts see it. */
export const asObject = (object: { readonly kind: string; readonly metadata: ObjectMeta }): KubeObject => object as unknown as KubeObject

export const uidOf = (object: { readonly metadata: ObjectMeta }): string => object.metadata.uid ?? ''

export const isDeleting = (object: { readonly metadata: ObjectMeta }): boolean => object.metadata.deletionTimestamp !== undefined

/** The reference that makes `owner` the controller of an object. */
export const controllerReference = (owner: {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}): OwnerReference => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name ?? '',
  uid: uidOf(owner),
  controller: true,
  blockOwnerDeletion: true,
})

/** Replaces the owner references of one object; the whole list travels, so the resourceVersion must match. */
export const setOwners = (object: { readonly kind: string; readonly metadata: ObjectMeta }, owners: readonly OwnerReference[]): Action => ({
  do: 'patch',
  kind: object.kind,
  key: keyOf(object.metadata),
  uid: uidOf(object),
  resourceVersion: object.metadata.resourceVersion ?? '',
  patch: { metadata: { ownerReferences: owners.length === 0 ? null : owners } },
})

/** Replaces the finalizers of one object. */
export const setFinalizers = (object: { readonly kind: string; readonly metadata: ObjectMeta }, finalizers: readonly string[]): Action => ({
  do: 'patch',
  kind: object.kind,
  key: keyOf(object.metadata),
  uid: uidOf(object),
  resourceVersion: object.metadata.resourceVersion ?? '',
  patch: { metadata: { finalizers: finalizers.length === 0 ? null : finalizers } },
})

/** Replaces the status, if the object is still as it was seen. */
export const patchStatus = (object: { readonly kind: string; readonly metadata: ObjectMeta }, status: object): Action => ({
  do: 'patchStatus',
  kind: object.kind,
  key: keyOf(object.metadata),
  uid: uidOf(object),
  resourceVersion: object.metadata.resourceVersion ?? '',
  status: status as Record<string, unknown>,
})

export interface EventText {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly note: string
  readonly source: string
  readonly after?: number
}

/** An Event about an object. */
export const eventAbout = (
  object: { readonly apiVersion: string; readonly kind: string; readonly metadata: ObjectMeta },
  text: EventText,
): Action => ({
  do: 'event',
  regarding: {
    apiVersion: object.apiVersion,
    kind: object.kind,
    ...(object.metadata.namespace ? { namespace: object.metadata.namespace } : {}),
    name: object.metadata.name ?? '',
    uid: uidOf(object),
  },
  ...text,
})
