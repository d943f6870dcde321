// What apply sends: the change from the live object to the manifest, plus the removal of what the manifest said last time and says no more.
// Fields nobody mentioned stay. Source: kubectl's client-side apply, strategicpatch.CreateThreeWayMergePatch.

import { deepEqual, isObject } from '../base/json.ts'
import { definition, type Field, type Shape } from '../kinds/schema.ts'

type Data = Record<string, unknown>

/** The three states: what was applied last, what is to be, what is. */
interface States {
  readonly last: Data
  readonly wanted: Data
  readonly live: Data
}

const dataOf = (value: unknown): Data => (isObject(value) ? value : {})
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const isEmpty = (patch: Data): boolean => Object.keys(patch).length === 0
const holds = (list: readonly unknown[], item: unknown): boolean => list.some(each => deepEqual(each, item))

/** Official name of a kind's definition: `io.k8s.api.apps.v1.Deployment`; undefined when the schema does not know it. */
export const definitionNameOf = (apiVersion: string, kind: string): string | undefined => {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['core', apiVersion]
  const name = `io.k8s.api.${group?.split('.')[0]}.${version}.${kind}`
  return definition(name) ? name : undefined
}

/** Ids of a keyed list, or undefined when the key does not tell its items apart. */
const idsOf = (list: readonly unknown[], key: string): unknown[] | undefined => {
  const ids = list.map(item => dataOf(item)[key])
  return ids.some(id => id === undefined) || new Set(ids).size !== ids.length ? undefined : ids
}

const patchScalars = (patch: Data, name: string, last: readonly unknown[], wanted: readonly unknown[], live: readonly unknown[]): void => {
  const added = wanted.filter(item => !holds(live, item))
  const removed = last.filter(item => !holds(wanted, item) && holds(live, item))
  if (added.length > 0) patch[name] = added
  if (removed.length > 0) patch[`$deleteFromPrimitiveList/${name}`] = removed
  if (added.length + removed.length > 0) patch[`$setElementOrder/${name}`] = wanted
}

const patchKeyed = (
  patch: Data,
  field: Field,
  key: string,
  last: readonly unknown[],
  wanted: readonly unknown[],
  live: readonly unknown[],
): void => {
  const [wantedIds, liveIds] = [idsOf(wanted, key), idsOf(live, key)]
  if (wantedIds === undefined || liveIds === undefined) {
    if (!deepEqual(wanted, live)) patch[field.name] = [...wanted, { $patch: 'replace' }]
    return
  }
  const byId = (list: readonly unknown[], id: unknown): unknown => list.find(item => deepEqual(dataOf(item)[key], id))
  const items: Data[] = []
  for (const [i, id] of wantedIds.entries()) {
    const states: States = { last: dataOf(byId(last, id)), wanted: dataOf(wanted[i]), live: dataOf(byId(live, id)) }
    if (!holds(liveIds, id)) items.push(states.wanted)
    else {
      const inner = patchObject(states, field.items?.ref, field.patchStrategy?.includes('retainKeys') ?? false)
      if (!isEmpty(inner)) items.push({ ...inner, [key]: id })
    }
  }
  for (const item of last) {
    const id = dataOf(item)[key]
    if (id !== undefined && !holds(wantedIds, id) && holds(liveIds, id)) items.push({ $patch: 'delete', [key]: id })
  }
  const moved = !deepEqual(
    liveIds.filter(id => holds(wantedIds, id)),
    wantedIds.filter(id => holds(liveIds, id)),
  )
  if (items.length > 0) patch[field.name] = items
  if (items.length > 0 || moved) patch[`$setElementOrder/${field.name}`] = wantedIds.map(id => ({ [key]: id }))
}

const patchList = (patch: Data, name: string, states: States, field: Field | undefined): void => {
  const [last, wanted, live] = [listOf(states.last[name]), listOf(states.wanted[name]), listOf(states.live[name])]
  const merges = field?.patchStrategy?.includes('merge') ?? false
  if (field !== undefined && merges && field.patchMergeKey !== undefined) patchKeyed(patch, field, field.patchMergeKey, last, wanted, live)
  else if (merges && field?.items?.type !== 'object') patchScalars(patch, name, last, wanted, live)
  else if (!deepEqual(wanted, live)) patch[name] = wanted
}

const patchField = (patch: Data, name: string, states: States, field: Field | undefined): void => {
  const [wanted, live] = [states.wanted[name], states.live[name]]
  if (wanted === null) {
    if (live !== undefined) patch[name] = null
  } else if (Array.isArray(wanted) && Array.isArray(live)) patchList(patch, name, states, field)
  else if (isObject(wanted) && isObject(live) && !field?.patchStrategy?.includes('replace')) {
    const shape: Shape | undefined = field
    const inner: States = { last: dataOf(states.last[name]), wanted, live }
    const change = patchObject(inner, shape?.type === 'map' ? undefined : shape?.ref, field?.patchStrategy?.includes('retainKeys') ?? false)
    if (!isEmpty(change)) patch[name] = change
  } else if (!deepEqual(wanted, live)) patch[name] = wanted
}

const patchObject = (states: States, schema: string | undefined, retainsKeys: boolean): Data => {
  const patch: Data = {}
  const fields = schema === undefined ? undefined : definition(schema)?.fields
  for (const name of Object.keys(states.wanted)) patchField(patch, name, states, fields?.get(name))
  for (const name of Object.keys(states.last)) {
    if (states.wanted[name] === undefined && states.live[name] !== undefined) patch[name] = null
  }
  if (retainsKeys && !isEmpty(patch))
    patch['$retainKeys'] = Object.keys(states.wanted)
      .filter(name => states.wanted[name] !== null)
      .sort()
  return patch
}

/** The patch, {} when nothing changes: strategic where the schema knows the kind, a merge patch (lists whole) elsewhere. */
export const threeWayPatch = (last: unknown, wanted: Data, live: Data, schema: string | undefined): Data =>
  patchObject({ last: dataOf(last), wanted, live }, schema, false)
