// The device's local API: HTTP on the Unix socket DIR/agent.sock. What it answers is the table of local-routes.ts; here is how: bodies within
// their bound, callers who act proven by peer.ts, failures as LocalError with the code of their reason. The socket's mode says who may ask.

import { chmodSync, chownSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { ApiError, messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { Log } from '../base/log.ts'
import { type LocalError, PEER_HEADER } from '../kinds/device-shapes.ts'
import { LOCAL_BODY_BYTES_MAX, LOCAL_CONNECTIONS_MAX, LOCAL_REQUEST_MS_MAX } from './limits.ts'
import { type LocalExecDeps, serveExec } from './local-exec.ts'
import type { PeerDesk } from './peer.ts'

export interface LocalCall {
  readonly query: URLSearchParams
  /** Empty when none was sent. */
  readonly body: Readonly<Record<string, unknown>>
  /** The proven name of who acts; '' on routes that only tell. */
  readonly by: string
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal
}

export type LocalRoute =
  /** One JSON value. `acts`: callers have to prove that they may. */
  | { readonly acts?: true; readonly json: (call: LocalCall) => unknown }
  /** Text as it comes; a rejection before the first write becomes an error answer. */
  | { readonly acts?: true; readonly text: (call: LocalCall, write: (bytes: Uint8Array | string) => Promise<void>) => Promise<void> }

/** By method and path, `GET /v1/status`. */
export type LocalRoutes = Readonly<Record<string, LocalRoute>>

export interface LocalApiDeps {
  /** `DIR/agent.sock`. */
  readonly path: string
  readonly log: Log
  readonly peers: PeerDesk
  readonly routes: LocalRoutes
  readonly openExec: LocalExecDeps['openExec']
}

export interface LocalApi {
  close(): Promise<void>
}

const answer = (response: ServerResponse, code: number, body: unknown): void => {
  response.writeHead(code, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}

const refuse = (response: ServerResponse, error: unknown): void => {
  const known = error instanceof ApiError ? error : undefined
  const body: LocalError = { error: messageOf(error), ...(known?.hint === undefined ? {} : { hint: known.hint }) }
  answer(response, known?.code ?? 500, body)
}

const bodyOf = async (request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> => {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > LOCAL_BODY_BYTES_MAX)
      throw new ApiError('RequestEntityTooLarge', `read request: more than ${LOCAL_BODY_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  if (sizeBytes === 0) return {}
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString())
    if (isObject(value)) return value
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new ApiError('BadRequest', 'read request: the body is not a JSON object')
}

const streamText = async (route: Extract<LocalRoute, { text: unknown }>, call: LocalCall, response: ServerResponse): Promise<void> => {
  const begin = (): void => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
  }
  const write = (bytes: Uint8Array | string): Promise<void> => {
    begin()
    return new Promise(resolve => {
      if (call.signal.aborted || response.write(bytes)) return resolve()
      response.once('drain', resolve)
      response.once('close', resolve)
    })
  }
  await route.text(call, write)
  begin()
  response.end()
}

const serve = async (deps: LocalApiDeps, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const { peers, routes } = deps
  const url = new URL(request.url ?? '/', 'http://device')
  const wanted = `${request.method ?? 'GET'} ${url.pathname}`
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  const body = await bodyOf(request)
  if (wanted === 'POST /v1/peer') return answer(response, 200, { nonce: peers.challenge() })
  const route = Object.hasOwn(routes, wanted) ? routes[wanted] : undefined
  if (route === undefined) throw new ApiError('NotFound', `device: there is no ${wanted}`)
  const proof = request.headers[PEER_HEADER]
  const by = route.acts ? peers.actor(typeof proof === 'string' ? proof : undefined) : ''
  const call: LocalCall = { query: url.searchParams, body, by, signal: gone.signal }
  if ('text' in route) return streamText(route, call, response)
  return answer(response, 200, await route.json(call))
}

/** Listens; a socket left by an agent that died is replaced (the database's lock says that no other agent lives). */
export const openLocalApi = async (deps: LocalApiDeps): Promise<LocalApi> => {
  const { path, log, peers } = deps
  const server = createServer((request, response) => {
    serve(deps, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else refuse(response, error)
    })
  })
  // The server forgets connections that were upgraded; closing it would wait for their commands.
  const upgraded = new Set<Duplex>()
  server.on('upgrade', (request, socket, head) => {
    upgraded.add(socket)
    socket.on('close', () => upgraded.delete(socket))
    serveExec(deps, request, socket, head)
  })
  // A caller who says nothing gives its place up; one who reads logs keeps it.
  server.headersTimeout = LOCAL_REQUEST_MS_MAX
  server.requestTimeout = LOCAL_REQUEST_MS_MAX
  server.maxConnections = LOCAL_CONNECTIONS_MAX
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  server.on('error', error => log.error('local API', { error: error.message }))
  const { mode, gid } = peers.socket
  if (gid !== undefined) chownSync(path, process.getuid?.() ?? 0, gid)
  chmodSync(path, mode)
  return {
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
        for (const socket of upgraded) socket.destroy()
      }),
  }
}
