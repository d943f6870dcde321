// Upgrades to exec, attach and port-forward: who asks, may he, which pod and container, over which protocol. Every refusal is a Status over
// HTTP before the connection is taken. Source: k8s registry/core/pod/strategy ExecLocation, AttachLocation, PortForwardLocation.

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { createWebSocketStream } from 'ws'
import type { Clock } from '../../base/clock.ts'
import { ApiError, messageOf } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { KubeObject } from '../../base/object.ts'
import type { Identity } from '../../base/pki.ts'
import type { Kind } from '../../kinds/kind.ts'
import type { Verbs } from '../api.ts'
import { authorizeResource } from '../authority.ts'
import { URL_LENGTH_MAX } from '../limits.ts'
import { logContainer } from '../log-stream.ts'
import { indexKinds, parseResourcePath, type ResourcePath, segmentsOf } from '../path.ts'
import { badRequest, methodNotAllowed, noResource, tooMany, unauthorized } from '../refusal.ts'
import { refuseUpgrade } from '../upgrade.ts'
import { commandOptions, runCommand } from './command.ts'
import { commandProtocol, serveCommandSpdy } from './command-spdy.ts'
import { commandSubprotocol, serveCommandWebSocket } from './command-websocket.ts'
import { STREAM_CONNECTIONS_MAX } from './limits.ts'
import type { PodStreams } from './pod-stream.ts'
import { PORT_FORWARD_PROTOCOL, PORT_FORWARD_TUNNEL, servePortForwardSpdy } from './port-forward-spdy.ts'
import { portSubprotocol, queryPorts, servePortForwardWebSocket } from './port-forward-websocket.ts'
import { offeredProtocols, takeWebSocket } from './websocket.ts'

export interface StreamDeps {
  readonly clock: Clock
  readonly log: Log
  readonly kinds: readonly Kind[]
  readonly verbs: Pick<Verbs, 'get'>
  readonly podStreams: PodStreams
}

interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  readonly path: ResourcePath
  readonly query: URLSearchParams
  readonly pod: KubeObject
  readonly onClose: () => void
}

type Serve = (deps: StreamDeps, upgrade: Upgrade) => void

const SPDY = 'spdy/3.1'

const upgradeOf = ({ headers }: IncomingMessage): string => (headers.upgrade ?? '').toLowerCase()

/** Protocols a SPDY client offers, from one header or several. */
const spdyProtocols = ({ headers }: IncomingMessage): readonly string[] =>
  [headers['x-stream-protocol-version'] ?? []]
    .flat()
    .flatMap(each => each.split(','))
    .map(each => each.trim())
    .filter(each => each !== '')

const unknownProtocol = (offered: readonly string[]): ApiError =>
  new ApiError('Forbidden', `unable to negotiate a protocol: client supports ${JSON.stringify(offered)}`)

const switchToSpdy = (socket: Duplex, protocol: string): void => {
  const head = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: SPDY/3.1']
  socket.write([...head, `X-Stream-Protocol-Version: ${protocol}`, '', ''].join('\r\n'))
}

const serveCommand =
  (what: 'exec' | 'attach'): Serve =>
  (deps, { request, socket, head, query, pod, onClose }) => {
    const options = commandOptions(what, query)
    const container = logContainer(pod, query.get('container') ?? '')
    deps.podStreams.check(pod)
    const { clock } = deps
    const run = (client: Parameters<typeof runCommand>[3]) => runCommand(deps.podStreams, { pod, container }, options, client)
    if (upgradeOf(request) === SPDY) {
      const protocol = commandProtocol(spdyProtocols(request))
      if (protocol === undefined) throw unknownProtocol(spdyProtocols(request))
      switchToSpdy(socket, protocol)
      return serveCommandSpdy({ socket, head, clock, protocol, options, run, onClose })
    }
    const protocol = commandSubprotocol(offeredProtocols(request))
    if (protocol === undefined) throw unknownProtocol(offeredProtocols(request))
    const webSocket = takeWebSocket(request, socket, head, protocol)
    if (webSocket) serveCommandWebSocket({ socket: webSocket, clock, protocol, options, run, onClose })
    else onClose()
  }

const servePortForward: Serve = (deps, { request, socket, head, query, pod, onClose }) => {
  const { clock, podStreams: streams } = deps
  const common = { clock, streams, pod, onClose }
  if (upgradeOf(request) === SPDY) {
    streams.check(pod)
    if (!spdyProtocols(request).includes(PORT_FORWARD_PROTOCOL)) throw unknownProtocol(spdyProtocols(request))
    switchToSpdy(socket, PORT_FORWARD_PROTOCOL)
    return servePortForwardSpdy({ ...common, socket, head })
  }
  const offered = offeredProtocols(request)
  const tunnel = offered.includes(PORT_FORWARD_TUNNEL)
  const protocol = tunnel ? PORT_FORWARD_TUNNEL : portSubprotocol(offered)
  if (protocol === undefined) throw unknownProtocol(offered)
  const ports = tunnel ? [] : queryPorts(query)
  streams.check(pod)
  const webSocket = takeWebSocket(request, socket, head, protocol)
  if (!webSocket) return onClose()
  if (tunnel) servePortForwardSpdy({ ...common, socket: createWebSocketStream(webSocket), head: Buffer.alloc(0) })
  else servePortForwardWebSocket({ ...common, socket: webSocket, protocol, ports })
}

const SERVED: Readonly<Record<string, Serve>> = {
  exec: serveCommand('exec'),
  attach: serveCommand('attach'),
  portforward: servePortForward,
}

/** Subresources of pods that are answered by an upgrade only. */
export const isStreamed = (subresource: string): boolean => Object.hasOwn(SERVED, subresource)

/** Who may, and which pod; the refusals of these verbs, with an upgrade or without. */
export const podOfStream = (
  { verbs }: Pick<StreamDeps, 'verbs'>,
  path: ResourcePath,
  method: string | undefined,
  identity: Identity,
): KubeObject => {
  if (method !== 'GET' && method !== 'POST') throw methodNotAllowed()
  authorizeResource(identity, { ...path, verb: method === 'GET' ? 'get' : 'create' })
  const pod = verbs.get({ kind: path.kind, namespace: path.namespace, name: path.name })
  if (!(pod.spec as { nodeName?: string }).nodeName) throw badRequest(`pod ${path.name} does not have a host assigned`)
  return pod
}

/** Takes an upgraded socket of a client. Never throws: what is refused is answered. */
export type StreamUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer, identity: Identity | undefined) => void

export const createStreamUpgrade = (deps: StreamDeps): StreamUpgrade => {
  const kinds = indexKinds(deps.kinds)
  const open = { count: 0 }
  const find = (url: string): { path: ResourcePath; query: URLSearchParams } => {
    const mark = url.indexOf('?')
    const segments = url.length > URL_LENGTH_MAX ? undefined : segmentsOf(mark < 0 ? url : url.slice(0, mark))
    const path = segments && parseResourcePath(kinds, segments)
    if (path?.kind.kind !== 'Pod' || path.kind.group !== '' || !isStreamed(path.subresource)) throw noResource()
    return { path, query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)) }
  }
  return (request, socket, head, identity) => {
    const counted = { is: false }
    const onClose = (): void => {
      if (counted.is) open.count--
      counted.is = false
    }
    try {
      if (!identity) throw unauthorized()
      const { path, query } = find(request.url ?? '/')
      const pod = podOfStream(deps, path, request.method, identity)
      if (open.count >= STREAM_CONNECTIONS_MAX) throw tooMany()
      if (upgradeOf(request) !== SPDY && upgradeOf(request) !== 'websocket') throw badRequest('Upgrade request required')
      open.count++
      counted.is = true
      SERVED[path.subresource]!(deps, { request, socket, head, path, query, pod, onClose })
    } catch (error) {
      onClose()
      if (!(error instanceof ApiError)) deps.log.error('upgrade failed', { path: request.url?.split('?')[0], error: messageOf(error) })
      refuseUpgrade(socket, error instanceof ApiError ? error : new ApiError('InternalError', 'Internal error occurred', { cause: error }))
    }
  }
}
