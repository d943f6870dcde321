// helio version: this program's, and the server's when one can be reached; --verify checks the executable that runs, and asks no server.

import { ApiError, messageOf } from '../base/errors.ts'
import { Failure } from './failure.ts'
import { jsonText, yamlText } from './object-text.ts'
import { outputFlag, type Verb, type VerbContext } from './verb.ts'

const verify = async ({ deps, flags, output }: VerbContext): Promise<void> => {
  const check = await deps
    .verifyProgram({ signature: flags.text('signature'), publicKey: flags.text('public-key') })
    .catch((cause: unknown): never => {
      throw new Failure(messageOf(cause), { cause, hint: cause instanceof ApiError ? cause.hint : undefined })
    })
  const form = flags.text('output')
  if (form === 'json') return output.write(jsonText(check))
  if (form === 'yaml') return output.write(await yamlText(check))
  await output.line(`File: ${check.file} (${check.sizeBytes} bytes)`)
  await output.line(`Signed as: ${check.version} for ${check.target}`)
  await output.line(`SHA-256: ${check.sha256}`)
  await output.line(`Signature: good, by key ${check.keyId} (${check.trust})`)
}

const run = async (context: VerbContext): Promise<void> => {
  const { flags, output } = context
  if (flags.on('verify')) return verify(context)
  const clientVersion = context.deps.version
  const program = await context.deps.program()
  const form = flags.text('output')
  let serverVersion: Record<string, unknown> | undefined
  if (!flags.on('client')) {
    try {
      serverVersion = await (await context.client()).json('GET', '/version')
    } catch (error) {
      context.complain(error instanceof Error ? error : new Error(messageOf(error)))
    }
  }
  const all = { clientVersion, program, ...(serverVersion ? { serverVersion } : {}) }
  if (form === 'json') return output.write(jsonText(all))
  if (form === 'yaml') return output.write(await yamlText(all))
  await output.line(`Client Version: ${clientVersion.gitVersion}`)
  await output.line(
    `Program: ${program.version} (commit ${program.commit}, ${program.target}, ${program.packaged ? 'packaged' : 'bundle'})`,
  )
  await output.line(`Node: ${program.node}`)
  await output.line(`SQLite: ${program.sqlite}`)
  if (serverVersion) await output.line(`Server Version: ${String(serverVersion['gitVersion'])}`)
}

export const verb: Verb = {
  name: 'version',
  summary: 'print the versions of client and server, or check this executable',
  usage: ['version [--client]', 'version --verify [--public-key FILE] [--signature FILE]'],
  connects: true,
  flags: [
    { flag: 'client', type: 'switch', describe: 'only this program’s' },
    { flag: 'verify', type: 'switch', describe: 'check SHA-256 and Ed25519 signature of the executable that runs' },
    { flag: 'public-key', type: 'text', value: 'FILE', describe: 'key to trust, PEM; else the one built in' },
    { flag: 'signature', type: 'text', value: 'FILE', describe: 'signature; else the .sig file beside the executable' },
    outputFlag(['json', 'yaml']),
  ],
  examples: [['check a copy before it is installed', 'helio version --verify --public-key release.pem']],
  run,
}
