// Builders of field errors with upstream's wording (k8s apimachinery util/validation/field). A path is text: `spec.containers[0].image`.

import type { Cause } from '../base/errors.ts'
import { SHOWN_LENGTH_MAX } from './limits.ts'

export type { Cause } from '../base/errors.ts'

/** Upstream prints strings quoted, numbers and booleans bare, the rest as JSON. */
const shown = (value: unknown): string => {
  const text = value === undefined ? 'null' : JSON.stringify(value)
  return text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}…` : text
}

const withDetail = (head: string, detail: string | undefined): string => (detail ? `${head}: ${detail}` : head)

export const required = (field: string, detail?: string): Cause => ({
  field,
  type: 'FieldValueRequired',
  detail: withDetail('Required value', detail),
})

export const invalid = (field: string, value: unknown, detail: string): Cause => ({
  field,
  type: 'FieldValueInvalid',
  detail: withDetail(`Invalid value: ${shown(value)}`, detail),
})

export const notSupported = (field: string, value: unknown, supported: readonly string[]): Cause => ({
  field,
  type: 'FieldValueNotSupported',
  detail: `Unsupported value: ${shown(value)}: supported values: ${supported.map(each => JSON.stringify(each)).join(', ')}`,
})

export const forbidden = (field: string, detail: string): Cause => ({
  field,
  type: 'FieldValueForbidden',
  detail: withDetail('Forbidden', detail),
})

export const duplicate = (field: string, value: unknown): Cause => ({
  field,
  type: 'FieldValueDuplicate',
  detail: `Duplicate value: ${shown(value)}`,
})

export const notFound = (field: string, value: unknown): Cause => ({
  field,
  type: 'FieldValueNotFound',
  detail: `Not found: ${shown(value)}`,
})

export const tooLong = (field: string, bytesMax: number): Cause => ({
  field,
  type: 'FieldValueTooLong',
  detail: `Too long: may not be more than ${bytesMax} bytes`,
})

export const tooMany = (field: string, actual: number, countMax: number): Cause => ({
  field,
  type: 'FieldValueTooMany',
  detail: `Too many: ${actual}: must have at most ${countMax} ${countMax === 1 ? 'item' : 'items'}`,
})

/** One `invalid` for each message of a name check. */
export const invalidAll = (field: string, value: unknown, messages: readonly string[]): Cause[] =>
  messages.map(message => invalid(field, value, message))

/** `Unsupported value` unless `value` is one of `supported`; absent values pass. */
export const oneOf = (field: string, value: string | undefined, supported: readonly string[]): Cause[] =>
  value === undefined || supported.includes(value) ? [] : [notSupported(field, value, supported)]

export const IMMUTABLE = 'field is immutable'

const inRange =
  (message: string, ok: (value: number) => boolean) =>
  (field: string, value: number | undefined): Cause[] =>
    value === undefined || ok(value) ? [] : [invalid(field, value, message)]

export const nonNegative = inRange('must be greater than or equal to 0', value => value >= 0)

/** `must be greater than zero`, as probes and counts word it. */
export const positive = inRange('must be greater than zero', value => value > 0)

/** The text of a list of causes as `Status.message` joins them: one bare, several in brackets. */
export const causesText = (causes: readonly Cause[]): string => {
  const texts = [...new Set(causes.map(cause => (cause.field === '' ? cause.detail : `${cause.field}: ${cause.detail}`)))]
  return texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`
}
