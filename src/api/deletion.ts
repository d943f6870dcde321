// What DELETE means for an object: gone at once, or marked and held by grace and finalizers. Decides only; the caller writes.
// Source: k8s apiserver pkg/registry/rest/delete.go, registry/generic/registry/store.go, core/pod/strategy.go.

import { timestamp } from '../base/clock.ts'
import type { KubeObject, ObjectMeta } from '../base/object.ts'
import type { Kind } from '../kinds/kind.ts'
import type { DeleteOptions } from './api.ts'

const FOREGROUND = 'foregroundDeletion'
const ORPHAN = 'orphan'

export const isNamespaceKind = (kind: Pick<Kind, 'group' | 'kind'>): boolean => kind.group === '' && kind.kind === 'Namespace'

/** spec.finalizers of a Namespace hold it as metadata.finalizers do. */
const specFinalizers = (kind: Kind, object: KubeObject): readonly string[] => {
  if (!isNamespaceKind(kind)) return []
  return (object.spec as { finalizers?: string[] } | undefined)?.finalizers ?? []
}

export const isHeld = (kind: Kind, object: KubeObject): boolean =>
  (object.metadata.finalizers?.length ?? 0) > 0 || specFinalizers(kind, object).length > 0

/** After an update: the last finalizer of an object being deleted went, and no grace runs. */
export const shouldRemove = (kind: Kind, object: KubeObject): boolean =>
  object.metadata.deletionTimestamp !== undefined && !object.metadata.deletionGracePeriodSeconds && !isHeld(kind, object)

/** The finalizers a propagation policy leaves: it adds its own and takes the other's; without a policy nothing changes. */
const finalizersFor = (policy: DeleteOptions['propagationPolicy'], found: readonly string[]): string[] => {
  if (policy === undefined) return [...found]
  const others = found.filter(each => each !== FOREGROUND && each !== ORPHAN)
  if (policy === 'Foreground') return [...others, FOREGROUND]
  return policy === 'Orphan' ? [...others, ORPHAN] : others
}

/** Seconds this object may take to end; 0 for kinds without grace. The kind says at most what is useful (0 for pods nobody runs). */
const graceOf = (kind: Kind, object: KubeObject, asked: number | undefined): number => {
  if (!kind.graceSeconds) return 0
  const own = kind.graceSeconds(object)
  if (own === 0 || asked === undefined) return own
  return asked < 0 ? 1 : asked
}

export type Deletion =
  | { readonly do: 'remove' }
  | { readonly do: 'mark'; readonly object: KubeObject }
  /** Already being deleted, and this request asks for nothing more. */
  | { readonly do: 'nothing' }

const sameList = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((each, i) => each === b[i])

/** A copy of the object as it is while it is being deleted. */
const marked = (kind: Kind, old: KubeObject, meta: ObjectMeta): KubeObject => {
  const object: KubeObject = { ...old, metadata: meta }
  if (isNamespaceKind(kind)) object.status = { ...(old.status as Record<string, unknown> | undefined), phase: 'Terminating' }
  return object
}

/** Decides what a DELETE does to the newest state. Preconditions have been checked. */
export const planDeletion = (kind: Kind, old: KubeObject, options: DeleteOptions, nowMs: number): Deletion => {
  const before = old.metadata
  const finalizers = finalizersFor(options.propagationPolicy, before.finalizers ?? [])
  const asked = graceOf(kind, old, options.gracePeriodSeconds)
  // A running grace period can be made shorter, never longer.
  const running = before.deletionTimestamp === undefined ? undefined : (before.deletionGracePeriodSeconds ?? 0)
  const grace = running === undefined ? asked : options.gracePeriodSeconds === undefined ? running : Math.min(running, asked)
  const held = finalizers.length > 0 || specFinalizers(kind, old).length > 0
  if (grace === 0 && !held) return { do: 'remove' }
  if (running === grace && sameList(finalizers, before.finalizers ?? [])) return { do: 'nothing' }
  const meta: ObjectMeta = { ...before }
  if (running !== grace) {
    const base =
      running === undefined || before.deletionTimestamp === undefined ? nowMs : Date.parse(before.deletionTimestamp) - running * 1000
    meta.deletionTimestamp = timestamp(base + grace * 1000)
    meta.deletionGracePeriodSeconds = grace
    if (running === undefined && kind.hasGeneration) meta.generation = (before.generation ?? 0) + 1
  }
  if (finalizers.length > 0) meta.finalizers = finalizers
  else delete meta.finalizers
  return { do: 'mark', object: marked(kind, old, meta) }
}
