// The streams a server opens on this device, each carried out and carried back: logs, commands, attached output, ports. The link's credit
// is the brake in both directions. Source: k8s remotecommand v4 for the status at the end of a command.

import { ApiError, messageOf, type Status, toStatus } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { LinkStream, StreamRequest } from '../link/link.ts'
import { STREAM_CHANNELS } from '../link/messages.ts'
import type { TerminalSize } from '../runtime/runtime.ts'
import type { Exits } from './exits.ts'
import { logTargetOf } from './local-pods.ts'
import type { LogReader } from './logs.ts'
import { type ExecChannels, type ExecDeps, type ExecRequest, type ExecTarget, type OpenExec, openExec } from './streams-exec.ts'
import { openPort, type PortDeps, portFailure } from './streams-port.ts'

export type { ExecChannels, ExecRequest, ExecTarget, OpenExec } from './streams-exec.ts'

export interface StreamsDeps extends PortDeps, Pick<ExecDeps, 'runtime'> {
  readonly exits: Pick<Exits, 'onExit'>
  readonly reader: LogReader
}

export interface Streams {
  /** Runs a command in a container, for a caller on the device; see streams-exec.ts. */
  openExec(target: ExecTarget, request: ExecRequest, channels: ExecChannels): Promise<OpenExec>
  /** Carries out what the server asked for. Never throws: failures go back on the stream. */
  onStream(request: StreamRequest, stream: LinkStream): void
  /** Ends everything that is open; commands are killed. */
  close(): void
}

type Request<D extends StreamRequest['do']> = Extract<StreamRequest, { readonly do: D }>
type Carriers = {
  readonly [D in StreamRequest['do']]: (deps: Deps, request: Request<D>, stream: LinkStream, signal: AbortSignal) => Promise<void>
}
type Deps = StreamsDeps & ExecDeps

/** What a command's end is called on the status channel. Pure. */
export const exitStatus = (code: number): Partial<Status> & Pick<Status, 'status'> =>
  code === 0
    ? { metadata: {}, status: 'Success' }
    : ({
        metadata: {},
        status: 'Failure',
        message: `command terminated with non-zero exit code: exit status ${code}`,
        reason: 'NonZeroExitCode',
        details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
      } as unknown as Status)

/** `{"Width":80,"Height":24}`; undefined for anything else. */
export const sizeOf = (text: string): TerminalSize | undefined => {
  const isSide = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536
  try {
    const value: unknown = JSON.parse(text)
    if (!isObject(value) || !isSide(value['Width']) || !isSide(value['Height'])) return undefined
    return { columns: value['Width'], rows: value['Height'] }
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

const tell = (stream: LinkStream, status: unknown): Promise<void> =>
  stream.write(Buffer.from(JSON.stringify(status)), STREAM_CHANNELS.status)

const carryExec = async (deps: Deps, request: Request<'exec'>, stream: LinkStream, signal: AbortSignal): Promise<void> => {
  const { stdout, stderr, stdin, resize } = STREAM_CHANNELS
  const opened = openExec(deps, request, request, {
    output: (channel, data) => stream.write(data, channel === 'stdout' ? stdout : stderr),
    signal,
  })
  // Input may be here before the command is; what comes for a command that never was is dropped.
  const whenOpen = opened.then(
    open => open,
    () => undefined,
  )
  stream.onData = async (data, channel) => {
    const exec = await whenOpen
    if (channel === stdin) return exec?.write(data)
    const size = channel === resize ? sizeOf(Buffer.from(data).toString()) : undefined
    if (size !== undefined) exec?.resize(size)
  }
  const { exitCode } = await opened
  await tell(stream, exitStatus(await exitCode))
}

/** What the container writes from now on. Its input is not held open by any runtime here, so none can be given. */
const carryAttach = async (deps: Deps, request: Request<'attach'>, stream: LinkStream, signal: AbortSignal): Promise<void> => {
  if (request.stdin)
    throw new ApiError(
      'BadRequest',
      `container ${request.container} does not have its standard input open: attach without -i, or exec into it`,
    )
  const target = logTargetOf(deps.state, request, deps.exits)
  if (!target.isRunning()) throw new ApiError('BadRequest', `container not found (${JSON.stringify(target.container)})`)
  const follow = (only: 'stdout' | 'stderr'): Promise<void> =>
    deps.reader.read(target, { follow: true, tailLines: 0, only }, bytes => stream.write(bytes, STREAM_CHANNELS[only]), signal)
  await Promise.all([follow('stdout'), follow('stderr')])
  await tell(stream, exitStatus(0))
}

const carryPort = async (deps: Deps, request: Request<'portForward'>, stream: LinkStream, signal: AbortSignal): Promise<void> => {
  const opened = openPort(deps, request, request.port)
  const whenOpen = opened.then(
    open => open,
    () => undefined,
  )
  stream.onData = async data => {
    const connection = await whenOpen
    if (connection?.writable !== true) return
    if (data.length === 0) connection.end()
    else await new Promise<void>(resolve => void connection.write(data, () => resolve()))
  }
  const connection = await opened
  const cut = (): void => void connection.destroy()
  signal.addEventListener('abort', cut, { once: true })
  if (signal.aborted) cut()
  const carried = { any: false }
  connection.on('data', (chunk: Buffer) => {
    carried.any = true
    connection.pause()
    stream.write(chunk).then(() => connection.resume(), cut)
  })
  // The end of one direction leaves the other open.
  connection.on('end', () => void stream.write(new Uint8Array(0)).catch(cut))
  await new Promise<void>((resolve, reject) => {
    connection.on('close', resolve)
    // A connection that carried something and broke has ended, as far as the client can tell.
    connection.on('error', error => {
      if (carried.any || signal.aborted) resolve()
      else reject(portFailure(request, request.port, error))
    })
  })
}

const CARRIERS: Carriers = {
  logs: (deps, request, stream, signal) =>
    deps.reader.read(logTargetOf(deps.state, request, deps.exits), request.options, bytes => stream.write(bytes), signal),
  exec: carryExec,
  attach: carryAttach,
  portForward: carryPort,
}

/** Commands and attached output end with a status; what went wrong before is told there too. */
const hasStatus = (request: StreamRequest): boolean => request.do === 'exec' || request.do === 'attach'

const refusal = (error: unknown): Status => toStatus(error instanceof ApiError ? error : new ApiError('InternalError', messageOf(error)))

export const createStreams = (streamsDeps: StreamsDeps): Streams => {
  const deps: Deps = { ...streamsDeps, open: { count: 0 } }
  const streams = new Set<AbortController>()
  const carry = async (request: StreamRequest, stream: LinkStream, signal: AbortSignal): Promise<void> => {
    const carrier = CARRIERS[request.do] as (deps: Deps, request: StreamRequest, stream: LinkStream, signal: AbortSignal) => Promise<void>
    try {
      await carrier(deps, request, stream, signal)
    } catch (error) {
      if (!hasStatus(request)) throw error
      await tell(stream, refusal(error))
    }
  }
  return {
    openExec: (target, request, channels) => openExec(deps, target, request, channels),
    onStream(request, stream) {
      const gone = new AbortController()
      streams.add(gone)
      stream.onEnd = () => gone.abort()
      const ended = (error?: string): void => {
        streams.delete(gone)
        if (!gone.signal.aborted) stream.end(error)
      }
      carry(request, stream, gone.signal).then(
        () => ended(),
        (error: unknown) => ended(messageOf(error)),
      )
    },
    close() {
      for (const stream of streams) stream.abort()
    },
  }
}
