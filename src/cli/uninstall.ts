// helio uninstall: takes back what install did. State and pods stay unless they are named.

import { usage } from './failure.ts'
import { asFailure, stepLines } from './install-text.ts'
import { jsonText } from './object-text.ts'
import { openProgress } from './progress.ts'
import { DATA_DIR_FLAG, outputFlag, type Verb, type VerbContext } from './verb.ts'

const run = async ({ deps, output, flags, words, dataDir }: VerbContext): Promise<void> => {
  if (words.length > 0) throw usage(`unexpected argument ${JSON.stringify(words[0])}`, 'helio uninstall [--stop-pods] [--purge]')
  const request = {
    root: flags.text('root') ?? '/',
    dataDir,
    purge: flags.on('purge'),
    stopPods: flags.on('stop-pods'),
    dryRun: flags.on('dry-run'),
  }
  const progress = openProgress(output, deps.clock)
  const result = await deps
    .uninstall(request, { tell: progress.show })
    .catch(asFailure)
    .finally(() => progress.done())
  if (flags.text('output') === 'json') return output.write(jsonText(result))
  for (const line of stepLines(result.steps, result.dryRun, output)) await output.line(line)
  if (result.steps.length === 0) await output.line('unchanged: nothing is installed here')
  else await output.line(result.dryRun ? 'Nothing was touched.' : 'Uninstalled.')
  if (result.left.length > 0) output.note('Left:')
  for (const line of result.left) output.note(`  ${line}`)
}

export const verb: Verb = {
  name: 'uninstall',
  summary: 'take back what install did',
  usage: ['uninstall [--stop-pods] [--purge] [--dry-run]'],
  connects: false,
  flags: [
    { flag: 'stop-pods', type: 'switch', describe: 'end the pods of this device; without it they go on running' },
    { flag: 'purge', type: 'switch', describe: 'remove the data directory too: keys, state, images, logs' },
    { flag: 'dry-run', type: 'switch', describe: 'print what would be done, touch nothing' },
    { flag: 'root', type: 'text', value: 'DIR', describe: 'uninstall from this tree (default /)' },
    DATA_DIR_FLAG,
    outputFlag(['json']),
  ],
  examples: [
    ['keep pods and state', 'uninstall'],
    ['leave nothing', 'uninstall --stop-pods --purge'],
  ],
  run,
}
