// The indexes of the view: by kind, namespace, owner, node and uid. Objects of kinds that controllers read often are held parsed; of the
// others only the place is kept, and `read` brings the object.

import type { KubeObject, ObjectMeta } from '../base/object.ts'
import type { LabelSelector } from '../kinds/meta.ts'
import { matchesLabels } from '../kinds/selector.ts'
import type { Bucket } from './view-bucket.ts'
import { createBucket } from './view-bucket.ts'

export interface ListFilter {
  readonly namespace?: string
  readonly owner?: string
  readonly node?: string
  readonly selector?: LabelSelector
}

export interface Index {
  put(key: string, kind: string, object: KubeObject): void
  remove(key: string): void
  get(kind: string, key: string): KubeObject | undefined
  list(kind: string, filter: ListFilter): readonly KubeObject[]
  dependents(uid: string): readonly KubeObject[]
  exists(uid: string): boolean
}

/** Kinds held parsed in memory: those that reconcilers list on most runs. */
const HELD = new Set(['Pod', 'Node', 'Namespace', 'ReplicaSet', 'Deployment', 'ServiceAccount', 'Service'])

/** Where an object is indexed; two states of one object differ in few of these. */
interface Place {
  readonly uid: string
  readonly buckets: readonly string[]
}

const controllerUid = (meta: ObjectMeta): string => meta.ownerReferences?.find(reference => reference.controller === true)?.uid ?? ''

const nodeNameOf = (object: KubeObject): string => (object.spec as { nodeName?: string } | undefined)?.nodeName ?? ''

const placeOf = (kind: string, object: KubeObject): Place => {
  const meta = object.metadata
  const namespace = meta.namespace ?? ''
  const owner = controllerUid(meta)
  const buckets = [`kind ${kind}`, `in ${kind} ${namespace}`, owner === '' ? `orphan ${kind} ${namespace}` : `of ${kind} ${owner}`]
  if (kind === 'Pod') buckets.push(`on ${nodeNameOf(object)}`)
  for (const reference of meta.ownerReferences ?? []) buckets.push(`dependent ${reference.uid}`)
  return { uid: meta.uid ?? '', buckets }
}

/** The smallest bucket that holds every answer. */
const bucketFor = (kind: string, filter: ListFilter): string => {
  if (filter.owner) return `of ${kind} ${filter.owner}`
  if (filter.node !== undefined && kind === 'Pod') return `on ${filter.node}`
  if (filter.owner === '' && filter.namespace !== undefined) return `orphan ${kind} ${filter.namespace}`
  if (filter.namespace !== undefined) return `in ${kind} ${filter.namespace}`
  return `kind ${kind}`
}

const passes = (object: KubeObject, filter: ListFilter): boolean =>
  (filter.namespace === undefined || (object.metadata.namespace ?? '') === filter.namespace) &&
  (filter.owner === undefined || controllerUid(object.metadata) === filter.owner) &&
  (filter.node === undefined || nodeNameOf(object) === filter.node) &&
  (filter.selector === undefined || matchesLabels(filter.selector, object.metadata.labels))

const NOTHING: readonly never[] = Object.freeze([])

/** A filter the bucket answers whole gives the bucket's own array, the same until something in it changes. */
const isWhole = (kind: string, filter: ListFilter): boolean => {
  const terms = Object.keys(filter).length
  if (terms === 0) return true
  return terms === 1 && (filter.namespace !== undefined || Boolean(filter.owner) || (filter.node !== undefined && kind === 'Pod'))
}

const isSamePlace = (a: Place, b: Place): boolean =>
  a.uid === b.uid && a.buckets.length === b.buckets.length && a.buckets.every((name, index) => name === b.buckets[index])

export const createIndex = (read: (key: string) => KubeObject): Index => {
  const places = new Map<string, Place>()
  const uids = new Map<string, string>()
  const buckets = new Map<string, Bucket>()

  const remove = (key: string): void => {
    const place = places.get(key)
    if (!place) return
    places.delete(key)
    if (uids.get(place.uid) === key) uids.delete(place.uid)
    for (const name of place.buckets) {
      const bucket = buckets.get(name)
      bucket?.delete(key)
      if (bucket?.size === 0) buckets.delete(name)
    }
  }
  const objectsOf = (name: string): readonly KubeObject[] => buckets.get(name)?.list(read) ?? NOTHING
  return {
    remove,
    put(key, kind, object) {
      const place = placeOf(kind, object)
      const before = places.get(key)
      if (before && !isSamePlace(before, place)) remove(key)
      places.set(key, place)
      uids.set(place.uid, key)
      for (const name of place.buckets) {
        const bucket = buckets.get(name) ?? createBucket()
        buckets.set(name, bucket)
        bucket.set(key, HELD.has(kind) ? object : undefined)
      }
    },
    get: (kind, key) => (places.has(key) ? (buckets.get(`kind ${kind}`)?.get(key) ?? read(key)) : undefined),
    list(kind, filter) {
      const objects = objectsOf(bucketFor(kind, filter))
      return isWhole(kind, filter) ? objects : objects.filter(object => passes(object, filter))
    },
    dependents: uid => objectsOf(`dependent ${uid}`),
    exists: uid => uids.has(uid),
  }
}
