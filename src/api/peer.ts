// Who is at the other end of a TLS connection: the certificate this server's authority signed, or a bearer token. The chain is checked by
// TLS against the authority alone; a certificate that fails is nobody, not an error, since a token may still say who it is.

import { X509Certificate } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { Identity } from '../base/pki.ts'

const AUTHENTICATED = 'system:authenticated'
const NODES = 'system:nodes'
const NODE_PREFIX = 'system:node:'

/** Upstream's rule: the common name is the user, the organizations are the groups. */
export const identityOf = (commonName: string, organizations: readonly string[]): Identity | undefined => {
  if (commonName === '') return undefined
  const groups = [...organizations, AUTHENTICATED]
  const isNode = commonName.startsWith(NODE_PREFIX) && organizations.includes(NODES)
  return { name: commonName, groups, ...(isNode ? { node: commonName.slice(NODE_PREFIX.length) } : {}) }
}

export interface Peer {
  /** From a certificate that is valid now. */
  readonly identity: Identity | undefined
  /** A device whose certificate is good but for its dates: enough for the link, which pins the key. Clocks at the edge are wrong. */
  readonly outdatedDevice: Identity | undefined
  /** DER; undefined when none was sent. Not necessarily trusted. */
  readonly certificate: Uint8Array | undefined
}

const NOBODY: Peer = { identity: undefined, outdatedDevice: undefined, certificate: undefined }

const listOf = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : typeof value === 'string' ? [value] : [])

const DATES = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])

/** TLS reports one problem only, so the signature is checked anew before a wrong date is forgiven. */
const signedBy = (der: Buffer, authorityPem: string): boolean => {
  const authority = new X509Certificate(authorityPem)
  const certificate = new X509Certificate(der)
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
}

/** Reads a connection's certificate; called once per connection. */
export const peerOf = (socket: TLSSocket, authorityPem: string): Peer => {
  const certificate = socket.getPeerCertificate()
  if (!certificate?.raw) return NOBODY
  const { CN, O } = certificate.subject as unknown as Record<string, unknown>
  const identity = identityOf(listOf(CN)[0] ?? '', listOf(O))
  if (socket.authorized) return { identity, outdatedDevice: undefined, certificate: certificate.raw }
  const forgiven = identity?.node !== undefined && DATES.has(String(socket.authorizationError)) && signedBy(certificate.raw, authorityPem)
  return { identity: undefined, outdatedDevice: forgiven ? identity : undefined, certificate: certificate.raw }
}

/** Tells whose token it is; undefined for tokens it does not know. */
export type Authenticator = (token: string) => Identity | undefined

/** The identity of a request: the connection's, else the token's. */
export const requestIdentity = (
  peer: Peer,
  headers: Readonly<IncomingHttpHeaders>,
  authenticate: Authenticator | undefined,
): Identity | undefined => {
  if (peer.identity || !authenticate) return peer.identity
  const match = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')
  return match ? authenticate(match[1]!) : undefined
}
