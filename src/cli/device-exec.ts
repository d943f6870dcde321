// helio device exec: a command in a container of this device, over the agent's socket; with -t its terminal is this one.

import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { Duplex, Readable } from 'node:stream'
import { channelFrames, channelReader } from '../base/channel-frames.ts'
import { isObject } from '../base/json.ts'
import { EXEC_CHANNELS, EXEC_UPGRADE, type ExecEnd } from '../kinds/device-shapes.ts'
import { type DeviceContext, failureOf, proven, refusalOf, socketOf, textOf } from './device-client.ts'
import { podWord } from './device-pods.ts'
import { ExitCode, Failure, usage } from './failure.ts'
import type { VerbContext } from './verb.ts'

interface Terminal {
  /** Keys one by one, nothing shown by the terminal itself; undone by `restore`. */
  restore(): void
}

/** What a terminal adds to the streams the command line knows. */
type TerminalIn = Readable & { readonly isTTY?: boolean; setRawMode?: (on: boolean) => void }
type TerminalOut = { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number }

const takeTerminal = (stdin: TerminalIn): Terminal => {
  stdin.setRawMode?.(true)
  return { restore: () => stdin.setRawMode?.(false) }
}

const upgrade = (
  context: DeviceContext,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ socket: Duplex; head: Buffer }> =>
  new Promise((resolve, reject) => {
    const socketPath = socketOf(context)
    const call: ClientRequest = request({
      socketPath,
      path,
      headers: { ...headers, connection: 'Upgrade', upgrade: EXEC_UPGRADE },
      signal: context.signal,
      agent: false,
    })
    call.on('upgrade', (_response: IncomingMessage, socket: Duplex, head: Buffer) => resolve({ socket, head }))
    call.on('response', (response: IncomingMessage) => {
      textOf(response).then(text => reject(refusalOf(text, response.statusCode ?? 0)), reject)
    })
    call.on('error', error => reject(context.signal.aborted ? context.signal.reason : failureOf(socketPath, error)))
    call.end()
  })

const endOf = (data: Uint8Array): ExecEnd => {
  const value: unknown = JSON.parse(Buffer.from(data).toString())
  if (isObject(value) && typeof value['exitCode'] === 'number') return { exitCode: value['exitCode'] }
  if (isObject(value) && typeof value['error'] === 'string')
    return { error: value['error'], ...(typeof value['hint'] === 'string' ? { hint: value['hint'] } : {}) }
  throw new Failure('read answer of /v1/exec: no end')
}

/** Carries output out until the command's end comes; undefined when the line broke before. */
const carryOutput = async ({ deps, output }: VerbContext, socket: Duplex, head: Buffer): Promise<ExecEnd | undefined> => {
  const read = channelReader()
  const state: { end: ExecEnd | undefined } = { end: undefined }
  const take = async (piece: Uint8Array): Promise<void> => {
    for (const { channel, data } of read(piece)) {
      if (channel === EXEC_CHANNELS.stdout) await output.write(data)
      else if (channel === EXEC_CHANNELS.stderr) deps.stderr.write(data)
      else if (channel === EXEC_CHANNELS.status) state.end = endOf(data)
    }
  }
  await take(head)
  for await (const piece of socket as AsyncIterable<Buffer>) await take(piece)
  return state.end
}

const carryInput = async (stdin: Readable, socket: Duplex): Promise<void> => {
  const send = (data: Uint8Array): Promise<void> =>
    new Promise(resolve => {
      if (!socket.writable || socket.write(channelFrames(EXEC_CHANNELS.stdin, data))) return resolve()
      socket.once('drain', resolve)
      socket.once('close', resolve)
    })
  for await (const chunk of stdin as AsyncIterable<Buffer | string>) {
    if (!socket.writable) return
    await send(Buffer.from(chunk))
  }
  await send(new Uint8Array(0))
}

const pathOf = ({ flags, words, rest }: VerbContext, tty: boolean, stdin: boolean): string => {
  if (rest.length === 0) throw usage('give the command after --', 'helio device exec POD -n NAMESPACE -- ls /')
  const query = new URLSearchParams({
    namespace: flags.text('namespace') ?? 'default',
    pod: podWord(words.slice(1), 'exec', 'the command stands after --'),
    container: flags.text('container') ?? '',
    tty: String(tty),
    stdin: String(stdin),
  })
  for (const word of rest) query.append('command', word)
  return `/v1/exec?${query.toString()}`
}

export const exec = async (context: VerbContext): Promise<void> => {
  const { flags, deps } = context
  const stdin = deps.stdin as TerminalIn
  const screen = deps.stdout as TerminalOut & NodeJS.EventEmitter
  const takesInput = flags.on('stdin')
  const tty = flags.on('tty') && takesInput && stdin.isTTY === true
  if (flags.on('tty') && !tty) context.output.note('no terminal is used: standard input is none, or -i was not given')
  const path = pathOf(context, tty, takesInput)
  const { socket, head } = await proven(context, headers => upgrade(context, path, headers))
  const stop = (): void => void socket.destroy()
  context.signal.addEventListener('abort', stop, { once: true })
  const resized = (): void => {
    const size = JSON.stringify({ Width: screen.columns ?? 80, Height: screen.rows ?? 24 })
    socket.write(channelFrames(EXEC_CHANNELS.resize, Buffer.from(size)))
  }
  const terminal = tty ? takeTerminal(stdin) : undefined
  if (tty) {
    resized()
    screen.on('resize', resized)
  }
  // Input ends with the command, whether it was read or not.
  if (takesInput) carryInput(stdin, socket).catch(stop)
  try {
    const end = await carryOutput(context, socket, head)
    if (end === undefined) throw new Failure('run command: the agent broke off', { hint: 'it may have been stopped or restarted' })
    if ('error' in end) throw new Failure(`run command: ${end.error}`, { hint: end.hint })
    if (end.exitCode !== 0) throw new ExitCode(end.exitCode)
  } finally {
    screen.removeListener('resize', resized)
    context.signal.removeEventListener('abort', stop)
    terminal?.restore()
    if (takesInput) stdin.destroy()
    socket.destroy()
  }
}
