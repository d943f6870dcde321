// The device's end: a WebSocket over the device's TLS connection to its server.

import { WebSocket } from 'ws'
import { ApiError } from '../../base/errors.ts'
import type { Dialer } from '../link.ts'
import { type Credentials, createTlsDial, dialFailure, hostOf } from './tls-dial.ts'
import { LINK_PATH, LINK_SUBPROTOCOL, SOCKET_OPTIONS, webSocketConnection } from './websocket.ts'

export interface WebSocketDialerOptions {
  /** `https://host:port`, the API's address. */
  readonly server: string
  /** Asked for at every dial, so that a renewed certificate is used at once. PEM. */
  readonly credentials: () => Credentials
}

/** A handshake that does not end; the dial's own signal ends it sooner as a rule. */
const HANDSHAKE_TIMEOUT_MS = 30_000

const failureOf = (host: string, cause: Error): Error => {
  // The answer to an upgrade by a key the server has no node for.
  if (/\b403$/.test(cause.message))
    return new ApiError('Forbidden', `dial ${host}: the server has no node for this device (was it deleted?); --token joins it again`, {
      cause,
    })
  return dialFailure(host, cause)
}

/** Dials `wss://<server>/link/v1`. Sessions are resumed where the server allows: half the bytes of a full handshake. */
export const webSocketDialer = (options: WebSocketDialerOptions): Dialer => {
  const url = new URL(LINK_PATH, options.server)
  url.protocol = 'wss:'
  const tls = createTlsDial({
    host: hostOf(url),
    port: Number(url.port || 443),
    credentials: options.credentials,
    protocols: ['http/1.1'],
  })
  return {
    dial: signal =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(new Error(`dial ${url.host}: given up`))
          return
        }
        const socket = new WebSocket(url, [LINK_SUBPROTOCOL], {
          ...SOCKET_OPTIONS,
          createConnection: tls,
          handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
          followRedirects: false,
        })
        const giveUp = (): void => socket.terminate()
        const fail = (error: Error): void => {
          tls.forget(error)
          signal.removeEventListener('abort', giveUp)
          reject(failureOf(url.host, signal.aborted ? new Error('given up') : error))
        }
        signal.addEventListener('abort', giveUp, { once: true })
        socket.once('error', fail)
        socket.once('open', () => {
          socket.removeListener('error', fail)
          signal.removeEventListener('abort', giveUp)
          resolve(webSocketConnection(socket))
          // Whoever waits for the dial sets its callbacks before the server's first words come: they may be "busy", and a close.
          socket.pause()
          setImmediate(() => socket.resume())
        })
      }),
  }
}
