// The client's side of exec, attach and port-forward: channels over one WebSocket, v5.channel.k8s.io. Source: k8s remotecommand websocket.

import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import type { Endpoint } from './kubeconfig.ts'
import { CHANNEL_MESSAGE_BYTES_MAX, CONNECT_MS_MAX } from './limits.ts'

export interface Channels {
  /** Settles when the system took it, or the server is gone. */
  send(channel: number, data: Uint8Array): Promise<void>
  /** Nothing more comes on this channel. */
  end(channel: number): void
  close(): void
  /** Settles when the connection is over. */
  readonly closed: Promise<void>
}

export interface ChannelHooks {
  /** One after the other; the next message waits for the promise. */
  readonly onData: (channel: number, data: Buffer) => Promise<void> | void
  /** The server ended a channel. */
  readonly onEnd?: (channel: number) => void
}

export interface ChannelRequest {
  readonly path: string
  /** Names may come several times. */
  readonly query: readonly (readonly [string, string])[]
  readonly signal: AbortSignal
}

const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io']
const CLOSE_CHANNEL = 255

/** What the dial failed by: an answer that is no upgrade, or an error of the connection. */
export type DialFailure = { readonly response: IncomingMessage } | { readonly error: unknown }

const connected = (socket: WebSocket, signal: AbortSignal): Promise<DialFailure | undefined> =>
  new Promise((resolve, reject) => {
    const abort = (): void => {
      socket.terminate()
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    const settle = (failure: DialFailure | undefined): void => {
      signal.removeEventListener('abort', abort)
      resolve(failure)
    }
    socket.once('open', () => settle(undefined))
    socket.once('unexpected-response', (_request, response) => settle({ response }))
    socket.once('error', error => settle({ error }))
  })

const wrap = (socket: WebSocket, hooks: ChannelHooks, signal: AbortSignal): Channels => {
  const state: { tail: Promise<void>; waiting: number } = { tail: Promise.resolve(), waiting: 0 }
  const closes = socket.protocol.startsWith('v5.')
  const take = (message: Buffer): Promise<void> | void => {
    if (message.length === 0) return
    const [channel = 0, which = 0] = message
    if (closes && channel === CLOSE_CHANNEL) return hooks.onEnd?.(which)
    return hooks.onData(channel, message.subarray(1))
  }
  const fail = (): void => socket.terminate()
  socket.on('message', (message: Buffer) => {
    state.waiting++
    socket.pause()
    state.tail = state.tail
      .then(() => take(message))
      .catch(fail)
      .then(() => {
        if (--state.waiting === 0) socket.resume()
      })
  })
  socket.on('error', fail)
  const abort = (): void => socket.terminate()
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  const closed = new Promise<void>(resolve => socket.on('close', resolve)).then(() => {
    signal.removeEventListener('abort', abort)
    return state.tail
  })
  return {
    send: (channel, data) => new Promise(resolve => socket.send(Buffer.concat([Buffer.from([channel]), data]), () => resolve())),
    end(channel) {
      if (closes && socket.readyState === socket.OPEN) socket.send(Buffer.from([CLOSE_CHANNEL, channel]))
    },
    close: () => socket.close(),
    closed,
  }
}

/** Opens the channels; settles with a failure when the server does not. */
export const dialChannels = async (
  endpoint: Endpoint,
  request: ChannelRequest,
  userAgent: string,
  hooks: ChannelHooks,
): Promise<Channels | DialFailure> => {
  const url = new URL(`${endpoint.server}${request.path}`)
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:'
  for (const [name, value] of request.query) url.searchParams.append(name, value)
  const socket = new WebSocket(url, PROTOCOLS, {
    perMessageDeflate: false,
    maxPayload: CHANNEL_MESSAGE_BYTES_MAX,
    handshakeTimeout: CONNECT_MS_MAX,
    followRedirects: false,
    rejectUnauthorized: !endpoint.insecure,
    headers: { 'user-agent': userAgent, ...(endpoint.token === undefined ? {} : { authorization: `Bearer ${endpoint.token}` }) },
    ...(endpoint.caPem === undefined ? {} : { ca: endpoint.caPem }),
    ...(endpoint.certPem === undefined ? {} : { cert: endpoint.certPem }),
    ...(endpoint.keyPem === undefined ? {} : { key: endpoint.keyPem }),
    ...(endpoint.serverName === undefined ? {} : { servername: endpoint.serverName }),
  })
  const failure = await connected(socket, request.signal)
  return failure ?? wrap(socket, hooks, request.signal)
}
