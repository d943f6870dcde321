// HTTPS to the server: keep-alive, the kubeconfig's CA and credentials, JSON in and out, streams for watches and logs.
// Every failure to reach it becomes one line with what to try next.

import type { IncomingMessage } from 'node:http'
import * as http from 'node:http'
import * as https from 'node:https'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import { isObject } from '../base/json.ts'
import type { ChannelHooks, ChannelRequest, Channels } from './channels.ts'
import { Failure, Refused, statusOf, Unreachable } from './failure.ts'
import type { Endpoint } from './kubeconfig.ts'
import { ANSWER_BYTES_MAX, CONNECT_MS_MAX, CONNECTIONS_MAX } from './limits.ts'

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface RequestOptions {
  readonly query?: Query
  readonly body?: unknown
  readonly contentType?: string
  readonly accept?: string
  /** What to tell people while there is no answer. */
  readonly waiting?: string
  readonly signal?: AbortSignal
}

export interface Client {
  readonly server: string
  /** The context's namespace. */
  readonly namespace: string
  /** The JSON of a 2xx answer. Rejects with Refused for the server's Status, with Failure when it cannot be reached. */
  json(method: string, path: string, options?: RequestOptions): Promise<Record<string, unknown>>
  /** A 2xx answer as it arrives. */
  stream(method: string, path: string, options?: RequestOptions): Promise<IncomingMessage>
  text(path: string): Promise<string>
  /** Channels of exec, attach or port-forward. Rejects as `json` does. */
  channels(request: ChannelRequest, hooks: ChannelHooks): Promise<Channels>
  close(): void
}

export interface ClientDeps {
  readonly clock: Pick<Clock, 'after'>
  readonly signal: AbortSignal
  readonly userAgent: string
  /** Called before each request; what it returns is called when the answer begins, or never will. */
  readonly waiting?: (text: string) => () => void
  /** Called with each Warning header's text. */
  readonly warn: (text: string) => void
}

const queryText = (query: Query | undefined): string => {
  const pairs = Object.entries(query ?? {}).filter((pair): pair is [string, string | number | boolean] => pair[1] !== undefined)
  return pairs.length === 0
    ? ''
    : `?${pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(String(value))}`).join('&')}`
}

const TLS_HINTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "the server's certificate has expired; check the clocks of both machines",
  CERT_NOT_YET_VALID: 'check the clock of this machine',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the address in the kubeconfig is not in the certificate; start the server with --bind or use its own name',
}
const UNTRUSTED = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]

/** One line for a connection that failed, and what to do about it. */
export const connectionFailure = (server: string, error: unknown): Unreachable => {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (code === 'ECONNREFUSED')
    return new Unreachable(`connect to ${server}: connection refused`, {
      cause: error,
      hint: 'is the server running? helio server --data-dir DIR',
    })
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new Unreachable(`connect to ${server}: no such host`, { cause: error, hint: 'check the server in the kubeconfig' })
  if (code === 'ETIMEDOUT' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return new Unreachable(`connect to ${server}: ${code === 'ETIMEDOUT' ? 'no answer' : 'unreachable'}`, {
      cause: error,
      hint: 'is it the right address, and is the link up?',
    })
  if (UNTRUSTED.includes(code))
    return new Unreachable(`connect to ${server}: its certificate is not signed by the kubeconfig's authority`, {
      cause: error,
      hint: 'is it another server, or one whose data dir was made anew? use the kubeconfig it wrote',
    })
  return new Unreachable(`connect to ${server}: ${messageOf(error)}`, { cause: error, hint: TLS_HINTS[code] })
}

const readAll = async (response: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX) throw new Failure(`read answer: more than ${ANSWER_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** Texts of `Warning: 299 - "text"` headers. */
export const warningTexts = (header: string | undefined): string[] =>
  [...(header ?? '').matchAll(/\b\d{3} \S+ "((?:[^"\\]|\\.)*)"/g)].map(match => (match[1] ?? '').replace(/\\(.)/g, '$1'))

type Agent = http.Agent | https.Agent

const agentOf = (endpoint: Endpoint): Agent => {
  const shared = { keepAlive: true, maxSockets: CONNECTIONS_MAX }
  if (!endpoint.server.startsWith('https:')) return new http.Agent(shared)
  return new https.Agent({
    ...shared,
    rejectUnauthorized: !endpoint.insecure,
    ...(endpoint.caPem === undefined ? {} : { ca: endpoint.caPem }),
    ...(endpoint.certPem === undefined ? {} : { cert: endpoint.certPem }),
    ...(endpoint.keyPem === undefined ? {} : { key: endpoint.keyPem }),
    ...(endpoint.serverName === undefined ? {} : { servername: endpoint.serverName }),
  })
}

export const openClient = (endpoint: Endpoint, deps: ClientDeps): Client => {
  const agent = agentOf(endpoint)
  const { request } = endpoint.server.startsWith('https:') ? https : http

  const send = (method: string, path: string, options: RequestOptions): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const body = options.body === undefined ? undefined : JSON.stringify(options.body)
      const headers: Record<string, string | number> = { accept: options.accept ?? 'application/json', 'user-agent': deps.userAgent }
      if (endpoint.token !== undefined) headers['authorization'] = `Bearer ${endpoint.token}`
      if (body !== undefined) {
        headers['content-type'] = options.contentType ?? 'application/json'
        headers['content-length'] = Buffer.byteLength(body)
      }
      const signal = options.signal ? AbortSignal.any([deps.signal, options.signal]) : deps.signal
      const call = request(`${endpoint.server}${path}${queryText(options.query)}`, { method, headers, agent, signal })
      const answered = deps.waiting?.(options.waiting ?? `waiting for ${endpoint.server}`)
      const unwatch = deps.clock.after(CONNECT_MS_MAX, () => {
        if (call.socket === null || call.socket.connecting) call.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' }))
      })
      const cancel = (): void => {
        unwatch()
        answered?.()
      }
      call.on('response', response => {
        cancel()
        for (const text of warningTexts(response.headers['warning'])) deps.warn(text)
        resolve(response)
      })
      call.on('error', error => {
        cancel()
        reject(signal.aborted ? signal.reason : connectionFailure(endpoint.server, error))
      })
      call.end(body)
    })

  const stream: Client['stream'] = async (method, path, options = {}) => {
    const response = await send(method, path, options)
    const code = response.statusCode ?? 0
    if (code >= 200 && code < 300) return response
    throw new Refused(statusOf(await readAll(response), code), code)
  }
  return {
    server: endpoint.server,
    namespace: endpoint.namespace,
    stream,
    async json(method, path, options) {
      const text = await readAll(await stream(method, path, options))
      try {
        const value: unknown = JSON.parse(text)
        if (isObject(value)) return value
      } catch (cause) {
        throw new Failure(`read answer of ${path}: not JSON`, { cause, hint: 'is it a Kubernetes API server?' })
      }
      throw new Failure(`read answer of ${path}: not an object`)
    },
    async channels(request, hooks) {
      const { dialChannels } = await import('./channels.ts')
      const dialled = await dialChannels(endpoint, request, deps.userAgent, hooks)
      if ('send' in dialled) return dialled
      if ('error' in dialled) throw connectionFailure(endpoint.server, dialled.error)
      const code = dialled.response.statusCode ?? 0
      throw new Refused(statusOf(await readAll(dialled.response), code), code)
    },
    text: async path => readAll(await stream('GET', path, { accept: '*/*' })),
    close: () => agent.destroy(),
  }
}
