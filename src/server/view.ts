// What controllers see: the whole store at one revision, indexed by kind, namespace, owner, node and uid, kept up to date by the store's
// own watch. Between two batches of events nothing moves.

import { assert } from '../base/assert.ts'
import type { KubeObject } from '../base/object.ts'
import type { Contact, View } from '../controllers/controller.ts'
import type { Kind } from '../kinds/kind.ts'
import { storeKey, storePrefix } from '../kinds/kind.ts'
import type { Store } from '../store/store.ts'
import type { ListFilter } from './view-index.ts'
import { createIndex } from './view-index.ts'

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

/** A view over a store that follows it until closed. */
export const createView = (deps: ViewDeps): LiveView => {
  const own = deps.kinds.filter(kind => !kind.storage)
  const kindByName = new Map(own.map(kind => [kind.kind, kind]))
  const kindOf = kindFinder(own)
  const known = new Set(deps.kinds.map(kind => `${kind.group} ${kind.kind}`))
  const listeners = new Set<(changes: readonly Change[]) => void>()
  const index = createIndex(key => {
    const entry = deps.store.get(key)
    assert(entry, `the view knows ${key}, the store does not`)
    return entry.object
  })
  const page = deps.store.list({ prefix: '' })
  for (const entry of page.entries) index.put(entry.key, kindOf(entry.key, entry.object), entry.object)
  let revision = page.revision
  const watch = deps.store.watch({
    prefix: '',
    fromRevision: page.revision,
    onEvents(events) {
      const changes = events.map((event): Change => {
        const kind = kindOf(event.key, event.object)
        if (event.type === 'DELETED') index.remove(event.key)
        else index.put(event.key, kind, event.object)
        revision = event.revision
        return { kind, object: event.object, old: event.previous?.object }
      })
      for (const listener of listeners) listener(changes)
    },
    onClose: reason => assert(reason === 'closed', 'a watcher inside the process is never slow'),
  })
  return {
    get revision() {
      return revision
    },
    get uptimeMs() {
      return deps.uptimeMs()
    },
    namespacedKinds: own.filter(kind => kind.namespaced).map(kind => kind.kind),
    get<T>(kind: string, namespace: string, name: string) {
      const registered = kindByName.get(kind)
      return registered && (index.get(kind, storeKey(registered, namespace, name)) as T | undefined)
    },
    list: <T>(kind: string, filter: ListFilter = {}) => index.list(kind, filter) as unknown as readonly T[],
    dependents: uid => index.dependents(uid),
    exists: uid => index.exists(uid),
    knows: (apiVersion, kind) => known.has(`${apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''} ${kind}`),
    contact: deps.contact,
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: () => watch.close(),
  }
}

/** The kind's name from the place in the store. A kind that is not registered gets a name no registered kind can have: its objects still count. */
const kindFinder = (kinds: readonly ViewKind[]): ((key: string, object: KubeObject) => string) => {
  const names = new Map(kinds.map(kind => [storePrefix(kind), kind.kind]))
  return (key, object) => {
    const prefix = key.slice(0, key.indexOf('/', key.indexOf('/', 1) + 1) + 1)
    return names.get(prefix) ?? `${object.kind} at ${prefix}`
  }
}
