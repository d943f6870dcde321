// A small synchronous world for pure controllers: objects in a map, the real view over them, actions applied with the API's preconditions.
// Devices are played by `run`: pods that are bound become Ready, pods that were told to end are gone.

import { timestamp } from '../../../src/base/clock.ts'
import { deepFreeze, isObject } from '../../../src/base/json.ts'
import type { KubeObject } from '../../../src/base/object.ts'
import type { Action, Contact, Controller } from '../../../src/controllers/controller.ts'
import { KINDS, kindByName } from '../../../src/kinds/index.ts'
import { storeKey } from '../../../src/kinds/kind.ts'
import { splitKey } from '../../../src/kinds/meta.ts'
import type { Pod } from '../../../src/kinds/pod.ts'
import type { Change, LiveView } from '../../../src/server/view.ts'
import { createView } from '../../../src/server/view.ts'
import type { Entry, StoreEvent, WatchOptions } from '../../../src/store/store.ts'

export type Loose = Record<string, unknown>

export interface World {
  readonly view: LiveView
  nowMs: number
  uptimeMs: number
  readonly contacts: Map<string, Contact>
  readonly events: Extract<Action, { do: 'event' }>[]
  /** Actions refused by a precondition. */
  readonly conflicts: Action[]
  put(object: Loose): KubeObject
  get<T = KubeObject>(kind: string, key: string): T | undefined
  list<T = KubeObject>(kind: string): readonly T[]
  /** Changes an object as a client would: spec changes raise the generation. */
  edit(kind: string, key: string, change: Loose): void
  remove(kind: string, key: string): void
  apply(action: Action): boolean
  /** One reconcile, applied; returns its actions. */
  reconcile(controller: Controller, key: string): readonly Action[]
  /** Runs the keys that changes ask for until nothing asks for more; returns the number of runs that acted. */
  settle(controllers: readonly Controller[]): number
  /** Plays every device once. */
  run(): void
}

const merge = (target: unknown, patch: unknown): unknown => {
  if (!isObject(patch)) return patch
  const result: Loose = isObject(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = merge(result[key], value)
  }
  return result
}

const SETTLE_RUNS_MAX = 20_000

export const createWorld = (): World => {
  const entries = new Map<string, Entry>()
  const pendingChanges: Change[] = []
  let revision = 1
  let watch: WatchOptions | undefined
  let serial = 0
  const events: World['events'] = []
  const conflicts: Action[] = []
  const contacts = new Map<string, Contact>()

  const emit = (type: StoreEvent['type'], key: string, object: KubeObject, previous: Entry | undefined): void => {
    watch?.onEvents([{ type, key, revision, value: Buffer.alloc(0), object, previous }])
  }
  const keyOf = (kind: string, key: string): string => {
    const { namespace, name } = splitKey(key)
    return storeKey(kindByName(kind)!, namespace, name)
  }
  const save = (key: string, object: KubeObject): KubeObject => {
    const previous = entries.get(key)
    revision++
    const isGone =
      object.metadata.deletionTimestamp !== undefined &&
      (object.metadata.finalizers ?? []).length === 0 &&
      !object.metadata.deletionGracePeriodSeconds &&
      ((object.spec as { finalizers?: string[] } | undefined)?.finalizers ?? []).length === 0
    const stored = deepFreeze({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } })
    if (isGone) {
      entries.delete(key)
      emit('DELETED', key, stored, previous)
      return stored
    }
    entries.set(key, {
      key,
      revision,
      createRevision: previous?.createRevision ?? revision,
      size: 0,
      value: Buffer.alloc(0),
      object: stored,
    })
    emit(previous ? 'MODIFIED' : 'ADDED', key, stored, previous)
    return stored
  }
  const markDeleted = (key: string, object: KubeObject, action: { gracePeriodSeconds?: number; propagationPolicy?: string }): void => {
    const policy = action.propagationPolicy
    const extra = policy === 'Foreground' ? ['foregroundDeletion'] : policy === 'Orphan' ? ['orphan'] : []
    const isRunning = object.kind === 'Pod' && (object as unknown as Pod).spec.nodeName !== undefined
    const grace = isRunning ? (action.gracePeriodSeconds ?? 30) : 0
    const finalizers = [...new Set([...(object.metadata.finalizers ?? []), ...extra])]
    save(key, {
      ...object,
      metadata: {
        ...object.metadata,
        deletionTimestamp: timestamp(world.nowMs),
        deletionGracePeriodSeconds: grace,
        ...(finalizers.length > 0 ? { finalizers } : {}),
      },
    })
  }
  const change = (action: Exclude<Action, { do: 'create' | 'event' }>): boolean => {
    const target =
      action.do === 'update'
        ? keyOf(action.object.kind, `${action.object.metadata.namespace}/${action.object.metadata.name}`)
        : keyOf(action.do === 'bind' ? 'Pod' : action.kind, action.key)
    const old = entries.get(target)?.object
    const [uid, version] =
      action.do === 'update' ? [action.object.metadata.uid, action.object.metadata.resourceVersion] : [action.uid, action.resourceVersion]
    if (!old || old.metadata.uid !== uid || (version !== undefined && old.metadata.resourceVersion !== version)) return false
    if (action.do === 'delete') markDeleted(target, old, action)
    else if (action.do === 'bind') {
      if ((old as unknown as Pod).spec.nodeName) return false
      save(target, { ...old, spec: { ...(old.spec as Loose), nodeName: action.node } })
    } else if (action.do === 'patchStatus') save(target, { ...old, status: action.status })
    else if (action.do === 'finalize') save(target, { ...old, spec: { finalizers: [] } })
    else save(target, raised(old, action.do === 'update' ? action.object : (merge(old, action.patch) as KubeObject)))
    return true
  }
  const raised = (old: KubeObject, next: KubeObject): KubeObject =>
    JSON.stringify(old.spec) === JSON.stringify(next.spec)
      ? next
      : { ...next, metadata: { ...next.metadata, generation: (old.metadata.generation ?? 0) + 1 } }

  const world: World = {
    view: createView({
      store: {
        get: key => entries.get(key),
        list: () => ({ entries: [], revision: 1, more: false, remaining: 0 }),
        watch(options) {
          watch = options
          return { close: () => {} }
        },
        get revision() {
          return revision
        },
      },
      kinds: KINDS,
      contact: node => contacts.get(node),
      uptimeMs: () => world.uptimeMs,
    }),
    nowMs: Date.parse('2026-11-22T10:00:00Z'),
    uptimeMs: 3_600_000,
    contacts,
    events,
    conflicts,
    put(object) {
      const given = object as unknown as KubeObject
      serial++
      const metadata = {
        uid: `uid-${serial}`,
        generation: 1,
        creationTimestamp: timestamp(world.nowMs),
        ...given.metadata,
      }
      return save(keyOf(given.kind, `${metadata.namespace ?? ''}/${metadata.name}`), { ...given, metadata })
    },
    get: <T>(kind: string, key: string) => entries.get(keyOf(kind, key))?.object as T | undefined,
    list: <T>(kind: string) => world.view.list<T>(kind),
    edit(kind, key, patch) {
      const old = world.get(kind, key)!
      save(keyOf(kind, key), raised(old, merge(old, patch) as KubeObject))
    },
    remove(kind, key) {
      markDeleted(keyOf(kind, key), world.get(kind, key)!, {})
    },
    apply(action) {
      if (action.do === 'event') {
        events.push(action)
        return true
      }
      const isDone =
        action.do === 'create'
          ? !world.get(action.object.kind, `${action.object.metadata.namespace ?? ''}/${action.object.metadata.name}`) &&
            world.put(action.object as unknown as Loose) !== undefined
          : change(action)
      if (!isDone) conflicts.push(action)
      return isDone
    },
    reconcile(controller, key) {
      // Through JSON and back: an action that does not survive it is no plain value.
      const actions = JSON.parse(JSON.stringify(controller.reconcile(world.view, key, world.nowMs).actions)) as Action[]
      const last = (action: Action): boolean => action.do === 'patchStatus'
      for (const action of [...actions.filter(a => !last(a)), ...actions.filter(last)]) world.apply(action)
      return actions
    },
    settle(controllers) {
      let acted = 0
      const waiting = new Map<string, [Controller, string]>()
      const note = (changes: readonly Change[]): void => {
        for (const controller of controllers) {
          for (const watched of controller.watches) {
            for (const { kind, object, old } of changes) {
              if (watched.kind !== kind && watched.kind !== '*') continue
              for (const key of watched.keys(object, old, world.view)) waiting.set(`${controller.name} ${key}`, [controller, key])
            }
          }
        }
      }
      note(pendingChanges.splice(0))
      for (const controller of controllers)
        for (const key of controller.initialKeys ?? []) waiting.set(`${controller.name} ${key}`, [controller, key])
      for (let runs = 0; waiting.size > 0; runs++) {
        if (runs > SETTLE_RUNS_MAX) throw new Error('controllers do not settle')
        const [id, [controller, key]] = waiting.entries().next().value!
        waiting.delete(id)
        if (world.reconcile(controller, key).length > 0) acted++
        note(pendingChanges.splice(0))
      }
      return acted
    },
    run() {
      for (const pod of world.list<Pod>('Pod')) {
        const key = keyOf('Pod', `${pod.metadata.namespace}/${pod.metadata.name}`)
        if (pod.metadata.deletionTimestamp) {
          const { deletionGracePeriodSeconds: _grace, ...metadata } = pod.metadata
          save(key, { ...(pod as unknown as KubeObject), metadata })
        } else if (pod.spec.nodeName && pod.status?.phase !== 'Running')
          save(key, { ...(pod as unknown as KubeObject), status: runningStatus(world.nowMs) })
      }
    },
  }
  world.view.subscribe(changes => pendingChanges.push(...changes))
  return world
}

export const runningStatus = (nowMs: number): Loose => ({
  phase: 'Running',
  conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: timestamp(nowMs) }],
})

/** A ReplicaSet or Deployment of pods labelled app=<name>. */
export const workload = (kind: 'ReplicaSet' | 'Deployment', name: string, spec: Loose): Loose => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name, namespace: 'default' },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'v1' }] } },
    ...spec,
  },
})

export const namespaceObject = (name: string): Loose => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name },
  spec: { finalizers: ['kubernetes'] },
  status: { phase: 'Active' },
})

export const nodeObject = (name: string, extra: Loose = {}): Loose => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  status: {
    allocatable: { cpu: '4', memory: '8Gi', pods: '110' },
    conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'ready', lastTransitionTime: '2026-11-22T09:00:00Z' }],
  },
  ...extra,
})
