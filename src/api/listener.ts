// The one port: TLS with client certificates, HTTP/2 and HTTP/1.1, upgrades handed on. HTTP/2 requests use the stream interface, which
// costs a third less than the request objects. Ends gracefully: no new connections, open watches end, the rest has a deadline.

import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex, Writable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Cancel, Clock } from '../base/clock.ts'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Identity } from '../base/pki.ts'
import { readStream, sinkOver, writeBuffers } from './exchange.ts'
import type { Api } from './handler.ts'
import {
  CLOSE_MS_MAX,
  CONNECTIONS_MAX,
  HANDSHAKE_MS_MAX,
  HEAD_MS_MAX,
  HEADER_BYTES_MAX,
  IDLE_MS_MAX,
  PROBE_AFTER_MS,
  REQUEST_MS_MAX,
  SESSION_MEMORY_MIB,
  SMALL_BODY_BYTES,
  STREAMS_MAX,
  TICKET_SECONDS,
  UNPROVEN_MAX,
} from './limits.ts'
import type { ApiResponse, StreamBody } from './message.ts'
import { type Authenticator, deviceOf, type Peer, peerOf, requestIdentity } from './peer.ts'

/**
 * Takes over the socket of an HTTP/1.1 upgrade. `identity` is undefined for strangers; for a device it is also given when the certificate's
 * dates are wrong (the caller pins the key: `peerCertificate`, DER). Must not throw.
 */
export type UpgradeHandler = (
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  identity: Identity | undefined,
  peerCertificate: Uint8Array | undefined,
) => void

export interface ListenOptions {
  readonly api: Api
  readonly clock: Clock
  readonly log: Log
  /** Address to listen on. */
  readonly bind: string
  /** 0 = any free port. */
  readonly port: number
  /** Client certificates must be signed by this authority. */
  readonly authorityPem: string
  readonly certPem: string
  readonly keyPem: string
  readonly onUpgrade?: UpgradeHandler
  readonly authenticate?: Authenticator
  /** Handshakes at once, for tests that want fewer. */
  readonly unprovenMax?: number
}

export interface Listener {
  readonly port: number
  /** Settles when every connection is closed, within CLOSE_MS_MAX and a little. */
  close(): Promise<void>
}

const TIMEOUT = 504
/** In order of preference; a client that names others only is refused by TLS, one that names none speaks HTTP/1.1. */
const PROTOCOLS = ['h2', 'http/1.1'] as const

interface State extends ListenOptions {
  readonly unprovenMax: number
  readonly server: Http2SecureServer
  readonly sockets: Set<TLSSocket>
  /** TCP connections whose TLS handshake has not ended, by their far end: nobody yet, and not waited for. */
  readonly unproven: Map<string, Socket>
  readonly sessions: Set<ServerHttp2Session>
  readonly peers: WeakMap<object, Peer>
  /** One for each streamed answer. */
  readonly streams: Set<AbortController>
  /** HTTP/1.1 sockets with a request in work. */
  readonly busy: Set<TLSSocket>
  closing: boolean
}

const peerAt = (state: State, connection: object, socket: TLSSocket): Peer => {
  const known = state.peers.get(connection)
  if (known) return known
  const peer = peerOf(socket, state.authorityPem)
  state.peers.set(connection, peer)
  return peer
}

/** Runs a streamed body until it ends, the client goes or the listener closes. */
const runStream = async (state: State, stream: Writable, response: ApiResponse, cut: () => void): Promise<void> => {
  if (typeof response.body !== 'function') return
  const stop = new AbortController()
  const abort = (): void => stop.abort()
  state.streams.add(stop)
  stream.on('close', abort)
  if (stream.destroyed || state.closing) abort()
  try {
    await response.body(sinkOver(stream, stop.signal))
    if (!stream.destroyed) stream.end()
  } catch (error) {
    state.log.debug('stream ended early', { error: messageOf(error) })
    cut()
  } finally {
    state.streams.delete(stop)
    stream.off('close', abort)
  }
}

const lengthOf = (body: ApiResponse['body']): number | undefined => {
  if (typeof body === 'function') return undefined
  return Buffer.isBuffer(body) ? body.length : body.bytes
}

/** Fits into the buffers of the system: nobody has to wait for its reader. */
const isSmall = (body: ApiResponse['body']): body is Buffer => Buffer.isBuffer(body) && body.length < SMALL_BODY_BYTES

const buffersOf = (body: Exclude<ApiResponse['body'], StreamBody>): Iterable<Buffer> => (Buffer.isBuffer(body) ? [body] : body)

const headersOf = (response: ApiResponse): Record<string, string | string[]> => {
  const length = lengthOf(response.body)
  const headers: Record<string, string | string[]> = { ...(response.headers as Record<string, string | string[]>) }
  if (length !== undefined && response.status !== 304) headers['content-length'] = String(length)
  headers['cache-control'] ??= 'no-cache, private'
  return headers
}

const answerH2 = async (state: State, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> => {
  const session = stream.session
  if (!session) return
  const peer = peerAt(state, session, session.socket as TLSSocket)
  const method = headers[':method'] ?? 'GET'
  if (headers.expect === '100-continue') stream.additionalHeaders({ ':status': 100 })
  const response = await state.api.handle({
    method,
    url: headers[':path'] ?? '/',
    headers,
    identity: requestIdentity(peer, headers, state.authenticate),
    device: deviceOf(peer),
    body: bound => readStream(stream, headers['content-length'], state.clock, bound),
  })
  if (stream.destroyed || stream.closed) return cancelBody(response)
  const endStream = method === 'HEAD' || response.status === 304
  stream.respond({ ':status': response.status, ...headersOf(response) }, { endStream })
  if (endStream) return
  if (typeof response.body === 'function') return runStream(state, stream, response, () => stream.destroy())
  if (isSmall(response.body)) stream.end(response.body)
  else await writeBuffers(stream, buffersOf(response.body), { clock: state.clock, cut: () => stream.destroy() })
  // A body nobody wanted to the end: tell the client to stop sending it.
  if (response.status === 413) stream.close()
}

/** A streamed answer whose client left before it began still has to let go of what it holds. */
const cancelBody = async ({ body }: ApiResponse): Promise<void> => {
  if (typeof body !== 'function') return
  const gone = AbortSignal.abort()
  await body({ write: () => undefined, pendingBytes: () => 0, drained: () => Promise.resolve(), signal: gone })
}

const answerH1 = async (state: State, request: IncomingMessage, reply: ServerResponse): Promise<void> => {
  const socket = request.socket as TLSSocket
  const peer = peerAt(state, socket, socket)
  state.busy.add(socket)
  reply.on('close', () => {
    state.busy.delete(socket)
    if (state.closing) socket.destroySoon()
  })
  const response = await state.api.handle({
    method: request.method ?? 'GET',
    url: request.url ?? '/',
    headers: request.headers,
    identity: requestIdentity(peer, request.headers, state.authenticate),
    device: deviceOf(peer),
    body: bound => readStream(request, request.headers['content-length'], state.clock, bound),
  })
  if (reply.destroyed) return cancelBody(response)
  const bare = request.method === 'HEAD' || response.status === 304
  // Whoever trickles his body is answered and let go of; the rest of it is not waited for.
  if (response.status === TIMEOUT) {
    reply.setHeader('connection', 'close')
    reply.on('finish', () => socket.destroySoon())
  }
  reply.writeHead(response.status, headersOf(response))
  if (bare) reply.end()
  else if (typeof response.body === 'function') {
    // The head goes out now: a watch may have nothing to say for a while.
    reply.flushHeaders()
    await runStream(state, reply, response, () => socket.destroy())
  } else if (isSmall(response.body)) reply.end(response.body)
  else await writeBuffers(reply, buffersOf(response.body), { clock: state.clock, cut: () => socket.destroy() })
}

const upgrade = (state: State, request: IncomingMessage, socket: TLSSocket, head: Buffer): void => {
  // The HTTP server has let go of the socket: without a listener, a client that resets it would end the process.
  socket.on('error', error => state.log.debug('upgraded socket failed', { error: messageOf(error) }))
  if (!state.onUpgrade || state.closing) {
    socket.destroySoon()
    return
  }
  const peer = peerAt(state, socket, socket)
  const identity = requestIdentity(peer, request.headers, state.authenticate) ?? peer.outdatedDevice
  state.onUpgrade(request, socket, head, identity, peer.certificate)
}

/** Sessions without open streams are closed after a while; one timer per idle session, none while it is used. */
const onSession = (state: State, session: ServerHttp2Session): void => {
  let open = 0
  const idle = (): Cancel => state.clock.after(IDLE_MS_MAX, () => session.close())
  let cancel = idle()
  state.sessions.add(session)
  session.on('close', () => {
    cancel()
    state.sessions.delete(session)
  })
  session.on('error', error => state.log.debug('http2 session failed', { error: messageOf(error) }))
  session.on('stream', stream => {
    if (open++ === 0) cancel()
    stream.on('close', () => {
      if (--open === 0 && !session.closed) cancel = idle()
    })
  })
  if (state.closing) session.close()
}

/** The handshake has a deadline of its own; a listener that closes does not wait for it. */
const onConnection = (state: State, socket: Socket): void => {
  const from = farEnd(socket)
  state.unproven.set(from, socket)
  socket.on('close', () => {
    if (state.unproven.get(from) === socket) state.unproven.delete(from)
  })
  if (state.unproven.size <= state.unprovenMax) return
  const [first] = state.unproven
  if (!first) return
  state.unproven.delete(first[0])
  first[1].destroy()
}

const farEnd = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

const onSocket = (state: State, socket: TLSSocket): void => {
  state.unproven.delete(farEnd(socket))
  state.sockets.add(socket)
  socket.on('close', () => state.sockets.delete(socket))
  socket.setNoDelay(true)
  socket.setKeepAlive(true, PROBE_AFTER_MS)
}

/** A fault of ours while answering: the client sees the connection cut, the operator a line in the log. */
const guard = (state: State, work: Promise<void>, cut: () => void): void => {
  work.catch((error: unknown) => {
    state.log.error('answer failed', { error: messageOf(error) })
    cut()
  })
}

const wire = (state: State): void => {
  const { server, log } = state
  server.on('connection', (socket: Socket) => onConnection(state, socket))
  server.on('secureConnection', (socket: TLSSocket) => onSocket(state, socket))
  server.on('session', session => onSession(state, session))
  server.on('sessionError', error => log.debug('http2 session refused', { error: messageOf(error) }))
  server.on('tlsClientError', (error, socket) => {
    log.debug('tls handshake failed', { error: messageOf(error) })
    // A handshake that took too long is only told, not ended.
    socket.destroy()
  })
  server.on('request', (request, reply) => {
    const [h1, response] = [request as unknown as IncomingMessage, reply as unknown as ServerResponse]
    h1.on('error', () => undefined)
    guard(state, answerH1(state, h1, response), () => h1.socket.destroy())
  })
  // 'request' above would make request objects for HTTP/2 as well; they take the stream interface instead.
  server.removeAllListeners('stream')
  server.on('stream', (stream, headers) => {
    stream.on('error', error => log.debug('http2 stream failed', { error: messageOf(error) }))
    guard(state, answerH2(state, stream, headers), () => stream.close())
  })
  server.on('upgrade', (request: IncomingMessage, socket: TLSSocket, head: Buffer) => upgrade(state, request, socket, head))
  server.on('clientError', (_error: Error, socket: Duplex) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    else socket.destroy()
  })
}

const close = (state: State): Promise<void> => {
  state.closing = true
  return new Promise(resolve => {
    const cancel = state.clock.after(CLOSE_MS_MAX, () => {
      for (const socket of state.sockets) socket.destroy()
    })
    state.server.close(() => {
      cancel()
      resolve()
    })
    for (const socket of state.unproven.values()) socket.destroy()
    for (const stop of [...state.streams]) stop.abort()
    for (const session of state.sessions) session.close()
    const h2 = new Set([...state.sockets].filter(socket => socket.alpnProtocol === 'h2'))
    for (const socket of state.sockets) if (!h2.has(socket) && !state.busy.has(socket)) socket.destroySoon()
  })
}

const openPort = (state: State): Promise<number> =>
  new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      const hint = error.code === 'EADDRINUSE' ? 'another program uses this port: choose another --port, or stop it' : undefined
      reject(
        new ApiError('ServiceUnavailable', `listen on ${state.bind}:${state.port}: ${error.message}`, {
          cause: error,
          ...(hint ? { hint } : {}),
        }),
      )
    }
    state.server.once('error', fail)
    state.server.listen({ host: state.bind, port: state.port, backlog: 1024 }, () => {
      state.server.off('error', fail)
      state.server.on('error', error => state.log.error('listener failed', { error: messageOf(error) }))
      resolve((state.server.address() as AddressInfo).port)
    })
  })

const choose = ({ protocols }: { readonly protocols: readonly string[] }) => PROTOCOLS.find(each => protocols.includes(each))

/**
 * Not with a list of protocols: Node keeps a copy of it for every connection, in a piece of a larger buffer that stays with it: 8 KB each.
 * Node 20.11, the newest for armv7, always has its list and refuses another way beside it; there the 8 KB are paid.
 */
const createServer = (options: SecureServerOptions): Http2SecureServer => {
  try {
    return createSecureServer({ ...options, ALPNCallback: choose })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS')) throw error
    return createSecureServer(options)
  }
}

/** Opens the port; rejects with a hint when it cannot. */
export const listen = async (options: ListenOptions): Promise<Listener> => {
  const server = createServer({
    allowHTTP1: true,
    key: options.keyPem,
    cert: options.certPem,
    ca: options.authorityPem,
    minVersion: 'TLSv1.2',
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS_MAX,
    sessionTimeout: TICKET_SECONDS,
    maxHeaderSize: HEADER_BYTES_MAX,
    maxSessionMemory: SESSION_MEMORY_MIB,
    settings: { maxConcurrentStreams: STREAMS_MAX, maxHeaderListSize: HEADER_BYTES_MAX },
  } as SecureServerOptions)
  server.maxConnections = CONNECTIONS_MAX
  // Properties of the HTTP/1.1 side; the HTTP/2 server type does not list them.
  Object.assign(server, { headersTimeout: HEAD_MS_MAX, requestTimeout: REQUEST_MS_MAX, keepAliveTimeout: IDLE_MS_MAX })
  const state: State = {
    ...options,
    unprovenMax: options.unprovenMax ?? UNPROVEN_MAX,
    server,
    sockets: new Set(),
    unproven: new Map(),
    sessions: new Set(),
    peers: new WeakMap(),
    streams: new Set(),
    busy: new Set(),
    closing: false,
  }
  wire(state)
  const port = await openPort(state)
  return { port, close: () => close(state) }
}
