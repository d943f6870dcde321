// Strategic merge patch: like a merge patch, but lists with a merge key are merged item by item, and directives say the rest:
// $patch (replace, delete, merge), $retainKeys, $setElementOrder/<list>, $deleteFromPrimitiveList/<list>. The schema says which list
// merges by what. Source: k8s apimachinery pkg/util/strategicpatch and its documentation.

import { deepCopy, deepEqual, isObject } from '../base/json.ts'
import { definition, type Field, type Shape } from '../kinds/schema.ts'
import { badRequest } from './refusal.ts'

type Data = Record<string, unknown>

const PATCH = '$patch'
const RETAIN = '$retainKeys'
const ORDER = '$setElementOrder/'
const DELETE_FROM = '$deleteFromPrimitiveList/'

const fieldOf = (schema: string | undefined, key: string): Field | undefined =>
  schema === undefined ? undefined : definition(schema)?.fields.get(key)

const isScalarItem = (shape: Shape | undefined): boolean => shape !== undefined && !['object', 'map', 'list', 'any'].includes(shape.type)

/** Without directives and nulls: what a patch value is when there is nothing to merge it into. */
const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.filter(item => !isDirective(item)).map(plain)
  if (!isObject(value)) return value
  const result: Data = {}
  for (const [key, item] of Object.entries(value)) {
    if (item === null || key === PATCH || key === RETAIN || key.startsWith(ORDER) || key.startsWith(DELETE_FROM) || key === '__proto__')
      continue
    result[key] = plain(item)
  }
  return result
}

/** `{$patch: replace}` alone speaks of the whole list; `{…, $patch: delete}` of an item. */
const replacesList = (item: unknown): boolean => isObject(item) && item[PATCH] === 'replace' && Object.keys(item).length === 1

const isDirective = (item: unknown): boolean => replacesList(item) || (isObject(item) && item[PATCH] === 'delete')

const keyed = (list: readonly unknown[], mergeKey: string, value: unknown): number =>
  list.findIndex(item => isObject(item) && deepEqual(item[mergeKey], value))

/** Items named by the order come in that order; others keep their place relative to the item they followed. */
const reorder = (list: readonly unknown[], order: readonly unknown[], idOf: (item: unknown) => unknown): unknown[] => {
  const rank = (item: unknown): number => order.findIndex(each => deepEqual(idOf(each), idOf(item)))
  const listed = list.filter(item => rank(item) >= 0).sort((a, b) => rank(a) - rank(b))
  const result: unknown[] = []
  let next = 0
  for (const item of list) {
    if (rank(item) < 0) result.push(item)
    else result.push(listed[next++])
  }
  return result
}

/** The object's id in an order list: the merge key of an object, the value of a scalar. */
const idBy =
  (mergeKey: string | undefined) =>
  (item: unknown): unknown =>
    mergeKey !== undefined && isObject(item) ? item[mergeKey] : item

const mergeItems = (list: unknown[], patch: readonly unknown[], mergeKey: string, items: Shape | undefined): unknown[] => {
  let result = list
  for (const item of patch) {
    if (!isObject(item)) throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`)
    const id = item[mergeKey]
    if (id === undefined) throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`)
    if (item[PATCH] === 'delete') {
      result = result.filter(each => !(isObject(each) && deepEqual(each[mergeKey], id)))
      continue
    }
    const at = keyed(result, mergeKey, id)
    if (at < 0) result.push(plain(item))
    else result[at] = item[PATCH] === 'replace' ? plain(item) : mergeObject(result[at] as Data, item, items?.ref)
  }
  return result
}

const mergeList = (target: unknown, patch: readonly unknown[], field: Field | undefined): unknown[] => {
  const list = Array.isArray(target) ? (deepCopy(target) as unknown[]) : []
  if (patch.some(replacesList) || !field?.patchStrategy?.includes('merge')) return plain(patch) as unknown[]
  if (isScalarItem(field.items)) return [...list, ...patch.filter(item => !list.some(each => deepEqual(each, item)))]
  if (field.patchMergeKey === undefined) return plain(patch) as unknown[]
  return mergeItems(list, patch, field.patchMergeKey, field.items)
}

/** Directives that stand beside the list they speak of. */
const applyListDirectives = (result: Data, patch: Data, schema: string | undefined): void => {
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith(ORDER) && !key.startsWith(DELETE_FROM)) continue
    if (!Array.isArray(value)) throw badRequest(`invalid patch: ${key} must be a list`)
    const name = key.slice(key.indexOf('/') + 1)
    const list = result[name]
    if (!Array.isArray(list)) continue
    result[name] = key.startsWith(DELETE_FROM)
      ? list.filter(item => !value.some(each => deepEqual(each, item)))
      : reorder(list, value, idBy(fieldOf(schema, name)?.patchMergeKey))
  }
}

const retain = (result: Data, keys: unknown): void => {
  if (!Array.isArray(keys)) throw badRequest(`invalid patch: ${RETAIN} must be a list`)
  for (const key of Object.keys(result)) if (!keys.includes(key)) delete result[key]
}

const mergeValue = (target: unknown, patch: unknown, field: Field | undefined): unknown => {
  if (Array.isArray(patch)) return mergeList(target, patch, field)
  if (!isObject(patch)) return patch
  const shape: Shape | undefined = field
  const replaces = field?.patchStrategy?.includes('replace') ?? false
  if (!isObject(target) || replaces) return plain(patch)
  // A map's values are merged with the schema of the value.
  return mergeObject(target, patch, shape?.type === 'map' ? undefined : shape?.ref)
}

const mergeObject = (target: Data, patch: Data, schema: string | undefined): Data => {
  if (patch[PATCH] === 'replace') return plain(patch) as Data
  if (patch[PATCH] === 'delete') return {}
  const result: Data = {}
  for (const [key, value] of Object.entries(target)) if (!Object.hasOwn(patch, key)) result[key] = deepCopy(value)
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$') || key === '__proto__' || value === null) continue
    if (isObject(value) && value[PATCH] === 'delete') continue
    result[key] = mergeValue(Object.hasOwn(target, key) ? target[key] : undefined, value, fieldOf(schema, key))
  }
  // A list whose only change is a directive is still the stored one.
  applyListDirectives(result, patch, schema)
  if (patch[RETAIN] !== undefined) retain(result, patch[RETAIN])
  return result
}

/** `object` with `patch` merged in, a copy. `schema` is the official name of the object's definition. */
export const mergeStrategically = (object: unknown, patch: Data, schema: string): unknown =>
  mergeObject(isObject(object) ? object : {}, patch, schema)
