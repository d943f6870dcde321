// The server's own MQTT 5 endpoint for devices: TLS with client certificates, the same identity as on the WebSocket, and nothing of a
// broker beyond what a device needs. It turns each device's connection into one for the hub and shows the signed head to those who watch.

import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { Cancel, Clock } from '../../base/clock.ts'
import { ApiError, messageOf } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import {
  MQTT_CONNECTIONS_MAX,
  MQTT_CONNECTIONS_OF_DEVICE_MAX,
  MQTT_HANDSHAKE_MS_MAX,
  MQTT_STOP_MS_MAX,
  MQTT_STRANGERS_MAX,
} from '../limits.ts'
import type { Connection } from '../link.ts'
import { createDecoder, REASON } from './mqtt-packets.ts'
import { MqttPeer, type PeerHost } from './mqtt-peer.ts'
import type { Proven } from './mqtt-rules.ts'

export interface MqttEndpointDeps {
  readonly clock: Pick<Clock, 'mono' | 'after'>
  readonly log: Log
  /** See clusterIdOf. */
  readonly cluster: string
  /** Of the hub. */
  readonly accept: (device: string, connection: Connection) => void
  /** What the hub announces to this device; a stock client is told the same. */
  readonly keepaliveMs: (device: string) => number
  /** The signed head as JSON, for a device the link has offered none since this server started. */
  readonly head?: (device: string) => string | undefined
}

export interface MqttEndpoint {
  /** A connection after its handshake. */
  take(socket: Duplex, proven: Proven): void
  /** The device is no more: its connections end. */
  forget(device: string): void
  readonly connections: number
  /** Says goodbye to all. */
  close(): void
}

interface State extends MqttEndpointDeps {
  readonly peers: Map<string, MqttPeer[]>
  readonly strangers: Set<MqttPeer>
  /** By device; a text of about 250 bytes each. */
  readonly heads: Map<string, string>
  /** Every open socket's, those that are closing too. */
  readonly all: Set<MqttPeer>
  timer: { readonly atMs: number; readonly cancel: Cancel } | undefined
  clients: number
  closed: boolean
}

/** One timer for all, at the earliest deadline there is. */
const arm = (state: State, atMs: number): void => {
  if (atMs === Number.POSITIVE_INFINITY || (state.timer && state.timer.atMs <= atMs)) return
  state.timer?.cancel()
  const cancel = state.clock.after(Math.max(0, Math.ceil(atMs - state.clock.mono())), () => {
    state.timer = undefined
    const nowMs = state.clock.mono()
    for (const peer of state.all) if (peer.deadlineMs <= nowMs) peer.cut()
    let nextMs = Number.POSITIVE_INFINITY
    for (const peer of state.all) nextMs = Math.min(nextMs, peer.deadlineMs)
    arm(state, nextMs)
  })
  state.timer = { atMs, cancel }
}

const remove = (state: State, peer: MqttPeer): void => {
  state.strangers.delete(peer)
  if (!('device' in peer.proven)) return
  const { device } = peer.proven
  const rest = (state.peers.get(device) ?? []).filter(other => other !== peer)
  if (rest.length > 0) state.peers.set(device, rest)
  else state.peers.delete(device)
}

const hostOf = (state: State): PeerHost => ({
  cluster: state.cluster,
  decode: createDecoder(),
  mono: state.clock.mono,
  keepaliveMs: state.keepaliveMs,
  newClientId: () => `c${(++state.clients).toString(36)}`,
  head: device => state.heads.get(device) ?? state.head?.(device),
  headOffered(device, head) {
    state.heads.set(device, head)
    for (const peer of state.peers.get(device) ?? []) peer.tellHead(head)
  },
  connected(peer) {
    arm(state, peer.deadlineMs)
    if (!('device' in peer.proven)) return
    for (const other of state.peers.get(peer.proven.device) ?? [])
      if (other !== peer && other.clientId === peer.clientId) other.end(REASON.takenOver, 'another connection of this client took over')
  },
  link: state.accept,
  refused: why => state.log.info('link refused', { why }),
  over(peer) {
    remove(state, peer)
    arm(state, peer.deadlineMs)
  },
  gone: peer => void state.all.delete(peer),
})

const take = (state: State, host: PeerHost, socket: Duplex, proven: Proven): void => {
  const peer = new MqttPeer(socket, proven, host)
  state.all.add(peer)
  arm(state, peer.deadlineMs)
  if (state.closed) peer.end(REASON.shuttingDown, 'the server stops')
  else if ('refusal' in proven) {
    state.strangers.add(peer)
    const [oldest] = state.strangers
    if (state.strangers.size > MQTT_STRANGERS_MAX) oldest?.cut()
  } else {
    const earlier = state.peers.get(proven.device) ?? []
    state.peers.set(proven.device, [...earlier, peer])
    if (earlier.length >= MQTT_CONNECTIONS_OF_DEVICE_MAX) earlier[0]?.end(REASON.quota, 'too many connections of this device')
  }
}

/** The endpoint without its port: takes sockets that somebody else has accepted. */
export const createMqttEndpoint = (deps: MqttEndpointDeps): MqttEndpoint => {
  const state: State = {
    ...deps,
    peers: new Map(),
    strangers: new Set(),
    heads: new Map(),
    all: new Set(),
    timer: undefined,
    clients: 0,
    closed: false,
  }
  const host = hostOf(state)
  return {
    take: (socket, proven) => take(state, host, socket, proven),
    forget(device) {
      state.heads.delete(device)
      for (const peer of state.peers.get(device) ?? []) peer.end(REASON.notAuthorized, 'the device was removed')
    },
    get connections() {
      return state.all.size
    },
    close() {
      state.closed = true
      for (const peer of state.all) peer.end(REASON.shuttingDown, 'the server stops')
    },
  }
}

export interface MqttListenOptions {
  readonly bind: string
  /** 0 = any free port. */
  readonly port: number
  /** PEM: the authority of devices, and this server's own. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** The device a certificate speaks for; throws with the reason for strangers. */
  readonly deviceOf: (socket: TLSSocket) => string
  /** MQTT_HANDSHAKE_MS_MAX when absent. */
  readonly handshakeMs?: number
}

export interface MqttListener {
  readonly port: number
  readonly endpoint: MqttEndpoint
  /** Settles when every connection is closed, within MQTT_STOP_MS_MAX and a little. */
  close(): Promise<void>
}

/** A device that comes back within a day resumes its session: half the bytes. Who it is is judged anew each time. */
const TICKET_SECONDS = 86_400
const PROBE_AFTER_MS = 30 * 60_000

const provenBy = (deviceOf: MqttListenOptions['deviceOf'], socket: TLSSocket): Proven => {
  try {
    return { device: deviceOf(socket) }
  } catch (error) {
    return { refusal: messageOf(error) }
  }
}

const openPort = (server: Server, { bind, port }: MqttListenOptions): Promise<number> =>
  new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      const hint = error.code === 'EADDRINUSE' ? 'another program uses this port: choose another --mqtt-port, or stop it' : undefined
      reject(
        new ApiError('ServiceUnavailable', `listen for MQTT on ${bind}:${port}: ${error.message}`, {
          cause: error,
          ...(hint ? { hint } : {}),
        }),
      )
    }
    server.once('error', fail)
    server.listen({ host: bind, port, backlog: 1024 }, () => {
      server.off('error', fail)
      resolve((server.address() as AddressInfo).port)
    })
  })

/** Opens the port; rejects with a hint when it cannot. */
export const listenMqtt = async (deps: MqttEndpointDeps, options: MqttListenOptions): Promise<MqttListener> => {
  const { log, clock } = deps
  const endpoint = createMqttEndpoint(deps)
  const server = createServer({
    ca: options.ca,
    cert: options.cert,
    key: options.key,
    minVersion: 'TLSv1.3',
    requestCert: true,
    // Certificates out of date are judged by `deviceOf`, which pins the key: clocks at the edge are wrong.
    rejectUnauthorized: false,
    handshakeTimeout: options.handshakeMs ?? MQTT_HANDSHAKE_MS_MAX,
    sessionTimeout: TICKET_SECONDS,
  })
  server.maxConnections = MQTT_CONNECTIONS_MAX
  const sockets = new Set<Duplex>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('secureConnection', socket => {
    socket.setNoDelay(true)
    socket.setKeepAlive(true, PROBE_AFTER_MS)
    endpoint.take(socket, provenBy(options.deviceOf, socket))
  })
  server.on('tlsClientError', (error, socket) => {
    log.debug('tls handshake failed', { error: messageOf(error) })
    // A handshake that took too long is only told, not ended.
    socket.destroy()
  })
  const port = await openPort(server, options)
  server.on('error', error => log.error('MQTT listener failed', { error: messageOf(error) }))
  return {
    port,
    endpoint,
    close: () =>
      new Promise(resolve => {
        const cancel = clock.after(MQTT_STOP_MS_MAX, () => {
          for (const socket of sockets) socket.destroy()
        })
        server.close(() => {
          cancel()
          resolve()
        })
        endpoint.close()
      }),
  }
}
