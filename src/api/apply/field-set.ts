// Sets of field paths, and their form on the wire (metav1.FieldsV1): a tree of elements, `.` where a node with children is itself owned.
// Source: k8s structured-merge-diff fieldpath/serialize.go.

import { isObject } from '../../base/json.ts'
import { elementsOf, joinPath } from './walk.ts'

export type FieldSet = ReadonlySet<string>

interface Tree {
  owned: boolean
  readonly children: Map<string, Tree>
}

const printTree = ({ owned, children }: Tree): Record<string, unknown> => {
  const result: Record<string, unknown> = owned && children.size > 0 ? { '.': {} } : {}
  for (const [element, child] of [...children].sort(([a], [b]) => (a < b ? -1 : 1))) result[element] = printTree(child)
  return result
}

export const toFieldsV1 = (set: FieldSet): Record<string, unknown> => {
  const root: Tree = { owned: false, children: new Map() }
  for (const path of set) {
    let at = root
    for (const element of elementsOf(path)) {
      const next = at.children.get(element) ?? { owned: false, children: new Map() }
      at.children.set(element, next)
      at = next
    }
    at.owned = true
  }
  return printTree(root)
}

const readTree = (tree: Record<string, unknown>, prefix: string, found: Set<string>): void => {
  const elements = Object.keys(tree).filter(key => key !== '.')
  if (prefix !== '' && (elements.length === 0 || '.' in tree)) found.add(prefix)
  for (const element of elements) {
    const child = tree[element]
    readTree(isObject(child) ? child : {}, joinPath(prefix, element), found)
  }
}

export const fromFieldsV1 = (fields: unknown): Set<string> => {
  const found = new Set<string>()
  if (isObject(fields)) readTree(fields, '', found)
  return found
}

export const minus = (set: FieldSet, ...others: readonly FieldSet[]): Set<string> =>
  new Set([...set].filter(path => !others.some(other => other.has(path))))

export const union = (...sets: readonly FieldSet[]): Set<string> => new Set(sets.flatMap(set => [...set]))

/** The set with every field on the way to its members: a struct's field is there because of what it holds. */
export const withNamedParents = (set: FieldSet): Set<string> => {
  const result = new Set(set)
  for (const path of set) {
    let parent = ''
    for (const element of elementsOf(path)) {
      parent = joinPath(parent, element)
      if (element.startsWith('f:')) result.add(parent)
    }
  }
  return result
}

const keysText = (json: string): string =>
  Object.entries(JSON.parse(json) as Record<string, unknown>)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(',')

/** `.spec.containers[name="c"].image`, as upstream prints paths in conflicts. */
export const pathText = (path: string): string =>
  elementsOf(path)
    .map(element => {
      const rest = element.slice(2)
      if (element.startsWith('k:')) return `[${keysText(rest)}]`
      return element.startsWith('v:') ? `[=${rest}]` : `.${rest}`
    })
    .join('')
