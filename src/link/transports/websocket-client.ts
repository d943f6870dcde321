// The device's end: dials the server over TLS with its client certificate. The server is believed when its certificate is signed by the
// pinned authority and is for its name; the dates on it are not held against it, since a device's clock may be decades off and a fleet
// must not strand on a date. What the device runs is signed apart from this (DESIGN invariant 8, section 7).

import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
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

const matches = (certificate: X509Certificate, host: string): boolean =>
  (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined

/** Why the server is not believed; undefined when it is. The handshake has proved that it owns the certificate's key. */
const distrust = (raw: Uint8Array | undefined, ca: string, host: string): string | undefined => {
  if (!raw) return 'it showed no certificate'
  const certificate = new X509Certificate(raw)
  const authority = new X509Certificate(ca)
  if (!authority.ca || !certificate.checkIssued(authority) || !certificate.verify(authority.publicKey))
    return 'its certificate is not signed by the pinned authority'
  if (certificate.ca || !certificate.keyUsage?.includes(SERVER_AUTH)) return 'its certificate is not one of a server'
  return matches(certificate, host) ? undefined : `its certificate is not for ${host}`
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
      const why = socket.isSessionReused() ? undefined : distrust(socket.getPeerX509Certificate()?.raw, ca, host)
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
          reject(new Error(`dial ${url.host}: ${signal.aborted ? 'given up' : error.message}`, { cause: error }))
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
