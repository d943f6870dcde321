// WebSocket connections of clients: taking over an upgraded socket with one of the protocols a verb knows, messages with a channel before
// their data, in binary or base64. Source: k8s remotecommand websocket, v1 (channel.k8s.io) to v5.

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Clock } from '../../base/clock.ts'
import { MESSAGE_BYTES_MAX, STREAM_IDLE_MS_MAX } from './limits.ts'
import { createInboundPace, watchIdle } from './pace.ts'

/** What a client offers, in its order. */
export const offeredProtocols = (request: Pick<IncomingMessage, 'headers'>): readonly string[] =>
  (request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map(each => each.trim())
    .filter(each => each !== '')

/** Answers the handshake with the chosen protocol (none when ''), or with 400 when it is no handshake. */
export const takeWebSocket = (request: IncomingMessage, socket: Duplex, head: Buffer, protocol: string): WebSocket | undefined => {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    handleProtocols: () => (protocol === '' ? false : protocol),
  })
  const taken: { socket: WebSocket | undefined } = { socket: undefined }
  // Called within handleUpgrade, or never.
  server.handleUpgrade(request, socket, head, webSocket => {
    taken.socket = webSocket
  })
  return taken.socket
}

export interface ChannelSocket {
  /** Settles when the system took it, or the client is gone. */
  send(channel: number, data: Uint8Array): Promise<void>
  /** Says that nothing more comes on a channel, where the protocol can. */
  end(channel: number): void
  close(): void
}

export interface ChannelHooks {
  /** A returned promise counts the bytes as on their way. */
  readonly onData: (channel: number, data: Buffer) => Promise<void> | void
  /** The client ended a channel (v5). */
  readonly onEnd: (channel: number) => void
  /** Once. */
  readonly onClose: () => void
}

const CLOSE_CHANNEL = 255
const ZERO = 0x30
const NORMAL = 1000
const POLICY = 1008

/** Channels over one WebSocket. */
export const openChannels = (
  socket: WebSocket,
  protocol: string,
  clock: Pick<Clock, 'mono' | 'after'>,
  hooks: ChannelHooks,
): ChannelSocket => {
  const base64 = protocol.includes('base64')
  const closes = protocol.startsWith('v5.')
  const pace = createInboundPace(clock, { pause: () => socket.pause(), resume: () => socket.resume(), probe: () => socket.ping() })
  const idle = watchIdle(clock, STREAM_IDLE_MS_MAX, () => socket.close(POLICY, 'idle for too long'))
  socket.on('message', (message: Buffer) => {
    if (message.length === 0) return
    const channel = base64 ? message[0]! - ZERO : message[0]!
    const data = base64 ? Buffer.from(message.toString('latin1', 1), 'base64') : message.subarray(1)
    if (closes && channel === CLOSE_CHANNEL) {
      if (data.length === 1) hooks.onEnd(data[0]!)
      return
    }
    idle.touch()
    if (data.length > 0) pace.take(data.length, hooks.onData(channel, data))
  })
  socket.on('error', () => socket.terminate())
  socket.on('close', () => {
    idle.close()
    pace.close()
    hooks.onClose()
  })
  return {
    send(channel, data) {
      idle.touch()
      const message = base64
        ? `${String.fromCharCode(ZERO + channel)}${Buffer.from(data).toString('base64')}`
        : Buffer.concat([Buffer.from([channel]), data])
      // The callback comes with an error when the client is gone.
      return new Promise(resolve => socket.send(message, () => resolve()))
    },
    end(channel) {
      if (closes && socket.readyState === socket.OPEN) socket.send(Buffer.from([CLOSE_CHANNEL, channel]))
    },
    close: () => socket.close(NORMAL),
  }
}
