// One command in a container, or the output of one that runs, from the command line's point of view: exec, attach and cp share it.

import type { Status } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { Channels } from './channels.ts'
import type { Client } from './client.ts'
import { Failure, Refused } from './failure.ts'

export interface RemoteCommand {
  readonly what: 'exec' | 'attach'
  readonly namespace: string
  readonly pod: string
  readonly container: string | undefined
  readonly command: readonly string[]
  readonly stdin: boolean
  readonly tty: boolean
}

export interface RemoteHooks {
  /** The command goes on when it was taken. */
  readonly stdout: (data: Buffer) => Promise<void> | void
  readonly stderr: (data: Buffer) => Promise<void> | void
  readonly signal: AbortSignal
}

export interface RemoteSession {
  /** Standard input; settles when it is on its way. */
  write(data: Uint8Array): Promise<void>
  endInput(): void
  resize(columns: number, rows: number): Promise<void>
  close(): void
  /** Settles with the exit code. Rejects when the command could not be run, or the connection broke. */
  readonly exitCode: Promise<number>
}

const [STDIN, STDOUT, STDERR, STATUS, RESIZE] = [0, 1, 2, 3, 4]

/** The exit code a status stands for; throws when it stands for a failure to run. Pure. */
export const exitCodeOf = (text: string): number => {
  const value: unknown = text === '' ? undefined : JSON.parse(text)
  if (!isObject(value))
    throw new Failure('the connection ended before the command did', { hint: 'is the device still connected? helio get nodes' })
  if (value['status'] === 'Success') return 0
  const { reason, details, message } = value as unknown as Status & { reason?: string }
  const code = details?.causes?.find(cause => cause.reason === 'ExitCode')?.message
  if (reason === ('NonZeroExitCode' as string) && code !== undefined && /^\d{1,3}$/.test(code)) return Number(code)
  if (typeof value['code'] === 'number') throw new Refused(value as unknown as Status, value['code'])
  throw new Failure(message ?? 'the command ended without a status')
}

const queryOf = (command: RemoteCommand): (readonly [string, string])[] => [
  ...command.command.map(word => ['command', word] as const),
  ...(command.container === undefined ? [] : [['container', command.container] as const]),
  ...(command.stdin ? [['stdin', 'true'] as const] : []),
  ['stdout', 'true'],
  ...(command.tty ? [['tty', 'true'] as const] : [['stderr', 'true'] as const]),
]

/** Path of a pod's subresource. */
export const podPath = (namespace: string, pod: string, subresource: string): string =>
  `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/${subresource}`

/** Starts it; settles when the server has taken the connection. */
export const openRemote = async (client: Client, command: RemoteCommand, hooks: RemoteHooks): Promise<RemoteSession> => {
  const status: Buffer[] = []
  const request = { path: podPath(command.namespace, command.pod, command.what), query: queryOf(command), signal: hooks.signal }
  const channels: Channels = await client.channels(request, {
    onData(channel, data) {
      if (data.length === 0) return undefined
      if (channel === STDOUT) return hooks.stdout(data)
      if (channel === STDERR) return hooks.stderr(data)
      if (channel === STATUS) status.push(data)
      return undefined
    },
  })
  const exitCode = channels.closed.then(() => {
    hooks.signal.throwIfAborted()
    return exitCodeOf(Buffer.concat(status).toString())
  })
  return {
    write: data => channels.send(STDIN!, data),
    endInput: () => channels.end(STDIN!),
    resize: (columns, rows) => channels.send(RESIZE!, Buffer.from(JSON.stringify({ Width: columns, Height: rows }))),
    close: channels.close,
    exitCode,
  }
}

/** A command that ended with another code than 0. */
export const commandFailure = (code: number): Failure => new Failure(`command terminated with exit code ${code}`, { exitCode: code })
