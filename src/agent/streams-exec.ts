// A command in a container, for whoever asks: the server over the link, or somebody on the device. Its output goes no faster than it is
// taken, its input no faster than the command reads, and it ends when the asker is gone. Source: k8s remotecommand, PodExecOptions.

import { ApiError, messageOf } from '../base/errors.ts'
import type { ExecSession, Runtime, TerminalSize } from '../runtime/runtime.ts'
import { EXECS_MAX } from './limits.ts'
import { type AskedPod, containerOf, findPod } from './local-pods.ts'
import type { DeviceState } from './machine.ts'
import { isRunning } from './pod-record.ts'

export interface ExecTarget extends AskedPod {
  /** '' = the pod's only container. */
  readonly container: string
}

export interface ExecRequest {
  readonly command: readonly string[]
  readonly tty: boolean
  readonly stdin: boolean
}

export interface ExecChannels {
  /** Settles when it was taken; until then the command is held back. All is 'stdout' on a terminal. */
  output(channel: 'stdout' | 'stderr', data: Uint8Array): Promise<void>
  /** Aborts when the asker is gone: the command is killed. */
  readonly signal: AbortSignal
}

export interface OpenExec {
  /** Standard input; settles when the command has taken it, or reads no more. Empty data is its end. */
  write(data: Uint8Array): Promise<void>
  resize(size: TerminalSize): void
  /** Settles when the command has ended and its output was taken. 128 and more: a signal ended it. */
  readonly exitCode: Promise<number>
}

export interface ExecDeps {
  readonly state: DeviceState
  readonly runtime: Pick<Runtime, 'exec'>
  /** Commands that run; one object for all callers. */
  readonly open: { count: number }
}

const pump = async (source: NodeJS.ReadableStream | undefined, take: (data: Uint8Array) => Promise<void>, signal: AbortSignal) => {
  if (source === undefined) return
  try {
    for await (const chunk of source) {
      if (signal.aborted) return
      await take(Buffer.from(chunk))
    }
  } catch (error) {
    // A killed command's output is cut off.
    if (!signal.aborted) throw error
  }
}

const writeTo = (stdin: ExecSession['stdin'], data: Uint8Array): Promise<void> => {
  if (stdin?.writable !== true) return Promise.resolve()
  if (data.length > 0) return new Promise(resolve => void stdin.write(data, () => resolve()))
  stdin.end()
  return Promise.resolve()
}

/** The running container's id; refused in upstream's words when there is none. */
const runningContainer = (state: DeviceState, target: ExecTarget): string => {
  const record = findPod(state, target)
  const container = containerOf(record, target.container)
  const found = record.containers.get(container)
  if (!found?.current || !isRunning(found))
    throw new ApiError('BadRequest', `container not found (${JSON.stringify(container)})`, {
      hint: 'it does not run now: helio device pods says why',
    })
  return found.current.id
}

/** Starts a command. Rejects with ApiError when there is no such running container, or too many commands run. */
export const openExec = async (deps: ExecDeps, target: ExecTarget, request: ExecRequest, channels: ExecChannels): Promise<OpenExec> => {
  const { signal } = channels
  if (request.command.length === 0) throw new ApiError('BadRequest', 'you must specify at least 1 command for the container')
  const id = runningContainer(deps.state, target)
  if (deps.open.count >= EXECS_MAX)
    throw new ApiError('TooManyRequests', `run command: ${EXECS_MAX} run on this device already`, { hint: 'end one of them first' })
  deps.open.count++
  const over = (): void => {
    deps.open.count--
  }
  const session = await deps.runtime.exec(id, request.command, { tty: request.tty, stdin: request.stdin }).catch((error: unknown) => {
    over()
    throw new ApiError('InternalError', `error executing command in container: ${messageOf(error)}`, { cause: error })
  })
  const kill = (): void => session.kill()
  signal.addEventListener('abort', kill, { once: true })
  if (signal.aborted) kill()
  const outputs = Promise.all([
    pump(session.stdout, data => channels.output('stdout', data), signal),
    pump(session.stderr, data => channels.output('stderr', data), signal),
  ])
  // Output that cannot be carried any further ends the command: nobody would see it.
  outputs.catch(kill)
  const exitCode = Promise.all([session.exitCode, outputs])
    .then(([code]) => code)
    .finally(() => {
      over()
      signal.removeEventListener('abort', kill)
    })
  return {
    write: data => writeTo(session.stdin, data),
    resize: size => session.resize(size),
    exitCode,
  }
}
