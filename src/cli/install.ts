// helio install: this machine becomes a server or a device. Takes the flags of both roles; what they say goes into the configuration file.

import { readFile } from 'node:fs/promises'
import { messageOf } from '../base/errors.ts'
import { ROLE_OPTIONS } from '../base/role-options.ts'
import { Failure, usage } from './failure.ts'
import type { FlagSpec } from './flags.ts'
import type { InstallRequest, InstallResult } from './install-shapes.ts'
import { asFailure, stepLines } from './install-text.ts'
import { jsonText } from './object-text.ts'
import { openProgress } from './progress.ts'
import { outputFlag, type Verb, type VerbContext } from './verb.ts'

/** A join token has about 110 characters. */
const TOKEN_BYTES_MAX = 4096

const OPTIONS = [...ROLE_OPTIONS.server, ...ROLE_OPTIONS.agent].filter(
  (option, at, all) => all.findIndex(each => each.flag === option.flag) === at,
)

/** The roles' own flags; their defaults stay theirs, so that a flag left out changes nothing. */
const ROLE_FLAGS: readonly FlagSpec[] = OPTIONS.map(({ flag, type, value, choices, describe }) => ({
  flag,
  type: type === 'switch' ? 'switch' : 'text',
  // What stands in brackets is the role's own default.
  describe: flag === 'config' ? 'configuration manifest to begin from; else the one installed' : describe.replace(/ \(.*\)$/, ''),
  ...(value === undefined ? {} : { value }),
  ...(choices === undefined ? {} : { choices }),
}))

const readToken = async ({ flags, deps }: VerbContext): Promise<string | undefined> => {
  const file = flags.text('token-file')
  if (file === undefined) return flags.text('token')
  if (flags.has('token')) throw usage('--token and --token-file: only one of them')
  try {
    if (file !== '-') return (await readFile(file, 'utf8')).trim().slice(0, TOKEN_BYTES_MAX)
    const chunks: Buffer[] = []
    for await (const chunk of deps.stdin) {
      chunks.push(Buffer.from(chunk as Buffer | string))
      if (chunks.reduce((sum, each) => sum + each.length, 0) > TOKEN_BYTES_MAX) throw new Error(`more than ${TOKEN_BYTES_MAX} bytes`)
    }
    return Buffer.concat(chunks).toString().trim()
  } catch (cause) {
    throw new Failure(`read token from ${file}: ${messageOf(cause)}`, { cause })
  }
}

const requestOf = async (context: VerbContext): Promise<InstallRequest> => {
  const { flags } = context
  const role = flags.text('role')
  const init = flags.text('init')
  const token = await readToken(context)
  const given = OPTIONS.flatMap(({ flag }) => {
    const value = flags.text(flag)
    return flags.has(flag) && value !== undefined && flag !== 'token' && flag !== 'config' ? [[flag, value] as const] : []
  })
  const foreign = given.find(
    ([flag]) => role !== undefined && !ROLE_OPTIONS[role as 'server' | 'agent'].some(option => option.flag === flag),
  )
  if (foreign) throw usage(`--${foreign[0]} is no flag of the ${role}`, `helio help ${role}`)
  return {
    role: role === 'server' || role === 'agent' ? role : undefined,
    root: flags.text('root') ?? '/',
    init: init === 'systemd' || init === 'openrc' || init === 'sysv' ? init : undefined,
    config: flags.text('config'),
    flags: { ...Object.fromEntries(given), ...(token === undefined ? {} : { token }) },
    start: !flags.on('no-start'),
    dryRun: flags.on('dry-run'),
  }
}

const say = async ({ output }: VerbContext, result: InstallResult): Promise<void> => {
  for (const line of stepLines(result.steps, result.dryRun, output, result.dryRun)) await output.line(line)
  const where = result.root === '/' ? '' : ` in ${result.root}`
  const state =
    result.service === 'joined' ? 'it runs and has joined its server' : result.service === 'ready' ? 'it runs' : 'it was not started'
  if (result.dryRun)
    await output.line(result.changed ? 'Nothing was touched.' : `The ${result.role} is installed${where}: nothing would change.`)
  else if (!result.changed) await output.line(`unchanged: the ${result.role} is installed${where}; ${state}`)
  else await output.line(`The ${result.role} is installed${where}; ${state}.`)
  for (const line of result.next) output.note(`  ${line}`)
}

const run = async (context: VerbContext): Promise<void> => {
  const { deps, output, flags, words, signal } = context
  if (words.length > 0) throw usage(`unexpected argument ${JSON.stringify(words[0])}`, 'helio install --role server|agent')
  const request = await requestOf(context)
  const progress = openProgress(output, deps.clock)
  const result = await deps
    .install(request, { signal, tell: progress.show })
    .catch(asFailure)
    .finally(() => progress.done())
  if (flags.text('output') === 'json') return output.write(jsonText(result))
  return say(context, result)
}

export const verb: Verb = {
  name: 'install',
  summary: 'make this machine a server or a device that starts by itself',
  usage: ['install --role server [flags]', 'install --server URL --token-file FILE [flags]'],
  connects: false,
  flags: [
    {
      flag: 'role',
      type: 'text',
      choices: ['server', 'agent'],
      describe: 'what this machine shall be (default: what it is, or agent with --server)',
    },
    {
      flag: 'root',
      type: 'text',
      value: 'DIR',
      describe: 'install into this tree, such as a mounted image, and start nothing (default /)',
    },
    { flag: 'init', type: 'text', choices: ['systemd', 'openrc', 'sysv'], describe: 'what starts services there (default: as found)' },
    { flag: 'no-start', type: 'switch', describe: 'only write the files; it starts at the next boot' },
    { flag: 'dry-run', type: 'switch', describe: 'print every file and command, touch nothing' },
    {
      flag: 'token-file',
      type: 'text',
      value: 'FILE',
      describe: 'file with the join token, - for standard input; no process list shows it',
    },
    outputFlag(['json']),
    ...ROLE_FLAGS,
  ],
  examples: [
    ['a server with an agent, reachable from the network', 'install --role server --bind 0.0.0.0'],
    ['a device', 'install --server https://192.0.2.1:6443 --token-file token'],
    ['see what would change', 'install --link mqtt,ws --dry-run'],
  ],
  run,
}
