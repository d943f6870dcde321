// The device's local API: HTTP on the Unix socket DIR/agent.sock. GET /v1/status → DeviceStatus; GET /v1/pods → {items: DevicePod[]};
// GET /v1/images → {items: DeviceImage[]}; GET /v1/logs?namespace&pod&container&follow&previous&timestamps&tail&sinceSeconds&limitBytes →
// text; POST /v1/images/refresh → {items: DeviceImage[]}; POST /v1/sync (dial now) and /v1/resume (end a conflict) → DeviceStatus. Failures: LocalError. The socket file's mode (0600) says who may ask.

import { chmodSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { ApiError, messageOf } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { DeviceImage, DevicePod, DeviceStatus, LocalError } from '../kinds/device-shapes.ts'
import type { LogOptions } from '../link/link.ts'
import { LOCAL_CONNECTIONS_MAX } from './limits.ts'

export type { DeviceContainer, DeviceImage, DevicePod, DeviceStatus, LocalError, LocalLogsQuery } from '../kinds/device-shapes.ts'

export interface LocalLogs {
  readonly namespace: string
  readonly pod: string
  /** '' = the pod's only container. */
  readonly container: string
  readonly options: LogOptions
}

export interface LocalApiDeps {
  /** `DIR/agent.sock`. */
  readonly path: string
  readonly log: Log
  readonly status: () => DeviceStatus
  readonly pods: () => readonly DevicePod[]
  readonly images: () => readonly DeviceImage[]
  readonly refreshImages: () => void
  /** Dials now. */
  readonly sync: () => void
  /** Accepts a server restored from a backup, whose older content waits for a decision. */
  readonly resume: () => void
  /** Rejects with ApiError before the first write, or ends quietly. */
  readonly logs: (asked: LocalLogs, write: (bytes: Uint8Array) => Promise<void>, signal: AbortSignal) => Promise<void>
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

const count = (query: URLSearchParams, name: string): number | undefined => {
  const text = query.get(name)
  if (text === null) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new ApiError('BadRequest', `read logs: ${name} must be a whole number`)
  return Number(text)
}

const logsQuery = (query: URLSearchParams): LocalLogs => {
  const pod = query.get('pod')
  if (!pod) throw new ApiError('BadRequest', 'read logs: no pod was named', { hint: 'GET /v1/logs?pod=NAME' })
  const flags = ['follow', 'previous', 'timestamps'] as const
  const numbers = { tailLines: count(query, 'tail'), sinceSeconds: count(query, 'sinceSeconds'), limitBytes: count(query, 'limitBytes') }
  const given = Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined))
  const options: LogOptions = { ...Object.fromEntries(flags.map(flag => [flag, query.get(flag) === 'true'])), ...given }
  return { namespace: query.get('namespace') || 'default', pod, container: query.get('container') ?? '', options }
}

const streamLogs = async (deps: LocalApiDeps, query: URLSearchParams, response: ServerResponse): Promise<void> => {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  const begin = (): void => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
  }
  const write = (bytes: Uint8Array): Promise<void> => {
    begin()
    return new Promise(resolve => {
      if (gone.signal.aborted || response.write(bytes)) return resolve()
      response.once('drain', resolve)
      response.once('close', resolve)
    })
  }
  await deps.logs(logsQuery(query), write, gone.signal)
  begin()
  response.end()
}

const route = async (deps: LocalApiDeps, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const url = new URL(request.url ?? '/', 'http://device')
  const wanted = `${request.method ?? 'GET'} ${url.pathname}`
  request.resume()
  switch (wanted) {
    case 'GET /v1/status':
      return answer(response, 200, deps.status())
    case 'GET /v1/pods':
      return answer(response, 200, { items: deps.pods() })
    case 'POST /v1/images/refresh':
      deps.refreshImages()
      return answer(response, 200, { items: deps.images() })
    case 'POST /v1/sync':
      deps.sync()
      return answer(response, 200, deps.status())
    case 'POST /v1/resume':
      deps.resume()
      return answer(response, 200, deps.status())
    case 'GET /v1/images':
      return answer(response, 200, { items: deps.images() })
    case 'GET /v1/logs':
      return streamLogs(deps, url.searchParams, response)
    default:
      throw new ApiError('NotFound', `device: there is no ${wanted}`)
  }
}

/** Listens; a socket left by an agent that died is replaced (the database's lock says that no other agent lives). */
export const openLocalApi = async (deps: LocalApiDeps): Promise<LocalApi> => {
  const server = createServer((request, response) => {
    route(deps, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else refuse(response, error)
    })
  })
  server.maxConnections = LOCAL_CONNECTIONS_MAX
  rmSync(deps.path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(deps.path, resolve)
  })
  server.on('error', error => deps.log.error('local API', { error: error.message }))
  chmodSync(deps.path, 0o600)
  return {
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
