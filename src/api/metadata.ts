// What the server writes into metadata: names, uid, stamps, generation; and what an update carries over from the stored object.
// Source: k8s apiserver pkg/registry/rest (FillObjectMetaSystemFields, BeforeUpdate).

import { timestamp } from '../base/clock.ts'
import { deepEqual } from '../base/json.ts'
import type { KubeObject, ObjectMeta } from '../base/object.ts'
import { nameSuffix, type Random, uuid } from '../base/random.ts'
import type { Kind } from '../kinds/kind.ts'
import { GENERATE_NAME_LENGTH_MAX } from '../kinds/limits.ts'
import { badRequest, conflict, STALE } from './refusal.ts'

/** What identifies a resource in messages and details. */
type Named = Pick<Kind, 'group' | 'plural'>

/** A name from generateName; the same prefix gives another name each time. */
export const generatedName = (prefix: string, random: Random): string => `${prefix.slice(0, GENERATE_NAME_LENGTH_MAX)}${nameSuffix(random)}`

/** Fills a new object's system fields in place. The name is set already, or generated later. */
export const stampNew = (kind: Kind, meta: ObjectMeta, namespace: string, nowMs: number, random: Random): void => {
  if (meta.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created')
  if (kind.namespaced) {
    if (meta.namespace && meta.namespace !== namespace)
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
    meta.namespace = namespace
  } else if (meta.namespace === '') delete meta.namespace
  delete meta.resourceVersion
  delete meta.deletionTimestamp
  delete meta.deletionGracePeriodSeconds
  meta.uid = uuid(random)
  meta.creationTimestamp = timestamp(nowMs)
  if (kind.hasGeneration) meta.generation = 1
  else delete meta.generation
}

/** Name and namespace of a body against those of the URL. */
export const checkPlace = (meta: ObjectMeta, namespace: string, name: string): void => {
  if (!meta.name) throw badRequest(`the name of the object (${name} based on URL) was undeterminable: name must be provided`)
  if (meta.name !== name) throw badRequest(`the name of the object (${meta.name}) does not match the name on the URL (${name})`)
  if (namespace !== '' && meta.namespace && meta.namespace !== namespace)
    throw badRequest(`the namespace of the object (${meta.namespace}) does not match the namespace on the request (${namespace})`)
}

/** The two preconditions a caller may state, against the newest state. */
export const checkPreconditions = (
  kind: Named,
  old: ObjectMeta,
  wanted: { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined } | undefined,
): void => {
  if (wanted?.uid && wanted.uid !== old.uid)
    throw conflict(kind, old.name ?? '', `Precondition failed: UID in precondition: ${wanted.uid}, UID in object meta: ${old.uid}`)
  if (wanted?.resourceVersion && wanted.resourceVersion !== old.resourceVersion) {
    const why = `Precondition failed: ResourceVersion in precondition: ${wanted.resourceVersion}, ResourceVersion in object meta: ${old.resourceVersion}`
    throw conflict(kind, old.name ?? '', why)
  }
}

/** An update's own uid and resourceVersion are preconditions; empty ones ask for no check. */
export const checkUpdatable = (kind: Named, meta: ObjectMeta, old: ObjectMeta): void => {
  checkPreconditions(kind, old, { uid: meta.uid })
  if (meta.resourceVersion && meta.resourceVersion !== '0' && meta.resourceVersion !== old.resourceVersion)
    throw conflict(kind, old.name ?? '', STALE)
}

const CARRIED = ['namespace', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'generation'] as const

/** Fills in place what the client left out and may not remove; what it changed instead is left for validation to refuse. */
export const carryMeta = (meta: ObjectMeta, old: ObjectMeta): void => {
  const target = meta as Record<string, unknown>
  for (const field of CARRIED) {
    if (old[field] === undefined) {
      if (field === 'generation' || target[field] === '') delete target[field]
    } else if (!target[field] || field === 'generation') target[field] = old[field]
  }
  if (old.resourceVersion) meta.resourceVersion = old.resourceVersion
}

/** Everything but metadata and status: what generation counts. */
const sameDesire = (object: KubeObject, old: KubeObject): boolean => {
  const keys = new Set([...Object.keys(object), ...Object.keys(old)])
  for (const key of keys) {
    if (key === 'metadata' || key === 'status') continue
    if (!deepEqual(object[key], old[key])) return false
  }
  return true
}

/** Raises generation in place when the desired state changed. */
export const countGeneration = (kind: Kind, object: KubeObject, old: KubeObject): void => {
  if (!kind.hasGeneration) return
  const before = old.metadata.generation ?? 0
  object.metadata.generation = sameDesire(object, old) ? before : before + 1
  if (object.metadata.generation === 0) delete object.metadata.generation
}
