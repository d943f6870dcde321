// The write verbs on one store: read the newest staged state, decide synchronously, stage the write. Between the read and the write
// nothing else can run, so a precondition checked here holds. Answers come when the store says the write is durable.

import { timestamp } from '../base/clock.ts'
import { deepEqual } from '../base/json.ts'
import type { KubeObject, ManagedFieldsEntry } from '../base/object.ts'
import type { Kind } from '../kinds/kind.ts'
import { apiVersionOf, storeKey } from '../kinds/kind.ts'
import type { Entry } from '../store/store.ts'
import { admitCreate, admitDelete } from './admission.ts'
import type { ApiDeps, DeleteOptions, PatchType, Target, WriteOptions } from './api.ts'
import { type Application, applyConfiguration, configurationOf, createdFields } from './apply/apply.ts'
import { trackedFields } from './apply/managed-fields.ts'
import { rootPart } from './apply/walk.ts'
import { type DecodeOptions, decodeObject } from './decode.ts'
import { isNamespaceKind, planDeletion, shouldRemove } from './deletion.ts'
import { GENERATE_NAME_TRIES } from './limits.ts'
import { checkPlace, checkPreconditions, checkUpdatable, generatedName, stampNew } from './metadata.ts'
import { applyPatch } from './patch.ts'
import { prepareNew, prepareStatus, prepareUpdated } from './preparation.ts'
import { alreadyExists, badRequest, invalidPatch, noResource, notFound } from './refusal.ts'
import { fromScale, SCALE, toScale } from './scale.ts'

export type WriterDeps = Pick<ApiDeps, 'store' | 'clock' | 'random' | 'kinds'>

/** What a write left: an Entry when it is stored, or just an object (dry run, converted, removed). */
export interface Written {
  readonly object: KubeObject
  /** The object's JSON as stored; absent when it must be printed. */
  readonly value?: Buffer
}

export interface BodyOptions extends WriteOptions {
  readonly duplicates?: readonly string[]
  /** The owners of the fields, where the caller has worked them out. */
  readonly managed?: readonly ManagedFieldsEntry[]
}

export interface ApplyOptions extends BodyOptions {
  readonly fieldManager: string
  readonly force: boolean
}

/** Who writes when nobody says: this server's own controllers. */
const OWN_MANAGER = 'helio'

export interface Writer {
  read(target: Target): Written
  create(target: Omit<Target, 'name'>, value: unknown, options?: BodyOptions): Promise<Written>
  update(target: Target, value: unknown, options?: BodyOptions): Promise<Written>
  patch(target: Target, patch: unknown, type: PatchType, options?: BodyOptions): Promise<Written>
  /** Server-side apply; creates the object when there is none. */
  apply(target: Target, config: unknown, options: ApplyOptions): Promise<{ readonly written: Written; readonly created: boolean }>
  remove(target: Target, options?: DeleteOptions): Promise<Written>
  /** Replaces the stored object by what `change` makes of it; for subresources with rules of their own. */
  modify(kind: Kind, namespace: string, name: string, change: (old: KubeObject) => KubeObject, options?: WriteOptions): Promise<Written>
}

/** The object of an entry as this kind shows it. */
export const presented = (kind: Kind, entry: Pick<Entry, 'object' | 'value'>): Written =>
  kind.storage ? { object: kind.storage.fromStored(entry.object) } : entry

const isLazy = (kind: Kind, options: WriteOptions): boolean => kind.lazy === true || options.lazy === true

/** metav1.Status of an object that is gone. */
const goneStatus = (kind: Kind, object: KubeObject): KubeObject => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  details: {
    name: object.metadata.name,
    ...(kind.group === '' ? {} : { group: kind.group }),
    kind: kind.plural,
    uid: object.metadata.uid,
  },
})

export const createWriter = (deps: WriterDeps): Writer => {
  const { store, clock, random } = deps
  const known = new Set(deps.kinds.map(kind => `${apiVersionOf(kind)} ${kind.kind}`))
  const isKnown = (apiVersion: string, kind: string): boolean => known.has(`${apiVersion} ${kind}`)

  const newest = (kind: Kind, namespace: string, name: string): Entry => {
    const entry = store.getStaged(storeKey(kind, namespace, name))
    if (!entry) throw notFound(kind, name)
    return entry
  }
  /** The object with managedFields as they are after this write. */
  const withOwners = (kind: Kind, old: KubeObject, next: KubeObject, options: BodyOptions, subresource: string): KubeObject => {
    if (!old.metadata.managedFields && !next.metadata.managedFields && !options.managed) return next
    const by = {
      manager: options.fieldManager ?? OWN_MANAGER,
      apiVersion: apiVersionOf(kind),
      subresource,
      time: timestamp(clock.now()),
    }
    const { managedFields: _given, ...metadata } = next.metadata
    const owners = options.managed ?? trackedFields(old, next, rootPart(kind.definition), by)
    return { ...next, metadata: owners ? { ...metadata, managedFields: [...owners] } : metadata }
  }
  /** Stores the next state of an existing object, removes it when nothing holds it any more, or finds that nothing changed. */
  const commit = async (kind: Kind, entry: Entry, wanted: KubeObject, options: BodyOptions, subresource = ''): Promise<Written> => {
    const next = withOwners(kind, presented(kind, entry).object, wanted, options, subresource)
    const object = kind.storage ? kind.storage.toStored(next) : next
    if (options.dryRun) return { object: next }
    if (shouldRemove(kind, next)) {
      await store.write({ do: 'delete', key: entry.key, expectRevision: entry.revision, object, lazy: isLazy(kind, options) })
      return { object: next }
    }
    if (deepEqual(object, entry.object)) return presented(kind, entry)
    const write = { do: 'update', key: entry.key, object, expectRevision: entry.revision, lazy: isLazy(kind, options) } as const
    return presented(kind, await store.write(write))
  }
  const read: Writer['read'] = ({ kind, namespace, name, subresource }) => {
    const entry = store.get(storeKey(kind, namespace, name))
    if (!entry) throw notFound(kind, name)
    const written = presented(kind, entry)
    return subresource === 'scale' ? { object: toScale(kind, written.object) } : written
  }
  const freeName = (kind: Kind, namespace: string, prefix: string): string => {
    for (let attempt = 1; ; attempt++) {
      const name = generatedName(prefix, random)
      if (attempt === GENERATE_NAME_TRIES || !store.getStaged(storeKey(kind, namespace, name))) return name
    }
  }
  const create: Writer['create'] = async ({ kind, namespace }, value, options = {}) => {
    const object = decodeObject(kind, value, { ...options, isKnown })
    const meta = object.metadata
    stampNew(kind, meta, namespace, clock.now(), random)
    if (options.managed) meta.managedFields = [...options.managed]
    else delete meta.managedFields
    if (!meta.name && meta.generateName) meta.name = freeName(kind, namespace, meta.generateName)
    admitCreate(store, kind, namespace, meta.name ?? '')
    prepareNew(kind, object)
    const key = storeKey(kind, namespace, meta.name ?? '')
    if (store.getStaged(key)) throw alreadyExists(kind, meta.name ?? '')
    if (options.dryRun) return { object }
    const stored = kind.storage ? kind.storage.toStored(object) : object
    return presented(kind, await store.write({ do: 'create', key, object: stored, lazy: isLazy(kind, options) }))
  }
  /** The rest of update and patch, once the wanted object is known. */
  const replace = (target: Target, entry: Entry, old: KubeObject, object: KubeObject, options: BodyOptions): Promise<Written> => {
    const { kind, subresource } = target
    checkUpdatable(kind, object.metadata, old.metadata)
    if (subresource === 'status') return commit(kind, entry, prepareStatus(kind, object, old), options, subresource)
    if (subresource === 'finalize') {
      const { finalizers } = (object.spec ?? {}) as { finalizers?: string[] }
      const spec = { ...(old.spec as Record<string, unknown> | undefined), finalizers: finalizers ?? [] }
      return commit(kind, entry, { ...old, spec }, options)
    }
    prepareUpdated(kind, object, old)
    return commit(kind, entry, object, options, subresource)
  }
  const checkSubresource = ({ kind, subresource }: Target): void => {
    if (subresource === 'status' && !kind.hasStatus) throw noResource()
    if (subresource === 'scale' && !kind.scale) throw noResource()
    if (subresource === 'finalize' && !isNamespaceKind(kind)) throw noResource()
  }
  const change = async (
    target: Target,
    options: BodyOptions,
    wanted: (shown: KubeObject, decode: Decode) => KubeObject,
  ): Promise<Written> => {
    checkSubresource(target)
    const { kind, namespace, name } = target
    const entry = newest(kind, namespace, name)
    const old = presented(kind, entry).object
    const scaling = target.subresource === 'scale'
    const decode: Decode = (value, more) => decodeObject(scaling ? SCALE : kind, value, { ...options, ...more, isKnown })
    const object = wanted(scaling ? toScale(kind, old) : old, decode)
    checkPlace(object.metadata, namespace, name)
    if (!scaling) return replace(target, entry, old, object, options)
    const scaled = decodeObject(kind, fromScale(kind, old, object))
    const { object: result } = await replace(target, entry, old, scaled, options)
    return { object: toScale(kind, result) }
  }
  const apply: Writer['apply'] = async (target, value, options) => {
    checkSubresource(target)
    const { kind, namespace, name, subresource = '' } = target
    if (subresource !== '' && subresource !== 'status') throw badRequest(`apply to ${kind.plural}/${subresource}: apply the object itself`)
    const config = configurationOf(decodeObject(kind, value, { ...options, isKnown }), value)
    if (config.metadata.managedFields) throw badRequest('metadata.managedFields must be nil')
    config.metadata.name ??= name
    checkPlace(config.metadata, namespace, name)
    const application: Application = {
      manager: options.fieldManager,
      apiVersion: apiVersionOf(kind),
      subresource,
      time: timestamp(clock.now()),
      config,
      force: options.force,
      writes: field => (kind.hasStatus ? (field === 'status') === (subresource === 'status') : true),
    }
    const part = rootPart(kind.definition)
    const entry = store.getStaged(storeKey(kind, namespace, name))
    if (!entry && subresource !== '') throw notFound(kind, name)
    if (!entry) return { written: await create(target, config, { ...options, managed: createdFields(part, application) }), created: true }
    const old = presented(kind, entry).object
    const { object, managedFields } = applyConfiguration(old, part, application)
    return {
      written: await replace(target, entry, old, decodeObject(kind, object), { ...options, managed: managedFields }),
      created: false,
    }
  }
  return {
    read,
    create,
    apply,
    update: (target, value, options = {}) => change(target, options, (_, decode) => decode(value, {})),
    patch: (target, patch, type, options = {}) =>
      change(target, options, (shown, decode) => {
        const definition = target.subresource === 'scale' ? SCALE.definition : target.kind.definition
        const patched = applyPatch(shown, patch, type, definition)
        return decode(patched, { refuse: why => invalidPatch(JSON.stringify(patched), why) })
      }),
    async remove({ kind, namespace, name }, options = {}) {
      const entry = newest(kind, namespace, name)
      const old = presented(kind, entry).object
      checkPreconditions(kind, old.metadata, options.preconditions)
      admitDelete(kind, name)
      const plan = planDeletion(kind, old, options, clock.now())
      if (plan.do === 'nothing') return presented(kind, entry)
      if (plan.do === 'mark') return commit(kind, entry, plan.object, options)
      if (!options.dryRun) await store.write({ do: 'delete', key: entry.key, expectRevision: entry.revision, lazy: isLazy(kind, options) })
      return { object: goneStatus(kind, old) }
    },
    async modify(kind, namespace, name, changeObject, options = {}) {
      const entry = newest(kind, namespace, name)
      return commit(kind, entry, changeObject(presented(kind, entry).object), options)
    },
  }
}

type Decode = (value: unknown, more: Pick<DecodeOptions, 'refuse'>) => KubeObject
