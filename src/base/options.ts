// Command-line options of the long-running roles as a table: flag over environment over file over default, resolved once. Pure.
// CONVENTIONS 16.

import { isObject } from './json.ts'

export interface Option {
  /** Long flag without dashes, `data-dir`; the file's field is its camel case, `dataDir`; the environment's HELIO_DATA_DIR. */
  readonly flag: string
  readonly type: 'text' | 'port' | 'switch'
  readonly choices?: readonly string[]
  readonly default?: string | number | boolean
  /** What it is, for help; starts in lower case. */
  readonly describe: string
  /** How the value is written in help: `DIR`. */
  readonly value?: string
}

export type OptionValues = Readonly<Record<string, string | number | boolean | undefined>>

export interface UsageProblem {
  readonly problem: string
  readonly hint?: string
}

export const camelCase = (flag: string): string => flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())

const environmentName = (flag: string): string => `HELIO_${flag.replaceAll('-', '_').toUpperCase()}`

const isProblem = (value: unknown): value is UsageProblem => isObject(value) && typeof value['problem'] === 'string'

const convert = (option: Option, raw: string | number | boolean, from: string): string | number | boolean | UsageProblem => {
  if (option.type === 'switch')
    return raw === true || raw === 'true' || raw === '1'
      ? true
      : raw === false || raw === 'false' || raw === '0'
        ? false
        : { problem: `${from} must be true or false` }
  if (option.type === 'port') {
    const port = Number(raw)
    return Number.isInteger(port) && port >= 0 && port <= 65535
      ? port
      : { problem: `${from} must be a port from 0 to 65535, not ${JSON.stringify(raw)}` }
  }
  const text = String(raw)
  if (text === '') return { problem: `${from} must not be empty` }
  if (option.choices && !option.choices.includes(text))
    return { problem: `${from} must be one of ${option.choices.join(', ')}, not ${JSON.stringify(text)}` }
  return text
}

/** Edit distance, for "did you mean". */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}

/** The candidate nearest to a mistyped word, when it is near enough to be worth naming. */
export const nearest = (word: string, candidates: readonly string[]): string | undefined =>
  candidates
    .map(candidate => ({ candidate, d: distance(word, candidate) }))
    .sort((x, y) => x.d - y.d || (x.candidate < y.candidate ? -1 : 1))
    .find(({ d, candidate }) => d <= Math.max(2, Math.floor(candidate.length / 3)))?.candidate

/** Flags of an argv as raw values; positional words are refused. `--x=y`, `--x y`, and `--x` for switches. */
export const parseFlags = (table: readonly Option[], argv: readonly string[]): Record<string, string | boolean> | UsageProblem => {
  const raw: Record<string, string | boolean> = {}
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!
    if (!word.startsWith('--')) return { problem: `unexpected argument ${JSON.stringify(word)}` }
    const equals = word.indexOf('=')
    const flag = word.slice(2, equals < 0 ? undefined : equals)
    const option = table.find(o => o.flag === flag)
    if (!option) {
      const near = nearest(
        flag,
        table.map(o => o.flag),
      )
      return { problem: `unknown flag --${flag}`, ...(near ? { hint: `did you mean --${near}?` } : {}) }
    }
    if (equals >= 0) raw[flag] = word.slice(equals + 1)
    else if (option.type === 'switch') raw[flag] = true
    else if (i + 1 < argv.length) raw[flag] = argv[++i]!
    else return { problem: `--${flag} needs a value` }
  }
  return raw
}

/** Resolves a table: flags, then environment, then the file's fields, then defaults. Unknown fields of the file are refused. */
export const resolveOptions = (
  table: readonly Option[],
  flags: Readonly<Record<string, string | boolean>>,
  environment: Readonly<Record<string, string | undefined>>,
  file: Readonly<Record<string, unknown>> = {},
): OptionValues | UsageProblem => {
  const fields = table.map(option => camelCase(option.flag))
  const stranger = Object.keys(file).find(field => !['apiVersion', 'kind', 'metadata', ...fields].includes(field))
  if (stranger) {
    const near = nearest(stranger, fields)
    return { problem: `configuration: unknown field ${JSON.stringify(stranger)}`, ...(near ? { hint: `did you mean ${near}?` } : {}) }
  }
  const values: Record<string, string | number | boolean | undefined> = {}
  for (const option of table) {
    const field = camelCase(option.flag)
    const fromFile = file[field]
    if (fromFile !== undefined && !['string', 'number', 'boolean'].includes(typeof fromFile))
      return { problem: `configuration: ${field} must be a plain value` }
    const sources: [string, string | number | boolean | undefined][] = [
      [`--${option.flag}`, flags[option.flag]],
      [environmentName(option.flag), environment[environmentName(option.flag)]],
      [`configuration: ${field}`, fromFile as string | number | boolean | undefined],
    ]
    const found = sources.find(([, value]) => value !== undefined)
    const value = found ? convert(option, found[1]!, found[0]) : option.default
    if (isProblem(value)) return value
    values[field] = value
  }
  return values
}

/** Lines for help, aligned. */
export const describeOptions = (table: readonly Option[]): string => {
  const left = table.map(
    option =>
      `  --${option.flag}${option.type === 'switch' ? '' : ` ${option.value ?? (option.choices ? option.choices.join('|') : 'VALUE')}`}`,
  )
  const width = Math.max(...left.map(text => text.length))
  return table
    .map(
      (option, i) =>
        `${left[i]!.padEnd(width)}  ${option.describe}${option.default === undefined || option.default === false ? '' : ` (default ${option.default})`}`,
    )
    .join('\n')
}
