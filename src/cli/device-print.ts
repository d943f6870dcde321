// How the subcommands of helio device print: JSON or YAML of the agent's whole answer, or lines for people.

import { jsonText, yamlText } from './object-text.ts'
import type { VerbContext } from './verb.ts'

/** `--output json` or `yaml` was asked for. */
export const isWhole = ({ flags }: Pick<VerbContext, 'flags'>): boolean => ['json', 'yaml'].includes(flags.text('output') ?? '')

export const print = async (context: VerbContext, value: Record<string, unknown>, lines: () => readonly string[]): Promise<void> => {
  const form = context.flags.text('output')
  if (form === 'json') return context.output.write(jsonText(value))
  if (form === 'yaml') return context.output.write(await yamlText(value))
  await context.output.write(`${lines().join('\n')}\n`)
}
