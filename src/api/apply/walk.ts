// How server-side apply sees an object: which parts are one value (leaves), and which have parts of their own, each named by an
// element of metav1.FieldsV1: `f:<field>`, `k:<keys of a list item>`, `v:<item of a set>`. The schema decides.
// Source: k8s structured-merge-diff, fieldpath and typed.

import { canonicalJson, isObject } from '../../base/json.ts'
import { definition, type Field, type Shape } from '../../kinds/schema.ts'
import { badRequest } from '../refusal.ts'

/** A field, an item or a map's value, with the field's flags where there are some. */
export type Part = Shape & Partial<Pick<Field, 'listType' | 'listMapKeys' | 'mapType'>>

export interface Child {
  readonly element: string
  readonly value: unknown
  readonly part: Part
  /** A field the schema names; its presence is implied by what it holds. Items and keys of maps are owned for themselves. */
  readonly named: boolean
}

const ANY: Part = { type: 'any' }
const SEPARATOR = '\u0001'

/** The whole object of a definition. */
export const rootPart = (ref: string): Part => ({ type: 'object', ref })

export const joinPath = (prefix: string, element: string): string => (prefix === '' ? element : `${prefix}${SEPARATOR}${element}`)
export const elementsOf = (path: string): string[] => path.split(SEPARATOR)

const keyElement = (item: unknown, part: Part, keys: readonly string[]): string => {
  const found: Record<string, unknown> = {}
  const fields = part.ref === undefined ? undefined : definition(part.ref)?.fields
  for (const key of keys) {
    const value = (isObject(item) ? item[key] : undefined) ?? fields?.get(key)?.default
    if (value === undefined)
      throw badRequest(
        `associative list with keys has an element that omits key field ${JSON.stringify(key)} (and doesn't have default value)`,
      )
    found[key] = value
  }
  return `k:${canonicalJson(found)}`
}

const objectChildren = (value: Record<string, unknown>, part: Part): Child[] | undefined => {
  if (part.mapType === 'atomic') return undefined
  const found = part.ref === undefined ? undefined : definition(part.ref)
  if (found?.atomic || (part.type !== 'map' && !found)) return undefined
  return Object.entries(value)
    .filter(([, each]) => each !== null && each !== undefined)
    .map(([key, each]) => {
      const field = found?.fields.get(key)
      return { element: `f:${key}`, value: each, part: field ?? part.items ?? ANY, named: field !== undefined }
    })
}

/** The parts of a value, in order; undefined when it is one value for apply. Throws 400 for a list item without its key. */
export const childrenOf = (value: unknown, part: Part): Child[] | undefined => {
  if (part.type === 'object' || part.type === 'map') return isObject(value) ? objectChildren(value, part) : undefined
  if (part.type !== 'list' || !Array.isArray(value)) return undefined
  const items = part.items ?? ANY
  if (part.listType === 'set') return value.map(each => ({ element: `v:${canonicalJson(each)}`, value: each, part: ANY, named: false }))
  if (part.listType !== 'map') return undefined
  const keys = part.listMapKeys ?? []
  return value.map(each => ({ element: keyElement(each, items, keys), value: each, part: items, named: false }))
}

/** What stands for a part that has parts, in a map of leaves. */
const CONTAINER = Symbol('container')

/** Every path that can be owned, with its value (leaves) or a mark (items, keys of maps). */
export const leavesOf = (value: unknown, part: Part, prefix = '', found = new Map<string, unknown>()): Map<string, unknown> => {
  for (const child of childrenOf(value, part) ?? []) {
    const path = joinPath(prefix, child.element)
    const parts = childrenOf(child.value, child.part)
    if (!parts) found.set(path, child.value)
    else {
      if (!child.named || (parts.length === 0 && !Array.isArray(child.value))) found.set(path, CONTAINER)
      leavesOf(child.value, child.part, path, found)
    }
  }
  return found
}
