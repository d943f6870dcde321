// Reading one object of unknown shape, field by field: every field has its own check, and the first that fails is remembered. PURE.

import { isObject } from '../base/json.ts'

/** Reads fields of one object; remembers the first that is wrong and goes on with harmless values. */
export interface Fields {
  text(name: string, pattern: RegExp, charsMax: number): string
  int(name: string, min: number, max: number): number
  flag(name: string): boolean
  oneOf<T extends string>(name: string, values: readonly T[]): T
  list<T>(name: string, itemsMax: number, item: (fields: Fields) => T): readonly T[]
  object<T>(name: string, read: (fields: Fields) => T): T
  optional<T>(name: string, read: (name: string) => T): T | undefined
  isNull(name: string): boolean
  value(name: string): unknown
  fail(name: string): void
}

export interface Failure {
  at: string | undefined
}

export const fieldsOf = (value: unknown, path: string, failure: Failure): Fields => {
  const object = isObject(value) ? value : {}
  const get = (name: string): unknown => (Object.hasOwn(object, name) ? object[name] : undefined)
  const fail = (name: string): void => {
    failure.at ??= `${path}${name}`
  }
  if (!isObject(value)) fail('')
  const fields: Fields = {
    fail,
    value: get,
    isNull: name => get(name) === null,
    text(name, pattern, charsMax) {
      const field = get(name)
      if (typeof field === 'string' && field.length <= charsMax && pattern.test(field)) return field
      fail(name)
      return ''
    },
    int(name, min, max) {
      const field = get(name)
      if (typeof field === 'number' && Number.isSafeInteger(field) && field >= min && field <= max) return field
      fail(name)
      return min
    },
    flag(name) {
      const field = get(name)
      if (typeof field !== 'boolean') fail(name)
      return field === true
    },
    oneOf(name, values) {
      const found = values.find(candidate => candidate === get(name))
      if (found === undefined) fail(name)
      return found ?? values[0]!
    },
    list(name, itemsMax, item) {
      const field = get(name)
      if (!Array.isArray(field) || field.length > itemsMax) {
        fail(name)
        return []
      }
      return field.map((entry: unknown, i) => item(fieldsOf(entry, `${path}${name}[${i}].`, failure)))
    },
    object: (name, read) => read(fieldsOf(get(name), `${path}${name}.`, failure)),
    optional: (name, read) => (get(name) === undefined ? undefined : read(name)),
  }
  return fields
}

/** An optional field only where it is there: exactOptionalPropertyTypes, and nothing for the wire to carry. */
export const only = <K extends string, T>(name: K, value: T | undefined): { readonly [P in K]?: T } =>
  (value === undefined ? {} : { [name]: value }) as { readonly [P in K]?: T }
