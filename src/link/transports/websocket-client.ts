// The device's end: dials the server over TLS with its client certificate. The server is believed when its certificate is signed by the
// pinned authority as a server's: the authority signs no other server, so neither the name nor the address it is reached by matters, and
// both may change. Nor do the dates: a device's clock may be decades off. What runs is signed apart from this (DESIGN invariants 6, 8).

import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { ApiError } from '../../base/errors.ts'
import type { Dialer } from '../link.ts'
import { LINK_PATH, LINK_SUBPROTOCOL, SOCKET_OPTIONS, webSocketConnection } from './websocket.ts'

export interface WebSocketDialerOptions {
  /** `https://host:port`, the API's address. */
  readonly server: string
  /** Asked for at every dial, so that a renewed certificate is used at once. PEM. */
  readonly credentials: () => { readonly ca: string; readonly cert: string; readonly key: string }
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
/** A handshake that does not end; the dial's own signal ends it sooner as a rule. */
const HANDSHAKE_TIMEOUT_MS = 30_000

/** Why the server is not believed; undefined when it is. The handshake has proved that it owns the certificate's key. */
const distrust = (raw: Uint8Array | undefined, ca: string): string | undefined => {
  if (!raw) return 'it showed no certificate'
  const certificate = new X509Certificate(raw)
  const authority = new X509Certificate(ca)
  if (!authority.ca || !certificate.checkIssued(authority) || !certificate.verify(authority.publicKey))
    return 'its certificate is not signed by the pinned authority'
  return certificate.ca || !certificate.keyUsage?.includes(SERVER_AUTH) ? 'its certificate is not one of a server' : undefined
}

const failureOf = (host: string, cause: Error & { readonly code?: string }): Error => {
  // The answer to an upgrade by a key the server has no node for.
  if (/\b403$/.test(cause.message))
    return new ApiError('Forbidden', `dial ${host}: the server has no node for this device (was it deleted?); --token joins it again`, {
      cause,
    })
  return new Error(`dial ${host}: ${cause.code === 'ECONNREFUSED' ? 'connection refused' : cause.message}`, { cause })
}

/** Dials `wss://<server>/link/v1`. Sessions are resumed where the server allows: half the bytes of a full handshake. */
export const webSocketDialer = (options: WebSocketDialerOptions): Dialer => {
  const url = new URL(LINK_PATH, options.server)
  url.protocol = 'wss:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const kept: { session: Buffer | undefined; with: string } = { session: undefined, with: '' }
  const dialTls = (): TLSSocket => {
    const { ca, cert, key } = options.credentials()
    if (kept.with !== ca + cert) kept.session = undefined
    kept.with = ca + cert
    const tls: ConnectionOptions = {
      host,
      port: Number(url.port || 443),
      ca,
      cert,
      key,
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['http/1.1'],
      // Judged by `distrust` below, before a frame of ours goes out: TLS stacks cannot ignore dates alone.
      rejectUnauthorized: false,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(kept.session ? { session: kept.session } : {}),
    }
    const socket = connect(tls)
    socket.setNoDelay(true)
    socket.prependOnceListener('secureConnect', () => {
      // A resumed session shows no certificate: its secret is the proof, and only sessions of servers that were believed are kept.
      const why = socket.isSessionReused() ? undefined : distrust(socket.getPeerX509Certificate()?.raw, ca)
      if (why !== undefined) socket.destroy(new Error(`server is not trusted: ${why}`))
      else
        socket.on('session', session => {
          kept.session = session
        })
    })
    return socket
  }
  return {
    dial: signal =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(new Error(`dial ${url.host}: given up`))
          return
        }
        const socket = new WebSocket(url, [LINK_SUBPROTOCOL], {
          ...SOCKET_OPTIONS,
          createConnection: dialTls,
          handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
          followRedirects: false,
        })
        const giveUp = (): void => socket.terminate()
        const fail = (error: Error): void => {
          kept.session = undefined
          signal.removeEventListener('abort', giveUp)
          reject(failureOf(url.host, signal.aborted ? new Error('given up') : error))
        }
        signal.addEventListener('abort', giveUp, { once: true })
        socket.once('error', fail)
        socket.once('open', () => {
          socket.removeListener('error', fail)
          signal.removeEventListener('abort', giveUp)
          resolve(webSocketConnection(socket))
        })
      }),
  }
}
