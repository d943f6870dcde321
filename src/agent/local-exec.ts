// A command in a container over the local socket: `GET /v1/exec?namespace&pod&container&command=…&tty&stdin` with `Upgrade: helio-exec`,
// then frames of base/channel-frames.ts both ways, on the channels of the link's streams. The end is one frame on the status channel:
// {exitCode} or {error, hint}. Refused before the upgrade as any other request.

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { channelFrames, channelReader } from '../base/channel-frames.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import { EXEC_CHANNELS, EXEC_UPGRADE, type ExecEnd, type LocalError, PEER_HEADER } from '../kinds/device-shapes.ts'
import { EXEC_WORDS_MAX } from './limits.ts'
import type { PeerDesk } from './peer.ts'
import { type Streams, sizeOf } from './streams.ts'
import type { ExecRequest, ExecTarget, OpenExec } from './streams-exec.ts'

export interface LocalExecDeps {
  readonly peers: PeerDesk
  readonly openExec: Streams['openExec']
}

const asked = (query: URLSearchParams): { readonly target: ExecTarget; readonly request: ExecRequest } => {
  const pod = query.get('pod')
  const command = query.getAll('command')
  if (!pod) throw new ApiError('BadRequest', 'run command: no pod was named')
  if (command.length === 0 || command.length > EXEC_WORDS_MAX)
    throw new ApiError('BadRequest', `run command: give 1 to ${EXEC_WORDS_MAX} words after --`)
  return {
    target: { namespace: query.get('namespace') || 'default', pod, container: query.get('container') ?? '' },
    request: { command, tty: query.get('tty') === 'true', stdin: query.get('stdin') === 'true' },
  }
}

const errorOf = (error: unknown): LocalError => {
  const hint = error instanceof ApiError ? error.hint : undefined
  return { error: messageOf(error), ...(hint === undefined ? {} : { hint }) }
}

const refuse = (socket: Duplex, error: unknown): void => {
  const code = error instanceof ApiError ? error.code : 500
  const body = `${JSON.stringify(errorOf(error))}\n`
  const head = [
    `HTTP/1.1 ${code} Refused`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Settles when the socket took it, or is over. */
const send = (socket: Duplex, channel: number, data: Uint8Array): Promise<void> =>
  new Promise(resolve => {
    if (!socket.writable || socket.write(channelFrames(channel, data))) return resolve()
    socket.once('drain', resolve)
    socket.once('close', resolve)
  })

/** Frames of the caller, one after the other, held back while the command does not read. */
const readFrames = (socket: Duplex, first: Uint8Array, exec: Promise<OpenExec>): void => {
  const read = channelReader()
  const take = async (piece: Uint8Array): Promise<void> => {
    const open = await exec
    for (const { channel, data } of read(piece)) {
      if (channel === EXEC_CHANNELS.stdin) await open.write(data)
      const size = channel === EXEC_CHANNELS.resize ? sizeOf(Buffer.from(data).toString()) : undefined
      if (size) open.resize(size)
    }
  }
  const state = { last: take(first) }
  const cut = (error: unknown): void => void socket.destroy(error instanceof Error ? error : undefined)
  socket.on('data', (piece: Buffer) => {
    socket.pause()
    state.last = state.last.then(() => take(piece)).then(() => void socket.resume())
    state.last.catch(cut)
  })
  state.last.catch(cut)
}

const run = async (deps: LocalExecDeps, query: URLSearchParams, socket: Duplex, head: Uint8Array): Promise<void> => {
  const { target, request } = asked(query)
  const gone = new AbortController()
  socket.on('close', () => gone.abort())
  // Input has an end of its own: who closes his side of the socket has gone away.
  socket.on('end', () => void socket.destroy())
  const { stdout, stderr, status } = EXEC_CHANNELS
  const upgraded = { resolve: (): void => {} }
  const whenUpgraded = new Promise<void>(resolve => {
    upgraded.resolve = resolve
  })
  // The command may speak before the answer that it runs has gone out.
  const output = async (channel: 'stdout' | 'stderr', data: Uint8Array): Promise<void> => {
    await whenUpgraded
    await send(socket, channel === 'stdout' ? stdout : stderr, data)
  }
  const open = await deps.openExec(target, request, { output, signal: gone.signal })
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${EXEC_UPGRADE}\r\n\r\n`)
  upgraded.resolve()
  readFrames(socket, head, Promise.resolve(open))
  const end: ExecEnd = await open.exitCode.then(
    exitCode => ({ exitCode }),
    (error: unknown) => errorOf(error),
  )
  await send(socket, status, Buffer.from(JSON.stringify(end)))
  socket.end()
}

/** Answers an upgrade on the local socket. Never throws. */
export const serveExec = (deps: LocalExecDeps, request: IncomingMessage, socket: Duplex, head: Uint8Array): void => {
  // A caller that goes away is no error; its command is killed.
  socket.on('error', () => socket.destroy())
  const url = new URL(request.url ?? '/', 'http://device')
  Promise.resolve()
    .then(() => {
      if (request.method !== 'GET' || url.pathname !== '/v1/exec' || request.headers.upgrade !== EXEC_UPGRADE)
        throw new ApiError('NotFound', `device: there is no ${request.method} ${url.pathname} to upgrade`)
      const proof = request.headers[PEER_HEADER]
      deps.peers.actor(typeof proof === 'string' ? proof : undefined)
      return run(deps, url.searchParams, socket, head)
    })
    .catch((error: unknown) => refuse(socket, error))
}
