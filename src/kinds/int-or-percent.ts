// Counts that may be written as a share of another count: `2` or `25%`. Source: k8s apimachinery util/intstr.

import type { Cause } from './causes.ts'
import { invalid, nonNegative } from './causes.ts'
import type { IntOrString } from './meta.ts'

const PERCENT = /^[0-9]+%$/

const PERCENT_MESSAGE =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"

/** A count that is not negative, or a percentage, at most `percentMax` where that is given. */
export const validateIntOrPercent = (field: string, value: IntOrString, percentMax?: number): Cause[] => {
  if (typeof value === 'number') return nonNegative(field, value)
  if (!PERCENT.test(value)) return [invalid(field, value, PERCENT_MESSAGE)]
  if (percentMax === undefined || Number.parseInt(value, 10) <= percentMax) return []
  return [invalid(field, value, `must not be greater than ${percentMax}%`)]
}

/** The count itself, or its share of `total`, rounded as asked. A text that is no percentage counts as 0. */
export const scaledValue = (value: IntOrString | undefined, total: number, round: 'up' | 'down'): number => {
  if (value === undefined) return 0
  if (typeof value === 'number') return value
  const share = PERCENT.test(value) ? (Number.parseInt(value, 10) * total) / 100 : 0
  return round === 'up' ? Math.ceil(share) : Math.floor(share)
}
