// Spelling of stamps (RFC 3339), with the text of Go's time parser, and their one canonical form: clients that read a stamp into a date
// of their own language write it back in another spelling, which must be no change. Source: metav1.Time, metav1.MicroTime.

const LAYOUT = '2006-01-02T15:04:05Z07:00'
const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?(Z|([+-]\d{2}):(\d{2}))$/

const daysIn = (year: number, month: number): number => {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return [4, 6, 9, 11].includes(month) ? 30 : 31
}

const outOfRange = (text: string, what: string): string => `parsing time ${JSON.stringify(text)}: ${what} out of range`

/** The parts of the layout, in the order Go reads them, with what it expects there. */
const STEPS: readonly (readonly [RegExp, string])[] = [
  [/^\d{4}/, '2006'],
  [/^-/, '-'],
  [/^\d{2}/, '01'],
  [/^-/, '-'],
  [/^\d{2}/, '02'],
  [/^T/, 'T'],
  [/^\d{2}/, '15'],
  [/^:/, ':'],
  [/^\d{2}/, '04'],
  [/^:/, ':'],
  [/^\d{2}(?:[.,]\d+)?/, '05'],
  [/^(?:Z|[+-]\d{2}:\d{2})/, 'Z07:00'],
]

const unreadable = (text: string): string => {
  let rest = text
  for (const [pattern, expected] of STEPS) {
    const match = pattern.exec(rest)
    if (!match) return `parsing time ${JSON.stringify(text)} as "${LAYOUT}": cannot parse ${JSON.stringify(rest)} as "${expected}"`
    rest = rest.slice(match[0].length)
  }
  return `parsing time ${JSON.stringify(text)}: extra text: ${JSON.stringify(rest)}`
}

/** Why a text is no stamp; undefined when it is one. */
export const timeProblem = (text: string): string | undefined => {
  const match = RFC3339.exec(text)
  if (!match) return unreadable(text)
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number)
  if (month < 1 || month > 12) return outOfRange(text, 'month')
  if (day < 1 || day > daysIn(year, month)) return outOfRange(text, 'day')
  if (hour > 23) return outOfRange(text, 'hour')
  if (minute > 59) return outOfRange(text, 'minute')
  if (second > 59) return outOfRange(text, 'second')
  if (Math.abs(Number(match[9] ?? 0)) > 23) return outOfRange(text, 'time zone offset hour')
  if (Number(match[10] ?? 0) > 59) return outOfRange(text, 'time zone offset minute')
  return secondsInUtc(match).length === SECONDS_LENGTH ? undefined : outOfRange(text, 'year')
}

const SECONDS_LENGTH = '2006-01-02T15:04:05'.length
const MICRO_DIGITS = 6

/** `2006-01-02T15:04:05` of a match; longer when the offset carries the year out of four digits. */
const secondsInUtc = (match: RegExpExecArray): string => {
  const seconds = match[0].slice(0, SECONDS_LENGTH)
  return match[8] === 'Z' ? seconds : new Date(`${seconds}${match[8]}`).toISOString().replace(/\.\d+Z$/, '')
}

/** A stamp without problem as upstream prints it again: in UTC, without a fraction; a micro time with six digits of it. */
export const canonicalTime = (text: string, micro: boolean): string => {
  const match = RFC3339.exec(text)
  if (!match) return text
  return `${secondsInUtc(match)}${micro ? `.${(match[7] ?? '').padEnd(MICRO_DIGITS, '0').slice(0, MICRO_DIGITS)}` : ''}Z`
}
