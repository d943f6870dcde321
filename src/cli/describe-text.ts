// The building blocks of `describe`: indented `Key:\tvalue` lines, aligned at the end as kubectl aligns them.

import { timestamp } from '../base/clock.ts'
import { isObject } from '../base/json.ts'
import { alignLines, PROSE } from './elastic-text.ts'

/** Lines with tabs between cells; two spaces a level. */
export type Lines = string[]

export const indented = (lines: readonly string[], levels = 1): Lines => lines.map(line => '  '.repeat(levels) + line)

/** `Key:` over its values, the key on the first line only; `<none>` without any. */
export const stacked = (key: string, values: readonly string[]): Lines =>
  values.length === 0 ? [`${key}:\t<none>`] : values.map((value, i) => `${i === 0 ? `${key}:` : ''}\t${value}`)

const pairs = (map: unknown, join: string): string[] =>
  isObject(map)
    ? Object.entries(map)
        .map(([key, value]) => `${key}${join}${String(value)}`)
        .sort()
    : []

export const labelLines = (key: string, labels: unknown): Lines => stacked(key, pairs(labels, '='))

/** What apply and kubectl keep for themselves is left out. */
const HIDDEN = ['kubectl.kubernetes.io/last-applied-configuration']

export const annotationLines = (annotations: unknown): Lines => {
  const shown = isObject(annotations) ? Object.fromEntries(Object.entries(annotations).filter(([key]) => !HIDDEN.includes(key))) : {}
  return stacked(
    'Annotations',
    pairs(shown, ': ').map(text => text.replace(/\n/g, ' ')),
  )
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** `Mon, 02 Jan 2006 15:04:05 +0000`. */
export const timeText = (stamp: string | undefined): string => {
  const at = stamp === undefined ? Number.NaN : Date.parse(stamp)
  if (Number.isNaN(at)) return '<unset>'
  const date = new Date(at)
  const day = String(date.getUTCDate()).padStart(2, '0')
  return `${DAYS[date.getUTCDay()]}, ${day} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()} ${timestamp(at).slice(11, 19)} +0000`
}

/** A small table inside a description: headers, dashes, rows. */
export const innerTable = (headers: readonly string[], rows: readonly (readonly string[])[]): Lines => [
  headers.join('\t'),
  headers.map(header => (header === 'Age' ? '----' : '-'.repeat(header.length))).join('\t'),
  ...rows.map(row => row.join('\t')),
]

/** Nothing an object says may move the cursor. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach the terminal.
const safe = (line: string): string => line.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '?')

export const descriptionText = (lines: readonly string[]): string =>
  `${alignLines(
    lines.flatMap(line => safe(line).split('\n')),
    PROSE,
  )
    .map(line => line.trimEnd())
    .join('\n')}\n`
