// exec and attach between a client, whatever carries its channels, and the device: input one way, output the other, and one status at the
// end, also when the device is lost in between. Source: k8s PodExecOptions, PodAttachOptions; remotecommand.

import { ApiError, messageOf, type Status, toStatus } from '../../base/errors.ts'
import { isObject } from '../../base/json.ts'
import type { KubeObject } from '../../base/object.ts'
import { booleanParam } from '../query.ts'
import { badRequest } from '../refusal.ts'
import { COMMAND_CHARS_MAX, COMMAND_WORDS_MAX, RESIZE_BYTES_MAX, STATUS_BYTES_MAX } from './limits.ts'
import { CHANNELS, GONE, type PodStream, type PodStreamRequest, type PodStreams } from './pod-stream.ts'

export interface CommandOptions {
  readonly what: 'exec' | 'attach'
  readonly command: readonly string[]
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly tty: boolean
}

/** The query of exec or attach, checked. */
export const commandOptions = (what: 'exec' | 'attach', query: URLSearchParams): CommandOptions => {
  const on = (name: string): boolean => booleanParam(query, name)
  const tty = on('tty')
  const command = what === 'exec' ? query.getAll('command') : []
  const options = { what, command, stdin: on('stdin'), stdout: on('stdout'), stderr: on('stderr') && !tty, tty }
  if (!options.stdin && !options.stdout && !options.stderr && !on('stderr'))
    throw badRequest('you must specify at least 1 of stdin, stdout, stderr')
  if (what === 'exec' && command.join('') === '') throw badRequest('you must specify at least 1 command for the container')
  if (command.length > COMMAND_WORDS_MAX || command.reduce((chars, word) => chars + word.length, 0) > COMMAND_CHARS_MAX)
    throw badRequest(`the command has more than ${COMMAND_WORDS_MAX} words or ${COMMAND_CHARS_MAX} characters`)
  if (command.some(word => word.includes('\0'))) throw badRequest('the command contains a zero byte')
  return options
}

/** A client's ends of one command. */
export interface CommandClient {
  /** Output; settles when the client has room again, or is gone. */
  write(channel: number, data: Uint8Array): Promise<void>
  /** Says how it ended, ends all channels and closes. */
  finish(status: Status): void
}

/** What a client's input is handed to. */
export interface CommandInput {
  /** Empty data is the end of the input. */
  stdin(data: Uint8Array): Promise<void>
  resize(data: Uint8Array): Promise<void>
  /** The client is gone. */
  gone(): void
}

const failure = (error: unknown): Status => toStatus(error instanceof ApiError ? error : new ApiError('InternalError', messageOf(error)))

const parseStatus = (chunks: readonly Uint8Array[]): Status => {
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString())
    if (isObject(value) && (value['status'] === 'Success' || value['status'] === 'Failure')) return value as unknown as Status
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  return failure(new ApiError('InternalError', 'the device ended the command without a status'))
}

const requestOf = (pod: KubeObject, container: string, options: CommandOptions): PodStreamRequest => {
  const { command, tty, stdin } = options
  return options.what === 'exec' ? { do: 'exec', pod, container, command, tty, stdin } : { do: 'attach', pod, container, stdin }
}

const connect = (stream: PodStream, client: CommandClient, options: CommandOptions): void => {
  const status: { readonly chunks: Uint8Array[]; bytes: number } = { chunks: [], bytes: 0 }
  const wanted = new Set([...(options.stdout ? [CHANNELS.stdout] : []), ...(options.stderr ? [CHANNELS.stderr] : [])] as number[])
  stream.onData = (data, channel) => {
    if (channel === CHANNELS.status) {
      status.bytes += data.length
      if (status.bytes <= STATUS_BYTES_MAX) status.chunks.push(data)
      return undefined
    }
    return data.length > 0 && wanted.has(channel) ? client.write(channel, data) : undefined
  }
  stream.onEnd = error =>
    client.finish(error === undefined ? parseStatus(status.chunks) : failure(new ApiError('InternalError', `exec: ${error}`)))
}

/** Runs the command; what the client sends goes to what is returned. Failures are told to the client. */
export const runCommand = (
  streams: PodStreams,
  target: { readonly pod: KubeObject; readonly container: string },
  options: CommandOptions,
  client: CommandClient,
): CommandInput => {
  const state: { gone: boolean; stream: PodStream | undefined } = { gone: false, stream: undefined }
  const open = async (): Promise<void> => {
    try {
      const stream = await streams.open(requestOf(target.pod, target.container, options))
      state.stream = stream
      if (state.gone) stream.end(GONE)
      else connect(stream, client, options)
    } catch (error) {
      client.finish(failure(error))
    }
  }
  const opened = open()
  return {
    async stdin(data) {
      await opened
      if (options.stdin) await state.stream?.write(data, CHANNELS.stdin)
    },
    async resize(data) {
      await opened
      if (options.tty && data.length > 0 && data.length <= RESIZE_BYTES_MAX) await state.stream?.write(data, CHANNELS.resize)
    },
    gone() {
      state.gone = true
      state.stream?.end(GONE)
    },
  }
}

/** How the older protocols tell a failure: its message alone. Nothing after success. */
export const statusText = (status: Status): string => (status.status === 'Success' ? '' : (status.message ?? 'unknown error'))
