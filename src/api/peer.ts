// Who is at the other end of a TLS connection: the certificate this server's authority signed, or a bearer token. The chain is checked by
// TLS against the authority alone; a certificate that fails is nobody, not an error, since a token may still say who it is.

import { X509Certificate } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { Identity } from '../base/pki.ts'
import type { DevicePeer } from './message.ts'

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
  /**
   * A device whose certificate is good but for its dates: enough for the link and for a new certificate, which pin the key, and for nothing
   * else. Clocks at the edge are wrong.
   */
  readonly outdatedDevice: Identity | undefined
  /** DER; undefined when none was sent. Not necessarily trusted. */
  readonly certificate: Uint8Array | undefined
}

const NOBODY: Peer = { identity: undefined, outdatedDevice: undefined, certificate: undefined }

const listOf = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : typeof value === 'string' ? [value] : [])

const DATES = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/** TLS reports one problem only, so all but the dates is checked anew before a wrong date is forgiven. */
const isClientOf = (der: Buffer, authorityPem: string): boolean => {
  const authority = new X509Certificate(authorityPem)
  const certificate = new X509Certificate(der)
  const isClient = !certificate.ca && certificate.keyUsage?.includes(CLIENT_AUTH) === true
  return isClient && certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
}

/** Reads a connection's certificate; called once per connection. */
export const peerOf = (socket: TLSSocket, authorityPem: string): Peer => {
  const certificate = socket.getPeerCertificate()
  if (!certificate?.raw) return NOBODY
  const { CN, O } = certificate.subject as unknown as Record<string, unknown>
  const identity = identityOf(listOf(CN)[0] ?? '', listOf(O))
  if (socket.authorized) return { identity, outdatedDevice: undefined, certificate: certificate.raw }
  const forgiven = identity?.node !== undefined && DATES.has(String(socket.authorizationError)) && isClientOf(certificate.raw, authorityPem)
  return { identity: undefined, outdatedDevice: forgiven ? identity : undefined, certificate: certificate.raw }
}

/** The device a connection speaks for, its dates forgiven. Who answers it compares the key of `certificate` with the Node's. */
export const deviceOf = ({ identity, outdatedDevice, certificate }: Peer): DevicePeer | undefined => {
  const device = identity?.node === undefined ? outdatedDevice : identity
  return device && certificate && { identity: device, certificate }
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
