// Help from the verbs' own tables, so that it cannot say what the program does not do.

import type { FlagSpec } from './flags.ts'
import { CONNECTION_FLAGS, type Verb, type VerbEntry } from './verb.ts'

/** Roles of the executable that main.ts handles itself. */
const ROLES: readonly (readonly [string, string])[] = [
  ['server', 'run the control plane, with an agent unless --no-agent'],
  ['agent', 'run a device'],
]

const padded = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}

const flagName = (spec: FlagSpec): string => {
  const value = spec.choices?.join('|') ?? spec.value ?? spec.type.toUpperCase()
  const shown = spec.type === 'switch' ? '' : spec.bare === undefined ? ` ${value}` : `[=${value}]`
  return `${spec.short === undefined ? '    ' : `-${spec.short}, `}--${spec.flag}${shown}`
}

const flagRow = (spec: FlagSpec): readonly [string, string] => {
  const fallback = spec.default === undefined || spec.default === 'none' || spec.default === '0s' ? '' : ` (default ${spec.default})`
  return [flagName(spec), spec.describe + fallback]
}

export const overviewText = (verbs: readonly VerbEntry[]): string =>
  `Heliopause runs containers on machines whose link comes and goes.

Usage: helio COMMAND [flags]

Roles:
${padded(ROLES)}
Commands:
${padded(verbs.map(verb => [verb.name, verb.summary] as const))}
helio help COMMAND tells more. kubectl works too, with the same kubeconfig.
`

export const helpText = (verb: Verb): string => {
  const own = verb.flags.length === 0 ? '' : `\nFlags:\n${padded(verb.flags.map(flagRow))}`
  const connection = verb.connects ? `\nConnection:\n${padded(CONNECTION_FLAGS.map(flagRow))}` : ''
  const examples = verb.examples.map(([comment, command]) => `  # ${comment}\n  helio ${command}\n`).join('')
  return `helio ${verb.name}: ${verb.summary}

Usage:
${verb.usage.map(line => `  helio ${line}\n`).join('')}${own}${connection}${examples === '' ? '' : `\nExamples:\n${examples}`}`
}
