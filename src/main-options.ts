// The options of the two long-running roles, their help, and how a role begins and ends. Order: flag, environment, file, default.

import { accessSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import { ApiError, messageOf } from './base/errors.ts'
import { isObject } from './base/json.ts'
import { describeOptions, type OptionValues, parseFlags, resolveOptions, type UsageProblem } from './base/options.ts'
import { AGENT_OPTIONS, CONFIGURATION_KINDS, ROLE_OPTIONS, type Role, SERVER_OPTIONS } from './base/role-options.ts'
import { systemClock } from './host/clock.ts'
import { makeFolder, systemFiles } from './host/files.ts'

export { DATA_DIR_DEFAULT } from './base/role-options.ts'
export const isRole = (word: string | undefined): word is Role => word === 'server' || word === 'agent'

/** Help text of a role. */
export const roleHelp = (role: Role): string =>
  role === 'server'
    ? `usage: helio server [flags]\n\nRuns the control plane, and an agent with it unless --no-agent. Prints "ready <url>" once it answers.\n\nFlags:\n${describeOptions(SERVER_OPTIONS)}\n`
    : `usage: helio agent [flags]\n\nRuns this machine's pods. Needs --server and --token once, to join; afterwards neither.\n\nFlags:\n${describeOptions(AGENT_OPTIONS)}\n`

const isProblem = (value: OptionValues | UsageProblem | Record<string, unknown>): value is UsageProblem =>
  'problem' in value && typeof value['problem'] === 'string'

/** One line for people, one with what to do. */
export const complain = (message: string, hint?: string): void => {
  process.stderr.write(`error: ${message}\n${hint ? `hint: ${hint}\n` : ''}`)
}

const configuration = async (role: Role, path: string): Promise<Record<string, unknown> | UsageProblem> => {
  const text = systemFiles.read(path)
  if (text === undefined) return { problem: `configuration: there is no file ${path}` }
  const { parse } = await import('yaml')
  const kind = CONFIGURATION_KINDS[role]
  try {
    const value: unknown = parse(text, { version: '1.1' })
    if (!isObject(value) || value['kind'] !== kind || value['apiVersion'] !== 'heliopause.io/v1')
      return { problem: `configuration: ${path} must hold apiVersion heliopause.io/v1, kind ${kind}` }
    return value
  } catch (error) {
    return { problem: `configuration: ${path} is not YAML: ${messageOf(error).split('\n')[0]}` }
  }
}

const NODE_NAME_HINT = 'lower case letters, digits, "-" and ".", at most 63 characters'
const isNodeName = (name: string): boolean => /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/.test(name)

/** A machine's host name as a node name: what a node may not be called becomes "-". */
export const nodeNameOf = (hostname: string): string => {
  const name = hostname
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .slice(0, 63)
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
  return name === '' ? 'node' : name
}

/** Whoever read the log or waited for "ready" may be gone (a collector that ended, a shell that was closed): a role works on without him. */
const outliveReaders = (): void => {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
}

/** The resolved options of a role, or an exit code after saying what is wrong. The data folder exists afterwards. */
export const readRole = async (role: Role, argv: readonly string[]): Promise<OptionValues | 1 | 2> => {
  const fail = ({ problem, hint }: UsageProblem): 2 => {
    complain(problem, hint ?? `helio help ${role}`)
    return 2
  }
  outliveReaders()
  const flags = parseFlags(ROLE_OPTIONS[role], argv)
  if (isProblem(flags)) return fail(flags)
  const path = flags['config'] ?? process.env['HELIO_CONFIG']
  const file = typeof path === 'string' ? await configuration(role, path) : {}
  if (isProblem(file)) return fail(file)
  const values = resolveOptions(ROLE_OPTIONS[role], flags, process.env, file)
  if (isProblem(values)) return fail(values)
  const nodeName = values['nodeName']
  if (nodeName !== undefined && !isNodeName(String(nodeName)))
    return fail({ problem: `--node-name: ${JSON.stringify(nodeName)} is not a node name`, hint: NODE_NAME_HINT })
  const dataDir = resolve(String(values['dataDir']))
  try {
    makeFolder(dataDir)
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'EACCES' || code === 'EPERM' ? 'permission denied' : code === 'EEXIST' ? 'it is a file' : messageOf(error)
    complain(`open data folder ${dataDir}: ${why}`, 'choose another with --data-dir, or run as root')
    return 1
  }
  return { ...values, dataDir }
}

/** The groups that may use the device's socket, from the options of a role. */
export const socketGroupsOf = ({
  socketGroup,
  operatorGroup,
}: OptionValues): { readonly readers?: string; readonly operators?: string } => ({
  ...(socketGroup === undefined ? {} : { readers: String(socketGroup) }),
  ...(operatorGroup === undefined ? {} : { operators: String(operatorGroup) }),
})

/** SIGTERM and SIGINT end a role within this; afterwards it is cut off. Pods are not asked. */
const STOP_MS_MAX = 4500

/** From here on a signal is not lost: who reads "ready" may stop the role before it waits for that. Answers whether one came. */
export const heedSignals = (): (() => boolean) => {
  const state = { came: false }
  const note = (): void => {
    state.came = true
  }
  process.on('SIGTERM', note)
  process.on('SIGINT', note)
  return () => {
    process.off('SIGTERM', note)
    process.off('SIGINT', note)
    return state.came
  }
}

/** Settles with the exit code after a signal, of before or to come, and an orderly end. */
export const untilStopped = (close: () => Promise<void>, came: () => boolean = () => false): Promise<number> =>
  new Promise(done => {
    const stop = (): void => {
      process.off('SIGTERM', stop)
      process.off('SIGINT', stop)
      const cancel = systemClock.after(STOP_MS_MAX, () => {
        complain(`did not end within ${STOP_MS_MAX} ms, cut off`)
        process.exit(1)
      })
      close().then(
        () => {
          cancel()
          done(0)
        },
        (error: unknown) => {
          complain(`stop: ${messageOf(error)}`)
          process.exit(1)
        },
      )
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
    if (came()) stop()
  })

/** What went wrong at start, as one line and a hint. */
export const explain = (error: unknown): number => {
  complain(messageOf(error), error instanceof ApiError ? error.hint : undefined)
  return 1
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm' }

/** The Kubernetes version whose semantics are served, with the build's own. HELIO_* are set when the program is bundled. */
export const VERSION = {
  gitVersion: `v1.36.0+helio.${process.env.HELIO_VERSION ?? '0.0.0'}`,
  gitCommit: process.env.HELIO_COMMIT ?? 'unknown',
  /** The earliest the present can be, for machines whose clock says otherwise. */
  buildDate: process.env.HELIO_BUILT ?? '2026-11-01T00:00:00Z',
  platform: `linux/${ARCHITECTURES[process.arch] ?? process.arch}`,
} as const
