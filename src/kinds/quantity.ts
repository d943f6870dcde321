// Resource quantities: `500m`, `64Mi`, `1e3`. Exact to a billionth, capped at 2^63-1. Source: k8s apimachinery api/resource (canonical form
// is what upstream prints: no fraction, the largest suffix that keeps an integer).

import { QUANTITY_DIGITS_MAX, QUANTITY_LENGTH_MAX } from './limits.ts'

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent'

export interface Quantity {
  /** The value in billionths. */
  readonly nano: bigint
  readonly format: QuantityFormat
}

const NANO = 1_000_000_000n
const CAP = (2n ** 63n - 1n) * NANO
const DECIMAL_SUFFIXES = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E']
const BINARY_SUFFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
const PATTERN = /^([+-]?)(\d*)(?:\.(\d*))?(.*)$/

export const QUANTITY_SYNTAX = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

interface Suffix {
  readonly format: QuantityFormat
  /** Power of ten, for decimal forms. */
  readonly exponent: number
  /** Power of 1024, for the binary form. */
  readonly power: number
}

const parseSuffix = (suffix: string): Suffix | undefined => {
  const decimal = DECIMAL_SUFFIXES.indexOf(suffix)
  if (decimal >= 0) return { format: 'DecimalSI', exponent: (decimal - 3) * 3, power: 0 }
  const binary = BINARY_SUFFIXES.indexOf(suffix)
  if (binary > 0) return { format: 'BinarySI', exponent: 0, power: binary }
  const match = /^[eE]([+-]?\d{1,3})$/.exec(suffix)
  return match ? { format: 'DecimalExponent', exponent: Number(match[1]), power: 0 } : undefined
}

/** Division that rounds away from zero: a quantity never becomes smaller than asked for. */
const divideUp = (value: bigint, by: bigint): bigint => {
  const quotient = value / by
  if (value % by === 0n) return quotient
  return value < 0n ? quotient - 1n : quotient + 1n
}

const scale = (digits: bigint, fractionDigits: number, suffix: Suffix): bigint => {
  const exponent = suffix.exponent + 9 - fractionDigits
  const binary = digits * 1024n ** BigInt(suffix.power)
  return exponent >= 0 ? binary * 10n ** BigInt(exponent) : divideUp(binary, 10n ** BigInt(-exponent))
}

/** Undefined when the text is no quantity. */
export const parseQuantity = (text: string): Quantity | undefined => {
  const match = text.length > QUANTITY_LENGTH_MAX ? undefined : PATTERN.exec(text)
  if (!match) return undefined
  const [, sign = '', whole = '', fraction = '', suffixText = ''] = match
  const suffix = parseSuffix(suffixText)
  if (!suffix || whole.length + fraction.length === 0 || whole.length + fraction.length > QUANTITY_DIGITS_MAX) return undefined
  const size = scale(BigInt(whole + fraction), fraction.length, suffix)
  const capped = size > CAP ? CAP : size
  const format = suffix.format === 'BinarySI' && capped > 0n && capped < NANO ? 'DecimalSI' : suffix.format
  return { nano: sign === '-' ? -capped : capped, format }
}

/** Upstream's message for a text that is no quantity; undefined when it is one. */
export const quantityProblem = (text: string): string | undefined => {
  if (parseQuantity(text)) return undefined
  // The pattern below takes time that grows with the cube of the length.
  if (text === '' || text.length > QUANTITY_LENGTH_MAX) return QUANTITY_SYNTAX
  return /^[+-]?(\d+\.?\d*|\.\d+)[eEinumkKMGTP]*[-+]?\d*$/.test(text) ? "unable to parse quantity's suffix" : QUANTITY_SYNTAX
}

const formatDecimal = (nano: bigint, format: QuantityFormat): string => {
  if (nano === 0n) return '0'
  let mantissa = nano
  let exponent = -9
  while (mantissa % 1000n === 0n && exponent < 18) {
    mantissa /= 1000n
    exponent += 3
  }
  if (format === 'DecimalExponent') return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`
  return `${mantissa}${DECIMAL_SUFFIXES[exponent / 3 + 3] ?? ''}`
}

/** The canonical text: `1000m` → `1`, `1024Mi` → `1Gi`, `0.5` → `500m`. */
export const formatQuantity = (quantity: Quantity): string => {
  const { nano, format } = quantity
  const small = nano > -1024n * NANO && nano < 1024n * NANO
  if (format !== 'BinarySI' || small || nano % NANO !== 0n) return formatDecimal(nano, format === 'BinarySI' ? 'DecimalSI' : format)
  let value = nano / NANO
  let power = 0
  while (value % 1024n === 0n && power < 6) {
    value /= 1024n
    power++
  }
  return `${value}${BINARY_SUFFIXES[power] ?? ''}`
}

/** The canonical text of a quantity as written (JSON may hold a bare number); undefined when it is none. */
export const canonicalQuantity = (written: string | number): string | undefined => {
  const parsed = parseQuantity(String(written).trim())
  return parsed && formatQuantity(parsed)
}

/** Negative, zero or positive, as for sorting. */
export const compareQuantities = (a: Quantity, b: Quantity): number => (a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0)

/** The sum, in the format of the first operand unless it is zero. */
export const addQuantities = (a: Quantity, b: Quantity): Quantity => ({
  nano: a.nano + b.nano,
  format: a.nano === 0n ? b.format : a.format,
})

export const subtractQuantities = (a: Quantity, b: Quantity): Quantity => addQuantities(a, { nano: -b.nano, format: b.format })

const PLAIN = /^(\d{1,9})(m|k|M|G|Ki|Mi|Gi)?$/
const FACTORS: Readonly<Record<string, number>> = { m: 0.001, k: 1e3, M: 1e6, G: 1e9, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 }

const scaled = (written: string | number | undefined, unitsPerOne: number): number => {
  if (written === undefined) return 0
  const text = String(written)
  const plain = PLAIN.exec(text)
  if (plain)
    return Math.ceil(
      plain[2] === 'm' ? (Number(plain[1]) * unitsPerOne) / 1000 : Number(plain[1]) * (FACTORS[plain[2] ?? ''] ?? 1) * unitsPerOne,
    )
  const parsed = parseQuantity(text)
  return parsed ? Number(divideUp(parsed.nano * BigInt(unitsPerOne), NANO)) : 0
}

/** In thousandths, rounded up (CPU: 1 = 1000). 0 when absent or not a quantity. Exact below 2^53. */
export const quantityMillis = (written: string | number | undefined): number => scaled(written, 1000)

/** In whole units, rounded up (memory: bytes; pods: a count). 0 when absent or not a quantity. Exact below 2^53. */
export const quantityBytes = (written: string | number | undefined): number => scaled(written, 1)

/** The text of a number of thousandths: 1500 → `1500m`, 2000 → `2`. */
export const millisText = (millis: number): string => formatQuantity({ nano: BigInt(Math.ceil(millis)) * 1_000_000n, format: 'DecimalSI' })

/** The text of a number of bytes in binary units: 67108864 → `64Mi`. */
export const bytesText = (sizeBytes: number): string => formatQuantity({ nano: BigInt(Math.ceil(sizeBytes)) * NANO, format: 'BinarySI' })
