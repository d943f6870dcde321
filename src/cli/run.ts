// One command line from words to exit code: 0 done, 1 refused or failed, 2 usage, 130 interrupted. Everything it opens, it closes.

import { messageOf } from '../base/errors.ts'
import type { CliDeps } from './cli.ts'
import { type Client, openClient } from './client.ts'
import { ExitCode, Failure, Refused, refusalText, Unreachable, usage } from './failure.ts'
import { parseLine } from './flags.ts'
import { helpText, overviewText } from './help.ts'
import { VERBS } from './index.ts'
import { readEndpoint } from './kubeconfig.ts'
import { type Output, openOutput } from './output.ts'
import { openProgress } from './progress.ts'
import { discover, type Resources } from './resources.ts'
import { didYouMean } from './suggest.ts'
import { CONNECTION_FLAGS, HELP_FLAG, type Verb, type VerbContext } from './verb.ts'

const STRANGER_HINT = "the certificate or token of this kubeconfig is not the server's: use the kubeconfig in the server's data folder"

const printError = (output: Output, error: unknown): void => {
  if (error instanceof Refused) {
    const text = refusalText(error.status)
    output.note(/^(?:Error from|The |You must)/.test(text) ? text : `error: ${text}`)
  } else output.note(`${output.paint('red', 'error:', 'stderr')} ${messageOf(error).trim()}`)
  const stranger = error instanceof Refused && error.code === 401 ? STRANGER_HINT : undefined
  const hint = error instanceof Failure || error instanceof Refused ? (error.hint ?? stranger) : undefined
  if (hint !== undefined && hint !== '') output.note(`${output.paint('dim', 'hint:', 'stderr')} ${hint}`)
}

/** Commands of kubectl that people will try; this version has none of them. */
const LATER: Readonly<Record<string, string>> = {
  edit: 'helio get TYPE/NAME -o yaml >FILE, change it, helio apply -f FILE',
  top: 'helio describe node NAME shows what is requested',
  patch: 'helio apply -f FILE, or kubectl patch with the same kubeconfig',
  label: 'helio apply -f FILE, or kubectl label with the same kubeconfig',
  annotate: 'helio apply -f FILE, or kubectl annotate with the same kubeconfig',
  run: 'helio create deployment NAME --image=IMAGE',
}

const findVerb = async (name: string): Promise<Verb> => {
  const entry = VERBS.find(each => each.name === name)
  if (entry) return (await entry.load()).verb
  const near = didYouMean(
    name,
    VERBS.map(each => each.name),
  )
  const later = Object.hasOwn(LATER, name) ? LATER[name] : undefined
  throw usage(`unknown command ${JSON.stringify(name)}`, later ?? near ?? 'helio help lists the commands')
}

interface Session {
  readonly context: VerbContext
  readonly failed: () => boolean
  close(): void
}

const openSession = (deps: CliDeps, output: Output, verb: Verb, argv: readonly string[], signal: AbortSignal): Session => {
  const { flags, words, rest } = parseLine(argv, [...verb.flags, ...(verb.connects ? CONNECTION_FLAGS : []), HELP_FLAG])
  const dataDir = flags.text('data-dir') ?? deps.env['HELIO_DATA_DIR'] ?? deps.dataDirDefault
  let opened: Promise<Client> | undefined
  let live: Client | undefined
  let found: Promise<Resources> | undefined
  let failures = 0
  const open = async (): Promise<Client> => {
    const endpoint = await readEndpoint({ flag: flags.text('kubeconfig'), env: deps.env, dataDir, context: flags.text('context') })
    live = openClient(endpoint, {
      clock: deps.clock,
      signal,
      userAgent: `helio/${deps.version.gitVersion}`,
      waiting(text) {
        // On a terminal only: elsewhere a slow answer is nothing to write down.
        if (!output.live) return () => {}
        const progress = openProgress(output, deps.clock)
        progress.show(text)
        return progress.done
      },
      warn: text => output.note(`${output.paint('yellow', 'Warning:', 'stderr')} ${text}`),
    })
    return live
  }
  const client = (): Promise<Client> => (opened ??= open())
  const context: VerbContext = {
    deps,
    output,
    flags,
    words,
    rest,
    dataDir,
    signal,
    client,
    resources(again = false) {
      if (again || found === undefined) found = client().then(discover)
      return found
    },
    namespace: async () => flags.text('namespace') ?? (await client()).namespace,
    complain(error) {
      if (signal.aborted || error instanceof Unreachable) throw error
      failures++
      printError(output, error)
    },
  }
  return { context, failed: () => failures > 0, close: () => live?.close() }
}

/** `-n web get pods` as `get pods -n web`: flags of the connection may stand before the command, as kubectl's may. */
export const commandFirst = (argv: readonly string[]): readonly string[] => {
  let at = 0
  while (at < argv.length && argv[at]?.startsWith('-')) {
    const [name = ''] = (argv[at] ?? '').split('=', 1)
    const spec = CONNECTION_FLAGS.find(each => `--${each.flag}` === name || (each.short !== undefined && name.startsWith(`-${each.short}`)))
    if (spec === undefined) return argv
    const joined = argv[at]?.includes('=') || (!name.startsWith('--') && name.length > 2)
    at += joined ? 1 : 2
  }
  return at === 0 || at >= argv.length ? argv : [...argv.slice(at, at + 1), ...argv.slice(0, at), ...argv.slice(at + 1)]
}

const runVerb = async (given: readonly string[], deps: CliDeps, output: Output, signal: AbortSignal): Promise<number> => {
  const [first, ...words] = commandFirst(given)
  const name = first === '--version' ? 'version' : first
  if (name === undefined || name === '--help' || name === '-h' || (name === 'help' && (words.length === 0 || words[0] === 'help'))) {
    await output.write(overviewText(VERBS))
    return name === undefined ? 2 : 0
  }
  const verb = await findVerb(name === 'help' ? (words[0] ?? '') : name)
  if (
    name === 'help' ||
    words.slice(0, words.indexOf('--') === -1 ? undefined : words.indexOf('--')).some(word => word === '--help' || word === '-h')
  ) {
    await output.write(helpText(verb))
    return 0
  }
  const session = openSession(deps, output, verb, words, signal)
  try {
    await verb.run(session.context)
    return session.failed() ? 1 : 0
  } finally {
    session.close()
  }
}

/** Runs one command; never throws. The returned code is the process's exit code. */
export const runCli = async (argv: readonly string[], deps: CliDeps): Promise<number> => {
  const output = openOutput(deps)
  const broken = new AbortController()
  const onBroken = (error: NodeJS.ErrnoException): void => broken.abort(error)
  deps.stdout.on('error', onBroken)
  const signal = AbortSignal.any([deps.signal, broken.signal])
  try {
    return await runVerb(argv, deps, output, signal)
  } catch (error) {
    // The reader of a pipe went away (`| head`): nobody is left to tell.
    if (broken.signal.aborted && (broken.signal.reason as NodeJS.ErrnoException).code === 'EPIPE') return 0
    if (deps.signal.aborted) {
      output.overwrite('')
      return 130
    }
    if (error instanceof ExitCode) return error.code
    printError(output, error)
    return error instanceof Failure ? error.exitCode : 1
  } finally {
    deps.stdout.removeListener('error', onBroken)
  }
}
