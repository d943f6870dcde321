// helio version: this program's, and the server's when one can be reached.

import { messageOf } from '../base/errors.ts'
import { jsonText, yamlText } from './object-text.ts'
import { outputFlag, type Verb, type VerbContext } from './verb.ts'

const run = async (context: VerbContext): Promise<void> => {
  const { flags, output } = context
  const clientVersion = context.deps.version
  const form = flags.text('output')
  let serverVersion: Record<string, unknown> | undefined
  if (!flags.on('client')) {
    try {
      serverVersion = await (await context.client()).json('GET', '/version')
    } catch (error) {
      context.complain(error instanceof Error ? error : new Error(messageOf(error)))
    }
  }
  const both = { clientVersion, ...(serverVersion ? { serverVersion } : {}) }
  if (form === 'json') return output.write(jsonText(both))
  if (form === 'yaml') return output.write(await yamlText(both))
  await output.line(`Client Version: ${clientVersion.gitVersion}`)
  if (serverVersion) await output.line(`Server Version: ${String(serverVersion['gitVersion'])}`)
}

export const verb: Verb = {
  name: 'version',
  summary: 'print the versions of client and server',
  usage: ['version [--client]'],
  connects: true,
  flags: [{ flag: 'client', type: 'switch', describe: 'only this program’s' }, outputFlag(['json', 'yaml'])],
  examples: [],
  run,
}
