// Words of the command line into flags and arguments, by a table: long and short forms, `--x=y`, `--x y`, `-xy`, `-x=y`, `--` ends the flags.
// Unknown flags are refused with the nearest known one; nothing is guessed.

import { usage } from './failure.ts'
import { didYouMean } from './suggest.ts'

export interface FlagSpec {
  readonly flag: string
  readonly short?: string
  /** 'switch' takes no value (but `--x=false`); 'list' may be given often and splits at nothing. */
  readonly type: 'switch' | 'text' | 'number' | 'duration' | 'list'
  /** How the value is called in help. */
  readonly value?: string
  readonly describe: string
  readonly choices?: readonly string[]
  /** The value of `--flag` alone; with it a value must be joined by `=`. */
  readonly bare?: string
  readonly default?: string | boolean
  /** Other spellings. */
  readonly aliases?: readonly string[]
}

export interface Flags {
  has(flag: string): boolean
  on(flag: string): boolean
  text(flag: string): string | undefined
  number(flag: string): number | undefined
  /** Milliseconds; `90s`, `5m`, `1h30m`, `0`. */
  durationMs(flag: string): number | undefined
  list(flag: string): readonly string[]
}

export interface ParsedLine {
  readonly flags: Flags
  readonly words: readonly string[]
  /** What stands after `--`. */
  readonly rest: readonly string[]
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A Go duration, or a plain number of seconds; undefined when it is neither. */
export const parseDurationMs = (text: string): number | undefined => {
  if (/^\d+$/.test(text)) return Number(text) * 1000
  if (!/^(?:\d+(?:\.\d+)?(?:ms|[smhd]))+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)) total += Number(amount) * (UNITS_MS[unit ?? ''] ?? 0)
  return total
}

const checkValue = (spec: FlagSpec, value: string): void => {
  const shown = `invalid value ${JSON.stringify(value)} for --${spec.flag}`
  if (spec.type === 'number' && !/^-?\d+$/.test(value)) throw usage(`${shown}: not a whole number`)
  if (spec.type === 'duration' && parseDurationMs(value) === undefined)
    throw usage(`${shown}: not a duration`, 'write it as 30s, 5m or 1h30m')
  if (spec.type === 'switch' && value !== 'true' && value !== 'false') throw usage(`${shown}: true or false`)
  if (spec.choices && !spec.choices.includes(value)) {
    const near = didYouMean(value, spec.choices)
    throw usage(`${shown}: one of ${spec.choices.join(', ')}`, near)
  }
}

const unknown = (name: string, table: readonly FlagSpec[]): never => {
  const near = didYouMean(
    name.replace(/^-+/, ''),
    table.map(spec => spec.flag),
    '--',
  )
  throw usage(`unknown flag ${name}`, near)
}

const flagsOf = (values: ReadonlyMap<string, readonly string[]>, table: readonly FlagSpec[]): Flags => {
  const last = (flag: string): string | undefined => {
    const given = values.get(flag)
    const fallback = table.find(spec => spec.flag === flag)?.default
    return given?.[given.length - 1] ?? (fallback === undefined ? undefined : String(fallback))
  }
  return {
    has: flag => values.has(flag),
    on: flag => last(flag) === 'true',
    text: last,
    number: flag => (last(flag) === undefined ? undefined : Number(last(flag))),
    durationMs: flag => parseDurationMs(last(flag) ?? ''),
    list: flag => values.get(flag) ?? [],
  }
}

/** Parses `argv` by the table; throws a usage failure. */
export const parseLine = (argv: readonly string[], table: readonly FlagSpec[]): ParsedLine => {
  const values = new Map<string, string[]>()
  const words: string[] = []
  const end = argv.indexOf('--')
  const line = end === -1 ? argv : argv.slice(0, end)
  let at = 0
  const set = (spec: FlagSpec, value: string): void => {
    checkValue(spec, value)
    values.set(spec.flag, [...(values.get(spec.flag) ?? []), value])
  }
  const take = (spec: FlagSpec, shown: string): void => {
    const alone = spec.type === 'switch' ? 'true' : spec.bare
    const value = alone ?? line[++at]
    if (value === undefined) throw usage(`flag ${shown} needs a value`)
    set(spec, value)
  }
  const long = (word: string): void => {
    const equals = word.indexOf('=')
    const name = word.slice(2, equals === -1 ? undefined : equals)
    const spec = table.find(each => each.flag === name || each.aliases?.includes(name)) ?? unknown(`--${name}`, table)
    if (equals === -1) take(spec, `--${name}`)
    else set(spec, word.slice(equals + 1))
  }
  const shorts = (word: string): void => {
    for (let i = 1; i < word.length; i++) {
      const spec = table.find(each => each.short === word[i]) ?? unknown(i === 1 ? word : `-${word[i]}`, table)
      const joined = word.slice(i + 1)
      const takesRest = joined.startsWith('=') || (spec.type !== 'switch' && joined !== '')
      if (takesRest) set(spec, joined.replace(/^=/, ''))
      else take(spec, `-${word[i]}`)
      if (takesRest) break
    }
  }
  for (; at < line.length; at++) {
    const word = line[at] ?? ''
    if (word.startsWith('--')) long(word)
    else if (word.startsWith('-') && word !== '-') shorts(word)
    else words.push(word)
  }
  return { flags: flagsOf(values, table), words, rest: end === -1 ? [] : argv.slice(end + 1) }
}
