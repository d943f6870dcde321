// Who set which field (metadata.managedFields). Kept from an object's first apply on: before that nobody asks, and most objects are never
// applied; what was there then belongs to `before-first-apply`. Source: k8s apimachinery pkg/util/managedfields (skipnonapplied.go,
// buildmanagerinfo.go, capmanagers.go).

import { deepEqual, isObject } from '../../base/json.ts'
import type { KubeObject, ManagedFieldsEntry } from '../../base/object.ts'
import { MANAGERS_MAX } from '../limits.ts'
import { badRequest } from '../refusal.ts'
import { type FieldSet, fromFieldsV1, minus, toFieldsV1, union } from './field-set.ts'
import { elementsOf, leavesOf, type Part } from './walk.ts'

export interface Manager {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly apiVersion: string
  readonly subresource: string
  readonly time?: string
  readonly fields: FieldSet
}

export const managersOf = (entries: readonly ManagedFieldsEntry[] | undefined): Manager[] =>
  (entries ?? []).map(entry => ({
    manager: entry.manager ?? '',
    operation: entry.operation === 'Apply' ? 'Apply' : 'Update',
    apiVersion: entry.apiVersion ?? '',
    subresource: entry.subresource ?? '',
    ...(entry.time === undefined ? {} : { time: entry.time }),
    fields: fromFieldsV1(entry.fieldsV1),
  }))

const entryOf = ({ manager, operation, apiVersion, subresource, time, fields }: Manager): ManagedFieldsEntry => ({
  manager,
  operation,
  apiVersion,
  ...(time === undefined ? {} : { time }),
  fieldsType: 'FieldsV1',
  fieldsV1: toFieldsV1(fields),
  ...(subresource === '' ? {} : { subresource }),
})

/** Entries in upstream's order: appliers first, then by time and name. Owners of nothing are dropped, old updaters folded into one. */
export const entriesOf = (managers: readonly Manager[]): ManagedFieldsEntry[] => {
  const owning = managers.filter(each => each.fields.size > 0)
  const order = ({ operation, time = '', manager, subresource }: Manager): string => [operation, time, manager, subresource].join(' ')
  return capped(owning.sort((a, b) => (order(a) < order(b) ? -1 : 1))).map(entryOf)
}

const ANCIENT = 'ancient-changes'

const capped = (managers: readonly Manager[]): readonly Manager[] => {
  const updaters = managers.filter(each => each.operation === 'Update')
  if (updaters.length <= MANAGERS_MAX) return managers
  const old = updaters.slice(0, updaters.length - MANAGERS_MAX + 1)
  const last = old.at(-1)!
  const folded: Manager = { ...last, manager: ANCIENT, subresource: '', fields: union(...old.map(each => each.fields)) }
  return [...managers.filter(each => each.operation === 'Apply'), folded, ...updaters.filter(each => !old.includes(each))]
}

const SYSTEM = ['name', 'namespace', 'creationTimestamp', 'selfLink', 'uid', 'resourceVersion', 'generation', 'managedFields']
const STRIPPED = new Set(SYSTEM.map(field => `f:${field}`))

/** Without what nobody can own: the type, the name, what the system writes. */
export const withoutSystemFields = (set: FieldSet): Set<string> =>
  new Set(
    [...set].filter(path => {
      const [first, second] = elementsOf(path)
      if (first === 'f:apiVersion' || first === 'f:kind') return false
      return !(first === 'f:metadata' && (second === undefined || STRIPPED.has(second)))
    }),
  )

export interface Difference {
  /** Added or with another value. */
  readonly changed: FieldSet
  readonly removed: FieldSet
}

export const differenceOf = (before: unknown, after: unknown, part: Part): Difference => {
  const [old, next] = [leavesOf(before, part), leavesOf(after, part)]
  const changed = new Set([...next].filter(([path, value]) => !old.has(path) || !deepEqual(old.get(path), value)).map(([path]) => path))
  const removed = new Set([...old.keys()].filter(path => !next.has(path)))
  return { changed: withoutSystemFields(changed), removed }
}

export interface Writing {
  readonly manager: string
  readonly apiVersion: string
  readonly subresource: string
  readonly time: string
}

/** The managers after an ordinary write: it owns what it changed, and nobody owns what is gone. */
export const afterUpdate = (managers: readonly Manager[], difference: Difference, by: Writing): Manager[] => {
  const { changed, removed } = difference
  if (changed.size === 0 && removed.size === 0) return [...managers]
  const isOwn = (each: Manager): boolean =>
    each.operation === 'Update' && each.manager === by.manager && each.subresource === by.subresource
  const own = managers.find(isOwn)
  const others = managers.filter(each => each !== own).map(each => ({ ...each, fields: minus(each.fields, changed, removed) }))
  const fields = minus(union(own?.fields ?? new Set<string>(), changed), removed)
  return [...others, { ...by, operation: 'Update', fields }]
}

const checkEntry = (entry: unknown): ManagedFieldsEntry => {
  const found = isObject(entry) ? (entry as ManagedFieldsEntry) : {}
  if (found.operation !== 'Apply' && found.operation !== 'Update')
    throw badRequest('metadata.managedFields.operation: Invalid value: must be `Apply` or `Update`')
  if (found.fieldsType !== 'FieldsV1') throw badRequest('metadata.managedFields.fieldsType: Invalid value: must be `FieldsV1`')
  return found
}

/** managedFields of an object that is written by an ordinary verb; undefined while nobody has applied it, or when the list is emptied. */
export const trackedFields = (old: KubeObject, next: KubeObject, part: Part, by: Writing): ManagedFieldsEntry[] | undefined => {
  const stored = old.metadata.managedFields
  if (!stored) return undefined
  const given = next.metadata.managedFields
  // An empty list, or one empty entry, asks to forget.
  if (given && (given.length === 0 || (given.length === 1 && Object.keys(given[0] ?? {}).length === 0))) return undefined
  const base = given ? given.map(checkEntry) : stored
  const difference = differenceOf(old, next, part)
  if (difference.changed.size === 0 && difference.removed.size === 0) return base
  return entriesOf(afterUpdate(managersOf(base), difference, by))
}
