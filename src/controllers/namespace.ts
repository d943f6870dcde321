// Namespaces: everything in a Terminating one is deleted, then its finalizer is removed; every living one has a ServiceAccount `default`;
// the four that Kubernetes promises exist. Content that waits (a pod on a device out of contact) keeps the Namespace, and it says so.

import { timestamp } from '../base/clock.ts'
import { deepEqual } from '../base/json.ts'
import type { Condition, KubeObject } from '../kinds/meta.ts'
import { keyOf } from '../kinds/meta.ts'
import type { Namespace } from '../kinds/namespace.ts'
import { NAMESPACE_FINALIZER } from '../kinds/namespace.ts'
import { withCondition } from './condition.ts'
import type { Action, Controller, Result, View } from './controller.ts'
import { NAMESPACE_BURST } from './limits.ts'
import { isDeleting, patchStatus, uidOf } from './reference.ts'

export const namespace: Controller = {
  name: 'namespace',
  watches: [
    { kind: 'Namespace', keys: object => [keyOf(object.metadata)] },
    { kind: '*', keys: (object, _old, view) => terminatingKeys(view, object) },
  ],
  reconcile(view, key, nowMs) {
    const found = view.get<Namespace>('Namespace', '', key)
    return found && isDeleting(found) ? empty(view, found, nowMs) : { actions: [] }
  },
}

const terminatingKeys = (view: View, object: KubeObject): string[] => {
  if (!object.metadata.namespace) return []
  const found = view.get('Namespace', '', object.metadata.namespace)
  return found && isDeleting(found) ? [object.metadata.namespace] : []
}

const empty = (view: View, found: Namespace, nowMs: number): Result => {
  const finalizers = found.spec?.finalizers ?? []
  if (!finalizers.includes(NAMESPACE_FINALIZER)) return { actions: [] }
  const key = keyOf(found.metadata)
  const content = view.namespacedKinds.flatMap(kind => view.list(kind, { namespace: key }).map(object => ({ kind, object })))
  if (content.length === 0) {
    const finalize = {
      do: 'finalize',
      kind: 'Namespace',
      key,
      uid: uidOf(found),
      resourceVersion: found.metadata.resourceVersion ?? '',
    } as const
    return { actions: [finalize] }
  }
  const actions: Action[] = content
    .filter(({ object }) => !isDeleting(object))
    .slice(0, NAMESPACE_BURST)
    .map(({ kind, object }) => ({ do: 'delete', kind, key: keyOf(object.metadata), uid: uidOf(object), propagationPolicy: 'Background' }))
  const status = { ...found.status, phase: 'Terminating', conditions: conditionsOf(found, content, nowMs) }
  if (!deepEqual(status, found.status ?? {})) actions.push(patchStatus(found, status))
  return { actions }
}

type Content = readonly { readonly kind: string; readonly object: KubeObject }[]

/** `Pod has 2 resource instances, ConfigMap has 1 …`, by kind name. */
const countText = (names: readonly string[], of: (name: string, count: number) => string): string => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => of(name, count))
    .join(', ')
}

const conditionsOf = (found: Namespace, content: Content, nowMs: number): Condition[] => {
  const finalizers = content.flatMap(({ object }) => object.metadata.finalizers ?? [])
  const kinds = countText(
    content.map(({ kind }) => kind),
    (name, count) => `${name} has ${count} resource instances`,
  )
  const held = countText(finalizers, (name, count) => `${name} in ${count} resource instances`)
  const wanted: Condition[] = [
    {
      type: 'NamespaceDeletionDiscoveryFailure',
      status: 'False',
      reason: 'ResourcesDiscovered',
      message: 'All resources successfully discovered',
    },
    {
      type: 'NamespaceDeletionContentFailure',
      status: 'False',
      reason: 'ContentDeleted',
      message: 'All content successfully deleted, may be waiting on finalization',
    },
    { type: 'NamespaceContentRemaining', status: 'True', reason: 'SomeResourcesRemain', message: `Some resources are remaining: ${kinds}` },
    held === ''
      ? {
          type: 'NamespaceFinalizersRemaining',
          status: 'False',
          reason: 'ContentHasNoFinalizers',
          message: 'All content-preserving finalizers finished',
        }
      : {
          type: 'NamespaceFinalizersRemaining',
          status: 'True',
          reason: 'SomeFinalizersRemain',
          message: `Some content in the namespace has finalizers remaining: ${held}`,
        },
  ]
  return wanted.reduce<Condition[]>((list, condition) => withCondition(list, condition, timestamp(nowMs)), found.status?.conditions ?? [])
}

/** Every living Namespace has a ServiceAccount `default`: pods that name none run as it. */
export const defaultServiceAccount: Controller = {
  name: 'default-service-account',
  watches: [
    { kind: 'Namespace', keys: object => [keyOf(object.metadata)] },
    { kind: 'ServiceAccount', keys: object => (object.metadata.name === 'default' ? [object.metadata.namespace ?? ''] : []) },
  ],
  reconcile(view, key) {
    const found = view.get('Namespace', '', key)
    if (!found || isDeleting(found) || view.get('ServiceAccount', key, 'default')) return { actions: [] }
    const object: KubeObject = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: key } }
    return { actions: [{ do: 'create', object }] }
  },
}

const SYSTEM_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease']

/** Makes the Namespaces that every cluster has, at the first start and whenever one is missing. */
export const systemNamespaces: Controller = {
  name: 'system-namespaces',
  initialKeys: SYSTEM_NAMESPACES,
  watches: [{ kind: 'Namespace', keys: object => SYSTEM_NAMESPACES.filter(name => name === object.metadata.name) }],
  reconcile(view, key) {
    if (view.get('Namespace', '', key)) return { actions: [] }
    return { actions: [{ do: 'create', object: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: key } } }] }
  },
}
