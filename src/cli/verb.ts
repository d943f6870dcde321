// What a verb is: a table of its flags, its help, and a function. One file per verb, listed in index.ts, loaded when it is used.

import type { CliDeps } from './cli.ts'
import type { Client } from './client.ts'
import type { FlagSpec, Flags } from './flags.ts'
import type { Output } from './output.ts'
import type { Resources } from './resources.ts'

export interface VerbContext {
  readonly deps: CliDeps
  readonly output: Output
  readonly flags: Flags
  readonly words: readonly string[]
  readonly rest: readonly string[]
  readonly dataDir: string
  /** Aborts on interruption, on --timeout of the whole command never: verbs with a timeout make their own. */
  readonly signal: AbortSignal
  /** Connects by the kubeconfig; the same client each time. */
  client(): Promise<Client>
  /** Discovery, asked once. `again` asks anew. */
  resources(again?: boolean): Promise<Resources>
  /** -n, or the context's namespace. */
  namespace(): Promise<string>
  /** Prints an error and goes on: the command will end with code 1. Rethrows when the server cannot be reached. */
  complain(error: unknown): void
}

export interface Verb {
  readonly name: string
  /** One line, lower case, no full stop. */
  readonly summary: string
  /** Lines after `helio `. */
  readonly usage: readonly string[]
  readonly flags: readonly FlagSpec[]
  /** Comment and command. */
  readonly examples: readonly (readonly [string, string])[]
  /** Words that may follow the verb, for "did you mean". */
  readonly subverbs?: readonly string[]
  /** Whether the flags of the server connection apply. */
  readonly connects: boolean
  run(context: VerbContext): Promise<void>
}

export interface VerbEntry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<{ readonly verb: Verb }>
}

export const HELP_FLAG: FlagSpec = { flag: 'help', short: 'h', type: 'switch', describe: 'show this help' }

export const DATA_DIR_FLAG: FlagSpec = {
  flag: 'data-dir',
  type: 'text',
  value: 'DIR',
  describe: 'data directory of the server or device on this machine',
}

export const CONNECTION_FLAGS: readonly FlagSpec[] = [
  { flag: 'kubeconfig', type: 'text', value: 'FILE', describe: 'kubeconfig; else $KUBECONFIG, else the data directory’s' },
  DATA_DIR_FLAG,
  { flag: 'context', type: 'text', value: 'NAME', describe: 'context of the kubeconfig to use' },
  { flag: 'namespace', short: 'n', type: 'text', value: 'NAME', describe: 'namespace' },
]

export const ALL_NAMESPACES_FLAG: FlagSpec = { flag: 'all-namespaces', short: 'A', type: 'switch', describe: 'all namespaces' }
export const SELECTOR_FLAG: FlagSpec = {
  flag: 'selector',
  short: 'l',
  type: 'text',
  value: 'SELECTOR',
  describe: 'only objects with these labels, as in app=web,tier!=db',
}
export const FIELD_SELECTOR_FLAG: FlagSpec = {
  flag: 'field-selector',
  type: 'text',
  value: 'SELECTOR',
  describe: 'only objects with these fields, as in status.phase=Running',
}
export const FILENAME_FLAGS: readonly FlagSpec[] = [
  {
    flag: 'filename',
    short: 'f',
    type: 'list',
    value: 'FILE',
    describe: 'file or folder of manifests, or - for standard input; may be repeated',
  },
  { flag: 'recursive', short: 'R', type: 'switch', describe: 'take the folders inside folders too' },
]
export const DRY_RUN_FLAG: FlagSpec = {
  flag: 'dry-run',
  type: 'text',
  choices: ['none', 'client', 'server'],
  bare: 'client',
  default: 'none',
  describe: 'client: only print what would be sent; server: have it checked, not stored',
}
export const TIMEOUT_FLAG: FlagSpec = {
  flag: 'timeout',
  type: 'duration',
  value: 'TIME',
  default: '0s',
  describe: 'give up after this long; 0 waits for ever',
}

export const outputFlag = (choices: readonly string[]): FlagSpec => ({
  flag: 'output',
  short: 'o',
  type: 'text',
  choices,
  describe: 'form of the output',
})
