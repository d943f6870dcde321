// A device's TLS connection to its server, whatever runs on it. The server is believed when its certificate is signed by the pinned
// authority as a server's: the authority signs no other server, so neither the name nor the address it is reached by matters, and both may
// change. Nor do the dates: a device's clock may be decades off. What runs is signed apart from this (DESIGN invariants 6, 8).

import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'

export interface Credentials {
  /** PEM: the pinned authority, this device's certificate and key. */
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface TlsDialOptions {
  /** Without brackets. */
  readonly host: string
  readonly port: number
  /** Asked for at every dial, so that a renewed certificate is used at once. */
  readonly credentials: () => Credentials
  readonly protocols?: readonly string[]
  /** Who is at the other end: the server itself, or a broker that this cluster's authority has certified. Neither is taken for the other. */
  readonly peer?: 'server' | 'broker'
}

export interface TlsDial {
  /** A socket that emits 'secureConnect' once its peer is believed, and else an 'error' and no more. */
  (): TLSSocket
  /** The dial failed. Unless nobody was reached at all, the session kept may be why, and the next dial shakes hands in full. */
  forget(error?: Error): void
}

/** The organisation of a broker's certificate. */
export const BROKER_ORGANIZATION = 'heliopause:broker'
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
/** Elliptic curves in order. OpenSSL 3.5 would offer a post-quantum key first, which costs 2.3 KB each time a device calls. */
const CURVES = 'X25519:P-256'
const NOBODY_REACHED: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENETUNREACH', 'EHOSTUNREACH', 'ENOTFOUND', 'EAI_AGAIN'])
/** Idle time after which the kernel asks whether the other side still lives; the link's own pings come first. */
const PROBE_AFTER_MS = 30 * 60_000

const organizationsOf = (certificate: X509Certificate): readonly unknown[] =>
  [(certificate.toLegacyObject().subject as unknown as Record<string, unknown>)['O']].flat()

/** Why the peer is not believed; undefined when it is. The handshake has proved that it owns the certificate's key. */
const distrust = (raw: Uint8Array | undefined, ca: string, peer: 'server' | 'broker'): string | undefined => {
  if (!raw) return 'it showed no certificate'
  const certificate = new X509Certificate(raw)
  const authority = new X509Certificate(ca)
  if (!authority.ca || !certificate.checkIssued(authority) || !certificate.verify(authority.publicKey))
    return 'its certificate is not signed by the pinned authority'
  if (certificate.ca || !certificate.keyUsage?.includes(SERVER_AUTH)) return 'its certificate is not one of a server'
  const isBroker = organizationsOf(certificate).includes(BROKER_ORGANIZATION)
  return isBroker === (peer === 'broker') ? undefined : `its certificate is ${isBroker ? 'a broker’s' : 'not a broker’s'}`
}

/** Sessions are resumed where the server allows it: half the bytes of a full handshake. */
export const createTlsDial = (options: TlsDialOptions): TlsDial => {
  const { host, port, protocols, peer = 'server' } = options
  const kept: { session: Buffer | undefined; with: string } = { session: undefined, with: '' }
  const dial = (): TLSSocket => {
    const { ca, cert, key } = options.credentials()
    if (kept.with !== ca + cert) kept.session = undefined
    kept.with = ca + cert
    const socket = connect({
      host,
      port,
      ca,
      cert,
      key,
      minVersion: 'TLSv1.3',
      ecdhCurve: CURVES,
      // Judged by `distrust` below, before a byte of ours goes out: TLS stacks cannot ignore dates alone.
      rejectUnauthorized: false,
      ...(protocols ? { ALPNProtocols: [...protocols] } : {}),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(kept.session ? { session: kept.session } : {}),
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, PROBE_AFTER_MS)
    socket.prependOnceListener('secureConnect', () => {
      // A resumed session shows no certificate: its secret is the proof, and only sessions of peers that were believed are kept.
      const why = socket.isSessionReused() ? undefined : distrust(socket.getPeerX509Certificate()?.raw, ca, peer)
      if (why !== undefined) socket.destroy(new Error(`server is not trusted: ${why}`))
      else
        socket.on('session', session => {
          kept.session = session
        })
    })
    return socket
  }
  return Object.assign(dial, {
    forget(error?: Error & { readonly code?: string }) {
      if (!NOBODY_REACHED.has(error?.code ?? '')) kept.session = undefined
    },
  })
}

/** The host of a URL as sockets want it. */
export const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '')

/** What went wrong with a dial, in one line. */
export const dialFailure = (host: string, cause: Error & { readonly code?: string }): Error =>
  new Error(`dial ${host}: ${cause.code === 'ECONNREFUSED' ? 'connection refused' : cause.message.split('\n', 1)[0]}`, { cause })
