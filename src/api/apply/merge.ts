// Structured merge of an applied configuration into the live object, and removal of what nobody asks for any more. Copies what changes,
// shares the rest. Source: k8s structured-merge-diff typed/merge.go and remove.go.

import { isObject } from '../../base/json.ts'
import type { FieldSet } from './field-set.ts'
import { type Child, childrenOf, joinPath, type Part } from './walk.ts'

const fieldName = (element: string): string => element.slice(2)

/** Items of both lists: what both have is merged and stands in the order of `rhs`; the others keep their place. */
const mergeItems = (lhs: readonly Child[], rhs: readonly Child[]): unknown[] => {
  const before = new Map(lhs.map(child => [child.element, child]))
  const wanted = new Set(rhs.map(child => child.element))
  const placed = new Set<string>()
  const result: unknown[] = []
  let l = 0
  const passOthers = (): void => {
    for (let child = lhs[l]; child && (placed.has(child.element) || !wanted.has(child.element)); child = lhs[++l])
      if (!wanted.has(child.element)) result.push(child.value)
  }
  for (const child of rhs) {
    passOthers()
    const old = before.get(child.element)
    result.push(old ? mergeValue(old.value, child.value, child.part) : child.value)
    placed.add(child.element)
  }
  passOthers()
  return result
}

/** `config` merged into `live`. Nulls in the configuration ask for nothing. */
export const mergeValue = (live: unknown, config: unknown, part: Part): unknown => {
  const rhs = childrenOf(config, part)
  const lhs = childrenOf(live, part)
  if (!rhs || !lhs) return config
  if (Array.isArray(config)) return mergeItems(lhs, rhs)
  const result: Record<string, unknown> = isObject(live) ? { ...live } : {}
  for (const { element, value, part: field } of rhs) {
    const key = fieldName(element)
    result[key] = Object.hasOwn(result, key) ? mergeValue(result[key], value, field) : value
  }
  return result
}

const isEmpty = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0

/** The value without the parts at these paths; a container that loses its last part goes with it. */
export const removePaths = (value: unknown, part: Part, paths: FieldSet, prefix = ''): unknown => {
  const children = childrenOf(value, part)
  if (!children) return value
  const kept: { child: Child; value: unknown }[] = []
  for (const child of children) {
    const path = joinPath(prefix, child.element)
    if (paths.has(path)) continue
    const rest = removePaths(child.value, child.part, paths, path)
    if (isEmpty(rest) && !isEmpty(child.value)) continue
    kept.push({ child, value: rest })
  }
  if (Array.isArray(value)) return kept.map(each => each.value)
  return Object.fromEntries(kept.map(each => [fieldName(each.child.element), each.value]))
}
