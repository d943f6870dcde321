// What controllers see: the whole store at one revision, indexed by kind, namespace, owner, node and uid, kept up to date by the store's
// own watch. Between two batches of events nothing moves. Objects of kinds that controllers read often are held parsed; of the others
// only the place is kept and the object is read from the store.

import { assert } from '../base/assert.ts'
import type { KubeObject, ObjectMeta } from '../base/object.ts'
import type { Contact, View } from '../controllers/controller.ts'
import type { Kind } from '../kinds/kind.ts'
import { storeKey, storePrefix } from '../kinds/kind.ts'
import type { LabelSelector } from '../kinds/meta.ts'
import { matchesLabels } from '../kinds/selector.ts'
import type { Store } from '../store/store.ts'
import type { Bucket } from './view-bucket.ts'
import { createBucket } from './view-bucket.ts'

/** One change, as controllers are told of it. `object` is the last state when it was deleted. */
export interface Change {
  readonly kind: string
  readonly object: KubeObject
  readonly old: KubeObject | undefined
}

export type ViewKind = Pick<Kind, 'group' | 'version' | 'kind' | 'plural' | 'namespaced' | 'storage'>

export interface ViewDeps {
  readonly store: Pick<Store, 'get' | 'list' | 'watch' | 'revision'>
  readonly kinds: readonly ViewKind[]
  readonly contact: (node: string) => Contact | undefined
  /** Monotonic milliseconds since this server started. */
  readonly uptimeMs: () => number
}

export interface LiveView extends View {
  /** Called after each batch is in the view, in revision order. Must not throw. Returns the way to stop it. */
  subscribe(listener: (changes: readonly Change[]) => void): () => void
  close(): void
}

/** Kinds held parsed in memory: those that reconcilers list on most runs. */
const HELD = new Set(['Pod', 'Node', 'Namespace', 'ReplicaSet', 'Deployment', 'ServiceAccount'])

/** Where an object is indexed; two states of one object differ in few of these. */
interface Place {
  readonly uid: string
  readonly buckets: readonly string[]
}

interface ListFilter {
  readonly namespace?: string
  readonly owner?: string
  readonly node?: string
  readonly selector?: LabelSelector
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

/** A view over a store that follows it until closed. */
export const createView = (deps: ViewDeps): LiveView => {
  const own = deps.kinds.filter(kind => !kind.storage)
  const kindByName = new Map(own.map(kind => [kind.kind, kind]))
  const nameByPrefix = new Map(own.map(kind => [storePrefix(kind), kind.kind]))
  const known = new Set(deps.kinds.map(kind => `${kind.group} ${kind.kind}`))
  const places = new Map<string, Place>()
  const uids = new Map<string, string>()
  const buckets = new Map<string, Bucket>()
  const listeners = new Set<(changes: readonly Change[]) => void>()
  let revision = 0

  const prefixOf = (key: string): string => key.slice(0, key.indexOf('/', key.indexOf('/', 1) + 1) + 1)
  /** A kind that is not registered gets a name no registered kind can have: what owns it is still known. */
  const kindOf = (key: string, object: KubeObject): string => nameByPrefix.get(prefixOf(key)) ?? `${object.kind} at ${prefixOf(key)}`

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
  const put = (key: string, object: KubeObject): void => {
    const kind = kindOf(key, object)
    const place = placeOf(kind, object)
    const before = places.get(key)
    const moved = before?.uid !== place.uid || before.buckets.some((name, index) => name !== place.buckets[index])
    if (before && (moved || before.buckets.length !== place.buckets.length)) remove(key)
    places.set(key, place)
    uids.set(place.uid, key)
    for (const name of place.buckets) {
      const bucket = buckets.get(name) ?? createBucket()
      buckets.set(name, bucket)
      bucket.set(key, HELD.has(kind) ? object : undefined)
    }
  }
  const read = (key: string): KubeObject => {
    const entry = deps.store.get(key)
    assert(entry, `the view knows ${key}, the store does not`)
    return entry.object
  }
  const objectsOf = (name: string): readonly KubeObject[] => buckets.get(name)?.list(read) ?? NOTHING

  const page = deps.store.list({ prefix: '' })
  for (const entry of page.entries) put(entry.key, entry.object)
  revision = page.revision
  const watch = deps.store.watch({
    prefix: '',
    fromRevision: page.revision,
    onEvents(events) {
      const changes = events.map((event): Change => {
        if (event.type === 'DELETED') remove(event.key)
        else put(event.key, event.object)
        revision = event.revision
        return { kind: kindOf(event.key, event.object), object: event.object, old: event.previous?.object }
      })
      for (const listener of listeners) listener(changes)
    },
    onClose: reason => assert(reason === 'closed', 'a watcher inside the process is never slow'),
  })

  const get = (kind: string, namespace: string, name: string): KubeObject | undefined => {
    const registered = kindByName.get(kind)
    if (!registered) return undefined
    const key = storeKey(registered, namespace, name)
    return places.has(key) ? (buckets.get(`kind ${kind}`)?.get(key) ?? read(key)) : undefined
  }
  const list = (kind: string, filter: ListFilter = {}): readonly KubeObject[] => {
    const name = bucketFor(kind, filter)
    const objects = objectsOf(name)
    const rest = Object.keys(filter).length
    // A filter the bucket answers whole gives the bucket's own array, the same until something in it changes.
    const isWhole =
      rest === 0 ||
      (rest === 1 && (filter.namespace !== undefined || Boolean(filter.owner) || (filter.node !== undefined && kind === 'Pod')))
    return isWhole ? objects : objects.filter(object => passes(object, filter))
  }
  return {
    get revision() {
      return revision
    },
    get uptimeMs() {
      return deps.uptimeMs()
    },
    namespacedKinds: own.filter(kind => kind.namespaced).map(kind => kind.kind),
    get: <T>(kind: string, namespace: string, name: string) => get(kind, namespace, name) as T | undefined,
    list: <T>(kind: string, filter?: ListFilter) => list(kind, filter) as unknown as readonly T[],
    dependents: uid => objectsOf(`dependent ${uid}`),
    exists: uid => uids.has(uid),
    knows: (apiVersion, kind) => known.has(`${apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''} ${kind}`),
    contact: deps.contact,
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: () => watch.close(),
  }
}
