// helio version: this program's, and the server's when one can be reached; --verify checks an executable, and asks no server.

import { ApiError, messageOf } from '../base/errors.ts'
import { Failure } from './failure.ts'
import { jsonText, yamlText } from './object-text.ts'
import { outputFlag, type Verb, type VerbContext } from './verb.ts'

const verify = async ({ deps, flags, output }: VerbContext): Promise<void> => {
  const check = await deps
    .verifyProgram({ file: flags.text('file'), signature: flags.text('signature'), publicKey: flags.text('public-key') })
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
  summary: 'print the versions of client and server, or check an executable',
  usage: ['version [--client]', 'version --verify [--file FILE] [--public-key FILE] [--signature FILE]'],
  connects: true,
  flags: [
    { flag: 'client', type: 'switch', describe: 'only this program’s' },
    { flag: 'verify', type: 'switch', describe: 'check SHA-256 and Ed25519 signature of an executable: the one that runs' },
    { flag: 'file', type: 'text', value: 'FILE', describe: 'check this one instead; a forged one cannot be asked about itself' },
    { flag: 'public-key', type: 'text', value: 'FILE', describe: 'key to trust, PEM; else the one built in' },
    { flag: 'signature', type: 'text', value: 'FILE', describe: 'signature; else the .sig file beside the executable' },
    outputFlag(['json', 'yaml']),
  ],
  examples: [['check a new executable before it is run', 'helio version --verify --file helio-linux-arm64 --public-key release.pem']],
  run,
}
