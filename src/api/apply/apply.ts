// Server-side apply: an applier says what it wants, owns just that, and what it no longer says goes away unless someone else owns it.
// Fields of others with other values are conflicts, unless forced. Source: k8s structured-merge-diff merge/update.go,
// apimachinery pkg/util/managedfields (lastappliedmanager.go, conflict.go).

import type { Cause } from '../../base/errors.ts'
import { ApiError } from '../../base/errors.ts'
import { isObject } from '../../base/json.ts'
import type { KubeObject, ManagedFieldsEntry } from '../../base/object.ts'
import { type FieldSet, minus, pathText, union, withNamedParents } from './field-set.ts'
import { differenceOf, entriesOf, type Manager, managersOf, type Writing, withoutSystemFields } from './managed-fields.ts'
import { mergeValue, removePaths } from './merge.ts'
import { elementsOf, leavesOf, type Part } from './walk.ts'

export interface Application extends Writing {
  /** As sent: without defaults, so that only what is said is owned. */
  readonly config: KubeObject
  readonly force: boolean
  /** Top fields this place does not write: `status` of the main resource, everything else of /status. */
  readonly writes: (field: string) => boolean
}

export interface Applied {
  readonly object: KubeObject
  readonly managedFields: ManagedFieldsEntry[]
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
const KUBECTL = 'kubectl'

/** The decoded value without what decoding added (zeros of required fields): an applier owns only what it said. */
const saidParts = (decoded: unknown, sent: unknown): unknown => {
  if (Array.isArray(decoded)) return Array.isArray(sent) ? decoded.map((each, i) => saidParts(each, sent[i])) : decoded
  if (!isObject(decoded) || !isObject(sent)) return decoded
  const said = Object.entries(decoded).filter(([key]) => Object.hasOwn(sent, key) && sent[key] !== null)
  return Object.fromEntries(said.map(([key, value]) => [key, saidParts(value, sent[key])]))
}

/** The configuration a decoded body states, `sent` being the body itself. */
export const configurationOf = (decoded: KubeObject, sent: unknown): KubeObject => {
  const { apiVersion, kind, metadata } = decoded
  const said = saidParts(decoded, sent) as KubeObject
  return { ...said, apiVersion, kind, metadata: said.metadata ?? metadata }
}

const within = (set: FieldSet, writes: (field: string) => boolean): Set<string> =>
  new Set([...set].filter(path => writes((elementsOf(path)[0] ?? '').slice(2))))

const fieldsOf = (object: unknown, part: Part): Set<string> => new Set(leavesOf(object, part).keys())

const managerText = ({ manager, operation, apiVersion, subresource, time }: Manager): string => {
  const name = JSON.stringify(manager) + (subresource === '' ? '' : ` with subresource ${JSON.stringify(subresource)}`)
  if (operation === 'Apply') return name
  return `${name} using ${apiVersion}${time === undefined ? '' : ` at ${time}`}`
}

interface Conflict {
  readonly owner: Manager
  readonly paths: readonly string[]
}

const conflictError = (conflicts: readonly Conflict[]): ApiError => {
  const causes: Cause[] = conflicts.flatMap(({ owner, paths }) =>
    paths.map(path => ({ field: pathText(path), type: 'FieldManagerConflict', detail: `conflict with ${managerText(owner)}` })),
  )
  const [first] = conflicts
  const text =
    causes.length === 1 && first
      ? `Apply failed with 1 conflict: conflict with ${managerText(first.owner)}: ${causes[0]?.field}`
      : `Apply failed with ${causes.length} conflicts: ${conflicts
          .map(({ owner, paths }) => `conflicts with ${managerText(owner)}:\n${paths.map(path => `- ${pathText(path)}`).join('\n')}`)
          .join('\n')}`
  return new ApiError('Conflict', text, { details: { causes } })
}

/** What kubectl's own client-side apply set and nobody changed since: its server-side apply may take it over. */
const lastAppliedFields = (live: KubeObject, part: Part): FieldSet => {
  const text = live.metadata.annotations?.[LAST_APPLIED]
  if (text === undefined) return new Set()
  try {
    const last: unknown = JSON.parse(text)
    return minus(fieldsOf(last, part), differenceOf(live, mergeValue(live, last, part), part).changed)
  } catch (error) {
    // The annotation is the user's: one that cannot be read allows nothing.
    if (error instanceof SyntaxError || error instanceof ApiError) return new Set()
    throw error
  }
}

/** Everything that is not the applier's: what was there before the first apply has an owner from now on. */
const othersOf = (
  live: KubeObject,
  part: Part,
  { apiVersion, time, writes }: Application,
  isOwn: (each: Manager) => boolean,
): Manager[] => {
  if (live.metadata.managedFields) return managersOf(live.metadata.managedFields).filter(each => !isOwn(each))
  const fields = within(withoutSystemFields(fieldsOf(live, part)), writes)
  return [{ manager: 'before-first-apply', operation: 'Update', apiVersion, subresource: '', time, fields }]
}

/** What the applier said before and says no more, and nobody else owns. */
const abandoned = (merged: unknown, part: Part, last: FieldSet, owned: readonly FieldSet[]): Set<string> => {
  const present = withNamedParents(fieldsOf(merged, part))
  const gone = minus(withNamedParents(last), withNamedParents(union(...owned)))
  return new Set([...gone].filter(path => present.has(path)))
}

/** kubectl keeps its client-side annotation true, where there is one. */
const refreshAnnotation = (object: KubeObject, config: KubeObject, manager: string): KubeObject => {
  const { annotations } = object.metadata
  if (manager !== KUBECTL || annotations?.[LAST_APPLIED] === undefined) return object
  const text = `${JSON.stringify(config)}\n`
  return { ...object, metadata: { ...object.metadata, annotations: { ...annotations, [LAST_APPLIED]: text } } }
}

/** managedFields of an object that its first applier creates. */
export const createdFields = (
  part: Part,
  { manager, apiVersion, subresource, time, config, writes }: Application,
): ManagedFieldsEntry[] => {
  const fields = within(withoutSystemFields(fieldsOf(config, part)), writes)
  return entriesOf([{ manager, operation: 'Apply', apiVersion, subresource, time, fields }])
}

/** The live object after the application; 409 with upstream's sentence when it would change what others own. */
export const applyConfiguration = (live: KubeObject, part: Part, application: Application): Applied => {
  const { manager, apiVersion, subresource, time, config, force, writes } = application
  const isOwn = (each: Manager): boolean => each.operation === 'Apply' && each.manager === manager && each.subresource === subresource
  const others = othersOf(live, part, application, isOwn)
  const own = managersOf(live.metadata.managedFields).find(isOwn)
  const said = fieldsOf(config, part)
  const wanted = Object.fromEntries(Object.entries(config).filter(([field]) => writes(field)))
  const merged = mergeValue(live, wanted, part)
  const { changed } = differenceOf(live, merged, part)
  const conflicts = others
    .map(owner => ({ owner, paths: [...owner.fields].filter(path => changed.has(path)) }))
    .filter(({ paths }) => paths.length > 0)
  if (!force && conflicts.length > 0) {
    const allowed = manager === KUBECTL ? lastAppliedFields(live, part) : new Set<string>()
    const left = conflicts.map(({ owner, paths }) => ({ owner, paths: paths.filter(path => !allowed.has(path)) }))
    const standing = left.filter(({ paths }) => paths.length > 0)
    if (standing.length > 0) throw conflictError(standing)
  }
  const remaining = others.map(each => ({ ...each, fields: minus(each.fields, changed) }))
  const dropped = abandoned(merged, part, own?.fields ?? new Set(), [said, ...remaining.map(each => each.fields)])
  const pruned = dropped.size === 0 ? merged : removePaths(merged, part, dropped)
  if (!isObject(pruned)) throw new ApiError('InternalError', 'apply configuration: nothing is left of the object')
  const object = refreshAnnotation(pruned as KubeObject, config, manager)
  const gone = differenceOf(live, object, part).removed
  const fields = within(withoutSystemFields(said), writes)
  const sameFields = own !== undefined && own.fields.size === fields.size && minus(own.fields, fields).size === 0
  const unchanged = sameFields && changed.size === 0 && gone.size === 0
  const mine: Manager = { manager, operation: 'Apply', apiVersion, subresource, fields, time: unchanged ? (own?.time ?? time) : time }
  return { object, managedFields: entriesOf([...remaining.map(each => ({ ...each, fields: minus(each.fields, gone) })), mine]) }
}
